import Glibc
import HostDevices

/// One of the cluster's daemons: how it starts, how it is found, how it ends.
///
/// attach ends a daemon only when it started it. The note of that is written before the start, so a run that is killed
/// in between leaves a note of a daemon that is not there (harmless) and never a daemon without a note.
package struct ClusterDaemon: Sendable {
    /// Its program and process name.
    package let name: String
    /// Its systemd unit.
    package let unit: String
    /// Its arguments where no systemd runs; each of them goes to the background by itself.
    package let arguments: [String]

    package static let corosync = ClusterDaemon(name: "corosync", unit: "corosync.service", arguments: [])
    package static let lockManager = ClusterDaemon(name: "dlm_controld", unit: "dlm.service", arguments: [])
    /// Adoption: after a lvmlockd that was killed, the new one takes over the locks that the kernel still holds.
    package static let volumeLocks = ClusterDaemon(
        name: "lvmlockd", unit: "lvmlockd.service", arguments: ["-g", "dlm", "--adopt", "1"])

    /// The state letter of proc(5) from a line of /proc/PID/stat whose process has this name; nil for another's.
    package static func state(ofStatLine line: String, name: String) -> Character? {
        guard let open = line.firstIndex(of: "("), let close = line.lastIndex(of: ")") else { return nil }
        guard line[line.index(after: open)..<close] == name else { return nil }
        return line[line.index(after: close)...].first { $0 != " " }
    }

    /// Its process; nil when none runs. One that ended and was not collected (state Z, X) does not run.
    package func runningProcess(_ files: HostFiles) -> Int32? {
        for entry in files.entries("/proc") {
            guard let pid = Int32(entry), let line = files.text("/proc/\(entry)/stat"),
                let state = Self.state(ofStatLine: line, name: name)
            else { continue }
            if state != "Z" && state != "X" { return pid }
        }
        return nil
    }

    /// Whether attach started it, by its notes.
    package func isStartedByUs(_ context: StackContext) -> Bool { context.startedDaemons()[name] != nil }

    /// Starts it and waits until it answers.
    package func start(
        _ context: StackContext, deadlineSeconds: Int, answers: () async throws -> Bool
    ) async throws -> StepOutcome {
        let wasRunning = runningProcess(context.files) != nil
        if !wasRunning {
            try context.noteDaemon(name, 0)
            if context.folders.systemdRuns {
                try await context.commands.check("systemctl", ["start", unit], deadlineSeconds: deadlineSeconds)
            } else {
                // It inherits the command's environment, and must not be taken for a command that attach left behind.
                try await context.commands.check(
                    name, arguments, deadlineSeconds: deadlineSeconds,
                    environment: [CommandRunner.environmentMark: "daemon"])
            }
        }
        let hint =
            context.folders.systemdRuns
            ? "see: journalctl -u \(unit)" : "start it in the foreground to see what it says: \(name) -f"
        _ = try await waitUntil(name, deadlineSeconds: deadlineSeconds, advice: { _ in hint }) {
            if try await answers() { return WaitState.done(true) }
            return .waiting(
                runningProcess(context.files) == nil ? "it ended right after its start" : "it does not answer")
        }
        return wasRunning ? .alreadyThere : .created
    }

    /// Ends it: by its unit where systemd started it, by `ask` or SIGTERM otherwise, and waits until it is gone. SIGKILL is
    /// never sent: the cluster would take that for a lost client.
    package func stop(
        _ context: StackContext, deadlineSeconds: Int, ask: (() async throws -> Void)? = nil,
        advice: String
    ) async throws -> StepOutcome {
        guard runningProcess(context.files) != nil else {
            try context.noteDaemon(name, nil)
            return .alreadyThere
        }
        if context.folders.systemdRuns, await !ServiceManager(context).waitsForUs() {
            try await context.commands.run("systemctl", ["stop", unit], deadlineSeconds: deadlineSeconds)
        } else if let ask {
            try await ask()
        } else if let pid = runningProcess(context.files) {
            kill(pid, SIGTERM)
        }
        let start = ContinuousClock.now
        var wasAskedAgain = false
        _ = try await waitUntil(
            name, deadlineSeconds: deadlineSeconds, everyMilliseconds: 100, advice: { _ in advice }
        ) {
            guard let pid = runningProcess(context.files) else { return WaitState.done(true) }
            if !wasAskedAgain, ContinuousClock.now - start > .seconds(3) {
                wasAskedAgain = true
                kill(pid, SIGTERM)
            }
            return .waiting("process \(pid) does not end")
        }
        try context.noteDaemon(name, nil)
        return .removed
    }
}
