import Glibc
import Rack
import Testing

private func parse(_ text: String, mutual: Bool = true) -> (secrets: ChapSecrets?, problems: [Problem]) {
    ChapSecrets.parse(bytes: Array(text.utf8), fileName: "client0", isMutual: mutual)
}

@Test func aSecretsFileIsReadAsItStands() throws {
    let text = "# of client0\r\n\n  target:\t0x41414141414141414141  \n initiator: 0b:colons:and#marks\r\n"
    let secrets = try #require(parse(text).secrets)
    #expect(secrets.target?.bytes == Array("0x41414141414141414141".utf8))
    #expect(secrets.initiator.bytes == Array("0b:colons:and#marks".utf8))
    #expect(parse("initiator: abcdefghijkl", mutual: false).secrets?.target == nil)
    #expect(parse("initiator: abcdefghijkl\n", mutual: false).problems.isEmpty)
}

@Test(arguments: [
    ("", "client0:1:1: error: there is no line initiator: SECRET"),
    ("target: abcdefghijkl\n", "client0:1:1: error: there is no line initiator: SECRET"),
    ("initiator: abcdefghijkl\n", "client0:1:1: error: there is no line target: SECRET, and authentication is mutual"),
    ("initiator: abcdefghijk\ntarget: abcdefghijklm", "client0:1:12: error: the initiator's secret has 11 bytes"),
    ("initiator:\ntarget: abcdefghijklm", "client0:1:11: error: the initiator's secret has 0 bytes"),
    ("initiator: abcdefghijkl\ninitiator: abcdefghijkm\n", "client0:2:1: error: initiator is given a second time"),
    (
        "initiator: abcdefghijkl\ntarget: abcdefghijkl\n",
        "client0:2:9: error: the target's secret is the initiator's too"
    ),
    ("initiator: abcdef ghijkl\ntarget: abcdefghijklm", "holds a blank or a character beyond ASCII"),
    ("initiator: abcdefghijklö\ntarget: abcdefghijklm", "holds a blank or a character beyond ASCII"),
    ("inititor: abcdefghijkl\n", "client0:1:1: error: this line begins with neither \"initiator:\" nor \"target:\""),
    ("abcdefghijkl\n", "this line begins with neither"),
])
func aBadSecretsFileIsRefused(text: String, part: String) {
    for ending in ["", "\n", "\r\n"] {
        let result = parse(text + ending)
        #expect(result.secrets == nil)
        let report = result.problems.map(\.description).joined(separator: "\n")
        #expect(report.contains(part), "\(report)")
        #expect(!report.contains("abcdef") && !report.contains("ghijkl"), "a secret is shown: \(report)")
    }
}

@Test func lengthsOfSecrets() {
    for length in [0, 1, 11, 12, 16, 254, 255, 256, 70_000] {
        let secret = String(repeating: "a", count: length)
        let result = parse("initiator: \(secret)\n", mutual: false)
        #expect((result.secrets != nil) == (12...255 ~= length), "\(length)")
    }
    #expect(parse("initiator: abcdefghijk\0\n", mutual: false).secrets == nil)
    #expect(ChapSecrets.parse(bytes: [0xff, 0xfe, 0x0a], fileName: "f", isMutual: false).secrets == nil)
}

@Test func secretsDoNotShow() throws {
    let secrets = try #require(parse("initiator: abcdefghijkl\ntarget: mnopqrstuvwx\n").secrets)
    var dumped = ""
    dump(secrets, to: &dumped)
    dump(["x": secrets], to: &dumped)
    for text in ["\(secrets)", String(reflecting: secrets), "\(secrets.initiator)", dumped, "\([secrets.initiator])"] {
        #expect(!text.contains("abcdefghijkl") && !text.contains("mnopqrstuvwx"), "\(text)")
        #expect(!text.contains("97, 98"), "\(text)")
    }
}

@Test func newSecretsDifferAndAreRead() throws {
    var seen: Set<[UInt8]> = []
    for _ in 0..<200 {
        let secrets = ChapSecrets.random()
        let target = try #require(secrets.target)
        #expect(secrets.initiator.bytes.count == 32 && target.bytes.count == 32)
        #expect(seen.insert(secrets.initiator.bytes).inserted && seen.insert(target.bytes).inserted)
        let read = ChapSecrets.parse(bytes: secrets.fileText, fileName: "f", isMutual: true)
        #expect(read.secrets == secrets)
    }
}

/// A folder below the temporary one, gone afterwards.
private struct SecretsFolder: ~Copyable {
    let path: String

    init() throws {
        var template = Array("/tmp/rack-secrets-XXXXXX".utf8CString)
        let made = unsafe template.withUnsafeMutableBufferPointer { unsafe mkdtemp($0.baseAddress!) != nil }
        try #require(made)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["client0", "client1", "link", "pipe"] { _ = unsafe unlink("\(path)/\(name)") }
        _ = unsafe rmdir(path)
    }

    var settings: Authentication { Authentication(secretsFolder: path) }

    func put(_ name: String, _ text: String, mode: mode_t = 0o600) throws {
        let file = unsafe open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        let bytes = Array(text.utf8)
        #expect(unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) } == bytes.count)
        try #require(fchmod(file, mode) == 0)
    }
}

