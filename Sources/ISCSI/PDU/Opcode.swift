/// What a PDU is: the low six bits of its first byte (RFC 7143 section 11.2.1.2).
@frozen
public enum Opcode: UInt8, Sendable, CaseIterable {
    /// NOP-Out (section 11.18), from the initiator.
    case nopOut = 0x00
    /// SCSI Command (section 11.3), from the initiator.
    case scsiCommand = 0x01
    /// Task Management Function Request (section 11.5), from the initiator.
    case taskManagementRequest = 0x02
    /// Login Request (section 11.12), from the initiator.
    case loginRequest = 0x03
    /// Text Request (section 11.10), from the initiator.
    case textRequest = 0x04
    /// SCSI Data-Out (section 11.7), from the initiator.
    case scsiDataOut = 0x05
    /// Logout Request (section 11.14), from the initiator.
    case logoutRequest = 0x06
    /// SNACK Request (section 11.16), from the initiator.
    case snackRequest = 0x10
    /// NOP-In (section 11.19), from the target.
    case nopIn = 0x20
    /// SCSI Response (section 11.4), from the target.
    case scsiResponse = 0x21
    /// Task Management Function Response (section 11.6), from the target.
    case taskManagementResponse = 0x22
    /// Login Response (section 11.13), from the target.
    case loginResponse = 0x23
    /// Text Response (section 11.11), from the target.
    case textResponse = 0x24
    /// SCSI Data-In (section 11.7), from the target.
    case scsiDataIn = 0x25
    /// Logout Response (section 11.15), from the target.
    case logoutResponse = 0x26
    /// Ready To Transfer (section 11.8), from the target.
    case r2t = 0x31
    /// Asynchronous Message (section 11.9), from the target.
    case asyncMessage = 0x32
    /// Reject (section 11.17), from the target.
    case reject = 0x3f

    /// Whether initiators send this PDU. The others come from targets.
    @inlinable
    public var isFromInitiator: Bool { rawValue < 0x20 }
}

/// Which function a Task Management Function Request asks for (RFC 7143 section 11.5.1, RFC 7144 section 4.3).
@frozen
public enum TaskManagementFunction: UInt8, Sendable, CaseIterable {
    /// ABORT TASK: the task of the Referenced Task Tag.
    case abortTask = 1
    /// ABORT TASK SET: every task of this nexus on the unit.
    case abortTaskSet = 2
    /// CLEAR ACA.
    case clearACA = 3
    /// CLEAR TASK SET: every task of every nexus on the unit.
    case clearTaskSet = 4
    /// LOGICAL UNIT RESET.
    case logicalUnitReset = 5
    /// TARGET WARM RESET: every unit.
    case targetWarmReset = 6
    /// TARGET COLD RESET: every unit, and every connection is dropped.
    case targetColdReset = 7
    /// TASK REASSIGN: error recovery level 2 only.
    case taskReassign = 8
    /// QUERY TASK (RFC 7144).
    case queryTask = 9
    /// QUERY TASK SET (RFC 7144).
    case queryTaskSet = 10
    /// I_T NEXUS RESET (RFC 7144).
    case itNexusReset = 11
    /// QUERY ASYNCHRONOUS EVENT (RFC 7144).
    case queryAsynchronousEvent = 12
}

/// The answer to a task management function (RFC 7143 section 11.6.1, RFC 7144 section 4.3.2).
@frozen
public enum TaskManagementResult: UInt8, Sendable, CaseIterable {
    /// Function complete.
    case functionComplete = 0
    /// Task does not exist.
    case taskDoesNotExist = 1
    /// LUN does not exist.
    case logicalUnitDoesNotExist = 2
    /// Task still allegiant.
    case taskStillAllegiant = 3
    /// Task allegiance reassignment not supported.
    case reassignmentNotSupported = 4
    /// Task management function not supported.
    case functionNotSupported = 5
    /// Function authorization failed.
    case authorizationFailed = 6
    /// Function succeeded: the query functions of RFC 7144.
    case functionSucceeded = 7
    /// Function rejected.
    case functionRejected = 255
}

