import Glibc

/// Notices that a thread has stood still: its process was stopped, the machine was paused or suspended, the processor
/// was given to others for seconds.
///
/// Initiators that get no answer give up a path and repeat its commands on another one. What they sent before still
/// lies in the socket, and in the submissions and worker threads of this process, and would be written long after the
/// repeat, over newer data. So whoever wakes from a standstill that is longer than the limit executes nothing that was
/// queued before it: its connections are cut unread, and initiators come back and repeat what they still want.
///
/// What it gains: a stopped daemon is to its initiators as a crashed one, which they know how to handle. What it costs: a
/// wake-up a second while there are connections, two looks at the clock a round, and that a host which is slow beyond
/// the limit loses connections that might have gone on. Receive timestamps of the kernel were turned down: they tell of
/// the last segment of a stream only, and cost a control message with every receive.
struct StandstillWatch {
    /// What is longer than this is a standstill.
    let limitNanoseconds: Int64
    private var lastLook: Int64

    init(limitSeconds: Int) {
        limitNanoseconds = Int64(limitSeconds) * 1_000_000_000
        lastLook = Self.clock()
    }

    /// The longest that the thread may wait of its own will.
    var longestWaitNanoseconds: Int64 { limitNanoseconds / 4 }

    /// Call it before every wait and after it. Returns how long the thread stood still, where that was too long.
    @inline(__always)
    mutating func look() -> Int64? {
        let now = Self.clock()
        defer { lastLook = now }
        let passed = now - lastLook
        return passed > limitNanoseconds ? passed : nil
    }

    /// A wait without bound, of a thread that serves nobody, is no standstill.
    mutating func forget() { lastLook = Self.clock() }

    /// Unlike CLOCK_MONOTONIC it goes on while the machine is suspended.
    private static func clock() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
