import BlockStore

/// What one storage host serves: the whole of it, declared. Applying a new one changes only what differs.
public struct ServerConfiguration: Sendable {
    /// The host's name in the inventory, for logs and `status`.
    public var hostName: String
    /// The addresses to listen on. A target is reachable through those of them that it names.
    public var portals: [PortalAddress]
    /// The targets, one a volume.
    public var targets: [TargetConfiguration]
    /// Bounds of everything that a peer can make grow.
    public var limits: ServerLimits
    /// Whether `TargetServer.addFault` may be used.
    public var allowsFaults = false
    /// How initiators prove who they are; nil when nobody has to.
    public var authentication: ChapConfiguration?

    /// Makes a configuration.
    public init(
        hostName: String, portals: [PortalAddress], targets: [TargetConfiguration],
        limits: ServerLimits = ServerLimits()
    ) {
        self.hostName = hostName
        self.portals = portals
        self.targets = targets
        self.limits = limits
    }
}

/// An address and TCP port to listen on. The address is an IPv4 or IPv6 literal.
public struct PortalAddress: Sendable, Hashable, CustomStringConvertible {
    /// IPv4 or IPv6 literal, without brackets.
    public var address: String
    /// TCP port; iSCSI's own is 3260.
    public var port: UInt16

    /// Makes a portal address.
    public init(address: String, port: UInt16 = 3260) {
        self.address = address
        self.port = port
    }

    /// `10.0.0.1:3260`, or `[2001:db8::1]:3260`.
    public var description: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

/// One iSCSI target and the one logical unit (LUN 0) behind it.
public struct TargetConfiguration: Sendable {
    /// The target's iSCSI name.
    public var name: String
    /// The volume's name, for people.
    public var volumeName: String
    /// The logical unit's NAA 3 identifier (VPD 83h).
    public var wwid: UInt64
    /// The portals this target is reachable through, each a portal group of its own.
    public var portalGroups: [PortalGroupConfiguration]
    /// The bytes behind it, opened and locked.
    public var store: BlockStore
    /// Logical block length: 512 or 4096.
    public var blockLengthBytes: Int
    /// Whether writes are refused (DATA PROTECT).
    public var isReadOnly: Bool
    /// The iSCSI names of those that see it, in lower case; nil for anybody.
    public var initiators: Set<String>?

    /// Makes a target.
    public init(
        name: String, volumeName: String, wwid: UInt64, portalGroups: [PortalGroupConfiguration], store: BlockStore,
        blockLengthBytes: Int, isReadOnly: Bool, initiators: Set<String>? = nil
    ) {
        self.name = name
        self.volumeName = volumeName
        self.wwid = wwid
        self.portalGroups = portalGroups
        self.store = store
        self.blockLengthBytes = blockLengthBytes
        self.isReadOnly = isReadOnly
        // Names are compared in their normal form (RFC 7143, 4.2.7.1).
        self.initiators = initiators.map { Set($0.map { $0.lowercased() }) }
    }

    /// Whether this initiator may know that the target is there.
    func isVisible(to initiator: String) -> Bool { initiators?.contains(initiator) ?? true }
}

/// A portal of a target: target portal group tag and relative target port are one number (1...65535).
public struct PortalGroupConfiguration: Sendable, Hashable {
    /// Where it listens; one of `ServerConfiguration.portals`.
    public var portal: PortalAddress
    /// TargetPortalGroupTag, and the relative target port identifier.
    public var tag: UInt16
    /// TARGET PORT GROUP (SPC-4 5.15): ports of one group have one asymmetric access state.
    public var group: UInt16

    /// Makes a portal group, in a target port group of its own unless one is given.
    public init(portal: PortalAddress, tag: UInt16, group: UInt16? = nil) {
        self.portal = portal
        self.tag = tag
        self.group = group ?? tag
    }
}

/// Every bound of the daemon in one place; `storaged check` prints them.
public struct ServerLimits: Sendable, Hashable {
    /// Reactor threads; 0 is one a processor this process may use.
    public var reactors = 0
    /// Connections in all, logged in or not; one more is closed at once.
    public var connections = 1024
    /// Connections that have not finished login, in all.
    public var connectionsBeforeLogin = 256
    /// The same, from one address.
    public var connectionsBeforeLoginPerAddress = 64
    /// Seconds from accept to the end of login.
    public var loginSeconds = 10
    /// Commands in flight a session (the CmdSN window).
    public var commandsPerSession = 128
    /// Seconds between NOP-In pings on an idle connection; 0 sends none.
    public var nopIntervalSeconds = 15
    /// Seconds a ping may stay unanswered before the connection is closed.
    public var nopTimeoutSeconds = 15
    /// Payload memory a reactor may hold in flight.
    public var payloadBytesPerReactor = 32 << 20
    /// Seconds that in-flight commands have to finish at shutdown before their connections are cut.
    public var drainSeconds = 20
    /// Seconds of standing still (a stopped process, a paused machine) after which connections are cut with all they have
    /// queued. Less than the 10 seconds and more that initiators wait before they repeat a command on another path.
    public var standstillSeconds = 5
    /// Seconds that task management, a logout and a login that takes the place of a session wait for block requests of a
    /// store that does not answer, before they fail. Less than the 15 seconds that open-iscsi gives an abort, so that it
    /// hears the answer and escalates.
    public var abortSeconds = 10

    /// Failed logins of one address (of one /64, for IPv6) within `loginFailureSeconds` after which its connections are
    /// closed as they come. Only guesses count: a wrong secret, a target that the initiator may not see.
    public var loginFailuresPerAddress = 10
    /// Seconds for which a failed login counts, and for which an address with too many of them is refused.
    public var loginFailureSeconds = 30

    /// Percent of the file system below a thin unit: with less left than that its initiators are told (SBC-3's soft threshold),
    /// and `status` warns; 0 for never.
    public var thinThresholdPercent = 10

    /// Bytes a second that SANITIZE OVERWRITE writes at most, so that other units have the disk too.
    public var overwriteBytesPerSecond = 128 << 20

    /// The defaults.
    public init() {}

    /// What the daemon's resident memory stays below when every bound is reached: the program itself, and for each reactor
    /// its payload memory, ring and tables, for each connection its receive buffer and its commands.
    public var memoryCeilingBytes: Int {
        let threads = reactors > 0 ? reactors : TargetServer.usableProcessors()
        let connectionBytes = 96 << 10 + commandsPerSession * 384
        return 32 << 20 + threads * (payloadBytesPerReactor + 4 << 20) + connections * connectionBytes
    }
}

/// Why a server could not start or change.
public struct ServerError: Error, Sendable, CustomStringConvertible {
    /// What was being done: `listen`, `start reactor`.
    public var operation: String
    /// On what: a portal, a target.
    public var object: String
    /// The cause, with the system's words for an errno.
    public var cause: String
    /// What to do next.
    public var advice: String

    /// Makes an error.
    public init(operation: String, object: String, cause: String, advice: String) {
        self.operation = operation
        self.object = object
        self.cause = cause
        self.advice = advice
    }

    /// One line: what failed, on what, why, and what to do.
    public var description: String { "\(operation) \(object): \(cause); \(advice)" }
}
