import ArgumentParser
import Glibc
import TargetServer

/// What to drain; the whole host unless something smaller is named.
struct DrainOptions: ParsableArguments {
    @Flag(help: "Everything that this daemon serves, which is what is meant without any of these.")
    var host = false
    @Option(help: ArgumentHelp("A volume; its initiators stay logged in.", valueName: "name"))
    var volume: String?
    @Option(help: ArgumentHelp("A portal, with those that share its port group.", valueName: "address[:port]"))
    var portal: String?
    @Option(help: ArgumentHelp("An initiator, by its iSCSI name.", valueName: "name"))
    var initiator: String?
    @Flag(help: "One JSON object of schema storaged.drain/1.")
    var json = false

    func validate() throws {
        let given = (host ? 1 : 0) + [volume, portal, initiator].count { $0 != nil }
        if given > 1 { throw ValidationError("give one of --host, --volume, --portal and --initiator") }
        if let initiator, !["iqn.", "eui.", "naa."].contains(where: initiator.hasPrefix) {
            throw ValidationError("--initiator takes an iSCSI name, which begins with iqn., eui. or naa.")
        }
    }

    /// The scope; the daemon fills in its full name.
    var scope: DrainScope {
        if let volume { return DrainScope(.volume, volume) }
        if let portal { return DrainScope(.portal, portal) }
        if let initiator { return DrainScope(.initiator, initiator) }
        return DrainScope(.host, "")
    }
}

