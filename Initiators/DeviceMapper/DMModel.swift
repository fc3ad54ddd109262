/// One target of a map's table: a range of sectors, the target's type, and its line.
public struct DMTarget: Hashable, Sendable {
    /// Where it begins, in 512-byte sectors.
    public var startSector: UInt64
    /// How long it is, in 512-byte sectors.
    public var lengthSectors: UInt64
    /// The target's type ("multipath", "linear").
    public var type: String
    /// The type's own line: table parameters, or the status when the kernel was asked for that.
    public var parameters: String

    /// A target from its parts.
    public init(startSector: UInt64 = 0, lengthSectors: UInt64, type: String, parameters: String) {
        self.startSector = startSector
        self.lengthSectors = lengthSectors
        self.type = type
        self.parameters = parameters
    }

    /// A multipath target over the whole map.
    public init(lengthSectors: UInt64, multipath: MultipathTable) {
        self.init(lengthSectors: lengthSectors, type: "multipath", parameters: multipath.line)
    }
}

/// A line of the kernel's list of device-mapper devices.
public struct DMListedDevice: Hashable, Sendable {
    /// The map's name (`/dev/mapper/NAME`).
    public var name: String
    /// The map's own number.
    public var device: DMDeviceNumber
    /// The map's UUID; empty when it has none.
    public var uuid: String = ""
    /// Counts the map's events; nil before Linux 4.13.
    public var eventNumber: UInt32?

    /// From its parts, for tests and simulations.
    public init(
        name: String, device: DMDeviceNumber, uuid: String = "", eventNumber: UInt32? = nil
    ) {
        self.name = name
        self.device = device
        self.uuid = uuid
        self.eventNumber = eventNumber
    }
}

/// What the kernel knows of one map.
public struct DMInfo: Hashable, Sendable {
    /// The map's name.
    public var name: String
    /// The map's UUID; empty when it has none.
    public var uuid: String
    /// The map's own number; its node is `/dev/dm-<minor>`.
    public var device: DMDeviceNumber
    /// How often it is open: mounts, maps above it, processes.
    public var openCount: Int
    /// Counts the map's events.
    public var eventNumber: UInt32
    /// Whether it is suspended: I/O waits.
    public var isSuspended: Bool
    /// Whether it is read-only.
    public var isReadOnly: Bool
    /// Whether it has a table in use.
    public var hasLiveTable: Bool
    /// Whether a loaded table waits for a resume.
    public var hasInactiveTable: Bool
    /// How many targets the live table has.
    public var targetCount: Int

    /// From its parts, for tests and simulations.
    public init(
        name: String, uuid: String, device: DMDeviceNumber, openCount: Int, eventNumber: UInt32, isSuspended: Bool,
        isReadOnly: Bool, hasLiveTable: Bool, hasInactiveTable: Bool, targetCount: Int
    ) {
        self.name = name
        self.uuid = uuid
        self.device = device
        self.openCount = openCount
        self.eventNumber = eventNumber
        self.isSuspended = isSuspended
        self.isReadOnly = isReadOnly
        self.hasLiveTable = hasLiveTable
        self.hasInactiveTable = hasInactiveTable
        self.targetCount = targetCount
    }
}

/// A target's version in the kernel, `1.14.0`.
public struct DMTargetVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Major version.
    public var major: UInt32
    /// Minor version.
    public var minor: UInt32
    /// Patch level.
    public var patch: UInt32

    /// A version from its parts.
    public init(major: UInt32, minor: UInt32, patch: UInt32) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Ordered as versions are.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// `1.14.0`.
    public var description: String { "\(major).\(minor).\(patch)" }
}

/// The versions of library, driver and targets.
public struct DMVersions: Hashable, Sendable {
    /// libdevmapper's ("1.02.185 (2022-05-18)").
    public var library: String
    /// The kernel driver's ("4.47.0").
    public var driver: String
    /// The target types the kernel has loaded now.
    public var targets: [String: DMTargetVersion]

    /// From its parts, for tests and simulations.
    public init(
        library: String, driver: String, targets: [String: DMTargetVersion]
    ) {
        self.library = library
        self.driver = driver
        self.targets = targets
    }
}

/// What a multipath map can be told (dm-mpath.c, multipath_message).
public enum MultipathMessage: Hashable, Sendable, CustomStringConvertible {
    /// Set a path aside.
    case failPath(DMDeviceNumber)
    /// Use a path again.
    case reinstatePath(DMDeviceNumber)
    /// Use a group (counted from 1) from now on.
    case switchGroup(Int)
    /// Bypass a group (counted from 1).
    case disableGroup(Int)
    /// End a group's bypass.
    case enableGroup(Int)
    /// Queue I/O while no path is left.
    case queueIfNoPath
    /// Fail I/O while no path is left; ends what is queued.
    case failIfNoPath

    /// The kernel's words.
    public var description: String {
        switch self {
        case .failPath(let device): "fail_path \(device)"
        case .reinstatePath(let device): "reinstate_path \(device)"
        case .switchGroup(let group): "switch_group \(group)"
        case .disableGroup(let group): "disable_group \(group)"
        case .enableGroup(let group): "enable_group \(group)"
        case .queueIfNoPath: "queue_if_no_path"
        case .failIfNoPath: "fail_if_no_path"
        }
    }
}

/// What udev's rules are told with a request (the cookie's upper half, libdevmapper.h).
public struct DMUdevFlags: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt16
    /// Flags from their bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// No links under /dev/mapper.
    public static let disableDMRules = DMUdevFlags(rawValue: 0x0001)
    /// No rules of the map's subsystem (its UUID prefix).
    public static let disableSubsystemRules = DMUdevFlags(rawValue: 0x0002)
    /// No links under /dev/disk.
    public static let disableDiskRules = DMUdevFlags(rawValue: 0x0004)
    /// No rules of anybody else (LVM's scan, for one).
    public static let disableOtherRules = DMUdevFlags(rawValue: 0x0008)
    /// Let other devices with the same content win the links.
    public static let lowPriority = DMUdevFlags(rawValue: 0x0010)
    /// multipath's rules: this is a change of paths only, nothing above has to look again (DM_SUBSYSTEM_UDEV_FLAG0).
    public static let multipathReload = DMUdevFlags(rawValue: 0x0100)
    /// multipath's rules: no path is usable, so do not read the device (DM_SUBSYSTEM_UDEV_FLAG1).
    public static let multipathNoPaths = DMUdevFlags(rawValue: 0x0200)
    /// multipath's rules: no partition maps (DM_SUBSYSTEM_UDEV_FLAG2).
    public static let multipathNoPartitions = DMUdevFlags(rawValue: 0x0400)
}
