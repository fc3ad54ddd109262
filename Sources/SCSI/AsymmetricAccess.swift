/// The access that a target port group gives to a logical unit (SPC-4 5.15.2.4): the value of ASYMMETRIC ACCESS STATE.
/// The logical block dependent state (4h) is not served.
public enum AsymmetricAccessState: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Active/optimized: every command.
    case activeOptimized = 0x0
    /// Active/non-optimized: every command, where another group is to be preferred.
    case activeNonOptimized = 0x1
    /// Standby: what tells about the unit, and its reservations; not the medium.
    case standby = 0x2
    /// Unavailable: INQUIRY, REPORT LUNS, REQUEST SENSE, REPORT and SET TARGET PORT GROUPS.
    case unavailable = 0x3
    /// Offline, a secondary state: the ports of the group take no initiator at all.
    case offline = 0xE
    /// Between two states: what is served in every one of them.
    case transitioning = 0xF

    /// Whether every command is served.
    public var isActive: Bool { self == .activeOptimized || self == .activeNonOptimized }

    /// Whether SET TARGET PORT GROUPS may ask for it. Not offline, which would cut its own answer off; transitioning is
    /// no state to ask for (SPC-4 table 325).
    public var canBeSetByInitiators: Bool { self != .offline && self != .transitioning }

    /// What a command that is not served in this state answers: NOT READY and the additional sense of the state.
    var sense: Sense {
        switch self {
        case .activeOptimized, .activeNonOptimized: .noSense
        case .standby: .targetPortInStandbyState
        case .unavailable, .offline: .targetPortInUnavailableState
        case .transitioning: .asymmetricAccessStateTransition
        }
    }

    /// Whether the state serves a command. INQUIRY, REPORT LUNS and REQUEST SENSE are served in all of them.
    func serves(_ cdb: CommandDescriptorBlock) -> Bool {
        let code = cdb.operationCode
        switch self {
        case .activeOptimized, .activeNonOptimized: return true
        case .standby:
            // The capacity is one of the "other commands" that the standard leaves open: an initiator that finds a unit
            // in standby can have its disk there with the right size. RELEASE and RESERVE are not on the list.
            switch code {
            case .modeSelect6, .modeSelect10, .modeSense6, .modeSense10, .sendDiagnostic, .readCapacity10,
                .logSelect, .logSense, .receiveDiagnosticResults, .persistentReserveIn, .persistentReserveOut:
                return true
            case .serviceActionIn16: return cdb.serviceAction == ServiceAction.readCapacity16
            default: return cdb.isTargetPortGroupCommand
            }
        case .unavailable, .offline: return cdb.isTargetPortGroupCommand
        case .transitioning:
            return code == .maintenanceIn && cdb.serviceAction == ServiceAction.reportTargetPortGroups
        }
    }
}

extension CommandDescriptorBlock {
    fileprivate var isTargetPortGroupCommand: Bool {
        switch operationCode {
        case .maintenanceIn: serviceAction == ServiceAction.reportTargetPortGroups
        case .maintenanceOut: serviceAction == ServiceAction.setTargetPortGroups
        default: false
        }
    }
}

/// Why a target port group is in its state: STATUS CODE of REPORT TARGET PORT GROUPS (SPC-4 table 282).
public enum TargetPortGroupStatus: UInt8, BitwiseCopyable, Sendable {
    /// It has been so since the unit began.
    case noStatusAvailable = 0
    /// SET TARGET PORT GROUPS asked for it.
    case alteredByInitiator = 1
    /// The target changed it (its operator did).
    case alteredImplicitly = 2
}

/// State and reason of one target port group.
public struct TargetPortGroupAccess: BitwiseCopyable, Sendable, Equatable {
    /// ASYMMETRIC ACCESS STATE.
    public var state: AsymmetricAccessState
    /// STATUS CODE.
    public var status: TargetPortGroupStatus

    /// A state and why it is so.
    public init(_ state: AsymmetricAccessState, _ status: TargetPortGroupStatus) {
        self.state = state
        self.status = status
    }

    /// What a group is that nobody has changed.
    public static let initial = Self(.activeOptimized, .noStatusAvailable)
}

/// One descriptor of a SET TARGET PORT GROUPS that passed every check.
public struct TargetPortGroupChange: BitwiseCopyable, Sendable, Equatable {
    /// TARGET PORT GROUP.
    public var group: UInt16
    /// The state asked for.
    public var state: AsymmetricAccessState

    /// Asks for a state.
    public init(group: UInt16, state: AsymmetricAccessState) {
        self.group = group
        self.state = state
    }
}

extension LogicalUnit {
    /// What the unit knows of a group.
    public func access(ofGroup group: UInt16) -> TargetPortGroupAccess { groupAccess[group] ?? .initial }

    /// The state that a nexus meets: that of the group of the port it came in by. One that was not announced, or whose
    /// port is gone, meets active/optimized.
    public func accessState(of nexus: NexusHandle) -> AsymmetricAccessState {
        if groupAccess.isEmpty { return .activeOptimized }
        return port(of: nexus).map { access(ofGroup: $0.groupIdentifier).state } ?? .activeOptimized
    }

