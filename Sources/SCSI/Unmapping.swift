extension LogicalUnit {
    /// UNMAP (SBC-3 5.26), the part before its parameter list.
    func beginUnmap(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        // ANCHOR asks for ANC_SUP, which VPD page B2h does not report.
        if cdb.byte(1) & 0x01 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 0)) }
        if let fault = unmapFault { return .checkCondition(fault) }
        return parameterList(cdb, length: cdb.uint16(at: 7), expecting: expected)
    }

    /// What may have changed while the parameter list was on its way.
    private var unmapFault: Sense? {
        if geometry.isReadOnly { return .writeProtected }
        if mode.softwareWriteProtect { return .softwareWriteProtected }
        return failure
    }

    /// The parameter list (SBC-3 5.26.2): a header of 8 bytes, then descriptors of 16. A descriptor that is cut off, by
    /// the header's length or by the list's end, is ignored, as the standard says. Everything is checked before
    /// anything is deallocated.
    func unmap(parameterList: RawSpan) -> Execution {
        if let fault = unmapFault { return .checkCondition(fault) }
        guard parameterList.byteCount >= 8 else { return .checkCondition(.parameterListLengthError) }
        let listed = Int(parameterList.bigEndian(UInt16.self, at: 2))
        let count = min(listed, parameterList.byteCount - 8) / 16
        guard count <= Int(geometry.maximumUnmapDescriptors) else {
            return .checkCondition(.invalidFieldInParameterList(byte: 2))
        }
        var ranges: [BlockRange] = []
        ranges.reserveCapacity(count)
        var total: UInt64 = 0
        for index in 0..<count {
            let offset = 8 + index * 16
            let range = BlockRange(
                firstBlock: parameterList.bigEndian(UInt64.self, at: offset),
                blockCount: UInt64(parameterList.bigEndian(UInt32.self, at: offset + 8)))
            guard geometry.contains(first: range.firstBlock, count: range.blockCount) else {
                return .checkCondition(.logicalBlockAddressOutOfRange(range.firstBlock))
            }
            total += range.blockCount
            guard total <= UInt64(geometry.maximumUnmapBlocks) else {
                return .checkCondition(.invalidFieldInParameterList(byte: UInt16(offset + 8)))
            }
            if !range.isEmpty { ranges.append(range) }
        }
        return ranges.isEmpty ? .good : .unmap(ranges)
    }
}
