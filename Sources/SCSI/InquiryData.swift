extension LogicalUnit {
    /// INQUIRY (SPC-4 6.6).
    func inquiry(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        if let fault = InquiryData.fieldFault(cdb) { return .checkCondition(fault) }
        var bytes: [UInt8]
        if cdb.byte(1) & 0x01 == 0 {
            bytes = InquiryData.standard(identity)
        } else {
            guard let page = VitalProductData(rawValue: cdb.byte(2)) else {
                return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 7))
            }
            bytes = page.bytes(identity, geometry, port: port(of: nexus))
        }
        // PERIPHERAL QUALIFIER 001b: no unit is to be reached by this port now (SPC-4 5.15.2.4.5).
        if accessState(of: nexus) == .unavailable || accessState(of: nexus) == .offline { bytes[0] |= 0x20 }
        return .parameterData(bytes.cut(to: Int(cdb.uint16(at: 3))))
    }
}

/// Standard INQUIRY data (SPC-4 6.6.2).
enum InquiryData {
    /// CMDDT is obsolete, and a page code without EVPD means nothing.
    static func fieldFault(_ cdb: CommandDescriptorBlock) -> Sense? {
        if cdb.byte(1) & 0x02 != 0 { return .invalidFieldInCDB(byte: 1, bit: 1) }
        if cdb.byte(1) & 0x01 == 0 && cdb.byte(2) != 0 { return .invalidFieldInCDB(byte: 2, bit: 7) }
        return nil
    }

    /// SAM-5, iSCSI, SPC-4 and SBC-3, each "no version claimed" (SPC-4 table 144).
    private static let versionDescriptors: [UInt16] = [0x00A0, 0x0960, 0x0460, 0x04C0]

    static func standard(_ identity: LogicalUnitIdentity) -> [UInt8] {
        var bytes: [UInt8] = [
            0x00,  // PERIPHERAL QUALIFIER 0, DEVICE TYPE 00h: direct access block device
            0x00,  // RMB 0, LU_CONG 0
            0x06,  // VERSION: SPC-4
            0x12,  // NORMACA 0, HISUP 1, RESPONSE DATA FORMAT 2
            91,  // ADDITIONAL LENGTH
            0x38,  // SCCS 0, TPGS 3: implicit and explicit; 3PC 1, PROTECT 0
            identity.ports.count > 1 ? 0x10 : 0x00,  // MULTIP
            0x02,  // CMDQUE 1
        ]
        bytes.append(ascii: identity.vendor, paddedTo: 8)
        bytes.append(ascii: identity.product, paddedTo: 16)
        bytes.append(ascii: identity.revision, paddedTo: 4)
        bytes.append(contentsOf: repeatElement(0, count: 22))  // vendor specific, CLOCKING, reserved
        for descriptor in versionDescriptors { bytes.append(bigEndian: descriptor) }
        bytes.append(contentsOf: repeatElement(0, count: 96 - bytes.count))
        return bytes
    }
}
