import ArgumentParser
import Manual

/// `storaged man`
struct ManCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man", abstract: "Print the manual page storaged(8).",
        discussion: """
            storaged man > /usr/local/share/man/man8/storaged.8
            """)

    func run() throws {
        let page = try ManualPage(
            dump: Program._dumpHelp(), description: storagedDescription, reference: storagedReference)
        print(page.text, terminator: "")
    }
}
