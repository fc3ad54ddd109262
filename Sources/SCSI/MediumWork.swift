/// Work on the whole medium that goes on beside commands: SANITIZE (SBC-3 5.24) or FORMAT UNIT (SBC-3 5.4).
public struct MediumWork: Sendable, Equatable {
    /// What happens to every block.
    public enum Effect: Sendable, Equatable {
        /// Deallocated, so that it reads as zeros.
        case erase
        /// Overwritten `count` times with the pattern, repeated; every second time with its complement when
        /// `inverts`. The last pass writes the pattern itself.
        case overwrite(pattern: [UInt8], count: Int, inverts: Bool)
    }

    /// What happens.
    public var effect: Effect
    /// IMMED: GOOD as soon as it has begun, the outcome by sense data later.
    public var answersAtOnce: Bool
    /// A SANITIZE, which nothing but power off stops, and whose failure leaves the medium out of reach; otherwise a FORMAT
    /// UNIT.
    public var isSanitize: Bool
    /// AUSE: after a failure SANITIZE EXIT FAILURE MODE may give the medium back.
    public var allowsExitOfFailure: Bool

    /// Names the work.
    public init(effect: Effect, answersAtOnce: Bool, isSanitize: Bool, allowsExitOfFailure: Bool) {
        self.effect = effect
        self.answersAtOnce = answersAtOnce
        self.isSanitize = isSanitize
        self.allowsExitOfFailure = allowsExitOfFailure
    }

    /// What is pending while it goes on, `progress` of 65536 done.
    func sense(progress: UInt16) -> Sense {
        Sense(.notReady, additionalSenseCode: isSanitize ? 0x041B : 0x0404, pointer: .progress(progress))
    }
}

/// How the medium stands with SANITIZE and FORMAT UNIT.
enum MediumState: Sendable, Equatable {
    case usable
    case beingWorkedOn(MediumWork, progress: UInt16)
    /// What every command hears after a failure; `MediumWork.allowsExitOfFailure` of the SANITIZE that failed.
    case sanitizeFailed(allowsExit: Bool)
    case formatFailed

    /// What commands for the medium end with; nil when they may go on.
    var fault: Sense? {
        switch self {
        case .usable: nil
        case .beingWorkedOn(let work, let progress): work.sense(progress: progress)
        case .sanitizeFailed: .sanitizeCommandFailed
        case .formatFailed: .mediumFormatCorrupted
        }
    }
}

extension LogicalUnit {
    /// Reports how far the work is, in 65536ths.
    public mutating func mediumWorkProgressed(to progress: UInt16) {
        if case .beingWorkedOn(let work, _) = medium { medium = .beingWorkedOn(work, progress: progress) }
    }

    /// Work of a daemon before this one that did not end goes on, from the beginning: a SANITIZE that nobody finished must not
    /// look as if it had been (SBC-3 4.11). Before the first command.
    public mutating func resume(_ work: MediumWork) { medium = .beingWorkedOn(work, progress: 0) }

    /// The work ended. A SANITIZE that failed leaves the unit answering SANITIZE COMMAND FAILED, because nobody knows what
    /// of the old data is left; a FORMAT UNIT that failed, MEDIUM FORMAT CORRUPTED.
    public mutating func mediumWorkEnded(failed: Bool) {
        guard case .beingWorkedOn(let work, _) = medium else { return }
        if !failed {
            medium = .usable
        } else {
            medium = work.isSanitize ? .sanitizeFailed(allowsExit: work.allowsExitOfFailure) : .formatFailed
        }
    }

    /// Whether the command may go on although the medium is not usable: those that need no medium, and those that can
    /// make it usable again.
    func mayPassUnusableMedium(_ cdb: CommandDescriptorBlock) -> Bool {
        switch medium {
        case .usable: true
        case _ where cdb.operationCode == .maintenanceIn: true
        case .beingWorkedOn: false
        case .sanitizeFailed: cdb.operationCode == .sanitize
        case .formatFailed: cdb.operationCode == .sanitize || cdb.operationCode == .formatUnit
        }
    }

    // MARK: SANITIZE

