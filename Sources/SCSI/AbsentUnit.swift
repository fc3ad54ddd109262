/// Answers for a LUN at which there is no unit (SPC-4 6.6.2, SAM-5 4.7.4): so that an initiator can look at LUN 0 of
/// any target, and learns from REPORT LUNS where units are.
public enum AbsentUnit {
    /// Answers a command. Only `.status` and `.parameterData` come back.
    public static func respond(_ cdb: CommandDescriptorBlock, visibleUnits: [LogicalUnitNumber]) -> Execution {
        switch cdb.operationCode {
        case .inquiry:
            return cdb.controlFault.map(Execution.checkCondition) ?? inquiry(cdb)
        case .reportLUNs:
            return cdb.controlFault.map(Execution.checkCondition)
                ?? LogicalUnit.reportLUNs(cdb, units: visibleUnits)
        case .requestSense:
            if let fault = cdb.controlFault { return .checkCondition(fault) }
            let bytes = Sense.logicalUnitNotSupported.encode(descriptorFormat: cdb.byte(1) & 0x01 != 0)
            return .parameterData(bytes.cut(to: Int(cdb.byte(4))))
        default:
            return .checkCondition(.logicalUnitNotSupported)
        }
    }

    /// PERIPHERAL QUALIFIER 3, DEVICE TYPE 1Fh; of the VPD pages only the list of them.
    private static func inquiry(_ cdb: CommandDescriptorBlock) -> Execution {
        if let fault = InquiryData.fieldFault(cdb) { return .checkCondition(fault) }
        let bytes: [UInt8]
        if cdb.byte(1) & 0x01 == 0 {
            // VERSION SPC-4, HISUP with RESPONSE DATA FORMAT 2, ADDITIONAL LENGTH 31, no names.
            bytes = [0x7F, 0x00, 0x06, 0x12, 31, 0, 0, 0] + [UInt8](repeating: 0x20, count: 28)
        } else if cdb.byte(2) == 0 {
            bytes = [0x7F, 0x00, 0x00, 0x01, 0x00]
        } else {
            return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 7))
        }
        return .parameterData(bytes.cut(to: Int(cdb.uint16(at: 3))))
    }
}
