import CUdev
import Glibc

/// A device as udev's database knows it.
public struct UdevDevice: Hashable, Sendable {
    /// The kernel's name (`sdb`).
    public var name: String
    /// Its folder in sysfs.
    public var sysfsPath: String
    /// Subsystem (`block`, `scsi`).
    public var subsystem: String
    /// Device type within the subsystem (`disk`, `partition`, `scsi_device`); empty when there is none.
    public var deviceType: String
    /// Its node; nil when it has none.
    public var node: String?
    /// Its number; nil when it has none.
    public var number: DeviceNumber?
    /// Whether udev's rules have been through with it.
    public var isInitialized: Bool
    /// The rules' findings (`ID_SERIAL`, `DM_NAME`, `ID_FS_TYPE`).
    public var properties: [String: String]

    /// From its parts, for tests and simulations.
    public init(
        name: String, sysfsPath: String, subsystem: String, deviceType: String, node: String? = nil,
        number: DeviceNumber? = nil, isInitialized: Bool, properties: [String: String]
    ) {
        self.name = name
        self.sysfsPath = sysfsPath
        self.subsystem = subsystem
        self.deviceType = deviceType
        self.node = node
        self.number = number
        self.isInitialized = isInitialized
        self.properties = properties
    }
}

/// A device event.
public struct DeviceEvent: Hashable, Sendable {
    /// `add`, `remove`, `change`, `offline`, `bind` and so on.
    public var action: String
    /// The device, as the event describes it.
    public var device: UdevDevice
    /// Events count up; 0 when unknown.
    public var sequenceNumber: UInt64

    /// From its parts, for tests and simulations.
    public init(
        action: String, device: UdevDevice, sequenceNumber: UInt64
    ) {
        self.action = action
        self.device = device
        self.sequenceNumber = sequenceNumber
    }
}

/// Lookups in udev's database.
public enum Udev {
    /// Whether a udev daemon listens now. The socket's file alone proves nothing: it outlives the daemon.
    public static var isRunning: Bool { UnixSocketProbe.listens("/run/udev/control") }

    /// The device of a number (block devices); nil when there is none.
    public static func device(number: DeviceNumber) -> UdevDevice? {
        guard let context = UdevContext() else { return nil }
        let block = CChar(0x62)
        return unsafe UdevHandle(udev_device_new_from_devnum(context.udev, block, dev_t(number.kernelNumber)))?
            .snapshot()
    }

    /// The device of a kernel name; nil when there is none.
    public static func device(subsystem: String, name: String) -> UdevDevice? {
        guard let context = UdevContext() else { return nil }
        return unsafe UdevHandle(udev_device_new_from_subsystem_sysname(context.udev, subsystem, name))?.snapshot()
    }

    /// All devices of a subsystem, filtered by properties when some are given.
    public static func devices(subsystem: String, properties: [String: String] = [:]) -> [UdevDevice] {
        guard let context = UdevContext(), let enumerate = unsafe udev_enumerate_new(context.udev) else { return [] }
        defer { unsafe udev_enumerate_unref(enumerate) }
        unsafe udev_enumerate_add_match_subsystem(enumerate, subsystem)
        unsafe udev_enumerate_scan_devices(enumerate)
        var found: [UdevDevice] = []
        var entry = unsafe udev_enumerate_get_list_entry(enumerate)
        while let current = unsafe entry {
            if let path = unsafe udev_list_entry_get_name(current),
                let device = unsafe UdevHandle(udev_device_new_from_syspath(context.udev, path))?.snapshot(),
                properties.allSatisfy({ device.properties[$0.key] == $0.value })
            {
                found.append(device)
            }
            unsafe entry = udev_list_entry_get_next(current)
        }
        return found
    }

