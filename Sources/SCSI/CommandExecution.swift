extension LogicalUnit {
    /// Starts a command: checks it, and says what the server has to do.
    ///
    /// Call it for every command that `MediaOperation.decode` does not know, and for all while `requiresInspection`.
    public mutating func begin(
        _ cdb: CommandDescriptorBlock, from nexus: NexusHandle, expecting expected: ExpectedTransfer
    ) -> Execution {
        // SAM-5 5.14: these three neither report nor clear what is pending, except that REQUEST SENSE returns it as
        // data.
        switch cdb.operationCode {
        case .inquiry: return cdb.controlFault.map(Execution.checkCondition) ?? inquiry(cdb, from: nexus)
        case .reportLUNs: return cdb.controlFault.map(Execution.checkCondition) ?? reportLUNs(cdb, from: nexus)
        case .requestSense: return cdb.controlFault.map(Execution.checkCondition) ?? requestSense(cdb, from: nexus)
        default: break
        }
        if let attention = takeAttention(for: nexus) { return .checkCondition(attention.sense) }
        if hasReservationConflict(cdb, from: nexus) { return .status(.reservationConflict, nil) }
        if let fault = accessFault(cdb, from: nexus) { return .checkCondition(fault) }
        if let fault = medium.fault, !mayPassUnusableMedium(cdb) { return .checkCondition(fault) }
        switch MediaOperation.decode(cdb, geometry) {
        case .operation(let operation): return media(operation, expecting: expected)
        case .failed(let sense): return .checkCondition(sense)
        case .notMediaCommand: break
        }
        if cdb.operationCode == .persistentReserveIn || cdb.operationCode == .persistentReserveOut {
            // A service action that is not there is a field of theirs, and no command of its own.
            if let fault = cdb.controlFault { return .checkCondition(fault) }
            return cdb.operationCode == .persistentReserveIn
                ? persistentReserveIn(cdb) : beginPersistentReserveOut(cdb, expecting: expected)
        }
        guard isSupported(cdb) else {
            let knowsCode = supportedCommands.contains { $0.operationCode == cdb.operationCode }
            // SBC-3 5.24 has no service action of SANITIZE that another standard could define.
            if knowsCode, cdb.operationCode == .sanitize { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4)) }
            return .checkCondition(knowsCode ? .invalidServiceAction : .invalidOperationCode)
        }
        if let fault = cdb.controlFault { return .checkCondition(fault) }
        return other(cdb, from: nexus, expecting: expected)
    }

    /// Goes on with a command whose parameter list has arrived. Never answers `.needsParameterList`.
    ///
    /// `parameterList` holds the bytes `.needsParameterList` asked for. Fewer are PARAMETER LIST LENGTH ERROR, more are
    /// not looked at.
    public mutating func finish(
        _ continuation: ParameterListContinuation, parameterList: RawSpan, from nexus: NexusHandle
    ) -> Execution {
        let length = Int(continuation.lengthBytes)
        guard parameterList.byteCount >= length else { return .checkCondition(.parameterListLengthError) }
        let list = parameterList.extracting(first: length)
        switch continuation.cdb.operationCode {
        case .modeSelect6, .modeSelect10: return modeSelect(continuation.cdb, parameterList: list, from: nexus)
        case .unmap: return unmap(parameterList: list)
        case .extendedCopy: return extendedCopy(parameterList: list, from: nexus)
        case .sanitize: return sanitizeOverwrite(continuation.cdb, parameterList: list)
        case .formatUnit: return formatUnit(continuation.cdb, parameterList: list)
        case .maintenanceOut: return setTargetPortGroups(parameterList: list, from: nexus)
        case .persistentReserveOut: return persistentReserveOut(continuation.cdb, parameterList: list)
        default: return .checkCondition(.invalidOperationCode)
        }
    }

    /// The same with the bytes in an array.
    public mutating func finish(
        _ continuation: ParameterListContinuation, parameterList: [UInt8], from nexus: NexusHandle
    ) -> Execution {
        // A view of the array, which outlives the call.
        finish(continuation, parameterList: unsafe parameterList.span.bytes, from: nexus)
    }

    private func media(_ operation: MediaOperation, expecting expected: ExpectedTransfer) -> Execution {
        if operation.isWrite && mode.softwareWriteProtect { return .checkCondition(.softwareWriteProtected) }
        if let fault = operation.expectedDataOutFault(expected.dataOutLengthBytes, geometry) {
            return .checkCondition(fault)
        }
        if let failure { return .checkCondition(failure) }
        return .media(mode.writeCacheEnabled ? operation : operation.writingThrough)
    }

    /// The commands that are neither media commands nor exempt from unit attentions.
    private mutating func other(
        _ cdb: CommandDescriptorBlock, from nexus: NexusHandle, expecting expected: ExpectedTransfer
    ) -> Execution {
        switch cdb.operationCode {
        case .testUnitReady: failure.map(Execution.checkCondition) ?? .good
        case .modeSense6, .modeSense10: modeSense(cdb)
        case .logSense: logSense(cdb)
        case .modeSelect6: beginModeSelect(cdb, length: UInt16(cdb.byte(4)), expecting: expected)
        case .modeSelect10: beginModeSelect(cdb, length: cdb.uint16(at: 7), expecting: expected)
        case .startStopUnit: startStopUnit(cdb)
        case .sendDiagnostic: sendDiagnostic(cdb)
        case .readCapacity10: readCapacity10(cdb)
        case .extendedCopy: beginExtendedCopy(cdb, expecting: expected)
        case .receiveCopyResults: receiveCopyResults(cdb, from: nexus)
        case .sanitize: beginSanitize(cdb, expecting: expected)
        case .formatUnit: beginFormatUnit(cdb, expecting: expected)
        case .preventAllowMediumRemoval: preventAllowMediumRemoval(cdb)
        case .readDefectData10: readDefectData10(cdb)
        case .readDefectData12: readDefectData12(cdb)
        case .unmap: beginUnmap(cdb, expecting: expected)
        case .serviceActionIn16:
            cdb.serviceAction == ServiceAction.readCapacity16 ? readCapacity16(cdb) : getLBAStatus(cdb)
        case .maintenanceIn:
            switch cdb.serviceAction {
            case ServiceAction.reportTargetPortGroups: reportTargetPortGroups(cdb)
            case ServiceAction.reportSupportedOperationCodes: reportSupportedOperationCodes(cdb)
            default: reportSupportedTaskManagementFunctions(cdb)
            }
        case .maintenanceOut: beginSetTargetPortGroups(cdb, expecting: expected)
        case .reserve6, .reserve10: reserve(cdb, from: nexus)
        case .release6, .release10: release(cdb, from: nexus)
        default: .checkCondition(.invalidOperationCode)
        }
    }

    /// Asks for a parameter list of `length` bytes, where there is one and the initiator means to send it.
    func parameterList(
        _ cdb: CommandDescriptorBlock, length: UInt16, expecting expected: ExpectedTransfer
    ) -> Execution {
        if length == 0 { return .good }
        guard expected.dataOutLengthBytes >= length else { return .checkCondition(.parameterListLengthError) }
        return .needsParameterList(
            lengthBytes: Int(length), ParameterListContinuation(cdb: cdb, lengthBytes: length))
    }

    // MARK: Small commands

    /// REQUEST SENSE (SPC-4 6.39): what is pending, and clears it. Everything else went out with the status
    /// (autosense).
    private mutating func requestSense(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        let sense = takeAttention(for: nexus)?.sense ?? failure ?? medium.fault ?? .noSense
        let bytes = sense.encode(descriptorFormat: cdb.byte(1) & 0x01 != 0)
        return .parameterData(bytes.cut(to: Int(cdb.byte(4))))
    }

    /// REPORT LUNS (SPC-4 6.33). It clears a pending REPORTED LUNS DATA HAS CHANGED.
    private mutating func reportLUNs(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        let answer = Self.reportLUNs(cdb, units: visibleUnits)
        if case .parameterData = answer { clear(.reportedLUNsDataChanged, for: nexus) }
        return answer
    }

    /// REPORT LUNS parameter data for a list of units. SELECT REPORT 1 asks for well known units: there are none.
    static func reportLUNs(_ cdb: CommandDescriptorBlock, units: [LogicalUnitNumber]) -> Execution {
        let listed: [LogicalUnitNumber]
        switch cdb.byte(2) {
        case 0, 2: listed = units
        case 1: listed = []
        default: return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 7))
        }
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(listed.count * 8))
        bytes.append(bigEndian: UInt32(0))
        for unit in listed { bytes.append(bigEndian: unit.encoded) }
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 6))))
    }

    /// START STOP UNIT (SBC-3 5.25). A file neither spins nor ejects, and other initiators share it: no command makes
    /// it stop. What an initiator may rely on when it stops a unit is that the cache has been flushed.
    private func startStopUnit(_ cdb: CommandDescriptorBlock) -> Execution {
        let flags = cdb.byte(4)
        // LOEJ: the medium is not removable.
        if flags & 0x02 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 4, bit: 1)) }
        switch flags >> 4 {
        case 0x0, 0x1, 0x2, 0x3, 0x7, 0xA, 0xB: break
        default: return .checkCondition(.invalidFieldInCDB(byte: 4, bit: 7))
        }
        if let failure { return .checkCondition(failure) }
        let stops = flags & 0xF0 == 0 && flags & 0x01 == 0
        let flushes = flags & 0x04 == 0
        guard stops && flushes else { return .good }
        let whole = BlockRange(firstBlock: 0, blockCount: geometry.blockCount)
        return .media(.synchronizeCache(whole, immediate: cdb.byte(1) & 0x01 != 0))
    }

    /// SEND DIAGNOSTIC (SPC-4 6.42): the default self-test, which passes while the store works; no parameter list.
    private func sendDiagnostic(_ cdb: CommandDescriptorBlock) -> Execution {
        if cdb.byte(1) & 0xE0 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 7)) }
        if cdb.uint16(at: 3) != 0 { return .checkCondition(.invalidFieldInCDB(byte: 3)) }
        return failure.map(Execution.checkCondition) ?? .good
    }
}
