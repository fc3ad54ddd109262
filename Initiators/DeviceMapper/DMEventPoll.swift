import CDeviceMapper
import Glibc

/// A pollable sign that some device-mapper device had an event (a path failed, a table was swapped, a map came or went).
///
/// One descriptor serves all maps: the kernel counts events globally, `arm()` remembers the count, and the descriptor
/// is readable once the count has moved (DM_DEV_ARM_POLL, Linux 4.13). The turn of the loop is: `arm()`, look at the
/// devices (an event between the two is then not lost), poll `descriptor`. What was turned down is DM_DEVICE_WAITEVENT,
/// which keeps one thread a map inside the kernel, where only a signal gets it out.
public struct DMEventPoll: ~Copyable, Sendable {
    /// For poll(), epoll or io_uring (POLLIN). Belongs to this value; do not close it.
    public let descriptor: Int32

    init(controlPath: String) throws(DeviceMapperError) {
        let descriptor = unsafe rack_dm_open_control(controlPath)
        guard descriptor >= 0 else { throw .request("open", controlPath, code: -descriptor) }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Remembers the present event count; the next event makes the descriptor readable until `arm()` is called again.
    public borrowing func arm() throws(DeviceMapperError) {
        let code = rack_dm_arm_poll(descriptor)
        if code != 0 { throw .request("arm the event poll of", "/dev/mapper/control", code: code) }
    }

    /// Blocks the calling thread until an event comes (true) or the time is over (false).
    ///
    /// `alsoReadable` is a second descriptor that ends the wait (an eventfd, a pipe), for cancelling; -1 for none.
    public borrowing func wait(timeoutMilliseconds: Int32, alsoReadable: Int32 = -1) -> Bool {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: alsoReadable, events: Int16(POLLIN), revents: 0),
        ]
        // poll() passes over negative descriptors. A signal counts as nothing seen: the caller turns its loop anyhow.
        let count = unsafe poll(&descriptors, 2, timeoutMilliseconds)
        return count > 0 && descriptors[0].revents & Int16(POLLIN) != 0
    }
}
