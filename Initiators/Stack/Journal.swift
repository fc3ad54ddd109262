import Glibc
import Synchronization

/// Something that attach made and that must be found again when the inventory no longer names it.
public struct OwnedObject: Sendable, Hashable {
    /// What it is.
    public enum Kind: String, Sendable {
        /// A device-mapper map; `name` is its name, `identity` its UUID.
        case map
        /// An iSCSI session; `name` is the target's name, `identity` the portal (`10.77.0.21:3260`).
        case session
    }

    /// What it is.
    public var kind: Kind
    /// Its name.
    public var name: String
    /// What tells it from another object of the same name.
    public var identity: String

    /// Names an object.
    public init(_ kind: Kind, name: String, identity: String) {
        self.kind = kind
        self.name = name
        self.identity = identity
    }
}

/// What the journal tells a new run.
public struct JournalContents: Sendable {
    /// One run of `up` or `down`, as far as it was written down.
    public struct Run: Sendable, Equatable {
        /// `up` or `down`.
        public var verb: String
        /// The process that ran.
        public var pid: Int
        /// When it began, UTC, `2026-01-31T12:00:00Z`.
        public var began: String
        /// The last step that was begun, `layer: name`.
        public var lastStep: String?
        /// Whether that step's end was written down, too.
        public var lastStepEnded: Bool
        /// How it ended: `done`, `failed`; nil for a run that was cut short.
        public var result: String?

        /// Makes a run.
        public init(
            verb: String, pid: Int, began: String, lastStep: String? = nil, lastStepEnded: Bool = false,
            result: String? = nil
        ) {
            self.verb = verb
            self.pid = pid
            self.began = began
            self.lastStep = lastStep
            self.lastStepEnded = lastStepEnded
            self.result = result
        }
    }

    /// The runs, oldest first.
    public var runs: [Run] = []
    /// What attach made and has not taken down.
    public var owned: Set<OwnedObject> = []
    /// Whether the last line is incomplete: the host or the process died while it was written.
    public var isTorn = false
    /// Lines that are not ours or of a version we do not know; kept, and not understood.
    public var unknownLines = 0

    /// The last run when it was cut short.
    public var cutShort: Run? { runs.last.flatMap { $0.result == nil ? $0 : nil } }

    /// Reads a journal's text. Nothing in it makes this fail: what cannot be read is counted.
    public init(parsing text: String) {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let tail = lines.popLast() ?? ""
        if !tail.isEmpty {
            // A line without its newline was being written. Whole or not, its write was never confirmed.
            isTorn = true
            if JSONValue(parsing: String(tail)) != nil { lines.append(tail) }
        }
        for line in lines where !line.isEmpty {
            guard let record = JSONValue(parsing: String(line)), record["v"]?.integer == Journal.version,
                let event = record["event"]?.text
            else {
                unknownLines += 1
                continue
            }
            take(event, record)
        }
    }

    private mutating func take(_ event: String, _ record: JSONValue) {
        switch event {
        case "run-begin":
            runs.append(
                Run(
                    verb: record["verb"]?.text ?? "?", pid: record["pid"]?.integer ?? 0,
                    began: record["at"]?.text ?? "?", lastStep: nil, lastStepEnded: false, result: nil))
        case "step-begin":
            guard !runs.isEmpty else { return }
            runs[runs.count - 1].lastStep = "\(record["layer"]?.text ?? "?"): \(record["step"]?.text ?? "?")"
            runs[runs.count - 1].lastStepEnded = false
        case "step-end":
            guard !runs.isEmpty else { return }
            runs[runs.count - 1].lastStepEnded = true
        case "run-end":
            guard !runs.isEmpty else { return }
            runs[runs.count - 1].result = record["result"]?.text ?? "?"
        case "own", "disown":
            guard let kind = record["kind"]?.text.flatMap(OwnedObject.Kind.init), let name = record["name"]?.text,
                let identity = record["identity"]?.text
            else { return }
            let object = OwnedObject(kind, name: name, identity: identity)
            if event == "own" { owned.insert(object) } else { owned.remove(object) }
        default: unknownLines += 1
        }
    }
}

