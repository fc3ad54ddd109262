import CLinux
import Glibc

/// A POSIX thread with a name, for loops that run as long as the process.
enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a detached thread; false when the system gives none. Signals are for the main thread: all are blocked.
    static func start(name: String, _ run: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        var blocked = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&blocked)
        unsafe pthread_sigmask(SIG_SETMASK, &blocked, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        let argument = unsafe Unmanaged.passRetained(Body(run)).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, argument)
        guard result == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(argument).release()
            return false
        }
        unsafe rack_name_thread(thread, name)
        pthread_detach(thread)
        return true
    }
}
