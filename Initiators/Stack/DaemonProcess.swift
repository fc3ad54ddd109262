import Glibc
import Subprocess

/// Processes that outlive attach: started in a session of their own, looked at by process id.
public enum DaemonProcess {
    /// What became of a process.
    public enum State: Sendable, Equatable {
        /// It runs.
        case running
        /// It was our child and ended with this wait status.
        case ended(Int32)
        /// There is no such process.
        case gone
    }

    /// Looks at a process; a child of ours that ended is collected, so that it does not count as running for ever.
    public static func state(of pid: Int32) -> State {
        guard pid > 0 else { return .gone }
        var status: Int32 = 0
        if unsafe waitpid(pid, &status, WNOHANG) == pid { return .ended(status) }
        return kill(pid, 0) == 0 || errno == EPERM ? .running : .gone
    }

    /// The name of a process's program (`comm`), or nil when there is no such process.
    public static func name(of pid: Int32) -> String? {
        guard let text = readTextFile("/proc/\(pid)/comm") else { return nil }
        return text.trimmingBlanks()
    }

    /// Ends a process: SIGTERM, and SIGKILL when it has not ended after `graceSeconds`.
    ///
    /// - Returns: Whether it is gone; false for a process that waits in the kernel and cannot be killed.
    public static func end(_ pid: Int32, graceSeconds: Int = 5) async -> Bool {
        for (signal, seconds) in [(SIGTERM, graceSeconds), (SIGKILL, 2)] {
            kill(pid, signal)
            for _ in 0..<(seconds * 20) {
                if state(of: pid) != .running { return true }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
        return state(of: pid) != .running
    }

    /// All processes whose program has this name, by process id.
    public static func named(_ name: String) -> [Int32] {
        listFolder("/proc").compactMap { Int32($0) }.filter { self.name(of: $0) == name }.sorted()
    }

    /// Starts `path` in a session of its own and answers its process id.
    ///
    /// The task that waits for the daemon's end goes on behind our back until attach ends; it collects a daemon that
    /// ends at once, so that `state` does not take a dead one for a running one.
    static func spawn(
        _ path: String, _ arguments: [String], logFile: String, environment: [String: String]
    ) async throws(StackError) -> Int32 {
        func failure(_ cause: String) -> StackError {
            StackError(.failed, object: path, cause: cause, advice: "check the program and \(logFile)")
        }
        let log = unsafe open(logFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard log >= 0 else { throw failure("its log \(logFile) could not be opened: \(errorText(errno))") }
        let null = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)

        var variables: [Environment.Key: String] = [
            "PATH": CommandRunner.standardFolders.joined(separator: ":"), "LC_ALL": "C", "LANG": "C",
        ]
        for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
        var options = PlatformOptions()
        options.createSession = true
        let configuration = Configuration(
            executable: .path(.init(path)), arguments: Arguments(arguments), environment: .custom(variables),
            workingDirectory: "/", platformOptions: options)
        let gate = Gate<Result<Int32, StackError>>()
        Task.detached {
            do {
                _ = try await Subprocess.run(
                    configuration,
                    input: .fileDescriptor(.init(rawValue: null), closeAfterSpawningProcess: true),
                    output: .fileDescriptor(.init(rawValue: log), closeAfterSpawningProcess: false),
                    error: .fileDescriptor(.init(rawValue: log), closeAfterSpawningProcess: true)
                ) { execution in
                    gate.open(.success(execution.processIdentifier.value))
                }
            } catch {
                gate.open(
                    .failure(
                        StackError(
                            .failed, object: path, cause: "could not be started: \(error)",
                            advice: "check the program and \(logFile)")))
            }
        }
        return try await gate.value().get()
    }
}
