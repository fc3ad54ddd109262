import Glibc
import Reactor
import SCSI

/// A target port group whose state an operator set.
public struct AccessChange: Sendable, Hashable, Codable {
    /// The volume.
    public var volume: String
    /// TARGET PORT GROUP.
    public var group: UInt16
    /// The state it was in.
    public var from: AccessState
    /// The state it is in now; a drained group stays unavailable and takes this one when it is undrained.
    public var to: AccessState
    /// Whether it is drained.
    public var isDrained: Bool
}

/// What is left of the sessions that a drain concerns.
public struct DrainProgress: Sendable, Hashable, Codable {
    /// Sessions logged in.
    public var sessions: Int
    /// Their commands in flight.
    public var inFlight: Int
    /// Their initiators, each once, in order.
    public var initiators: [String]

    /// Nothing is left.
    public init() {
        sessions = 0
        inFlight = 0
        initiators = []
    }
}

/// Sessions that a new configuration would end.
public struct LostSessions: Sendable, Hashable {
    /// The volume that goes or changes its medium.
    public var volume: String
    /// The initiators logged in to it, each once, in order.
    public var initiators: [String]
}

/// Asymmetric access by the operator's hand: states, drains, and what they do to sessions.
extension TargetServer {
    /// What was set, as it is kept.
    public var accessSettings: AccessSettings { shared.access.settings }

    /// Sets the state of target port groups: an implicit transition, told to every session of the units.
    ///
    /// - Parameters:
    ///   - volume: The volume's name; nil for all.
    ///   - portal: Only the groups of this portal, `10.0.0.1:3260`; nil for all.
    ///   - group: Only the group of this number; nil for all.
    /// - Returns: The groups meant, those that were in the state already too; none when there are none such.
    /// - Throws: When the change cannot be kept. Then nothing has changed, and the sessions hear IMPLICIT ASYMMETRIC ACCESS
    ///   STATE TRANSITION FAILED.
    public func setAccess(
        _ state: AccessState, volume: String? = nil, portal: String? = nil, group: UInt16? = nil
    ) throws(ServerError) -> [AccessChange] {
        var changes: [AccessChange] = []
        let targets = shared.targets.map(\.target).filter { volume == nil || $0.volumeName == volume }
        func meant(_ target: TargetConfiguration) -> [UInt16] {
            let groups = target.portalGroups.filter {
                (portal == nil || $0.portal.description == portal) && (group == nil || $0.group == group)
            }
            return Set(groups.map(\.group)).sorted()
        }
        do throws(ServerError) {
            try shared.access.change { settings throws(ServerError) in
                for target in targets {
                    for group in meant(target) {
                        let set = settings.groups.first { $0.target == target.name && $0.group == group }
                        let isDrained = settings.drains.contains { $0.covers(target, group: group) }
                        changes.append(
                            AccessChange(
                                volume: target.volumeName, group: group, from: set?.state ?? .activeOptimized,
                                to: state,
                                isDrained: isDrained))
                        if (set?.state ?? .activeOptimized) != state {
                            settings.set(state, target: target.name, group: group, isByInitiator: false)
                        }
                    }
                }
            } publish: {
                publish($0)
            }
        } catch {
            for unit in shared.targets where targets.contains(where: { $0.name == unit.target.name }) {
                unit.withUnit { $0.raise(.implicitTransitionFailed) }
            }
            throw error
        }
        return changes
    }

    /// Moves the port groups of a scope to unavailable and has logins to them refused. In-flight commands go on; see
    /// `progress(of:)`, `askForLogout(_:withinSeconds:)` and `cutOff(_:)` for the sessions.
    ///
    /// - Returns: False when the scope was drained already.
    /// - Throws: When it cannot be kept; nothing has changed then.
    public func drain(_ scope: DrainScope) throws(ServerError) -> Bool {
        var isNew = false
        try shared.access.change { settings throws(ServerError) in
            isNew = !settings.drains.contains(scope)
            if isNew { settings.drains.append(scope) }
        } publish: {
            publish($0)
        }
        return isNew
    }

    /// Gives a scope its service back: port groups have the states again that were set for them, logins are taken. The
    /// whole host includes every smaller scope.
    ///
    /// - Returns: The drains that were lifted; none when there was none.
    /// - Throws: When it cannot be kept; nothing has changed then.
    public func undrain(_ scope: DrainScope) throws(ServerError) -> [DrainScope] {
        var lifted: [DrainScope] = []
        try shared.access.change { settings throws(ServerError) in
            lifted = scope.kind == .host ? settings.drains : settings.drains.filter { $0 == scope }
            settings.drains.removeAll { lifted.contains($0) }
        } publish: {
            publish($0)
        }
        return lifted
    }

