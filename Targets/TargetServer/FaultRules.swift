import SCSI
import Synchronization

extension LogicalUnitFlags {
    /// A fault rule looks at the unit's commands. The server's own, beside those of the unit's state machine.
    static let injectsFaults = Self(rawValue: 1 << 30)
}

/// What the rules decided for one command.
struct FaultStrike: Sendable {
    /// The rules that struck, for the log.
    var rules: [Int] = []
    /// The rule whose delay it is, and how long.
    var delay: (rule: Int, milliseconds: Int)?
    var corruptsDigest = false
    /// The rules that flip the port group's state.
    var flips: [(rule: Int, state: AccessState)] = []
    /// What ends the command; nil lets it go on.
    var end: FaultEffect?
    /// A rule reached its count with it.
    var spentARule = false
}

/// The fault rules of a server, in memory only. A command comes here when its unit's flags say that a rule is about it;
/// there is one lock, which a drill can afford.
final class FaultRules: Sendable {
    /// Rules at a time.
    static let maximumRules = 64

    /// What of a command the rules look at.
    struct Command {
        var volume: String
        var initiator: String
        var portal: String
        var descriptor: CommandDescriptorBlock
        /// Whether any PDU that answers it carries a digest.
        var hasDigest: Bool
    }

    private struct Active: Sendable {
        let id: Int
        let rule: FaultRule
        var draw: FaultDraw
        var matched: UInt64 = 0
        var injected: UInt64 = 0

        var isSpent: Bool { rule.count.map { injected >= UInt64($0) } ?? false }

        var report: FaultRuleReport {
            FaultRuleReport(id: id, rule: rule, matched: matched, injected: injected, spent: isSpent)
        }

        func matches(_ command: Command) -> Bool {
            if let volume = rule.volume, volume != command.volume { return false }
            if let initiator = rule.initiator, initiator != command.initiator { return false }
            if let portal = rule.portal, portal != command.portal { return false }
            if case .corruptDigest = rule.effect, !command.hasDigest { return false }
            return rule.commands.include(command.descriptor)
        }
    }

    private struct State: Sendable {
        var nextID = 1
        var rules: [Active] = []
    }

    private let state = Mutex(State())

    func add(_ rule: FaultRule) throws(FaultRuleError) -> FaultRuleReport {
        try rule.validate()
        let report: FaultRuleReport? = state.withLock { state in
            guard state.rules.count < Self.maximumRules else { return nil }
            let active = Active(
                id: state.nextID, rule: rule, draw: FaultDraw(seed: rule.seed, probability: rule.probability))
            state.nextID += 1
            state.rules.append(active)
            return active.report
        }
        guard let report else {
            throw FaultRuleError("there are \(Self.maximumRules) rules already; clear some (storaged fault clear)")
        }
        return report
    }

    var reports: [FaultRuleReport] { state.withLock { $0.rules.map(\.report) } }

    /// Removes these rules, or all of them; those that were there.
    func clear(_ ids: [Int]?) -> [FaultRuleReport] {
        state.withLock { state in
            let removed = state.rules.filter { ids?.contains($0.id) ?? true }
            state.rules.removeAll { ids?.contains($0.id) ?? true }
            return removed.map(\.report)
        }
    }

    /// Whether the rule is still there, spent or not.
    func hold(_ id: Int) -> Bool { state.withLock { $0.rules.contains { $0.id == id } } }

    /// Whether a rule that is not spent may be about commands of the volume.
    func concern(volume: String) -> Bool {
        state.withLock { $0.rules.contains { !$0.isSpent && ($0.rule.volume ?? volume) == volume } }
    }

    /// Asks every rule that is about the command, in the order of their numbers. Delays and digests add up; the first rule
    /// that ends the command is the last that is asked.
    func strike(_ command: Command) -> FaultStrike {
        state.withLock { state in
            var strike = FaultStrike()
            for index in state.rules.indices {
                guard !state.rules[index].isSpent, state.rules[index].matches(command) else { continue }
                state.rules[index].matched += 1
                guard state.rules[index].draw.strikes() else { continue }
                state.rules[index].injected += 1
                let active = state.rules[index]
                strike.rules.append(active.id)
                if active.isSpent { strike.spentARule = true }
                switch active.rule.effect {
                case .delay(let milliseconds):
                    if strike.delay.map({ $0.milliseconds < milliseconds }) ?? true {
                        strike.delay = (active.id, milliseconds)
                    }
                case .alua(let state): strike.flips.append((active.id, state))
                case .corruptDigest: strike.corruptsDigest = true
                case .sense, .busy, .taskSetFull, .drop:
                    strike.end = active.rule.effect
                    return strike
                }
            }
            return strike
        }
    }
}
