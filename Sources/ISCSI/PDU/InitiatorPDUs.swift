/// NOP-Out (RFC 7143 section 11.18): a ping, or the answer to the target's ping. The data segment is ping data.
@frozen
public struct NOPOut: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .nopOut }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A NOP-Out. A ping of the initiator's has a task tag and no transfer tag; an answer has the transfer tag and LUN
    /// of the NOP-In, no task tag, and is immediate.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, targetTransferTag: TargetTransferTag = .reserved,
        lun: LogicalUnitNumber = .zero, immediate: Bool = true, cmdSN: SerialNumber, expStatSN: SerialNumber,
        dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, immediate: immediate)
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag of the NOP-In that this answers, or reserved (section 11.18.2).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }
}

/// SCSI Command (RFC 7143 section 11.3). The data segment is immediate data.
@frozen
public struct SCSICommand: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .scsiCommand }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A SCSI Command. `final` is false when unsolicited Data-Out PDUs follow.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, lun: LogicalUnitNumber, cdb: InlineArray<16, UInt8>,
        reads: Bool = false, writes: Bool = false, attribute: TaskAttribute = .simple,
        expectedDataTransferLength: UInt32 = 0, cmdSN: SerialNumber, expStatSN: SerialNumber, immediate: Bool = false,
        final: Bool = true, dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, final: final, immediate: immediate)
        self.lun = lun
        self.cdb = cdb
        self.reads = reads
        self.writes = writes
        attributes = attribute.rawValue
        self.expectedDataTransferLength = expectedDataTransferLength
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
        self.dataSegmentLength = dataSegmentLength
    }

    /// The task attribute, or nil for a reserved code.
    @inlinable
    public var attribute: TaskAttribute? { TaskAttribute(rawValue: attributes) }

    /// The first 16 bytes of the CDB (section 11.3.7): bytes 32 to 47 of the header. Longer ones go on in an additional
    /// header segment.
    @inlinable
    public var cdb: InlineArray<16, UInt8> {
        get {
            let words: InlineArray<2, UInt64> = [header.words[4], header.words[5]]
            // Safe: both are 16 bytes of plain data in wire order.
            return unsafe unsafeBitCast(words, to: InlineArray<16, UInt8>.self)
        }
        set {
            // Safe: as above.
            let words = unsafe unsafeBitCast(newValue, to: InlineArray<2, UInt64>.self)
            header.words[4] = words[0]
            header.words[5] = words[1]
        }
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The R bit: the command expects data from the target.
    @inlinable
    public var reads: Bool {
        get { header[.read] }
        set { header[.read] = newValue }
    }

    /// The W bit: the command expects to send data.
    @inlinable
    public var writes: Bool {
        get { header[.write] }
        set { header[.write] = newValue }
    }

    /// ATTR as it stands (section 11.3.1).
    @inlinable
    public var attributes: UInt8 {
        get { header[.attributes] }
        set { header[.attributes] = newValue }
    }

    /// How many bytes the initiator expects to move; of a bidirectional command, to send.
    @inlinable
    public var expectedDataTransferLength: UInt32 {
        get { header[.expectedDataTransferLength] }
        set { header[.expectedDataTransferLength] = newValue }
    }
}

/// Task Management Function Request (RFC 7143 section 11.5).
@frozen
public struct TaskManagementRequest: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .taskManagementRequest }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A task management request.
    @inlinable
    public init(
        function: TaskManagementFunction, initiatorTaskTag: InitiatorTaskTag, lun: LogicalUnitNumber = .zero,
        referencedTaskTag: InitiatorTaskTag = .reserved, refCmdSN: SerialNumber = SerialNumber(0),
        cmdSN: SerialNumber, expStatSN: SerialNumber, immediate: Bool = true
    ) {
        header = Self.blank(initiatorTaskTag, immediate: immediate)
        header[.function] = function.rawValue
        self.lun = lun
        self.referencedTaskTag = referencedTaskTag
        self.refCmdSN = refCmdSN
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The function (section 11.5.1). Nil for a code the standard does not know.
    @inlinable
    public var function: TaskManagementFunction? { TaskManagementFunction(rawValue: header[.function]) }

    /// The task to abort or reassign (section 11.5.4).
    @inlinable
    public var referencedTaskTag: InitiatorTaskTag {
        get { header[.referencedTaskTag] }
        set { header[.referencedTaskTag] = newValue }
    }

    /// The CmdSN of that task (section 11.5.5).
    @inlinable
    public var refCmdSN: SerialNumber {
        get { header[.refCmdSN] }
        set { header[.refCmdSN] = newValue }
    }

    /// The next DataSN or R2TSN expected, for TASK REASSIGN (section 11.5.6).
    @inlinable
    public var expDataSN: UInt32 {
        get { header[.expDataSN] }
        set { header[.expDataSN] = newValue }
    }
}

