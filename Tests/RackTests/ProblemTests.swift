import Rack
import Testing

/// One way to get a rack.yaml wrong.
struct ProblemCase: Sendable, CustomTestStringConvertible {
    let title: String
    /// Texts of the good file, each of which stands in it, and what replaces their first occurrence.
    let edits: [(old: String, new: String)]
    /// Every line that is reported.
    let report: [String]

    init(_ title: String, edits: [(old: String, new: String)], report: [String]) {
        self.title = title
        self.edits = edits
        self.report = report
    }

    var testDescription: String { title }
}

@Test(arguments: problemCases + moreProblemCases + accessProblemCases)
func everyProblemIsReportedWithItsPlace(_ example: ProblemCase) throws {
    var text = goodText
    for edit in example.edits {
        let range = try #require(firstRange(of: edit.old, in: text), "the good file has no \(edit.old)")
        text.replaceSubrange(range, with: edit.new)
    }
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    #expect(load.problems.map(\.description) == example.report, "\(load.report)")
    #expect((load.inventory == nil) == !load.errors.isEmpty)
}

func firstRange(of part: String, in text: String) -> Range<String.Index>? {
    var start = text.startIndex
    while start < text.endIndex {
        if text[start...].hasPrefix(part) { return start..<text.index(start, offsetBy: part.count) }
        start = text.index(after: start)
    }
    return nil
}
