/// Where a SCSI device sits on this host: host, channel, target, LUN (`2:0:0:0`).
public struct SCSIAddress: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// The SCSI host's number.
    public var host: Int
    /// The channel.
    public var channel: Int
    /// The target's number on the channel.
    public var target: Int
    /// The logical unit number, as Linux counts it.
    public var lun: UInt64

    /// An address from its parts.
    public init(host: Int, channel: Int, target: Int, lun: UInt64) {
        self.host = host
        self.channel = channel
        self.target = target
        self.lun = lun
    }

    /// Parses `2:0:0:0`; nil for everything else.
    public init?(_ description: String) {
        let parts = description.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4, let host = Decimal.integer(parts[0]), let channel = Decimal.integer(parts[1]),
            let target = Decimal.integer(parts[2]), let lun = Decimal.unsigned(parts[3])
        else { return nil }
        self.init(host: host, channel: channel, target: target, lun: lun)
    }

    /// `host:channel:target:lun`.
    public var description: String { "\(host):\(channel):\(target):\(lun)" }

    /// Ordered by part.
    public static func < (left: Self, right: Self) -> Bool {
        (left.host, left.channel, left.target, left.lun) < (right.host, right.channel, right.target, right.lun)
    }
}

/// A SCSI device (one path to a logical unit) as sysfs shows it.
public struct SCSIDevice: Hashable, Sendable {
    /// The kernel's state of a SCSI device.
    public enum State: Hashable, Sendable, CustomStringConvertible {
        /// Takes commands.
        case running
        /// Set aside after errors that recovery did not cure.
        case offline
        /// Its session is gone for longer than the recovery timeout.
        case transportOffline
        /// Its session recovers: commands wait.
        case blocked
        /// Anything else, in the kernel's words ("created", "cancel", "quiesce").
        case other(String)

        /// From the kernel's word.
        public init(_ text: String) {
            self =
                switch text {
                case "running": .running
                case "offline": .offline
                case "transport-offline": .transportOffline
                case "blocked": .blocked
                default: .other(text)
                }
        }

        /// The kernel's word.
        public var description: String {
            switch self {
            case .running: "running"
            case .offline: "offline"
            case .transportOffline: "transport-offline"
            case .blocked: "blocked"
            case .other(let text): text
            }
        }
    }

    /// Its address.
    public var address: SCSIAddress
    /// Peripheral device type (SPC-4, table 138); 0 is a disk.
    public var type: UInt64?
    /// Vendor, without blanks around it.
    public var vendor: String
    /// Product.
    public var model: String
    /// Revision.
    public var revision: String
    /// State.
    public var state: State
    /// How long a command may take, seconds.
    public var timeoutSeconds: UInt64?
    /// Commands that may be outstanding.
    public var queueDepth: UInt64?
    /// The block device's name (`sdb`), once the disk driver has made it.
    public var blockName: String?
    /// VPD page 83h as the kernel read it at scan time.
    public var identification: DeviceIdentification?
    /// The unit serial number of VPD page 80h as the kernel read it at scan time.
    public var serialNumber: String?
    /// Its folder in sysfs.
    public var folder: String

    /// From its parts, for tests and simulations.
    public init(
        address: SCSIAddress, type: UInt64? = nil, vendor: String, model: String, revision: String, state: State,
        timeoutSeconds: UInt64? = nil, queueDepth: UInt64? = nil, blockName: String? = nil,
        identification: DeviceIdentification? = nil, serialNumber: String? = nil, folder: String
    ) {
        self.address = address
        self.type = type
        self.vendor = vendor
        self.model = model
        self.revision = revision
        self.state = state
        self.timeoutSeconds = timeoutSeconds
        self.queueDepth = queueDepth
        self.blockName = blockName
        self.identification = identification
        self.serialNumber = serialNumber
        self.folder = folder
    }

    /// The unit's name in scsi_id's form, from sysfs' copy of VPD page 83h.
    public var wwid: String? { identification?.wwid }

    /// Reads a device by its address; nil when there is none.
    public init?(_ address: SCSIAddress, files: HostFiles = HostFiles()) {
        guard let folder = files.resolved("/sys/class/scsi_device/\(address)/device") else { return nil }
        self.init(folder: folder, files: files)
    }

    /// Reads the device behind a block device (`sdb`); nil when it is no SCSI disk.
    public init?(blockName: String, files: HostFiles = HostFiles()) {
        guard let folder = files.resolved("/sys/class/block/\(blockName)/device") else { return nil }
        self.init(folder: folder, files: files)
    }

    /// Reads the device in a sysfs folder named like its address.
    public init?(folder: String, files: HostFiles) {
        guard let address = SCSIAddress(lastComponent(folder)), let state = files.text(folder + "/state") else {
            return nil
        }
        func word(_ file: String) -> String {
            String((files.text("\(folder)/\(file)") ?? "").drop { $0 == " " })
        }
        self.address = address
        self.folder = folder
        self.state = State(state)
        type = files.number(folder + "/type")
        vendor = word("vendor")
        model = word("model")
        revision = word("rev")
        timeoutSeconds = files.number(folder + "/timeout")
        queueDepth = files.number(folder + "/queue_depth")
        blockName = files.entries(folder + "/block").first
        identification = files.bytes(folder + "/vpd_pg83", limitBytes: 65_540).flatMap(DeviceIdentification.init(page:))
        serialNumber = files.bytes(folder + "/vpd_pg80", limitBytes: 65_540)
            .flatMap(DeviceIdentification.unitSerialNumber(page:))
    }

    /// All SCSI devices, by address.
    public static func all(files: HostFiles = HostFiles()) -> [SCSIDevice] {
        files.entries("/sys/class/scsi_device").compactMap(SCSIAddress.init).sorted()
            .compactMap { SCSIDevice($0, files: files) }
    }

    /// Whether the unit said, when it was found, that it is not to be reached by this port now (PERIPHERAL QUALIFIER 001b,
    /// SPC-4, 6.6.2): the kernel makes no disk of it then.
    public func isNotConnected(files: HostFiles = HostFiles()) -> Bool {
        files.bytes(folder + "/inquiry", limitBytes: 4096)?.first.map { $0 >> 5 == 1 } ?? false
    }

    // MARK: - Changing

    /// Sets the state to running or offline.
    public func setState(running: Bool, files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try files.write(folder + "/state", running ? "running" : "offline")
    }

    /// Sets how long a command may take.
    public func setTimeout(seconds: Int, files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try files.write(folder + "/timeout", "\(seconds)")
    }

    /// Makes the kernel read the size again. Sends commands: may wait on a path that does not answer.
    public func rescan(files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try files.write(folder + "/rescan", "1")
    }

    /// Deletes the device. The kernel flushes its cache first, so this may wait on a path that does not answer.
    public func delete(files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try files.write(folder + "/delete", "1")
    }

    /// Makes a SCSI host look for one unit; nil for channel and target means all of them.
    ///
    /// Needed because sessions are logged in with scanning left to us (`node.session.scan = manual`).
    public static func scan(
        host: Int, channel: Int? = nil, target: Int? = nil, lun: UInt64, files: HostFiles = HostFiles()
    ) throws(HostDeviceError) {
        let channel = channel.map(String.init) ?? "-"
        let target = target.map(String.init) ?? "-"
        try files.write("/sys/class/scsi_host/host\(host)/scan", "\(channel) \(target) \(lun)")
    }
}
