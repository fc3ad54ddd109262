/// An asymmetric access state (SPC-4, 5.15.2.4).
public enum AccessState: UInt8, Hashable, Sendable, CustomStringConvertible {
    /// Takes I/O as well as it can.
    case activeOptimized = 0x0
    /// Takes I/O, not by the best way.
    case activeNonOptimized = 0x1
    /// Takes no I/O, can be made to.
    case standby = 0x2
    /// Takes no I/O.
    case unavailable = 0x3
    /// Depends on the block.
    case lbaDependent = 0x4
    /// Not present now.
    case offline = 0xE
    /// Changing from one to another.
    case transitioning = 0xF

    /// The standard's words.
    public var description: String {
        switch self {
        case .activeOptimized: "active/optimized"
        case .activeNonOptimized: "active/non-optimized"
        case .standby: "standby"
        case .unavailable: "unavailable"
        case .lbaDependent: "logical block dependent"
        case .offline: "offline"
        case .transitioning: "transitioning"
        }
    }
}

/// Readers of what a unit answers. They take any bytes: what is short or contradicts itself is nil, empty or left out.
public enum UnitPages {
    /// Standard INQUIRY data (SPC-4, 6.6.2).
    public struct StandardInquiry: Hashable, Sendable {
        /// 0 when a device is there; 3 when the target has none at this LUN.
        public var peripheralQualifier: UInt8
        /// Peripheral device type.
        public var deviceType: UInt8
        /// Target port group support: bit 0 implicit, bit 1 explicit.
        public var targetPortGroupSupport: UInt8
        /// T10 vendor identification.
        public var vendor: String
        /// Product identification.
        public var product: String
        /// Product revision level.
        public var revision: String

        /// Nil when fewer than 36 bytes came.
        public init?(_ data: [UInt8]) {
            guard data.count >= 36 else { return nil }
            peripheralQualifier = data[0] >> 5
            deviceType = data[0] & 0x1F
            targetPortGroupSupport = data[5] >> 4 & 3
            vendor = UnitPages.text(data[8..<16])
            product = UnitPages.text(data[16..<32])
            revision = UnitPages.text(data[32..<36])
        }
    }

    /// What Device Identification says of unit and port (VPD page 83h; SPC-4, 7.8.6).
    public struct Identification: Hashable, Sendable {
        /// The unit's name as udev's scsi_id makes it: NAA 6, NAA 5, any NAA, EUI-64, T10 vendor ID, best first.
        public var wwid: String?
        /// Relative target port identifier.
        public var relativeTargetPort: UInt16?
        /// Target port group.
        public var targetPortGroup: UInt16?

        /// Nil when it is another page, or too short. Lengths are taken for what is really there.
        public init?(_ page: [UInt8]) {
            guard page.count >= 4, page[1] == 0x83 else { return nil }
            let end = min(page.count, 4 + UnitPages.number(page, 2, 2))
            var best: (rank: Int, wwid: String)?
            var at = 4
            while at + 4 <= end {
                let length = Int(page[at + 3])
                guard at + 4 + length <= end else { break }
                let value = Array(page[(at + 4)..<(at + 4 + length)])
                let association = page[at + 1] >> 4 & 3
                let type = page[at + 1] & 0x0F
                let isBinary = page[at] & 0x0F == 1
                switch (association, type) {
                case (0, _):
                    if let rank = Self.rank(type, isBinary: isBinary, value), rank < best?.rank ?? .max {
                        let text = isBinary ? UnitPages.hex(value) : UnitPages.property(value)
                        best = (rank, "\(type)" + text)
                    }
                case (1, 4) where length >= 4: relativeTargetPort = UInt16(UnitPages.number(value, 2, 2))
                case (1, 5) where length >= 4: targetPortGroup = UInt16(UnitPages.number(value, 2, 2))
                default: break
                }
                at += 4 + length
            }
            wwid = best?.wwid
        }

