import Glibc
import Subprocess

/// How a command ended, and what it said.
public struct CommandResult: Sendable, Equatable {
    /// How the process ended.
    public enum Ending: Sendable, Equatable {
        /// By itself, with this exit code.
        case exited(Int32)
        /// By this signal.
        case signalled(Int32)
    }

    /// How the process ended.
    public var ending: Ending
    /// Standard output, as UTF-8 (broken sequences repaired), at most `CommandRunner.captureLimitBytes`.
    public var standardOutput: String
    /// Standard error, likewise.
    public var standardError: String

    /// Makes a result; tests use it to play a command.
    public init(ending: Ending = .exited(0), standardOutput: String = "", standardError: String = "") {
        self.ending = ending
        self.standardOutput = standardOutput
        self.standardError = standardError
    }

    /// Whether it ended by itself with exit code 0.
    public var isSuccess: Bool { ending == .exited(0) }

    /// The exit code; 128 + the signal's number for a process that a signal ended, as shells count.
    public var exitCode: Int32 {
        switch ending {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        }
    }

    /// The one line that says most about a failure: the last line of standard error that is not blank, else of
    /// standard output, else how the process ended.
    public var lastWords: String {
        for text in [standardError, standardOutput] {
            let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingBlanks() }
            if let line = lines.last(where: { !$0.isEmpty }) { return line }
        }
        switch ending {
        case .exited(let code): return "exit code \(code)"
        case .signalled(let signal): return "ended by signal \(signal)"
        }
    }
}

/// Runs the engines' programs: by argument vector, never through a shell, each with a deadline.
///
/// Output goes to anonymous memory files and not to pipes, which gains two things: a program that leaves a daemon
/// behind (iscsid, corosync) does not keep us waiting for the end of a pipe that the daemon holds open, and the bound
/// on what is captured is kept by the kernel (the file is sealed against growing). The cost is that nothing can be read
/// while the command runs, which no caller needs.
///
/// A command that outlives its deadline gets SIGTERM, two seconds later SIGKILL (its whole process group), and one
/// second after that it is given up: a process in uninterruptible sleep (state D) cannot be killed, and waiting for it
/// would only spread the hang.
public struct CommandRunner: Sendable {
    /// The most that is kept of each of the two outputs.
    public static let captureLimitBytes = 1 << 20

    /// Where programs are looked for, in this order, whatever PATH says.
    public static let standardFolders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    /// Plays a command in tests: program, arguments, standard input.
    public typealias Player = @Sendable (String, [String], String?) async throws(StackError) -> CommandResult

    /// Marks the environment of every command, so that the next run of attach finds those that outlived a killed one.
    public static let environmentMark = "ATTACH_COMMAND"

    private let folders: [String]
    private let player: Player?

    /// A runner that looks for programs in `folders`.
    public init(folders: [String] = CommandRunner.standardFolders) {
        self.folders = folders
        self.player = nil
    }

    /// A runner that starts nothing and asks `player` instead; for tests.
    public init(playing player: @escaping Player) {
        self.folders = []
        self.player = player
    }

    /// The path of a program.
    ///
    /// - Throws: `.missing`, naming the Debian package that brings the program.
    public func locate(_ program: String) throws(StackError) -> String {
        if player != nil { return program }
        if program.contains("/") {
            if unsafe access(program, X_OK) == 0 { return program }
        } else {
            for folder in folders {
                let path = "\(folder)/\(program)"
                if unsafe access(path, X_OK) == 0 { return path }
            }
        }
        let package = Self.debianPackages[program] ?? program
        throw StackError(
            .missing, object: program, cause: "the program is not installed", advice: "apt-get install \(package)")
    }

