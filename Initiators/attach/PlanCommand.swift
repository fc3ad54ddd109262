import ArgumentParser
import Glibc
import Stack

/// `attach plan`.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print identifiers, the worst stall, and the steps that 'up' would take; changes nothing.")

    @OptionGroup var options: InventoryOptions
    @OptionGroup var report: ReportOptions
    @Option(name: .long, help: ArgumentHelp("Only this volume's paths and map.", valueName: "name"))
    var volume: String?
    @Option(name: .long, help: ArgumentHelp("Only this filesystem and what it needs.", valueName: "name"))
    var filesystem: String?

    func validate() throws {
        if volume != nil, filesystem != nil { throw ValidationError("give --volume or --filesystem, not both") }
    }

    func run() async throws {
        try await Frame.run {
            let selection: StackScope.Selection =
                volume.map { .volume($0) } ?? filesystem.map { .filesystem($0) } ?? .everything
            let scope = try options.loadScope(selection, showsWarnings: true)
            try scope.requireVolumes()
            let context = StackContext(monitorCommand: options.monitorCommand(clientName: scope.client.name))
            let layers = StackLayers.all(context)
            let observation: StackObservation
            var caveat: String?
            if geteuid() == 0 {
                observation = await Runner(layers: layers, scope: scope, journal: nil).observe()
            } else {
                observation = await Runner(layers: StackLayers.all(.ofNothing), scope: scope, journal: nil).observe()
                caveat = "not root, so this host was not looked at: these are the steps from nothing"
            }
            let plan = Plan(scope: scope, layers: layers, observation: observation, caveat: caveat)
            Console.out(report.json ? plan.json.pretty : plan.text())
        }
    }
}