    /// Waits until udev's rules have been through with a block device.
    ///
    /// Where no udev runs, waits for the device alone (devtmpfs makes its node). Throws at the deadline.
    @discardableResult
    public static func waitInitialized(
        blockName: String, deadlineSeconds: Double
    ) async throws(HostDeviceError) -> UdevDevice {
        let end = ContinuousClock.now + .milliseconds(Int64(deadlineSeconds * 1000))
        let running = isRunning
        while true {
            if let device = device(subsystem: "block", name: blockName), device.isInitialized || !running {
                return device
            }
            guard ContinuousClock.now < end, !Task.isCancelled else {
                throw HostDeviceError(
                    operation: "wait for udev to finish with", object: blockName, code: ETIMEDOUT,
                    cause: "it did not within \(deadlineSeconds) s",
                    advice: running ? "udevadm settle; systemctl status systemd-udevd" : "no udev daemon runs here")
            }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// A stream of device events: a libudev monitor.
///
/// `descriptor` is readable when an event waits; `receive()` then takes it. Not for two threads at once, which the
/// exclusive access of `mutating` guarantees.
@safe public struct DeviceMonitor: ~Copyable, @unchecked Sendable {
    /// Who sends the events.
    public enum Source: Hashable, Sendable {
        /// The udev daemon, after its rules ran: properties are complete.
        case udev
        /// The kernel itself, before any rule: works without a udev daemon.
        case kernel
        /// udev where its daemon listens now, else the kernel.
        case automatic
    }

    private let udev: OpaquePointer
    private let monitor: OpaquePointer
    /// For poll(), epoll or io_uring (POLLIN). Belongs to this value; do not close it.
    public let descriptor: Int32
    /// Who really sends the events.
    public let source: Source

    /// Listens from now on to the subsystems given (all of them when empty).
    public init(subsystems: [String] = ["block", "scsi"], source: Source = .automatic) throws(HostDeviceError) {
        let chosen = source == .automatic ? (Udev.isRunning ? .udev : Source.kernel) : source
        let name = chosen == .udev ? "udev" : "kernel"
        let object = "the \(name) event socket"
        guard let udev = unsafe udev_new() else {
            throw HostDeviceError(operation: "open", object: object, code: errno)
        }
        guard let monitor = unsafe udev_monitor_new_from_netlink(udev, name) else {
            let code = errno
            unsafe udev_unref(udev)
            throw HostDeviceError(operation: "open", object: object, code: code)
        }
        let code = unsafe Self.listen(monitor, to: subsystems)
        guard code >= 0 else {
            unsafe udev_monitor_unref(monitor)
            unsafe udev_unref(udev)
            throw HostDeviceError(operation: "listen on", object: object, code: -code)
        }
        // The monitor uses the context without holding it, so both are kept.
        unsafe self.udev = udev
        unsafe self.monitor = monitor
        self.source = chosen
        descriptor = unsafe udev_monitor_get_fd(monitor)
    }

    deinit {
        unsafe udev_monitor_unref(monitor)
        unsafe udev_unref(udev)
    }

    private static func listen(_ monitor: OpaquePointer, to subsystems: [String]) -> Int32 {
        for subsystem in subsystems {
            unsafe udev_monitor_filter_add_match_subsystem_devtype(monitor, subsystem, nil)
        }
        // A rescan of hundreds of units comes as one burst. Without privilege the kernel grants less, which is no error.
        unsafe udev_monitor_set_receive_buffer_size(monitor, 8 << 20)
        return unsafe udev_monitor_enable_receiving(monitor)
    }

    /// Takes the next event; nil when none waits (or the kernel dropped some: look at everything again then).
    public mutating func receive() -> DeviceEvent? {
        unsafe UdevHandle(udev_monitor_receive_device(monitor))?.event()
    }

    /// Blocks the calling thread until an event waits (true) or the time is over (false).
    public borrowing func wait(timeoutMilliseconds: Int32) -> Bool {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&poller, 1, timeoutMilliseconds) > 0
    }
}

/// The owner of a libudev context. One for each use: contexts are cheap and not thread safe.
@safe private struct UdevContext: ~Copyable {
    let udev: OpaquePointer

    init?() {
        guard let udev = unsafe udev_new() else { return nil }
        unsafe self.udev = udev
    }

    deinit { unsafe udev_unref(udev) }
}

/// The owner of one libudev device.
@safe private struct UdevHandle: ~Copyable {
    private let device: OpaquePointer

    init?(_ device: OpaquePointer?) {
        guard let device = unsafe device else { return nil }
        unsafe self.device = device
    }

    deinit { unsafe udev_device_unref(device) }

    borrowing func event() -> DeviceEvent {
        DeviceEvent(
            action: unsafe Self.text(udev_device_get_action(device)) ?? "", device: snapshot(),
            sequenceNumber: unsafe udev_device_get_seqnum(device))
    }

    borrowing func snapshot() -> UdevDevice {
        let number = unsafe udev_device_get_devnum(device)
        var properties: [String: String] = [:]
        var entry = unsafe udev_device_get_properties_list_entry(device)
        while let current = unsafe entry {
            if let name = unsafe Self.text(udev_list_entry_get_name(current)) {
                properties[name] = unsafe Self.text(udev_list_entry_get_value(current)) ?? ""
            }
            unsafe entry = udev_list_entry_get_next(current)
        }
        return UdevDevice(
            name: unsafe Self.text(udev_device_get_sysname(device)) ?? "",
            sysfsPath: unsafe Self.text(udev_device_get_syspath(device)) ?? "",
            subsystem: unsafe Self.text(udev_device_get_subsystem(device)) ?? "",
            deviceType: unsafe Self.text(udev_device_get_devtype(device)) ?? "",
            node: unsafe Self.text(udev_device_get_devnode(device)),
            number: number == 0 ? nil : DeviceNumber(kernel: UInt64(number)),
            isInitialized: unsafe udev_device_get_is_initialized(device) > 0, properties: properties)
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe String(cString: pointer)
    }
}

/// Whether somebody listens on a local socket.
enum UnixSocketProbe {
    static func listens(_ path: String) -> Bool {
        let flags = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, flags, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // A full backlog (EAGAIN) means that somebody listens and is busy.
        return result == 0 || errno == EAGAIN
    }
}
