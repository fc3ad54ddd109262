/// What is wrong with a table or status text: which field (counted from 1) and what belonged there.
public struct DMTextError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The field's position in the text, counted from 1; one more than there are fields when the text ends early.
    public let field: Int
    /// What the field should have been, as a phrase ("a number of path groups").
    public let expected: String
    /// What was found; nil when the text ended.
    public let found: String?

    /// One line naming field, expectation and finding.
    public var description: String {
        "device-mapper text, field \(field): expected \(expected), found \(found.map { "'\($0)'" } ?? "the end")"
    }
}

/// A cursor over the blank-separated fields of a table or status line.
///
/// Every count in such a line is checked against what is left of it before it is used, so that a line that claims four
/// thousand million paths costs no memory.
struct DMTextFields {
    private let fields: [Substring]
    private var next = 0

    init(_ text: String) {
        fields = text.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\n" })
    }

    var left: Int { fields.count - next }

    func failure(_ expected: String) -> DMTextError {
        DMTextError(field: next + 1, expected: expected, found: next < fields.count ? String(fields[next]) : nil)
    }

    mutating func word(_ expected: String) throws(DMTextError) -> String {
        guard next < fields.count else { throw failure(expected) }
        defer { next += 1 }
        return String(fields[next])
    }

    mutating func number<N: FixedWidthInteger & UnsignedInteger>(
        _ expected: String, upTo limit: N = N.max
    ) throws(DMTextError) -> N {
        guard next < fields.count, let value = Self.number(fields[next], upTo: limit) else { throw failure(expected) }
        next += 1
        return value
    }

    /// A count of things of which each takes at least `width` fields of what follows.
    mutating func count(_ expected: String, width: Int = 1) throws(DMTextError) -> Int {
        guard next < fields.count, let value = Self.number(fields[next], upTo: UInt32.max), width > 0,
            Int(value) <= (left - 1) / width
        else { throw failure("\(expected) that fits the line") }
        next += 1
        return Int(value)
    }

    mutating func words(_ count: Int, _ expected: String) throws(DMTextError) -> [String] {
        guard count <= left else {
            next = fields.count
            throw failure(expected)
        }
        defer { next += count }
        return fields[next..<(next + count)].map(String.init)
    }

    mutating func counted(_ expected: String) throws(DMTextError) -> [String] {
        try words(count("a number of \(expected)"), expected)
    }

    func end() throws(DMTextError) {
        guard left == 0 else { throw failure("the end of the line") }
    }

    /// Plain decimal digits only: no sign, no blank, no overflow.
    static func number<N: FixedWidthInteger>(_ text: Substring, upTo limit: N) -> N? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = N(text), value <= limit
        else { return nil }
        return value
    }
}
