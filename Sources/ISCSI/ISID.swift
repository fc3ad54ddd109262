/// The initiator part of a session identifier: six bytes chosen by the initiator (RFC 7143 section 11.12.5).
@frozen
public struct ISID: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The six bytes in the low 48 bits, the first one on the wire in the most significant place.
    public let rawValue: UInt64

    /// An ISID from the low 48 bits of `rawValue`; the others are dropped.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

    /// Who assigned the rest of the identifier: the T field.
    @frozen
    public enum Format: UInt8, Sendable {
        /// A and B hold an IEEE company identifier, C and D a qualifier.
        case organizationallyUnique = 0
        /// A and B hold an IANA enterprise number, C and D a qualifier. open-iscsi uses this one.
        case enterpriseNumber = 1
        /// A, B and C are random, D is a qualifier. libiscsi uses this one.
        case random = 2
        /// Reserved by the standard.
        case reserved = 3
    }

    /// The T field: two bits.
    public var format: Format { Format(rawValue: UInt8(truncatingIfNeeded: rawValue >> 46)) ?? .reserved }
    /// The A field: six bits.
    public var a: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 40) & 0x3f }
    /// The B field.
    public var b: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 24) }
    /// The C field.
    public var c: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 16) }
    /// The D field, the qualifier in every format.
    public var d: UInt16 { UInt16(truncatingIfNeeded: rawValue) }

    /// An ISID from its fields; `a` is cut to six bits.
    public init(format: Format, a: UInt8, b: UInt16, c: UInt8, d: UInt16) {
        let head = UInt64(format.rawValue) << 46 | UInt64(a & 0x3f) << 40
        self.init(rawValue: head | UInt64(b) << 24 | UInt64(c) << 16 | UInt64(d))
    }

    /// An ISID from 12 hexadecimal digits, with or without a leading `0x`; nil for anything else.
    public init?(text: String) {
        var digits = Substring(text)
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") { digits = digits.dropFirst(2) }
        guard digits.utf8.count == 12, digits.utf8.allSatisfy({ hexadecimalDigit($0) != nil }),
            let value = UInt64(digits, radix: 16)
        else { return nil }
        self.init(rawValue: value)
    }

    /// Twelve hexadecimal digits, as open-iscsi and transport identifiers (SPC-4 section 7.6.4.6) write it.
    public var description: String { hexadecimal(rawValue, digits: 12) }
}

/// The value of an ASCII hexadecimal digit, or nil for any other byte.
@inline(__always)
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
