import SCSI

/// The access that a target port group gives (SPC-4 5.15.2.4), by the standard's names.
public enum AccessState: String, Sendable, Hashable, Codable, CaseIterable {
    /// Every command.
    case activeOptimized = "active/optimized"
    /// Every command, other groups are to be preferred.
    case activeNonOptimized = "active/non-optimized"
    /// No medium commands; what tells about the unit, and reservations.
    case standby = "standby"
    /// Hardly more than INQUIRY.
    case unavailable = "unavailable"
    /// No session at all: those there are end, logins are refused.
    case offline = "offline"
    /// Between two states, commands are to be repeated.
    case transitioning = "transitioning"

    var asymmetricAccess: AsymmetricAccessState {
        switch self {
        case .activeOptimized: .activeOptimized
        case .activeNonOptimized: .activeNonOptimized
        case .standby: .standby
        case .unavailable: .unavailable
        case .offline: .offline
        case .transitioning: .transitioning
        }
    }

    init(_ state: AsymmetricAccessState) {
        self =
            switch state {
            case .activeOptimized: .activeOptimized
            case .activeNonOptimized: .activeNonOptimized
            case .standby: .standby
            case .unavailable: .unavailable
            case .offline: .offline
            case .transitioning: .transitioning
            }
    }
}

/// What an operator takes out of service.
public struct DrainScope: Sendable, Hashable, Codable, CustomStringConvertible {
    /// What `name` names.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// Everything that the daemon serves; the name is the host's.
        case host
        /// A volume, by its name.
        case volume
        /// A portal, `10.0.0.1:3260`, with the portals that share its group.
        case portal
        /// An initiator, by its iSCSI name.
        case initiator
    }

    /// What it is.
    public var kind: Kind
    /// Which one.
    public var name: String

    /// Names something to drain.
    public init(_ kind: Kind, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// `portal 10.0.0.1:3260`
    public var description: String { "\(kind.rawValue) \(name)" }

    /// Whether initiators are asked to log out. Those of a drained volume stay: the state of its paths tells them enough,
    /// and they have it back without a login.
    public var asksForLogout: Bool { kind != .volume }

    /// Whether a session, or a login that wants to become one, is meant.
    func covers(_ target: TargetConfiguration, tag: UInt16, initiator: String) -> Bool {
        if kind == .initiator { return name == initiator }
        guard let group = target.portalGroups.first(where: { $0.tag == tag })?.group else { return false }
        return covers(target, group: group)
    }

    /// Whether a target port group of a target is meant. An initiator is none: its paths keep their state, because the
    /// state of a group is the same for all initiators.
    func covers(_ target: TargetConfiguration, group: UInt16) -> Bool {
        switch kind {
        case .host: true
        case .volume: target.volumeName == name
        case .portal: target.portalGroups.contains { $0.group == group && $0.portal.description == name }
        case .initiator: false
        }
    }
}

/// All that was changed of the access to this host's units, by operators and by SET TARGET PORT GROUPS. It outlives the
/// daemon: whoever makes the server keeps it on stable storage.
public struct AccessSettings: Sendable, Hashable, Codable {
    /// A target port group whose state was set.
    public struct Group: Sendable, Hashable, Codable {
        /// The target's iSCSI name.
        public var target: String
        /// TARGET PORT GROUP.
        public var group: UInt16
        /// Its state while nothing is drained.
        public var state: AccessState
        /// Whether SET TARGET PORT GROUPS set it, or else the operator.
        public var isByInitiator: Bool

        /// A state that was set.
        public init(target: String, group: UInt16, state: AccessState, isByInitiator: Bool) {
            self.target = target
            self.group = group
            self.state = state
            self.isByInitiator = isByInitiator
        }
    }

    /// In the order in which they were set first.
    public var groups: [Group] = []
    /// What is drained, each once.
    public var drains: [DrainScope] = []

    /// Nothing was changed.
    public init() {}

    /// The states of a target's groups; those that are as they began are left out. A drained group is unavailable
    /// whatever was set for it, unless it is offline.
    func access(of target: TargetConfiguration) -> [UInt16: TargetPortGroupAccess] {
        var access: [UInt16: TargetPortGroupAccess] = [:]
        for group in Set(target.portalGroups.map(\.group)) {
            let set = groups.first { $0.target == target.name && $0.group == group }
            if drains.contains(where: { $0.covers(target, group: group) }), set?.state != .offline {
                access[group] = TargetPortGroupAccess(.unavailable, .alteredImplicitly)
            } else if let set {
                access[group] = TargetPortGroupAccess(
                    set.state.asymmetricAccess, set.isByInitiator ? .alteredByInitiator : .alteredImplicitly)
            }
        }
        return access
    }

    /// Why a login is refused; nil when it is not.
    func refusal(_ target: TargetConfiguration, tag: UInt16, initiator: String) -> String? {
        if let drain = drains.first(where: { $0.covers(target, tag: tag, initiator: initiator) }) {
            return "\(drain) is drained"
        }
        let group = target.portalGroups.first { $0.tag == tag }?.group
        let isOffline = groups.contains { $0.target == target.name && $0.group == group && $0.state == .offline }
        return isOffline ? "the target port is offline" : nil
    }

    /// Sets the state of a group.
    mutating func set(_ state: AccessState, target: String, group: UInt16, isByInitiator: Bool) {
        let new = Group(target: target, group: group, state: state, isByInitiator: isByInitiator)
        if let index = groups.firstIndex(where: { $0.target == target && $0.group == group }) {
            groups[index] = new
        } else {
            groups.append(new)
        }
    }
}
