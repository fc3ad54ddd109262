import CSystemd
import Glibc
import Synchronization

/// What the service manager is told (sd_notify). Without one, all of it does nothing.
enum ServiceManager {
    /// Every portal is open.
    static func ready(status: String) { notify("READY=1\nSTATUS=\(status)") }

    /// A line for `systemctl status`.
    static func status(_ text: String) { notify("STATUS=\(text)") }

    /// The inventory is being read again; `ready` ends it.
    static func reloading() {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        notify("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    /// Shutdown began and may take so long.
    static func stopping(withinSeconds seconds: Int) {
        notify("STOPPING=1\nSTATUS=answering what is in flight\nEXTEND_TIMEOUT_USEC=\((seconds + 10) * 1_000_000)")
    }

    /// Starts a thread that tells the service manager that we live, twice in the time it allows, as long as `isAlive` comes
    /// back (it asks every reactor, so a stuck one ends the pings, and the service manager then restarts us).
    static func startWatchdog(_ isAlive: @escaping @Sendable () -> String) {
        let microseconds = rack_systemd_watchdog_microseconds()
        guard microseconds > 0 else { return }
        startThread {
            while true {
                let status = isAlive()
                notify("WATCHDOG=1\nSTATUS=\(status)")
                usleep(UInt32(clamping: microseconds / 2))
            }
        }
    }

    private static func notify(_ state: String) { _ = unsafe rack_systemd_notify(state) }
}

/// Starts a detached thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    let error = unsafe pthread_create(
        &thread, nil,
        { argument in
            unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, argument)
    precondition(error == 0, "a thread of the control plane could not be started")
    pthread_detach(thread)
}
