/// An address as rack.yaml and the command line have it: IPv4, IPv6 or a host name.
public enum NetworkAddress: Sendable, Hashable, CustomStringConvertible {
    /// Four bytes.
    case ipv4([UInt8])
    /// Sixteen bytes.
    case ipv6([UInt8])
    /// A host name in lower case.
    case hostName(String)

    /// Reads one address.
    public init(parsing text: String) throws(NetworkAddressError) {
        if text.utf8.contains(0x3a) {
            guard !text.utf8.contains(0x25) else { throw .zone(text) }
            guard let bytes = Self.ipv6Bytes(text) else { throw .badIPv6(text) }
            self = .ipv6(bytes)
            return
        }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        // A name whose last label is a number is no host name (RFC 1123, 2.1): it is a mistyped IPv4 address.
        if let last = labels.last, !last.isEmpty, last.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
            guard let bytes = Self.ipv4Bytes(text) else { throw .badIPv4(text) }
            self = .ipv4(bytes)
            return
        }
        guard text.utf8.count <= 253, labels.allSatisfy(Self.isHostLabel) else { throw .badHostName(text) }
        self = .hostName(text.lowercased())
    }

    /// The canonical text: dotted decimal, RFC 5952, or the host name.
    public var description: String {
        switch self {
        case .ipv4(let bytes): bytes.map(String.init).joined(separator: ".")
        case .ipv6(let bytes): Self.ipv6Text(bytes)
        case .hostName(let name): name
        }
    }

    /// True for `0.0.0.0` and `::`, which stand for every address of a machine.
    public var isWildcard: Bool {
        switch self {
        case .ipv4(let bytes), .ipv6(let bytes): bytes.allSatisfy { $0 == 0 }
        case .hostName: false
        }
    }

    /// True for `127.0.0.0/8`, `::1` and `localhost`.
    public var isLoopback: Bool {
        switch self {
        case .ipv4(let bytes): bytes.first == 127
        case .ipv6(let bytes): bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        case .hostName(let name): name == "localhost"
        }
    }

    private static func isHostLabel(_ label: Substring) -> Bool {
        guard (1...63).contains(label.utf8.count), label.utf8.first != 0x2d, label.utf8.last != 0x2d else {
            return false
        }
        return label.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d: true
            default: false
            }
        }
    }

    private static func ipv4Bytes(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            // A leading zero means octal to some programs, so it is not taken.
            guard !part.isEmpty, part.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
                part.utf8.count == 1 || part.utf8.first != 0x30, let byte = UInt8(part)
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func ipv6Bytes(_ text: String) -> [UInt8]? {
        var pieces = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard pieces.count >= 3, pieces.count <= 9 else { return nil }
        // The last 32 bits may be written as an IPv4 address (RFC 4291, 2.2).
        if let last = pieces.last, last.utf8.contains(0x2e) {
            guard let tail = ipv4Bytes(last) else { return nil }
            pieces.removeLast()
            pieces.append(String(UInt16(tail[0]) << 8 | UInt16(tail[1]), radix: 16))
            pieces.append(String(UInt16(tail[2]) << 8 | UInt16(tail[3]), radix: 16))
        }
        // "::" leaves an empty piece inside, and one more at an end it touches.
        if pieces.first == "" {
            guard pieces.count > 2, pieces[1] == "" else { return nil }
            pieces.removeFirst()
        }
        if pieces.last == "" {
            guard pieces.count > 1, pieces[pieces.count - 2] == "" else { return nil }
            pieces.removeLast()
        }
        let gaps = pieces.indices.filter { pieces[$0].isEmpty }
        guard gaps.count <= 1 else { return nil }
        if let gap = gaps.first {
            guard pieces.count <= 8 else { return nil }
            pieces.replaceSubrange(gap...gap, with: Array(repeating: "0", count: 9 - pieces.count))
        }
        guard pieces.count == 8 else { return nil }
        var bytes: [UInt8] = []
        for piece in pieces {
            guard (1...4).contains(piece.utf8.count), piece.utf8.first != 0x2b, piece.utf8.first != 0x2d,
                let word = UInt16(piece, radix: 16)
            else { return nil }
            bytes.append(UInt8(word >> 8))
            bytes.append(UInt8(word & 0xff))
        }
        return bytes
    }

    private static func ipv6Text(_ bytes: [UInt8]) -> String {
        let words = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        // RFC 5952, 4.2: the longest run of at least two zero words becomes "::", the first of equals.
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, words[end] == 0 { end += 1 }
            if end - start > max(1, best.count) { best = start..<end }
            start = max(end, start + 1)
        }
        let texts = words.map { String($0, radix: 16) }
        if best.isEmpty { return texts.joined(separator: ":") }
        return texts[..<best.lowerBound].joined(separator: ":") + "::"
            + texts[best.upperBound...].joined(separator: ":")
    }
}

