/// One key=value pair of a login or text PDU (RFC 7143 section 6.1).
public struct TextPair: Sendable, Equatable, CustomStringConvertible {
    /// The key, case-sensitive.
    public let key: String
    /// The value, not decoded.
    public let value: String

    /// A pair.
    public init(_ key: String, _ value: String) {
        self.key = key
        self.value = value
    }

    /// `key=value`, safe for a log line.
    public var description: String { "\(printable(key))=\(printable(value))" }
}

/// The bounds on text from a peer.
public enum TextLimits {
    /// The longest key in bytes (RFC 7143 section 6.1).
    public static let keyLengthBytes = 63
    /// The longest value in bytes, encoded: a large binary value of 1,024 bytes in hexadecimal fits.
    public static let valueLengthBytes = 8192
    /// The most pairs in one request. Login has some 40 keys in all.
    public static let pairs = 64
    /// The most text of one request, over all its PDUs, in bytes.
    public static let textLengthBytes = 16384
}

/// Why text from a peer cannot be read.
public enum TextFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// More than `TextLimits.textLengthBytes` before the last PDU.
    case textTooLong
    /// More than `TextLimits.pairs` pairs.
    case tooManyPairs
    /// No NUL after the last pair.
    case notTerminated
    /// No `=` in a pair; the value is the start of it.
    case noEqualsSign(String)
    /// A key that is empty, longer than 63 bytes or has a byte that may not stand in it.
    case badKey(String)
    /// The value of this key is longer than `TextLimits.valueLengthBytes`.
    case valueTooLong(String)
    /// The value of this key is not UTF-8.
    case notUTF8(String)
    /// This key came twice in one request.
    case duplicateKey(String)

    /// One phrase for a log line.
    public var description: String {
        switch self {
        case .textTooLong: "more than \(TextLimits.textLengthBytes) bytes of text in one request"
        case .tooManyPairs: "more than \(TextLimits.pairs) keys in one request"
        case .notTerminated: "the last key=value pair does not end with NUL"
        case .noEqualsSign(let text): "'\(printable(text))' has no '='"
        case .badKey(let key): "'\(printable(key))' is no key name"
        case .valueTooLong(let key):
            "the value of \(printable(key)) is longer than \(TextLimits.valueLengthBytes) bytes"
        case .notUTF8(let key): "the value of \(printable(key)) is not UTF-8"
        case .duplicateKey(let key): "\(printable(key)) came twice"
        }
    }
}

/// The pairs of one request or response, in the order they came, no key twice.
public struct TextKeys: Sendable, Equatable {
    /// The pairs in order.
    public private(set) var pairs: [TextPair] = []

    /// No pairs.
    public init() {}

    /// Reads NUL-terminated pairs. Empty ones (a NUL alone) are passed over. `repeatable` keys may come several times:
    /// TargetName and TargetAddress do in the answer to SendTargets.
    public init(_ text: [UInt8], repeatable: Set<String> = []) throws(TextFault) {
        guard text.count <= TextLimits.textLengthBytes || !repeatable.isEmpty else { throw .textTooLong }
        var seen: Set<String> = []
        var start = 0
        while start < text.count {
            guard let end = text[start...].firstIndex(of: 0) else { throw .notTerminated }
            defer { start = end + 1 }
            if start == end { continue }
            guard pairs.count < TextLimits.pairs || !repeatable.isEmpty else { throw .tooManyPairs }
            let pair = try Self.pair(text[start..<end])
            guard repeatable.contains(pair.key) || seen.insert(pair.key).inserted else { throw .duplicateKey(pair.key) }
            pairs.append(pair)
        }
    }

