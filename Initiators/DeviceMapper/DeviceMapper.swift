import CDeviceMapper
import Glibc
import Synchronization

/// The one owner of libdevmapper in a process.
///
/// libdevmapper keeps global state (its control descriptor, pending node operations, log callback), so every use of it
/// is serialised here, and all values of this type share one lock. What that gains: any thread or task may call any
/// method. What it costs: a suspend that flushes waits in the kernel with the lock held. Two things keep that from
/// becoming a deadlock: waiting for udev does not hold the lock, and messages do not take it, because
/// `MultipathMessage.failIfNoPath` is what ends such a wait.
///
/// Methods block the calling thread; none lasts longer than its deadline except a suspend with flush (and a remove of a
/// suspended map), which last as long as the I/O in flight.
public final class DeviceMapper: Sendable {
    private static let lock = Mutex<Void>(())
    private let control: ControlDescriptor
    private let udevControlPath: String
    private let eventNumbersInList: Bool
    private let driver: String

    /// The control node of the kernel driver.
    public static let controlPath = "/dev/mapper/control"

    /// Opens the driver and reads its version.
    ///
    /// Throws when the module is not there (the error says which to load) or when permission lacks.
    public init() throws(DeviceMapperError) {
        udevControlPath = "/run/udev/control"
        driver = try Self.serial { () throws(DeviceMapperError) in
            rack_dm_log_install()
            let task = try DMTask(DM_DEVICE_VERSION, "reach", Self.controlPath)
            try task.run()
            return try task.driverVersion()
        }
        let minor = driver.split(separator: ".").dropFirst().first.flatMap { Int($0) } ?? 0
        eventNumbersInList = minor >= 37
        control = try ControlDescriptor(Self.controlPath)
    }

    private static func serial<R>(_ body: () throws(DeviceMapperError) -> R) throws(DeviceMapperError) -> R {
        try lock.withLock { (_: inout Void) throws(DeviceMapperError) -> R in try body() }
    }

    // MARK: - Versions

    /// The versions of library, driver and loaded targets.
    public func versions() throws(DeviceMapperError) -> DMVersions {
        try Self.serial { () throws(DeviceMapperError) in
            var buffer = [CChar](repeating: 0, count: 64)
            _ = unsafe buffer.withUnsafeMutableBufferPointer {
                unsafe dm_get_library_version($0.baseAddress, $0.count)
            }
            let task = try DMTask(DM_DEVICE_LIST_VERSIONS, "list targets of", Self.controlPath)
            try task.run()
            return DMVersions(library: cText(buffer), driver: driver, targets: task.versions())
        }
    }

    /// Throws, naming the module to load, when the kernel has no such target type now.
    public func requireTarget(_ type: String) throws(DeviceMapperError) {
        if try versions().targets[type] == nil {
            throw DeviceMapperError(
                operation: "use", object: "target \(type)", code: ENOENT,
                cause: "the running kernel has not loaded it",
                advice: "load the kernel module: modprobe dm-\(type)")
        }
    }

    // MARK: - Looking

