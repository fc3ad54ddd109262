import Glibc
import Synchronization

/// Brings a stack of layers to what the inventory wants, or away.
///
/// One rule holds for both ways: look, take the steps that the difference asks for, look again. What a step says it did
/// counts for the report only; whether a layer has reached its goal is seen by asking it for steps once more. That is
/// why a run may be ended at any point (`kill -9` included) and repeated: the next one looks and goes on. The cost is one
/// more observation a layer; what was turned down is a state file that says what is there, which is wrong exactly
/// when it is needed.
public struct Runner: Sendable {
    /// At most so many steps of a group at once: iscsid and udev answer many requests one after the other anyway.
    public static let parallelSteps = 16
    /// How often a layer may ask for steps again before it counts as failed.
    static let rounds = 2

    private let layers: [any Layer]
    private let scope: StackScope
    private let journal: Journal?
    private let onEvent: @Sendable (RunEvent) -> Void
    private let onPoint: @Sendable (RunPoint) -> Void
    private let points = PointCounter()

    /// A runner for these layers.
    ///
    /// - Parameters:
    ///   - layers: In any order.
    ///   - scope: What this host is to have.
    ///   - journal: Where steps are written down; nil in tests that need none.
    ///   - onEvent: Is told what happens, from several tasks.
    ///   - onPoint: Is called before and after each step; a test ends the process there.
    public init(
        layers: [any Layer], scope: StackScope, journal: Journal?,
        onEvent: @escaping @Sendable (RunEvent) -> Void = { _ in },
        onPoint: @escaping @Sendable (RunPoint) -> Void = { _ in }
    ) {
        self.layers = layers.sorted { $0.kind < $1.kind }
        self.scope = scope
        self.journal = journal
        self.onEvent = onEvent
        self.onPoint = onPoint
    }

    /// Looks at every layer.
    public func observe() async -> StackObservation {
        var ignored = RunReport(verb: .up)
        return await observe(&ignored)
    }

    private func observe(_ report: inout RunReport) async -> StackObservation {
        // One after the other: the upper layers ask LVM, and two LVM commands at once wait for each other's locks, on a
        // busy host past the time that a look may take.
        report.observation = StackObservation()
        for layer in layers { await observe(layer, into: &report) }
        return report.observation
    }

    private func observe(_ layer: any Layer, into report: inout RunReport) async {
        let clock = ContinuousClock.now
        let objects = await layer.observe(scope)
        report.observationSeconds[layer.kind, default: 0] += (ContinuousClock.now - clock).inSeconds
        let others = report.observation.objects.filter { $0.layer != layer.kind }
        report.observation.objects = (others + objects).sorted { $0.layer < $1.layer }
    }

    /// Brings everything up that the scope wants. Stops at the first layer that fails and leaves what was done. Refused
    /// before the first step when a program or kernel module is missing, or an obstacle can be seen by then.
    public func up() async -> RunReport {
        await run(.up, layers) { report in
            try Self.refuse(layers.flatMap { $0.missing(scope) }, &report)
            for layer in layers { try Self.refuse(await layer.obstaclesUp(scope, report.observation), &report) }
            for (number, layer) in layers.enumerated() {
                if !report.steps.isEmpty { await observe(layer, into: &report) }
                let stepsBefore = report.steps.count
                try await reach(layer, &report) { try layer.stepsUp(scope, $0) }
                try layer.verifyUp(scope, report.observation)
                guard report.steps.count > stepsBefore else { continue }
                for upper in layers[(number + 1)...] {
                    try Self.refuse(await upper.obstaclesUp(scope, report.observation), &report)
                }
            }
        }
    }

    /// Throws the first of several reasons; the report has the others.
    private static func refuse(_ reasons: [StackError], _ report: inout RunReport) throws {
        guard let first = reasons.first else { return }
        report.furtherErrors = Array(reasons.dropFirst())
        throw first
    }

    /// Takes everything of ours away, topmost layer first. Refused before the first step when anything is in use.
    public func down() async -> RunReport {
        await run(.down, layers.reversed()) { report in
            try Self.refuse(await refusals(report.observation), &report)
            for layer in layers.reversed() {
                if !report.steps.isEmpty { await observe(layer, into: &report) }
                try await reach(layer, &report) { try layer.stepsDown(scope, $0) }
            }
        }
    }

    private func refusals(_ observation: StackObservation) async -> [StackError] {
        var refusals: [StackError] = []
        for layer in layers.reversed() {
            refusals += await layer.refusalsDown(scope, observation)
            do {
                _ = try layer.stepsDown(scope, observation)
            } catch {
                let refusal = StackError(anything: error, object: layer.kind.rawValue)
                if !refusals.contains(where: { $0.description == refusal.description }) { refusals.append(refusal) }
            }
        }
        return refusals
    }

