/// How much a problem weighs.
public enum Severity: String, Sendable {
    /// The inventory cannot be used.
    case error
    /// The inventory works, but is probably not what was wanted.
    case warning
}

/// One thing that is wrong in a rack.yaml, where it is, and what to write.
public struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Error or warning.
    public let severity: Severity
    /// The file's name as given by the caller.
    public let file: String
    /// Line, from 1; 0 when the problem is with the file as a whole (it is missing, or a directory).
    public let line: Int
    /// Column, from 1, counted in Unicode scalars; 0 with line 0.
    public let column: Int
    /// What is wrong, naming the object.
    public let message: String
    /// What to write or do, beginning with a verb.
    public let advice: String

    /// `file:line:column: error: message; advice`, on one line.
    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return "\(place): \(severity.rawValue): \(message); \(advice)"
    }
}

/// What came of reading a rack.yaml: the inventory, or every problem that stands in its way.
public struct InventoryLoad: Sendable {
    /// The inventory; nil when there is at least one error.
    public let inventory: Inventory?
    /// All problems in the order of the file, errors and warnings.
    public let problems: [Problem]

    /// The problems that keep the inventory from being used.
    public var errors: [Problem] { problems.filter { $0.severity == .error } }

    /// The problems it can be used in spite of.
    public var warnings: [Problem] { problems.filter { $0.severity == .warning } }

    /// Every problem, a line each, without a newline at the end; empty when there is none.
    public var report: String { problems.map(\.description).joined(separator: "\n") }
}

/// A place in the text: both from 1.
struct Position: Hashable, Comparable {
    var line: Int
    var column: Int

    static func < (left: Position, right: Position) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// A value with its place in the text.
struct Located<Value> {
    let value: Value
    let position: Position
}

extension Located: Equatable where Value: Equatable {}

/// Collects problems, up to a bound, so that a hostile file cannot make a report without end.
struct ProblemList {
    /// More than anyone repairs in one go.
    static let limit = 500

    let file: String
    private(set) var problems: [Problem] = []
    private(set) var droppedCount = 0
    private(set) var hasErrors = false

    init(file: String) { self.file = file }

    /// True when further problems are only counted.
    var isFull: Bool { problems.count >= Self.limit }

    mutating func error(_ position: Position, _ message: String, _ advice: String) {
        hasErrors = true
        append(.error, position, message, advice)
    }

    mutating func warning(_ position: Position, _ message: String, _ advice: String) {
        append(.warning, position, message, advice)
    }

    private mutating func append(_ severity: Severity, _ position: Position, _ message: String, _ advice: String) {
        guard problems.count < Self.limit else {
            droppedCount += 1
            return
        }
        problems.append(
            Problem(
                severity: severity, file: file, line: position.line, column: position.column, message: message,
                advice: advice))
    }

    /// In the order of the file (stable for one place), with a closing line when some were dropped.
    func sorted(lineCount: Int) -> [Problem] {
        var result = problems.enumerated().sorted { left, right in
            (left.element.line, left.element.column, left.offset)
                < (right.element.line, right.element.column, right.offset)
        }.map(\.element)
        if droppedCount > 0 {
            result.append(
                Problem(
                    severity: hasErrors ? .error : .warning, file: file, line: lineCount, column: 1,
                    message: "\(droppedCount) more problems are not listed", advice: "repair those above first"))
        }
        return result
    }
}

/// Text from the file as it may appear in a one-line message: quoted, shortened, without control characters.
func quoted(_ text: String) -> String {
    var shown = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == 60 {
            shown += "…"
            break
        }
        let isControl = scalar.value < 0x20 || (scalar.value >= 0x7f && scalar.value < 0xa0)
        shown.unicodeScalars.append(isControl ? "\u{fffd}" : scalar)
        count += 1
    }
    return "\"\(shown)\""
}