    /// All device-mapper devices.
    public func devices() throws(DeviceMapperError) -> [DMListedDevice] {
        let listed = try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_LIST, "list devices of", Self.controlPath)
            try task.run()
            return task.names(hasEventNumbers: eventNumbersInList)
        }
        var complete: [DMListedDevice] = []
        for (listedDevice, uuidIsKnown) in listed {
            var device = listedDevice
            if !uuidIsKnown {
                // One that went since the list was made is left out.
                guard let info = try info(device.name) else { continue }
                device.uuid = info.uuid
            }
            complete.append(device)
        }
        return complete
    }

    /// What the kernel knows of a map; nil when there is none of that name.
    public func info(_ name: String) throws(DeviceMapperError) -> DMInfo? {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_INFO, "look at", name)
            try task.setName(name)
            return try Self.info(task)
        }
    }

    /// What the kernel knows of the map with this UUID, whatever its name; nil when there is none.
    public func info(uuid: String) throws(DeviceMapperError) -> DMInfo? {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_INFO, "look at", uuid)
            try task.setUUID(uuid)
            return try Self.info(task)
        }
    }

    private static func info(_ task: borrowing DMTask) throws(DeviceMapperError) -> DMInfo? {
        try task.run()
        let info = try task.info()
        guard info.exists != 0 else { return nil }
        return DMInfo(
            name: task.name, uuid: task.uuid, device: DMDeviceNumber(major: info.major, minor: info.minor),
            openCount: Int(info.open_count), eventNumber: info.event_nr, isSuspended: info.suspended != 0,
            isReadOnly: info.read_only != 0, hasLiveTable: info.live_table != 0,
            hasInactiveTable: info.inactive_table != 0, targetCount: Int(info.target_count))
    }

    /// The live table of a map.
    public func table(_ name: String) throws(DeviceMapperError) -> [DMTarget] {
        try targets(DM_DEVICE_TABLE, "read the table of", name)
    }

    /// The status of a map. Does not flush, so it returns also while no path is left.
    public func status(_ name: String) throws(DeviceMapperError) -> [DMTarget] {
        try targets(DM_DEVICE_STATUS, "read the status of", name)
    }

    private func targets(_ type: Int, _ operation: String, _ name: String) throws(DeviceMapperError) -> [DMTarget] {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(type, operation, name)
            try task.setName(name)
            try task.setNoFlush()
            try task.setNoOpenCount()
            try task.run()
            if try task.info().exists == 0 { throw .request(operation, name, code: ENXIO) }
            return task.targets()
        }
    }

    /// The live table of a multipath map, parsed.
    ///
    /// Throws as well when the map has no multipath target, or more than one.
    public func multipathTable(_ name: String) throws(DeviceMapperError) -> MultipathTable {
        let target = try Self.single(table(name), "read the table of", name)
        do { return try MultipathTable(parsing: target.parameters) } catch {
            throw DeviceMapperError(operation: "read the table of", object: name, cause: error.description)
        }
    }

    /// The status of a multipath map, parsed.
    ///
    /// Throws as well when the map has no multipath target, or more than one.
    public func multipathStatus(_ name: String) throws(DeviceMapperError) -> MultipathStatus {
        let target = try Self.single(status(name), "read the status of", name)
        do { return try MultipathStatus(parsing: target.parameters) } catch {
            throw DeviceMapperError(operation: "read the status of", object: name, cause: error.description)
        }
    }

    private static func single(
        _ targets: [DMTarget], _ operation: String, _ name: String
    ) throws(DeviceMapperError) -> DMTarget {
        guard targets.count == 1, let target = targets.first, target.type == "multipath" else {
            throw DeviceMapperError(
                operation: operation, object: name,
                cause: "it is no multipath map (\(targets.map(\.type).joined(separator: ", ")))",
                advice: "dmsetup table \(name) shows what it is")
        }
        return target
    }

    /// The devices a map's live table stands on.
    public func dependencies(_ name: String) throws(DeviceMapperError) -> [DMDeviceNumber] {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_DEPS, "read the dependencies of", name)
            try task.setName(name)
            try task.setNoOpenCount()
            try task.run()
            if try task.info().exists == 0 { throw .request("read the dependencies of", name, code: ENXIO) }
            return task.dependencies()
        }
    }

    // MARK: - Changing

    /// Makes a map, loads its table and starts it; afterwards `/dev/mapper/NAME` is there.
    ///
    /// Where udev runs, the call returns when udev has worked through the device (or throws at the deadline, with the
    /// map in place); where it does not, libdevmapper makes the node. When the kernel refuses the table, nothing stays.
    /// Error EBUSY: a map of that name or UUID exists.
    @discardableResult
    public func create(
        _ name: String, uuid: String, targets: [DMTarget], readOnly: Bool = false, flags: DMUdevFlags = [],
        udevDeadlineSeconds: Double = 30
    ) throws(DeviceMapperError) -> DMInfo {
        let cookie = try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_CREATE, "create", name)
            try task.setName(name)
            if !uuid.isEmpty { try task.setUUID(uuid) }
            if readOnly { try task.setReadOnly() }
            for target in targets { try task.add(target) }
            return try runWithCookie(task, flags)
        }
        try settle(cookie, "create", name, deadlineSeconds: udevDeadlineSeconds)
        guard let info = try info(name) else { throw .request("create", name, code: ENXIO) }
        try ensureNode(name)
        return info
    }

    /// Puts a new table in the place of the live one: load, suspend, resume.
    ///
    /// `flush` false (right for a change of paths) lets I/O in flight be queued again and sent down the new table; a
    /// new size needs `flush` true, which waits for I/O in flight. When loading fails the live table stays. When the
    /// suspend fails the loaded table is dropped. After a failed resume the map is suspended, and the error says so.
    public func reload(
        _ name: String, targets: [DMTarget], readOnly: Bool = false, flush: Bool = false,
        flags: DMUdevFlags = .multipathReload, udevDeadlineSeconds: Double = 30
    ) throws(DeviceMapperError) {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_RELOAD, "reload", name)
            try task.setName(name)
            if readOnly { try task.setReadOnly() }
            for target in targets { try task.add(target) }
            try task.run()
        }
        do {
            try suspend(name, flush: flush)
        } catch {
            try? clearInactiveTable(name)
            throw error
        }
        do {
            try resume(name, flags: flags, udevDeadlineSeconds: udevDeadlineSeconds)
        } catch {
            if error.operation != "resume" { throw error }
            throw DeviceMapperError(
                operation: error.operation, object: name, code: error.code, cause: error.cause,
                advice: "the map is suspended with its new table loaded: dmsetup resume \(name)")
        }
    }

    /// Stops a map's I/O. With `flush`, waits until I/O in flight is finished and filesystems above are frozen.
    public func suspend(_ name: String, flush: Bool = false) throws(DeviceMapperError) {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_SUSPEND, "suspend", name)
            try task.setName(name)
            if !flush {
                try task.setNoFlush()
                try task.setSkipLockFS()
            }
            try task.run()
        }
    }

    /// Lets a map's I/O go on, with the table loaded last.
    public func resume(
        _ name: String, flags: DMUdevFlags = [], udevDeadlineSeconds: Double = 30
    ) throws(DeviceMapperError) {
        let cookie = try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_RESUME, "resume", name)
            try task.setName(name)
            try task.setAddNodeOnResume()
            return try runWithCookie(task, flags)
        }
        try settle(cookie, "resume", name, deadlineSeconds: udevDeadlineSeconds)
    }

    /// Drops a table that was loaded and not yet resumed.
    public func clearInactiveTable(_ name: String) throws(DeviceMapperError) {
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_CLEAR, "clear the loaded table of", name)
            try task.setName(name)
            try task.run()
        }
    }

    /// Removes a map.
    ///
    /// Never deferred: success means it is gone. While it is open (EBUSY) the removal is repeated until the deadline,
    /// because udev's own rules and probing tools open new devices for a moment. Returns false when there was none.
    @discardableResult
    public func remove(
        _ name: String, deadlineSeconds: Double = 5, udevDeadlineSeconds: Double = 30
    ) throws(DeviceMapperError) -> Bool {
        let deadline = MonotonicDeadline(seconds: deadlineSeconds)
        while true {
            guard try info(name) != nil else { return false }
            do {
                let cookie = try Self.serial { () throws(DeviceMapperError) in
                    let task = try DMTask(DM_DEVICE_REMOVE, "remove", name)
                    try task.setName(name)
                    return try runWithCookie(task, [])
                }
                try settle(cookie, "remove", name, deadlineSeconds: udevDeadlineSeconds)
                return true
            } catch {
                if error.isNotFound { return false }
                guard error.isBusy, !deadline.isOver else { throw try namingHolders(error, name) }
                usleep(50_000)
            }
        }
    }

    /// The maps and other block devices that stand on a device, by name (`VG0-LV0`, `md0`), from sysfs.
    public func holders(of device: DMDeviceNumber) -> [String] {
        let folder = "/sys/dev/block/\(device)/holders"
        return SysfsText.entries(folder).map { SysfsText.line("\(folder)/\($0)/dm/name") ?? $0 }
    }

    private func namingHolders(
        _ error: DeviceMapperError, _ name: String
    ) throws(DeviceMapperError) -> DeviceMapperError {
        guard error.isBusy, let device = try info(name)?.device else { return error }
        let names = holders(of: device)
        if names.isEmpty { return error }
        return DeviceMapperError(
            operation: error.operation, object: error.object, code: error.code,
            cause: "\(error.cause), held by \(names.joined(separator: ", "))", advice: error.advice)
    }

    /// Tells a multipath map something. Never waits for the other methods (see above).
    public func message(_ name: String, _ message: MultipathMessage) throws(DeviceMapperError) {
        let code = control.message(name, message.description)
        if code != 0 { throw .request("send '\(message)' to", name, code: code) }
    }

    /// A pollable sign of events of all maps.
    public func makeEventPoll() throws(DeviceMapperError) -> DMEventPoll {
        try DMEventPoll(controlPath: Self.controlPath)
    }

    // MARK: - Udev

    /// Whether a udev daemon answers now. Its socket's file alone proves nothing: it outlives the daemon, and a cookie
    /// would then wait for ever.
    public var isUdevRunning: Bool { UnixSocketProbe.listens(udevControlPath) }

    private func runWithCookie(
        _ task: borrowing DMTask, _ flags: DMUdevFlags
    ) throws(DeviceMapperError) -> UInt32 {
        let running = isUdevRunning
        dm_udev_set_sync_support(running ? 1 : 0)
        // With udev, nodes and links are its business alone; a node made by the library would be missing in its database.
        let fallback = dm_udev_get_sync_support() != 0 ? UInt16(DM_UDEV_DISABLE_LIBRARY_FALLBACK) : 0
        let cookie = try task.setCookie(flags.rawValue | fallback)
        do {
            try task.run()
        } catch {
            // No event will come for it. The library keeps one count for itself and one for each event it expects.
            _ = Self.dropCookie(cookie)
            throw error
        }
        return cookie
    }

    /// Waits for udev without holding the lock. The library's own wait has no deadline.
    private func settle(
        _ cookie: UInt32, _ operation: String, _ name: String, deadlineSeconds: Double
    ) throws(DeviceMapperError) {
        if cookie == 0 {
            // Nothing to wait for; this makes or removes the nodes that the library has noted.
            _ = try Self.serial { () throws(DeviceMapperError) in dm_udev_wait(0) }
            return
        }
        let deadline = MonotonicDeadline(seconds: deadlineSeconds)
        while true {
            var ready: Int32 = 0
            let result = try Self.serial { () throws(DeviceMapperError) in unsafe dm_udev_wait_immediate(cookie, &ready)
            }
            if result == 0 || ready != 0 { return }
            if deadline.isOver {
                _ = try Self.serial { () throws(DeviceMapperError) in Self.dropCookie(cookie) }
                throw DeviceMapperError(
                    operation: "wait for udev after '\(operation)' of", object: name, code: ETIMEDOUT,
                    cause: "udev did not finish within \(deadlineSeconds) s",
                    advice: "udevadm settle; systemctl status systemd-udevd")
            }
            usleep(2_000)
        }
    }

    /// Gives up a cookie: counts its expected events as come, which lets the library delete the semaphore.
    private static func dropCookie(_ cookie: UInt32) -> Bool {
        guard cookie != 0 else { return true }
        for _ in 0..<4 {
            var ready: Int32 = 0
            if unsafe dm_udev_wait_immediate(cookie, &ready) == 0 || ready != 0 { return true }
            if dm_udev_complete(cookie) == 0 { return false }
        }
        return false
    }

    /// Makes `/dev/mapper/NAME` when udev's rules did not.
    private func ensureNode(_ name: String) throws(DeviceMapperError) {
        if unsafe access("/dev/mapper/\(name)", F_OK) == 0 { return }
        try Self.serial { () throws(DeviceMapperError) in
            let task = try DMTask(DM_DEVICE_MKNODES, "make the node of", name)
            try task.setName(name)
            try task.run()
            dm_task_update_nodes()
        }
    }
}

/// The owner of a control descriptor for messages.
private struct ControlDescriptor: ~Copyable, Sendable {
    private let descriptor: Int32

    init(_ path: String) throws(DeviceMapperError) {
        descriptor = unsafe rack_dm_open_control(path)
        if descriptor < 0 { throw .request("open", path, code: -descriptor) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    borrowing func message(_ name: String, _ text: String) -> Int32 { unsafe rack_dm_message(descriptor, name, text) }
}

/// The little of sysfs that errors quote.
enum SysfsText {
    static func entries(_ folder: String) -> [String] {
        guard let stream = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    static func line(_ path: String) -> String? {
        guard let file = unsafe fopen(path, "re") else { return nil }
        defer { unsafe fclose(file) }
        var buffer = [CChar](repeating: 0, count: 256)
        guard unsafe fgets(&buffer, 256, file) != nil else { return nil }
        return cText(buffer).split(separator: "\n").first.map(String.init)
    }
}

/// A point on the monotonic clock.
struct MonotonicDeadline {
    private let end: ContinuousClock.Instant

    init(seconds: Double) { end = ContinuousClock.now + .milliseconds(Int64(seconds * 1000)) }

    var isOver: Bool { ContinuousClock.now >= end }
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
