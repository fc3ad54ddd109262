import ArgumentParser
import BlockStore
import Glibc
import TargetServer

/// An error for the person at the keyboard: one line (or a report of lines) and the exit code that scripts go by.
struct CommandFailure: Error {
    /// The documented exit codes; those from 10 on are the same as attach's.
    enum Code: Int32, Codable {
        case failed = 1
        case noPermission = 10
        case inventory = 11
        case missing = 12
        case busy = 13
        case mismatch = 14
    }

    var code: Code
    var text: String

    init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    /// A backing file or device.
    init(_ error: StoreError, volume: String? = nil) {
        let code: Code =
            switch error.kind {
            case .missing: .missing
            case .permissionDenied, .readOnlyFileSystem: .noPermission
            case .locked: .busy
            case .sizeMismatch, .blockLength, .wrongKind: .mismatch
            case .noSpace, .ioError: .failed
            }
        self.init(code, volume.map { "volume \($0): \(error)" } ?? error.description)
    }

    /// A portal or reactor.
    init(_ error: ServerError) {
        let code: Code
        if error.cause == systemText(EADDRINUSE) {
            code = .busy
        } else if error.cause == systemText(EACCES) || error.cause == systemText(EPERM) {
            code = .noPermission
        } else if error.cause == systemText(EADDRNOTAVAIL) {
            code = .missing
        } else {
            code = .failed
        }
        self.init(code, error.description)
    }
}

/// Several failures as one: all the lines, and the code of the first.
func combined(_ failures: [CommandFailure]) -> CommandFailure? {
    guard let first = failures.first else { return nil }
    return CommandFailure(first.code, failures.map(\.text).joined(separator: "\n"))
}

/// Runs a command's work; a failure is printed on stderr, a `storaged: ` before each line that has no place of its own.
func reportingFailure(_ work: () throws(CommandFailure) -> Void) throws {
    do throws(CommandFailure) {
        try work()
    } catch {
        for line in error.text.split(separator: "\n") {
            printError(error.code == .inventory ? String(line) : "storaged: \(line)")
        }
        throw ExitCode(error.code.rawValue)
    }
}

/// The system's words for an errno.
func systemText(_ errorNumber: Int32) -> String { unsafe String(cString: strerror(errorNumber)) }

/// A line on stderr, in one piece.
func printError(_ line: String) { writeAll(STDERR_FILENO, line + "\n") }

/// A line on stdout, in one piece.
func printLine(_ line: String) { writeAll(STDOUT_FILENO, line + "\n") }

/// Writes all of a text, as far as the descriptor takes it.
func writeAll(_ descriptor: Int32, _ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        rest = rest.dropFirst(count)
    }
}
