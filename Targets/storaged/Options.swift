import ArgumentParser
import Glibc
import Logging

/// Options of everything that serves.
struct ServingOptions: ParsableArguments {
    @Option(help: "Reactor threads; 0 is one a processor that this process may use.")
    var reactors = 0

    @Option(help: "The least that is logged: trace, debug, info, notice, warning, error, critical.")
    var logLevel: Logger.Level = .info

    @OptionGroup var control: ControlOptions

    func validate() throws {
        guard (0...1024).contains(reactors) else { throw ValidationError("--reactors must be from 0 to 1024") }
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}

/// Where the control socket is.
struct ControlOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The control socket; else $STORAGED_SOCKET, else control.sock in /run/storaged.", valueName: "path"))
    var socket: String?

    /// The path given by option or environment.
    var explicitPath: String? {
        if let socket { return socket }
        return environment("STORAGED_SOCKET")
    }

    /// Where a daemon makes its socket: the folder that the service manager made for it, root's, or the user's own.
    var servingPath: String {
        if let explicitPath { return explicitPath }
        if let folder = environment("RUNTIME_DIRECTORY") { return "\(folder.prefix { $0 != ":" })/control.sock" }
        if geteuid() != 0, let folder = environment("XDG_RUNTIME_DIR") { return "\(folder)/storaged/control.sock" }
        return Self.systemPath
    }

    /// Where a client looks, in this order.
    var clientPaths: [String] {
        if let explicitPath { return [explicitPath] }
        var paths = [Self.systemPath]
        if let folder = environment("XDG_RUNTIME_DIR") { paths.append("\(folder)/storaged/control.sock") }
        return paths
    }

    private static let systemPath = "/run/storaged/control.sock"
}

/// A variable of the environment that is set and not empty.
func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name), unsafe value.pointee != 0 else { return nil }
    return unsafe String(cString: value)
}

/// This machine's name.
func machineName() -> String {
    var bytes = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
    return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
