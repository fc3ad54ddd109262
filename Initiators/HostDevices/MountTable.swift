/// A mount, a line of /proc/self/mountinfo (proc(5)).
public struct Mount: Hashable, Sendable {
    /// The mount's number.
    public var id: Int
    /// The number of the mount it is mounted on.
    public var parentID: Int
    /// The device, `st_dev` of its files.
    public var device: DeviceNumber
    /// The folder inside the filesystem that is mounted.
    public var root: String
    /// Where it is mounted.
    public var mountPoint: String
    /// Options of the mount.
    public var options: [String]
    /// Filesystem type.
    public var filesystemType: String
    /// What is mounted (`/dev/mapper/VG0-LV0`).
    public var source: String
    /// Options of the filesystem.
    public var filesystemOptions: [String]

    /// From its parts, for tests and simulations.
    public init(
        id: Int, parentID: Int, device: DeviceNumber, root: String, mountPoint: String, options: [String],
        filesystemType: String, source: String, filesystemOptions: [String]
    ) {
        self.id = id
        self.parentID = parentID
        self.device = device
        self.root = root
        self.mountPoint = mountPoint
        self.options = options
        self.filesystemType = filesystemType
        self.source = source
        self.filesystemOptions = filesystemOptions
    }

    /// Whether the mount or its filesystem is read-only.
    public var isReadOnly: Bool { options.contains("ro") || filesystemOptions.contains("ro") }

    /// Parses one line; nil when it is none.
    public init?(line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count >= 10, let id = Decimal.integer(fields[0]), let parent = Decimal.integer(fields[1]),
            let device = DeviceNumber(String(fields[2])),
            let separator = fields[6...].firstIndex(of: "-"), fields.count >= separator + 4
        else { return nil }
        self.id = id
        parentID = parent
        self.device = device
        root = Self.unescaped(fields[3])
        mountPoint = Self.unescaped(fields[4])
        options = fields[5].split(separator: ",").map(String.init)
        filesystemType = Self.unescaped(fields[separator + 1])
        source = Self.unescaped(fields[separator + 2])
        filesystemOptions = fields[separator + 3].split(separator: ",").map(String.init)
    }

    /// Undoes the kernel's octal escapes (`\040` for a blank).
    static func unescaped(_ text: some StringProtocol) -> String {
        let bytes = Array(text.utf8)
        var plain: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let backslash: UInt8 = 0x5C
            if bytes[at] == backslash, at + 3 < bytes.count,
                bytes[(at + 1)...(at + 3)].allSatisfy({ (0x30...0x37).contains($0) }), bytes[at + 1] <= 0x33
            {
                plain.append((bytes[at + 1] - 0x30) << 6 | (bytes[at + 2] - 0x30) << 3 | (bytes[at + 3] - 0x30))
                at += 4
            } else {
                plain.append(bytes[at])
                at += 1
            }
        }
        return String(decoding: plain, as: UTF8.self)
    }
}

/// What is mounted in this process' mount namespace.
public struct MountTable: Hashable, Sendable {
    /// The mounts, in mount order.
    public let mounts: [Mount]

    /// Parses the text of a mountinfo file; lines that are none are passed over.
    public init(parsing text: String) {
        mounts = text.split(separator: "\n").compactMap { Mount(line: $0) }
    }

    /// Reads /proc/self/mountinfo.
    public init(files: HostFiles = HostFiles()) {
        self.init(parsing: files.text("/proc/self/mountinfo", limitBytes: 16 << 20) ?? "")
    }

    /// What is mounted at a path: the topmost one.
    public func mount(at path: String) -> Mount? { mounts.last { $0.mountPoint == path } }

    /// The mounts of a device.
    public func mounts(of device: DeviceNumber) -> [Mount] { mounts.filter { $0.device == device } }

    /// The mounts on folders below a mount; they keep it from being unmounted.
    public func mounts(below path: String) -> [Mount] {
        mounts.filter { $0.mountPoint != path && $0.mountPoint.hasPrefix(path == "/" ? "/" : path + "/") }
    }
}
