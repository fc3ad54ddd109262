/// A number of bytes as people write it (`1GiB`) and read it (`2.0 GiB`).
public struct ByteSize: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The size, in bytes.
    public let bytes: UInt64

    /// A size of so many bytes.
    public init(bytes: UInt64) { self.bytes = bytes }

    /// Reads `1000000`, `512B`, `64KiB`, `512MiB`, `1GiB`, `2TiB`, `1PiB` (powers of 1,024) or `1KB`, `1MB`, `1GB`,
    /// `1TB`, `1PB` (powers of 1,000).
    ///
    /// Upper and lower case are alike, one space may stand before the unit, and a decimal fraction is taken when it comes
    /// to whole bytes (`1.5GiB`). A bare `1G` is refused, because tools disagree on whether it means 1,024 or 1,000.
    public init(parsing text: String) throws(ByteSizeError) {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !digits.isEmpty else { throw .notASize(text) }
        var rest = text.utf8.dropFirst(digits.count)
        var fraction: [UInt8] = []
        if rest.first == 0x2e {
            rest = rest.dropFirst()
            fraction = Array(rest.prefix { $0 >= 0x30 && $0 <= 0x39 })
            guard !fraction.isEmpty, fraction.count <= 9 else { throw .notASize(text) }
            rest = rest.dropFirst(fraction.count)
        }
        if rest.first == 0x20 { rest = rest.dropFirst() }
        let unit = String(decoding: rest, as: UTF8.self)
        let factor: UInt64
        if unit.isEmpty {
            factor = 1
        } else if let known = Self.factors.first(where: { $0.unit == unit.lowercased() }) {
            factor = known.factor
        } else if ["k", "m", "g", "t", "p"].contains(unit.lowercased()) {
            throw .ambiguousUnit(
                text, number: String(text.dropLast(unit.count)).trimmingSpaces, unit: unit.uppercased())
        } else {
            throw .unknownUnit(text, unit: unit)
        }
        guard let whole = UInt64(String(decoding: digits, as: UTF8.self)) else { throw .tooLarge(text) }
        let (product, overflow) = whole.multipliedReportingOverflow(by: factor)
        guard !overflow else { throw .tooLarge(text) }
        var part: UInt64 = 0
        if let numerator = UInt64(String(decoding: fraction, as: UTF8.self)), numerator > 0 {
            var denominator: UInt64 = 1
            for _ in fraction { denominator *= 10 }
            let (high, low) = numerator.multipliedFullWidth(by: factor)
            // The fraction is below 1, so the quotient is below `factor` and fits.
            let (quotient, remainder) = denominator.dividingFullWidth((high, low))
            guard remainder == 0 else { throw .fractionOfAByte(text) }
            part = quotient
        }
        let (sum, carried) = product.addingReportingOverflow(part)
        guard !carried else { throw .tooLarge(text) }
        bytes = sum
    }

    /// Short text for tables: `1 GiB` when that is exact, else one decimal, `2.0 GiB`.
    public var description: String {
        var unit = 0
        while unit + 1 < Self.binaryUnits.count, bytes >> (10 * UInt64(unit + 1)) > 0 { unit += 1 }
        if unit == 0 { return "\(bytes) B" }
        var tenths = tenthsRounded(unit: unit)
        if tenths >= 10_240, unit + 1 < Self.binaryUnits.count {
            unit += 1
            tenths = tenthsRounded(unit: unit)
        }
        let mask = (UInt64(1) << (10 * UInt64(unit))) - 1
        if bytes & mask == 0 { return "\(bytes >> (10 * UInt64(unit))) \(Self.binaryUnits[unit])" }
        return "\(tenths / 10).\(tenths % 10) \(Self.binaryUnits[unit])"
    }

    /// The shortest exact text, in the form that `init(parsing:)` and rack.yaml take: `1GiB`, `1025MiB`, `1000001`.
    public var exactText: String {
        guard bytes > 0 else { return "0" }
        var unit = 0
        while unit + 1 < Self.binaryUnits.count, bytes & ((UInt64(1) << (10 * UInt64(unit + 1))) - 1) == 0 { unit += 1 }
        return unit == 0 ? "\(bytes)" : "\(bytes >> (10 * UInt64(unit)))\(Self.binaryUnits[unit])"
    }

    /// By number of bytes.
    public static func < (left: ByteSize, right: ByteSize) -> Bool { left.bytes < right.bytes }

    private func tenthsRounded(unit: Int) -> UInt64 {
        let shift = 10 * UInt64(unit)
        let (high, low) = bytes.multipliedFullWidth(by: 10)
        let half = UInt64(1) << (shift - 1)
        let (sum, carry) = low.addingReportingOverflow(half)
        return sum >> shift | (high + (carry ? 1 : 0)) << (64 - shift)
    }

    private static let binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    private static let factors: [(unit: String, factor: UInt64)] = [
        ("b", 1), ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("pib", 1 << 50),
        ("eib", 1 << 60), ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
        ("pb", 1_000_000_000_000_000), ("eb", 1_000_000_000_000_000_000),
    ]
}

/// Why a text is no size; `description` names the text and `advice` says what to write.
public enum ByteSizeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// It does not begin with a number.
    case notASize(String)
    /// A lone `K`, `M`, `G`, `T` or `P`.
    case ambiguousUnit(String, number: String, unit: String)
    /// A unit that is none of those above.
    case unknownUnit(String, unit: String)
    /// More than 2^64 - 1 bytes.
    case tooLarge(String)
    /// A fraction that does not come to whole bytes.
    case fractionOfAByte(String)

    /// What is wrong, naming the text.
    public var description: String {
        switch self {
        case .notASize(let text): "\"\(text)\" is no size"
        case .ambiguousUnit(let text, _, let unit): "\"\(text)\": the unit \(unit) could mean 1,024 or 1,000"
        case .unknownUnit(let text, let unit): "\"\(text)\": unknown unit \"\(unit)\""
        case .tooLarge(let text): "\"\(text)\" is more than 64 bits can count"
        case .fractionOfAByte(let text): "\"\(text)\" is no whole number of bytes"
        }
    }

    /// What to write in its place, beginning with a verb.
    public var advice: String {
        switch self {
        case .ambiguousUnit(_, let number, let unit): "write \(number)\(unit)iB or \(number)\(unit)B"
        default: "write a size such as 1GiB, 512MiB, 2TB or 1073741824"
        }
    }
}

extension String {
    /// Without spaces and tabs at both ends.
    var trimmingSpaces: String {
        var slice = Substring(self)
        while let first = slice.first, first == " " || first == "\t" { slice.removeFirst() }
        while let last = slice.last, last == " " || last == "\t" { slice.removeLast() }
        return String(slice)
    }
}
