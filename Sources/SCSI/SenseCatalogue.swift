/// The sense values in use, each with its additional sense code of SPC-4 annex F.
extension Sense {
    // MARK: The command is wrong

    /// NO ADDITIONAL SENSE INFORMATION, 00h/00h: what REQUEST SENSE finds when nothing is pending.
    public static let noSense = Self(.noSense, additionalSenseCode: 0x0000)

    /// INVALID COMMAND OPERATION CODE, 20h/00h.
    public static let invalidOperationCode = Self(
        .illegalRequest, additionalSenseCode: 0x2000, pointer: .commandField(byte: 0, bit: nil))

    /// INVALID COMMAND OPERATION CODE, 20h/00h, for a service action that is not served (SPC-4 counts operation code
    /// and service action as one command).
    public static let invalidServiceAction = Self(
        .illegalRequest, additionalSenseCode: 0x2000, pointer: .commandField(byte: 1, bit: 4))

    /// INVALID FIELD IN CDB, 24h/00h. `byte` and `bit` point at the field's first byte and its highest bit there.
    public static func invalidFieldInCDB(byte: UInt16, bit: UInt8? = nil) -> Self {
        Self(.illegalRequest, additionalSenseCode: 0x2400, pointer: .commandField(byte: byte, bit: bit))
    }

    /// INVALID FIELD IN PARAMETER LIST, 26h/00h.
    public static func invalidFieldInParameterList(byte: UInt16, bit: UInt8? = nil) -> Self {
        Self(.illegalRequest, additionalSenseCode: 0x2600, pointer: .parameterField(byte: byte, bit: bit))
    }

    /// PARAMETER LIST LENGTH ERROR, 1Ah/00h.
    public static let parameterListLengthError = Self(.illegalRequest, additionalSenseCode: 0x1A00)

    /// LOGICAL BLOCK ADDRESS OUT OF RANGE, 21h/00h; `lba` is the first block the command names.
    public static func logicalBlockAddressOutOfRange(_ lba: UInt64) -> Self {
        Self(.illegalRequest, additionalSenseCode: 0x2100, information: lba)
    }

    /// LOGICAL UNIT NOT SUPPORTED, 25h/00h: no unit at that LUN.
    public static let logicalUnitNotSupported = Self(.illegalRequest, additionalSenseCode: 0x2500)

    /// INVALID FIELD IN COMMAND INFORMATION UNIT, 0Eh/03h: the transport's expected data transfer length does not
    /// fit the command; nothing was transferred.
    public static let invalidFieldInCommandInformationUnit = Self(.illegalRequest, additionalSenseCode: 0x0E03)

    /// SAVING PARAMETERS NOT SUPPORTED, 39h/00h.
    public static let savingParametersNotSupported = Self(.illegalRequest, additionalSenseCode: 0x3900)

    /// TOO MANY TARGET DESCRIPTORS, 26h/06h.
    public static let tooManyTargetDescriptors = Self(.illegalRequest, additionalSenseCode: 0x2606)

    /// UNSUPPORTED TARGET DESCRIPTOR TYPE CODE, 26h/07h.
    public static func unsupportedTargetDescriptorType(byte: Int) -> Self {
        Self(
            .illegalRequest, additionalSenseCode: 0x2607,
            pointer: .parameterField(byte: UInt16(truncatingIfNeeded: byte), bit: nil))
    }

    /// TOO MANY SEGMENT DESCRIPTORS, 26h/08h.
    public static let tooManySegmentDescriptors = Self(.illegalRequest, additionalSenseCode: 0x2608)

    /// UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE, 26h/09h.
    public static func unsupportedSegmentDescriptorType(byte: Int) -> Self {
        Self(
            .illegalRequest, additionalSenseCode: 0x2609,
            pointer: .parameterField(byte: UInt16(truncatingIfNeeded: byte), bit: nil))
    }

    /// INLINE DATA LENGTH EXCEEDED, 26h/0Bh: none is taken.
    public static let inlineDataLengthExceeded = Self(.illegalRequest, additionalSenseCode: 0x260B)

    /// OPERATION IN PROGRESS, 00h/16h: a copy of the same LIST IDENTIFIER goes on.
    public static let operationInProgress = Self(.illegalRequest, additionalSenseCode: 0x0016)

    // MARK: A copy stopped

    /// NO ADDITIONAL SENSE INFORMATION, 00h/00h: the segment names blocks that its unit does not have.
    public static let copyAborted = Self(.copyAborted, additionalSenseCode: 0x0000)

    /// THIRD PARTY DEVICE FAILURE, 0Dh/01h: reading or writing a unit was refused, or failed.
    public static let thirdPartyDeviceFailure = Self(.copyAborted, additionalSenseCode: 0x0D01)

    /// COPY TARGET DEVICE NOT REACHABLE, 0Dh/02h: no unit of that name that the initiator may use. Which of the two it is
    /// the answer does not tell.
    public static let copyTargetDeviceNotReachable = Self(.copyAborted, additionalSenseCode: 0x0D02)

    /// INCORRECT COPY TARGET DEVICE TYPE, 0Dh/03h: source and destination have different block lengths.
    public static let incorrectCopyTargetDeviceType = Self(.copyAborted, additionalSenseCode: 0x0D03)

    // MARK: The unit's state forbids it

