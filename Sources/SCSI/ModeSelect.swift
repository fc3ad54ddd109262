extension LogicalUnit {
    /// MODE SELECT (6) and (10) (SPC-4 6.12, 6.13), the part before the parameter list.
    func beginModeSelect(
        _ cdb: CommandDescriptorBlock, length: UInt16, expecting expected: ExpectedTransfer
    ) -> Execution {
        let flags = cdb.byte(1)
        // SP: nothing is saved. RTD: not served. PF 0 means vendor specific pages, of which there are none.
        if flags & 0x01 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 0)) }
        if flags & 0x02 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 1)) }
        if length > 0 && flags & 0x10 == 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4)) }
        return parameterList(cdb, length: length, expecting: expected)
    }

    /// The parameter list: header, block descriptor, pages. All of it is checked before any of it takes effect.
    /// A change tells every other I_T nexus MODE PARAMETERS CHANGED (SPC-4 5.11).
    mutating func modeSelect(
        _ cdb: CommandDescriptorBlock, parameterList: RawSpan, from nexus: NexusHandle
    ) -> Execution {
        let isShort = cdb.operationCode == .modeSelect6
        let bytes = (0..<parameterList.byteCount).map { parameterList.byte($0) }
        let headerLength = isShort ? 4 : 8
        guard bytes.count >= headerLength else { return .checkCondition(.parameterListLengthError) }
        let longAddresses = !isShort && bytes[4] & 0x01 != 0
        let descriptorLength = isShort ? Int(bytes[3]) : Int(bytes[6]) << 8 | Int(bytes[7])
        guard descriptorLength == 0 || descriptorLength == (longAddresses ? 16 : 8) else {
            return .checkCondition(.invalidFieldInParameterList(byte: isShort ? 3 : 6))
        }
        var offset = headerLength + descriptorLength
        guard bytes.count >= offset else { return .checkCondition(.parameterListLengthError) }
        if descriptorLength > 0 {
            let descriptor = [UInt8](bytes[headerLength..<offset])
            if let fault = descriptorFault(descriptor, at: headerLength, longAddresses: longAddresses) {
                return .checkCondition(fault)
            }
        }
        var selected = mode
        while offset < bytes.count {
            switch takePage(bytes, at: offset, into: &selected) {
            case .taken(let next): offset = next
            case .failed(let sense): return .checkCondition(sense)
            }
        }
        if selected != mode {
            mode = selected
            raise(.modeParametersChanged, except: nexus)
        }
        return .good
    }

    private enum PageOutcome {
        case taken(next: Int)
        case failed(Sense)
    }

    /// Reads one page. Bits that cannot change have to have the value they have now.
    private func takePage(_ bytes: [UInt8], at offset: Int, into selected: inout ModeParameters) -> PageOutcome {
        // PS is reserved here, but initiators send back what MODE SENSE gave them.
        let hasSubpage = bytes[offset] & 0x40 != 0
        guard bytes.count - offset >= (hasSubpage ? 4 : 2) else { return .failed(.parameterListLengthError) }
        let named = ModePage(code: bytes[offset] & 0x3F, subpage: hasSubpage ? bytes[offset + 1] : 0)
        guard modePages.contains(named), hasSubpage == (named.subpage != 0) else {
            return .failed(.invalidFieldInParameterList(byte: UInt16(offset), bit: 5))
        }
        let present = named.bytes(selected, thresholdSets: thresholdSets)
        let changeable = named.changeableBytes
        // The page's own header after its first byte, PAGE LENGTH with it, has to be the one MODE SENSE gives.
        for index in 1..<(hasSubpage ? 4 : 2) where bytes[offset + index] != present[index] {
            return .failed(.invalidFieldInParameterList(byte: UInt16(offset + index)))
        }
        guard bytes.count - offset >= present.count else { return .failed(.parameterListLengthError) }
        let page = [UInt8](bytes[offset..<(offset + present.count)])
        for index in (hasSubpage ? 4 : 2)..<present.count {
            let fixed = (page[index] ^ present[index]) & ~changeable[index]
            if fixed != 0 {
                let bit = UInt8(7 - fixed.leadingZeroBitCount)
                return .failed(.invalidFieldInParameterList(byte: UInt16(offset + index), bit: bit))
            }
        }
        named.apply(page, to: &selected)
        return .taken(next: offset + present.count)
    }

    /// A block descriptor may say what is, or nothing: blocks 0 (no change) or all of them (SBC-3 6.4.2.2), length as
    /// is.
    private func descriptorFault(_ descriptor: [UInt8], at offset: Int, longAddresses: Bool) -> Sense? {
        let present = blockDescriptor(longAddresses: longAddresses)
        let countLength = longAddresses ? 8 : 4
        let count = descriptor.prefix(countLength)
        let isUnchanged =
            count.allSatisfy { $0 == 0 } || count.allSatisfy { $0 == 0xFF } || count == present.prefix(countLength)
        guard isUnchanged else { return .invalidFieldInParameterList(byte: UInt16(offset)) }
        for index in countLength..<present.count where descriptor[index] != present[index] {
            return .invalidFieldInParameterList(byte: UInt16(offset + index))
        }
        return nil
    }
}
