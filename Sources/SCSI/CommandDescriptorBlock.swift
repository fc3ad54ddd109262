/// A command descriptor block (SPC-4 4.2.2): the first 32 bytes inline, big-endian, beyond them zeros.
///
/// It is kept as four words rather than bytes, so that a field at a constant offset costs a shift and not a loop.
/// No reader traps: bytes that were not received read as zero.
public struct CommandDescriptorBlock: BitwiseCopyable, Sendable, Equatable {
    /// The largest descriptor block kept. SBC-3 defines none that is longer.
    public static let capacityBytes = 32

    private var word0: UInt64 = 0
    private var word1: UInt64 = 0
    private var word2: UInt64 = 0
    private var word3: UInt64 = 0
    /// Bytes received, at most 32. An iSCSI header always carries 16, whatever the command's own length.
    public private(set) var receivedLengthBytes: UInt8

    /// Takes the 16 bytes of an iSCSI header's CDB field (RFC 7143 11.3.5). Shorter spans are padded with zeros.
    @inline(__always)
    public init(_ bytes: RawSpan) {
        receivedLengthBytes = UInt8(min(bytes.byteCount, Self.capacityBytes))
        word0 = Self.word(bytes, at: 0)
        word1 = Self.word(bytes, at: 8)
        word2 = Self.word(bytes, at: 16)
        word3 = Self.word(bytes, at: 24)
    }

    /// Takes the 16 bytes of an iSCSI header's CDB field as two words in wire order, which is how the data path has them.
    @inline(__always)
    public init(wireWords: InlineArray<2, UInt64>) {
        receivedLengthBytes = 16
        word0 = UInt64(bigEndian: wireWords[0])
        word1 = UInt64(bigEndian: wireWords[1])
    }

    /// The same with what an Extended CDB additional header segment (RFC 7143 11.2.2.3) adds.
    public init(wireWords: InlineArray<2, UInt64>, extension additional: [UInt8]) {
        self.init(wireWords: wireWords)
        let kept = min(additional.count, Self.capacityBytes - 16)
        let more = Self(additional)
        word2 = more.word0
        word3 = more.word1
        receivedLengthBytes = 16 + UInt8(kept)
    }

    /// Takes the header's 16 bytes and what an Extended CDB additional header segment (RFC 7143 11.2.2.3) adds.
    /// Bytes beyond the 32nd are left out: no command served here reads them.
    public init(_ bytes: RawSpan, extension additional: RawSpan) {
        self.init(bytes)
        let kept = min(additional.byteCount, Self.capacityBytes - 16)
        word2 = Self.word(additional, at: 0)
        word3 = Self.word(additional, at: 8)
        receivedLengthBytes = 16 + UInt8(kept)
    }

    /// Takes the bytes of an array; for tests and tools.
    public init(_ bytes: [UInt8]) {
        // A view of the array, which outlives the call.
        self.init(unsafe bytes.span.bytes)
    }

    // The readers below run several times a command and come down to a shift once inlined; left to itself the
    // optimiser calls them, which made decoding a READ three times slower.

    @inline(__always)
    private static func word(_ bytes: RawSpan, at offset: Int) -> UInt64 {
        if offset + 8 <= bytes.byteCount {
            // In bounds by the line above; the load is of a plain integer.
            return UInt64(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        // The usual case: an iSCSI header has 16 bytes and the upper words are empty.
        return offset >= bytes.byteCount ? 0 : partialWord(bytes, at: offset)
    }

    @inline(never)
    private static func partialWord(_ bytes: RawSpan, at offset: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<(offset + 8) {
            value <<= 8
            if index < bytes.byteCount {
                value |= UInt64(unsafe bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt8.self))
            }
        }
        return value
    }

    @inline(__always)
    private func word(_ index: Int) -> UInt64 {
        switch index {
        case 0: word0
        case 1: word1
        case 2: word2
        case 3: word3
        default: 0
        }
    }

    /// Eight bytes from `offset` on, as an unsigned integer.
    @inline(__always)
    public func uint64(at offset: Int) -> UInt64 {
        let index = offset >> 3
        let shift = UInt64(offset & 7) * 8
        return shift == 0 ? word(index) : word(index) &<< shift | word(index + 1) &>> (64 - shift)
    }

    /// Four bytes from `offset` on.
    @inline(__always)
    public func uint32(at offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: uint64(at: offset) &>> 32) }

    /// Three bytes from `offset` on.
    @inline(__always)
    public func uint24(at offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: uint64(at: offset) &>> 40) }

    /// Two bytes from `offset` on.
    @inline(__always)
    public func uint16(at offset: Int) -> UInt16 { UInt16(truncatingIfNeeded: uint64(at: offset) &>> 48) }

    /// The byte at `offset`.
    @inline(__always)
    public func byte(_ offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: word(offset >> 3) &>> UInt64(56 - (offset & 7) * 8))
    }

    /// OPERATION CODE, byte 0 (SPC-4 4.2.5.1).
    public var operationCode: OperationCode { OperationCode(rawValue: byte(0)) }

    /// SERVICE ACTION: bytes 8 and 9 of a variable length block, otherwise bits 4 to 0 of byte 1 (SPC-4 4.2.5.2).
    /// Only meaningful for operation codes that have service actions.
    public var serviceAction: UInt16 {
        operationCode == .variableLength ? uint16(at: 8) : UInt16(byte(1) & 0x1F)
    }

    /// How long the command's own block is, by its group code (SPC-4 table 8); vendor specific groups count as 16.
    @inline(__always)
    public var lengthBytes: Int {
        switch byte(0) >> 5 {
        case 0: 6
        case 1, 2: 10
        case 3: operationCode == .variableLength ? 8 + Int(byte(7)) : 16
        case 5: 12
        default: 16
        }
    }

    /// CONTROL (SAM-5 5.2): the last byte of a fixed length block, byte 1 of a variable length one.
    public var control: UInt8 {
        operationCode == .variableLength ? byte(1) : byte(lengthBytes - 1)
    }

    /// The sense for a CONTROL byte that asks for what is not served: NACA, since standard INQUIRY says NORMACA 0.
    @inline(__always)
    package var controlFault: Sense? {
        guard control & 0x04 != 0 else { return nil }
        let offset = operationCode == .variableLength ? 1 : lengthBytes - 1
        return .invalidFieldInCDB(byte: UInt16(offset), bit: 2)
    }
}
