/// One additional header segment (RFC 7143 section 11.2.2), as a place in the bytes that were received.
@frozen
public struct AdditionalHeaderSegment: Sendable, BitwiseCopyable, Equatable {
    /// The AHSType codes of section 11.2.2.1.
    @frozen
    public enum Kind: UInt8, Sendable {
        /// Extended CDB (section 11.2.2.3): what follows the first 16 bytes.
        case extendedCDB = 1
        /// Bidirectional Expected Read-Data Length (section 11.2.2.4): four bytes.
        case bidirectionalReadLength = 2
    }

    /// The whole AHSType byte: two reserved bits and the code.
    public let typeByte: UInt8
    /// Where the content starts, counted from the first byte of the additional header segments.
    public let contentOffset: Int
    /// The length of the content in bytes, without padding.
    public let contentLength: Int

    /// What the segment is, or nil for a code the standard does not know.
    @inlinable
    public var kind: Kind? { Kind(rawValue: typeByte & 0x3f) }

    /// The Expected Read-Data Length of a bidirectional command, or nil where the segment is something else or has the
    /// wrong size.
    public func bidirectionalReadLength(in segments: RawSpan) -> UInt32? {
        guard kind == .bidirectionalReadLength, contentLength == 4 else { return nil }
        return segments.bigEndianUInt32(at: contentOffset)
    }

    /// The content bytes, for the rest of a long CDB.
    public func content(in segments: RawSpan) -> [UInt8] {
        guard contentOffset >= 0, contentLength >= 0, contentOffset + contentLength <= segments.byteCount else {
            return []
        }
        return segments.array(contentOffset..<contentOffset + contentLength)
    }
}

/// Why additional header segments cannot be read.
public enum AdditionalHeaderFault: Error, Sendable, Equatable {
    /// Fewer than four bytes are left for the segment's own head; the value is where it starts.
    case truncated(at: Int)
    /// AHSLength is 0, or reaches beyond the end; the value is where the segment starts.
    case badLength(at: Int)
}

/// Walks over the additional header segments of one PDU. The cursor holds only a place, so it can be kept while the
/// bytes are elsewhere.
@frozen
public struct AdditionalHeaderCursor: Sendable, BitwiseCopyable {
    /// Where the next segment starts.
    public private(set) var offset = 0

    /// A cursor at the first segment.
    public init() {}

    /// The next segment of `segments` (TotalAHSLength bytes), or nil at the end. After a fault nothing further can be
    /// read.
    public mutating func next(in segments: RawSpan) throws(AdditionalHeaderFault) -> AdditionalHeaderSegment? {
        guard offset < segments.byteCount else { return nil }
        let start = offset
        guard let length = segments.bigEndianUInt16(at: start), let type = segments.byte(at: start + 2),
            start + 4 <= segments.byteCount
        else { throw .truncated(at: start) }
        // AHSLength counts the AHS-specific byte at 3, but neither itself nor AHSType.
        let end = start + 3 + Int(length)
        guard length > 0, end <= segments.byteCount else { throw .badLength(at: start) }
        offset = BasicHeaderSegment.padded(end)
        return AdditionalHeaderSegment(typeByte: type, contentOffset: start + 4, contentLength: Int(length) - 1)
    }

    /// The bytes of one segment, padded to four: for requests and tests. `content` may have at most 65,534 bytes; the
    /// TotalAHSLength field ends at 1,020.
    public static func encode(_ kind: AdditionalHeaderSegment.Kind, content: [UInt8]) -> [UInt8] {
        let length = UInt16(clamping: content.count + 1)
        var bytes = [UInt8(length >> 8), UInt8(length & 0xff), kind.rawValue, 0] + content
        while bytes.count % 4 != 0 { bytes.append(0) }
        return bytes
    }
}

extension RawSpan {
    /// The byte at `offset`, or nil outside the span.
    @inlinable
    func byte(at offset: Int) -> UInt8? {
        guard offset >= 0, offset < byteCount else { return nil }
        return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
    }

    /// The two bytes at `offset` as a big-endian number, or nil outside the span.
    @inlinable
    func bigEndianUInt16(at offset: Int) -> UInt16? {
        guard offset >= 0, byteCount >= 2, offset <= byteCount - 2 else { return nil }
        return UInt16(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// The four bytes at `offset` as a big-endian number, or nil outside the span.
    @inlinable
    func bigEndianUInt32(at offset: Int) -> UInt32? {
        guard offset >= 0, byteCount >= 4, offset <= byteCount - 4 else { return nil }
        return UInt32(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// A copy of the bytes in `range`, which must lie inside.
    func array(_ range: Range<Int>) -> [UInt8] {
        let part = extracting(range)
        var result: [UInt8] = []
        result.reserveCapacity(part.byteCount)
        for offset in 0..<part.byteCount {
            result.append(unsafe part.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self))
        }
        return result
    }
}
