/// Readers and writers for the value formats of RFC 7143 section 6.1. All are total: what is not well-formed is nil.
public enum TextValue {
    /// A number: decimal without leading zeros, or hexadecimal after `0x`, up to 64 bits.
    public static func number(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8.prefix(40))
        guard bytes.count == text.utf8.count, let first = bytes.first else { return nil }
        if bytes.count > 2, first == 0x30, bytes[1] == 0x78 || bytes[1] == 0x58 {
            var value: UInt64 = 0
            for byte in bytes[2...] {
                guard let digit = hexadecimalDigit(byte), value >> 60 == 0 else { return nil }
                value = value << 4 | UInt64(digit)
            }
            return value
        }
        guard first != 0x30 || bytes.count == 1 else { return nil }
        var value: UInt64 = 0
        for byte in bytes {
            guard (0x30...0x39).contains(byte) else { return nil }
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, tooLargeAgain) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !tooLarge, !tooLargeAgain else { return nil }
            value = sum
        }
        return value
    }

    /// A number that lies in `range`.
    public static func number(_ text: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = number(text), let value = Int(exactly: value), range.contains(value) else { return nil }
        return value
    }

    /// A numeric range `n~m` with n not above m.
    public static func range(_ text: String) -> ClosedRange<UInt64>? {
        let parts = text.split(separator: "~", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 2, let low = number(String(parts[0])), let high = number(String(parts[1])), low <= high
        else { return nil }
        return low...high
    }

    /// `Yes` or `No`.
    public static func boolean(_ text: String) -> Bool? {
        switch text {
        case "Yes": true
        case "No": false
        default: nil
        }
    }

    /// A boolean as text.
    public static func text(_ value: Bool) -> String { value ? "Yes" : "No" }

    /// A list of values separated by commas: 1 to 64 of them, none empty.
    public static func list(_ text: String) -> [String]? {
        let parts = text.split(separator: ",", maxSplits: 64, omittingEmptySubsequences: false)
        guard parts.count <= 64, parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        return parts.map { String($0) }
    }

    /// A binary value of at most `maximumLengthBytes`: hexadecimal after `0x`, base64 after `0b`. The length is judged
    /// before anything is decoded. An odd number of hexadecimal digits has a zero in front of it.
    public static func binary(_ text: String, maximumLengthBytes: Int) -> [UInt8]? {
        let bytes = Array(text.utf8.prefix(TextLimits.valueLengthBytes + 1))
        guard bytes.count > 2, bytes.count <= TextLimits.valueLengthBytes, bytes[0] == 0x30 else { return nil }
        switch bytes[1] {
        case 0x78, 0x58: return hexadecimal(bytes[2...], maximumLengthBytes)
        case 0x62, 0x42: return base64(bytes[2...], maximumLengthBytes)
        default: return nil
        }
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>, _ maximum: Int) -> [UInt8]? {
        guard (digits.count + 1) / 2 <= maximum else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity((digits.count + 1) / 2)
        var high: UInt8? = digits.count % 2 == 0 ? nil : 0
        for byte in digits {
            guard let digit = hexadecimalDigit(byte) else { return nil }
            if let value = high {
                result.append(value << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return result
    }

    private static func base64(_ characters: ArraySlice<UInt8>, _ maximum: Int) -> [UInt8]? {
        guard characters.count % 4 == 0, characters.count / 4 * 3 - 2 <= maximum else { return nil }
        var padding = 0
        var body = characters
        while padding < 2, body.last == 0x3d {
            body = body.dropLast()
            padding += 1
        }
        var result: [UInt8] = []
        result.reserveCapacity(characters.count / 4 * 3)
        var register: UInt32 = 0
        var bits: UInt32 = 0
        for byte in body {
            guard let value = base64Value(byte) else { return nil }
            register = register << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: register >> bits))
            }
        }
        // What is left over must be zero, or two texts would stand for one value.
        guard register & ((1 << bits) - 1) == 0, result.count <= maximum else { return nil }
        return result
    }

    private static func base64Value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x41...0x5a: byte - 0x41
        case 0x61...0x7a: byte - 0x61 + 26
        case 0x30...0x39: byte - 0x30 + 52
        case 0x2b: 62
        case 0x2f: 63
        default: nil
        }
    }

    /// A binary value as `0x` and hexadecimal digits.
    public static func text(hexadecimal bytes: [UInt8]) -> String {
        var text = "0x"
        for byte in bytes { text += ISCSI.hexadecimal(UInt64(byte), digits: 2) }
        return text
    }
}

/// The constants that may answer any key (RFC 7143 section 6.2).
public enum TextConstant {
    /// The value offered is not admissible.
    public static let reject = "Reject"
    /// The key has no meaning beside what was agreed before.
    public static let irrelevant = "Irrelevant"
    /// The key is not known here.
    public static let notUnderstood = "NotUnderstood"
    /// Nothing of a list.
    public static let none = "None"

    /// Whether `value` answers a key instead of offering something.
    static func isAnswer(_ value: String) -> Bool {
        value == reject || value == irrelevant || value == notUnderstood
    }
}
