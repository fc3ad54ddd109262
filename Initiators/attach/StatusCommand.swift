import ArgumentParser
import Glibc
import Stack

/// `attach status`.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Print a verdict, and the stack from filesystem to path.",
        discussion: "Exit code: 0 healthy, 1 degraded (I/O goes on), 2 down, 3 unknown.")

    @OptionGroup var options: InventoryOptions
    @OptionGroup var report: ReportOptions

    func run() async throws {
        do {
            try Frame.requireRoot("attach status")
            let scope = try options.loadScope()
            try scope.requireVolumes()
            let layers = StackLayers.all(StackContext())
            let observation = await Runner(layers: layers, scope: scope, journal: nil).observe()
            let status = StatusReport(scope: scope, observation: observation, wallSeconds: time(nil))
            Console.out(report.json ? status.json.pretty : status.text(Console.style(1)))
            throw ExitCode(status.exitCode)
        } catch let exit as ExitCode {
            throw exit
        } catch {
            // A monitoring plugin that cannot look answers 3, whatever the reason.
            Console.error("attach: \(error)")
            throw ExitCode(StatusReport.Verdict.unknown.rawValue)
        }
    }
}
