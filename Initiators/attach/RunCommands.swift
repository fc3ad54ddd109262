import ArgumentParser
import Glibc
import Stack

/// `attach up`.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Bring up what this client is to have, and leave what is up as it is.")

    @OptionGroup var options: InventoryOptions
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
        try await StackRun(verb: .up, options: options, selection: selection, showsTimings: timings).run()
    }
}

/// `attach down`.
struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Take everything away that attach made, topmost first; refused while any of it is in use.")

    @OptionGroup var options: InventoryOptions
    @Flag(name: .long, help: "Print what each layer and step took.")
    var timings = false

    func run() async throws {
        try await StackRun(verb: .down, options: options, selection: .everything, showsTimings: timings).run()
    }
}

/// One run of `up` or `down`, from lock to exit code.
struct StackRun {
    var verb: RunVerb
    var options: InventoryOptions
    var selection: StackScope.Selection
    var showsTimings: Bool

    func run() async throws {
        try await Frame.run {
            try Frame.requireRoot("attach \(verb.rawValue)")
            let scope = try options.loadScope(selection, showsWarnings: verb == .up)
            if verb == .up { try scope.requireVolumes() }
            let folders = StackFolders()
            let lock = try RunLock.take(path: folders.lockFile, purpose: verb.rawValue)
            defer { withExtendedLifetime(lock) {} }
            let stragglers = await CommandRunner.endStragglers()
            let journal = try Journal.open(path: folders.journalFile)
            let context = StackContext(
                folders: folders, journal: journal,
                monitorCommand: options.monitorCommand(clientName: scope.client.name))
            let isJSON = options.json
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
            let report = verb == .up ? await runner.up() : await runner.down()
            try show(report, scope, text)
        }
    }

    private func show(_ report: RunReport, _ scope: StackScope, _ text: RunText) throws {
        if options.json {
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
