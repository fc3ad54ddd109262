import CDeviceMapper
import Glibc
import Synchronization

/// What libdevmapper said since the last request began. It has one log callback for the whole process, and every
/// request runs under `DeviceMapper`'s lock, so one list serves.
let deviceMapperLog = Mutex<[String]>([])

/// Called by the shim with each formatted line. Only errors (3) and worse are kept: they become the thrown error's
/// cause instead of text on the standard error stream.
@c(rack_device_mapper_log)
func deviceMapperLogLine(_ level: Int32, _ code: Int32, _ message: UnsafePointer<CChar>) {
    // Bits above the level are flags ("once", "to stderr").
    guard level & 0x07 <= 3 else { return }
    let line = unsafe String(cString: message)
    deviceMapperLog.withLock { if $0.count < 16 { $0.append(line) } }
}

/// One libdevmapper request: the owner of its `struct dm_task`.
///
/// Only `DeviceMapper` makes these, and only while it holds its lock: libdevmapper is not thread safe. Names and UUIDs
/// are copied into the task by the library; what the getters return belongs to the task and is copied out here.
@safe struct DMTask: ~Copyable {
    private let task: OpaquePointer
    private let operation: String
    private let object: String

    init(_ type: Int, _ operation: String, _ object: String) throws(DeviceMapperError) {
        self.operation = operation
        self.object = object
        deviceMapperLog.withLock { $0.removeAll(keepingCapacity: true) }
        guard let task = unsafe dm_task_create(Int32(type)) else {
            throw Self.failure(operation, object, code: errno)
        }
        unsafe self.task = task
    }

    deinit { unsafe dm_task_destroy(task) }

    private static func failure(_ operation: String, _ object: String, code: Int32) -> DeviceMapperError {
        .request(operation, object, code: code, log: deviceMapperLog.withLock { $0 })
    }

    private func check(_ result: Int32) throws(DeviceMapperError) {
        if result == 0 { throw Self.failure(operation, object, code: EINVAL) }
    }

    func setName(_ name: String) throws(DeviceMapperError) { try check(unsafe dm_task_set_name(task, name)) }
    func setUUID(_ uuid: String) throws(DeviceMapperError) { try check(unsafe dm_task_set_uuid(task, uuid)) }
    func setReadOnly() throws(DeviceMapperError) { try check(unsafe dm_task_set_ro(task)) }
    func setNoFlush() throws(DeviceMapperError) { try check(unsafe dm_task_no_flush(task)) }
    func setSkipLockFS() throws(DeviceMapperError) { try check(unsafe dm_task_skip_lockfs(task)) }
    func setNoOpenCount() throws(DeviceMapperError) { try check(unsafe dm_task_no_open_count(task)) }
    func setAddNodeOnResume() throws(DeviceMapperError) {
        try check(unsafe dm_task_set_add_node(task, DM_ADD_NODE_ON_RESUME))
    }

    func add(_ target: DMTarget) throws(DeviceMapperError) {
        try check(
            unsafe dm_task_add_target(
                task, target.startSector, target.lengthSectors, target.type, target.parameters))
    }

    /// Asks for a udev cookie; 0 when udev is not there to answer it.
    func setCookie(_ flags: UInt16) throws(DeviceMapperError) -> UInt32 {
        var cookie: UInt32 = 0
        try check(unsafe dm_task_set_cookie(task, &cookie, flags))
        return cookie
    }

    func run() throws(DeviceMapperError) {
        errno = 0
        if unsafe dm_task_run(task) == 0 {
            let fromKernel = unsafe dm_task_get_errno(task)
            throw Self.failure(operation, object, code: fromKernel != 0 ? fromKernel : errno)
        }
    }

    func info() throws(DeviceMapperError) -> dm_info {
        var info = dm_info()
        try check(unsafe dm_task_get_info(task, &info))
        return info
    }

    var name: String { unsafe text(dm_task_get_name(task)) }
    var uuid: String { unsafe text(dm_task_get_uuid(task)) }

    private func text(_ pointer: UnsafePointer<CChar>?) -> String {
        guard let pointer = unsafe pointer else { return "" }
        return unsafe String(cString: pointer)
    }

