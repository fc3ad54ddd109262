// Every field of every basic header segment, once: offset, width and section of RFC 7143. Names that mean the same place
// in different PDUs are separate fields, so that a reader finds the name the standard uses.

extension HeaderField where Value == UInt8 {
    /// Opcode. Every PDU: section 11.2.1.2.
    @inlinable
    public static var opcode: Self { Self(byte: 0, lowest: 0, bits: 6) }
    /// ATTR, the task attribute. SCSI Command: section 11.3.1.
    @inlinable
    public static var attributes: Self { Self(byte: 1, lowest: 0, bits: 3) }
    /// Function. Task Management Function Request: section 11.5.1.
    @inlinable
    public static var function: Self { Self(byte: 1, lowest: 0, bits: 7) }
    /// Reason code. Logout Request: section 11.14.1.
    @inlinable
    public static var logoutReason: Self { Self(byte: 1, lowest: 0, bits: 7) }
    /// Type. SNACK Request: section 11.16.1.
    @inlinable
    public static var snackType: Self { Self(byte: 1, lowest: 0, bits: 4) }
    /// CSG, the current stage. Login Request and Response: section 11.12.3.
    @inlinable
    public static var currentStage: Self { Self(byte: 1, lowest: 2, bits: 2) }
    /// NSG, the next stage. Login Request and Response: section 11.12.3.
    @inlinable
    public static var nextStage: Self { Self(byte: 1, lowest: 0, bits: 2) }
    /// Response or reason. SCSI Response 11.4.3, Task Management Function Response 11.6.1, Logout Response
    /// 11.15.1, Reject 11.17.1.
    @inlinable
    public static var response: Self { Self(byte: 2, bytes: 1) }
    /// Version-max. Login Request and Response: section 11.12.4.
    @inlinable
    public static var versionMax: Self { Self(byte: 2, bytes: 1) }
    /// Version-min. Login Request: section 11.12.4.
    @inlinable
    public static var versionMin: Self { Self(byte: 3, bytes: 1) }
    /// Version-active. Login Response: section 11.13.2.
    @inlinable
    public static var versionActive: Self { Self(byte: 3, bytes: 1) }
    /// SCSI status. SCSI Response 11.4.2, SCSI Data-In 11.7.6.
    @inlinable
    public static var status: Self { Self(byte: 3, bytes: 1) }
    /// TotalAHSLength in four-byte words. Every PDU: section 11.2.1.5.
    @inlinable
    public static var totalAHSLength: Self { Self(byte: 4, bytes: 1) }
    /// AsyncEvent. Asynchronous Message: section 11.9.1.
    @inlinable
    public static var asyncEvent: Self { Self(byte: 36, bytes: 1) }
    /// AsyncVCode. Asynchronous Message: section 11.9.2.
    @inlinable
    public static var asyncVendorCode: Self { Self(byte: 37, bytes: 1) }
    /// Status-Class. Login Response: section 11.13.5.
    @inlinable
    public static var statusClass: Self { Self(byte: 36, bytes: 1) }
    /// Status-Detail. Login Response: section 11.13.5.
    @inlinable
    public static var statusDetail: Self { Self(byte: 37, bytes: 1) }
}

extension HeaderField where Value == Bool {
    /// I, immediate delivery. Requests: section 11.2.1.1.
    @inlinable
    public static var immediate: Self { Self(byte: 0, lowest: 6, bits: 1) }
    /// F, the last PDU of a sequence. Every PDU: section 11.2.1.3 (T in login PDUs).
    @inlinable
    public static var final: Self { Self(byte: 1, lowest: 7, bits: 1) }
    /// R, data flows to the initiator. SCSI Command: section 11.3.1.
    @inlinable
    public static var read: Self { Self(byte: 1, lowest: 6, bits: 1) }
    /// W, data flows to the target. SCSI Command: section 11.3.1.
    @inlinable
    public static var write: Self { Self(byte: 1, lowest: 5, bits: 1) }
    /// C, the text goes on in the next PDU. Text 11.10.2 and 11.11.2, Login 11.12.2 and 11.13.
    @inlinable
    public static var continues: Self { Self(byte: 1, lowest: 6, bits: 1) }
    /// T, ready for the next stage. Login Request 11.12.1, Login Response 11.13.
    @inlinable
    public static var transit: Self { Self(byte: 1, lowest: 7, bits: 1) }
    /// A, the target asks for an acknowledgement. SCSI Data-In: section 11.7.2.
    @inlinable
    public static var acknowledge: Self { Self(byte: 1, lowest: 6, bits: 1) }
    /// o, read residual overflow of a bidirectional command. SCSI Response: section 11.4.1.
    @inlinable
    public static var bidirectionalReadOverflow: Self { Self(byte: 1, lowest: 4, bits: 1) }
    /// u, read residual underflow of a bidirectional command. SCSI Response: section 11.4.1.
    @inlinable
    public static var bidirectionalReadUnderflow: Self { Self(byte: 1, lowest: 3, bits: 1) }
    /// O, residual overflow. SCSI Response 11.4.1, SCSI Data-In 11.7.3.
    @inlinable
    public static var residualOverflow: Self { Self(byte: 1, lowest: 2, bits: 1) }
    /// U, residual underflow. SCSI Response 11.4.1, SCSI Data-In 11.7.3.
    @inlinable
    public static var residualUnderflow: Self { Self(byte: 1, lowest: 1, bits: 1) }
    /// S, the PDU carries the status of the command. SCSI Data-In: section 11.7.3.
    @inlinable
    public static var hasStatus: Self { Self(byte: 1, lowest: 0, bits: 1) }
}

