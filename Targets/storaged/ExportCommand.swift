import ArgumentParser
import Glibc
import Rack
import TargetServer

/// `storaged export`
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Serve files or block devices without an inventory until Ctrl-C.",
        discussion: """
            Without --initiator nobody is asked who they are: whoever reaches a portal can read and write. With it, others \
            see nothing; with --secrets, each proves by CHAP who it is, with the secrets in the file of the folder that is \
            named after its iSCSI name (storaged secret makes such files). Identifiers depend on this machine's name and \
            each file's path, so they are the same at the next export.
            """)

    @Argument(help: ArgumentHelp("Backing files or block devices.", valueName: "file"))
    var files: [String]
    @Option(
        name: .customLong("portal"), parsing: .singleValue,
        help: ArgumentHelp(
            "Where to listen, port 3260 unless given; may be repeated. Every address of this machine otherwise.",
            valueName: "address[:port]"))
    var portals: [String] = []
    @Option(help: ArgumentHelp("Size of files that are to be made, such as 1GiB.", valueName: "size"))
    var size: String?
    @Flag(help: "Refuse writes.")
    var readOnly = false
    @Option(help: ArgumentHelp("Logical block length: 512 or 4096.", valueName: "bytes"))
    var blockSize = 512
    @Option(
        name: .customLong("initiator"), parsing: .singleValue,
        help: ArgumentHelp("Who may see the files; may be repeated. Anybody otherwise.", valueName: "iqn"))
    var initiators: [String] = []
    @Option(help: ArgumentHelp("Ask initiators for CHAP; their secrets are in this folder.", valueName: "folder"))
    var secrets: String?
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("CHAP algorithms, best first: sha3-256, sha-256, sha-1, md5.", valueName: "name"))
    var algorithms: [Authentication.Algorithm] = Authentication.standardAlgorithms
    @Option(
        help: ArgumentHelp("Seconds of silence after which an initiator is pinged; 0 for never.", valueName: "seconds"))
    var nopInterval: Int?
    @Flag(help: "Let `storaged fault` make the units misbehave, for drills.")
    var allowFaults = false
    @Option(
        help: ArgumentHelp(
            "Where what has to outlive the daemon is kept: reservations, and the journals of WRITE ATOMIC. Nothing is, otherwise.",
            valueName: "folder"))
    var stateDirectory: String?
    @OptionGroup var serving: ServingOptions

    func validate() throws {
        guard blockSize == 512 || blockSize == 4096 else { throw ValidationError("--block-size must be 512 or 4096") }
        guard secrets == nil || !initiators.isEmpty else {
            throw ValidationError("--secrets needs --initiator: name who is to prove something")
        }
        guard !algorithms.isEmpty else { throw ValidationError("--algorithms needs at least one") }
        if let nopInterval, !(0...3600).contains(nopInterval) {
            throw ValidationError("--nop-interval must be from 0 to 3600")
        }
        _ = try sizeBytes()
        _ = try listening()
    }

    func run() throws {
        let sizeBytes = try sizeBytes()
        let listening = try listening()
        try reportingFailure { () throws(CommandFailure) in
            var exported: [ExportedFile] = []
            for file in files {
                exported.append(
                    ExportedFile(
                        path: try absolute(file), sizeBytes: sizeBytes, blockSizeBytes: blockSize, isReadOnly: readOnly)
                )
            }
            let authentication = try authentication()
            let inventory: Inventory
            do throws(StandaloneError) {
                inventory = try Inventory.standalone(
                    files: exported, portals: listening, hostName: machineName(), initiatorNames: initiators,
                    authentication: authentication)
            } catch {
                throw CommandFailure(.failed, error.description)
            }
            var plan = try ServingPlan(inventory, hostName: inventory.hosts[0].name)
            plan.allowsFaults = allowFaults
            try plan.readSecrets()
            plan.nopIntervalSeconds = nopInterval
            let running = try Serving.start(
                plan, source: .commandLine, options: serving, controlIsOptional: true, stateFolder: stateDirectory)
            printLine(greeting(plan, running.daemon.snapshot()))
            running.run()
        }
    }

    private func authentication() throws(CommandFailure) -> Authentication? {
        guard let secrets else { return nil }
        return Authentication(algorithms: algorithms, secretsFolder: try absolute(secrets))
    }

    private func sizeBytes() throws -> UInt64? {
        guard let size else { return nil }
        do throws(ByteSizeError) {
            return try ByteSize(parsing: size).bytes
        } catch {
            throw ValidationError("--size \(error); \(error.advice)")
        }
    }

    /// Where to listen. An address that stands for all of them becomes each of them, because every portal is a path of its
    /// own with an address that initiators are told.
    private func listening() throws -> [Rack.PortalAddress] {
        var found: [Rack.PortalAddress] = []
        func add(_ portal: Rack.PortalAddress) { if !found.contains(portal) { found.append(portal) } }
        for text in portals.isEmpty ? ["0.0.0.0", "::"] : portals {
            do throws(NetworkAddressError) {
                let portal = try Rack.PortalAddress(parsing: text)
                guard portal.address.isWildcard else {
                    add(portal)
                    continue
                }
                let isIPv6 = text.contains("::")
                // Nothing asked for, and no IPv6 here: no need to offer ::1.
                let own = Addresses.ofThisMachine(includeIPv4: !isIPv6, includeIPv6: isIPv6)
                if portals.isEmpty && isIPv6 && own == ["::1"] { continue }
                for address in own {
                    add(Rack.PortalAddress(address: try NetworkAddress(parsing: address), port: portal.port))
                }
            } catch {
                throw ValidationError("--portal \(error); \(error.advice)")
            }
        }
        return found
    }

    /// The whole path: the identifiers come from it. Links are resolved up to the file's own name, which stays as it was
    /// typed: /dev/mapper/NAME and /dev/disk/by-id/NAME are links to a device whose own name is another after a reboot.
    /// The file itself may be missing yet.
    private func absolute(_ file: String) throws(CommandFailure) -> String {
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        let folder = parts.dropLast().joined(separator: "/")
        let place = file.hasPrefix("/") && folder.isEmpty ? "/" : folder.isEmpty ? "." : folder
        guard let name = parts.last, !name.isEmpty, let resolved = unsafe realpath(place, nil) else {
            throw CommandFailure(.missing, "\(file): its folder \(place) does not exist; make it: mkdir -p \(place)")
        }
        defer { unsafe free(resolved) }
        let parent = unsafe String(cString: resolved)
        return parent == "/" ? "/\(name)" : "\(parent)/\(name)"
    }

    /// What is served, and what to type on a client.
    private func greeting(_ plan: ServingPlan, _ snapshot: ServerSnapshot) -> String {
        var rows = snapshot.targets.map { target in
            [
                target.volume, ByteSize(bytes: target.sizeBytes).description, target.wwid, target.name, target.path,
                target.readOnly ? "read-only" : "",
            ]
        }
        rows = aligned(rows).map { ["  " + $0] }
        let portals = plan.portals.map(\.description)
        return """
            serving \(counted(snapshot.targets.count, "target")) on \(portals.joined(separator: " ")); Ctrl-C stops
            \(rows.map { $0[0] }.joined(separator: "\n"))
            on a client:
              attach discover \(portals.joined(separator: " "))
              iscsiadm -m discovery -t sendtargets -p \(portals[0])
            """
    }
}

extension Authentication.Algorithm: ExpressibleByArgument {}
