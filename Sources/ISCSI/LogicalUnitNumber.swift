/// The 8-byte LUN field of a header, formatted as SAM-5 section 4.7 says (RFC 7143 section 11.2.1.7).
@frozen
public struct LogicalUnitNumber: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The eight bytes, the first one on the wire in the most significant place.
    public var rawValue: UInt64

    /// A LUN field with the given content.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// LUN 0, the only unit of a target that exports one volume.
    @inlinable
    public static var zero: LogicalUnitNumber { LogicalUnitNumber(rawValue: 0) }

    /// The single-level form of a unit number: peripheral device addressing below 256, flat space addressing below
    /// 16,384, nothing above.
    @inlinable
    public init?(index: Int) {
        switch index {
        case 0..<256: rawValue = UInt64(index) << 48
        case 256..<16384: rawValue = (0x4000 | UInt64(index)) << 48
        default: return nil
        }
    }

    /// The unit number of a single-level LUN (peripheral device addressing on bus 0, or flat space addressing), or nil
    /// for every other form: several levels, logical unit or extended addressing.
    @inlinable
    public var index: Int? {
        guard rawValue & 0x0000_ffff_ffff_ffff == 0 else { return nil }
        let first = Int(rawValue >> 48)
        switch first >> 14 {
        case 0b00 where first < 256: return first
        case 0b01: return first & 0x3fff
        default: return nil
        }
    }

    /// The unit number in decimal, or all eight bytes in hexadecimal where it has no single-level number.
    public var description: String {
        if let index { return String(index) }
        return "0x" + hexadecimal(rawValue, digits: 16)
    }
}

/// `value` in lower-case hexadecimal with leading zeros up to `digits`.
func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
