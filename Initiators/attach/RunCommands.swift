import ArgumentParser
import Glibc
import Stack

/// `attach up`.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Bring up what this client is to have, and leave what is up as it is.")

    @OptionGroup var options: InventoryOptions
    @OptionGroup var report: ReportOptions
    @Option(name: .long, help: ArgumentHelp("Only this volume's paths and map.", valueName: "name"))
    var volume: String?
    @Option(name: .long, help: ArgumentHelp("Only this filesystem and what it needs.", valueName: "name"))
    var filesystem: String?
    @Flag(name: .long, help: "Print what each layer and step took.")
    var timings = false

    func validate() throws {
        if volume != nil, filesystem != nil { throw ValidationError("give --volume or --filesystem, not both") }
    }

    func run() async throws {
        let selection: StackScope.Selection =
            volume.map { .volume($0) } ?? filesystem.map { .filesystem($0) } ?? .everything
        try await StackRun(
            verb: .up, options: options, isJSON: report.json, selection: selection, showsTimings: timings
        ).run()
    }
}

/// `attach down`.
struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Take everything away that attach made, topmost first; refused while any of it is in use.",
        discussion: """
            Where the inventory cannot be read, the one that the last 'up' worked from is taken.
            """)

    @OptionGroup var options: InventoryOptions
    @OptionGroup var report: ReportOptions
    @Flag(name: .long, help: "Do nothing when nothing was brought up, or all of it was taken down since.")
    var ifUp = false
    @Flag(
        name: .long,
        help: """
            For a host that goes down: as --if-up, and first end the processes that use it (SIGTERM, SIGKILL 5 s later).
            """)
    var atShutdown = false
    @Flag(name: .long, help: "Print what each layer and step took.")
    var timings = false

    func run() async throws {
        if ifUp || atShutdown, !StackFolders().hasInventoryCopy { return }
        try await StackRun(
            verb: .down, options: options, isJSON: report.json, selection: .everything, showsTimings: timings,
            endsHolders: atShutdown
        ).run()
    }
}

/// One run of `up` or `down`, from lock to exit code.
struct StackRun {
    var verb: RunVerb
    var options: InventoryOptions
    var isJSON: Bool
    var selection: StackScope.Selection
    var showsTimings: Bool
    var endsHolders = false

    func run() async throws {
        try await Frame.run {
            try Frame.requireRoot("attach \(verb.rawValue)")
            let folders = StackFolders()
            let scope = try loadScope(folders)
            if verb == .up { try scope.requireVolumes() }
            let lock = try RunLock.take(path: folders.lockFile, purpose: verb.rawValue)
            defer { withExtendedLifetime(lock) {} }
            let stragglers = await CommandRunner.endStragglers()
            let journal = try Journal.open(path: folders.journalFile)
            let context = StackContext(
                folders: folders, journal: journal,
                monitorCommand: options.monitorCommand(clientName: scope.client.name))
            if verb == .up { try folders.keepInventory(from: options.rack) }
            let isJSON = isJSON
            let text = RunText(Console.style(isJSON ? 2 : 1))
            for straggler in stragglers {
                Console.error("attach: ended what an earlier run left running: \(straggler)")
            }
            let runner = Runner(
                layers: StackLayers.all(context), scope: scope, journal: journal,
                onEvent: { event in
                    guard let line = text.line(event) else { return }
                    if isJSON { Console.error(line) } else { Console.out(line) }
                })
            if endsHolders {
                for user in await StackUsers.end(scope) { Console.error("attach: ended \(user)") }
            }
            let report = verb == .up ? await runner.up() : await runner.down()
            if verb == .down, report.error == nil { folders.forgetInventory() }
            try show(report, scope, text)
        }
    }

    /// An inventory that was broken since must not keep a host from taking down what it has, least of all at its shutdown.
    private func loadScope(_ folders: StackFolders) throws(StackError) -> StackScope {
        do {
            return try options.loadScope(selection, showsWarnings: verb == .up)
        } catch {
            guard verb == .down, error.kind == .inventory else { throw error }
            var last = options
            last.rack = folders.inventoryCopy
            guard let scope = try? last.loadScope(selection) else { throw error }
            Console.error("attach: \(error); going by the one that the last up worked from, \(folders.inventoryCopy)")
            return scope
        }
    }

    private func show(_ report: RunReport, _ scope: StackScope, _ text: RunText) throws {
        if isJSON {
            Console.out(RunText.json(report).pretty)
        } else {
            if showsTimings { Console.out(text.timings(report)) }
            if let line = text.lastLine(report, scope) { Console.out(line) }
        }
        for step in report.toleratedFailures {
            if let error = step.error { Console.error("attach: \(error)") }
        }
        guard let error = report.error else { return }
        Console.error("attach: \(error)")
        for error in report.furtherErrors { Console.error("attach: \(error)") }
        if verb == .down, report.steps.isEmpty {
            Console.error("attach: nothing was taken down")
        } else if verb == .up {
            Console.error("attach: what is up stays up; attach up goes on from here, attach down takes it away")
        } else {
            Console.error("attach: what is gone is gone; attach down goes on from here")
        }
        throw ExitCode(error.kind.rawValue)
    }
}
