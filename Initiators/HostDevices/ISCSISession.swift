/// An iSCSI connection of the kernel's initiator (/sys/class/iscsi_connection).
public struct ISCSIConnection: Hashable, Sendable {
    /// The kernel's name, `connection1:0`.
    public var name: String
    /// The peer's address now; nil while it is not connected.
    public var address: String?
    /// The peer's port now.
    public var port: Int?
    /// The portal it was told to connect to.
    public var persistentAddress: String?
    /// That portal's port.
    public var persistentPort: Int?
    /// `up`, `down` or `failed`; nil before Linux 5.8.
    public var state: String?

    /// From its parts, for tests and simulations.
    public init(
        name: String, address: String? = nil, port: Int? = nil, persistentAddress: String? = nil,
        persistentPort: Int? = nil, state: String? = nil
    ) {
        self.name = name
        self.address = address
        self.port = port
        self.persistentAddress = persistentAddress
        self.persistentPort = persistentPort
        self.state = state
    }
}

/// An iSCSI session of the kernel's initiator (/sys/class/iscsi_session).
public struct ISCSISession: Hashable, Sendable {
    /// The kernel's state of a session.
    public enum State: Hashable, Sendable, CustomStringConvertible {
        /// Works.
        case loggedIn
        /// The connection is lost and the recovery timeout runs: commands wait.
        case failed
        /// The recovery timeout is over and commands fail, while iscsid still tries to log in again; also a session that
        /// is being torn down, or not yet logged in.
        case free
        /// Anything else, in the kernel's words.
        case other(String)

        /// From the kernel's word.
        public init(_ text: String) {
            self =
                switch text {
                case "LOGGED_IN": .loggedIn
                case "FAILED": .failed
                case "FREE": .free
                default: .other(text)
                }
        }

        /// The kernel's word.
        public var description: String {
            switch self {
            case .loggedIn: "LOGGED_IN"
            case .failed: "FAILED"
            case .free: "FREE"
            case .other(let text): text
            }
        }
    }

    /// The session's number (iscsiadm's `-r`).
    public var number: Int
    /// The iSCSI target's name.
    public var targetName: String
    /// The target portal group tag.
    public var targetPortalGroupTag: Int?
    /// Our name in this session.
    public var initiatorName: String?
    /// The interface record's name.
    public var interfaceName: String?
    /// The initiator session identifier, where the driver shows it.
    public var isid: String?
    /// The target session identifying handle, where the driver shows it.
    public var tsih: String?
    /// The name we proved by CHAP at login; nil for a session without. Only root can see it.
    public var chapName: String?
    /// The name the target had to prove by CHAP; nil where it had to prove none.
    public var targetChapName: String?
    /// State.
    public var state: State
    /// How long commands wait for a lost connection before they fail; nil when the kernel says `off` (for ever).
    public var recoveryTimeoutSeconds: Int?
    /// The SCSI host the session is.
    public var hostNumber: Int
    /// Its connections (open-iscsi makes one).
    public var connections: [ISCSIConnection]
    /// Its SCSI devices.
    public var devices: [SCSIDevice]
    /// Its folder in sysfs (`/sys/devices/platform/host2/session1`).
    public var folder: String

    /// From its parts, for tests and simulations.
    public init(
        number: Int, targetName: String, targetPortalGroupTag: Int? = nil, initiatorName: String? = nil,
        interfaceName: String? = nil, isid: String? = nil, tsih: String? = nil, chapName: String? = nil,
        targetChapName: String? = nil, state: State, recoveryTimeoutSeconds: Int? = nil, hostNumber: Int,
        connections: [ISCSIConnection], devices: [SCSIDevice], folder: String
    ) {
        self.number = number
        self.targetName = targetName
        self.targetPortalGroupTag = targetPortalGroupTag
        self.initiatorName = initiatorName
        self.interfaceName = interfaceName
        self.isid = isid
        self.tsih = tsih
        self.chapName = chapName
        self.targetChapName = targetChapName
        self.state = state
        self.recoveryTimeoutSeconds = recoveryTimeoutSeconds
        self.hostNumber = hostNumber
        self.connections = connections
        self.devices = devices
        self.folder = folder
    }

