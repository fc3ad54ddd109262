/// The negotiated values that the full feature phase moves data by (RFC 7143 section 13), seen from the target.
public struct TransferParameters: Sendable, BitwiseCopyable, Equatable {
    /// Largest data segment the initiator takes (its MaxRecvDataSegmentLength), in bytes.
    public var maximumSendBytes = 8192
    /// Largest data segment we take (our MaxRecvDataSegmentLength), in bytes.
    public var maximumReceiveBytes = 8192
    /// MaxBurstLength, in bytes.
    public var maximumBurstBytes = 262_144
    /// FirstBurstLength, in bytes.
    public var firstBurstBytes = 65_536
    /// Whether unsolicited Data-Out PDUs are forbidden.
    public var initialR2T = true
    /// Whether a command may carry data in its own PDU.
    public var immediateData = true
    /// Whether headers carry a CRC32C.
    public var headerDigest = false
    /// Whether data segments carry a CRC32C.
    public var dataDigest = false

    /// RFC 7143's defaults.
    public init() {}
}

/// A command's place in its connection's task table.
public struct TaskIndex: BitwiseCopyable, Hashable, Sendable {
    /// Index, below `FullFeatureConnection.taskCapacity`.
    public let value: UInt16

    /// Names a place.
    @inlinable public init(_ value: Int) { self.value = UInt16(truncatingIfNeeded: value) }
    /// As an array index.
    @inlinable public var index: Int { Int(value) }
}

/// One command of the connection: what the initiator asked, and how far its data has come.
public struct Task: BitwiseCopyable, Sendable {
    /// Where a task stands.
    public enum State: UInt8, Sendable, BitwiseCopyable {
        /// The place is empty.
        case free
        /// Announced by its PDU; the device server has not said yet what it wants.
        case new
        /// Data-Out is being collected.
        case collecting
        /// Nothing more comes from the initiator; the device server is at work.
        case executing
        /// The answer is decided, but unsolicited data that the initiator announced has to come in and go first.
        case draining
        /// The response is in the output queue.
        case responding
        /// Aborted, while the device server still has work of it in flight. No response will be sent, unless another
        /// initiator did it: see `statusOfAbort`.
        case aborted
    }

    /// Where it stands.
    public internal(set) var state = State.free
    /// Whether the command was marked for immediate delivery (it then holds a reserve place, not a window place).
    public internal(set) var isImmediate = false
    /// Whether the initiator announced data for us (W bit).
    public internal(set) var announcesDataOut = false
    /// Whether the initiator has room for data from us (R bit).
    public internal(set) var expectsDataIn = false
    /// Whether data of it arrived with a wrong digest.
    public internal(set) var dataDigestFailed = false
    /// In `.aborted`: the status that its initiator gets once the last work has ended; 0 for none.
    var statusOfAbort: UInt8 = 0
    /// Whether unsolicited Data-Out PDUs follow.
    var unsolicitedFollows = false
    /// Counts this place's uses, so that a tag of an earlier one is recognised.
    var generation: UInt16 = 0
    /// The initiator's tag.
    public internal(set) var initiatorTaskTag = InitiatorTaskTag.reserved
    /// The addressed unit.
    public internal(set) var lun = LogicalUnitNumber.zero
    /// The command's number.
    public internal(set) var cmdSN = SerialNumber(0)
    /// ExpectedDataTransferLength in bytes.
    public internal(set) var expectedBytes = 0
    /// Data-Out bytes that the device server wants, at most `expectedBytes`.
    public internal(set) var wantedBytes = 0
    /// What the command would move by its CDB, for the residual.
    var commandBytes = 0
    /// Data-Out bytes in, in order from 0.
    public internal(set) var receivedBytes = 0
    /// The end of the unsolicited burst, as far as it may reach.
    var unsolicitedEnd = 0
    /// The end of the burst asked for by R2T, 0 when none is outstanding.
    var solicitedEnd = 0
    /// R2TSN of the next R2T.
    var r2tSN: UInt32 = 0
    /// DataSN the next Data-Out of this burst must have.
    var dataOutSN: UInt32 = 0
    /// DataSN of the next Data-In.
    var dataInSN: UInt32 = 0
    /// Data-In bytes put into PDUs.
    var sentBytes = 0
    /// Bytes of the current Data-In sequence, which MaxBurstLength bounds.
    var sequenceBytes = 0
    /// Whether data comes before any is asked for: with the command, or unsolicited after it.
    public var hasUnsolicitedData: Bool { unsolicitedEnd > 0 }
    /// The first 16 bytes of the CDB as two words in wire order.
    public internal(set) var cdb = InlineArray<2, UInt64>(repeating: 0)
}

