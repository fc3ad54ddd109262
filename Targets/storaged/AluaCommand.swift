import ArgumentParser
import FoundationEssentials
import TargetServer

/// `storaged alua`
struct AluaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alua", abstract: "Set the asymmetric access state of target port groups (SPC-4 5.15).",
        discussion: """
            An implicit transition: initiators hear ASYMMETRIC ACCESS STATE CHANGED. The state outlives the daemon, and that of \
            a drained group counts from its undrain on. Each portal is a group of its own unless rack.yaml gives it a \
            `group:`; `storaged status --json` shows them.
            """)

    @Option(help: ArgumentHelp("Only this volume's groups.", valueName: "name"))
    var volume: String?
    @Option(help: ArgumentHelp("Only the group of this portal.", valueName: "address[:port]"))
    var portal: String?
    @Option(help: ArgumentHelp("Only the group of this number.", valueName: "number"))
    var group: UInt16?
    @Option(
        help: ArgumentHelp(
            "optimized, non-optimized, standby, unavailable, offline or transitioning.", valueName: "state"))
    var state: AccessState
    @Flag(help: "One JSON object of schema storaged.alua.changes/1.")
    var json = false
    @OptionGroup var control: ControlOptions

    func validate() throws {
        if portal != nil && group != nil { throw ValidationError("give --portal or --group, not both") }
    }

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            var request = ControlRequest(request: .alua)
            request.access = AccessRequest(volume: volume, portal: portal, group: group, state: state)
            let changes = try ControlClient.result(of: request, at: control.clientPaths).accessChanges ?? []
            if json {
                printPretty(Report(changes: changes))
            } else {
                printLine(
                    aligned(
                        changes.map { change in
                            let isSame = change.from == change.to
                            return [
                                "volume \(change.volume)", "group \(change.group)",
                                isSame
                                    ? "already \(change.to.rawValue)"
                                    : "\(change.from.rawValue) -> \(change.to.rawValue)",
                                change.isDrained ? "(drained: unavailable until undrained)" : "",
                            ]
                        }
                    ).joined(separator: "\n"))
            }
        }
    }

    private struct Report: Encodable {
        var schema = "storaged.alua.changes/1"
        var changes: [AccessChange]
    }
}

extension AccessState: ExpressibleByArgument {
    /// The standard's name, or a short one.
    public init?(argument: String) {
        switch argument.lowercased() {
        case "optimized", "active": self = .activeOptimized
        case "non-optimized", "nonoptimized": self = .activeNonOptimized
        default: self.init(rawValue: argument.lowercased())
        }
    }
}

extension ControlClient {
    /// The answer of the daemon; its failure is ours.
    static func result(of request: ControlRequest, at paths: [String]) throws(CommandFailure) -> ControlAnswer {
        let answer = try ask(request, at: paths)
        if let failure = answer.failure { throw CommandFailure(failure.code, failure.text) }
        return answer
    }
}

/// JSON for programs, on stdout.
func printPretty(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    if let data = try? encoder.encode(value) { printLine(String(decoding: data, as: UTF8.self)) }
}