private let goodFile = "initiator: abcdefghijkl\ntarget: mnopqrstuvwx\n"

@Test func modesOfSecretsFilesAreJudged() throws {
    let folder = try SecretsFolder()
    for mode: mode_t in [0o600, 0o400, 0o700] {
        try folder.put("client0", goodFile, mode: mode)
        let load = folder.settings.loadSecrets(of: ["client0"])
        #expect(load.isComplete && load.secrets["client0"] != nil, "\(load.report)")
    }
    for mode: mode_t in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666] {
        try folder.put("client0", goodFile, mode: mode)
        let load = folder.settings.loadSecrets(of: ["client0"])
        #expect(!load.isComplete && load.secrets.isEmpty)
        #expect(
            load.report.contains("\(folder.path)/client0: error: the file has mode 0\(String(mode, radix: 8))"),
            "\(load.report)")
    }
    try folder.put("client0", goodFile)
    for mode: mode_t in [0o720, 0o702, 0o777, 0o1777] {
        try #require(unsafe chmod(folder.path, mode) == 0)
        let load = folder.settings.loadSecrets(of: ["client0"])
        #expect(!load.isComplete && load.report.contains("the folder has mode"), "\(load.report)")
    }
    try #require(unsafe chmod(folder.path, 0o755) == 0)
    #expect(folder.settings.loadSecrets(of: ["client0"]).isComplete)
}

@Test func whatIsNoFileIsRefused() throws {
    let folder = try SecretsFolder()
    try folder.put("client0", goodFile)
    #expect(unsafe symlink("\(folder.path)/client0", "\(folder.path)/link") == 0)
    #expect(unsafe mkfifo("\(folder.path)/pipe", 0o600) == 0)
    for (name, part) in [
        ("link", "this is a symbolic link"), ("pipe", "this is no regular file"),
        ("client1", "there is no file with the secrets of client1; make it with storaged secret client1"),
    ] {
        let load = folder.settings.loadSecrets(of: ["client0", name])
        #expect(!load.isComplete && load.report.contains(part), "\(load.report)")
        #expect(load.secrets["client0"] != nil)
    }
    let nowhere = Authentication(secretsFolder: "/nowhere/secrets").loadSecrets(of: ["client0"])
    #expect(
        nowhere.report == "/nowhere/secrets: error: there is no such folder; make it and its files with storaged secret"
    )
}

@Test func foreignFilesAreRefused() throws {
    let folder = try SecretsFolder()
    try folder.put("client0", goodFile)
    // Only root can give a file away; the tests' container runs as root.
    guard geteuid() == 0 else { return }
    try #require(unsafe chown("\(folder.path)/client0", 12345, 12345) == 0)
    let load = folder.settings.loadSecrets(of: ["client0"])
    #expect(load.report.contains("the file belongs to user 12345, who could change it"), "\(load.report)")
    #expect(folder.settings.loadSecrets(of: ["client0"], readBy: 12345).isComplete)
}

@Test func secretsThatServeTwiceAreRefused() throws {
    let folder = try SecretsFolder()
    try folder.put("client0", goodFile)
    for text in [
        "initiator: abcdefghijkl\ntarget: other-secret-2\n", "initiator: other-secret-1\ntarget: abcdefghijkl\n",
        "initiator: mnopqrstuvwx\ntarget: other-secret-2\n",
    ] {
        try folder.put("client1", text)
        let load = folder.settings.loadSecrets(of: ["client0", "client1"])
        #expect(!load.isComplete)
        #expect(
            load.report.contains("\(folder.path)/client1: error: client1 has a secret of client0"), "\(load.report)")
        #expect(!load.report.contains("abcdefghijkl") && !load.report.contains("mnopqrstuvwx"))
    }
}

@Test func secretsAreWrittenWholeAndPrivate() throws {
    let folder = try SecretsFolder()
    let first = ChapSecrets.random()
    let mask = umask(0)
    defer { umask(mask) }
    #expect(try folder.settings.write(first, of: "client0", replacing: false))
    var status = stat()
    try #require(unsafe stat("\(folder.path)/client0", &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o600 && status.st_nlink == 1)
    #expect(folder.settings.loadSecrets(of: ["client0"]).secrets["client0"] == first)
    #expect(try !folder.settings.write(.random(), of: "client0", replacing: false))
    #expect(folder.settings.loadSecrets(of: ["client0"]).secrets["client0"] == first)
    let second = ChapSecrets.random()
    #expect(try folder.settings.write(second, of: "client0", replacing: true))
    #expect(folder.settings.loadSecrets(of: ["client0"]).secrets["client0"] == second)
    if geteuid() == 0 {
        try #require(unsafe chown(folder.path, 12345, 12345) == 0)
        #expect(try folder.settings.write(.random(), of: "client1", replacing: false))
        try #require(unsafe stat("\(folder.path)/client1", &status) == 0)
        #expect(status.st_uid == 12345)
        try #require(unsafe chown(folder.path, 0, 0) == 0)
    }
    // Nothing is left beside the file: the folder can be removed when the test ends.
    #expect(folder.settings.loadSecrets(of: ["client0"]).isComplete)
}
