extension MediaOperation {
    /// Decodes a media command against `geometry` (SBC-3 clause 5). No allocation, no state.
    ///
    /// The order of the checks: CONTROL, protection information (never served: standard INQUIRY says PROTECT 0), fields
    /// with reserved values, write protection, range, length limits. GROUP NUMBER is ignored (GROUP_SUP 0).
    public static func decode(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        switch cdb.operationCode {
        case .read10: read(cdb, geometry, fields10(cdb))
        case .write10: write(cdb, geometry, fields10(cdb))
        case .read16: read(cdb, geometry, fields16(cdb))
        case .write16: write(cdb, geometry, fields16(cdb))
        case .synchronizeCache10: synchronizeCache(cdb, geometry, fields10(cdb))
        case .synchronizeCache16: synchronizeCache(cdb, geometry, fields16(cdb))
        case .read6, .write6: sixByte(cdb, geometry)
        case .read12: read(cdb, geometry, fields12(cdb))
        case .write12: write(cdb, geometry, fields12(cdb))
        case .writeAndVerify10: writeAndVerify(cdb, geometry, fields10(cdb))
        case .writeAndVerify12: writeAndVerify(cdb, geometry, fields12(cdb))
        case .writeAndVerify16: writeAndVerify(cdb, geometry, fields16(cdb))
        case .verify10: verify(cdb, geometry, fields10(cdb))
        case .verify12: verify(cdb, geometry, fields12(cdb))
        case .verify16: verify(cdb, geometry, fields16(cdb))
        case .writeSame10: writeSame(cdb, geometry, fields10(cdb))
        case .writeSame16: writeSame(cdb, geometry, fields16(cdb))
        case .variableLength where cdb.serviceAction == ServiceAction.writeSame32: writeSame32(cdb, geometry)
        case .compareAndWrite: compareAndWrite(cdb, geometry)
        case .orWrite16: orWrite(cdb, geometry)
        case .writeAtomic16 where geometry.maximumAtomicBlocks > 0: writeAtomic(cdb, geometry)
        case .prefetch10: prefetch(cdb, geometry, fields10(cdb))
        case .prefetch16: prefetch(cdb, geometry, fields16(cdb))
        default: .notMediaCommand
        }
    }

    /// LOGICAL BLOCK ADDRESS and the length beside it, with the length's offset for field pointers.
    private struct Fields {
        var first: UInt64
        var count: UInt32
        var countOffset: UInt16
    }

    /// 10-byte blocks: address in bytes 2 to 5, length in bytes 7 and 8.
    private static func fields10(_ cdb: CommandDescriptorBlock) -> Fields {
        Fields(first: UInt64(cdb.uint32(at: 2)), count: UInt32(cdb.uint16(at: 7)), countOffset: 7)
    }

    /// 12-byte blocks: address in bytes 2 to 5, length in bytes 6 to 9.
    private static func fields12(_ cdb: CommandDescriptorBlock) -> Fields {
        Fields(first: UInt64(cdb.uint32(at: 2)), count: cdb.uint32(at: 6), countOffset: 6)
    }

    /// 16-byte blocks: address in bytes 2 to 9, length in bytes 10 to 13.
    private static func fields16(_ cdb: CommandDescriptorBlock) -> Fields {
        Fields(first: cdb.uint64(at: 2), count: cdb.uint32(at: 10), countOffset: 10)
    }

    /// CONTROL, and RDPROTECT, WRPROTECT or VRPROTECT, which share bits 7 to 5 of byte 1.
    private static func commonFault(_ cdb: CommandDescriptorBlock) -> Sense? {
        if let fault = cdb.controlFault { return fault }
        return cdb.byte(1) & 0xE0 == 0 ? nil : .invalidFieldInCDB(byte: 1, bit: 7)
    }

    private static func rangeFault(_ fields: Fields, _ geometry: BlockGeometry) -> Sense? {
        guard geometry.contains(first: fields.first, count: UInt64(fields.count)) else {
            return .logicalBlockAddressOutOfRange(fields.first)
        }
        guard geometry.maximumTransferBlocks == 0 || fields.count <= geometry.maximumTransferBlocks else {
            return .invalidFieldInCDB(byte: fields.countOffset)
        }
        return nil
    }

    private static func range(_ fields: Fields) -> BlockRange {
        BlockRange(firstBlock: fields.first, blockCount: UInt64(fields.count))
    }

