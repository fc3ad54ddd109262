import Glibc

/// The clock of all latencies.
@inline(__always)
func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return nanoseconds(time)
}

/// The processor time, user and system, of all threads that a process has and had. /proc/PID/stat tells the same in steps
/// of 10 ms, which is too coarse for a server that gets little of a busy machine.
struct ProcessClock {
    private let clock: clockid_t
    private let process: pid_t

    /// The clock of a process that runs now.
    init(process: pid_t) throws(LoadFailure) {
        var clock = clockid_t()
        guard unsafe clock_getcpuclockid(process, &clock) == 0 else {
            throw LoadFailure("there is no process \(process)")
        }
        self.clock = clock
        self.process = process
    }

    /// What it has used since it began.
    func nanoseconds() throws(LoadFailure) -> UInt64 {
        var time = timespec()
        guard unsafe clock_gettime(clock, &time) == 0 else { throw LoadFailure("process \(process) has ended") }
        return iscsi_load.nanoseconds(time)
    }
}

@inline(__always)
private func nanoseconds(_ time: timespec) -> UInt64 {
    UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
