import ArgumentParser
import Logging
import TargetServer

/// `storaged run`
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Serve this host's part of an inventory until SIGTERM.",
        discussion:
            "SIGHUP reads the inventory again and applies the difference, or says why not and goes on as before.")

    @OptionGroup var inventory: InventoryOptions
    @Flag(help: "Print what `storaged check` prints, on stderr, before serving.")
    var checkFirst = false
    @OptionGroup var serving: ServingOptions
    @OptionGroup var state: StateOptions

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            var plan = try inventory.load()
            try plan.readSecrets()
            if checkFirst {
                let limits = plan.limits(reactors: serving.reactors)
                printError(CheckReport(plan, try plan.preview(), limits: limits).text)
            }
            let daemon = try Serving.start(
                plan, source: .rack(path: inventory.rack, host: plan.hostName), options: serving,
                controlIsOptional: false, stateFolder: state.path)
            daemon.announce()
            daemon.run()
        }
    }
}

/// Which inventory, and which host of it.
struct InventoryOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The inventory.", valueName: "file"))
    var rack = "/etc/rack/rack.yaml"
    @Option(help: ArgumentHelp("The host to be; this machine's name otherwise.", valueName: "name"))
    var host: String?

    /// This host's part; warnings go to stderr.
    func load() throws(CommandFailure) -> ServingPlan {
        try ServingPlan.load(rack: rack, host: host) { printError($0) }
    }
}

/// A daemon that serves, with the parts that outlive its start.
struct Serving {
    let daemon: Daemon
    let control: ControlServer?

    /// Everything up to the open portals.
    static func start(
        _ plan: ServingPlan, source: Daemon.Source, options: ServingOptions, controlIsOptional: Bool,
        stateFolder: String? = nil
    ) throws(CommandFailure) -> Serving {
        blockSignals()
        let level = options.logLevel
        LoggingSystem.bootstrap { _ in StandardErrorLog(level: level) }
        let limits = plan.limits(reactors: options.reactors)
        let logger = Logger(label: "storaged")
        Descriptors.allow(connections: limits.connections, logger: logger)
        let daemon = try Daemon(
            plan, source: source, limits: limits, logger: logger, stateFolder: stateFolder)
        let control = try daemon.start(
            controlPath: options.control.servingPath,
            controlIsOptional: controlIsOptional && options.control.explicitPath == nil)
        return Serving(daemon: daemon, control: control)
    }

    /// One line on stderr that says what is served.
    func announce() {
        let snapshot = daemon.snapshot()
        let portals = snapshot.portals.map(\.address).joined(separator: " ")
        Logger(label: "storaged").notice(
            "serving \(counted(snapshot.targets.count, "target")) on \(portals)",
            metadata: [
                "host": "\(snapshot.hostName)", "engine": "\(snapshot.engine)", "reactors": "\(snapshot.reactors)",
            ])
    }

    /// Until a signal ends it.
    func run() { daemon.runUntilStopped(control: control) }
}
