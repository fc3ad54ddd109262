import ArgumentParser
import PathDiscovery
import Rack
import Stack

/// `attach discover`.
struct DiscoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discover",
        abstract: "Ask portals what they offer: targets, units, sizes, WWIDs, and which paths belong together.",
        discussion: """
            Needs no root and no inventory, and leaves no session behind. Where the inventory asks for CHAP, it needs to \
            read this client's secrets, and the inventory has to allow md5, the only algorithm that libiscsi knows.
            """)

    @Argument(help: ArgumentHelp("ADDRESS or ADDRESS:PORT.", valueName: "portal"))
    var portals: [String]
    @Option(name: .long, help: ArgumentHelp("How long a dead portal is waited for.", valueName: "seconds"))
    var timeout = 3.0
    @Option(name: .long, help: ArgumentHelp("The iSCSI name to use.", valueName: "iqn"))
    var initiator: String?
    @Option(name: .long, help: ArgumentHelp("The inventory, for the iSCSI name of this client.", valueName: "file"))
    var rack = "/etc/rack/rack.yaml"
    @Option(name: .long, help: ArgumentHelp("Which client this host is.", valueName: "name"))
    var client: String?
    @Flag(name: .long, help: "Print one JSON object with a schema name.")
    var json = false

    func validate() throws {
        guard (0.1...600).contains(timeout) else { throw ValidationError("--timeout takes 0.1 to 600 seconds") }
        for portal in portals where ISCSIPortal(portal) == nil {
            throw ValidationError("'\(portal)' is no portal: write ADDRESS or ADDRESS:PORT")
        }
    }

    func run() async throws {
        try await Frame.run {
            var options = try identity()
            options.connectTimeoutSeconds = timeout
            options.commandTimeoutSeconds = max(5, timeout)
            let result = await PathDiscovery.discover(portals: portals.compactMap { ISCSIPortal($0) }, options: options)
            let report = DiscoveryReport(result)
            Console.out(json ? report.json.pretty : report.text())
            for error in result.errors { Console.error("attach: \(error)") }
            if !result.portals.isEmpty, result.portals.allSatisfy({ $0.error != nil }) {
                throw ExitCode(StackError.Kind.noPath.rawValue)
            }
        }
    }

    /// This client's name where an inventory says it, so that a target which knows its initiators lets us in, and its
    /// secrets where the inventory asks for them.
    private func identity() throws(StackError) -> DiscoveryOptions {
        if let initiator { return DiscoveryOptions(initiatorName: initiator) }
        let host = client ?? StackScope.hostName()
        guard let inventory = Inventory.load(path: rack).inventory else {
            let name = host.lowercased().filter {
                $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".")
            }
            return DiscoveryOptions(
                initiatorName: "iqn.2026-01.net.example:discover:\(name.isEmpty ? "host" : name)")
        }
        guard let known = inventory.client(named: host) else {
            return DiscoveryOptions(initiatorName: "\(inventory.iqnPrefix):discover")
        }
        let scope = try StackScope(inventory: inventory, clientName: known.name)
        var options = DiscoveryOptions(initiatorName: known.initiatorName)
        options.credentials = try scope.discoveryCredentials()
        return options
    }
}
