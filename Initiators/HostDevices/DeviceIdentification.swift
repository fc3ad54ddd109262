/// VPD page 83h, Device Identification (SPC-4, 7.8.6), and the name that Linux makes of it.
public struct DeviceIdentification: Hashable, Sendable {
    /// What a designator names (SPC-4, table 594).
    public enum Association: UInt8, Hashable, Sendable {
        /// The logical unit.
        case logicalUnit = 0
        /// The target port that answered.
        case targetPort = 1
        /// The SCSI target device.
        case targetDevice = 2
    }

    /// One designation descriptor.
    public struct Designator: Hashable, Sendable {
        /// What it names; nil for the reserved value.
        public var association: Association?
        /// 0 vendor specific, 1 T10 vendor ID, 2 EUI-64, 3 NAA, 4 relative target port, 5 target port group,
        /// 6 logical unit group, 8 SCSI name string.
        public var type: UInt8
        /// 1 binary, 2 ASCII, 3 UTF-8.
        public var codeSet: UInt8
        /// The designator itself.
        public var value: [UInt8]
    }

    /// The descriptors, in the page's order; a truncated last one is left out.
    public let designators: [Designator]

    /// Parses a page. Nil when it is too short or another page; lengths are taken for what is really there.
    public init?(page: [UInt8]) {
        guard page.count >= 4, page[1] == 0x83 else { return nil }
        let end = min(page.count, 4 + (Int(page[2]) << 8 | Int(page[3])))
        var found: [Designator] = []
        var at = 4
        while at + 4 <= end {
            let length = Int(page[at + 3])
            guard at + 4 + length <= end else { break }
            found.append(
                Designator(
                    association: Association(rawValue: page[at + 1] >> 4 & 0x3), type: page[at + 1] & 0x0F,
                    codeSet: page[at] & 0x0F, value: Array(page[(at + 4)..<(at + 4 + length)])))
            at += 4 + length
        }
        designators = found
    }

    /// The unit's name in the form of udev's scsi_id (ID_SERIAL) and of dm UUIDs: the designator's type as a digit, then
    /// lower-case hex (binary) or the text (ASCII). `3` + 16 or 32 hex digits for an NAA identifier.
    ///
    /// As scsi_id does, it takes the best the unit offers: NAA 6, NAA 5, any NAA, EUI-64, T10 vendor ID. Nil when the
    /// page has none of them.
    public var wwid: String? {
        let own = designators.filter { $0.association == .logicalUnit && !$0.value.isEmpty }
        let naa = own.filter { $0.type == 3 }
        func format(_ nibble: UInt8) -> Designator? { naa.first { $0.codeSet == 1 && $0.value[0] >> 4 == nibble } }
        let best =
            format(6) ?? format(5) ?? naa.first { $0.codeSet == 1 } ?? naa.first ?? own.first { $0.type == 2 }
            ?? own.first { $0.type == 1 }
        guard let best else { return nil }
        return "\(best.type)" + (best.codeSet == 1 ? Self.hex(best.value) : Self.text(best.value))
    }

    /// The relative target port identifier of the port that answered.
    public var relativeTargetPort: UInt16? { number(type: 4) }

    /// The target port group of the port that answered.
    public var targetPortGroup: UInt16? { number(type: 5) }

    private func number(type: UInt8) -> UInt16? {
        designators.first { $0.association == .targetPort && $0.type == type && $0.value.count >= 4 }
            .map { UInt16($0.value[2]) << 8 | UInt16($0.value[3]) }
    }

    /// The unit serial number of VPD page 80h (SPC-4, 7.8.14); nil when it is too short or another page.
    public static func unitSerialNumber(page: [UInt8]) -> String? {
        guard page.count >= 4, page[1] == 0x80 else { return nil }
        let end = min(page.count, 4 + (Int(page[2]) << 8 | Int(page[3])))
        return text(Array(page[4..<end]))
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Printable ASCII with runs of blanks as one `_`, none at the ends: what udev keeps in a property.
    private static func text(_ bytes: [UInt8]) -> String {
        bytes.map { (0x21...0x7E).contains($0) ? String(UnicodeScalar($0)) : " " }.joined()
            .split(separator: " ").joined(separator: "_")
    }
}