    /// WRITE PROTECTED, 27h/00h.
    public static let writeProtected = Self(.dataProtect, additionalSenseCode: 0x2700)

    /// LOGICAL UNIT SOFTWARE WRITE PROTECTED, 27h/02h: SWP of the Control mode page is set.
    public static let softwareWriteProtected = Self(.dataProtect, additionalSenseCode: 0x2702)

    /// SPACE ALLOCATION FAILED WRITE PROTECT, 27h/07h: the backing file system is full (SBC-3 4.7.3.6).
    public static let spaceAllocationFailedWriteProtect = Self(.dataProtect, additionalSenseCode: 0x2707)

    /// LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE, 04h/00h.
    public static let notReady = Self(.notReady, additionalSenseCode: 0x0400)

    /// LOGICAL UNIT IS IN PROCESS OF BECOMING READY, 04h/01h: come again.
    public static let becomingReady = Self(.notReady, additionalSenseCode: 0x0401)

    /// LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED, 04h/03h: an operator has to act.
    public static let manualInterventionRequired = Self(.notReady, additionalSenseCode: 0x0403)

    /// SANITIZE COMMAND FAILED, 31h/03h: what is left of the old data is not known.
    public static let sanitizeCommandFailed = Self(.mediumError, additionalSenseCode: 0x3103)

    /// MEDIUM FORMAT CORRUPTED, 31h/00h: FORMAT UNIT did not end.
    public static let mediumFormatCorrupted = Self(.mediumError, additionalSenseCode: 0x3100)

    // MARK: The medium or the target failed

    /// UNRECOVERED READ ERROR, 11h/00h, with the first block that could not be read.
    public static func mediumErrorUnrecoveredRead(_ lba: UInt64) -> Self {
        Self(.mediumError, additionalSenseCode: 0x1100, information: lba)
    }

    /// WRITE ERROR, 0Ch/00h, with the first block that could not be written.
    public static func mediumErrorWrite(_ lba: UInt64) -> Self {
        Self(.mediumError, additionalSenseCode: 0x0C00, information: lba)
    }

    /// WRITE ERROR, 0Ch/00h, for a SYNCHRONIZE CACHE that failed: which blocks were lost is not known.
    public static let mediumErrorSynchronize = Self(.mediumError, additionalSenseCode: 0x0C00)

    /// INTERNAL TARGET FAILURE, 44h/00h.
    public static let internalTargetFailure = Self(.hardwareError, additionalSenseCode: 0x4400)

    /// MISCOMPARE DURING VERIFY OPERATION, 1Dh/00h. `offset` is that of the first differing byte in the data sent.
    public static func miscompare(offset: UInt64) -> Self {
        Self(.miscompare, additionalSenseCode: 0x1D00, information: offset)
    }

    // MARK: The command was aborted

    /// ABORTED COMMAND, NO ADDITIONAL SENSE INFORMATION, 00h/00h.
    public static let abortedCommand = Self(.abortedCommand, additionalSenseCode: 0x0000)

    /// COMMAND TIMEOUT DURING PROCESSING, 2Eh/02h: the store did not answer in time.
    public static let commandTimeoutDuringProcessing = Self(.abortedCommand, additionalSenseCode: 0x2E02)

    /// INTERNAL TARGET FAILURE, 44h/00h, as ABORTED COMMAND: nothing is wrong with the medium, try again.
    public static let abortedInternalTargetFailure = Self(.abortedCommand, additionalSenseCode: 0x4400)

    /// DATA PHASE ERROR, 4Bh/00h.
    public static let dataPhaseError = Self(.abortedCommand, additionalSenseCode: 0x4B00)

    /// NOT ENOUGH UNSOLICITED DATA, 0Ch/0Dh (RFC 7143 11.4.7.2).
    public static let notEnoughUnsolicitedData = Self(.abortedCommand, additionalSenseCode: 0x0C0D)

    /// UNEXPECTED UNSOLICITED DATA, 0Ch/0Ch (RFC 7143 11.4.7.2).
    public static let unexpectedUnsolicitedData = Self(.abortedCommand, additionalSenseCode: 0x0C0C)

    /// PROTOCOL SERVICE CRC ERROR, 47h/05h: a data digest failed (RFC 7143 11.4.7.2).
    public static let protocolServiceCRCError = Self(.abortedCommand, additionalSenseCode: 0x4705)

    /// COMMANDS CLEARED BY ANOTHER INITIATOR, 2Fh/00h; as a unit attention, see `UnitAttention`.
    public static let commandsClearedByAnotherInitiator = Self(.unitAttention, additionalSenseCode: 0x2F00)
}

/// What PERSISTENT RESERVE OUT answers.
extension Sense {
    /// INVALID RELEASE OF PERSISTENT RESERVATION, 26h/04h: RELEASE of the holder, with another type.
    public static let invalidReleaseOfPersistentReservation = Self(.illegalRequest, additionalSenseCode: 0x2604)

    /// INSUFFICIENT REGISTRATION RESOURCES, 55h/04h.
    public static let insufficientRegistrationResources = Self(.illegalRequest, additionalSenseCode: 0x5504)

    /// INSUFFICIENT RESERVATION RESOURCES, 55h/02h: the state cannot be kept on stable storage.
    public static let insufficientReservationResources = Self(.illegalRequest, additionalSenseCode: 0x5502)
}
