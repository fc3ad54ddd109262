import ArgumentParser
import Manual

/// `attach man`.
struct ManCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man", abstract: "Print the manual page attach(8).",
        discussion: """
            attach man > /usr/local/share/man/man8/attach.8
            """)

    func run() async throws {
        let page = try ManualPage(
            dump: AttachCommand._dumpHelp(), description: attachDescription, reference: attachReference)
        print(page.text, terminator: "")
    }
}
