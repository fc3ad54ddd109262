/// The CRC32C of some bytes, as whoever does the I/O can compute it best (RFC 7143 section 13.1: Castagnoli's
/// polynomial). A type and not a value, so that a connection is specialised for it and no call goes through a table.
public protocol CRC32CFunction: Sendable {
    /// Runs `bytes` through the register. A computation starts at 0xffffffff and its result is the complement of the
    /// last register (`CRC32C` does both); this is what `crc32_iscsi` of ISA-L takes and gives.
    static func update(_ register: UInt32, _ bytes: RawSpan) -> UInt32
}

/// A CRC32C in progress, over one or several runs of bytes.
@frozen
public struct CRC32C<Function: CRC32CFunction>: Sendable, BitwiseCopyable {
    /// The shift register.
    public var register: UInt32 = 0xffff_ffff

    /// A computation over no bytes yet.
    @inlinable
    public init() {}

    /// Adds bytes.
    @inlinable
    public mutating func update(_ bytes: RawSpan) { register = Function.update(register, bytes) }

    /// Adds the zeros that pad `dataLength` bytes to a multiple of four: the data digest covers them (section 11.1).
    public mutating func updatePadding(afterDataLength dataLength: Int) {
        let zeros: InlineArray<3, UInt8> = [0, 0, 0]
        let padding = BasicHeaderSegment.padding(dataLength)
        // Safe: plain bytes, at most three of them.
        register = unsafe Function.update(register, zeros.span.bytes.extracting(first: padding))
    }

    /// The checksum.
    @inlinable
    public var value: UInt32 { ~register }

    /// The checksum of `bytes`.
    @inlinable
    public static func checksum(of bytes: RawSpan) -> UInt32 {
        var crc = CRC32C()
        crc.update(bytes)
        return crc.value
    }
}

/// A header or data digest as four bytes of a PDU: the checksum's least significant byte goes first, as the examples of
/// RFC 7143 appendix A.4 show.
@frozen
public enum PDUDigest {
    /// The length of a digest in bytes.
    @inlinable
    public static var lengthBytes: Int { 4 }

    /// Reads the digest at `offset`, or gives nil where there are fewer than four bytes.
    @inlinable
    public static func load(from bytes: RawSpan, at offset: Int) -> UInt32? {
        guard let value = bytes.bigEndianUInt32(at: offset) else { return nil }
        return value.byteSwapped
    }

    /// Writes the digest at `offset`. That `bytes` has room for it is the caller's duty.
    @inlinable
    public static func store(_ checksum: UInt32, into bytes: inout MutableRawSpan, at offset: Int) {
        bytes.storeBytes(of: checksum.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
}

/// CRC32C in plain Swift, eight bytes a step: for tests, tools and hosts without ISA-L. About 1 GB/s.
public enum SoftwareCRC32C: CRC32CFunction {
    /// Runs `bytes` through the register.
    public static func update(_ register: UInt32, _ bytes: RawSpan) -> UInt32 {
        let table = tables.span
        var crc = register
        var offset = 0
        let count = bytes.byteCount
        while offset + 8 <= count {
            // Safe: eight bytes are left.
            let word = UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
            let mixed = word ^ UInt64(crc)
            crc = 0
            for lane in 0..<8 {
                crc ^= table[(7 - lane) * 256 + Int(truncatingIfNeeded: mixed >> UInt64(8 * lane)) & 0xff]
            }
            offset += 8
        }
        while offset < count {
            // Safe: one byte is left.
            let byte = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
            crc = crc >> 8 ^ table[Int(crc & 0xff ^ UInt32(byte))]
            offset += 1
        }
        return crc
    }

    /// Eight tables of 256: table n gives the effect of a byte that n further bytes follow.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var crc = UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0x82f6_3b78 }
            tables[byte] = crc
        }
        for lane in 1..<8 {
            for byte in 0..<256 {
                let before = tables[(lane - 1) * 256 + byte]
                tables[lane * 256 + byte] = before >> 8 ^ tables[Int(before & 0xff)]
            }
        }
        return tables
    }()
}
