/// A manual page of section 8, in mdoc(7), from what `--help` is made of.
///
/// One page a program, with its subcommands as subsections: somebody who looks for an option does not know yet which command
/// takes it. swift-argument-parser's own generator was turned down: it knows no exit codes, files and examples, and takes
/// a plugin that an installed program does not have.
public struct ManualPage {
    /// The day on which the manuals' texts were last changed.
    public static let lastChange = "November 25, 2026"

    /// The page, for man(1).
    public let text: String

    /// The page of a program.
    ///
    /// - Parameters:
    ///   - dump: The command's description (`_dumpHelp()`).
    ///   - description: Paragraphs for the DESCRIPTION section.
    ///   - date: The day of the last change, as mdoc wants it: `November 25, 2026`.
    /// - Throws: `DecodingError` when the dump is of another version.
    public init(dump: String, description: [String], reference: ManualReference, date: String = ManualPage.lastChange)
        throws
    {
        let root = try CommandDescription.read(dump)
        var page = Mdoc()
        page.macro("Dd", date)
        page.macro("Dt", root.commandName.uppercased(), "8")
        page.macro("Os", "rack-storage")
        page.section("NAME")
        page.macro("Nm", root.commandName)
        page.macro("Nd", Self.name(root.abstract ?? ""))
        page.section("SYNOPSIS")
        page.synopsis(root, path: [root.commandName])
        page.section("DESCRIPTION")
        description.forEach { page.paragraph($0) }
        page.section("COMMANDS")
        page.text("Every command takes")
        page.macro("Fl", "-help", ".")
        page.commands(root, path: [root.commandName])
        page.list("ENVIRONMENT", reference.environment, macro: "Ev")
        page.list("FILES", reference.files, macro: "Pa")
        page.section("EXIT STATUS")
        page.entries(reference.exitCodes, macro: nil)
        reference.exitNotes.forEach { page.paragraph($0) }
        if !reference.examples.isEmpty {
            page.section("EXAMPLES")
            for example in reference.examples {
                page.paragraph(example.meaning + ":")
                page.literal([example.subject])
            }
        }
        page.section("SEE ALSO")
        page.references(reference.seeAlso)
        text = page.lines.joined(separator: "\n") + "\n"
    }

    /// `Exports files.` as the NAME section has it: `exports files`.
    private static func name(_ abstract: String) -> String {
        let words = abstract.hasSuffix(".") ? abstract.dropLast() : abstract[...]
        return words.prefix(1).lowercased() + words.dropFirst()
    }
}

/// Lines of mdoc(7) as they are written.
struct Mdoc {
    private(set) var lines: [String] = []