    func driverVersion() throws(DeviceMapperError) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        let result = unsafe buffer.withUnsafeMutableBufferPointer {
            unsafe dm_task_get_driver_version(task, $0.baseAddress, $0.count)
        }
        try check(result)
        return cText(buffer)
    }

    /// The targets of a STATUS or TABLE answer.
    func targets() -> [DMTarget] {
        var found: [DMTarget] = []
        var next: UnsafeMutableRawPointer? = nil
        repeat {
            var start: UInt64 = 0
            var length: UInt64 = 0
            var type: UnsafeMutablePointer<CChar>? = nil
            var parameters: UnsafeMutablePointer<CChar>? = nil
            unsafe next = dm_get_next_target(task, next, &start, &length, &type, &parameters)
            if unsafe type != nil {
                found.append(
                    DMTarget(
                        startSector: start, lengthSectors: length, type: unsafe text(type),
                        parameters: unsafe text(parameters)))
            }
        } while unsafe next != nil
        return found
    }

    func dependencies() -> [DMDeviceNumber] {
        guard let deps = unsafe dm_task_get_deps(task) else { return [] }
        let count = unsafe Int(deps.pointee.count)
        // `device` is C's flexible array, which begins where the struct ends.
        let first = unsafe UnsafeRawPointer(deps) + MemoryLayout<dm_deps>.size
        return (0..<count).map {
            DMDeviceNumber(kernel: unsafe first.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
        }
    }

    /// The records of a LIST answer: number, name and what Linux 4.13 puts behind them: event number, and the UUID where
    /// the library asked for it (1.02.185 does not). `uuidIsKnown` false: the record says nothing of a UUID.
    func names(hasEventNumbers: Bool) -> [(device: DMListedDevice, uuidIsKnown: Bool)] {
        guard let names = unsafe dm_task_get_names(task) else { return [] }
        var record = UnsafeRawPointer(names)
        var found: [(device: DMListedDevice, uuidIsKnown: Bool)] = []
        while true {
            let device = unsafe record.loadUnaligned(as: UInt64.self)
            let next = unsafe record.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            if device == 0 { break }
            let nameStart = unsafe (record + 12).assumingMemoryBound(to: CChar.self)
            let name = unsafe String(cString: nameStart)
            var listed = DMListedDevice(name: name, device: DMDeviceNumber(kernel: device))
            var uuidIsKnown = false
            if hasEventNumbers {
                // Behind the name's NUL, at the next multiple of 8 bytes.
                let tail = unsafe record + (12 + strlen(nameStart) + 1 + 7) / 8 * 8
                listed.eventNumber = unsafe tail.loadUnaligned(as: UInt32.self)
                let flags = unsafe tail.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
                if flags & UInt32(DM_NAME_LIST_FLAG_HAS_UUID) != 0 {
                    listed.uuid = unsafe String(cString: (tail + 8).assumingMemoryBound(to: CChar.self))
                }
                uuidIsKnown = flags & UInt32(DM_NAME_LIST_FLAG_HAS_UUID | DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID) != 0
            }
            found.append((listed, uuidIsKnown))
            if next == 0 { break }
            unsafe record += Int(next)
        }
        return found
    }

    /// The records of a LIST VERSIONS answer: every target type the kernel has loaded.
    func versions() -> [String: DMTargetVersion] {
        guard let versions = unsafe dm_task_get_versions(task) else { return [:] }
        var record = UnsafeRawPointer(versions)
        var found: [String: DMTargetVersion] = [:]
        while true {
            let next = unsafe record.loadUnaligned(as: UInt32.self)
            let version = unsafe DMTargetVersion(
                major: record.loadUnaligned(fromByteOffset: 4, as: UInt32.self),
                minor: record.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
                patch: record.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            let name = unsafe String(cString: (record + 16).assumingMemoryBound(to: CChar.self))
            if !name.isEmpty { found[name] = version }
            if next == 0 { break }
            unsafe record += Int(next)
        }
        return found
    }
}

/// A C text in a buffer of bytes, up to its NUL.
func cText(_ buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

extension DMDeviceNumber {
    /// From the kernel's 64-bit encoding.
    init(kernel number: UInt64) {
        self.init(major: rack_dm_major(number), minor: rack_dm_minor(number))
    }
}