    /// The portal it was told to use, or the one it uses.
    public var portal: (address: String, port: Int)? {
        for connection in connections {
            if let address = connection.persistentAddress ?? connection.address {
                return (address, connection.persistentPort ?? connection.port ?? 3260)
            }
        }
        return nil
    }

    /// Reads a session by its number; nil when there is none, or while it comes or goes.
    public init?(number: Int, files: HostFiles = HostFiles()) {
        let entry = "/sys/class/iscsi_session/session\(number)"
        guard let path = files.resolved(entry), let target = files.text(entry + "/targetname") else { return nil }
        // .../host2/session1/iscsi_session/session1
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count >= 4,
            let host = parts.last(where: { $0.hasPrefix("host") && Decimal.integer($0.dropFirst(4)) != nil }),
            let hostNumber = Decimal.integer(host.dropFirst(4))
        else { return nil }
        let folder = "/" + parts.dropLast(2).joined(separator: "/")
        func present(_ file: String) -> String? {
            files.text("\(entry)/\(file)").flatMap { $0.isEmpty || $0 == "<NULL>" || $0 == "(null)" ? nil : $0 }
        }
        self.number = number
        self.hostNumber = hostNumber
        self.folder = folder
        targetName = target
        targetPortalGroupTag = present("tpgt").flatMap { Decimal.integer($0) }
        initiatorName = present("initiatorname")
        interfaceName = present("ifacename")
        isid = present("isid")
        tsih = present("tsid")
        chapName = present("username")
        targetChapName = present("username_in")
        state = State(present("state") ?? "")
        recoveryTimeoutSeconds = present("recovery_tmo").flatMap { Decimal.integer($0) }
        let inside = files.entries(folder)
        connections = inside.filter { $0.hasPrefix("connection") }.map { ISCSIConnection($0, files: files) }
        devices = inside.filter { $0.hasPrefix("target") }
            .flatMap { target in
                files.entries("\(folder)/\(target)").compactMap { name in
                    SCSIAddress(name) == nil ? nil : SCSIDevice(folder: "\(folder)/\(target)/\(name)", files: files)
                }
            }
            .sorted { $0.address < $1.address }
    }

    /// All sessions, by number.
    public static func all(files: HostFiles = HostFiles()) -> [ISCSISession] {
        files.entries("/sys/class/iscsi_session").filter { $0.hasPrefix("session") }
            .compactMap { Decimal.integer($0.dropFirst(7)) }.sorted()
            .compactMap { ISCSISession(number: $0, files: files) }
    }

    /// Sets how long commands wait for a lost connection before they fail.
    public func setRecoveryTimeout(seconds: Int, files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try files.write("/sys/class/iscsi_session/session\(number)/recovery_tmo", "\(seconds)")
    }

    /// Makes the session's SCSI host look for one unit.
    public func scan(lun: UInt64, files: HostFiles = HostFiles()) throws(HostDeviceError) {
        try SCSIDevice.scan(host: hostNumber, channel: 0, target: 0, lun: lun, files: files)
    }
}

extension ISCSIConnection {
    /// Reads a connection by the kernel's name for it.
    init(_ name: String, files: HostFiles) {
        let folder = "/sys/class/iscsi_connection/\(name)"
        func present(_ file: String) -> String? {
            files.text("\(folder)/\(file)").flatMap { $0.isEmpty || $0 == "<NULL>" || $0 == "(null)" ? nil : $0 }
        }
        self.name = name
        address = present("address")
        port = present("port").flatMap { Decimal.integer($0) }
        persistentAddress = present("persistent_address")
        persistentPort = present("persistent_port").flatMap { Decimal.integer($0) }
        state = present("state")
    }
}
