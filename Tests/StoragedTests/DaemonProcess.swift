import Glibc
import Testing

/// Every test here starts the real program and speaks bytes to it. They run one after another: a flood in one would
/// be another's broken assumption.
@Suite(.serialized) enum StoragedTests {}

/// A folder of a test's own, with what it started and mounted; all of it ends with the test.
final class Scene {
    let folder: String
    private var processes: [DaemonProcess] = []
    private var mounts: [String] = []

    init() {
        var template = Array("/tmp/storaged-tests.XXXXXX".utf8CString)
        folder = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let made = unsafe mkdtemp(buffer.baseAddress!) else { fatalError("mkdtemp: errno \(errno)") }
            return unsafe String(cString: made)
        }
    }

    deinit {
        for process in processes { process.kill(SIGKILL) }
        for mount in mounts { _ = run("/usr/bin/umount", mount) }
        _ = run("/usr/bin/rm", "-rf", folder)
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Writes a small file.
    func write(_ name: String, _ text: String) -> String {
        let descriptor = unsafe open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        let bytes = Array(text.utf8)
        precondition(unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        return path(name)
    }

    /// A tmpfs of this size, or nil where mounting is not allowed.
    func tmpfs(_ name: String, options: String) -> String? {
        let place = path(name)
        guard unsafe mkdir(place, 0o755) == 0, run("/usr/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", place) == 0
        else { return nil }
        mounts.append(place)
        return place
    }

    /// Runs a program to its end; its exit code.
    func run(_ arguments: String...) -> Int32 {
        DaemonProcess(arguments, errorsTo: "/dev/null", outputTo: "/dev/null").waitForEnd(seconds: 60) ?? -1
    }

    /// Starts storaged with these arguments; its control socket is in this folder unless they name another.
    func storaged(_ arguments: [String], prefix: [String] = []) -> DaemonProcess {
        let number = processes.count
        let serves = arguments.first == "export" || arguments.first == "run"
        let socket = serves && !arguments.contains("--socket") ? ["--socket", path("control.sock")] : []
        let keeps = arguments.first == "run" && !arguments.contains("--state-directory")
        let state = keeps ? ["--state-directory", path("state")] : []
        let process = DaemonProcess(
            prefix + [DaemonProcess.program] + arguments + socket + state, errorsTo: path("stderr.\(number)"),
            outputTo: path("stdout.\(number)"))
        processes.append(process)
        return process
    }

    /// Starts `storaged run` or `export` and waits until it says that it serves.
    func serving(_ arguments: [String], prefix: [String] = []) throws -> DaemonProcess {
        let process = storaged(arguments, prefix: prefix)
        guard
            eventually(
                seconds: 20,
                { process.errors.contains("serving ") || process.output.contains("on a client") || process.hasEnded }),
            !process.hasEnded
        else {
            Issue.record("storaged did not start: \(process.errors)")
            throw SceneError()
        }
        return process
    }

    /// `storaged export` of one new file of 64 MiB, and the name of its target.
    func exporting(_ file: String = "a.img", size: String = "64MiB", more: [String] = []) throws -> Export {
        let port = freePort()
        let portals = ["127.0.0.1:\(port)", "127.0.0.2:\(port)"]
        let process = try serving(
            ["export", path(file), "--size", size, "--portal", portals[0], "--portal", portals[1]] + more)
        let host = try #require(process.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
        return Export(process: process, port: port, targetName: String(host))
    }

    /// `storaged export` of one file of 64 MiB that keeps its state, so that the next one goes on with it.
    func exportingWithState(port: UInt16) throws -> Export {
        let process = try serving([
            "export", path("a.img"), "--size", "64MiB", "--portal", "127.0.0.1:\(port)", "--state-directory",
            path("state"),
        ])
        let name = try #require(process.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
        return Export(process: process, port: port, targetName: String(name))
    }

    /// `storaged run` of two volumes of 64 MiB, `v0` (in `folder`, the scene's own unless given) and `v1`, through one portal.
    func servingTwoVolumes(
        firstIn folder: String? = nil, limits: String, reactors: Int, more: String = ""
    ) throws -> (v0: Export, v1: Export) {
        let port = freePort()
        let first = folder.map { "\($0)/a.img" } ?? path("a.img")
        let rack = write(
            "rack.yaml",
            """
            rack: r1
            iqn: iqn.2026-01.net.example
            networks: [{name: san0}]
            hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
            volumes:
              - {name: v0, size: 64MiB, path: \(first), hosts: [h0]}
              - {name: v1, size: 64MiB, path: \(path("b.img")), hosts: [h0]}
            limits: {\(limits)}
            \(more)

            """)
        let process = try serving(["run", "--rack", rack, "--host", "h0", "--reactors", "\(reactors)"])
        func export(_ volume: String) -> Export {
            Export(process: process, port: port, targetName: "iqn.2026-01.net.example:r1:\(volume)")
        }
        return (export("v0"), export("v1"))
    }

    /// The answer of `storaged status --json`.
    func status() -> String {
        let process = storaged(["status", "--json", "--socket", path("control.sock")])
        _ = process.waitForEnd(seconds: 20)
        return process.output
    }
}

struct SceneError: Error {}

/// A running `storaged export` of one file.
struct Export {
    let process: DaemonProcess
    let port: UInt16
    let targetName: String

    /// A session that logged in.
    func session(_ name: String = "good", from source: String = "127.0.0.1") throws -> RawSession {
        try RawSession(
            port: port, targetName: targetName, initiatorName: "iqn.2026-01.net.example:\(name)", from: source)
    }

    /// The same, past the unit attention that a new nexus begins with.
    func settledSession(_ name: String) throws -> RawSession {
        let session = try session(name)
        session.settle()
        return session
    }
}

/// A child process whose output goes to files.
final class DaemonProcess {
    let processID: pid_t
    private let errorPath: String
    private let outputPath: String
    private var status: Int32?

    /// The program under test: in $RACK_BIN_DIR, or beside the test bundle, where `swift build` puts it.
    static let program: String = {
        if let folder = unsafe getenv("RACK_BIN_DIR") { return unsafe "\(String(cString: folder))/storaged" }
        var path = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
        let bundle = String(decoding: path[..<max(0, count)].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = bundle.split(separator: "/").dropLast().joined(separator: "/")
        let program = "/\(folder)/storaged"
        precondition(unsafe access(program, X_OK) == 0, "\(program) is missing; build it, or set RACK_BIN_DIR")
        return program
    }()

    init(_ arguments: [String], errorsTo errorPath: String, outputTo outputPath: String) {
        self.errorPath = errorPath
        self.outputPath = outputPath
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        var vector: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe vector.indices { unsafe free(vector[index]) } }
        var child: pid_t = 0
        let error = unsafe posix_spawn(&child, arguments[0], &actions, nil, &vector, environ)
        precondition(error == 0, "\(arguments[0]) cannot be started: errno \(error)")
        processID = child
    }

    deinit { if status == nil { kill(SIGKILL) } }

    var errors: String { contents(errorPath) }
    var output: String { contents(outputPath) }

    /// Whether it has ended, without waiting.
    var hasEnded: Bool {
        if status != nil { return true }
        var found: Int32 = 0
        guard unsafe waitpid(processID, &found, WNOHANG) == processID else { return false }
        status = found
        return true
    }

    /// The exit code, 128 and the signal for one that a signal ended, or nil when it goes on.
    func waitForEnd(seconds: Double) -> Int32? {
        guard eventually(seconds: seconds, { hasEnded }), let status else { return nil }
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    func signal(_ number: Int32) { if status == nil { Glibc.kill(processID, number) } }

    /// Ends it by a signal and waits.
    func kill(_ number: Int32) {
        signal(number)
        _ = waitForEnd(seconds: 30)
    }

    /// Resident memory in bytes, from /proc/PID/status.
    var residentBytes: Int {
        for line in contents("/proc/\(processID)/status").split(separator: "\n") where line.hasPrefix("VmRSS:") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int($0.filter(\.isNumber)) } ?? 0) * 1024
        }
        return 0
    }

    /// Processor time used, user and system, in ticks of 10 ms (fields 14 and 15 of /proc/PID/stat).
    var processorTicks: Int {
        let fields = contents("/proc/\(processID)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12 else { return 0 }
        return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
    }

    /// Open descriptors.
    var descriptorCount: Int {
        guard let folder = unsafe opendir("/proc/\(processID)/fd") else { return 0 }
        defer { unsafe closedir(folder) }
        var count = 0
        while unsafe readdir(folder) != nil { count += 1 }
        return count - 2
    }

    private func contents(_ path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: all, as: UTF8.self) }
            all += chunk[..<count]
        }
    }
}

/// Whether a condition comes true in time.
func eventually(seconds: Double, _ condition: () -> Bool) -> Bool {
    let end = now() + seconds
    while true {
        if condition() { return true }
        if now() > end { return false }
        usleep(20_000)
    }
}

/// Seconds on a clock that only goes forward.
func now() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A port that nobody listens on at this moment, below the range that the kernel takes for connections going out: a
/// daemon that is started a second time has to find it free again.
func freePort() -> UInt16 {
    while true {
        let port = UInt16.random(in: 10_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        let isFree = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if isFree { return port }
    }
}

/// Random numbers that come again with the same seed; a test prints the seed of a failure.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
