/// A sense key (SPC-4 table 43).
public enum SenseKey: UInt8, BitwiseCopyable, Sendable {
    /// Nothing to tell.
    case noSense = 0x0
    /// Done, after recovery.
    case recoveredError = 0x1
    /// The logical unit cannot be accessed.
    case notReady = 0x2
    /// The medium failed.
    case mediumError = 0x3
    /// The target failed.
    case hardwareError = 0x4
    /// The command or its parameters are wrong.
    case illegalRequest = 0x5
    /// Something about the unit changed that the initiator must know.
    case unitAttention = 0x6
    /// The blocks are protected from this.
    case dataProtect = 0x7
    /// A copy stopped: a unit that it names, or the copying itself, failed.
    case copyAborted = 0xA
    /// The command was aborted; it may be repeated.
    case abortedCommand = 0xB
    /// The data sent and the data on the medium differ.
    case miscompare = 0xE
}

/// Sense data (SPC-4 4.5) as a value: what a CHECK CONDITION says.
///
/// Nothing is allocated before `encode`, so the data path can carry one around.
public struct Sense: BitwiseCopyable, Sendable, Equatable {
    /// What the sense key specific bytes point at (SPC-4 4.5.2.4).
    public enum Pointer: BitwiseCopyable, Sendable, Equatable {
        /// SKSV 0.
        case none
        /// A byte of the command descriptor block, and the highest bit of the field there.
        case commandField(byte: UInt16, bit: UInt8?)
        /// PROGRESS INDICATION: so many 65536ths are done.
        case progress(UInt16)
        /// A byte of the parameter list, and the highest bit of the field there.
        case parameterField(byte: UInt16, bit: UInt8?)
    }

    /// SENSE KEY.
    public var key: SenseKey
    /// ADDITIONAL SENSE CODE in the high byte, its QUALIFIER in the low byte.
    public var additionalSenseCode: UInt16
    /// INFORMATION, when `hasInformation`: a logical block address, or the offset of a miscompare.
    public var information: UInt64
    /// VALID.
    public var hasInformation: Bool
    /// The field at fault.
    public var pointer: Pointer

    /// Makes a value; the catalogue below has the ones in use.
    public init(
        _ key: SenseKey, additionalSenseCode: UInt16, information: UInt64? = nil, pointer: Pointer = .none
    ) {
        self.key = key
        self.additionalSenseCode = additionalSenseCode
        self.information = information ?? 0
        self.hasInformation = information != nil
        self.pointer = pointer
    }

    /// The longest encoding: descriptor format with an information and a sense key specific descriptor.
    public static let maximumLengthBytes = 28

    /// The bytes for the initiator: fixed format (SPC-4 4.5.3, response code 70h, 18 bytes) or descriptor format
    /// (SPC-4 4.5.2, response code 72h, 8 to 28 bytes). D_SENSE of the Control mode page chooses.
    ///
    /// A logical block address that does not fit into the four bytes of fixed format is left out with VALID 0, as
    /// SBC-3 4.18.1 asks.
    public func encode(descriptorFormat: Bool) -> [UInt8] {
        descriptorFormat ? descriptorFormatBytes() : fixedFormatBytes()
    }

    private func fixedFormatBytes() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 18)
        bytes[0] = 0x70
        bytes[2] = key.rawValue
        if hasInformation, let information = UInt32(exactly: information) {
            bytes[0] |= 0x80
            bytes.store(information, at: 3)
        }
        bytes[7] = 10
        bytes.store(additionalSenseCode, at: 12)
        if let (flags, offset) = senseKeySpecific {
            bytes[15] = flags
            bytes.store(offset, at: 16)
        }
        return bytes
    }

    private func descriptorFormatBytes() -> [UInt8] {
        var bytes: [UInt8] = [0x72, key.rawValue]
        bytes.reserveCapacity(Self.maximumLengthBytes)
        bytes.append(bigEndian: additionalSenseCode)
        bytes.append(contentsOf: [0, 0, 0, 0])
        if hasInformation {
            bytes.append(contentsOf: [0x00, 0x0A, 0x80, 0x00])
            bytes.append(bigEndian: information)
        }
        if let (flags, offset) = senseKeySpecific {
            bytes.append(contentsOf: [0x02, 0x06, 0x00, 0x00, flags])
            bytes.append(bigEndian: offset)
            bytes.append(0)
        }
        bytes[7] = UInt8(bytes.count - 8)
        return bytes
    }

    /// SKSV, C/D, BPV and BIT POINTER in one byte, then FIELD POINTER.
    private var senseKeySpecific: (flags: UInt8, field: UInt16)? {
        switch pointer {
        case .none: nil
        case .progress(let done): (0x80, done)
        case .commandField(let byte, let bit): (0xC0 | Self.bitPointer(bit), byte)
        case .parameterField(let byte, let bit): (0x80 | Self.bitPointer(bit), byte)
        }
    }

    private static func bitPointer(_ bit: UInt8?) -> UInt8 {
        bit.map { 0x08 | $0 & 0x07 } ?? 0
    }
}
