/// A portal: an address and a port.
public struct ISCSIPortal: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// The port that iSCSI has when none is said (RFC 7143, 16).
    public static let defaultPort = 3260

    /// An IPv4 or IPv6 address (no brackets), or a host name.
    public var address: String
    /// The TCP port.
    public var port: Int

    /// A portal from its parts.
    public init(address: String, port: Int = ISCSIPortal.defaultPort) {
        self.address = address
        self.port = port
    }

    /// Parses `address`, `address:port`, `[ipv6]` or `[ipv6]:port`. A bare IPv6 address is taken whole.
    /// Nil for empty, too long or impossible ones.
    public init?(_ description: String) {
        guard let (portal, tag) = Self.parse(Substring(description)), tag == nil else { return nil }
        self = portal
    }

    /// Parses a TargetAddress value, `address:port,tag` (RFC 7143, 13.8); port and tag may be missing.
    public static func parse(targetAddress text: String) -> (portal: ISCSIPortal, portalGroupTag: Int?)? {
        parse(Substring(text)).map { ($0.0, $0.1) }
    }

    private static func parse(_ text: Substring) -> (ISCSIPortal, Int?)? {
        var rest = text
        var tag: Int?
        if let comma = rest.lastIndex(of: ",") {
            guard let number = number(rest[rest.index(after: comma)...], upTo: 65535) else { return nil }
            tag = number
            rest = rest[..<comma]
        }
        var port = defaultPort
        var address = rest
        if rest.first == "[" {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            address = rest[rest.index(after: rest.startIndex)..<end]
            rest = rest[rest.index(after: end)...]
            if !rest.isEmpty {
                guard rest.first == ":", let number = number(rest.dropFirst(), upTo: 65535) else { return nil }
                port = number
            }
        } else if rest.count(where: { $0 == ":" }) == 1, let colon = rest.firstIndex(of: ":") {
            guard let number = number(rest[rest.index(after: colon)...], upTo: 65535) else { return nil }
            port = number
            address = rest[..<colon]
        }
        // libiscsi keeps portals in 256 bytes; a host name has at most 253.
        guard (1...253).contains(address.utf8.count), port > 0, address.utf8.allSatisfy(isAddressByte) else {
            return nil
        }
        return (ISCSIPortal(address: String(address), port: port), tag)
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x2D, 0x3A, 0x25, 0x5F: true
        default: false
        }
    }

    private static func number(_ text: Substring, upTo limit: Int) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int(text), value <= limit
        else { return nil }
        return value
    }

    /// `address:port`, with brackets around IPv6.
    public var description: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }

    /// Ordered by address, then port.
    public static func < (left: Self, right: Self) -> Bool {
        (left.address, left.port) < (right.address, right.port)
    }
}
