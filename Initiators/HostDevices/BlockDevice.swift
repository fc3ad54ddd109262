import CUdev
import Glibc

/// A block device as sysfs shows it.
public struct BlockDevice: Hashable, Sendable {
    /// The kernel's limits for requests to it (sysfs `queue`); nil where the kernel has no such file.
    public struct QueueLimits: Hashable, Sendable {
        /// Logical block size in bytes.
        public var logicalBlockBytes: UInt64?
        /// Physical block size in bytes.
        public var physicalBlockBytes: UInt64?
        /// Largest request in use, KiB.
        public var maximumRequestKiB: UInt64?
        /// Largest request the hardware takes, KiB.
        public var maximumHardwareRequestKiB: UInt64?
        /// Preferred request size in bytes.
        public var optimalIOBytes: UInt64?
        /// Largest discard in bytes; 0 when it cannot discard.
        public var maximumDiscardBytes: UInt64?
        /// Requests that may wait.
        public var requestCount: UInt64?
        /// Whether it says it rotates.
        public var isRotational: Bool?

        /// From its parts, for tests and simulations.
        public init(
            logicalBlockBytes: UInt64? = nil, physicalBlockBytes: UInt64? = nil, maximumRequestKiB: UInt64? = nil,
            maximumHardwareRequestKiB: UInt64? = nil, optimalIOBytes: UInt64? = nil, maximumDiscardBytes: UInt64? = nil,
            requestCount: UInt64? = nil, isRotational: Bool? = nil
        ) {
            self.logicalBlockBytes = logicalBlockBytes
            self.physicalBlockBytes = physicalBlockBytes
            self.maximumRequestKiB = maximumRequestKiB
            self.maximumHardwareRequestKiB = maximumHardwareRequestKiB
            self.optimalIOBytes = optimalIOBytes
            self.maximumDiscardBytes = maximumDiscardBytes
            self.requestCount = requestCount
            self.isRotational = isRotational
        }
    }

    /// The kernel's name, `sdb` or `dm-0`.
    public var name: String
    /// Its number.
    public var number: DeviceNumber
    /// Its size in bytes.
    public var sizeBytes: UInt64
    /// Whether it is read-only.
    public var isReadOnly: Bool
    /// Names of the block devices that stand on it (maps, RAIDs).
    public var holders: [String]
    /// Names of the block devices it stands on.
    public var slaves: [String]
    /// Names of its partitions.
    public var partitions: [String]
    /// For a map: its device-mapper name.
    public var mapName: String?
    /// For a map: its device-mapper UUID.
    public var mapUUID: String?
    /// The request limits.
    public var queue: QueueLimits

    /// From its parts, for tests and simulations.
    public init(
        name: String, number: DeviceNumber, sizeBytes: UInt64, isReadOnly: Bool, holders: [String], slaves: [String],
        partitions: [String], mapName: String? = nil, mapUUID: String? = nil, queue: QueueLimits
    ) {
        self.name = name
        self.number = number
        self.sizeBytes = sizeBytes
        self.isReadOnly = isReadOnly
        self.holders = holders
        self.slaves = slaves
        self.partitions = partitions
        self.mapName = mapName
        self.mapUUID = mapUUID
        self.queue = queue
    }

    /// The device's node.
    public var node: String { "/dev/\(name)" }

    /// Reads a device by its kernel name; nil when there is none.
    public init?(name: String, files: HostFiles = HostFiles()) {
        let folder = "/sys/class/block/\(name)"
        guard !name.contains("/"), let number = files.text(folder + "/dev").flatMap(DeviceNumber.init),
            let sectors = files.number(folder + "/size")
        else { return nil }
        self.name = name
        self.number = number
        // sysfs counts 512-byte sectors whatever the block size is.
        sizeBytes = sectors.multipliedReportingOverflow(by: 512).partialValue
        isReadOnly = files.number(folder + "/ro") == 1
        holders = files.entries(folder + "/holders")
        slaves = files.entries(folder + "/slaves")
        partitions = files.entries(folder).filter { files.exists("\(folder)/\($0)/partition") }
        mapName = files.text(folder + "/dm/name")
        mapUUID = files.text(folder + "/dm/uuid")
        func limit(_ file: String) -> UInt64? { files.number("\(folder)/queue/\(file)") }
        queue = QueueLimits(
            logicalBlockBytes: limit("logical_block_size"), physicalBlockBytes: limit("physical_block_size"),
            maximumRequestKiB: limit("max_sectors_kb"), maximumHardwareRequestKiB: limit("max_hw_sectors_kb"),
            optimalIOBytes: limit("optimal_io_size"), maximumDiscardBytes: limit("discard_max_bytes"),
            requestCount: limit("nr_requests"), isRotational: limit("rotational").map { $0 != 0 })
    }

    /// Reads a device by its number; nil when there is none.
    public init?(number: DeviceNumber, files: HostFiles = HostFiles()) {
        guard let path = files.resolved("/sys/dev/block/\(number)") else { return nil }
        self.init(name: lastComponent(path), files: files)
    }

    /// All block devices, by name.
    public static func all(files: HostFiles = HostFiles()) -> [BlockDevice] {
        files.entries("/sys/class/block").compactMap { BlockDevice(name: $0, files: files) }
    }

    /// Whether the kernel refuses exclusive use: it is mounted, swapped on, part of a map or held exclusively.
    ///
    /// Opens the node with O_EXCL, which may wait for error recovery: use `BlockingCall` on paths that may hang.
    /// Throws when it cannot be opened for another reason.
    public static func isInUse(node: String) throws(HostDeviceError) -> Bool {
        let descriptor = unsafe rack_open_existing(node, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC)
        if descriptor >= 0 {
            close(descriptor)
            return false
        }
        let code = errno
        if code == EBUSY { return true }
        throw HostDeviceError(operation: "open", object: node, code: code)
    }

    /// The size in bytes that an open of the node reports now.
    public static func sizeBytes(node: String) throws(HostDeviceError) -> UInt64 {
        let descriptor = unsafe rack_open_existing(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostDeviceError(operation: "open", object: node, code: errno) }
        defer { close(descriptor) }
        var size: UInt64 = 0
        let code = unsafe rack_block_size_bytes(descriptor, &size)
        if code != 0 { throw HostDeviceError(operation: "read the size of", object: node, code: code) }
        return size
    }
}
