/// Up or down.
public enum RunVerb: String, Sendable {
    /// Bring the stack up.
    case up
    /// Take it down.
    case down
}

/// One step that ran.
public struct StepReport: Sendable {
    /// The step's layer.
    public var layer: LayerKind
    /// The step's name.
    public var name: String
    /// The object it acted on.
    public var object: String
    /// What it did; nil when it failed.
    public var outcome: StepOutcome?
    /// Why it failed.
    public var error: StackError?
    /// Whether the run went on in spite of that.
    public var isTolerated: Bool
    /// How long it took.
    public var seconds: Double

    /// Makes a report of one step.
    public init(
        layer: LayerKind, name: String, object: String, outcome: StepOutcome?, error: StackError? = nil,
        isTolerated: Bool = false, seconds: Double
    ) {
        self.layer = layer
        self.name = name
        self.object = object
        self.outcome = outcome
        self.error = error
        self.isTolerated = isTolerated
        self.seconds = seconds
    }
}

/// What a run of `up` or `down` did.
public struct RunReport: Sendable {
    /// What was run.
    public var verb: RunVerb
    /// The steps that ran, in the order they ended.
    public var steps: [StepReport] = []
    /// How long looking took, by layer.
    public var observationSeconds: [LayerKind: Double] = [:]
    /// All of it.
    public var totalSeconds: Double = 0
    /// The run before this one, when it was cut short.
    public var cutShort: JournalContents.Run?
    /// Why it stopped; nil when it reached its goal.
    public var error: StackError?
    /// Further reasons, when there are several (each mount that is in use).
    public var furtherErrors: [StackError] = []
    /// What was seen last.
    public var observation = StackObservation()

    /// Makes an empty report.
    public init(verb: RunVerb) { self.verb = verb }

    /// Whether the stack was as wanted before the run.
    public var hadNothingToDo: Bool { steps.isEmpty && error == nil }
    /// The steps that failed without stopping the run: what is up is up in part.
    public var toleratedFailures: [StepReport] { steps.filter { $0.error != nil && $0.isTolerated } }
}

/// What happens during a run, for whoever shows it.
public enum RunEvent: Sendable {
    /// The last run was cut short; this one looks what is there and goes on.
    case resumes(JournalContents.Run)
    /// A step was begun.
    case began(Step)
    /// A step ended, well or not.
    case ended(StepReport)
}

/// A place in a run where a test may end the process: before and after each step, once the journal has it.
public struct RunPoint: Sendable {
    /// Counted from 1 over the whole run.
    public var number: Int
    /// Whether the step is about to run (or has run).
    public var isBefore: Bool
    /// The step.
    public var step: String
}
