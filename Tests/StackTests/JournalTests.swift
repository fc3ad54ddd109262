import Stack
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Journal")
struct JournalTests {
    @Test("a run is written line by line, and read back")
    func roundTrip() async throws {
        let folder = try TemporaryFolder()
        let journal = try Journal.open(path: folder.file("journal"))
        let host = ModelHost()
        let runner = Runner(layers: modelStack(host), scope: try walkThroughScope(), journal: journal)
        _ = await runner.up()
        let text = try folder.read("journal")
        let lines = text.split(separator: "\n")
        #expect(lines.count == 1 + 2 * 10 + 1)
        #expect(lines.allSatisfy { JSONValue(parsing: String($0))?["v"]?.integer == 1 })
        let contents = JournalContents(parsing: text)
        #expect(contents.runs.count == 1)
        #expect(contents.runs.first?.verb == "up")
        #expect(contents.runs.first?.result == "done")
        #expect(contents.cutShort == nil)
        #expect(!contents.isTorn)
        #expect(contents.unknownLines == 0)
    }

    @Test("a journal cut off at any byte is read, and says that the run was cut short")
    func anyPrefix() async throws {
        let folder = try TemporaryFolder()
        let journal = try Journal.open(path: folder.file("journal"))
        let host = ModelHost()
        _ = await Runner(layers: modelStack(host), scope: try walkThroughScope(), journal: journal).up()
        let text = try folder.read("journal")
        let firstLine = try #require(text.firstIndex(of: "\n"))
        for length in stride(from: 0, to: text.utf8.count - 1, by: 3) {
            let prefix = String(decoding: Array(text.utf8.prefix(length)), as: UTF8.self)
            let contents = JournalContents(parsing: prefix)
            let isPastFirst = length >= text[...firstLine].utf8.count - 1
            #expect((contents.cutShort != nil) == isPastFirst, "cut off after \(length) bytes")
            #expect(contents.unknownLines == 0)
        }
    }

    @Test("a torn last line is closed off, and what comes after it is read")
    func tornLine() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "journal",
            #"{"v":1,"at":"2026-01-31T12:00:00Z","event":"run-begin","verb":"up","pid":77}"# + "\n"
                + #"{"v":1,"at":"2026-01-31T12:00:01Z","event":"step-begin","layer":"sessions","step":"log in"}"# + "\n"
                + #"{"v":1,"at":"2026-01-31T12:00:0"#)
        let contents = Journal.read(path: folder.file("journal"))
        #expect(contents.isTorn)
        #expect(contents.cutShort?.pid == 77)
        #expect(contents.cutShort?.lastStep == "sessions: log in")
        #expect(contents.cutShort?.lastStepEnded == false)
        let journal = try Journal.open(path: folder.file("journal"))
        try journal.append("run-begin", [("verb", .string("down")), ("pid", .integer(78))])
        let after = Journal.read(path: folder.file("journal"))
        #expect(!after.isTorn)
        #expect(after.unknownLines == 1)
        #expect(after.runs.map(\.verb) == ["up", "down"])
    }

    @Test("lines of another version, and lines that are none, are counted and left alone")
    func unknownLines() {
        let contents = JournalContents(
            parsing: "garbage\n" + #"{"v":2,"event":"run-begin"}"# + "\n" + #"{"v":1,"event":"invented"}"# + "\n[]\n")
        #expect(contents.unknownLines == 4)
        #expect(contents.runs.isEmpty)
    }

    @Test("what is owned is remembered until it is disowned, also when the journal begins anew")
    func owned() throws {
        let folder = try TemporaryFolder()
        let map = OwnedObject(.map, name: "mpath0", identity: "mpath-33")
        let session = OwnedObject(.session, name: "iqn.2026-01.net.example:rack1:mpath0", identity: "10.77.0.21:3260")
        do {
            let journal = try Journal.open(path: folder.file("journal"))
            try journal.own(map)
            try journal.own(map)
            try journal.own(session)
            try journal.disown(map)
            #expect(journal.known.owned == [session])
            let filler = String(repeating: "x", count: 4096)
            for _ in 0..<260 { try journal.append("run-begin", [("verb", .string(filler))]) }
        }
        let journal = try Journal.open(path: folder.file("journal"))
        #expect(journal.known.owned == [session])
        #expect(try folder.read("journal").utf8.count < 1000)
        #expect(Journal.read(path: folder.file("journal")).owned == [session])
    }

    @Test("the next run says that the last one was cut short")
    func resumes() async throws {
        let folder = try TemporaryFolder()
        do {
            let journal = try Journal.open(path: folder.file("journal"))
            try journal.append("run-begin", [("verb", .string("up")), ("pid", .integer(77))])
        }
        let journal = try Journal.open(path: folder.file("journal"))
        let runner = Runner(layers: modelStack(ModelHost()), scope: try walkThroughScope(), journal: journal)
        let report = await runner.up()
        #expect(report.cutShort?.pid == 77)
        let next = try Journal.open(path: folder.file("journal"))
        #expect(next.known.cutShort == nil)
    }

    @Test("a device or a folder in the journal's place is refused and left alone")
    func noRegularFile() throws {
        let folder = try TemporaryFolder()
        for path in ["/dev/null", folder.path] {
            let error = #expect(throws: StackError.self) { try Journal.open(path: path) }
            #expect(error?.cause == "the journal is no regular file")
        }
    }
}

@Suite("The host's lock")
struct RunLockTests {
    @Test("a second taker is told who has it; it is free again afterwards")
    func exclusive() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("lock")
        #expect(RunLock.holder(path: path) == nil)
        var lock: RunLock? = try RunLock.take(path: path, purpose: "up")
        #expect(RunLock.holder(path: path) == RunLock.Holder(pid: getpid(), purpose: "up"))
        let refusal = #expect(throws: StackError.self) { try RunLock.take(path: path, purpose: "down") }
        #expect(refusal?.kind == .locked)
        #expect(refusal?.cause == "attach up (pid \(getpid())) is under way on this host")
        withExtendedLifetime(lock) {}
        lock = nil
        #expect(RunLock.holder(path: path) == nil)
        lock = try RunLock.take(path: path, purpose: "down")
        withExtendedLifetime(lock) {}
    }
}