    private static func pair(_ bytes: ArraySlice<UInt8>) throws(TextFault) -> TextPair {
        let head = String(decoding: bytes.prefix(TextLimits.keyLengthBytes), as: UTF8.self)
        guard let equals = bytes.firstIndex(of: 0x3d) else { throw .noEqualsSign(head) }
        let keyBytes = bytes[..<equals]
        let key = String(decoding: keyBytes.prefix(TextLimits.keyLengthBytes), as: UTF8.self)
        guard (1...TextLimits.keyLengthBytes).contains(keyBytes.count), keyBytes.allSatisfy(isKeyByte) else {
            throw .badKey(key)
        }
        let valueBytes = bytes[(equals + 1)...]
        guard valueBytes.count <= TextLimits.valueLengthBytes else { throw .valueTooLong(key) }
        guard let value = String(validating: valueBytes, as: UTF8.self) else { throw .notUTF8(key) }
        return TextPair(key, value)
    }

    /// Letters, digits, `.`, `-`, `+`, `@`, `_` and, for the vendor keys of section 13.22, `#` and `/`.
    private static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2e, 0x2d, 0x2b, 0x40, 0x5f, 0x23, 0x2f: true
        default: false
        }
    }

    /// The value of `key`, or nil where it is not there.
    public subscript(key: String) -> String? { pairs.first { $0.key == key }?.value }
}

/// Puts the text of one request together from PDUs with the C bit (RFC 7143 section 6.2), up to
/// `TextLimits.textLengthBytes`.
public struct TextAccumulator: Sendable {
    private var text: [UInt8] = []

    /// Nothing received yet.
    public init() {}

    /// How many bytes wait for the rest.
    public var lengthBytes: Int { text.count }

    /// Adds the data segment of one PDU.
    public mutating func append(_ data: RawSpan) throws(TextFault) {
        guard data.byteCount <= TextLimits.textLengthBytes - text.count else { throw .textTooLong }
        text += data.array(0..<data.byteCount)
    }

    /// The whole text, when the last PDU has come; the accumulator is empty again.
    public mutating func take() -> [UInt8] {
        defer { text = [] }
        return text
    }
}

/// Writes pairs as they stand in a data segment, into a buffer with a bound.
public struct TextWriter: Sendable {
    /// What was written.
    public private(set) var bytes: [UInt8] = []
    /// The bound in bytes.
    public let limitBytes: Int

    /// An empty buffer.
    public init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// Adds `key=value` and NUL. False, and nothing is written, where the pair does not fit or holds a NUL itself.
    public mutating func append(_ key: String, _ value: String) -> Bool {
        guard key.utf8.count + value.utf8.count + 2 <= limitBytes - bytes.count, !key.utf8.contains(0),
            !value.utf8.contains(0)
        else { return false }
        bytes += key.utf8
        bytes.append(0x3d)
        bytes += value.utf8
        bytes.append(0)
        return true
    }

    /// Adds what another writer wrote, which had the room that is left here as its limit.
    mutating func append(_ record: TextWriter) { bytes += record.bytes }
}

/// Text to be sent in data segments of bounded length: the C bit stands in all but the last (RFC 7143 section 6.2).
public struct TextChunks: Sendable {
    private var text: [UInt8] = []
    private var sent = 0

    /// Nothing to send.
    public init() {}

    /// Whether all was handed out.
    public var isEmpty: Bool { sent == text.count }

    /// Adds text behind what is still to be sent.
    public mutating func append(_ bytes: [UInt8]) {
        if isEmpty {
            text = bytes
            sent = 0
        } else {
            text += bytes
        }
    }

    /// Forgets what was not sent.
    public mutating func removeAll() {
        text = []
        sent = 0
    }

    /// The next data segment, of at most `limit` bytes; empty at the end.
    public mutating func next(limit: Int) -> [UInt8] {
        let end = min(text.count, sent + max(1, limit))
        defer {
            sent = end
            if isEmpty { removeAll() }
        }
        return Array(text[sent..<end])
    }
}

/// `text` for a log line: what is not printable ASCII becomes `?`, and 256 bytes are the most.
func printable(_ text: String) -> String {
    let bytes = text.utf8.prefix(256).map { (0x20...0x7e).contains($0) ? $0 : 0x3f }
    return String(decoding: bytes, as: UTF8.self)
}
