/// Conditions that every I_T nexus must be told of once (SAM-5 5.14). The order of the cases is their priority.
public enum UnitAttention: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED, 29h/00h: the first contact of an I_T nexus with this unit.
    case powerOnOrReset
    /// POWER ON OCCURRED, 29h/01h.
    case powerOn
    /// SCSI BUS RESET OCCURRED, 29h/02h: a target warm or cold reset.
    case busReset
    /// BUS DEVICE RESET FUNCTION OCCURRED, 29h/03h: a LOGICAL UNIT RESET.
    case logicalUnitReset
    /// DEVICE INTERNAL RESET, 29h/04h: the target reset itself.
    case deviceInternalReset
    /// I_T NEXUS LOSS OCCURRED, 29h/07h.
    case nexusLoss
    /// COMMANDS CLEARED BY ANOTHER INITIATOR, 2Fh/00h: CLEAR TASK SET of another I_T nexus.
    case commandsClearedByAnotherInitiator
    /// COMMANDS CLEARED BY DEVICE SERVER, 2Fh/02h: the target dropped them (after standing still for too long).
    case commandsClearedByDeviceServer
    /// REPORTED LUNS DATA HAS CHANGED, 3Fh/0Eh.
    case reportedLUNsDataChanged
    /// INQUIRY DATA HAS CHANGED, 3Fh/03h.
    case inquiryDataChanged
    /// CAPACITY DATA HAS CHANGED, 2Ah/09h.
    case capacityDataChanged
    /// MODE PARAMETERS CHANGED, 2Ah/01h.
    case modeParametersChanged
    /// RESERVATIONS PREEMPTED, 2Ah/03h: CLEAR of another I_T nexus.
    case reservationsPreempted
    /// REGISTRATIONS PREEMPTED, 2Ah/05h: PREEMPT of another I_T nexus removed this one's registration.
    case registrationsPreempted
    /// RESERVATIONS RELEASED, 2Ah/04h: what registrants relied on is gone.
    case reservationsReleased
    /// ASYMMETRIC ACCESS STATE CHANGED, 2Ah/06h.
    case asymmetricAccessStateChanged
    /// IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED, 2Ah/07h: the operator's change could not be kept.
    case implicitTransitionFailed
    /// THIN PROVISIONING SOFT THRESHOLD REACHED, 38h/07h: the file system below runs low.
    case thinProvisioningSoftThresholdReached

    /// The sense an initiator gets.
    public var sense: Sense { Sense(.unitAttention, additionalSenseCode: additionalSenseCode) }

    private var additionalSenseCode: UInt16 {
        switch self {
        case .powerOnOrReset: 0x2900
        case .powerOn: 0x2901
        case .busReset: 0x2902
        case .logicalUnitReset: 0x2903
        case .deviceInternalReset: 0x2904
        case .nexusLoss: 0x2907
        case .commandsClearedByAnotherInitiator: 0x2F00
        case .commandsClearedByDeviceServer: 0x2F02
        case .reportedLUNsDataChanged: 0x3F0E
        case .inquiryDataChanged: 0x3F03
        case .capacityDataChanged: 0x2A09
        case .modeParametersChanged: 0x2A01
        case .asymmetricAccessStateChanged: 0x2A06
        case .implicitTransitionFailed: 0x2A07
        case .reservationsPreempted: 0x2A03
        case .registrationsPreempted: 0x2A05
        case .reservationsReleased: 0x2A04
        case .thinProvisioningSoftThresholdReached: 0x3807
        }
    }

    /// The 29h family: one of them says all that those after it would say (SAM-5 table 45 lets them be dropped).
    var isReset: Bool { rawValue <= Self.nexusLoss.rawValue }
}

/// What is pending for one I_T nexus: a set, so that it stays one word however often something is raised.
struct PendingAttentions: BitwiseCopyable, Sendable, Equatable {
    private var bits: UInt32 = 0

    var isEmpty: Bool { bits == 0 }

    /// The one to report next.
    var first: UnitAttention? {
        bits == 0 ? nil : UnitAttention(rawValue: UInt8(bits.trailingZeroBitCount))
    }

    mutating func insert(_ attention: UnitAttention) {
        if attention.isReset {
            // A reset of higher rank already says it; those of lower rank have nothing to add.
            if let first, first.isReset, first.rawValue < attention.rawValue { return }
            for other in UnitAttention.allCases where other.isReset { remove(other) }
        }
        bits |= 1 << UInt32(attention.rawValue)
    }

    mutating func remove(_ attention: UnitAttention) {
        bits &= ~(1 << UInt32(attention.rawValue))
    }
}
