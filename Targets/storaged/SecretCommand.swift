import ArgumentParser
import Rack

/// `storaged secret`
struct SecretCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret", abstract: "Make files of CHAP secrets for clients and initiators.",
        discussion: """
            Each file holds two fresh random secrets, what the initiator proves to targets and what targets prove to it, and \
            can be read by its owner alone (the folder's). The secrets are not printed. Copy a client's file to the same \
            path on that client, and all files to every storage host; then storaged check, and storaged reload.
            """)

    @Argument(help: ArgumentHelp("Clients or initiators of the inventory.", valueName: "client"))
    var clients: [String] = []
    @Flag(help: "Make files for all of them that have none.")
    var all = false
    @Option(help: ArgumentHelp("The inventory.", valueName: "file"))
    var rack = "/etc/rack/rack.yaml"
    @Option(
        help: ArgumentHelp(
            "Make the files here, and take the names as they are, without an inventory.", valueName: "folder"))
    var secrets: String?
    @Flag(help: "Replace files that are there; whoever uses their secrets is locked out until it has the new ones.")
    var replace = false

    func validate() throws {
        guard all == clients.isEmpty else { throw ValidationError("name clients, or give --all") }
        if secrets != nil, all { throw ValidationError("--all needs an inventory; name clients with --secrets") }
        for name in clients where name.isEmpty || name.hasPrefix(".") || name.contains("/") || name.utf8.count > 223 {
            throw ValidationError("no client can have the name \"\(escaped(name))\"")
        }
    }

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            let (settings, known) = try place()
            if let known, let name = clients.first(where: { !known.contains($0) }) {
                throw CommandFailure(
                    .missing,
                    "no client or initiator \"\(escaped(name))\" is declared in \(rack); declare it, or write one of "
                        + known.joined(separator: ", "))
            }
            var failures: [CommandFailure] = []
            for name in all ? known ?? [] : clients {
                do throws(Problem) {
                    if try settings.write(.random(), of: name, replacing: replace) {
                        printLine("\(settings.secretsFolder)/\(name) made")
                    } else if !all {
                        failures.append(
                            CommandFailure(
                                .busy,
                                "\(settings.secretsFolder)/\(escaped(name)) is there already, and whoever uses its "
                                    + "secrets would be locked out; leave it, or give --replace"))
                    }
                } catch {
                    failures.append(CommandFailure(.failed, error.description))
                }
            }
            if let failure = combined(failures) { throw failure }
        }
    }

    /// Where the files go, and the names that there may be.
    private func place() throws(CommandFailure) -> (Authentication, [String]?) {
        if let secrets {
            guard secrets.hasPrefix("/") else {
                throw CommandFailure(.missing, "--secrets \(escaped(secrets)) is no absolute path; give one")
            }
            return (Authentication(secretsFolder: secrets), nil)
        }
        let load = Inventory.load(path: rack)
        guard let inventory = load.inventory else { throw CommandFailure(.inventory, load.report) }
        let known = inventory.declaredInitiators.map(\.name)
        guard !known.isEmpty else {
            throw CommandFailure(.missing, "\(rack) declares neither clients nor initiators; declare them first")
        }
        if inventory.authentication == nil {
            printError(
                "\(rack) does not ask for authentication yet; write authentication: {method: chap} to use the secrets")
        }
        return (inventory.authentication ?? Authentication(), known)
    }
}
