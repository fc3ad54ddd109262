/// A value that a header field can hold.
public protocol HeaderFieldValue {
    /// The value of the field's bits, right-aligned.
    init(headerBits: UInt64)
    /// The bits to store, right-aligned; what is wider than the field is cut off.
    var headerBits: UInt64 { get }
}

/// One field of the basic header segment: where it is, how wide it is, and what it holds. Numbers are big-endian.
///
/// All fields are declared in `HeaderFields.swift`, each once, beside the section of RFC 7143 that defines it.
@frozen
public struct HeaderField<Value: HeaderFieldValue>: Sendable {
    @usableFromInline let word: Int
    @usableFromInline let shift: UInt64
    @usableFromInline let mask: UInt64

    /// A field of `bytes` whole bytes from byte `byte` on. It may not cross a multiple of eight.
    @inlinable
    @inline(__always)
    init(byte: Int, bytes: Int) {
        word = byte / 8
        shift = UInt64(64 - 8 * (byte % 8 + bytes))
        mask = bytes == 8 ? UInt64.max : (1 &<< UInt64(8 * bytes)) - 1
    }

    /// A field of `bits` bits in byte `byte`, the lowest of them being bit `lowest` (bit 0 is the byte's least
    /// significant one, which the standard numbers 7).
    @inlinable
    @inline(__always)
    init(byte: Int, lowest: Int, bits: Int) {
        word = byte / 8
        shift = UInt64(56 - 8 * (byte % 8) + lowest)
        mask = (1 &<< UInt64(bits)) - 1
    }
}

extension Bool: HeaderFieldValue {
    /// True when any bit is set.
    @inlinable
    public init(headerBits: UInt64) { self = headerBits != 0 }
    /// 1 or 0.
    @inlinable
    public var headerBits: UInt64 { self ? 1 : 0 }
}

extension UInt8: HeaderFieldValue {
    /// The low 8 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(truncatingIfNeeded: headerBits) }
    /// The number itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(self) }
}

extension UInt16: HeaderFieldValue {
    /// The low 16 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(truncatingIfNeeded: headerBits) }
    /// The number itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(self) }
}

extension UInt32: HeaderFieldValue {
    /// The low 32 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(truncatingIfNeeded: headerBits) }
    /// The number itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(self) }
}

extension SerialNumber: HeaderFieldValue {
    /// The low 32 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(UInt32(truncatingIfNeeded: headerBits)) }
    /// The number itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(rawValue) }
}

extension InitiatorTaskTag: HeaderFieldValue {
    /// The low 32 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(UInt32(truncatingIfNeeded: headerBits)) }
    /// The tag itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(rawValue) }
}

extension TargetTransferTag: HeaderFieldValue {
    /// The low 32 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(UInt32(truncatingIfNeeded: headerBits)) }
    /// The tag itself.
    @inlinable
    public var headerBits: UInt64 { UInt64(rawValue) }
}

extension LogicalUnitNumber: HeaderFieldValue {
    /// All eight bytes.
    @inlinable
    public init(headerBits: UInt64) { self.init(rawValue: headerBits) }
    /// All eight bytes.
    @inlinable
    public var headerBits: UInt64 { rawValue }
}

extension ISID: HeaderFieldValue {
    /// The low 48 bits.
    @inlinable
    public init(headerBits: UInt64) { self.init(rawValue: headerBits) }
    /// The low 48 bits.
    @inlinable
    public var headerBits: UInt64 { rawValue }
}
