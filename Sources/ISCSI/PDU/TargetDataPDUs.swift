/// SCSI Data-In (RFC 7143 section 11.7): data of a read, with the status in the last PDU where all went well.
@frozen
public struct SCSIDataIn: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .scsiDataIn }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A SCSI Data-In without status. `sequence.statSN` is then left 0 by the standard (it is reserved without S).
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, dataSN: UInt32, bufferOffset: UInt32, final: Bool, sequence: TargetSequence,
        dataSegmentLength: Int
    ) {
        header = Self.blank(initiatorTaskTag, final: final)
        targetTransferTag = .reserved
        self.dataSN = dataSN
        self.bufferOffset = bufferOffset
        self.sequence = TargetSequence(
            statSN: SerialNumber(0), expCmdSN: sequence.expCmdSN, maxCmdSN: sequence.maxCmdSN)
        self.dataSegmentLength = dataSegmentLength
    }

    /// The last SCSI Data-In of a command, with its status: it takes a StatSN and saves the SCSI Response.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, dataSN: UInt32, bufferOffset: UInt32, status: UInt8,
        residual: Residual = .none, sequence: TargetSequence, dataSegmentLength: Int
    ) {
        header = Self.blank(initiatorTaskTag)
        targetTransferTag = .reserved
        hasStatus = true
        self.status = status
        self.residual = residual
        self.dataSN = dataSN
        self.bufferOffset = bufferOffset
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// O, U and the residual count together.
    @inlinable
    public var residual: Residual {
        get { Residual(header) }
        set { newValue.write(to: &header) }
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// Only of use with the A bit (section 11.7.4).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The A bit: a SNACK is wanted; error recovery level 1 and above.
    @inlinable
    public var acknowledge: Bool {
        get { header[.acknowledge] }
        set { header[.acknowledge] = newValue }
    }

    /// The S bit: status and residual count, and F is set.
    @inlinable
    public var hasStatus: Bool {
        get { header[.hasStatus] }
        set { header[.hasStatus] = newValue }
    }

    /// The SCSI status; counts only with S (section 11.7.6).
    @inlinable
    public var status: UInt8 {
        get { header[.status] }
        set { header[.status] = newValue }
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

    /// The PDU's number in its command, from 0 (section 11.7.5).
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

/// Logout Response (RFC 7143 section 11.15).
@frozen
public struct LogoutResponse: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .logoutResponse }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Logout Response.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, result: LogoutResult, time2Wait: UInt16 = 0, time2Retain: UInt16 = 0,
        sequence: TargetSequence
    ) {
        header = Self.blank(initiatorTaskTag)
        header[.response] = result.rawValue
        self.time2Wait = time2Wait
        self.time2Retain = time2Retain
        self.sequence = sequence
    }

    /// How it went (section 11.15.1). Nil for a code the standard does not know.
    @inlinable
    public var result: LogoutResult? { LogoutResult(rawValue: header[.response]) }

    /// How many seconds to wait before logging in again (section 11.15.3).
    @inlinable
    public var time2Wait: UInt16 {
        get { header[.time2Wait] }
        set { header[.time2Wait] = newValue }
    }

    /// How many seconds after that tasks are kept (section 11.15.4).
    @inlinable
    public var time2Retain: UInt16 {
        get { header[.time2Retain] }
        set { header[.time2Retain] = newValue }
    }
}

