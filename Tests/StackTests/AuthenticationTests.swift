import Glibc
import HostDevices
import Rack
import Stack
import Synchronization
import Testing

private let initiatorSecret = "i:0x41#=known-to-client0"
private let targetSecret = "t:proof-of-the-target"

/// A host below a temporary folder: open-iscsi's records, and a folder of secrets.
private final class Host: Sendable {
    let root: String
    var files: HostFiles { HostFiles(root: root) }
    var secrets: String { "\(root)/secrets" }

    init() throws {
        var template = Array("/tmp/stack-authentication.XXXXXX".utf8CString)
        let made = unsafe mkdtemp(&template) != nil
        try #require(made)
        root = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        folder("/secrets")
        folder("/etc/iscsi/nodes")
    }

    deinit { Self.remove(root) }

    private static func remove(_ path: String) {
        for name in HostFiles(root: path).entries("/") {
            if unsafe unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
        }
        _ = unsafe rmdir(path)
    }

    func folder(_ path: String) {
        var made = root
        for part in path.split(separator: "/") {
            made += "/" + part
            _ = unsafe mkdir(made, 0o700)
        }
    }

    func write(_ path: String, _ text: String, mode: mode_t = 0o600) throws {
        folder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        let descriptor = unsafe open(root + path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        #expect(count == bytes.count)
        #expect(fchmod(descriptor, mode) == 0)
    }

    func mode(_ path: String) -> mode_t {
        var status = stat()
        return unsafe stat(root + path, &status) == 0 ? status.st_mode & 0o7777 : 0
    }

    func putSecrets(_ text: String? = nil, mode: mode_t = 0o600) throws {
        try write(
            "/secrets/client0", text ?? "initiator: \(initiatorSecret)\ntarget: \(targetSecret)\n", mode: mode)
    }

    func scope(_ authentication: String = "", client: String = "client0") throws -> StackScope {
        let text = walkThroughText + "\nauthentication: {method: chap, secrets: \(secrets)\(authentication)}\n"
        let load = Inventory.load(text: text, fileName: "rack.yaml")
        return try StackScope(inventory: #require(load.inventory, "\(load.report)"), clientName: client)
    }
}

private let recordText = """
    # BEGIN RECORD 2.1.8
    node.name = iqn.2026-01.net.example:rack1.mpath0
    node.tpgt = 7
    node.session.auth.authmethod = None
    node.session.auth.username = of-another-array
    node.session.auth.username_in = of-another-array-too
    node.session.auth.chap_algs = MD5
    node.session.timeo.replacement_timeout = 5
    # END RECORD

    """

@Suite("CHAP: what open-iscsi is told")
struct NodeRecordTests {
    private func settings(isMutual: Bool) throws -> SessionAuthentication {
        let text = "initiator: \(initiatorSecret)\ntarget: \(targetSecret)\n"
        let secrets = ChapSecrets.parse(bytes: Array(text.utf8), fileName: "client0", isMutual: isMutual).secrets
        return SessionAuthentication(
            initiatorName: "iqn.2026-01.net.example:client0", targetName: "iqn.2026-01.net.example:mpath0",
            secrets: try #require(secrets), algorithms: [.sha3With256Bits, .sha256, .sha1, .md5], isMutual: isMutual)
    }

    @Test("a mutual record has both names and secrets, and nothing from iscsid.conf")
    func mutual() throws {
        let text = try #require(settings(isMutual: true).applied(to: Array(recordText.utf8)))
        #expect(
            String(decoding: text, as: UTF8.self) == """
                # BEGIN RECORD 2.1.8
                node.name = iqn.2026-01.net.example:rack1.mpath0
                node.tpgt = 7
                node.session.timeo.replacement_timeout = 5
                node.session.auth.authmethod = CHAP
                node.session.auth.username = iqn.2026-01.net.example:client0
                node.session.auth.password = \(initiatorSecret)
                node.session.auth.username_in = iqn.2026-01.net.example:mpath0
                node.session.auth.password_in = \(targetSecret)
                node.session.auth.chap_algs = SHA3-256,SHA256,SHA1,MD5
                # END RECORD

                """)
        #expect(try settings(isMutual: true).applied(to: text) == text)
    }

    @Test("a one-way record asks the target for nothing")
    func oneWay() throws {
        let text = try #require(settings(isMutual: false).applied(to: Array(recordText.utf8)))
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        #expect(!lines.contains { $0.contains("_in = ") || $0.contains(targetSecret) })
        #expect(lines.contains("node.session.auth.password = \(initiatorSecret)"))
    }

    @Test("a record is known again in whatever order, and not with other secrets or more settings")
    func comparison() throws {
        let settings = try settings(isMutual: true)
        let text = String(decoding: try #require(settings.applied(to: Array(recordText.utf8))), as: UTF8.self)
        #expect(settings.isIn(Array(text.utf8)))
        let reversed = text.split(separator: "\n").reversed().joined(separator: "\n")
        #expect(settings.isIn(Array(reversed.utf8)))
        #expect(!settings.isIn(Array(recordText.utf8)))
        #expect(!settings.isIn(Array((text + "node.session.auth.username = another\n").utf8)))
        let changed = text.split(separator: "\n").map { $0.contains("password_in") ? $0 + "x" : $0 }
        #expect(!settings.isIn(Array(changed.joined(separator: "\n").utf8)))
        #expect(try !self.settings(isMutual: false).isIn(Array(text.utf8)))
    }

    @Test("half a record is none")
    func halfARecord() throws {
        let settings = try settings(isMutual: true)
        #expect(settings.applied(to: []) == nil)
        #expect(settings.applied(to: Array("# BEGIN RECORD 2.1.8\nnode.tpgt = 7\n".utf8)) == nil)
    }

    @Test("no text of the settings shows a secret")
    func texts() throws {
        let settings = try settings(isMutual: true)
        var dumped = ""
        dump([settings], to: &dumped)
        for text in ["\(settings)", String(reflecting: settings), "\([settings])", dumped] {
            #expect(!text.contains("known-to") && !text.contains("proof-of"), "\(text)")
        }
    }

    @Test("the file keeps its name and is of mode 0600, whatever it was; nothing lies beside it")
    func file() throws {
        let host = try Host()
        let path = try #require(try walkThroughScope().paths.first)
        let portal = path.portal
        let record = "/etc/iscsi/nodes/\(path.volume.targetName)/10.77.0.21,3260,\(portal.tag)/rack-rack1"
        #expect(NodeRecordFile(path, interface: "rack-rack1", files: host.files) == nil)
        try host.write(record, recordText, mode: 0o644)
        // A writer that was killed left its file; a process with that number is long gone, or never was.
        try host.write("/etc/iscsi/.attach-record.2147483646.1", "password = old")
        let file = try #require(NodeRecordFile(path, interface: "rack-rack1", files: host.files))
        #expect(NodeRecordFile(path, interface: "default", files: host.files) == nil)
        try file.write(settings(isMutual: true))
        #expect(host.mode(record) == 0o600)
        #expect(host.files.text(record)?.contains("password = \(initiatorSecret)") == true)
        #expect(host.files.entries("/etc/iscsi") == ["nodes"])
        try host.write(record, "junk\n")
        let error = #expect(throws: StackError.self) { try file.write(settings(isMutual: true)) }
        #expect(error?.kind == .failed && error?.cause.contains("another form") == true)
    }
}

@Suite("CHAP: this client's secrets")
struct ClientSecretsTests {
    @Test("they are read where the inventory asks for them, and only there")
    func reading() throws {
        #expect(try walkThroughScope().loadSecrets() == nil)
        let host = try Host()
        try host.putSecrets()
        #expect(try host.scope().loadSecrets()?.initiator.bytes == Array(initiatorSecret.utf8))
        try host.putSecrets("initiator: \(initiatorSecret)\n")
        #expect(try host.scope(", mutual: false").loadSecrets()?.target == nil)
    }

    @Test("missing, open to others, too short: one line with exit code 18, before anything is begun")
    func refusals() async throws {
        let host = try Host()
        let cases: [(text: String?, mode: mode_t, words: String)] = [
            (nil, 0, "there is no file with the secrets of client0; make it with storaged secret client0"),
            ("initiator: \(initiatorSecret)\ntarget: \(targetSecret)\n", 0o644, "others may read or write"),
            ("initiator: short\ntarget: \(targetSecret)\n", 0o600, "has 5 bytes"),
            ("initiator: \(initiatorSecret)\n", 0o600, "there is no line target: SECRET, and authentication is mutual"),
        ]
        for (text, mode, words) in cases {
            if let text { try host.putSecrets(text, mode: mode) }
            let scope = try host.scope()
            let errors = await SessionsLayer(StackContext(files: host.files)).obstaclesUp(scope, StackObservation())
            let error = try #require(errors.first)
            #expect(errors.count == 1 && error.kind == .secrets && error.kind.rawValue == 18)
            #expect(error.description.contains(words) && error.object.hasPrefix(host.secrets), "\(error)")
            #expect(!error.description.contains("\n"))
            #expect(!error.description.contains(initiatorSecret) && !error.description.contains("short\n"))
        }
        try host.putSecrets()
        let scope = try host.scope()
        #expect(
            await SessionsLayer(StackContext(files: host.files)).obstaclesUp(scope, StackObservation()).isEmpty)
    }

    @Test("discovery has them where md5 is allowed, and says why it cannot work elsewhere")
    func discovery() throws {
        let host = try Host()
        try host.putSecrets()
        let error = #expect(throws: StackError.self) { try host.scope().discoveryCredentials() }
        #expect(
            error?.description
                == "discover: rack1 asks for CHAP with sha3-256, sha-256, and libiscsi, which discovery goes by, knows "
                + "md5 only; attach plan and attach up need no discovery: they take everything from the inventory")
        let credentials = try #require(try host.scope(", algorithms: [sha-256, md5]").discoveryCredentials())
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", String(reflecting: credentials), dumped] {
            #expect(!text.contains(initiatorSecret) && !text.contains(targetSecret), "\(text)")
        }
        #expect(try walkThroughScope().discoveryCredentials() == nil)
    }

