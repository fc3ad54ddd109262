/// NOP-In (RFC 7143 section 11.19): the answer to a ping, or the target's own ping. The data segment is ping data.
@frozen
public struct NOPIn: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .nopIn }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A NOP-In. An answer has the task tag of the NOP-Out and takes a StatSN; a ping of the target's has no task tag and
    /// does not.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag = .reserved, targetTransferTag: TargetTransferTag = .reserved,
        lun: LogicalUnitNumber = .zero, sequence: TargetSequence, dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag)
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag that the initiator's answer must carry; reserved when none is wanted (section 11.19.1).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }
}

/// SCSI Response (RFC 7143 section 11.4). The data segment is a two-byte length and sense data (section 11.4.7).
@frozen
public struct SCSIResponse: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .scsiResponse }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A SCSI Response.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, response: ServiceResponse = .completedAtTarget, status: UInt8,
        residual: Residual = .none, expDataSN: UInt32 = 0, sequence: TargetSequence, dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag)
        header[.response] = response.rawValue
        self.status = status
        self.residual = residual
        self.expDataSN = expDataSN
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// O, U and the residual count together.
    @inlinable
    public var residual: Residual {
        get { Residual(header) }
        set { newValue.write(to: &header) }
    }

    /// The SCSI status: 0 GOOD, 2 CHECK CONDITION, and so on (section 11.4.2).
    @inlinable
    public var status: UInt8 {
        get { header[.status] }
        set { header[.status] = newValue }
    }

    /// The iSCSI service response (section 11.4.3). Nil for a code the standard does not know.
    @inlinable
    public var response: ServiceResponse? { ServiceResponse(rawValue: header[.response]) }

    /// SNACK Tag (section 11.4.6).
    @inlinable
    public var snackTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The O bit: the device had more data than the initiator expected.
    @inlinable
    public var residualOverflow: Bool {
        get { header[.residualOverflow] }
        set { header[.residualOverflow] = newValue }
    }

    /// The U bit: fewer bytes moved than the initiator expected.
    @inlinable
    public var residualUnderflow: Bool {
        get { header[.residualUnderflow] }
        set { header[.residualUnderflow] = newValue }
    }

    /// By how many bytes; counts only with O or U.
    @inlinable
    public var residualCount: UInt32 {
        get { header[.residualCount] }
        set { header[.residualCount] = newValue }
    }

    /// How many Data-In and R2T PDUs the target sent for the command (section 11.4.8).
    @inlinable
    public var expDataSN: UInt32 {
        get { header[.expDataSN] }
        set { header[.expDataSN] = newValue }
    }

    /// The o bit, of bidirectional commands.
    @inlinable
    public var bidirectionalReadOverflow: Bool {
        get { header[.bidirectionalReadOverflow] }
        set { header[.bidirectionalReadOverflow] = newValue }
    }

    /// The u bit, of bidirectional commands.
    @inlinable
    public var bidirectionalReadUnderflow: Bool {
        get { header[.bidirectionalReadUnderflow] }
        set { header[.bidirectionalReadUnderflow] = newValue }
    }

    /// By how many bytes; counts only with o or u.
    @inlinable
    public var bidirectionalReadResidualCount: UInt32 {
        get { header[.bidirectionalReadResidualCount] }
        set { header[.bidirectionalReadResidualCount] = newValue }
    }
}

/// Task Management Function Response (RFC 7143 section 11.6).
@frozen
public struct TaskManagementResponse: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .taskManagementResponse }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A task management response.
    @inlinable
    public init(initiatorTaskTag: InitiatorTaskTag, result: TaskManagementResult, sequence: TargetSequence) {
        header = Self.blank(initiatorTaskTag)
        header[.response] = result.rawValue
        self.sequence = sequence
    }

    /// How it went (section 11.6.1). Nil for a code the standard does not know.
    @inlinable
    public var result: TaskManagementResult? { TaskManagementResult(rawValue: header[.response]) }
}

/// Login Response (RFC 7143 section 11.13). The data segment is text.
@frozen
public struct LoginResponse: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .loginResponse }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Login Response of protocol version 0. A nil `nextStage` leaves T clear.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, isid: ISID, tsih: UInt16 = 0, currentStage: LoginStage,
        nextStage: LoginStage?, continues: Bool = false, status: LoginStatus = .success, sequence: TargetSequence,
        dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, final: nextStage != nil)
        self.continues = continues
        header[.currentStage] = currentStage.rawValue
        header[.nextStage] = nextStage?.rawValue ?? 0
        self.isid = isid
        self.tsih = tsih
        self.status = status
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// Status-Class and Status-Detail (section 11.13.5).
    @inlinable
    public var status: LoginStatus {
        get { LoginStatus(rawValue: UInt16(header[.statusClass]) << 8 | UInt16(header[.statusDetail])) }
        set {
            header[.statusClass] = newValue.statusClass
            header[.statusDetail] = newValue.statusDetail
        }
    }

    /// The T bit: the sender is ready for the next stage.
    @inlinable
    public var transits: Bool {
        get { header[.transit] }
        set { header[.transit] = newValue }
    }

    /// The C bit: the text goes on in the sender's next PDU.
    @inlinable
    public var continues: Bool {
        get { header[.continues] }
        set { header[.continues] = newValue }
    }

    /// CSG, the stage the PDU belongs to (section 11.12.3). Nil for a code the standard does not know.
    @inlinable
    public var currentStage: LoginStage? { LoginStage(rawValue: header[.currentStage]) }

    /// NSG, the stage that T asks for (section 11.12.3). Nil for a code the standard does not know.
    @inlinable
    public var nextStage: LoginStage? { LoginStage(rawValue: header[.nextStage]) }

    /// The highest protocol version the sender supports (section 11.12.4).
    @inlinable
    public var versionMax: UInt8 {
        get { header[.versionMax] }
        set { header[.versionMax] = newValue }
    }

    /// The version in use (section 11.13.2).
    @inlinable
    public var versionActive: UInt8 {
        get { header[.versionActive] }
        set { header[.versionActive] = newValue }
    }

    /// The initiator's part of the session identifier (section 11.12.5).
    @inlinable
    public var isid: ISID {
        get { header[.isid] }
        set { header[.isid] = newValue }
    }

    /// The target's session identifier: 0 for a new session until the final response (sections 11.12.6, 11.13.3).
    @inlinable
    public var tsih: UInt16 {
        get { header[.tsih] }
        set { header[.tsih] = newValue }
    }
}

/// Text Response (RFC 7143 section 11.11). The data segment is text.
@frozen
public struct TextResponse: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .textResponse }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Text Response.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, targetTransferTag: TargetTransferTag = .reserved,
        lun: LogicalUnitNumber = .zero, final: Bool = true, continues: Bool = false, sequence: TargetSequence,
        dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, final: final)
        self.continues = continues
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag that the next request must carry; reserved in the last response (section 11.11.4).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The C bit: the text goes on in the next response.
    @inlinable
    public var continues: Bool {
        get { header[.continues] }
        set { header[.continues] = newValue }
    }
}
