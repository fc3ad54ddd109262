import Glibc
import Synchronization

/// Calls that may hang in the kernel (opening, reading or deleting a path that does not answer), on a thread of their
/// own, with a deadline for whoever waits.
///
/// Swift's task pool has as many threads as the machine has processors; two hung paths would stop it. A thread that the
/// kernel does not let go stays until the kernel does (an iSCSI path: until the session's recovery timeout).
public enum BlockingCall {
    /// Runs `body` on a new thread and returns what it returned; nil when the deadline passed first, the waiting task
    /// was cancelled, or no thread could be made. After nil the body goes on by itself, and its result is dropped.
    public static func run<R: Sendable>(
        deadlineSeconds: Double, _ body: @escaping @Sendable () -> R
    ) async -> R? {
        let answer = OneAnswer<R>()
        guard DetachedThread.start({ answer.give(body()) }) else { return nil }
        let timer = Task.detached {
            try? await Task.sleep(for: .milliseconds(Int64(max(0, deadlineSeconds) * 1000)))
            answer.give(nil)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await answer.wait()
        } onCancel: {
            answer.give(nil)
        }
    }
}

/// A value that is given once; later ones are dropped.
private final class OneAnswer<R: Sendable>: Sendable {
    private enum State {
        case open
        case waiting(CheckedContinuation<R?, Never>)
        case given(R?)
    }

    private let state = Mutex<State>(.open)

    func give(_ value: R?) {
        let waiter = state.withLock { state -> CheckedContinuation<R?, Never>? in
            switch state {
            case .open:
                state = .given(value)
                return nil
            case .waiting(let continuation):
                state = .given(value)
                return continuation
            case .given: return nil
            }
        }
        waiter?.resume(returning: value)
    }

    func wait() async -> R? {
        await withCheckedContinuation { continuation in
            let early = state.withLock { state -> R?? in
                if case .given(let value) = state { return .some(value) }
                state = .waiting(continuation)
                return .none
            }
            if let early { continuation.resume(returning: early) }
        }
    }
}

/// A thread that nobody joins.
enum DetachedThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts it; false when the system has none left. 256 KiB of stack: bodies here make one system call.
    static func start(_ run: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        guard unsafe pthread_attr_init(&attributes) == 0 else { return false }
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        unsafe pthread_attr_setstacksize(&attributes, 256 << 10)
        let body = unsafe Unmanaged.passRetained(Body(run))
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                body.run()
                return nil
            }, body.toOpaque())
        if code != 0 { unsafe body.release() }
        return code == 0
    }
}