    @Test("plan says that CHAP is used, and where the secrets lie, not what they are")
    func plan() throws {
        let host = try Host()
        try host.putSecrets()
        let plan = Plan(scope: try host.scope(), layers: [], observation: StackObservation())
        #expect(
            plan.text().contains(
                "CHAP, mutual   sha3-256, sha-256; secrets of client0 in \(host.secrets)/client0"), "\(plan.text())")
        let json = plan.json.pretty
        #expect(json.contains("\"method\": \"chap\"") && json.contains("\"mutual\": true"), "\(json)")
        #expect(!json.contains(initiatorSecret) && !plan.text().contains(initiatorSecret))
        #expect(!Plan(scope: try walkThroughScope(), layers: [], observation: .init()).text().contains("CHAP"))
    }
}

@Suite("CHAP: logging in")
struct LoginTests {
    /// Plays iscsiadm: makes and removes records, and answers a login with an exit code.
    private final class Player: Sendable {
        struct State {
            var lines: [String] = []
            var recordAtLogin: String?
        }
        let state = Mutex(State())
        let host: Host
        let loginCode: Int32
        let path: WantedPath

        init(_ host: Host, _ path: WantedPath, loginCode: Int32) {
            self.host = host
            self.path = path
            self.loginCode = loginCode
        }

