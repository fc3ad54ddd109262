/// How identifiers are derived from names.
///
/// Every derived identifier is taken from the SHA-256 digest of a text made of the rack's name, the kind of object, its
/// name and the kind of identifier, joined by `/`, which no name contains. Order, and what else is in the file, never
/// matter, so an identifier stays the same for as long as the names do, on every host. The first eight bytes of the
/// digest, read as a big-endian number D, give
///
/// | identifier | text | value |
/// | --- | --- | --- |
/// | WWID | `RACK/volume/NAME/wwid` | the digit 3, then the low 60 bits of D |
/// | portal tag | `RACK/host/NAME/portal/ADDRESS:PORT/tag` | 1 + D mod 65535 |
/// | target port group with a name | `RACK/host/NAME/group/GROUP/id` | 1 + D mod 65535 |
/// | ISID base | `RACK/client/NAME/isid` | `80`, the high 24 bits of D, `0000` |
/// | reservation key | `RACK/client/NAME/key` | D, or 1 when D is 0 |
///
/// so that `printf %s rack1/volume/mpath0/wwid | sha256sum` shows where a WWID comes from. iSCSI names are not hashed:
/// they are `IQN-PREFIX:RACK:VOLUME` and `IQN-PREFIX:RACK:client:CLIENT`. These rules are part of the on-disk and
/// on-wire format: changing one changes the identity of every volume in use.
enum Derivation {
    /// D of the table above.
    static func number(_ parts: String...) -> UInt64 {
        SHA256.digest(Array(parts.joined(separator: "/").utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    static func wwid(rack: String, volume: String) -> UInt64 {
        naa3(number(rack, "volume", volume, "wwid"))
    }

    /// The WWID of a file exported without an inventory: by its whole path, because two files of one name in two
    /// folders must never look like one disk.
    static func wwid(rack: String, exportedPath: String) -> UInt64 {
        naa3(number(rack, "file", exportedPath, "wwid"))
    }

    static func tag(rack: String, host: String, endpoint: String) -> UInt16 {
        UInt16(1 + number(rack, "host", host, "portal", endpoint, "tag") % 65535)
    }

    static func portGroup(rack: String, host: String, group: String) -> UInt16 {
        UInt16(1 + number(rack, "host", host, "group", group, "id") % 65535)
    }

    static func isidBase(rack: String, client: String) -> UInt64 {
        0x8000_0000_0000 | (number(rack, "client", client, "isid") >> 40) << 16
    }

    static func reservationKey(rack: String, client: String) -> UInt64 {
        max(1, number(rack, "client", client, "key"))
    }

    static func targetName(prefix: String, rack: String, volume: String) -> String { "\(prefix):\(rack):\(volume)" }

    static func initiatorName(prefix: String, rack: String, client: String) -> String {
        "\(prefix):\(rack):client:\(client)"
    }

    private static func naa3(_ number: UInt64) -> UInt64 { 0x3000_0000_0000_0000 | number & 0x0fff_ffff_ffff_ffff }
}

/// A number as hexadecimal digits with leading zeros.
func hexadecimal(_ number: UInt64, digits: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