    /// Whether any group of the unit does not serve every command.
    var restrictsAccess: Bool { groupAccess.values.contains { !$0.state.isActive } }

    /// Gives groups their states; those not named are active/optimized. Tells every nexus ASYMMETRIC ACCESS STATE CHANGED
    /// when a state is another than before, except the one whose SET TARGET PORT GROUPS it was (SPC-4 5.15.2.7).
    public mutating func changeAccess(_ new: [UInt16: TargetPortGroupAccess], from nexus: NexusHandle? = nil) {
        let groups = Set(identity.ports.map(\.groupIdentifier))
        let changed = groups.contains { access(ofGroup: $0).state != (new[$0] ?? .initial).state }
        groupAccess = new
        if changed { raise(.asymmetricAccessStateChanged, except: nexus) }
    }

    /// What a command gets instead of being carried out, where the state of its nexus' port does not serve it.
    func accessFault(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Sense? {
        if !restrictsAccess { return nil }
        let state = accessState(of: nexus)
        return state.serves(cdb) ? nil : state.sense
    }

    // MARK: REPORT TARGET PORT GROUPS

    /// IMPLICIT TRANSITION TIME: the longest that the target takes on its own, in seconds. A change is on stable storage
    /// before it counts, and that is all of it.
    static let implicitTransitionSeconds: UInt8 = 10

    /// REPORT TARGET PORT GROUPS (SPC-4 6.37): in the length only or the extended header format.
    func reportTargetPortGroups(_ cdb: CommandDescriptorBlock) -> Execution {
        let header: [UInt8]
        switch cdb.byte(1) >> 5 {
        case 0: header = [0, 0, 0, 0]
        case 1: header = [0, 0, 0, 0, 0x10, Self.implicitTransitionSeconds, 0, 0]
        default: return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 7))
        }
        var bytes = header
        var groups: [UInt16] = []
        for port in identity.ports where !groups.contains(port.groupIdentifier) { groups.append(port.groupIdentifier) }
        for group in groups.sorted() {
            let ports = identity.ports.filter { $0.groupIdentifier == group }
            let access = access(ofGroup: group)
            bytes.append(access.state.rawValue)  // PREF 0
            bytes.append(0xCF)  // T_SUP, O_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP; LBD_SUP 0
            bytes.append(bigEndian: group)
            bytes.append(contentsOf: [0, access.status.rawValue, 0, UInt8(truncatingIfNeeded: min(ports.count, 255))])
            for port in ports.prefix(255) {
                bytes.append(contentsOf: [0, 0])
                bytes.append(bigEndian: port.relativeIdentifier)
            }
        }
        bytes.store(UInt32(bytes.count - 4), at: 0)
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 6))))
    }

    // MARK: SET TARGET PORT GROUPS

    /// SET TARGET PORT GROUPS (SPC-4 6.45), the part before its parameter list. A length of 0 changes nothing and is no
    /// error.
    func beginSetTargetPortGroups(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        guard let length = UInt16(exactly: cdb.uint32(at: 6)) else {
            return .checkCondition(.invalidFieldInCDB(byte: 6, bit: 7))
        }
        return parameterList(cdb, length: length, expecting: expected)
    }

    /// The parameter list: four reserved bytes, then descriptors of four. All of it is checked before any of it counts.
    /// While the port the command came by is in transition since it was begun, nothing is changed.
    func setTargetPortGroups(parameterList list: RawSpan, from nexus: NexusHandle) -> Execution {
        if accessState(of: nexus) == .transitioning { return .checkCondition(.asymmetricAccessStateTransition) }
        guard list.byteCount >= 4, list.byteCount % 4 == 0 else {
            return .checkCondition(.parameterListLengthError)
        }
        let groups = Set(identity.ports.map(\.groupIdentifier))
        var changes: [TargetPortGroupChange] = []
        for offset in stride(from: 4, to: list.byteCount, by: 4) {
            guard let state = AsymmetricAccessState(rawValue: list.byte(offset) & 0x0F), state.canBeSetByInitiators
            else { return .checkCondition(.invalidFieldInParameterList(byte: UInt16(offset), bit: 3)) }
            let group = list.bigEndian(UInt16.self, at: offset + 2)
            guard groups.contains(group), !changes.contains(where: { $0.group == group }) else {
                return .checkCondition(.invalidFieldInParameterList(byte: UInt16(offset + 2), bit: 7))
            }
            changes.append(TargetPortGroupChange(group: group, state: state))
        }
        return changes.isEmpty ? .good : .setTargetPortGroups(changes)
    }
}

extension Sense {
    /// LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION, 04h/0Ah.
    public static let asymmetricAccessStateTransition = Self(.notReady, additionalSenseCode: 0x040A)

    /// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE, 04h/0Bh.
    public static let targetPortInStandbyState = Self(.notReady, additionalSenseCode: 0x040B)

    /// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE, 04h/0Ch.
    public static let targetPortInUnavailableState = Self(.notReady, additionalSenseCode: 0x040C)

    /// SET TARGET PORT GROUPS COMMAND FAILED, 67h/0Ah: the change could not be kept, or the operator forbids it; nothing
    /// has changed.
    public static let setTargetPortGroupsCommandFailed = Self(.hardwareError, additionalSenseCode: 0x670A)
}