/// Ready To Transfer (RFC 7143 section 11.8): the target asks for a part of a write's data. It takes no StatSN.
@frozen
public struct R2T: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .r2t }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// An R2T. `sequence.statSN` is the next StatSN to be given, which the R2T does not use up.
    @inlinable
    public init(
        initiatorTaskTag: InitiatorTaskTag, targetTransferTag: TargetTransferTag, lun: LogicalUnitNumber,
        r2tSN: UInt32, bufferOffset: UInt32, desiredDataTransferLength: UInt32, sequence: TargetSequence
    ) {
        header = Self.blank(initiatorTaskTag)
        self.targetTransferTag = targetTransferTag
        self.lun = lun
        self.r2tSN = r2tSN
        self.bufferOffset = bufferOffset
        self.desiredDataTransferLength = desiredDataTransferLength
        self.sequence = sequence
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// The tag that the Data-Out PDUs must carry (section 11.8.5).
    @inlinable
    public var targetTransferTag: TargetTransferTag {
        get { header[.targetTransferTag] }
        set { header[.targetTransferTag] = newValue }
    }

    /// The R2T's number in its command, from 0 (section 11.8.3).
    @inlinable
    public var r2tSN: UInt32 {
        get { header[.r2tSN] }
        set { header[.r2tSN] = newValue }
    }

    /// Where the wanted data starts in the command's buffer, in bytes (section 11.8.4).
    @inlinable
    public var bufferOffset: UInt32 {
        get { header[.bufferOffset] }
        set { header[.bufferOffset] = newValue }
    }

    /// How many bytes are wanted: at least 1, at most MaxBurstLength (section 11.8.4).
    @inlinable
    public var desiredDataTransferLength: UInt32 {
        get { header[.desiredDataTransferLength] }
        set { header[.desiredDataTransferLength] = newValue }
    }
}

/// Asynchronous Message (RFC 7143 section 11.9). It takes a StatSN.
@frozen
public struct AsyncMessage: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .asyncMessage }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// An Asynchronous Message.
    @inlinable
    public init(
        event: AsyncEvent, lun: LogicalUnitNumber = .zero, parameter1: UInt16 = 0, parameter2: UInt16 = 0,
        parameter3: UInt16 = 0, sequence: TargetSequence, dataSegmentLength: Int = 0
    ) {
        header = Self.blank(.reserved)
        header[.asyncEvent] = event.rawValue
        self.lun = lun
        self.parameter1 = parameter1
        self.parameter2 = parameter2
        self.parameter3 = parameter3
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// The logical unit.
    @inlinable
    public var lun: LogicalUnitNumber {
        get { header[.lun] }
        set { header[.lun] = newValue }
    }

    /// What happened or is wanted (section 11.9.1). Nil for a code the standard does not know.
    @inlinable
    public var event: AsyncEvent? { AsyncEvent(rawValue: header[.asyncEvent]) }

    /// AsyncVCode (section 11.9.2).
    @inlinable
    public var vendorCode: UInt8 {
        get { header[.asyncVendorCode] }
        set { header[.asyncVendorCode] = newValue }
    }

    /// Parameter1: the CID for a connection drop.
    @inlinable
    public var parameter1: UInt16 {
        get { header[.asyncParameter1] }
        set { header[.asyncParameter1] = newValue }
    }

    /// Parameter2: Time2Wait in seconds for drops.
    @inlinable
    public var parameter2: UInt16 {
        get { header[.asyncParameter2] }
        set { header[.asyncParameter2] = newValue }
    }

    /// Parameter3: Time2Retain in seconds for drops, the deadline in seconds for requests.
    @inlinable
    public var parameter3: UInt16 {
        get { header[.asyncParameter3] }
        set { header[.asyncParameter3] = newValue }
    }
}

/// Reject (RFC 7143 section 11.17). The data segment is the header of the rejected PDU. It takes a StatSN.
@frozen
public struct Reject: TargetView {
    /// The opcode.
    @inlinable
    public static var opcode: Opcode { .reject }
    /// The header behind the view.
    public var header: BasicHeaderSegment
    /// The view of `header`, whose opcode is not looked at.
    @inlinable
    public init(header: BasicHeaderSegment) { self.header = header }

    /// A Reject. The data segment is the rejected header's 48 bytes.
    @inlinable
    public init(
        reason: RejectReason, sequence: TargetSequence, dataSegmentLength: Int = BasicHeaderSegment.lengthBytes
    ) {
        header = Self.blank(.reserved)
        header[.response] = reason.rawValue
        self.sequence = sequence
        self.dataSegmentLength = dataSegmentLength
    }

    /// Why (section 11.17.1). Nil for a code the standard does not know.
    @inlinable
    public var reason: RejectReason? { RejectReason(rawValue: header[.response]) }

    /// DataSN/R2TSN, for SNACK rejects (section 11.17.3).
    @inlinable
    public var dataSN: UInt32 {
        get { header[.dataSN] }
        set { header[.dataSN] = newValue }
    }
}