        var record: String {
            "/etc/iscsi/nodes/\(path.volume.targetName)/10.77.0.21,3260,\(path.portal.tag)/rack-rack1"
        }

        func play(_ program: String, _ arguments: [String], _ input: String?) throws(StackError) -> CommandResult {
            state.withLock { $0.lines.append(([program] + arguments + [input ?? ""]).joined(separator: " ")) }
            if arguments.suffix(2) == ["-o", "new"] {
                try? host.write(record, recordText)
            } else if arguments.suffix(2) == ["-o", "delete"] {
                _ = unsafe unlink(host.root + record)
            } else if arguments.last == "--login" {
                let text = host.files.text(record)
                state.withLock { $0.recordAtLogin = text }
                let words = loginCode == 24 ? "24 - iSCSI login failed due to authorization failure" : "8"
                return CommandResult(
                    ending: .exited(loginCode),
                    standardError: loginCode == 0 ? "" : "iscsiadm: initiator reported error (\(words))\n")
            }
            return CommandResult()
        }
    }

    private func run(_ host: Host, loginCode: Int32) async throws -> (Player, StackError?) {
        let scope = try host.scope()
        let path = try #require(scope.paths.first)
        let player = Player(host, path, loginCode: loginCode)
        let context = StackContext(
            commands: CommandRunner { program, arguments, input throws(StackError) in
                try player.play(program, arguments, input)
            }, files: host.files)
        let steps = try SessionsLayer(context).stepsUp(scope, StackObservation())
        let login = try #require(steps.first { $0.name == "log in mpath0 via 10.77.0.21:3260" })
        do {
            _ = try await login.run()
            return (player, nil)
        } catch {
            return (player, error as? StackError)
        }
    }