/// Why an initiator logs out (RFC 7143 section 11.14.1).
@frozen
public enum LogoutReason: UInt8, Sendable, CaseIterable {
    /// Close the session and all its connections.
    case closeSession = 0
    /// Close the connection of the CID field.
    case closeConnection = 1
    /// Remove the connection for recovery.
    case removeConnectionForRecovery = 2
}

/// The answer to a logout (RFC 7143 section 11.15.1).
@frozen
public enum LogoutResult: UInt8, Sendable, CaseIterable {
    /// Connection or session closed successfully.
    case success = 0
    /// CID not found.
    case connectionNotFound = 1
    /// Connection recovery is not supported.
    case recoveryNotSupported = 2
    /// Cleanup failed.
    case cleanupFailed = 3
}

/// Why a target rejects a PDU (RFC 7143 section 11.17.1).
@frozen
public enum RejectReason: UInt8, Sendable, CaseIterable {
    /// Data (payload) digest error.
    case dataDigestError = 0x02
    /// SNACK Reject.
    case snackReject = 0x03
    /// Protocol error, such as a SNACK for what was acknowledged already.
    case protocolError = 0x04
    /// Command not supported.
    case commandNotSupported = 0x05
    /// Immediate command reject: too many immediate commands.
    case immediateCommandReject = 0x06
    /// Task in progress.
    case taskInProgress = 0x07
    /// Invalid data acknowledgement.
    case invalidDataAck = 0x08
    /// Invalid PDU field.
    case invalidPDUField = 0x09
    /// Long operation reject: no resources to build a Target Transfer Tag.
    case longOperationReject = 0x0a
    /// Negotiation reset; obsolete, kept so that it can be named.
    case negotiationReset = 0x0b
    /// Waiting for Logout.
    case waitingForLogout = 0x0c
}

/// What an Asynchronous Message tells (RFC 7143 section 11.9.1).
@frozen
public enum AsyncEvent: UInt8, Sendable, CaseIterable {
    /// A SCSI asynchronous event is in the data segment.
    case scsiEvent = 0
    /// The target requests logout within Parameter3 seconds.
    case logoutRequest = 1
    /// The target will drop the connection of Parameter1; Parameter2 and Parameter3 are Time2Wait and Time2Retain.
    case connectionDrop = 2
    /// The target will drop all connections of the session.
    case sessionDrop = 3
    /// The target asks for parameter negotiation on this connection within Parameter3 seconds.
    case negotiationRequest = 4
    /// All active tasks of the unit are being ended (RFC 7143 section 4.2.3.3: FastAbort).
    case tasksTerminated = 5
    /// Vendor specific.
    case vendorSpecific = 255
}

/// What a SNACK asks for (RFC 7143 section 11.16.1).
@frozen
public enum SNACKType: UInt8, Sendable, CaseIterable {
    /// Data-In or R2T PDUs again.
    case dataOrR2T = 0
    /// Status PDUs again.
    case status = 1
    /// A positive acknowledgement of data.
    case dataACK = 2
    /// Data again, cut anew.
    case resegmentedData = 3
}

/// How a task wants to be queued (RFC 7143 section 11.3.1, SAM-5 section 8.6).
@frozen
public enum TaskAttribute: UInt8, Sendable, CaseIterable {
    /// Untagged: taken as SIMPLE.
    case untagged = 0
    /// SIMPLE.
    case simple = 1
    /// ORDERED.
    case ordered = 2
    /// HEAD OF QUEUE.
    case headOfQueue = 3
    /// ACA.
    case aca = 4
}

/// The iSCSI service response of a SCSI Response (RFC 7143 section 11.4.3).
@frozen
public enum ServiceResponse: UInt8, Sendable, CaseIterable {
    /// Command completed at target; the status byte counts.
    case completedAtTarget = 0
    /// Target failure; the status byte means nothing.
    case targetFailure = 1
}

/// The stages of a login (RFC 7143 section 11.12.3).
@frozen
public enum LoginStage: UInt8, Sendable, CaseIterable {
    /// SecurityNegotiation.
    case securityNegotiation = 0
    /// LoginOperationalNegotiation.
    case operationalNegotiation = 1
    /// FullFeaturePhase.
    case fullFeaturePhase = 3
}
