/// iSCSI TransportIDs (SPC-4 7.6.4.6): how reservations name initiator ports.
///
/// TRANSPORTID FORMAT 00b is an initiator's iSCSI name, 01b its name, `,i,0x` and its ISID. Both: protocol identifier 5 in
/// the first byte, the length of what follows in bytes 2 and 3 (a multiple of four, at least 20), then the text, ended by
/// a zero and padded with zeros.
enum TransportID: Equatable {
    /// Every port of the initiator of this name.
    case initiator(String)
    /// One port: `iqn...,i,0x00023d000001`.
    case initiatorPort(String)

    /// The longest text: a name of 223 bytes (RFC 7143 4.2.7.1), `,i,0x`, twelve digits.
    private static let maximumTextBytes = 223 + 5 + 12

    /// Reads one from `offset` of a parameter list. Returns nil for anything that is not whole, not iSCSI's or not text.
    static func read(_ list: RawSpan, at offset: Int) -> (id: TransportID, lengthBytes: Int)? {
        guard offset >= 0, list.byteCount - offset >= 24 else { return nil }
        let first = list.byte(offset)
        guard first & 0x0F == 5, first & 0x30 == 0 else { return nil }
        let additional = Int(list.bigEndian(UInt16.self, at: offset + 2))
        guard additional >= 20, additional % 4 == 0, list.byteCount - offset - 4 >= additional else { return nil }
        var text: [UInt8] = []
        for index in 0..<additional {
            let byte = list.byte(offset + 4 + index)
            if byte == 0 { break }
            text.append(byte)
        }
        // The zero that ends the text has to be inside.
        guard !text.isEmpty, text.count < additional, text.count <= maximumTextBytes,
            text.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        let name = String(decoding: text, as: UTF8.self)
        switch first >> 6 {
        case 0 where !name.contains(","): return (.initiator(name.lowercased()), additional + 4)
        case 1:
            guard let port = portName(name) else { return nil }
            return (.initiatorPort(port), additional + 4)
        default: return nil
        }
    }

    /// The port name as this target writes it: lower case, the ISID as twelve digits.
    private static func portName(_ text: String) -> String? {
        let text = text.lowercased()
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[1] == "i", parts[2].hasPrefix("0x") else { return nil }
        let digits = parts[2].dropFirst(2)
        guard (1...12).contains(digits.count), digits.allSatisfy(\.isHexDigit) else { return nil }
        return "\(parts[0]),i,0x" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// The TransportID of an initiator port.
    static func bytes(initiatorPort name: String) -> [UInt8] {
        let text = [UInt8](name.utf8.prefix(maximumTextBytes))
        let additional = max(20, (text.count + 1 + 3) / 4 * 4)
        var bytes: [UInt8] = [0x45, 0x00]
        bytes.append(bigEndian: UInt16(additional))
        bytes += text
        bytes.append(contentsOf: repeatElement(0, count: additional - text.count))
        return bytes
    }

    /// The initiator's name in a port's.
    static func initiatorName(ofPort name: String) -> Substring { name.prefix { $0 != "," } }
}
