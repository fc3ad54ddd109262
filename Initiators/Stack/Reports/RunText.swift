/// What `up` and `down` print: a line a step as it ends, a last line, and a table of times when asked for.
public struct RunText: Sendable {
    private let style: TextStyle

    /// Text in a style.
    public init(_ style: TextStyle) { self.style = style }

    /// The line for an event; nil for those that have none.
    ///
    /// Every line stands for itself: nothing is drawn over, so a log or a pipe reads the same.
    public func line(_ event: RunEvent) -> String? {
        switch event {
        case .resumes(let run):
            let where_ = run.lastStep.map { step in
                " \(run.lastStepEnded ? "after" : "during") '\(step)'"
            }
            return style.paint(
                "the last attach \(run.verb) (\(run.began), pid \(run.pid)) was cut short\(where_ ?? ""); going on from what is there",
                .warning)
        case .began: return nil
        case .ended(let step): return line(step)
        }
    }

    func line(_ step: StepReport) -> String {
        let seconds = Figures.decimal(step.seconds, digits: 2)
        let time = String(repeating: " ", count: max(0, 6 - seconds.count)) + seconds + " s"
        if let outcome = step.outcome {
            let word = outcome.rawValue
            let filled = word + String(repeating: " ", count: max(0, 13 - word.count))
            return "\(time)  \(style.paint(filled, outcome == .alreadyThere ? .quiet : .good))  \(step.name)"
        }
        let word = "FAILED       "
        return "\(time)  \(style.paint(word, step.isTolerated ? .warning : .bad))  \(step.name)"
            + (step.error.map { ": \($0.cause)" } ?? "")
    }

    /// The last line on standard output; nil when the run failed (the error itself goes to standard error).
    public func lastLine(_ report: RunReport, _ scope: StackScope) -> String? {
        guard report.error == nil else { return nil }
        let verb = report.verb
        if report.hadNothingToDo {
            return verb == .up ? "everything is up; nothing to do" : "everything is down; nothing to do"
        }
        let time = Figures.seconds(report.totalSeconds)
        if verb == .down { return "everything is down (\(time))" }
        let failed = report.toleratedFailures.map(\.object)
        guard failed.isEmpty else {
            return style.paint(
                "up, degraded: \(Figures.list(failed)) failed (\(time)); when that is cured: attach up", .warning)
        }
        let things =
            scope.filesystems.map(\.mountPoint) + (scope.filesystems.isEmpty ? scope.volumes.map(\.mapPath) : [])
        return "everything is up: \(Figures.list(things)) (\(time))"
    }

    /// Times by layer and step, the slowest thing to look at first being the largest figure; the last row adds up.
    public func timings(_ report: RunReport) -> String {
        var table = TextTable()
        table.rightAligned = [2]
        table.add("LAYER", "STEP", "SECONDS")
        for kind in LayerKind.allCases {
            let steps = report.steps.filter { $0.layer == kind }
            for step in steps {
                table.add(kind.rawValue, step.name, Figures.decimal(step.seconds, digits: 2))
            }
            if let seconds = report.observationSeconds[kind] {
                table.add(kind.rawValue, "(looking)", Figures.decimal(seconds, digits: 2))
            }
        }
        let sum = report.steps.reduce(0) { $0 + $1.seconds } + report.observationSeconds.values.reduce(0, +)
        table.add("", "sum of all", Figures.decimal(sum, digits: 2))
        table.add("", "passed (what can run at once does)", Figures.decimal(report.totalSeconds, digits: 2))
        return table.lines().joined(separator: "\n")
    }

    /// The run as JSON, schema `attach.run/1`.
    public static func json(_ report: RunReport) -> JSONValue {
        func error(_ error: StackError) -> JSONValue {
            .object([
                ("kind", .string("\(error.kind)")), ("code", .integer(Int(error.kind.rawValue))),
                ("object", .string(error.object)), ("cause", .string(error.cause)), ("advice", .string(error.advice)),
            ])
        }
        let layers = LayerKind.allCases.compactMap { kind -> JSONValue? in
            let steps = report.steps.filter { $0.layer == kind }
            guard !steps.isEmpty || report.observationSeconds[kind] != nil else { return nil }
            return .object([
                ("layer", .string(kind.rawValue)),
                ("looking_seconds", .number(report.observationSeconds[kind] ?? 0)),
                (
                    "steps",
                    .array(
                        steps.map { step in
                            .object([
                                ("name", .string(step.name)), ("object", .string(step.object)),
                                ("outcome", .string(step.outcome?.rawValue ?? "failed")),
                                ("seconds", .number(step.seconds)), ("error", step.error.map(error) ?? .null),
                            ])
                        })
                ),
            ])
        }
        let result =
            report.error != nil
            ? "failed"
            : report.hadNothingToDo ? "nothing to do" : report.toleratedFailures.isEmpty ? "done" : "degraded"
        return .object([
            ("schema", .string("attach.run/1")), ("verb", .string(report.verb.rawValue)), ("result", .string(result)),
            ("seconds", .number(report.totalSeconds)), ("layers", .array(layers)),
            ("error", report.error.map(error) ?? .null), ("further_errors", .array(report.furtherErrors.map(error))),
        ])
    }
}
