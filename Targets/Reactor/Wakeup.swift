import CUring
import Glibc

/// How another thread makes a reactor look at its inbox: an eventfd that the reactor keeps a read on.
public struct Wakeup: ~Copyable, Sendable {
    /// The eventfd, for the reactor's read.
    public let descriptor: Int32

    /// Makes one.
    public init() {
        descriptor = cur_eventfd()
        precondition(descriptor >= 0, "no descriptor for an eventfd")
    }

    deinit { close(descriptor) }

    /// Wakes the reactor; any thread may call it.
    public func signal() {
        var one: UInt64 = 1
        _ = unsafe Glibc.write(descriptor, &one, 8)
    }
}

/// Nanoseconds of the monotonic clock.
@inline(__always)
public func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
