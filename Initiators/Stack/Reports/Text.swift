/// How text for people is made: widths, colours, durations, sizes.
public struct TextStyle: Sendable {
    /// Whether colours may be used: on a terminal, and without NO_COLOR in the environment (no-color.org).
    public var usesColour: Bool

    /// A style.
    public init(usesColour: Bool) { self.usesColour = usesColour }

    /// Colours by meaning.
    enum Tone: String {
        case good = "32"
        case warning = "33"
        case bad = "31"
        case quiet = "2"
    }

    func paint(_ text: String, _ tone: Tone) -> String {
        usesColour && !text.isEmpty ? "\u{1B}[\(tone.rawValue)m\(text)\u{1B}[0m" : text
    }
}

/// Text in columns, each as wide as its widest cell; the last column is not filled up.
struct TextTable {
    private(set) var rows: [[String]] = []
    /// Columns that are aligned to the right: figures.
    var rightAligned: Set<Int> = []

    mutating func add(_ cells: String...) { rows.append(cells) }
    mutating func add(row: [String]) { rows.append(row) }

    /// The lines, each after `indent`.
    func lines(indent: String = "") -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = indent
            for (column, cell) in row.enumerated() {
                let fill = String(repeating: " ", count: widths[column] - cell.count)
                if rightAligned.contains(column) {
                    line += fill + cell
                } else {
                    line += cell + (column == row.count - 1 ? "" : fill)
                }
                if column < row.count - 1 { line += "  " }
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}

/// Texts for figures.
package enum Figures {
    /// `42s`, `3m 20s`, `2h 5m`, `3d 4h`.
    package static func duration(seconds: Int) -> String {
        let seconds = max(0, seconds)
        if seconds < 60 { return "\(seconds)s" }
        if seconds < 3600 { return seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds / 60)m \(seconds % 60)s" }
        if seconds < 86_400 { return "\(seconds / 3600)h \(seconds / 60 % 60)m" }
        return "\(seconds / 86_400)d \(seconds / 3600 % 24)h"
    }

    /// Seconds with two digits after the point, `1.25 s`.
    package static func seconds(_ seconds: Double) -> String { "\(decimal(seconds, digits: 2)) s" }

    /// A number with so many digits after the point.
    package static func decimal(_ number: Double, digits: Int) -> String {
        let factor = (0..<digits).reduce(1) { value, _ in value * 10 }
        let whole = Int((number * Double(factor)).rounded())
        guard digits > 0 else { return "\(whole)" }
        let fraction = "\(whole.magnitude % factor.magnitude)"
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return "\(whole < 0 ? "-" : "")\(whole.magnitude / factor.magnitude).\(zeros)\(fraction)"
    }

    /// `1 GiB`, `2.0 GiB`, `512 MiB`, `1000 B`.
    package static func size(bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        var unit = 0
        var scale: UInt64 = 1
        while unit < units.count - 1, bytes / scale >= 1024 {
            scale *= 1024
            unit += 1
        }
        if bytes % scale == 0 { return "\(bytes / scale) \(units[unit])" }
        return "\(decimal(Double(bytes) / Double(scale), digits: 1)) \(units[unit])"
    }

    /// `mpath0`, `mpath0 and mpath1`, `mpath0, mpath1 and mpath2`.
    package static func list(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " and " + last
    }
}

/// The same texts for the program's own reports.
public enum DisplayText {
    /// `1 GiB`, `2.0 GiB`, `512 MiB`.
    public static func size(bytes: UInt64) -> String { Figures.size(bytes: bytes) }

    /// Rows in columns, each as wide as its widest cell.
    public static func columns(_ rows: [[String]]) -> [String] {
        var table = TextTable()
        for row in rows { table.add(row: row) }
        return table.lines()
    }
}
