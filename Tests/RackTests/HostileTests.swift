import Glibc
import Rack
import Testing

private func times(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

private let megabyte = 1 << 20

/// Files made to exhaust a parser: each is answered with an error, in seconds even in a debug build.
private enum Hostile: String, CaseIterable {
    case openBrackets, openBraces, dashes, questionMarks, deepThenWide, mappingsAsKeys, listsAsKeys, oneKey, pairsOfKeys
    case unknownKeys, aliasesOfAliases, aliasesAsKeys, aliasOfItself, longWord, openQuotationMark, manyLines
    case manyAnchors, comment, newlines, manyVolumes, overTheLimit, nothing, nulBytes, masks

    var text: String {
        switch self {
        case .openBrackets: return times("[", megabyte)
        case .openBraces: return times("{", megabyte)
        case .dashes: return times("- ", megabyte / 2)
        case .questionMarks: return times("? ", megabyte / 2)
        case .deepThenWide:
            let wide: String = times("a,", 2 * megabyte - 1500)
            return times("[", 990) + wide + times("]", 990)
        case .mappingsAsKeys:
            let key: String = times("{", 240) + "a" + times(":1}", 240)
            return times(key + ": 1\n", 4000)
        case .listsAsKeys:
            let key: String = times("[", 400) + times("]", 400)
            return "{" + times(key + ": 1,\n", 1000) + "}"
        case .oneKey: return times("key: 1\n", megabyte / 8)
        case .pairsOfKeys: return lines(100_000) { "k\($0 / 2): 1\n" }
        case .unknownKeys: return lines(100_000) { "k\($0): 1\n" }
        case .aliasesOfAliases: return aliasBomb
        case .aliasesAsKeys: return aliasBomb + "{*b29 : 1}: 2\n"
        case .aliasOfItself: return "rack: &a [*a]\n"
        case .longWord: return times("a", megabyte)
        case .openQuotationMark: return "\"" + times("a", megabyte - 1)
        case .manyLines: return times("a b\n", megabyte / 4)
        case .manyAnchors: return times("- &a x\n", megabyte / 8)
        case .comment: return times("#", megabyte)
        case .newlines: return times("\n", megabyte)
        case .manyVolumes: return "volumes:\n" + times("- {name: a}\n", 50_000)
        case .overTheLimit: return times(" ", Inventory.fileSizeLimitBytes + 1)
        case .nothing: return ""
        case .nulBytes: return times("\0", megabyte)
        case .masks: return "rack: \u{f8ff}a\n\u{e000}a: 1\n"
        }
    }
}

private func lines(_ count: Int, _ line: (Int) -> String) -> String {
    var text = ""
    for number in 0..<count { text += line(number) }
    return text
}

/// Of this thread, so that a busy machine does not count.
private func processorSeconds() -> Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Thirty lists, each of ten times the one before.
private var aliasBomb: String {
    var text = "b0: &b0 [x,x,x,x,x,x,x,x,x,x]\n"
    for number in 1..<30 { text += "b\(number): &b\(number) [" + times("*b\(number - 1),", 10) + "]\n" }
    return text
}

@Test(.serialized, arguments: Hostile.allCases.map(\.rawValue))
func hostileFilesAreRefusedInTime(_ name: String) throws {
    let text = try #require(Hostile(rawValue: name)).text
    let start = processorSeconds()
    let result = Inventory.load(text: text, fileName: "rack.yaml")
    let seconds = processorSeconds() - start
    #expect(result.inventory == nil)
    #expect((1...501).contains(result.errors.count))
    #expect(
        result.problems.allSatisfy { $0.description.utf8.count < 1000 && !$0.description.contains("\n") })
    // Four times what the slowest takes in a debug build; without the bounds some take minutes.
    #expect(seconds < 10)
}

/// A rack as large as the format allows has to be quick as well.
@Test func aLargeRackIsRead() throws {
    let hosts = lines(2000) { number in
        let place = "\(number / 250).\(number % 250 + 1)"
        return
            "- {name: h\(number), portals: [{network: a, address: 10.1.\(place)}, {network: b, address: 10.2.\(place)}]}\n"
    }
    let volumes = lines(4000) { number in
        let first = number / 2
        return "- {name: v\(number), size: 1GiB, path: /v\(number), hosts: [h\(first), h\((first + 1) % 2000)]}\n"
    }
    let text = "rack: big\niqn: iqn.2026-01.net.example\nhosts:\n\(hosts)volumes:\n\(volumes)"
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    // Of 4,000 pairs of portals a tag or two may collide; then a tag by hand is asked for, and nothing else.
    #expect(load.problems.allSatisfy { $0.message.contains("tag") }, "\(load.report)")
    #expect(load.problems.count < 5)
}

@Test func bytesThatAreNotUTF8() {
    let bytes = Array("rack: r\niqn: é".utf8) + [0xff, 0x0a]
    let load = Inventory.load(bytes: bytes, fileName: "rack.yaml")
    #expect(
        load.report == "rack.yaml:2:7: error: the text is not UTF-8 here; write the file as text in UTF-8")
}

@Test func filesThatCannotBeRead() throws {
    let folder = "/tmp/rack-tests-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    #expect(unsafe mkdir(folder, 0o700) == 0)
    defer { unsafe rmdir(folder) }
    #expect(
        Inventory.load(path: folder).report
            == "\(folder): error: this is a directory; give the path of a rack.yaml in it")
    #expect(
        Inventory.load(path: folder + "/none").report
            == "\(folder)/none: error: there is no such file; give the path of a rack.yaml")
    let fifo = folder + "/fifo"
    #expect(unsafe mkfifo(fifo, 0o600) == 0)
    #expect(
        Inventory.load(path: fifo).report == "\(fifo): error: this is no regular file; give the path of a rack.yaml")
    unsafe unlink(fifo)
    let file = folder + "/rack.yaml"
    try write("", to: file)
    #expect(
        Inventory.load(path: file).report
            == "\(file): error: the file is empty; write an inventory that begins with rack: NAME, in the form README shows"
    )
    try write(goodText, to: file)
    #expect(Inventory.load(path: file).inventory == Inventory.load(text: goodText, fileName: "").inventory)
    #expect(Inventory.load(path: file).inventory != nil)
    if geteuid() != 0 {
        #expect(unsafe chmod(file, 0) == 0)
        #expect(
            Inventory.load(path: file).report
                == "\(file): error: the file may not be read; run as root, or give yourself the right to read it")
    }
    unsafe unlink(file)
}

private func write(_ text: String, to path: String) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    try #require(count == bytes.count)
}
