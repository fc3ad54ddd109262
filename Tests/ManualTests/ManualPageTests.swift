import Foundation
import Testing

import Manual

@Suite("Manual pages from what --help is made of")
struct ManualPageTests {
    private let dump = #"""
        {"serializationVersion": 0, "command": {"commandName": "tool", "abstract": "Does it.", "arguments": [],
         "subcommands": [
          {"commandName": "one", "abstract": "The first.", "discussion": "A sentence. Another.\n\ntool one --all\ntool one\n\nThe end.",
           "arguments": [
            {"kind": "positional", "shouldDisplay": true, "isOptional": false, "isRepeating": true, "valueName": "file", "abstract": "What"},
            {"kind": "option", "shouldDisplay": true, "isOptional": true, "isRepeating": false, "valueName": "an \"odd\" value",
             "names": [{"kind": "short", "name": "x"}, {"kind": "long", "name": "extra"}], "defaultValue": "a\\b", "abstract": ".hidden"},
            {"kind": "flag", "shouldDisplay": false, "isOptional": true, "isRepeating": false, "names": [{"kind": "long", "name": "secret"}]},
            {"kind": "flag", "shouldDisplay": true, "isOptional": true, "isRepeating": false, "names": [{"kind": "long", "name": "help"}]}]},
          {"commandName": "two", "shouldDisplay": false, "abstract": "Hidden."},
          {"commandName": "three", "abstract": "Nested.", "subcommands": [{"commandName": "four", "abstract": "Below."}]}]}}
        """#

    private let reference = ManualReference(
        exitCodes: [.init(0, "done"), .init(10, "no permission")], exitNotes: ["'one': 3 unknown."],
        files: [.init("/etc/tool", "its file")], examples: [.init("tool one a", "How to begin")],
        seeAlso: ["other(8)", "more(5)"])

    private func page() throws -> String {
        try ManualPage(dump: dump, description: ["What it is. 'quoted'"], reference: reference, date: "May 1, 2026")
            .text
    }

    @Test("help shows exit codes and files from the same list")
    func help() {
        #expect(
            reference.helpText
                == "Exit codes: 0 done; 10 no permission. 'one': 3 unknown.\n\nFiles: /etc/tool: its file.")
    }

    @Test("roff's own characters, first dots and quotes are text")
    func escapes() throws {
        let lines = try page().split(separator: "\n").map(String.init)
        #expect(lines.contains(#"\&.hidden."#))
        #expect(lines.contains(#"Default: a\eb."#))
        #expect(lines.contains(#".It Fl x , Fl \-extra Ar "an \(dqodd\(dq value""#))
        #expect(lines.contains(#"\(aqquoted\(aq"#))
    }

    @Test("commands of all levels are there, hidden ones and --help are not")
    func commands() throws {
        let text = try page()
        #expect(text.contains(".Ss tool one\n") && text.contains(".Ss tool three four\n"))
        #expect(!text.contains("two") && !text.contains("secret"))
        #expect(!text.contains(".It Fl \\-help"))
        #expect(text.contains(".Bd -literal -offset indent\ntool one \\-\\-all\ntool one\n.Ed\n.Pp\nThe end.\n"))
        #expect(text.contains(".It 10\nno permission.\n"))
        #expect(text.contains(".Xr more 5 ,\n.Xr other 8\n"))
    }

    @Test("a dump of another version is refused")
    func version() {
        #expect(throws: DecodingError.self) {
            try ManualPage(
                dump: #"{"serializationVersion": 1, "command": {"commandName": "x"}}"#, description: [],
                reference: reference)
        }
    }

    @Test("groff has nothing to say about this page")
    func groff() throws { #expect(try Groff.warnings(of: page()) == "") }
}

@Suite("The programs' manual pages")
struct ProgramManualTests {
    @Test(
        "groff has no warning, and every command, option, exit code and file of --help is shown",
        arguments: [
            "storaged", "attach",
        ])
    func complete(name: String) throws {
        let program = Programs.folder + "/" + name
        let page = try Programs.run(program, ["man"])
        #expect(try Groff.warnings(of: page) == "")
        let shown = try Groff.rendered(page)
        let root = try CommandDescription.read(try Programs.run(program, ["--experimental-dump-help"]))
        var count = 0
        func visit(_ command: CommandDescription, _ path: [String]) {
            for subcommand in command.ownSubcommands {
                let path = path + [subcommand.commandName]
                #expect(shown.contains(path.joined(separator: " ")), "\(path)")
                for argument in subcommand.ownArguments {
                    count += 1
                    for option in argument.names ?? [] {
                        let dashes = option.kind == .long ? "--" : "-"
                        #expect(shown.contains("\(dashes)\(option.name)"), "\(path) \(option.name)")
                    }
                }
                visit(subcommand, path)
            }
        }
        visit(root, [name])
        #expect(count > 15)
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            #expect(shown.contains("\n\(section)\n"), "\(section)")
        }
        // --help folds its lines.
        let help = try Programs.run(program, ["--help"]).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let plain = shown.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let codes = help[(try #require(help.range(of: "Exit codes: ")).upperBound)...].prefix { $0 != "." }
        for code in codes.split(separator: ";") {
            let words = code.trimmingCharacters(in: .whitespaces)
            #expect(plain.contains("\(words)."), "\(words)")
        }
        #expect(
            help.contains("/etc/rack/rack.yaml: the inventory") && plain.contains("/etc/rack/rack.yaml the inventory"))
    }
}

/// The programs as `swift build` made them, or $RACK_BIN_DIR's.
enum Programs {
    static let folder: String =
        ProcessInfo.processInfo.environment["RACK_BIN_DIR"]
        ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path

    static func run(_ program: String, _ arguments: [String], input: String? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let (output, feed) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = output
        process.standardInput = feed
        try process.run()
        if let input { try feed.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
        try feed.fileHandleForWriting.close()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(program) \(arguments)")
        return String(decoding: data, as: UTF8.self)
    }
}

/// groff-base.
enum Groff {
    /// What groff says with every warning on.
    static func warnings(of page: String) throws -> String {
        try Programs.run("/usr/bin/groff", ["-mdoc", "-Tutf8", "-ww", "-z"], input: page)
    }

    /// The page as a terminal shows it, without overstrikes and with every word whole.
    static func rendered(_ page: String) throws -> String {
        try Programs.run(
            "/usr/bin/groff", ["-mdoc", "-Tascii", "-P-cbou", "-rLL=200n", "-rHY=0"], input: page)
    }
}
