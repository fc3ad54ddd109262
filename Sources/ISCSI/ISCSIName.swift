/// The name of an iSCSI node: iqn., eui. or naa. (RFC 7143 section 4.2.7), checked and in normal form.
///
/// Two names are one node exactly when their normal forms are equal, so `==` and hashing may be used on it. Only ASCII
/// names are taken: letters, digits, `-`, `.` and `:`. The standard also lets prepared Unicode in (RFC 3722); no
/// initiator that this project serves sends it, and a name that looks like another one is a risk to access rules.
public struct ISCSIName: Hashable, Sendable, CustomStringConvertible {
    /// The normal form: lower case (RFC 7143 section 4.2.7.1).
    public let text: String

    /// The longest name in bytes (RFC 7143 section 4.2.7.1).
    public static let maximumLengthBytes = 223

    /// What is wrong with a name.
    public enum Fault: Error, Sendable, Equatable, CustomStringConvertible {
        /// No byte at all.
        case empty
        /// More than 223 bytes; the value is the length found.
        case tooLong(Int)
        /// A byte that may not stand in a name.
        case illegalByte(UInt8)
        /// Not one of `iqn.`, `eui.` and `naa.`.
        case unknownFormat
        /// Not `iqn.yyyy-mm.reversed-domain[:string]`.
        case malformedIQN
        /// Not `eui.` and 16 hexadecimal digits.
        case malformedEUI
        /// Not `naa.` and 16 or 32 hexadecimal digits.
        case malformedNAA

        /// One phrase for a log line.
        public var description: String {
            switch self {
            case .empty: "the name is empty"
            case .tooLong(let length): "the name has \(length) bytes, 223 are the most"
            case .illegalByte(let byte):
                "byte 0x\(hexadecimal(UInt64(byte), digits: 2)) may not stand in a name (a-z, 0-9, '-', '.' and ':' may)"
            case .unknownFormat: "the name starts with none of iqn. eui. naa."
            case .malformedIQN: "an iqn. name is iqn.yyyy-mm.reversed-domain[:string]"
            case .malformedEUI: "an eui. name is eui. and 16 hexadecimal digits"
            case .malformedNAA: "a naa. name is naa. and 16 or 32 hexadecimal digits"
            }
        }
    }

    /// Checks `text` and puts it in normal form.
    public init(_ text: String) throws(Fault) {
        let count = text.utf8.count
        guard count > 0 else { throw .empty }
        guard count <= Self.maximumLengthBytes else { throw .tooLong(count) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for byte in text.utf8 {
            switch byte {
            case 0x61...0x7a, 0x30...0x39, 0x2d, 0x2e, 0x3a: bytes.append(byte)
            case 0x41...0x5a: bytes.append(byte | 0x20)
            default: throw .illegalByte(byte)
            }
        }
        switch bytes.prefix(4) {
        case [0x69, 0x71, 0x6e, 0x2e]:
            guard Self.isIQN(bytes) else { throw .malformedIQN }
        case [0x65, 0x75, 0x69, 0x2e]:
            guard bytes.count == 20, bytes[4...].allSatisfy({ hexadecimalDigit($0) != nil }) else {
                throw .malformedEUI
            }
        case [0x6e, 0x61, 0x61, 0x2e]:
            guard bytes.count == 20 || bytes.count == 36, bytes[4...].allSatisfy({ hexadecimalDigit($0) != nil }) else {
                throw .malformedNAA
            }
        default: throw .unknownFormat
        }
        self.text = String(decoding: bytes, as: UTF8.self)
    }

    /// `iqn.yyyy-mm.` and a naming authority that is not empty (RFC 7143 section 4.2.7.3).
    private static func isIQN(_ bytes: [UInt8]) -> Bool {
        guard bytes.count > 12 else { return false }
        let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
        guard bytes[4..<8].allSatisfy(isDigit), bytes[8] == 0x2d, bytes[9..<11].allSatisfy(isDigit), bytes[11] == 0x2e
        else { return false }
        let month = (bytes[9] - 0x30) * 10 + bytes[10] - 0x30
        guard (1...12).contains(month) else { return false }
        return bytes[12] != 0x2e && bytes[12] != 0x3a
    }

    /// The name in its normal form.
    public var description: String { text }
}