        private static func rank(_ type: UInt8, isBinary: Bool, _ value: [UInt8]) -> Int? {
            guard let first = value.first else { return nil }
            switch (type, isBinary) {
            case (3, true): return first >> 4 == 6 ? 0 : first >> 4 == 5 ? 1 : 2
            case (3, false): return 3
            case (2, _): return 4
            case (1, _): return 5
            default: return nil
            }
        }
    }

    /// The unit serial number (VPD page 80h).
    public static func unitSerialNumber(_ page: [UInt8]) -> String? {
        guard page.count >= 4, page[1] == 0x80 else { return nil }
        return text(page[4..<min(page.count, 4 + number(page, 2, 2))])
    }

    /// Size and block size of READ CAPACITY (16) (SBC-3, 5.16); nil when short, or when the size exceeds 64 bits.
    public static func capacity16(_ data: [UInt8]) -> (sizeBytes: UInt64, blockBytes: UInt32)? {
        guard data.count >= 12 else { return nil }
        let last = data[0..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return size(last, UInt32(number(data, 8, 4)))
    }

    /// Size and block size of READ CAPACITY (10) (SBC-3, 5.15); nil when short.
    public static func capacity10(_ data: [UInt8]) -> (sizeBytes: UInt64, blockBytes: UInt32)? {
        guard data.count >= 8 else { return nil }
        return size(UInt64(number(data, 0, 4)), UInt32(number(data, 4, 4)))
    }

    private static func size(_ last: UInt64, _ block: UInt32) -> (sizeBytes: UInt64, blockBytes: UInt32)? {
        let (blocks, noRoom) = last.addingReportingOverflow(1)
        let (bytes, tooLarge) = blocks.multipliedReportingOverflow(by: UInt64(block))
        return noRoom || tooLarge || block == 0 ? nil : (bytes, block)
    }

    /// The units of REPORT LUNS (SPC-4, 6.33), at most `limit`: those in peripheral (8 bits) and flat (14 bits) form.
    /// Others, well-known units among them, are left out.
    public static func luns(_ data: [UInt8], limit: Int) -> [UInt64] {
        guard data.count >= 8 else { return [] }
        let end = min(data.count, 8 + number(data, 0, 4))
        var found: [UInt64] = []
        var at = 8
        while at + 8 <= end, found.count < limit {
            let first = data[at]
            let isSingleLevel = data[(at + 2)..<(at + 8)].allSatisfy { $0 == 0 }
            switch first >> 6 {
            case 0 where first == 0 && isSingleLevel: found.append(UInt64(data[at + 1]))
            case 1 where isSingleLevel: found.append(UInt64(first & 0x3F) << 8 | UInt64(data[at + 1]))
            default: break
            }
            at += 8
        }
        return found
    }

    /// The access state of each group of REPORT TARGET PORT GROUPS (SPC-4, 6.38), by group identifier.
    public static func accessStates(_ data: [UInt8]) -> [UInt16: AccessState] {
        guard data.count >= 4 else { return [:] }
        let end = min(data.count, 4 + number(data, 0, 4))
        var found: [UInt16: AccessState] = [:]
        var at = 4
        while at + 8 <= end {
            found[UInt16(number(data, at + 2, 2))] = AccessState(rawValue: data[at] & 0x0F)
            at += 8 + Int(data[at + 7]) * 4
        }
        return found
    }

    private static func number(_ data: [UInt8], _ at: Int, _ width: Int) -> Int {
        data[at..<(at + width)].reduce(0) { $0 << 8 | Int($1) }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Printable ASCII without blanks at its ends. A hostile target gets no control characters onto a terminal.
    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        let plain = bytes.map { (0x20...0x7E).contains($0) ? $0 : 0x20 }
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 }
        let start = plain.drop(while: isBlank)
        return String(decoding: start.reversed().drop(while: isBlank).reversed(), as: UTF8.self)
    }

    /// Runs of blanks as one `_`, none at the ends: what udev keeps in a property.
    private static func property(_ bytes: [UInt8]) -> String {
        text(bytes[...]).split(separator: " ").joined(separator: "_")
    }
}
