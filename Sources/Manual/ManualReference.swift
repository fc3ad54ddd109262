/// What a manual says besides commands and options, in one place for `--help` and the man page.
public struct ManualReference: Sendable {
    /// A thing with a meaning: an exit code, a file, a variable, a command line.
    public struct Entry: Sendable {
        /// What it is about.
        public var subject: String
        /// What it means or does; a sentence without its full stop.
        public var meaning: String

        /// An entry.
        public init(_ subject: String, _ meaning: String) {
            self.subject = subject
            self.meaning = meaning
        }

        /// An exit code.
        public init(_ code: Int, _ meaning: String) { self.init("\(code)", meaning) }
    }

    /// Exit codes of the program, in order.
    public var exitCodes: [Entry]
    /// Exit codes of commands that answer by other rules, one paragraph each.
    public var exitNotes: [String]
    /// Files and folders that the program reads or makes.
    public var files: [Entry]
    /// Variables of the environment that it heeds.
    public var environment: [Entry]
    /// Command lines to learn from.
    public var examples: [Entry]
    /// Other manual pages: `lvmlockd(8)`.
    public var seeAlso: [String]

    /// A reference.
    public init(
        exitCodes: [Entry], exitNotes: [String] = [], files: [Entry], environment: [Entry] = [],
        examples: [Entry] = [], seeAlso: [String] = []
    ) {
        self.exitCodes = exitCodes
        self.exitNotes = exitNotes
        self.files = files
        self.environment = environment
        self.examples = examples
        self.seeAlso = seeAlso
    }

    /// The part that `--help` shows: exit codes and files.
    public var helpText: String {
        let codes = exitCodes.map { "\($0.subject) \($0.meaning)" }.joined(separator: "; ")
        let notes = exitNotes.map { " \($0)" }.joined()
        let files = files.map { "\($0.subject): \($0.meaning)" }.joined(separator: "; ")
        return "Exit codes: \(codes).\(notes)\n\nFiles: \(files)."
    }
}
