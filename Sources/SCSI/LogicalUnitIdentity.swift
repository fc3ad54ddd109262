/// One of the target's ports: with iSCSI, a target name and a portal group (RFC 7143 2.2.7).
public struct TargetPort: BitwiseCopyable, Sendable, Equatable {
    /// RELATIVE TARGET PORT IDENTIFIER, which is the target portal group tag too; 1 to 65535.
    public var relativeIdentifier: UInt16
    /// TARGET PORT GROUP the port belongs to.
    public var groupIdentifier: UInt16

    /// Names a port.
    public init(relativeIdentifier: UInt16, groupIdentifier: UInt16) {
        self.relativeIdentifier = relativeIdentifier
        self.groupIdentifier = groupIdentifier
    }
}

/// Who a logical unit is: the same on every path and every host, for ever.
public struct LogicalUnitIdentity: Sendable, Equatable {
    /// NAA identifier, locally assigned (the highest nibble is 3): the unit's world wide identifier.
    public var naaIdentifier: UInt64
    /// Unit serial number, printable ASCII, at most 252 characters.
    public var serialNumber: String
    /// T10 VENDOR IDENTIFICATION, at most 8 characters.
    public var vendor: String
    /// PRODUCT IDENTIFICATION, at most 16 characters.
    public var product: String
    /// PRODUCT REVISION LEVEL, at most 4 characters.
    public var revision: String
    /// iSCSI name of the target, at most 223 bytes.
    public var targetName: String
    /// Every port of the target, those on other hosts too: standard INQUIRY reports MULTIP when there are several.
    public var ports: [TargetPort]

    /// Names a unit.
    public init(
        naaIdentifier: UInt64, serialNumber: String, vendor: String, product: String, revision: String,
        targetName: String, ports: [TargetPort]
    ) {
        self.naaIdentifier = naaIdentifier
        self.serialNumber = serialNumber
        self.vendor = vendor
        self.product = product
        self.revision = revision
        self.targetName = targetName
        self.ports = ports
    }
}

/// The server's number for an I_T nexus (an iSCSI session), never used twice.
public struct NexusHandle: RawRepresentable, Hashable, BitwiseCopyable, Sendable {
    /// The number.
    public var rawValue: UInt64
    /// Names a nexus.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// Who an I_T nexus joins. Two sessions with equal values are the same nexus, come again.
public struct NexusInformation: Hashable, Sendable {
    /// Initiator port name: iSCSI name and ISID, `iqn...,i,0x00023d000001` (RFC 7143 4.4.1).
    public var initiatorPortName: String
    /// The target port it came in by.
    public var relativeTargetPort: UInt16

    /// Names both ends.
    public init(initiatorPortName: String, relativeTargetPort: UInt16) {
        self.initiatorPortName = initiatorPortName
        self.relativeTargetPort = relativeTargetPort
    }
}

/// A logical unit number in its eight-byte form (SAM-5 4.7).
public struct LogicalUnitNumber: Hashable, BitwiseCopyable, Sendable {
    /// 0 to 16383.
    public var number: UInt16

    /// Names a unit by number.
    public init(_ number: UInt16) {
        precondition(number < 0x4000, "flat addressing holds 14 bits")
        self.number = number
    }

    /// Reads the LUN field of a header: peripheral (bus 0) or flat addressing, nothing below the first level.
    /// `nil` for any other form: no unit of ours is there.
    public init?(encoded: UInt64) {
        guard encoded & 0x0000_FFFF_FFFF_FFFF == 0 else { return nil }
        let level = UInt16(truncatingIfNeeded: encoded >> 48)
        switch level >> 14 {
        case 0 where level & 0x3F00 == 0: number = level & 0xFF
        case 1: number = level & 0x3FFF
        default: return nil
        }
    }

    /// Eight bytes: peripheral addressing below 256, flat addressing above, as Linux expects.
    public var encoded: UInt64 {
        UInt64(number < 256 ? number : 0x4000 | number) << 48
    }
}