    /// DPO and FUA, bits 4 and 3 of byte 1. FUA_NV (bit 1) is obsolete and without meaning here: no cache is
    /// non-volatile.
    private static func cacheControl(_ cdb: CommandDescriptorBlock) -> CacheControl {
        let flags = cdb.byte(1)
        return CacheControl(rawValue: (flags >> 4) & 1 | (flags >> 2) & 2)
    }

    private static func read(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields) -> MediaDecode
    {
        if let fault = commonFault(cdb) ?? rangeFault(fields, geometry) { return .failed(fault) }
        return .operation(.read(range(fields), cacheControl(cdb)))
    }

    private static func write(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields) -> MediaDecode
    {
        if let fault = commonFault(cdb) { return .failed(fault) }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        return .operation(.write(range(fields), cacheControl(cdb)))
    }

    /// READ (6) and WRITE (6): 21 bits of address, one byte of length in which 0 means 256. Bits 7 to 5 of byte 1 were
    /// once the LUN and are ignored.
    private static func sixByte(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        if let fault = cdb.controlFault { return .failed(fault) }
        let isWrite = cdb.operationCode == .write6
        if isWrite && geometry.isReadOnly { return .failed(.writeProtected) }
        let length = UInt32(cdb.byte(4))
        let fields = Fields(
            first: UInt64(cdb.uint24(at: 1) & 0x1F_FFFF), count: length == 0 ? 256 : length, countOffset: 4)
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        return .operation(isWrite ? .write(range(fields), []) : .read(range(fields), []))
    }

    private static func byteCheck(_ cdb: CommandDescriptorBlock) -> ByteCheck? {
        ByteCheck(rawValue: cdb.byte(1) >> 1 & 3)
    }

    private static func writeAndVerify(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields
    ) -> MediaDecode {
        if let fault = commonFault(cdb) { return .failed(fault) }
        guard let check = byteCheck(cdb), check != .compareOneBlock else {
            return .failed(.invalidFieldInCDB(byte: 1, bit: 2))
        }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        // There is no FUA bit: verifying means the medium, so what was written has to be there first.
        let control = cacheControl(cdb).intersection(.disablePageOut).union(.forceUnitAccess)
        return .operation(.writeAndVerify(range(fields), check, control))
    }

    private static func verify(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields
    ) -> MediaDecode {
        if let fault = commonFault(cdb) { return .failed(fault) }
        guard let check = byteCheck(cdb) else { return .failed(.invalidFieldInCDB(byte: 1, bit: 2)) }
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        return .operation(.verify(range(fields), check, cacheControl(cdb).intersection(.disablePageOut)))
    }

    /// COMPARE AND WRITE: NUMBER OF LOGICAL BLOCKS is byte 13 alone, bytes 10 to 12 are reserved.
    private static func compareAndWrite(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        if let fault = commonFault(cdb) { return .failed(fault) }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        let fields = Fields(first: cdb.uint64(at: 2), count: UInt32(cdb.byte(13)), countOffset: 13)
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        guard fields.count <= geometry.maximumCompareAndWriteBlocks else {
            return .failed(.invalidFieldInCDB(byte: fields.countOffset))
        }
        return .operation(.compareAndWrite(range(fields), cacheControl(cdb)))
    }

    private static func orWrite(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        if let fault = commonFault(cdb) { return .failed(fault) }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        let fields = fields16(cdb)
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        guard fields.count <= geometry.maximumORWriteBlocks else {
            return .failed(.invalidFieldInCDB(byte: fields.countOffset))
        }
        return .operation(.orWrite(range(fields), cacheControl(cdb)))
    }

    /// WRITE ATOMIC (16): ATOMIC BOUNDARY in bytes 10 and 11 (there is none, the write is whole as it is), the length in bytes
    /// 12 and 13.
    private static func writeAtomic(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        if let fault = commonFault(cdb) { return .failed(fault) }
        if cdb.uint16(at: 10) != 0 { return .failed(.invalidFieldInCDB(byte: 10)) }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        let fields = Fields(first: cdb.uint64(at: 2), count: UInt32(cdb.uint16(at: 12)), countOffset: 12)
        if let fault = rangeFault(fields, geometry) { return .failed(fault) }
        guard fields.count <= geometry.maximumAtomicBlocks else {
            return .failed(.invalidFieldInCDB(byte: fields.countOffset))
        }
        return .operation(.writeAtomic(range(fields), cacheControl(cdb)))
    }

