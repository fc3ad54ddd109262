import ArgumentParser
import Rack
import TargetServer

/// `storaged fault`
struct FaultCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault", abstract: "Make units misbehave on purpose, for a drill.",
        discussion: """
            Only where the inventory says `faultInjection: true`, or export was started with --allow-faults. Rules are gone \
            when the daemon ends. `storaged status` warns while one can strike.
            """,
        subcommands: [FaultAddCommand.self, FaultListCommand.self, FaultClearCommand.self])
}

/// `storaged fault add`
struct FaultAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a rule: which commands, how often, and what happens to them.",
        discussion: """
            One of --delay, --sense, --status, --drop, --corrupt-digest and --alua says what happens. With the same seed the same \
            of the commands that match are struck.

            storaged fault add --volume v0 --commands write --delay 200ms
            storaged fault add --volume v0 --commands read --sense 03/11/00 --probability 0.01 --seed 7
            storaged fault add --portal 10.0.0.1:3260 --drop --count 1
            """)

    @Option(help: ArgumentHelp("Commands for this volume only.", valueName: "name"))
    var volume: String?
    @Option(help: ArgumentHelp("Commands of this initiator only, by its iSCSI name.", valueName: "iqn"))
    var initiator: String?
    @Option(help: ArgumentHelp("Commands through this portal only.", valueName: "address[:port]"))
    var portal: String?
    @Option(help: "Which commands: read, write or all.")
    var commands: FaultCommands = .all
    @Option(
        help: ArgumentHelp("The store answers so much later: a slow disk; 1ms to 24h.", valueName: "time"),
        transform: { try FaultEffect.delay(milliseconds: FaultEffect.milliseconds($0)) })
    var delay: FaultEffect?
    @Option(
        help: ArgumentHelp("CHECK CONDITION with this sense data, such as 03/11/00.", valueName: "key/asc/ascq"),
        transform: { try FaultEffect.sense(FaultEffect.sense($0)) })
    var sense: FaultEffect?
    @Option(
        help: ArgumentHelp("This status: busy or task-set-full.", valueName: "status"),
        transform: { try FaultEffect.status($0) })
    var status: FaultEffect?
    @Flag(help: "The connection ends.")
    var drop = false
    @Flag(help: "The next digest of the command is wrong, on connections that have digests.")
    var corruptDigest = false
    @Option(
        help: ArgumentHelp(
            "The port group flips into this state and back: optimized, non-optimized, standby, unavailable, transitioning.",
            valueName: "state"),
        transform: { try FaultEffect.alua(FaultEffect.access($0)) })
    var alua: FaultEffect?
    @Option(help: ArgumentHelp("How likely a command is struck, more than 0 and at most 1.", valueName: "p"))
    var probability = 1.0
    @Option(help: ArgumentHelp("How often it strikes in all; without end otherwise.", valueName: "n"))
    var count: Int?
    @Option(
        help: ArgumentHelp("Where the draws come from; a random number otherwise, which is printed.", valueName: "n"))
    var seed: UInt64?
    @OptionGroup var control: ControlOptions

    private var effects: [FaultEffect] {
        [delay, sense, status, drop ? .drop : nil, corruptDigest ? .corruptDigest : nil, alua].compactMap { $0 }
    }

    func validate() throws {
        guard effects.count == 1 else {
            throw ValidationError("give one of --delay, --sense, --status, --drop, --corrupt-digest and --alua")
        }
        guard probability > 0, probability <= 1 else {
            throw ValidationError("--probability is more than 0 and at most 1")
        }
        if let count, count < 1 { throw ValidationError("--count is at least 1") }
        _ = try portalAddress()
    }

    private func portalAddress() throws -> Rack.PortalAddress? {
        guard let portal else { return nil }
        do throws(NetworkAddressError) {
            return try Rack.PortalAddress(parsing: portal)
        } catch {
            throw ValidationError("--portal \(error); \(error.advice)")
        }
    }

    func run() throws {
        let portal = try portalAddress()
        try reportingFailure { () throws(CommandFailure) in
            var rule = FaultRule(
                volume: volume, initiator: initiator?.lowercased(), commands: commands, effect: effects[0],
                probability: probability, count: count, seed: seed ?? UInt64(UInt32.random(in: 1 ... .max)))
            if let portal {
                let address = try Addresses.literal(portal.address.description)
                rule.portal = ServerPortal(address: address, port: portal.port).description
            }
            var request = ControlRequest(request: .addFault)
            request.fault = rule
            let answer = try ControlClient.result(of: request, at: control.clientPaths)
            guard let added = answer.faults?.first else { throw CommandFailure(.failed, "storaged gave no rule") }
            printLine(FaultTable.rows([added]).joined(separator: "\n"))
            printLine("end it with: storaged fault clear \(added.id)")
        }
    }
}

