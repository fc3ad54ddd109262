/// The vital product data pages served (SPC-4 7.8, SBC-3 6.5), by page code.
enum VitalProductData: UInt8, CaseIterable {
    case supportedPages = 0x00
    case unitSerialNumber = 0x80
    case deviceIdentification = 0x83
    case extendedInquiry = 0x86
    case thirdPartyCopy = 0x8F
    case blockLimits = 0xB0
    case blockDeviceCharacteristics = 0xB1
    case logicalBlockProvisioning = 0xB2

    /// The whole page: type, code, PAGE LENGTH, contents. `port` is the asking nexus's.
    func bytes(_ identity: LogicalUnitIdentity, _ geometry: BlockGeometry, port: TargetPort?) -> [UInt8] {
        let contents =
            switch self {
            case .supportedPages: Self.allCases.map(\.rawValue)
            case .unitSerialNumber: Self.serialNumber(identity)
            case .deviceIdentification: Self.designators(identity, port: port)
            case .extendedInquiry: Self.extendedInquiryContents
            case .thirdPartyCopy: Self.thirdPartyCopyContents
            case .blockLimits: Self.blockLimits(geometry)
            case .blockDeviceCharacteristics: Self.characteristics(geometry)
            case .logicalBlockProvisioning: Self.provisioning(geometry)
            }
        var bytes: [UInt8] = [0x00, rawValue]
        bytes.append(bigEndian: UInt16(contents.count))
        return bytes + contents
    }