/// Login Request (RFC 7143 section 11.12). The data segment is text.
@frozen
public struct LoginRequest: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .loginRequest }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Login Request of protocol version 0. A nil `nextStage` leaves T clear.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, isid: ISID, tsih: UInt16 = 0, cid: UInt16 = 0, currentStage: LoginStage,
        nextStage: LoginStage?, continues: Bool = false, cmdSN: SerialNumber, expStatSN: SerialNumber,
        dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, final: nextStage != nil, immediate: true)
        self.continues = continues
        header[.currentStage] = currentStage.rawValue
        header[.nextStage] = nextStage?.rawValue ?? 0
        self.isid = isid
        self.tsih = tsih
        self.cid = cid
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
        self.dataSegmentLength = dataSegmentLength
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

    /// The lowest protocol version the initiator supports (section 11.12.4).
    @inlinable
    public var versionMin: UInt8 {
        get { header[.versionMin] }
        set { header[.versionMin] = newValue }
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

    /// The connection's identifier (section 11.12.7).
    @inlinable
    public var cid: UInt16 {
        get { header[.cid] }
        set { header[.cid] = newValue }
    }
}

/// Text Request (RFC 7143 section 11.10). The data segment is text.
@frozen
public struct TextRequest: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .textRequest }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Text Request.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, targetTransferTag: TargetTransferTag = .reserved,
        lun: LogicalUnitNumber = .zero, final: Bool = true, continues: Bool = false, immediate: Bool = false,
        cmdSN: SerialNumber, expStatSN: SerialNumber, dataSegmentLength: Int = 0
    ) {
        header = Self.blank(initiatorTaskTag, final: final, immediate: immediate)
        self.continues = continues
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag of the response that this continues, or reserved (section 11.10.4).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The C bit: the text goes on in the next request.
    @inlinable
    public var continues: Bool {
        get { header[.continues] }
        set { header[.continues] = newValue }
    }
}

/// SCSI Data-Out (RFC 7143 section 11.7): data of a write, after an R2T or unsolicited. It has no CmdSN.
@frozen
public struct SCSIDataOut: HeaderView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .scsiDataOut }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A SCSI Data-Out. `final` marks the last PDU of the sequence.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, targetTransferTag: TargetTransferTag = .reserved,
        lun: LogicalUnitNumber = .zero, dataSN: UInt32, bufferOffset: UInt32, final: Bool, expStatSN: SerialNumber,
        dataSegmentLength: Int
    ) {
        header = Self.blank(initiatorTaskTag, final: final)
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.dataSN = dataSN
        self.bufferOffset = bufferOffset
        self.expStatSN = expStatSN
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag of the R2T that asked for it, or reserved for unsolicited data (section 11.7.4).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The StatSN that the initiator expects next.
    @inlinable
    public var expStatSN: SerialNumber {
        get { header[.expStatSN] }
        set { header[.expStatSN] = newValue }
    }

    /// The PDU's number in its sequence, from 0 (section 11.7.5).
    @inlinable
    public var dataSN: UInt32 {
        get { header[.dataSN] }
        set { header[.dataSN] = newValue }
    }

    /// Where the data belongs in the command's buffer, in bytes (section 11.7.5).
    @inlinable
    public var bufferOffset: UInt32 {
        get { header[.bufferOffset] }
        set { header[.bufferOffset] = newValue }
    }
}

/// Logout Request (RFC 7143 section 11.14).
@frozen
public struct LogoutRequest: RequestView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .logoutRequest }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Logout Request.
    @inlinable
    public init(
        reason: LogoutReason, cid: UInt16 = 0, initiatorTaskTag: InitiatorTaskTag, cmdSN: SerialNumber,
        expStatSN: SerialNumber, immediate: Bool = true
    ) {
        header = Self.blank(initiatorTaskTag, immediate: immediate)
        header[.logoutReason] = reason.rawValue
        self.cid = cid
        self.cmdSN = cmdSN
        self.expStatSN = expStatSN
    }

    /// Why (section 11.14.1). Nil for a code the standard does not know.
    @inlinable
    public var reason: LogoutReason? { LogoutReason(rawValue: header[.logoutReason]) }

    /// The connection to close (section 11.14.4).
    @inlinable
    public var cid: UInt16 {
        get { header[.cid] }
        set { header[.cid] = newValue }
    }
}

/// SNACK Request (RFC 7143 section 11.16): only error recovery level 1 and above answers it.
@frozen
public struct SNACKRequest: HeaderView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .snackRequest }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A SNACK Request.
    @inlinable
    public init(
        type: SNACKType, initiatorTaskTag: InitiatorTaskTag, lun: LogicalUnitNumber = .zero,
        snackTag: TargetTransferTag = .reserved, expStatSN: SerialNumber, begRun: UInt32, runLength: UInt32
    ) {
        header = Self.blank(initiatorTaskTag)
        header[.snackType] = type.rawValue
        self.lun = lun
        self.snackTag = snackTag
        self.expStatSN = expStatSN
        self.begRun = begRun
        self.runLength = runLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// What is asked for (section 11.16.1). Nil for a code the standard does not know.
    @inlinable
    public var type: SNACKType? { SNACKType(rawValue: header[.snackType]) }

    /// Target Transfer Tag or SNACK Tag (section 11.16.5).
    @inlinable
    public var snackTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The StatSN that the initiator expects next.
    @inlinable
    public var expStatSN: SerialNumber {
        get { header[.expStatSN] }
        set { header[.expStatSN] = newValue }
    }

    /// The first number that is missing (section 11.16.6).
    @inlinable
    public var begRun: UInt32 {
        get { header[.begRun] }
        set { header[.begRun] = newValue }
    }

    /// How many are missing; 0 for all that follow (section 11.16.7).
    @inlinable
    public var runLength: UInt32 {
        get { header[.runLength] }
        set { header[.runLength] = newValue }
    }
}