/// What attach is about to do and has done, on stable storage before and after each step.
///
/// A file of JSON lines that is only ever appended to; each line is flushed before the caller goes on. The journal does
/// not say what is: that is observed. It says that a run was cut short, and which leftovers are ours. A line that was
/// being written when the power went (no newline at its end) is closed off by the next run and counted as unknown.
public final class Journal: Sendable {
    /// The format that is written; lines of another one are left alone.
    public static let version = 1
    /// A journal longer than this begins anew with what is still owned, when a run begins.
    public static let limitBytes = 1 << 20

    private let descriptor: Int32
    private let path: String
    private let contents: Mutex<JournalContents>

    private init(descriptor: Int32, path: String, contents: JournalContents) {
        self.descriptor = descriptor
        self.path = path
        self.contents = Mutex(contents)
    }

    deinit { close(descriptor) }

    /// What the journal at `path` says; an empty one when there is none.
    public static func read(path: String) -> JournalContents {
        let bytes = readSmallFile(path, limitBytes: 64 << 20) ?? []
        return JournalContents(parsing: String(decoding: bytes, as: UTF8.self))
    }

    /// Opens the journal for a run. The caller holds the host's lock.
    public static func open(path: String) throws(StackError) -> Journal {
        if let slash = path.lastIndex(of: "/") { try makeFolder(String(path[..<slash]), mode: 0o700) }
        var status = stat()
        if unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw StackError(
                .failed, object: path, cause: "the journal is no regular file", advice: "move it out of the way")
        }
        let bytes = readSmallFile(path, limitBytes: 64 << 20) ?? []
        let contents = JournalContents(parsing: String(decoding: bytes, as: UTF8.self))
        if bytes.count > limitBytes {
            let owned = contents.owned.sorted { ($0.name, $0.identity) < ($1.name, $1.identity) }
            let lines = owned.map { record("own", Self.members(of: $0)) }
            try writeFileAtomically(path, lines.map { $0 + "\n" }.joined(), mode: 0o600)
        }
        let descriptor = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StackError(
                .failed, object: path, cause: "the journal could not be opened: \(errorText(errno))",
                advice: "check the filesystem it is on")
        }
        if bytes.last.map({ $0 != UInt8(ascii: "\n") }) ?? false, bytes.count <= limitBytes {
            _ = writeAll(descriptor, [UInt8(ascii: "\n")])
        }
        return Journal(descriptor: descriptor, path: path, contents: contents)
    }

    /// What the journal said when it was opened, and what was owned or disowned since.
    public var known: JournalContents { contents.withLock { $0 } }

    /// Writes one line and waits until it is on stable storage.
    public func append(_ event: String, _ members: [(name: String, value: JSONValue)]) throws(StackError) {
        let line = Self.record(event, members) + "\n"
        guard writeAll(descriptor, Array(line.utf8)), fdatasync(descriptor) == 0 else {
            throw StackError(
                .failed, object: path, cause: "the journal could not be written: \(errorText(errno))",
                advice: "free space on that filesystem; nothing is done that is not written down first")
        }
    }

    /// Notes that attach is about to make an object.
    public func own(_ object: OwnedObject) throws(StackError) {
        guard !contents.withLock({ $0.owned.contains(object) }) else { return }
        try append("own", Self.members(of: object))
        contents.withLock { _ = $0.owned.insert(object) }
    }

    /// Notes that an object is gone.
    public func disown(_ object: OwnedObject) throws(StackError) {
        guard contents.withLock({ $0.owned.contains(object) }) else { return }
        try append("disown", Self.members(of: object))
        contents.withLock { _ = $0.owned.remove(object) }
    }

    private static func members(of object: OwnedObject) -> [(name: String, value: JSONValue)] {
        [
            ("kind", .string(object.kind.rawValue)), ("name", .string(object.name)),
            ("identity", .string(object.identity)),
        ]
    }

    private static func record(_ event: String, _ members: [(name: String, value: JSONValue)]) -> String {
        let head: [(name: String, value: JSONValue)] = [
            ("v", .integer(version)), ("at", .string(utcText(time(nil)))), ("event", .string(event)),
        ]
        return JSONValue.object(head + members).line
    }
}

/// A time as UTC text, `2026-01-31T12:00:00Z` (RFC 3339).
func utcText(_ seconds: Int) -> String {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let (days, rest) = (seconds / 86_400, seconds % 86_400)
    // Years from March on, so that the leap day comes last; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return "\(year)-\(two(month))-\(two(day))T\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
}
