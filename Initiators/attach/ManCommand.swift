import ArgumentParser
import Manual

/// `attach man`.
struct ManCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man", abstract: "Print a manual page: attach(8), or rack.yaml(5).",
        discussion: """
            attach man > /usr/local/share/man/man8/attach.8
            attach man --inventory > /usr/local/share/man/man5/rack.yaml.5
            """)

    @Flag(help: "Print rack.yaml(5), the keys of the inventory.")
    var inventory = false

    func run() async throws {
        if inventory {
            print(RackFileManual.page, terminator: "")
            return
        }
        let page = try ManualPage(
            dump: AttachCommand._dumpHelp(), description: attachDescription, reference: attachReference)
        print(page.text, terminator: "")
    }
}
