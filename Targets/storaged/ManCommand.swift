import ArgumentParser
import Manual

/// `storaged man`
struct ManCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man", abstract: "Print a manual page: storaged(8), or rack.yaml(5).",
        discussion: """
            storaged man > /usr/local/share/man/man8/storaged.8
            storaged man --inventory > /usr/local/share/man/man5/rack.yaml.5
            """)

    @Flag(help: "Print rack.yaml(5), the keys of the inventory.")
    var inventory = false

    func run() throws {
        if inventory {
            print(RackFileManual.page, terminator: "")
            return
        }
        let page = try ManualPage(
            dump: Program._dumpHelp(), description: storagedDescription, reference: storagedReference)
        print(page.text, terminator: "")
    }
}