    @Test("the record has the secrets before the login, and no command line ever has")
    func order() async throws {
        let host = try Host()
        try host.putSecrets()
        let (player, error) = try await run(host, loginCode: 0)
        #expect(error == nil)
        let record = try #require(player.state.withLock { $0.recordAtLogin })
        #expect(record.contains("password = \(initiatorSecret)") && record.contains("password_in = \(targetSecret)"))
        #expect(record.contains("username_in = \(player.path.volume.targetName)"))
        #expect(host.mode(player.record) == 0o600)
        let lines = player.state.withLock { $0.lines }
        #expect(lines.count == 3, "\(lines)")
        for line in lines { #expect(!line.contains("known-to") && !line.contains("proof-of"), "\(line)") }
    }

    @Test("changed secrets count from the next login on")
    func changed() async throws {
        let host = try Host()
        try host.putSecrets()
        _ = try await run(host, loginCode: 0)
        try host.putSecrets("initiator: another-secret-1\ntarget: another-secret-2\n")
        let (player, _) = try await run(host, loginCode: 0)
        let record = try #require(player.state.withLock { $0.recordAtLogin })
        #expect(record.contains("password = another-secret-1") && !record.contains(initiatorSecret))
    }

    @Test("a login that the target refuses is told with portal, cause and cure; the record with the secrets is gone")
    func refused() async throws {
        let host = try Host()
        try host.putSecrets()
        let (player, error) = try await run(host, loginCode: 24)
        let failure = try #require(error)
        #expect(failure.kind == .noPath)
        #expect(
            failure.description
                == "storage0 10.77.0.21:3260: login to mpath0 failed: the target refused the credentials of client0, or did "
                + "not prove its own secret; compare \(host.secrets)/client0 here and on storage0 (storaged secret client0 makes it, "
                + "the same file for both); storaged's log on storage0 says why")
        #expect(!host.files.exists(player.record))
    }

    @Test("a target that is not there for us, or does not prove itself (iscsid says the same for both)")
    func refusedForGood() async throws {
        let host = try Host()
        try host.putSecrets()
        let (player, error) = try await run(host, loginCode: 19)
        #expect(
            error?.description
                == "storage0 10.77.0.21:3260: login to mpath0 failed: the target refused client0, or did not prove its own "
                + "secret; see that the inventory (clients of the volume) and \(host.secrets)/client0 are the same here and on "
                + "storage0; storaged's log on storage0 says why")
        #expect(!host.files.exists(player.record))
    }

    @Test("secrets that went away meanwhile stop the login before its record")
    func goneMeanwhile() async throws {
        let host = try Host()
        let (player, error) = try await run(host, loginCode: 0)
        #expect(error?.kind == .secrets)
        #expect(player.state.withLock { $0.lines.isEmpty } && !host.files.exists(player.record))
    }
}

@Suite("Scope: what this client may see")
struct VisibilityTests {
    private func inventory(_ clients: String, filesystem: Bool = false) throws -> Inventory {
        var lines = walkThroughText.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if !filesystem { lines = Array(lines.prefix { !$0.hasPrefix("filesystems") }) }
        let text = lines.map { line in
            line.contains("name: mpath0,") ? line.dropLast() + ", clients: \(clients)}" : line
        }.joined(separator: "\n")
        let load = Inventory.load(text: text + "\n", fileName: "rack.yaml")
        return try #require(load.inventory, "\(load.report)")
    }

    @Test("volumes of others, and groups on them, are no part of the scope")
    func exclusion() throws {
        let inventory = try inventory("[client0]")
        let first = try StackScope(inventory: inventory, clientName: "client0")
        #expect(first.volumes.map(\.name) == ["mpath0", "mpath1"] && first.volumeGroups.map(\.name) == ["VG0"])
        let second = try StackScope(inventory: inventory, clientName: "client1")
        #expect(second.volumes.map(\.name) == ["mpath1"] && second.volumeGroups.isEmpty)
        #expect(second.paths.allSatisfy { $0.volume.name == "mpath1" })
    }

    @Test("asked for by name, one that may not be seen is an error of the inventory")
    func refusal() throws {
        let inventory = try inventory("[client0]")
        let error = #expect(throws: StackError.self) {
            try StackScope(inventory: inventory, clientName: "client1", selection: .volume("mpath0"))
        }
        #expect(error?.kind == .inventory)
        #expect(
            error?.description
                == "mpath0: client client1 may not see this volume; add client1 to the clients of volume mpath0 in the "
                + "inventory of every host")
    }

    @Test("a client that may see nothing is told so")
    func nothing() throws {
        let text = try inventory("[client0]")
        #expect(throws: Never.self) { try StackScope(inventory: text, clientName: "client1").requireVolumes() }
        let load = Inventory.load(
            text: walkThroughText.split(separator: "\n").map(String.init).prefix { !$0.hasPrefix("filesystems") }
                .map { $0.contains("name: mpath") ? $0.dropLast() + ", clients: [client0]}" : $0 }
                .joined(separator: "\n") + "\n", fileName: "rack.yaml")
        let scope = try StackScope(inventory: #require(load.inventory, "\(load.report)"), clientName: "client1")
        let error = #expect(throws: StackError.self) { try scope.requireVolumes() }
        #expect(
            error?.description
                == "client1: no volume of rack1 may be seen by this client; add it to the clients of a volume, or remove that "
                + "key for all that are declared")
    }
}
