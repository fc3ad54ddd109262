import ArgumentParser
import FoundationEssentials
import TargetServer

/// `storaged status`
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say what the daemon serves, to whom, and how it fares.",
        discussion: "Exit codes: 0 healthy, 1 warning, 2 critical, 3 unknown (no daemon answers).")

    @Flag(help: "One JSON object of schema storaged.status/1.")
    var json = false
    @OptionGroup var control: ControlOptions

    func run() throws {
        let snapshot: ServerSnapshot
        do throws(CommandFailure) {
            let answer = try ControlClient.ask(ControlRequest(request: .status), at: control.clientPaths)
            if let failure = answer.failure { throw CommandFailure(failure.code, failure.text) }
            guard let status = answer.status else { throw CommandFailure(.failed, "storaged gave no status") }
            snapshot = status
        } catch {
            if json { printJSON(UnknownStatus(error: error.text)) }
            printError("storaged: \(error.text)")
            throw ExitCode(StatusReport.Health.unknown.rawValue)
        }
        let report = StatusReport(snapshot)
        if json {
            printJSON(report)
        } else {
            printLine(report.text)
        }
        if report.health != .ok { throw ExitCode(report.health.rawValue) }
    }

    private func printJSON(_ value: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        if let data = try? encoder.encode(value) { printLine(String(decoding: data, as: UTF8.self)) }
    }

    private struct UnknownStatus: Encodable {
        var schema = StatusReport.schema
        var health = StatusReport.Health.unknown.word
        var error: String
    }
}

/// `storaged reload`
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Have the daemon read its inventory again and apply the difference.",
        discussion: """
            Prints what changed. Where something is wrong, the daemon goes on as before and this says why; so it does where a \
            volume that initiators are logged in to would go, or change its file, without --force (exit code 13).
            """)

    @Flag(
        help: """
            Remove volumes that are in use too: their initiators are asked to log out, and cut off when they have not \
            after \(Daemon.goodbyeSeconds) seconds.
            """)
    var force = false
    @OptionGroup var control: ControlOptions

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            var request = ControlRequest(request: .reload)
            request.force = force
            let answer = try ControlClient.ask(request, at: control.clientPaths)
            if let failure = answer.failure { throw CommandFailure(failure.code, failure.text) }
            let changes = answer.changes ?? []
            printLine(changes.isEmpty ? "nothing changed" : changes.map(escaped).joined(separator: "\n"))
        }
    }
}
