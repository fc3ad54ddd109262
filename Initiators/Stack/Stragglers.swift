import Glibc

extension CommandRunner {
    /// Ends the commands of an earlier run that was killed: they go on by themselves and would change things under us.
    ///
    /// They are known by the mark in their environment and by being in no session of their own, which is what daemons
    /// they left behind on purpose are. They get ten seconds to end by themselves: a half-made filesystem is worse than
    /// a wait.
    ///
    /// - Returns: What was ended or is still there, as `mkfs.gfs2 (pid 123)`.
    public static func endStragglers(graceSeconds: Int = 10) async -> [String] {
        var found = stragglers()
        for _ in 0..<(graceSeconds * 10) {
            if found.isEmpty { return [] }
            try? await Task.sleep(for: .milliseconds(100))
            found = found.filter { DaemonProcess.state(of: $0) == .running }
        }
        var names: [String] = []
        for pid in found {
            names.append("\(DaemonProcess.name(of: pid) ?? "?") (pid \(pid))")
            _ = await DaemonProcess.end(pid, graceSeconds: 2)
        }
        return names
    }

    private static func stragglers() -> [Int32] {
        let mark = Array("\(environmentMark)=".utf8)
        return listFolder("/proc").compactMap { Int32($0) }.filter { pid in
            // A command leads a process group inside attach's session; a daemon's group and session are one.
            guard pid != getpid(), getsid(pid) != getpgid(pid),
                let environment = readSmallFile("/proc/\(pid)/environ", limitBytes: 1 << 17),
                let entry = environment.split(separator: 0).first(where: { $0.starts(with: mark) })
            else { return false }
            // A command of a run that lives is that run's affair (the monitor has commands, too).
            let owner = Int32(String(decoding: entry.dropFirst(mark.count), as: UTF8.self)) ?? 0
            return DaemonProcess.state(of: owner) != .running
        }
    }
}