    /// A text with what roff would take for itself escaped. Hyphens become minus signs, so that what is shown can be copied.
    static func escape(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "`": result += "\\(ga"
            case "'": result += "\\(aq"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            case "\"": result += "\\(dq"
            default: result.append(character)
            }
        }
        return result
    }

    /// A macro line. Arguments with blanks are quoted; one that begins like a macro's name or a delimiter is text all the same.
    mutating func macro(_ name: String, _ arguments: String...) {
        lines.append(".\(name)" + arguments.map { " " + Self.word($0) }.joined())
    }

    private static func word(_ text: String) -> String {
        let escaped = escape(text)
        let word = text.count <= 3 && text.first?.isLetter ?? false ? "\\&\(escaped)" : escaped
        return word.contains(" ") ? "\"\(word)\"" : word
    }

    mutating func section(_ title: String) { lines.append(".Sh \(title)") }

    mutating func heading(_ title: String) { lines.append(".Ss \(Self.escape(title))") }

    /// A line of running text.
    mutating func text(_ text: String) {
        let escaped = Self.escape(text)
        lines.append(escaped.hasPrefix(".") ? "\\&\(escaped)" : escaped)
    }

    mutating func paragraph(_ paragraph: String) {
        if lines.last?.hasPrefix(".S") != true { lines.append(".Pp") }
        running(paragraph)
    }

    /// Running text: a new sentence on a new line, as mdoc wants it for its spacing, and no line longer than a terminal's.
    mutating func running(_ words: String) {
        var line = ""
        for word in words.split(separator: " ") {
            if !line.isEmpty, line.count + word.count >= 72 {
                text(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
            if word.hasSuffix(".") || word.hasSuffix(".)") {
                text(line)
                line = ""
            }
        }
        if !line.isEmpty { text(line) }
    }

    /// Lines that are shown as they are.
    mutating func literal(_ literal: [String]) {
        lines.append(".Bd -literal -offset indent")
        literal.forEach { text($0) }
        lines.append(".Ed")
    }

    /// A help text: paragraphs, and command lines among them.
    mutating func discussion(_ discussion: String, program: String) {
        let lines = discussion.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for block in lines.split(separator: "") {
            if block.count > 1 || block[block.startIndex].hasPrefix("\(program) ") {
                literal(Array(block))
            } else {
                paragraph(block[block.startIndex])
            }
        }
    }

    mutating func list(_ title: String, _ entries: [ManualReference.Entry], macro name: String) {
        guard !entries.isEmpty else { return }
        section(title)
        self.entries(entries, macro: name)
    }

    mutating func entries(_ entries: [ManualReference.Entry], macro name: String?) {
        lines.append(".Bl -tag -width Ds")
        for entry in entries {
            lines.append(".It \(name.map { $0 + " " } ?? "")\(Self.word(entry.subject))")
            running(entry.meaning + ".")
        }
        lines.append(".El")
    }

    /// One line a command that does something.
    mutating func synopsis(_ command: CommandDescription, path: [String]) {
        guard command.ownSubcommands.isEmpty else {
            for subcommand in command.ownSubcommands { synopsis(subcommand, path: path + [subcommand.commandName]) }
            return
        }
        lines.append(".Nm \(path[0])")
        for word in path.dropFirst() { lines.append(".Cm \(Self.word(word))") }
        for argument in command.ownArguments {
            let plain = Self.usage(argument)
            lines.append(argument.isOptional ? ".Op \(plain)" : ".\(plain)")
        }
    }

    mutating func commands(_ command: CommandDescription, path: [String]) {
        for subcommand in command.ownSubcommands {
            let path = path + [subcommand.commandName]
            heading(path.joined(separator: " "))
            if let abstract = subcommand.abstract { paragraph(abstract) }
            if let discussion = subcommand.discussion { self.discussion(discussion, program: path[0]) }
            if !subcommand.ownArguments.isEmpty {
                lines.append(".Bl -tag -width Ds")
                subcommand.ownArguments.forEach { argument($0) }
                lines.append(".El")
            }
            commands(subcommand, path: path)
        }
    }

    private mutating func argument(_ argument: CommandDescription.Argument) {
        lines.append(".It \(Self.usage(argument))")
        var words = argument.abstract ?? ""
        if !words.isEmpty, !words.hasSuffix(".") { words += "." }
        running(words)
        if let values = argument.allValues, !values.isEmpty { running("One of \(values.joined(separator: ", ")).") }
        if let value = argument.defaultValue, argument.kind == .option { running("Default: \(value).") }
        if let discussion = argument.discussion { running(discussion) }
    }

    /// `Fl -rack Ar file`, `Ar portal ...`.
    private static func usage(_ argument: CommandDescription.Argument) -> String {
        var parts: [String] = []
        if argument.kind != .positional {
            let names = (argument.names ?? []).map { name in
                "Fl \(name.kind == .long ? "\\-" : "")\(escape(name.name))"
            }
            parts.append(names.joined(separator: " , "))
        }
        if argument.kind != .flag { parts.append("Ar \(word(argument.valueName ?? "value"))") }
        if argument.isRepeating { parts.append("...") }
        return parts.joined(separator: " ")
    }

    mutating func references(_ pages: [String]) {
        // By section, then by name.
        let pages = pages.map { $0.dropLast().split(separator: "(") }
            .sorted { ($0[1], $0[0]) < ($1[1], $1[0]) }
        for (index, parts) in pages.enumerated() {
            lines.append(".Xr \(parts[0]) \(parts[1])\(index < pages.count - 1 ? " ," : "")")
        }
    }
}
