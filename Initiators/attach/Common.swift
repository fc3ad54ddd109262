import ArgumentParser
import Glibc
import Rack
import Stack

/// The options that every command has which reads the inventory.
struct InventoryOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The inventory.", valueName: "file"))
    var rack = "/etc/rack/rack.yaml"

    @Option(name: .long, help: ArgumentHelp("Which client this host is (default: its host name).", valueName: "name"))
    var client: String?

    /// Reads the inventory; problems that do not stand in the way go to standard error when `showsWarnings`.
    ///
    /// - Throws: `.inventory`, after every problem was printed.
    func loadInventory(showsWarnings: Bool) throws(StackError) -> Inventory {
        let load = Inventory.load(path: rack)
        if showsWarnings || load.inventory == nil {
            for problem in load.problems { Console.error(problem.description) }
        }
        guard let inventory = load.inventory else {
            let count = load.errors.count
            throw StackError(
                .inventory, object: rack, cause: count == 1 ? "one problem" : "\(count) problems",
                advice: "correct what is printed above")
        }
        return inventory
    }

    /// The part of the inventory for this host.
    func loadScope(
        _ selection: StackScope.Selection = .everything, showsWarnings: Bool = false
    ) throws(StackError) -> StackScope {
        let inventory = try loadInventory(showsWarnings: showsWarnings)
        return try StackScope(inventory: inventory, clientName: client, selection: selection)
    }

    /// How `up` starts the monitor: this very program, with absolute paths.
    func monitorCommand(clientName: String) -> [String] {
        var path = [CChar](repeating: 0, count: 4096)
        let program: String
        if unsafe realpath("/proc/self/exe", &path) != nil {
            program = String(decoding: path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        } else {
            program = CommandLine.arguments[0]
        }
        var rackPath = rack
        if unsafe realpath(rack, &path) != nil {
            rackPath = String(decoding: path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return [program, "monitor", "--rack", rackPath, "--client", clientName]
    }
}

/// The option of every command that reports.
struct ReportOptions: ParsableArguments {
    @Flag(name: .long, help: "Print one JSON object with a schema name.")
    var json = false
}

/// Where text goes: data to standard output, talk to standard error.
enum Console {
    static func out(_ text: String) { write(text + "\n", to: 1) }
    static func error(_ text: String) { write(text + "\n", to: 2) }

    /// Colours only on a terminal, and without NO_COLOR.
    static func style(_ descriptor: Int32) -> TextStyle {
        let refused = unsafe getenv("NO_COLOR").map { unsafe $0.pointee != 0 } ?? false
        let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? true
        return TextStyle(usesColour: isatty(descriptor) == 1 && !refused && !isDumb)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        // One write a line, so that lines of several tasks do not run into each other.
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done)
            }
            if count <= 0 {
                if count < 0, errno == EINTR { continue }
                return
            }
            done += count
        }
    }
}

/// What all commands do around their work.
enum Frame {
    /// Runs a command's work; an error becomes one line and the exit code of its kind.
    static func run(_ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch let exit as ExitCode {
            throw exit
        } catch {
            let error = StackError(anything: error, object: "attach")
            Console.error("attach: \(error)")
            throw ExitCode(error.kind.rawValue)
        }
    }

    /// Throws `.noRoot` unless we are root.
    static func requireRoot(_ what: String) throws(StackError) {
        guard geteuid() == 0 else {
            throw StackError(.noRoot, object: what, cause: "needs root", advice: "sudo \(what)")
        }
    }
}