/// What the driver is to do about a header, before the data segment behind it is taken in.
public enum Inbound: BitwiseCopyable, Sendable {
    /// A SCSI command: ask the device server, then call `admit` or `respond`. Immediate data (the PDU's data segment)
    /// then goes where `dataPlacement` says.
    case command(TaskIndex)
    /// The data segment is Data-Out of this task, at `offset` of its data; call `dataOutArrived` when it is in.
    case dataOut(TaskIndex, offset: Int)
    /// A NOP-Out whose data segment, cut to `keepBytes`, comes back in `answerPing`.
    case ping(keepBytes: Int)
    /// A Text Request; call `answerText` with the whole data segment.
    case text
    /// A Logout Request: end what is in flight, then call `answerLogout`.
    case logout(LogoutReason)
    /// A task management request: carry it out, then call `answerTaskManagement`.
    case taskManagement(TaskManagement)
    /// Nothing to do; the data segment, if any, is thrown away.
    case ignore
    /// The peer broke a rule from which error recovery level 0 has no way back: send what is queued, close.
    case violation(ProtocolViolation)
}

/// A task management request (RFC 7143 section 11.5).
public struct TaskManagement: BitwiseCopyable, Sendable {
    /// The function; nil for one that the standard does not know.
    public let function: TaskManagementFunction?
    /// The request's tag, which its response carries.
    public let initiatorTaskTag: InitiatorTaskTag
    /// The addressed unit.
    public let lun: LogicalUnitNumber
    /// The task it is about (ABORT TASK).
    public let referencedTaskTag: InitiatorTaskTag
    /// That task's CmdSN.
    public let refCmdSN: SerialNumber
}

/// A rule of RFC 7143 that the peer broke.
public enum ProtocolViolation: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case opcodeUnknown
    case opcodeNotAllowed
    case dataSegmentTooLong
    case immediateDataNotNegotiated
    case immediateDataTooLong
    case unsolicitedDataNotNegotiated
    case unsolicitedDataTooLong
    case dataOutOutOfOrder
    case dataOutTooLong
    case dataOutShort
    case taskTagInUse
    case commandOutOfOrder
    case bidirectionalCommand
    case headerDigest
    case additionalHeaderInvalid
    case textTooLong
    case reservedTaskTag

    /// For the log: what the peer did.
    public var explanation: String {
        switch self {
        case .opcodeUnknown: "sent an unknown opcode"
        case .opcodeNotAllowed: "sent a PDU that this phase or session does not allow"
        case .dataSegmentTooLong: "sent a data segment longer than MaxRecvDataSegmentLength"
        case .immediateDataNotNegotiated: "sent immediate data though ImmediateData=No"
        case .immediateDataTooLong: "sent immediate data beyond FirstBurstLength or the expected length"
        case .unsolicitedDataNotNegotiated: "announced unsolicited data though InitialR2T=Yes"
        case .unsolicitedDataTooLong: "sent unsolicited data beyond FirstBurstLength or the expected length"
        case .dataOutOutOfOrder: "sent Data-Out with a wrong DataSN or buffer offset"
        case .dataOutTooLong: "sent Data-Out beyond what the R2T asked for"
        case .dataOutShort: "ended a Data-Out sequence before what the R2T asked for was sent"
        case .taskTagInUse: "used an initiator task tag that is in use"
        case .commandOutOfOrder: "sent commands of one connection out of CmdSN order"
        case .bidirectionalCommand: "sent a bidirectional command"
        case .headerDigest: "sent a header whose digest is wrong"
        case .additionalHeaderInvalid: "sent a malformed additional header segment"
        case .textTooLong: "sent text beyond the bound"
        case .reservedTaskTag: "used the reserved initiator task tag"
        }
    }
}
