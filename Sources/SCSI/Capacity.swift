extension LogicalUnit {
    /// READ CAPACITY (10) (SBC-3 5.15). FFFFFFFFh sends the initiator to READ CAPACITY (16). PMI and its address are
    /// obsolete and ignored.
    func readCapacity10(_ cdb: CommandDescriptorBlock) -> Execution {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(exactly: geometry.blockCount - 1) ?? UInt32.max)
        bytes.append(bigEndian: geometry.blockLengthBytes)
        return .parameterData(bytes)
    }

    /// READ CAPACITY (16) (SBC-3 5.16): 32 bytes.
    func readCapacity16(_ cdb: CommandDescriptorBlock) -> Execution {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: geometry.blockCount - 1)
        bytes.append(bigEndian: geometry.blockLengthBytes)
        bytes.append(0)  // P_TYPE 0, PROT_EN 0: no protection information
        // P_I_EXPONENT 0, LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT.
        bytes.append(geometry.physicalBlockExponent & 0x0F)
        // LBPME and LBPRZ, then LOWEST ALIGNED LOGICAL BLOCK ADDRESS 0.
        bytes.append(bigEndian: UInt16(geometry.isThin ? 0xC000 : 0))
        bytes.append(contentsOf: repeatElement(0, count: 16))
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 10))))
    }

    /// GET LBA STATUS (SBC-3 5.5). The store answers; the first block has to exist.
    func getLBAStatus(_ cdb: CommandDescriptorBlock) -> Execution {
        let first = cdb.uint64(at: 2)
        guard first < geometry.blockCount else { return .checkCondition(.logicalBlockAddressOutOfRange(first)) }
        if let failure { return .checkCondition(failure) }
        return .reportLBAStatus(startingBlock: first, allocationLength: cdb.uint32(at: 10))
    }
}