    /// SANITIZE, up to its parameter list. Its reserved fields are looked at: what it does cannot be taken back.
    mutating func beginSanitize(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        if cdb.byte(1) & 0x40 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 6)) }
        for byte in 2..<7 where cdb.byte(byte) != 0 { return .checkCondition(.invalidFieldInCDB(byte: UInt16(byte))) }
        let length = cdb.uint16(at: 7)
        let wantsList = cdb.serviceAction == ServiceAction.sanitizeOverwrite
        let blockLength = UInt16(geometry.blockLengthBytes)
        guard wantsList ? length > 4 && length <= blockLength + 4 : length == 0 else {
            return .checkCondition(.invalidFieldInCDB(byte: 7))
        }
        if let fault = workFault { return .checkCondition(fault) }
        switch cdb.serviceAction {
        case ServiceAction.sanitizeOverwrite: return parameterList(cdb, length: length, expecting: expected)
        case ServiceAction.sanitizeBlockErase: return start(sanitize(cdb, .erase))
        default: return exitFailureMode()
        }
    }

    /// The parameter list of OVERWRITE (SBC-3 5.24.2.2): INVERT, TEST and OVERWRITE COUNT, the pattern's length, the pattern.
    mutating func sanitizeOverwrite(_ cdb: CommandDescriptorBlock, parameterList: RawSpan) -> Execution {
        if let fault = medium.fault ?? workFault { return .checkCondition(fault) }
        let flags = parameterList.byte(0)
        let count = Int(flags & 0x1F)
        let length = Int(parameterList.bigEndian(UInt16.self, at: 2))
        // TEST asks for the vendor's own checks, of which there are none.
        if flags & 0x60 != 0 { return .checkCondition(.invalidFieldInParameterList(byte: 0, bit: 6)) }
        if count == 0 { return .checkCondition(.invalidFieldInParameterList(byte: 0, bit: 4)) }
        guard length > 0, length <= Int(geometry.blockLengthBytes), length <= parameterList.byteCount - 4 else {
            return .checkCondition(.invalidFieldInParameterList(byte: 2))
        }
        let pattern = (4..<4 + length).map { parameterList.byte($0) }
        return start(sanitize(cdb, .overwrite(pattern: pattern, count: count, inverts: flags & 0x80 != 0)))
    }

    private func sanitize(_ cdb: CommandDescriptorBlock, _ effect: MediumWork.Effect) -> MediumWork {
        MediumWork(
            effect: effect, answersAtOnce: cdb.byte(1) & 0x80 != 0, isSanitize: true,
            allowsExitOfFailure: cdb.byte(1) & 0x20 != 0)
    }

    private mutating func exitFailureMode() -> Execution {
        if case .sanitizeFailed(let allowsExit) = medium {
            guard allowsExit else { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4)) }
            medium = .usable
        }
        return .good
    }

    // MARK: FORMAT UNIT

    /// FORMAT UNIT, up to its parameter list. Blocks keep their length, so all it does is to make the unit read as
    /// zeros; defect lists and protection information there are none.
    mutating func beginFormatUnit(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        let flags = cdb.byte(1)
        // FMTPINFO, and CMPLST or a format of a defect list that would be sent.
        if flags & 0xC0 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 7)) }
        if let fault = workFault { return .checkCondition(fault) }
        guard flags & 0x10 != 0 else { return start(format(answersAtOnce: false)) }
        // A short parameter list header has 4 bytes, a long one (LONGLIST) 8.
        return parameterList(cdb, length: flags & 0x20 != 0 ? 8 : 4, expecting: expected)
    }

    /// The parameter list header (SBC-3 5.4.2): options, and no defect list nor initialization pattern behind it.
    mutating func formatUnit(_ cdb: CommandDescriptorBlock, parameterList: RawSpan) -> Execution {
        if let fault = medium.fault ?? workFault { return .checkCondition(fault) }
        if parameterList.byte(0) & 0x07 != 0 { return .checkCondition(.invalidFieldInParameterList(byte: 0, bit: 2)) }
        let options = parameterList.byte(1)
        // IP: an initialization pattern.
        if options & 0x08 != 0 { return .checkCondition(.invalidFieldInParameterList(byte: 1, bit: 3)) }
        let isLong = cdb.byte(1) & 0x20 != 0
        let defects =
            isLong ? parameterList.bigEndian(UInt32.self, at: 4) : UInt32(parameterList.bigEndian(UInt16.self, at: 2))
        if defects != 0 { return .checkCondition(.invalidFieldInParameterList(byte: isLong ? 4 : 2)) }
        return start(format(answersAtOnce: options & 0x02 != 0))
    }

    private func format(answersAtOnce: Bool) -> MediumWork {
        MediumWork(effect: .erase, answersAtOnce: answersAtOnce, isSanitize: false, allowsExitOfFailure: false)
    }

    // MARK: Both

    private var workFault: Sense? {
        if geometry.isReadOnly { return .writeProtected }
        return mode.softwareWriteProtect ? .softwareWriteProtected : failure
    }

    /// From now on no other command reaches the medium.
    private mutating func start(_ work: MediumWork) -> Execution {
        medium = .beingWorkedOn(work, progress: 0)
        return .workOnMedium(work)
    }
}