    /// The frame of both ways: the report, the journal's first and last line, and the clock.
    private func run(
        _ verb: RunVerb, _ order: [any Layer], _ body: (inout RunReport) async throws -> Void
    ) async -> RunReport {
        let clock = ContinuousClock.now
        var report = RunReport(verb: verb)
        report.cutShort = journal?.known.cutShort
        if let cutShort = report.cutShort { onEvent(.resumes(cutShort)) }
        report.observation = await observe(&report)
        do {
            try journal?.append(
                "run-begin",
                [
                    ("verb", .string(verb.rawValue)), ("client", .string(scope.client.name)),
                    ("rack", .string(scope.inventory.name)), ("pid", .integer(Int(getpid()))),
                ])
            try await body(&report)
        } catch {
            report.error = StackError(anything: error, object: verb.rawValue)
        }
        do {
            try journal?.append("run-end", [("result", .string(report.error == nil ? "done" : "failed"))])
        } catch {
            report.error = report.error ?? error
        }
        report.totalSeconds = (ContinuousClock.now - clock).inSeconds
        return report
    }

    /// Runs the steps that one layer asks for, and looks, until it asks for none that must not fail.
    private func reach(
        _ layer: any Layer, _ report: inout RunReport, _ stepsOf: (StackObservation) throws -> [Step]
    ) async throws {
        var tolerated: Set<String> = []
        for round in 0... {
            let steps = try stepsOf(report.observation).filter { !tolerated.contains($0.name) }
            if steps.isEmpty { return }
            if round >= Self.rounds {
                let step = steps.first { !$0.toleratesFailure }
                guard let step else { return }
                let detail = report.observation.object(layer.kind, step.object)?.detail ?? ""
                throw StackError(
                    .failed, object: step.object,
                    cause: "'\(step.name)' ended well and is still to be done" + (detail.isEmpty ? "" : " (\(detail))"),
                    advice: "see attach status, and run attach \(report.verb.rawValue) again")
            }
            for (_, group) in Dictionary(grouping: steps, by: \.group).sorted(by: { $0.key < $1.key }) {
                let reports = await run(group)
                report.steps += reports
                if let failed = reports.first(where: { $0.error != nil && !$0.isTolerated }), let error = failed.error {
                    throw error
                }
            }
            tolerated.formUnion(steps.filter(\.toleratesFailure).map(\.name))
            await observe(layer, into: &report)
        }
    }

    /// Runs the steps of one group, several at a time, and reports them in the order they ended.
    private func run(_ steps: [Step]) async -> [StepReport] {
        await withTaskGroup(of: StepReport.self) { group in
            var waiting = steps[...]
            var reports: [StepReport] = []
            for _ in 0..<min(Self.parallelSteps, steps.count) {
                let step = waiting.removeFirst()
                group.addTask { await run(step) }
            }
            while let report = await group.next() {
                reports.append(report)
                if let step = waiting.popFirst() { group.addTask { await run(step) } }
            }
            return reports
        }
    }

    private func run(_ step: Step) async -> StepReport {
        let clock = ContinuousClock.now
        var report = StepReport(
            layer: step.layer, name: step.name, object: step.object, outcome: nil,
            isTolerated: step.toleratesFailure, seconds: 0)
        let members: [(name: String, value: JSONValue)] = [
            ("layer", .string(step.layer.rawValue)), ("step", .string(step.name)), ("object", .string(step.object)),
        ]
        do {
            try journal?.append("step-begin", members)
            onEvent(.began(step))
            onPoint(RunPoint(number: points.next(), isBefore: true, step: step.name))
            let outcome = try await Self.withDeadline(step)
            report.outcome = outcome
            try journal?.append("step-end", members + [("outcome", .string(outcome.rawValue))])
        } catch {
            report.outcome = nil
            let failure = StackError(anything: error, object: step.object)
            report.error = failure
            do {
                try journal?.append("step-end", members + [("error", .string(failure.description))])
            } catch {
                report.error = error
                report.isTolerated = false
            }
        }
        report.seconds = (ContinuousClock.now - clock).inSeconds
        onPoint(RunPoint(number: points.next(), isBefore: false, step: step.name))
        onEvent(.ended(report))
        return report
    }

    /// Runs a step and gives it up when its deadline has passed, whether or not it heeds being cancelled.
    private static func withDeadline(_ step: Step) async throws -> StepOutcome {
        let gate = Gate<Result<StepOutcome, any Error>>()
        let work = Task.detached {
            do {
                gate.open(.success(try await step.run()))
            } catch {
                gate.open(.failure(error))
            }
        }
        let watch = Task.detached {
            try await Task.sleep(for: .seconds(step.deadlineSeconds))
            work.cancel()
            // A command that is being torn down has three seconds for that; then its own error says more.
            try await Task.sleep(for: .seconds(4))
            gate.open(
                .failure(
                    StackError(
                        .deadline, object: step.object,
                        cause: "'\(step.name)' did not end within \(step.deadlineSeconds) s",
                        advice: "see attach status, then run the same command again; it goes on where it stopped")))
        }
        let result = await gate.value()
        watch.cancel()
        return try result.get()
    }
}

/// Counts the points of a run.
private final class PointCounter: Sendable {
    private let count = Atomic<Int>(0)
    func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}

extension StackError {
    /// Any error as one that a user can act on.
    public init(anything error: any Error, object: String) {
        if let error = error as? StackError {
            self = error
        } else {
            self.init(.failed, object: object, cause: "\(error)", advice: "see attach status, then try again")
        }
    }
}

extension Duration {
    /// As seconds with a fraction.
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