    private static func serialNumber(_ identity: LogicalUnitIdentity) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(ascii: identity.serialNumber, paddedTo: min(identity.serialNumber.utf8.count, 252))
        return bytes
    }

    // MARK: 83h, Device Identification (SPC-4 7.8.6)

    /// ASSOCIATION: what a designator names.
    private enum Association: UInt8 {
        case logicalUnit = 0
        case targetPort = 1
        case targetDevice = 2
    }

    /// The designators: of the unit NAA and T10 vendor id; of the port the nexus came in by its relative identifier,
    /// group and name; of the device its name. A nexus that was not announced gets no port designators.
    private static func designators(_ identity: LogicalUnitIdentity, port: TargetPort?) -> [UInt8] {
        var bytes: [UInt8] = []
        var naa: [UInt8] = []
        naa.append(bigEndian: identity.naaIdentifier)
        append(&bytes, codeSet: 1, .logicalUnit, type: 3, naa)
        var vendorIdentification: [UInt8] = []
        vendorIdentification.append(ascii: identity.vendor, paddedTo: 8)
        vendorIdentification.append(ascii: identity.product, paddedTo: 16)
        vendorIdentification.append(
            ascii: identity.serialNumber, paddedTo: min(identity.serialNumber.utf8.count, 220))
        append(&bytes, codeSet: 2, .logicalUnit, type: 1, vendorIdentification)
        if let port {
            var relative: [UInt8] = [0, 0]
            relative.append(bigEndian: port.relativeIdentifier)
            append(&bytes, codeSet: 1, .targetPort, type: 4, relative)
            var group: [UInt8] = [0, 0]
            group.append(bigEndian: port.groupIdentifier)
            append(&bytes, codeSet: 1, .targetPort, type: 5, group)
            append(&bytes, codeSet: 3, .targetPort, type: 8, nameString(portName(identity, port)))
        }
        append(&bytes, codeSet: 3, .targetDevice, type: 8, nameString(identity.targetName))
        return bytes
    }

    private static func append(
        _ bytes: inout [UInt8], codeSet: UInt8, _ association: Association, type: UInt8, _ designator: [UInt8]
    ) {
        // PIV and PROTOCOL IDENTIFIER 5 (iSCSI) belong to ports and devices only.
        let isProtocolSpecific = association != .logicalUnit
        bytes.append((isProtocolSpecific ? 0x50 : 0x00) | codeSet)
        bytes.append((isProtocolSpecific ? 0x80 : 0x00) | association.rawValue << 4 | type)
        bytes.append(0)
        bytes.append(UInt8(designator.count))
        bytes.append(contentsOf: designator)
    }

    /// iSCSI target port name (RFC 7143 4.4.1): `NAME,t,0xTTTT`.
    private static func portName(_ identity: LogicalUnitIdentity, _ port: TargetPort) -> String {
        let digits = String(port.relativeIdentifier, radix: 16)
        return identity.targetName + ",t,0x" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    /// A null terminated string, padded with nulls to a multiple of four bytes (SPC-4 7.8.6.11). iSCSI names have at
    /// most 223 bytes; longer ones are cut, so that the length fits its byte.
    private static func nameString(_ text: String) -> [UInt8] {
        var bytes = [UInt8](text.utf8.prefix(251))
        bytes.append(contentsOf: repeatElement(0, count: 4 - bytes.count % 4))
        return bytes
    }

    // MARK: The others

    /// 86h, Extended INQUIRY Data (SPC-4 7.8.7): 60 bytes, of which these are not zero.
    private static var extendedInquiryContents: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 60)
        bytes[1] = 0x01  // SIMPSUP 1; ORDSUP, HEADSUP, GROUP_SUP 0
        bytes[2] = 0x01  // V_SUP 1: the cache is volatile
        bytes[3] = 0x01  // LUICLR 1: a unit attention is cleared for one unit only
        bytes[9] = UInt8(Sense.maximumLengthBytes)  // MAXIMUM SUPPORTED SENSE DATA LENGTH
        return bytes
    }

    /// B0h, Block Limits (SBC-3 6.5.3): 60 bytes.
    private static func blockLimits(_ geometry: BlockGeometry) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 60)
        bytes[0] = 0x01  // WSNZ: a WRITE SAME names its length
        bytes[1] = UInt8(geometry.maximumCompareAndWriteBlocks)  // MAXIMUM COMPARE AND WRITE LENGTH
        bytes.store(geometry.optimalTransferGranularityBlocks, at: 2)
        bytes.store(geometry.maximumTransferBlocks, at: 4)
        if geometry.isThin {
            bytes.store(geometry.maximumUnmapBlocks, at: 16)
            bytes.store(geometry.maximumUnmapDescriptors, at: 20)
            bytes.store(geometry.unmapGranularityBlocks, at: 24)
            if geometry.unmapGranularityBlocks != 0 { bytes[28] = 0x80 }  // UGAVALID, UNMAP GRANULARITY ALIGNMENT 0
        }
        bytes.store(geometry.maximumWriteSameBlocks, at: 32)
        // MAXIMUM ATOMIC TRANSFER LENGTH; any alignment and granularity, no atomic boundaries.
        bytes.store(geometry.maximumAtomicBlocks, at: 40)
        return bytes
    }

    /// B1h, Block Device Characteristics (SBC-3 6.5.2): MEDIUM ROTATION RATE 1, non-rotating; WABEREQ 1, blocks can be
    /// read after SANITIZE BLOCK ERASE, where there is one.
    private static func characteristics(_ geometry: BlockGeometry) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 60)
        bytes[1] = 0x01
        if geometry.isThin { bytes[3] = 0x40 }
        return bytes
    }

    /// B2h, Logical Block Provisioning (SBC-3 6.5.4): THRESHOLD EXPONENT where the space below is known (0: no thresholds);
    /// LBPU, LBPWS, LBPWS10 and LBPRZ, ANC_SUP 0; thin provisioned.
    private static func provisioning(_ geometry: BlockGeometry) -> [UInt8] {
        guard geometry.isThin else { return [0x00, 0x00, 0x00, 0x00] }
        let exponent = geometry.reportsResources ? ProvisioningResources.thresholdExponent(geometry) : 0
        return [exponent, 0xE4, 0x02, 0x00]
    }
}
