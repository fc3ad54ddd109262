/// One command that is served, as REPORT SUPPORTED OPERATION CODES describes it (SPC-4 6.35).
///
/// The same list decides which commands `LogicalUnit.begin` knows, so that the two cannot disagree.
struct SupportedCommand: Sendable {
    var operationCode: OperationCode
    /// For operation codes that have service actions.
    var serviceAction: UInt16?
    /// CDB USAGE DATA: the operation code, then for each byte the bits that are looked at.
    var usage: [UInt8]
    /// Only where blocks can be unmapped.
    var needsThin = false
    /// Served where the standard would not have it: listed on request only, with SUPPORT 5.
    var isVendorSpecific = false
    /// Only where writes can be made whole: see `BlockGeometry.maximumAtomicBlocks`.
    var needsAtomicWrites = false
    /// NOMINAL and RECOMMENDED COMMAND PROCESSING TIMEOUT, in seconds; 0 is "no time is indicated".
    var nominalSeconds: UInt32 = 0
    var recommendedSeconds: UInt32 = 30

    private init(_ operationCode: OperationCode, _ rest: [UInt8], nominal: UInt32 = 1, recommended: UInt32 = 30) {
        self.operationCode = operationCode
        usage = [operationCode.rawValue] + rest
        nominalSeconds = nominal
        recommendedSeconds = recommended
    }

    private init(_ operationCode: OperationCode, serviceAction: UInt16, _ rest: [UInt8]) {
        self.init(operationCode, [UInt8(serviceAction)] + rest)
        self.serviceAction = serviceAction
    }

    private static let unmap: SupportedCommand = {
        var command = Self(.unmap, [0x01, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04])
        command.needsThin = true
        return command
    }()

    /// FORMAT UNIT and SANITIZE erase by deallocating; of a unit that cannot, they are not asked.
    private static let formatUnit: SupportedCommand = {
        var command = Self(.formatUnit, [0xFF, 0, 0, 0, 0x04], nominal: 60, recommended: 3600)
        command.needsThin = true
        return command
    }()

    private static func sanitize(_ action: UInt16) -> SupportedCommand {
        var command = Self(
            .sanitize, [0xE0 | UInt8(action), 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04], nominal: 60, recommended: 3600)
        command.serviceAction = action
        command.needsThin = true
        return command
    }

    private static let writeAtomic: SupportedCommand = {
        var command = Self(.writeAtomic16, [0xF8] + tail16, nominal: 1, recommended: 60)
        command.needsAtomicWrites = true
        return command
    }()

    /// The 32-byte commands belong to type 2 protection, which there is none of; so that WRITE SAME reaches what its 16-byte
    /// form does, it is served all the same. CONTROL is byte 1, the service action bytes 8 and 9; LBA from byte 12 on, the length from byte 28 on.
    private static let writeSame32: SupportedCommand = {
        var usage: [UInt8] = [0x04, 0, 0, 0, 0, 0, 0xFF, 0x00, 0x0D, 0xFF, 0]
        usage +=
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + [0, 0, 0, 0, 0, 0, 0, 0] + [0xFF, 0xFF, 0xFF, 0xFF]
        var command = Self(.variableLength, usage, nominal: 10, recommended: 60)
        command.serviceAction = ServiceAction.writeSame32
        command.isVendorSpecific = true
        return command
    }()

    private static let reportTargetPortGroups: SupportedCommand = {
        var command = Self(
            .maintenanceIn, serviceAction: ServiceAction.reportTargetPortGroups,
            [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04])
        command.usage[1] |= 0xE0  // PARAMETER DATA FORMAT
        return command
    }()

    private static func reserveIn(_ action: UInt16) -> Self {
        Self(.persistentReserveIn, serviceAction: action, [0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04])
    }

    private static func reserveOut(_ action: UInt16) -> Self {
        Self(.persistentReserveOut, serviceAction: action, [0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x04])
    }