    /// WRITE SAME: a length of 0 is refused (WSNZ 1). It would mean up to the end, which for all but the last blocks is
    /// beyond MAXIMUM WRITE SAME LENGTH anyhow; and nobody means the rest of a disk by accident.
    private static func writeSame(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields
    ) -> MediaDecode {
        writeSame(cdb, geometry, fields, flagsOffset: 1, hasNoDataOutBit: cdb.operationCode == .writeSame16)
    }

    /// WRITE SAME (32): flags in byte 10, address in bytes 12 to 19, length in bytes 28 to 31. What belongs to protection
    /// information, bytes 20 to 27, is not looked at. A block that was cut short is refused.
    private static func writeSame32(_ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry) -> MediaDecode {
        guard cdb.byte(7) == 0x18, cdb.receivedLengthBytes == 32 else { return .failed(.invalidFieldInCDB(byte: 7)) }
        let fields = Fields(first: cdb.uint64(at: 12), count: cdb.uint32(at: 28), countOffset: 28)
        return writeSame(cdb, geometry, fields, flagsOffset: 10, hasNoDataOutBit: true)
    }

    private static func writeSame(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields, flagsOffset: UInt16,
        hasNoDataOutBit: Bool
    ) -> MediaDecode {
        let flags = cdb.byte(Int(flagsOffset))
        func invalid(_ bit: UInt8) -> MediaDecode { .failed(.invalidFieldInCDB(byte: flagsOffset, bit: bit)) }
        if let fault = cdb.controlFault { return .failed(fault) }
        if flags & 0xE0 != 0 { return invalid(7) }
        if geometry.isReadOnly { return .failed(.writeProtected) }
        // ANCHOR asks for ANC_SUP, UNMAP for LBPME; PBDATA and LBDATA are obsolete and would change what is written.
        if flags & 0x10 != 0 { return invalid(4) }
        if flags & 0x08 != 0 && !geometry.isThin { return invalid(3) }
        if flags & 0x06 != 0 { return invalid(flags & 0x04 != 0 ? 2 : 1) }
        if !hasNoDataOutBit && flags & 0x01 != 0 { return invalid(0) }
        guard geometry.contains(first: fields.first, count: UInt64(fields.count)) else {
            return .failed(.logicalBlockAddressOutOfRange(fields.first))
        }
        if fields.count == 0 { return .failed(.invalidFieldInCDB(byte: fields.countOffset)) }
        guard geometry.maximumWriteSameBlocks == 0 || UInt64(fields.count) <= geometry.maximumWriteSameBlocks else {
            return .failed(.invalidFieldInCDB(byte: fields.countOffset))
        }
        let options = WriteSameOptions(rawValue: (flags >> 3) & 1 | (flags & 1) << 1)
        return .operation(.writeSame(range(fields), options))
    }

    /// The range, where a length of 0 means all blocks from the first one on; `nil` when it leaves the unit.
    private static func rangeOrRest(_ fields: Fields, _ geometry: BlockGeometry) -> BlockRange? {
        guard geometry.contains(first: fields.first, count: UInt64(fields.count)) else { return nil }
        let count = fields.count == 0 ? geometry.blockCount - fields.first : UInt64(fields.count)
        return BlockRange(firstBlock: fields.first, blockCount: count)
    }

    private static func synchronizeCache(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields
    ) -> MediaDecode {
        if let fault = cdb.controlFault { return .failed(fault) }
        guard let range = rangeOrRest(fields, geometry) else {
            return .failed(.logicalBlockAddressOutOfRange(fields.first))
        }
        return .operation(.synchronizeCache(range, immediate: cdb.byte(1) & 0x02 != 0))
    }

    private static func prefetch(
        _ cdb: CommandDescriptorBlock, _ geometry: BlockGeometry, _ fields: Fields
    ) -> MediaDecode {
        if let fault = cdb.controlFault { return .failed(fault) }
        guard let range = rangeOrRest(fields, geometry) else {
            return .failed(.logicalBlockAddressOutOfRange(fields.first))
        }
        return .operation(.prefetch(range, immediate: cdb.byte(1) & 0x02 != 0))
    }
}