extension FaultCommands: ExpressibleByArgument {}

/// `storaged fault list`
struct FaultListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the rules, with how often each looked and struck.")

    @Flag(help: "One JSON object of schema storaged.fault/1.")
    var json = false
    @OptionGroup var control: ControlOptions

    private struct List: Encodable {
        var schema = "storaged.fault/1"
        var faults: [FaultRuleReport]
    }

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            let request = ControlRequest(request: .listFaults)
            let answer = try ControlClient.result(of: request, at: control.clientPaths)
            let faults = answer.faults ?? []
            if json {
                printPretty(List(faults: faults))
            } else {
                printLine(faults.isEmpty ? "no fault rules" : FaultTable.rows(faults).joined(separator: "\n"))
            }
        }
    }
}

/// `storaged fault clear`
struct FaultClearCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clear", abstract: "End rules; what they hold back goes on.")

    @Argument(help: ArgumentHelp("Numbers of rules; all rules otherwise.", valueName: "number"))
    var numbers: [Int] = []
    @OptionGroup var control: ControlOptions

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            var request = ControlRequest(request: .clearFaults)
            request.faults = numbers.isEmpty ? nil : numbers
            let answer = try ControlClient.result(of: request, at: control.clientPaths)
            let cleared = answer.faults ?? []
            printLine(cleared.isEmpty ? "no fault rules" : FaultTable.rows(cleared).joined(separator: "\n"))
            let missing = numbers.filter { number in !cleared.contains { $0.id == number } }
            if !missing.isEmpty {
                let list = missing.map(String.init).joined(separator: ", ")
                throw CommandFailure(.missing, "there is no fault rule \(list); look at storaged fault list")
            }
        }
    }
}

/// Fault rules as lines.
enum FaultTable {
    static func rows(_ reports: [FaultRuleReport]) -> [String] {
        aligned(
            reports.map { report in
                let rule = report.rule
                let limit = rule.count.map { " of \($0)" } ?? ""
                return [
                    "fault", "\(report.id)", rule.effect.description, rule.commands.rawValue,
                    rule.volume.map { "volume \(escaped($0))" } ?? "",
                    rule.initiator.map { "initiator \(escaped($0))" } ?? "",
                    rule.portal.map { "portal \(escaped($0))" } ?? "",
                    rule.probability < 1 ? "probability \(rule.probability)" : "", "seed \(rule.seed)",
                    "\(report.injected)\(limit) injected", "\(report.matched) matched", report.spent ? "spent" : "",
                ]
            })
    }
}

/// The daemon's side.
func answerFault(_ request: ControlRequest, _ server: TargetServer) -> ControlAnswer {
    switch request.request {
    case .addFault:
        guard let rule = request.fault else {
            return ControlAnswer(failure: CommandFailure(.failed, "fault-add wants a rule, in \"fault\""))
        }
        do throws(ServerError) {
            return ControlAnswer(faults: [try server.addFault(rule)])
        } catch {
            let code: CommandFailure.Code =
                switch error.cause {
                case TargetServer.faultsForbidden: .noPermission
                case TargetServer.faultObjectMissing: .missing
                default: .failed
                }
            return ControlAnswer(failure: CommandFailure(code, error.description))
        }
    case .clearFaults: return ControlAnswer(faults: server.clearFaults(request.faults))
    default: return ControlAnswer(faults: server.faults)
    }
}
