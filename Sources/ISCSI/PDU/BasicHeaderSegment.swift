/// The 48 bytes that every PDU starts with (RFC 7143 section 11.2.1), kept in memory exactly as they stand on the wire.
///
/// The storage is six 64-bit words in wire order, because no field of the standard crosses an 8-byte boundary: a field
/// is one load, one byte swap and one shift, all of it safe code that cannot read outside the header. The value is
/// trivial, so a header is copied out of a receive buffer and into a send buffer as 48 bytes. An array of bytes reads
/// more naturally but costs a bounds check and a shift a byte; a pointer into the buffer would tie the header's life
/// to a slot that is given back earlier.
///
/// Fields are read and written through `HeaderField`, where each is declared once. Any 48 bytes are a valid value:
/// what they mean is for the views (`SCSICommand`, `LoginRequest`, ...) and their callers to judge.
@frozen
public struct BasicHeaderSegment: Sendable, BitwiseCopyable {
    /// The length of the segment in bytes.
    @inlinable
    public static var lengthBytes: Int { 48 }

    /// The header as six words in wire order: on a little-endian machine their bytes are swapped.
    public var words: InlineArray<6, UInt64>

    /// A header of zeros.
    @inlinable
    public init() { words = InlineArray(repeating: 0) }

    /// A header of zeros with the opcode set.
    @inlinable
    public init(opcode: Opcode) {
        self.init()
        self[.opcode] = opcode.rawValue
    }

    /// The 48 bytes of `bytes` that start at `offset`, or nil where there are fewer.
    @inlinable
    public init?(_ bytes: RawSpan, at offset: Int = 0) {
        guard offset >= 0, bytes.byteCount >= Self.lengthBytes, offset <= bytes.byteCount - Self.lengthBytes else {
            return nil
        }
        // Safe: the range was checked above, and every bit pattern is a UInt64.
        words = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: InlineArray<6, UInt64>.self)
    }

    /// Writes the 48 bytes at `offset`. That `bytes` has room for them is the caller's duty.
    @inlinable
    public func store(into bytes: inout MutableRawSpan, at offset: Int = 0) {
        bytes.storeBytes(of: words, toByteOffset: offset, as: InlineArray<6, UInt64>.self)
    }

    /// The header as an array: for a Reject's data segment, tests and log lines, not for the data path.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(Self.lengthBytes)
        for word in 0..<6 {
            let value = UInt64(bigEndian: words[word])
            for byte in 0..<8 { result.append(UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * byte))) }
        }
        return result
    }

    /// The value of one field.
    @inlinable
    public subscript<Value: HeaderFieldValue>(field: HeaderField<Value>) -> Value {
        @inline(__always)
        get { Value(headerBits: (UInt64(bigEndian: words[field.word]) &>> field.shift) & field.mask) }
        @inline(__always)
        set {
            let cleared = UInt64(bigEndian: words[field.word]) & ~(field.mask &<< field.shift)
            words[field.word] = (cleared | (newValue.headerBits & field.mask) &<< field.shift).bigEndian
        }
    }

    /// What PDU this is, or nil for an opcode that the standard does not know.
    @inlinable
    public var opcode: Opcode? { Opcode(rawValue: self[.opcode]) }

    /// Whether the PDU is marked for immediate delivery.
    @inlinable
    public var isImmediate: Bool { self[.immediate] }

    /// The length of the data segment in bytes, without padding: at most 16,777,215.
    @inlinable
    public var dataSegmentLength: Int {
        get { Int(self[.dataSegmentLength]) }
        set { self[.dataSegmentLength] = UInt32(truncatingIfNeeded: newValue) }
    }

    /// The length of the data segment in bytes with its padding to four.
    @inlinable
    public var paddedDataSegmentLength: Int { Self.padded(dataSegmentLength) }

    /// The length of all additional header segments in bytes: at most 1,020.
    @inlinable
    public var totalAHSLengthBytes: Int {
        get { Int(self[.totalAHSLength]) * 4 }
        set { self[.totalAHSLength] = UInt8(truncatingIfNeeded: newValue / 4) }
    }

    /// The Initiator Task Tag. Every opcode has it in the same place.
    @inlinable
    public var initiatorTaskTag: InitiatorTaskTag {
        get { self[.initiatorTaskTag] }
        set { self[.initiatorTaskTag] = newValue }
    }

    /// `length` rounded up to the next multiple of four (RFC 7143 section 11.1).
    @inlinable
    public static func padded(_ length: Int) -> Int { (length &+ 3) & ~3 }

    /// How many bytes of zero follow `length` bytes of data: 0 to 3.
    @inlinable
    public static func padding(_ length: Int) -> Int { (0 &- length) & 3 }
}

extension BasicHeaderSegment: Equatable {
    /// Whether all 48 bytes agree.
    @inlinable
    public static func == (lhs: BasicHeaderSegment, rhs: BasicHeaderSegment) -> Bool {
        for word in 0..<6 where lhs.words[word] != rhs.words[word] { return false }
        return true
    }
}

/// Where the parts of one PDU lie, counted from its first byte (RFC 7143 section 11.1): header, additional header
/// segments, header digest, data segment with padding, data digest.
@frozen
public struct PDULayout: Sendable, BitwiseCopyable, Equatable {
    /// Where the additional header segments end and the header digest stands, where there is one.
    public let headerLength: Int
    /// Where the data segment starts.
    public let dataOffset: Int
    /// The length of the data segment without padding.
    public let dataLength: Int
    /// Where the data segment's padding ends and the data digest stands, where there is one.
    public let paddedDataEnd: Int
    /// The length of the whole PDU.
    public let totalLength: Int

    /// The layout of the PDU that `header` begins on a connection with these digests. A PDU without data has no data
    /// digest.
    @inlinable
    public init(_ header: BasicHeaderSegment, headerDigest: Bool, dataDigest: Bool) {
        headerLength = BasicHeaderSegment.lengthBytes + header.totalAHSLengthBytes
        dataOffset = headerLength + (headerDigest ? 4 : 0)
        dataLength = header.dataSegmentLength
        paddedDataEnd = dataOffset + BasicHeaderSegment.padded(dataLength)
        totalLength = paddedDataEnd + (dataDigest && dataLength > 0 ? 4 : 0)
    }
}