    /// LBA and length of the 10, 12 and 16-byte layouts, each with GROUP NUMBER (ignored) and CONTROL (NACA is looked
    /// at).
    private static let tail10: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0xFF, 0xFF, 0x04]
    private static let tail12: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x04]
    private static let tail16: [UInt8] =
        [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x04]

    /// In the order of operation codes and service actions.
    static let all: [SupportedCommand] = [
        Self(.testUnitReady, [0, 0, 0, 0, 0x04]),
        Self(.requestSense, [0x01, 0, 0, 0xFF, 0x04]),
        formatUnit,
        Self(.read6, [0x1F, 0xFF, 0xFF, 0xFF, 0x04]),
        Self(.write6, [0x1F, 0xFF, 0xFF, 0xFF, 0x04]),
        Self(.inquiry, [0x03, 0xFF, 0xFF, 0xFF, 0x04]),
        Self(.modeSelect6, [0x13, 0, 0, 0xFF, 0x04]),
        Self(.reserve6, [0x1F, 0, 0, 0, 0x04]),
        Self(.release6, [0x1F, 0, 0, 0, 0x04]),
        Self(.modeSense6, [0x08, 0xFF, 0xFF, 0xFF, 0x04]),
        Self(.startStopUnit, [0x01, 0, 0, 0xF7, 0x04], nominal: 10, recommended: 60),
        Self(.sendDiagnostic, [0xE4, 0, 0xFF, 0xFF, 0x04]),
        Self(.preventAllowMediumRemoval, [0, 0, 0, 0x03, 0x04]),
        Self(.readCapacity10, [0, 0, 0, 0, 0, 0, 0, 0, 0x04]),
        Self(.read10, [0xF8] + tail10),
        Self(.write10, [0xF8] + tail10),
        Self(.writeAndVerify10, [0xF6] + tail10),
        Self(.verify10, [0xF6] + tail10),
        Self(.prefetch10, [0x02] + tail10),
        Self(.synchronizeCache10, [0x02] + tail10, nominal: 10, recommended: 60),
        Self(.readDefectData10, [0, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, 0x04]),
        Self(.writeSame10, [0xFF] + tail10, nominal: 10, recommended: 60),
        unmap,
        sanitize(ServiceAction.sanitizeOverwrite),
        sanitize(ServiceAction.sanitizeBlockErase),
        sanitize(ServiceAction.sanitizeExitFailureMode),
        Self(.logSense, [0x01, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x04]),
        Self(.modeSelect10, [0x13, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04]),
        Self(.reserve10, [0x1F, 0, 0, 0, 0, 0, 0, 0, 0x04]),
        Self(.release10, [0x1F, 0, 0, 0, 0, 0, 0, 0, 0x04]),
        Self(.modeSense10, [0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0x04]),
        reserveIn(0), reserveIn(1), reserveIn(2), reserveIn(3),
        reserveOut(0), reserveOut(1), reserveOut(2), reserveOut(3), reserveOut(4), reserveOut(5), reserveOut(6),
        reserveOut(7),
        writeSame32,
        Self(
            .extendedCopy, serviceAction: ServiceAction.extendedCopyLID1,
            [0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(
            .receiveCopyResults, serviceAction: ServiceAction.copyStatus,
            [0xFF, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(
            .receiveCopyResults, serviceAction: ServiceAction.operatingParameters,
            [0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(.read16, [0xF8] + tail16),
        Self(
            .compareAndWrite,
            [0xF8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0x00, 0x04]),
        Self(.write16, [0xF8] + tail16),
        Self(.orWrite16, [0xF8] + tail16),
        Self(.writeAndVerify16, [0xF6] + tail16),
        Self(.verify16, [0xF6] + tail16),
        Self(.prefetch16, [0x02] + tail16),
        Self(.synchronizeCache16, [0x02] + tail16, nominal: 10, recommended: 60),
        Self(.writeSame16, [0xFF] + tail16, nominal: 10, recommended: 60),
        writeAtomic,
        Self(
            .serviceActionIn16, serviceAction: ServiceAction.readCapacity16,
            [0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(.serviceActionIn16, serviceAction: ServiceAction.getLBAStatus, tail16),
        Self(.reportLUNs, [0, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        reportTargetPortGroups,
        Self(
            .maintenanceIn, serviceAction: ServiceAction.reportSupportedOperationCodes,
            [0x87, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(
            .maintenanceIn, serviceAction: ServiceAction.reportSupportedTaskManagementFunctions,
            [0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(
            .maintenanceOut, serviceAction: ServiceAction.setTargetPortGroups,
            [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
        Self(.read12, [0xF8] + tail12),
        Self(.write12, [0xF8] + tail12),
        Self(.writeAndVerify12, [0xF6] + tail12),
        Self(.verify12, [0xF6] + tail12),
        Self(.readDefectData12, [0x1F, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04]),
    ]
}

extension LogicalUnit {
    /// What this unit serves.
    var supportedCommands: [SupportedCommand] {
        let (isThin, isAtomic) = (geometry.isThin, geometry.maximumAtomicBlocks > 0)
        return SupportedCommand.all.filter {
            ($0.needsThin ? isThin : true) && ($0.needsAtomicWrites ? isAtomic : true)
        }
    }

    /// Whether the command is one of them.
    func isSupported(_ cdb: CommandDescriptorBlock) -> Bool {
        supportedCommands.contains {
            $0.operationCode == cdb.operationCode
                && ($0.serviceAction == nil || $0.serviceAction == cdb.serviceAction)
        }
    }

    /// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35).
    func reportSupportedOperationCodes(_ cdb: CommandDescriptorBlock) -> Execution {
        let returnTimeouts = cdb.byte(2) & 0x80 != 0
        let code = OperationCode(rawValue: cdb.byte(3))
        let action = cdb.uint16(at: 4)
        let matches = supportedCommands.filter { $0.operationCode == code }
        let hasServiceActions = matches.contains { $0.serviceAction != nil }
        let bytes: [UInt8]
        switch cdb.byte(2) & 0x07 {
        case 0: bytes = allCommands(returnTimeouts: returnTimeouts)
        case 1:
            if hasServiceActions { return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 2)) }
            bytes = Self.oneCommand(matches.first, returnTimeouts: returnTimeouts)
        case 2:
            if !matches.isEmpty && !hasServiceActions {
                return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 2))
            }
            bytes = Self.oneCommand(
                matches.first { $0.serviceAction == action }, returnTimeouts: returnTimeouts)
        case 3:
            // With or without service actions: one without them is found with a REQUESTED SERVICE ACTION of 0.
            bytes = Self.oneCommand(
                matches.first { ($0.serviceAction ?? 0) == action }, returnTimeouts: returnTimeouts)
        default: return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 2))
        }
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 6))))
    }

    /// The all_commands format (SPC-4 6.35.2): 8 bytes a command, 20 with timeouts.
    private func allCommands(returnTimeouts: Bool) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0, 0]
        for command in supportedCommands where !command.isVendorSpecific {
            bytes.append(contentsOf: [command.operationCode.rawValue, 0])
            bytes.append(bigEndian: command.serviceAction ?? 0)
            bytes.append(0)
            // CTDP and SERVACTV.
            bytes.append((returnTimeouts ? 0x02 : 0x00) | (command.serviceAction == nil ? 0x00 : 0x01))
            bytes.append(bigEndian: UInt16(command.usage.count))
            if returnTimeouts { bytes += Self.timeouts(command) }
        }
        bytes.store(UInt32(bytes.count - 4), at: 0)
        return bytes
    }

    /// The one_command format (SPC-4 6.35.3). SUPPORT 1: not supported; 3: as the standard says; 5: in a manner of our own.
    private static func oneCommand(_ command: SupportedCommand?, returnTimeouts: Bool) -> [UInt8] {
        guard let command else { return [0x00, 0x01, 0x00, 0x00] }
        var bytes: [UInt8] = [0x00, (returnTimeouts ? 0x80 : 0x00) | (command.isVendorSpecific ? 0x05 : 0x03)]
        bytes.append(bigEndian: UInt16(command.usage.count))
        bytes += command.usage
        if returnTimeouts { bytes += timeouts(command) }
        return bytes
    }

    /// The command timeouts descriptor (SPC-4 6.35.4): length 10 behind its own two bytes, times in seconds.
    private static func timeouts(_ command: SupportedCommand) -> [UInt8] {
        var bytes: [UInt8] = [0x00, 0x0A, 0x00, 0x00]
        bytes.append(bigEndian: command.nominalSeconds)
        bytes.append(bigEndian: command.recommendedSeconds)
        return bytes
    }

    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36): ABORT TASK, ABORT TASK SET, CLEAR TASK SET and LOGICAL
    /// UNIT RESET. 4 bytes, or 16 with REPD, whose timeouts are "not indicated".
    func reportSupportedTaskManagementFunctions(_ cdb: CommandDescriptorBlock) -> Execution {
        let extended = cdb.byte(2) & 0x80 != 0
        var bytes: [UInt8] = [0xD8, 0x00, 0x00, extended ? 12 : 0]
        if extended { bytes.append(contentsOf: repeatElement(0, count: 12)) }
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 6))))
    }
}
