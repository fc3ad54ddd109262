/// Commands of disks with platters or removable media, which a file has neither of: their answers are the truth.
extension LogicalUnit {
    /// PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.17). Nobody can remove the medium, so both states hold at once. The values
    /// 10b and 11b are obsolete.
    func preventAllowMediumRemoval(_ cdb: CommandDescriptorBlock) -> Execution {
        cdb.byte(4) & 0x02 == 0 ? .good : .checkCondition(.invalidFieldInCDB(byte: 4, bit: 1))
    }

    /// READ DEFECT DATA (10) (SBC-3 5.17): a header of 4 bytes, and no address descriptor.
    func readDefectData10(_ cdb: CommandDescriptorBlock) -> Execution {
        let request = cdb.byte(2)
        if let fault = defectFormatFault(request, byte: 2) { return fault }
        return .parameterData([0x00, request & 0x1F, 0x00, 0x00].cut(to: Int(cdb.uint16(at: 7))))
    }

    /// READ DEFECT DATA (12) (SBC-3 5.18): a header of 8 bytes, and no address descriptor, whichever one is asked for.
    func readDefectData12(_ cdb: CommandDescriptorBlock) -> Execution {
        let request = cdb.byte(1)
        if let fault = defectFormatFault(request, byte: 1) { return fault }
        return .parameterData([0x00, request & 0x1F, 0, 0, 0, 0, 0, 0].cut(to: Int(cdb.uint32(at: 6))))
    }

    /// DEFECT LIST FORMAT: an empty list is empty in every format, but 110b is the vendor's and 111b reserved.
    private func defectFormatFault(_ request: UInt8, byte: UInt16) -> Execution? {
        if let failure { return .checkCondition(failure) }
        return request & 0x07 >= 6 ? .checkCondition(.invalidFieldInCDB(byte: byte, bit: 2)) : nil
    }
}
