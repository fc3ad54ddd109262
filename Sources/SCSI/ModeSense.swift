extension LogicalUnit {
    /// MODE SENSE (6) and (10) (SPC-4 6.14, 6.15).
    func modeSense(_ cdb: CommandDescriptorBlock) -> Execution {
        let isShort = cdb.operationCode == .modeSense6
        guard let control = PageControl(rawValue: cdb.byte(2) >> 6), control != .saved else {
            return .checkCondition(.savingParametersNotSupported)
        }
        let code = cdb.byte(2) & 0x3F
        guard let pages = ModePage.selection(code: code, subpage: cdb.byte(3), of: modePages) else {
            let isCodeKnown = code == 0x3F || modePages.contains { $0.code == code }
            return .checkCondition(.invalidFieldInCDB(byte: isCodeKnown ? 3 : 2, bit: isCodeKnown ? 7 : 5))
        }
        let disableBlockDescriptors = cdb.byte(1) & 0x08 != 0
        let longAddresses = !isShort && cdb.byte(1) & 0x10 != 0
        let descriptor = disableBlockDescriptors ? [] : blockDescriptor(longAddresses: longAddresses)
        var contents: [UInt8] = []
        for page in pages {
            switch control {
            case .changeable: contents += page.changeableBytes
            case .defaults: contents += page.bytes(ModeParameters(), thresholdSets: thresholdSets)
            case .current, .saved: contents += page.bytes(mode, thresholdSets: thresholdSets)
            }
        }
        let header = modeHeader(
            isShort: isShort, longAddresses: longAddresses && !descriptor.isEmpty,
            descriptorLength: descriptor.count, restLength: descriptor.count + contents.count)
        let allocation = isShort ? Int(cdb.byte(4)) : Int(cdb.uint16(at: 7))
        return .parameterData((header + descriptor + contents).cut(to: allocation))
    }

    /// The mode parameter header (SPC-4 7.5.5): 4 or 8 bytes. MODE DATA LENGTH does not count itself.
    private func modeHeader(
        isShort: Bool, longAddresses: Bool, descriptorLength: Int, restLength: Int
    ) -> [UInt8] {
        // DEVICE-SPECIFIC PARAMETER (SBC-3 6.4.1): WP, and DPOFUA 1.
        let deviceSpecific: UInt8 = (effectiveGeometry.isReadOnly ? 0x80 : 0x00) | 0x10
        if isShort {
            return [UInt8(3 + restLength), 0x00, deviceSpecific, UInt8(descriptorLength)]
        }
        var header: [UInt8] = []
        header.append(bigEndian: UInt16(6 + restLength))
        header.append(contentsOf: [0x00, deviceSpecific, longAddresses ? 0x01 : 0x00, 0x00])
        header.append(bigEndian: UInt16(descriptorLength))
        return header
    }

    /// The block descriptor (SBC-3 6.4.2): 8 bytes, in which more than 2^32 - 1 blocks read FFFFFFFFh, or 16.
    func blockDescriptor(longAddresses: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        if longAddresses {
            bytes.append(bigEndian: geometry.blockCount)
            bytes.append(bigEndian: UInt32(0))
        } else {
            bytes.append(bigEndian: UInt32(exactly: geometry.blockCount) ?? UInt32.max)
        }
        // LOGICAL BLOCK LENGTH: three bytes behind a reserved one, or four; alike for the lengths there are.
        bytes.append(bigEndian: geometry.blockLengthBytes)
        return bytes
    }
}
