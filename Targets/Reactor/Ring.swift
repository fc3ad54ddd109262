import CUring
import Glibc

/// One finished operation.
public struct Completion: BitwiseCopyable, Sendable {
    /// The token given at submission.
    public let token: UInt64
    /// Bytes moved, a descriptor, or a negated errno.
    public let result: Int32
}

/// Why a ring could not be made.
public struct RingError: Error, Sendable, CustomStringConvertible {
    /// The errno of `io_uring_setup`.
    public let errno: Int32

    /// One line: what failed and what to do.
    public var description: String {
        switch errno {
        case EPERM, ENOSYS:
            "io_uring is switched off on this host; allow it with: sysctl kernel.io_uring_disabled=0"
        case ENOMEM:
            "no memory for io_uring; raise the locked-memory limit (LimitMEMLOCK= in the unit)"
        default:
            "io_uring_setup: \(unsafe String(cString: strerror(errno)))"
        }
    }
}

/// The one completion interface of a reactor: every socket and file operation goes in here with a token, and comes
/// back as a `Completion` with that token. What it gains: receives, file reads and gathered sends of many commands
/// enter the kernel together. What it costs: buffers must stay where they are until their completion arrives, so
/// pools own all of them. Readiness (epoll with a thread pool for files) was turned down for its system call a step.
///
/// A ring belongs to the thread that made it.
@safe
public struct Ring: ~Copyable {
    private let ring: UnsafeMutablePointer<io_uring>
    private let tokens: UnsafeMutablePointer<UInt64>
    private let results: UnsafeMutablePointer<Int32>
    private var taken = 0
    private var next = 0

    /// Completions copied out of the kernel's queue at once.
    private static let batch = 128

    /// Makes a ring for `entries` submissions between two waits. Call it on the thread that will use it.
    public init(entries: Int) throws(RingError) {
        unsafe ring = .allocate(capacity: 1)
        let result = unsafe cur_setup(ring, UInt32(entries))
        guard result == 0 else {
            unsafe ring.deallocate()
            throw RingError(errno: -result)
        }
        unsafe tokens = .allocate(capacity: Self.batch)
        unsafe results = .allocate(capacity: Self.batch)
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe tokens.deallocate()
        unsafe results.deallocate()
    }

    // A submission fails only when the kernel refuses the whole queue, which no caller can mend: our own bug.
    @inline(__always)
    private func require(_ result: Int32) { precondition(result == 0, "io_uring refuses submissions") }

    /// Receives up to `lengthBytes` from a socket.
    @inline(__always)
    public mutating func receive(
        from descriptor: Int32, into buffer: UnsafeMutableRawPointer, lengthBytes: Int, token: UInt64
    ) { require(unsafe cur_recv(ring, descriptor, buffer, lengthBytes, token)) }

    /// Receives into several buffers. `message` and what it points to stay put until the completion.
    @inline(__always)
    public mutating func receive(from descriptor: Int32, message: UnsafeMutablePointer<msghdr>, token: UInt64) {
        require(unsafe cur_recvmsg(ring, descriptor, message, token))
    }

    /// Sends everything `message` gathers. `message` and what it points to stay put until the completion.
    @inline(__always)
    public mutating func send(to descriptor: Int32, message: UnsafePointer<msghdr>, token: UInt64) {
        require(unsafe cur_sendmsg(ring, descriptor, message, token))
    }

    /// Reads from a file at an offset.
    @inline(__always)
    public mutating func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawPointer, lengthBytes: Int, offset: UInt64, token: UInt64
    ) { require(unsafe cur_read(ring, descriptor, buffer, UInt32(lengthBytes), offset, token)) }

    /// Writes to a file at an offset; `toStableStorage` completes only when the data would survive a power loss.
    @inline(__always)
    public mutating func write(
        _ descriptor: Int32, from buffer: UnsafeRawPointer, lengthBytes: Int, offset: UInt64, toStableStorage: Bool,
        token: UInt64
    ) {
        require(
            unsafe cur_write(ring, descriptor, buffer, UInt32(lengthBytes), offset, toStableStorage ? 1 : 0, token))
    }

    /// Brings a file's data to stable storage.
    public mutating func synchronize(_ descriptor: Int32, token: UInt64) {
        require(unsafe cur_fdatasync(ring, descriptor, token))
    }

    /// Punches a hole (the blocks read as zeros and occupy nothing).
    public mutating func punchHole(_ descriptor: Int32, offset: UInt64, lengthBytes: UInt64, token: UInt64) {
        let mode = Int32(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
        require(unsafe cur_fallocate(ring, descriptor, mode, offset, lengthBytes, token))
    }

    /// Makes a range read as zeros and keeps it allocated.
    public mutating func zeroRange(_ descriptor: Int32, offset: UInt64, lengthBytes: UInt64, token: UInt64) {
        let mode = Int32(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
        require(unsafe cur_fallocate(ring, descriptor, mode, offset, lengthBytes, token))
    }

    /// Accepts one connection; the result is its descriptor.
    public mutating func accept(on descriptor: Int32, token: UInt64) {
        require(unsafe cur_accept(ring, descriptor, token))
    }

    /// Asks for the operation with `token` to be given up. Both complete.
    public mutating func cancel(_ token: UInt64, ownToken: UInt64) {
        require(unsafe cur_cancel(ring, token, ownToken))
    }

    /// Makes the writes that are queued and not submitted do nothing; they complete with 0.
    public mutating func withdrawWrites() { unsafe cur_withdraw_writes(ring) }

    /// Submits what is queued; waits for a completion, at most `timeoutNanoseconds` (for ever when nil).
    public mutating func submitAndWait(timeoutNanoseconds: Int64?) {
        _ = unsafe cur_submit_and_wait(ring, timeoutNanoseconds ?? -1)
    }

    /// Submits what is queued and lets the kernel post what has ended, without waiting.
    public mutating func submit() { _ = unsafe cur_submit(ring) }

    /// The next completion that has already arrived, nil when there is none.
    @inline(__always)
    public mutating func nextCompletion() -> Completion? {
        if next == taken {
            taken = Int(unsafe cur_take(ring, tokens, results, UInt32(Self.batch)))
            next = 0
            if taken == 0 { return nil }
        }
        defer { next += 1 }
        return unsafe Completion(token: tokens[next], result: results[next])
    }
}