extension HeaderField where Value == UInt16 {
    /// TSIH, the target's session identifier. Login Request 11.12.6, Login Response 11.13.3.
    @inlinable
    public static var tsih: Self { Self(byte: 14, bytes: 2) }
    /// CID, the connection's identifier. Login Request 11.12.7, Logout Request 11.14.4.
    @inlinable
    public static var cid: Self { Self(byte: 20, bytes: 2) }
    /// Parameter1. Asynchronous Message: section 11.9.1.
    @inlinable
    public static var asyncParameter1: Self { Self(byte: 38, bytes: 2) }
    /// Parameter2. Asynchronous Message: section 11.9.1.
    @inlinable
    public static var asyncParameter2: Self { Self(byte: 40, bytes: 2) }
    /// Parameter3. Asynchronous Message: section 11.9.1.
    @inlinable
    public static var asyncParameter3: Self { Self(byte: 42, bytes: 2) }
    /// Time2Wait in seconds. Logout Response: section 11.15.3.
    @inlinable
    public static var time2Wait: Self { Self(byte: 40, bytes: 2) }
    /// Time2Retain in seconds. Logout Response: section 11.15.4.
    @inlinable
    public static var time2Retain: Self { Self(byte: 42, bytes: 2) }
}

extension HeaderField where Value == UInt32 {
    /// DataSegmentLength in bytes, without padding. Every PDU: section 11.2.1.6.
    @inlinable
    public static var dataSegmentLength: Self { Self(byte: 5, bytes: 3) }
    /// Expected Data Transfer Length in bytes. SCSI Command: section 11.3.4.
    @inlinable
    public static var expectedDataTransferLength: Self { Self(byte: 20, bytes: 4) }
    /// DataSN. SCSI Data-Out and Data-In 11.7.5; DataSN/R2TSN of a Reject 11.17.3.
    @inlinable
    public static var dataSN: Self { Self(byte: 36, bytes: 4) }
    /// ExpDataSN. SCSI Response 11.4.8, Task Management Function Request 11.5.6.
    @inlinable
    public static var expDataSN: Self { Self(byte: 36, bytes: 4) }
    /// R2TSN. R2T: section 11.8.3.
    @inlinable
    public static var r2tSN: Self { Self(byte: 36, bytes: 4) }
    /// Buffer Offset in bytes. SCSI Data-Out and Data-In 11.7.5, R2T 11.8.4.
    @inlinable
    public static var bufferOffset: Self { Self(byte: 40, bytes: 4) }
    /// BegRun. SNACK Request: section 11.16.6.
    @inlinable
    public static var begRun: Self { Self(byte: 40, bytes: 4) }
    /// Bidirectional Read Residual Count in bytes. SCSI Response: section 11.4.4.
    @inlinable
    public static var bidirectionalReadResidualCount: Self { Self(byte: 40, bytes: 4) }
    /// Residual Count in bytes. SCSI Response 11.4.5, SCSI Data-In 11.7.3.
    @inlinable
    public static var residualCount: Self { Self(byte: 44, bytes: 4) }
    /// Desired Data Transfer Length in bytes. R2T: section 11.8.4.
    @inlinable
    public static var desiredDataTransferLength: Self { Self(byte: 44, bytes: 4) }
    /// RunLength. SNACK Request: section 11.16.7.
    @inlinable
    public static var runLength: Self { Self(byte: 44, bytes: 4) }
}

extension HeaderField where Value == SerialNumber {
    /// CmdSN. Requests: section 11.3.5 and the like.
    @inlinable
    public static var cmdSN: Self { Self(byte: 24, bytes: 4) }
    /// ExpStatSN. Requests and SCSI Data-Out: section 11.3.6 and the like.
    @inlinable
    public static var expStatSN: Self { Self(byte: 28, bytes: 4) }
    /// StatSN. Responses: section 11.4.9 and the like.
    @inlinable
    public static var statSN: Self { Self(byte: 24, bytes: 4) }
    /// ExpCmdSN. Responses: section 11.4.10 and the like.
    @inlinable
    public static var expCmdSN: Self { Self(byte: 28, bytes: 4) }
    /// MaxCmdSN. Responses: section 11.4.11 and the like.
    @inlinable
    public static var maxCmdSN: Self { Self(byte: 32, bytes: 4) }
    /// RefCmdSN. Task Management Function Request: section 11.5.5.
    @inlinable
    public static var refCmdSN: Self { Self(byte: 32, bytes: 4) }
}

extension HeaderField where Value == InitiatorTaskTag {
    /// Initiator Task Tag. Every PDU: section 11.2.1.8.
    @inlinable
    public static var initiatorTaskTag: Self { Self(byte: 16, bytes: 4) }
    /// Referenced Task Tag. Task Management Function Request: section 11.5.4.
    @inlinable
    public static var referencedTaskTag: Self { Self(byte: 20, bytes: 4) }
}

extension HeaderField where Value == TargetTransferTag {
    /// Target Transfer Tag. Data-Out and Data-In 11.7.4, R2T 11.8.5, Text 11.10.4 and 11.11.4, NOP 11.18.1 and
    /// 11.19.1; SNACK Tag of a SCSI Response 11.4.6 and a SNACK Request 11.16.5.
    @inlinable
    public static var targetTransferTag: Self { Self(byte: 20, bytes: 4) }
}

extension HeaderField where Value == LogicalUnitNumber {
    /// LUN. Every PDU that names a unit: section 11.2.1.7.
    @inlinable
    public static var lun: Self { Self(byte: 8, bytes: 8) }
}

extension HeaderField where Value == ISID {
    /// ISID. Login Request 11.12.5, Login Response 11.13.
    @inlinable
    public static var isid: Self { Self(byte: 8, bytes: 6) }
}