/// `storaged drain`
struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Take the host, a volume, a portal or an initiator out of service.",
        discussion: """
            Port groups become unavailable and initiators move their I/O to other paths; what is in flight is waited for; when \
            their path checkers have had time to see it (--grace), initiators are asked to log out (not those of a volume), \
            those that do not are cut off, and logins are refused until `storaged undrain`. An initiator is asked to log out \
            at once: the state of a port group is one for all initiators. It outlives the daemon (not that of \
            `storaged export`), and can be repeated.

            Exit codes: 0 drained, or was drained already; 1 commands were still in flight at the deadline: it stays drained, \
            nobody was asked to log out, and the same command goes on waiting; others as `storaged --help` says.
            """)

    @OptionGroup var options: DrainOptions
    @Option(help: ArgumentHelp("How long commands in flight are waited for.", valueName: "seconds"))
    var timeout = 60
    @Option(help: ArgumentHelp("How long path checkers have before logouts are asked for.", valueName: "seconds"))
    var grace = 5
    @Option(help: ArgumentHelp("How long initiators have to log out.", valueName: "seconds"))
    var logoutTimeout = 15
    @OptionGroup var control: ControlOptions

    func validate() throws {
        guard (0...86400).contains(timeout) else { throw ValidationError("--timeout must be from 0 to 86400") }
        guard (0...600).contains(grace) else { throw ValidationError("--grace must be from 0 to 600") }
        guard (0...600).contains(logoutTimeout) else { throw ValidationError("--logout-timeout must be from 0 to 600") }
    }

    func run() throws {
        var isComplete = true
        try reportingFailure { () throws(CommandFailure) in
            let begun = try step(.drain)
            var progress = begun.progress
            let sessions = progress.sessions
            if begun.scope.kind != .initiator {
                progress = try wait(progress, seconds: timeout) { $0.inFlight == 0 }
                if progress.inFlight > 0 { isComplete = false }
            }
            if isComplete, begun.isNew, begun.scope.asksForLogout, begun.scope.kind != .initiator {
                progress = try wait(progress, seconds: grace) { $0.sessions == 0 }
            }
            var cutOff = 0
            if isComplete, begun.scope.asksForLogout, progress.sessions > 0 {
                progress = try step(.drainLogout).progress
                progress = try wait(progress, seconds: logoutTimeout) { $0.sessions == 0 }
                cutOff = progress.sessions
                if cutOff > 0 {
                    progress = try step(.drainCutOff).progress
                    progress = try wait(progress, seconds: 5) { $0.sessions == 0 }
                }
            }
            let report = Report(
                scope: begun.scope, outcome: begun.isNew ? "drained" : "already drained",
                sessionsLoggedOut: max(0, sessions - cutOff - progress.sessions), sessionsCutOff: cutOff,
                sessionsLeft: progress.sessions, commandsInFlight: progress.inFlight, isComplete: isComplete)
            if options.json { printPretty(report) } else { printLine(report.text) }
        }
        if !isComplete { throw ExitCode(CommandFailure.Code.failed.rawValue) }
    }

    private func step(_ kind: ControlRequest.Kind) throws(CommandFailure) -> DrainAnswer {
        try DrainCommand.step(kind, options.scope, seconds: logoutTimeout, control)
    }

    static func step(
        _ kind: ControlRequest.Kind, _ scope: DrainScope, seconds: Int = 0, _ control: ControlOptions
    ) throws(CommandFailure) -> DrainAnswer {
        var request = ControlRequest(request: kind)
        request.scope = scope
        request.seconds = seconds
        guard let answer = try ControlClient.result(of: request, at: control.clientPaths).drain else {
            throw CommandFailure(.failed, "storaged answers in a form that this version does not know")
        }
        return answer
    }

    /// Asks until it is so, or the time is over; says on stderr whenever the figures change.
    private func wait(
        _ first: DrainProgress, seconds: Int, until isDone: (DrainProgress) -> Bool
    ) throws(CommandFailure) -> DrainProgress {
        let deadline = monotonicSeconds() + Double(seconds)
        var progress = first
        var told: DrainProgress?
        while !isDone(progress), monotonicSeconds() < deadline {
            if told != progress {
                told = progress
                printError(
                    "storaged: \(counted(progress.sessions, "session")), \(counted(progress.inFlight, "command")) in flight: "
                        + progress.initiators.map(escaped).joined(separator: ", "))
            }
            usleep(100_000)
            progress = try step(.drainProgress).progress
        }
        return progress
    }

    private struct Report: Encodable {
        var schema = "storaged.drain/1"
        var scope: DrainScope
        var outcome: String
        var sessionsLoggedOut: Int
        var sessionsCutOff: Int
        var sessionsLeft: Int
        var commandsInFlight: Int
        var isComplete: Bool

        var text: String {
            var parts: [String] = []
            if sessionsLoggedOut > 0 { parts.append("\(counted(sessionsLoggedOut, "session")) logged out") }
            if sessionsCutOff > 0 { parts.append("\(counted(sessionsCutOff, "session")) cut off") }
            if sessionsLeft > 0 { parts.append("\(counted(sessionsLeft, "session")) still there") }
            if !isComplete {
                parts.append("\(counted(commandsInFlight, "command")) still in flight; run it again to wait longer")
            }
            return "\(escaped(scope.description)) \(outcome)"
                + (parts.isEmpty ? "" : ": " + parts.joined(separator: ", "))
        }
    }
}

/// `storaged undrain`
struct UndrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undrain", abstract: "Put back into service what was drained; the whole host lifts every drain.",
        discussion: "Exit codes: 0 undrained, or nothing was drained; others as `storaged --help` says.")

    @OptionGroup var options: DrainOptions
    @OptionGroup var control: ControlOptions

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            let answer = try DrainCommand.step(.undrain, options.scope, control)
            if options.json {
                printPretty(Report(scope: answer.scope, undrained: answer.lifted, stillDrained: answer.remaining))
                return
            }
            var lines = answer.lifted.map { "\(escaped($0.description)) undrained" }
            if lines.isEmpty { lines.append("\(escaped(answer.scope.description)) was not drained") }
            lines += answer.remaining.map { "still drained: \(escaped($0.description))" }
            printLine(lines.joined(separator: "\n"))
        }
    }

    private struct Report: Encodable {
        var schema = "storaged.undrain/1"
        var scope: DrainScope
        var undrained: [DrainScope]
        var stillDrained: [DrainScope]
    }
}
