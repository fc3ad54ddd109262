/// What the server is doing now; `storaged status` prints it, and `--json` encodes it (schema `storaged.status/1`).
public struct ServerSnapshot: Sendable, Codable {
    /// The host's name in the inventory.
    public var hostName: String
    /// Seconds since the portals opened.
    public var uptimeSeconds: Int
    /// Portals that listen.
    public var portals: [PortalSnapshot]
    /// Targets with their unit and sessions inside.
    public var targets: [TargetSnapshot]
    /// Discovery sessions and connections still in login.
    public var connectionsBeforeLogin: Int
    /// Logins refused since the start.
    public var loginFailures: UInt64
    /// The same by reason: `authentication`, `access`, `malformed`, `unavailable`, `timeout`, and `rateLimited` for
    /// connections that were closed unheard because their address had failed too often. Reasons that never came up are
    /// there too, with 0.
    public var loginFailuresByReason: [String: UInt64]
    /// Addresses whose connections are refused now for that.
    public var addressesRefused: Int
    /// Connections closed because the peer broke the protocol, since the start.
    public var protocolErrors: UInt64
    /// Connections cut because they, or the daemon, stood still for longer than initiators wait, since the start.
    public var staleConnectionsDropped: UInt64
    /// Commands of theirs that were dropped unexecuted or unfinished.
    public var staleCommandsDropped: UInt64
    /// Bytes of payload memory in flight now.
    public var payloadBytesInUse: Int
    /// Reactor threads.
    public var reactors: Int
    /// `io_uring` or `epoll`.
    public var engine: String
    /// What is drained.
    public var drains: [DrainScope]
    /// Fault rules that users made for a drill.
    public var faults: [FaultRuleReport]
}

/// A portal.
public struct PortalSnapshot: Sendable, Codable {
    /// `10.0.0.1:3260`.
    public var address: String
    /// Connections through it now.
    public var connections: Int
}

/// A target and its unit.
public struct TargetSnapshot: Sendable, Codable {
    /// The iSCSI name.
    public var name: String
    /// The volume's name.
    public var volume: String
    /// The backing file or device.
    public var path: String
    /// 17 hex digits, as udev and multipath print it.
    public var wwid: String
    /// Size in bytes.
    public var sizeBytes: UInt64
    /// Logical block length.
    public var blockLengthBytes: Int
    /// Whether writes are refused.
    public var readOnly: Bool
    /// Whether the unit refuses writes because an fsync failed (its cached state is unknown).
    public var failed: Bool
    /// Bytes that the file system below has left; nil for a device or a unit that is not thin.
    public var availableBytes: UInt64?
    /// Bytes that the unit takes up there.
    public var usedBytes: UInt64?
    /// Whether less is left than the soft threshold says.
    public var isLowOnSpace: Bool
    /// Read commands ended.
    public var readCommands: UInt64
    /// Bytes read.
    public var readBytes: UInt64
    /// Write commands ended.
    public var writeCommands: UInt64
    /// Bytes written.
    public var writeBytes: UInt64
    /// Commands ended of all kinds.
    public var commands: UInt64
    /// Commands that ended with a medium or hardware error.
    public var ioErrors: UInt64
    /// Commands and tasks aborted.
    public var aborts: UInt64
    /// Its target port groups.
    public var portGroups: [PortGroupSnapshot]
    /// Who is registered and what is reserved.
    public var reservations: ReservationSnapshot
    /// Sessions on it.
    public var sessions: [SessionSnapshot]
}

/// A target port group of a unit (SPC-4 5.15).
public struct PortGroupSnapshot: Sendable, Codable {
    /// TARGET PORT GROUP.
    public var group: UInt16
    /// Its portals on this host.
    public var portals: [String]
    /// Its asymmetric access state.
    public var state: AccessState
    /// Whether it is drained; it is unavailable then.
    public var isDrained: Bool
}

/// A session, which has one connection (MaxConnections=1).
public struct SessionSnapshot: Sendable, Codable {
    /// The initiator's iSCSI name.
    public var initiator: String
    /// The peer's address and port.
    public var peer: String
    /// The portal it came through.
    public var portal: String
    /// 12 hex digits.
    public var isid: String
    /// Target session identifying handle.
    public var tsih: UInt16
    /// Portal group tag and relative target port.
    public var portalGroupTag: UInt16
    /// Negotiated keys, as text.
    public var parameters: [String: String]
    /// Commands in flight.
    public var inFlight: Int
    /// Seconds since login.
    public var ageSeconds: Int
    /// Which reactor serves it.
    public var reactor: Int
    /// How the initiator proved who it is; nil where it did not have to.
    public var authentication: AuthenticationSnapshot?
}

/// How a session was authenticated.
public struct AuthenticationSnapshot: Sendable, Codable {
    /// The value of AuthMethod: `CHAP`.
    public var method: String
    /// What CHAP hashed with: `SHA3-256`.
    public var algorithm: String?
    /// Whether the target proved who it is too.
    public var mutual: Bool
}

/// Persistent reservations of a unit.
public struct ReservationSnapshot: Sendable, Codable {
    /// PRGENERATION.
    public var generation: UInt32
    /// The reservation's type in words, such as `write exclusive, registrants only`; nil when nothing is reserved.
    public var type: String?
    /// The initiator port that holds it; nil where all registrants do, or nothing is reserved.
    public var holder: String?
    /// Everybody registered.
    public var registrations: [RegistrationSnapshot]
}

/// A registered I_T nexus.
public struct RegistrationSnapshot: Sendable, Codable {
    /// `iqn...,i,0x00023d000001`.
    public var initiatorPort: String
    /// Relative target port.
    public var targetPort: UInt16
    /// The key, `0x` and 16 hexadecimal digits.
    public var key: String
}
