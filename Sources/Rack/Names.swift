/// What names may look like, and why.
enum NameRule {
    /// Racks, hosts and clients: part of iSCSI names, which allow lower case letters, digits, `.`, `-` and `:`
    /// (RFC 7143, 4.2.7.2); the colon separates the parts of derived names, so it is not taken.
    case iscsiPart
    /// Networks, and racks and rows of failure domains.
    case label
    /// LVM volume groups.
    case volumeGroup
    /// LVM logical volumes.
    case logicalVolume
    /// The first half of a GFS2 lock table.
    case cluster
    /// The second half of a GFS2 lock table.
    case filesystem

    /// What is wrong with a name, and what to write; nil when nothing is.
    func objection(to name: String) -> (message: String, advice: String)? {
        let bytes = Array(name.utf8)
        guard !bytes.isEmpty else { return ("the name is empty", "write one such as \(example)") }
        guard bytes.count <= lengthLimit else {
            return (
                "the name \(quoted(name)) has \(bytes.count) characters, and at most \(lengthLimit) are allowed",
                "write a shorter one"
            )
        }
        guard bytes.allSatisfy(allows) else {
            return ("the name \(quoted(name)) holds a character that is not allowed here", "write only \(alphabet)")
        }
        switch self {
        case .iscsiPart:
            guard let first = bytes.first, let last = bytes.last, Self.isAlphanumeric(first), Self.isAlphanumeric(last)
            else {
                return (
                    "the name \(quoted(name)) begins or ends with '-' or '.'", "begin and end it with a letter or digit"
                )
            }
        case .label, .cluster, .filesystem:
            break
        case .volumeGroup, .logicalVolume:
            if bytes.first == 0x2d {
                return ("the name \(quoted(name)) begins with a hyphen, which LVM forbids", "begin it with a letter")
            }
            if name == "." || name == ".." {
                return ("the name \(quoted(name)) is a folder's for LVM", "write one such as \(example)")
            }
        }
        if self == .logicalVolume, let reserved = Self.reservedByLVM(name) {
            return (
                "LVM keeps names with \(quoted(reserved)) for its own volumes, so \(quoted(name)) is refused",
                "write another name"
            )
        }
        return nil
    }

    private var lengthLimit: Int {
        switch self {
        case .iscsiPart, .label: 64
        // A device-mapper name holds 127 bytes, and both names with a hyphen must fit into it.
        case .volumeGroup, .logicalVolume: 62
        // mkfs.gfs2's limits.
        case .cluster: 32
        case .filesystem: 30
        }
    }

    private var alphabet: String {
        switch self {
        case .iscsiPart: "lower case letters, digits, '-' and '.' (it becomes part of an iSCSI name)"
        case .label: "letters, digits, '_', '-' and '.'"
        case .volumeGroup, .logicalVolume: "letters, digits, '_', '.', '+' and '-' (LVM's rule)"
        case .cluster, .filesystem: "letters, digits, '_' and '-' (it becomes part of a GFS2 lock table)"
        }
    }

    private var example: String {
        switch self {
        case .iscsiPart: "storage0"
        case .label: "san0"
        case .volumeGroup: "VG0"
        case .logicalVolume: "LV0"
        case .cluster: "client"
        case .filesystem: "gfs2"
        }
    }

    private func allows(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7a, 0x30...0x39, 0x2d: true
        case 0x41...0x5a, 0x5f: self != .iscsiPart
        case 0x2e: self != .cluster && self != .filesystem
        case 0x2b: self == .volumeGroup || self == .logicalVolume
        default: false
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte)
    }

    /// The prefixes and inner parts that lvcreate refuses.
    private static func reservedByLVM(_ name: String) -> String? {
        for prefix in ["snapshot", "pvmove"] where name.hasPrefix(prefix) { return prefix }
        let parts = [
            "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_pmspare", "_rimage",
            "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_imeta", "_iorig",
        ]
        return parts.first { contains(name, $0) }
    }

    private static func contains(_ text: String, _ part: String) -> Bool {
        let text = Array(text.utf8)
        let part = Array(part.utf8)
        guard part.count <= text.count else { return false }
        return (0...(text.count - part.count)).contains { Array(text[$0..<$0 + part.count]) == part }
    }
}

/// iSCSI names and their prefix (RFC 7143, 4.2.7).
enum ISCSIName {
    /// Longest name, in bytes.
    static let lengthLimit = 223

    /// What is wrong with a prefix that names are derived from, such as `iqn.2026-01.net.example`.
    static func prefixObjection(_ prefix: String) -> String? {
        guard prefix.hasPrefix("iqn.") else { return "\(quoted(prefix)) does not begin with \"iqn.\"" }
        let rest = Array(prefix.utf8.dropFirst(4))
        let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
        guard rest.count > 7, rest[..<4].allSatisfy(isDigit), rest[4] == 0x2d, rest[5...6].allSatisfy(isDigit),
            rest[7] == 0x2e
        else { return "\(quoted(prefix)) has no year and month after \"iqn.\"" }
        let month = (rest[5] - 0x30) * 10 + rest[6] - 0x30
        guard (1...12).contains(month) else { return "\(quoted(prefix)) has no month from 01 to 12" }
        let authority = String(decoding: rest[8...], as: UTF8.self)
        let domain = authority.prefix { $0 != ":" }
        let labels = domain.split(separator: ".", omittingEmptySubsequences: false)
        guard !domain.isEmpty, labels.allSatisfy({ isLabel($0) }) else {
            return "\(quoted(prefix)) has no domain name, reversed, after its date"
        }
        guard authority.last != ":", authority.utf8.allSatisfy(isNameByte) else {
            return "\(quoted(prefix)) holds a character that iSCSI names don't, or ends in a colon"
        }
        // The rack's name, "client", an object's name and their colons come behind it.
        guard prefix.utf8.count <= 80 else { return "\(quoted(prefix)) is longer than 80 characters" }
        return nil
    }

    /// What is wrong with a whole iSCSI name.
    static func objection(_ name: String) -> String? {
        guard name.utf8.count <= lengthLimit else {
            return "\(quoted(name)) is longer than the \(lengthLimit) bytes of an iSCSI name"
        }
        if name.hasPrefix("iqn.") {
            guard let colon = name.firstIndex(of: ":") else {
                return prefixObjection(name)
            }
            if let objection = prefixObjection(String(name[..<colon])) { return objection }
            guard name.utf8.allSatisfy(isNameByte), name.last != ":" else {
                return "\(quoted(name)) holds a character that iSCSI names don't, or ends in a colon"
            }
            return nil
        }
        for (prefix, lengths) in [("eui.", [16]), ("naa.", [16, 32])] where name.hasPrefix(prefix) {
            let digits = name.utf8.dropFirst(4)
            guard lengths.contains(digits.count), digits.allSatisfy(isHexadecimal) else {
                return "\(quoted(name)) does not have \(lengths.map(String.init).joined(separator: " or ")) "
                    + "hexadecimal digits after \"\(prefix)\""
            }
            return nil
        }
        return "\(quoted(name)) does not begin with iqn., eui. or naa."
    }

    static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7a, 0x30...0x39, 0x2d, 0x2e, 0x3a: true
        default: false
        }
    }

    private static func isLabel(_ label: Substring) -> Bool {
        !label.isEmpty && label.utf8.first != 0x2d && label.utf8.last != 0x2d
            && label.utf8.allSatisfy { isNameByte($0) && $0 != 0x2e && $0 != 0x3a }
    }
}
