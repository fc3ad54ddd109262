import Logging

/// Fault injection, as `storaged fault` asks for it.
extension TargetServer {
    /// Adds a rule, which takes effect with the next command. Refused where the configuration does not allow it, and where
    /// the rule names what is not served here.
    public func addFault(_ rule: FaultRule) throws(ServerError) -> FaultRuleReport {
        func refusal(_ cause: String, _ advice: String) -> ServerError {
            ServerError(operation: "add", object: "fault rule", cause: cause, advice: advice)
        }
        guard allowsFaults else {
            throw refusal(
                Self.faultsForbidden,
                "put `faultInjection: true` into the inventory and reload, or start export with --allow-faults")
        }
        if let volume = rule.volume, !serves(volume: volume) {
            throw refusal(Self.faultObjectMissing, "name a volume that `storaged status` lists")
        }
        if let portal = rule.portal, !serves(portal: portal) {
            throw refusal(Self.faultObjectMissing, "name a portal that `storaged status` lists, address and port")
        }
        let report: FaultRuleReport
        do throws(FaultRuleError) {
            report = try shared.faults.add(rule)
        } catch {
            throw refusal(error.description, "correct it and try again")
        }
        shared.publishFaults()
        logger.notice("fault rule \(report.id) added", metadata: Self.metadata(rule))
        return report
    }

    /// The cause of a refusal where nothing allows rules.
    public static let faultsForbidden = "fault injection is not allowed here"
    /// The cause of a refusal of a name that is not served.
    public static let faultObjectMissing = "this host does not serve what it names"

    /// The rules, oldest first.
    public var faults: [FaultRuleReport] { shared.faults.reports }

    /// Removes these rules, or all of them; returns those that were there. Block requests that they hold back go on.
    public func clearFaults(_ ids: [Int]?) -> [FaultRuleReport] {
        let cleared = shared.faults.clear(ids)
        guard !cleared.isEmpty else { return [] }
        shared.publishFaults()
        let rules = Set(cleared.map(\.id))
        shared.endFlips(of: rules)
        for reactor in shared.reactors { reactor.post(.releaseDelayed(rules: rules)) }
        for report in cleared {
            logger.notice(
                "fault rule \(report.id) cleared, \(report.injected) injected", metadata: Self.metadata(report.rule))
        }
        return cleared
    }

    private static func metadata(_ rule: FaultRule) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "effect": "\(rule.effect)", "commands": "\(rule.commands)", "probability": "\(rule.probability)",
            "seed": "\(rule.seed)",
        ]
        metadata["volume"] = rule.volume.map { "\($0)" }
        metadata["initiator"] = rule.initiator.map { "\($0)" }
        metadata["portal"] = rule.portal.map { "\($0)" }
        metadata["count"] = rule.count.map { "\($0)" }
        return metadata
    }
}