    /// Runs a program and waits for its end, whatever its exit code.
    ///
    /// - Parameters:
    ///   - program: Its name, looked for in the runner's folders, or a path.
    ///   - arguments: The argument vector without the program's own name.
    ///   - deadlineSeconds: When it has not ended by then it is torn down.
    ///   - input: Text for its standard input; `/dev/null` when nil.
    ///   - environment: Variables set in addition to PATH, HOME and the C locale; the caller's own are not passed on.
    /// - Throws: `.missing` when the program is not there, `.deadline` when it had to be ended (or could not be),
    ///   `.failed` when it could not be started.
    @discardableResult
    public func run(
        _ program: String, _ arguments: [String] = [], deadlineSeconds: Int = 30, input: String? = nil,
        environment: [String: String] = [:]
    ) async throws(StackError) -> CommandResult {
        if let player { return try await player(program, arguments, input) }
        let path = try locate(program)
        let standardOutput = try MemoryFile(limitBytes: Self.captureLimitBytes)
        let standardError = try MemoryFile(limitBytes: Self.captureLimitBytes)
        let inputFile = try MemoryFile(content: input ?? "")

        // A small environment of our own: what a user's shell sets (LVM_*, LANG) must not change what the engines do.
        var variables: [Environment.Key: String] = [
            "PATH": Self.standardFolders.joined(separator: ":"), "HOME": "/root", "LC_ALL": "C", "LANG": "C",
        ]
        variables[Environment.Key(stringLiteral: Self.environmentMark)] = "\(getpid())"
        for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [
            .gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .seconds(Self.graceSeconds))
        ]
        let configuration = Configuration(
            executable: .path(.init(path)), arguments: Arguments(arguments), environment: .custom(variables),
            platformOptions: options)
        // The copies of the descriptors belong to the task below: a command that had to be given up may still be
        // starting when this function has long returned.
        let files = [inputFile, standardOutput, standardError]
        let gate = Gate<Result<TerminationStatus, StackError>>()
        let work = Task.detached {
            do {
                let result = try await Subprocess.run(
                    configuration,
                    input: .fileDescriptor(.init(rawValue: files[0].descriptor), closeAfterSpawningProcess: false),
                    output: .fileDescriptor(.init(rawValue: files[1].descriptor), closeAfterSpawningProcess: false),
                    error: .fileDescriptor(.init(rawValue: files[2].descriptor), closeAfterSpawningProcess: false))
                gate.open(.success(result.terminationStatus))
            } catch {
                gate.open(
                    .failure(
                        StackError(
                            .failed, object: program, cause: "could not be started: \(error)",
                            advice: "try it by hand: \(Self.commandLine(program, arguments))")))
            }
            _ = files
        }
        let started = ContinuousClock.now
        let watch = Task.detached {
            try await Task.sleep(for: .seconds(deadlineSeconds))
            work.cancel()
            try await Task.sleep(for: .seconds(Self.graceSeconds + 1))
            gate.open(
                .failure(
                    StackError(
                        .deadline, object: program,
                        cause: "did not end within \(deadlineSeconds) s and cannot be killed (it waits in the kernel)",
                        advice: "see what it waits for: ps -eo pid,stat,wchan:32,args | grep \(program)")))
        }
        let outcome = await withTaskCancellationHandler {
            await gate.value()
        } onCancel: {
            work.cancel()
        }
        watch.cancel()
        let status = try outcome.get()
        if ContinuousClock.now - started >= .seconds(deadlineSeconds) {
            throw StackError(
                .deadline, object: program, cause: "did not end within \(deadlineSeconds) s and was ended",
                advice: "try it by hand: \(Self.commandLine(program, arguments))")
        }
        let ending: CommandResult.Ending =
            switch status {
            case .exited(let code): .exited(code)
            case .signaled(let signal): .signalled(signal)
            }
        return CommandResult(
            ending: ending, standardOutput: standardOutput.text(), standardError: standardError.text())
    }

    /// Runs a program that has to succeed.
    ///
    /// - Throws: As `run`, and `.failed` with the command's last words when its exit code is not 0.
    @discardableResult
    public func check(
        _ program: String, _ arguments: [String] = [], deadlineSeconds: Int = 30, input: String? = nil,
        environment: [String: String] = [:]
    ) async throws(StackError) -> CommandResult {
        let result = try await run(
            program, arguments, deadlineSeconds: deadlineSeconds, input: input, environment: environment)
        guard result.isSuccess else {
            throw StackError(
                .failed, object: program, cause: result.lastWords,
                advice: "try it by hand: \(Self.commandLine(program, arguments))")
        }
        return result
    }

    /// Starts a daemon that stays in the foreground of a session of its own and outlives attach.
    ///
    /// Its standard input is `/dev/null`, its outputs go to `logFile` (appended) or `/dev/null`, it has no other open
    /// file of ours and an unblocked, default set of signals. A program that goes to the background by itself is
    /// better started with `check`.
    ///
    /// - Returns: Its process id. Whether it is well is for the caller to find out; `DaemonProcess.state` tells.
    /// - Throws: `.missing`, or `.failed` when it could not be started.
    public func startDaemon(
        _ program: String, _ arguments: [String] = [], logFile: String? = nil, environment: [String: String] = [:]
    ) async throws(StackError) -> Int32 {
        let path = try locate(program)
        if player != nil { return 0 }
        return try await DaemonProcess.spawn(path, arguments, logFile: logFile ?? "/dev/null", environment: environment)
    }

    /// The command as one would type it, for advice; arguments with special characters are quoted.
    public static func commandLine(_ program: String, _ arguments: [String]) -> String {
        let plain: (Character) -> Bool = { $0.isLetter || $0.isNumber || "-_./:=,@%+[]".contains($0) }
        let words = ([program] + arguments).map { word in
            if word.allSatisfy(plain) && !word.isEmpty { return word }
            return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
        }
        return words.joined(separator: " ")
    }

    private static let graceSeconds = 2

    /// The Debian packages that bring the programs attach drives.
    private static let debianPackages = [
        "iscsiadm": "open-iscsi", "iscsid": "open-iscsi",
        "modprobe": "kmod", "udevadm": "udev", "systemctl": "systemd",
        "lvm": "lvm2", "vgcreate": "lvm2", "vgchange": "lvm2", "vgs": "lvm2", "lvcreate": "lvm2", "lvchange": "lvm2",
        "lvs": "lvm2", "pvs": "lvm2", "pvcreate": "lvm2", "vgremove": "lvm2", "lvmdevices": "lvm2",
        "lvmlockd": "lvm2-lockd", "lvmlockctl": "lvm2-lockd",
        "corosync": "corosync", "corosync-quorumtool": "corosync", "corosync-cfgtool": "corosync",
        "corosync-cmapctl": "corosync", "corosync-keygen": "corosync",
        "dlm_controld": "dlm-controld", "dlm_tool": "dlm-controld",
        "mkfs.gfs2": "gfs2-utils", "fsck.gfs2": "gfs2-utils", "tunegfs2": "gfs2-utils", "gfs2_jadd": "gfs2-utils",
        "gfs2_grow": "gfs2-utils",
        "blkid": "util-linux", "findmnt": "util-linux", "wipefs": "util-linux", "mount": "mount", "umount": "mount",
    ]
}

extension StringProtocol {
    /// The text without blanks at either end.
    func trimmingBlanks() -> String {
        var rest = Substring(self)
        while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
        while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
        return String(rest)
    }
}