/// Why a text is no address; `description` names the text and `advice` says what to write.
public enum NetworkAddressError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Ends in a number but is no dotted quad.
    case badIPv4(String)
    /// Has a colon but is no IPv6 address.
    case badIPv6(String)
    /// An IPv6 address with a zone, such as `fe80::1%eth0`.
    case zone(String)
    /// Neither an address nor a host name.
    case badHostName(String)
    /// A port that is no number in 1...65535.
    case badPort(String)

    /// What is wrong, naming the text.
    public var description: String {
        switch self {
        case .badIPv4(let text): "\(quoted(text)) is no IPv4 address"
        case .badIPv6(let text): "\(quoted(text)) is no IPv6 address"
        case .zone(let text): "\(quoted(text)) names a zone, which means nothing on another host"
        case .badHostName(let text): "\(quoted(text)) is neither an address nor a host name"
        case .badPort(let text): "\(quoted(text)) is no port"
        }
    }

    /// What to write in its place, beginning with a verb.
    public var advice: String {
        switch self {
        case .badIPv4: "write four numbers from 0 to 255 without leading zeros, such as 10.77.0.21"
        case .badIPv6: "write one such as fd00::21, without brackets or port"
        case .zone: "write a global or unique local address, such as fd00::21"
        case .badHostName: "write an address such as 10.77.0.21, or a name of letters, digits, hyphens and dots"
        case .badPort: "write a number from 1 to 65535"
        }
    }
}

/// An address and port as the command line has it: `10.77.0.21`, `10.77.0.21:3260`, `[fd00::21]:3260`, `fd00::21`,
/// `storage0:3260`.
public struct PortalAddress: Sendable, Hashable, CustomStringConvertible {
    /// The address.
    public let address: NetworkAddress
    /// TCP port, 1...65535.
    public let port: UInt16

    /// An address with a port.
    public init(address: NetworkAddress, port: UInt16 = Portal.defaultPort) {
        self.address = address
        self.port = port
    }

    /// Reads `ADDRESS` or `ADDRESS:PORT`; an IPv6 address with a port stands in brackets.
    public init(parsing text: String) throws(NetworkAddressError) {
        var addressText = text[...]
        var portText: Substring?
        if text.utf8.first == 0x5b {
            guard let end = text.firstIndex(of: "]") else { throw .badIPv6(text) }
            addressText = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { throw .badIPv6(text) }
            guard addressText.contains(":") else { throw .badIPv6(text) }
            portText = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
            addressText = text[..<colon]
            portText = text[text.index(after: colon)...]
        }
        address = try NetworkAddress(parsing: String(addressText))
        if let portText {
            guard portText.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = UInt16(portText), number > 0
            else { throw .badPort(String(portText)) }
            port = number
        } else {
            port = Portal.defaultPort
        }
    }

    /// `ADDRESS:PORT`, an IPv6 address in brackets.
    public var description: String { Portal.endpoint(address: address.description, port: port) }
}