    /// What is still there of the sessions of a scope.
    public func progress(of scope: DrainScope) -> DrainProgress {
        var progress = DrainProgress()
        var initiators: Set<String> = []
        let targets = Dictionary(shared.targets.map { ($0.target.name, $0.target) }, uniquingKeysWith: { $1 })
        for target in snapshot().targets {
            guard let configuration = targets[target.name] else { continue }
            for session in target.sessions
            where scope.covers(configuration, tag: session.portalGroupTag, initiator: session.initiator) {
                progress.sessions += 1
                progress.inFlight += session.inFlight
                initiators.insert(session.initiator)
            }
        }
        progress.initiators = initiators.sorted()
        return progress
    }

    /// Asks the initiators of a scope's sessions to log out.
    public func askForLogout(_ scope: DrainScope, withinSeconds seconds: UInt16) {
        for owner in owners(of: scope) {
            shared.post(.askForLogout(owner, withinSeconds: seconds), to: owner.reactor)
        }
    }

    /// Ends the sessions of a scope whose initiators did not log out.
    public func cutOff(_ scope: DrainScope) {
        for owner in owners(of: scope) { shared.post(.close(owner, .drained), to: owner.reactor) }
    }

    private func owners(of scope: DrainScope) -> [ConnectionReference] {
        let targets = Dictionary(shared.targets.map { ($0.target.name, $0.target) }, uniquingKeysWith: { $1 })
        return shared.owners { key in
            targets[key.target].map { scope.covers($0, tag: key.portalGroupTag, initiator: key.initiator) } ?? false
        }
    }

    /// Tells the units what the settings now say, and ends the sessions of ports that went offline.
    func publish(_ settings: AccessSettings) {
        for unit in shared.targets {
            let target = unit.target
            let access = settings.access(of: target)
            unit.setAccess(access)
            let offline = target.portalGroups.filter { access[$0.group]?.state == .offline }.map(\.tag)
            if !offline.isEmpty { shared.closeSessions(of: target.name, tags: Set(offline), .portOffline) }
        }
    }

    // MARK: Removal

    /// The sessions that `apply` of a configuration would end because their unit goes or gets another medium, or because
    /// their initiator may not see it any more.
    public func sessionsLost(by configuration: ServerConfiguration) -> [LostSessions] {
        var lost: [LostSessions] = []
        for target in shared.targets.map(\.target) {
            var initiators = shared.initiators(of: target.name)
            if !isLost(target, in: configuration) {
                initiators.removeAll { !isExcluded($0, from: target.name, by: configuration) }
            }
            if !initiators.isEmpty { lost.append(LostSessions(volume: target.volumeName, initiators: initiators)) }
        }
        return lost
    }

    func isLost(_ target: TargetConfiguration, in configuration: ServerConfiguration) -> Bool {
        guard let new = configuration.targets.first(where: { $0.name == target.name }) else { return true }
        return new.store !== target.store || new.wwid != target.wwid || new.blockLengthBytes != target.blockLengthBytes
    }

    /// Whether a configuration takes the sight of a target from an initiator.
    private func isExcluded(_ initiator: String, from target: String, by configuration: ServerConfiguration) -> Bool {
        configuration.targets.contains { $0.name == target && !$0.isVisible(to: initiator) }
    }

    /// Asks initiators that are about to lose the sight of a unit to log out, and waits until they have, at most so long.
    func sayGoodbyeToExcluded(by configuration: ServerConfiguration, withinSeconds seconds: Int) {
        sayGoodbye(withinSeconds: seconds) { isExcluded($0.initiator, from: $0.target, by: configuration) }
    }

    /// Asks the initiators of units that are about to go to log out, and waits until they have, at most so long. Logins to
    /// them are refused from now on until `apply` is through.
    func sayGoodbye(to targets: [TargetConfiguration], withinSeconds seconds: Int) {
        let names = Set(targets.map(\.name))
        shared.access.setLeaving(names)
        // Whoever asks again meanwhile finds no unit: REPORTED LUNS DATA HAS CHANGED (SPC-4 6.33).
        for unit in shared.targets where names.contains(unit.target.name) {
            unit.withUnit { unit in
                unit.visibleUnits = []
                unit.raise(.reportedLUNsDataChanged)
            }
        }
        sayGoodbye(withinSeconds: seconds) { names.contains($0.target) }
    }

    private func sayGoodbye(withinSeconds seconds: Int, to isMeant: (SessionKey) -> Bool) {
        func owners() -> [ConnectionReference] { shared.owners(where: isMeant) }
        for owner in owners() {
            shared.post(
                .askForLogout(owner, withinSeconds: UInt16(clamping: seconds)), to: owner.reactor)
        }
        let deadline = monotonicNanoseconds() + Int64(seconds) * 1_000_000_000
        while !owners().isEmpty, monotonicNanoseconds() < deadline { usleep(20_000) }
    }
}
