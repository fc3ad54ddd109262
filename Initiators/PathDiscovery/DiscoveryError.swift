/// Why a portal, a target or a unit could not be asked.
public struct DiscoveryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done.
    public enum Operation: String, Hashable, Sendable {
        /// The TCP connection.
        case connect = "connect to"
        /// The login.
        case login = "log in to"
        /// SendTargets.
        case sendTargets = "list the targets of"
        /// REPORT LUNS.
        case reportLUNs = "list the units of"
        /// INQUIRY, VPD pages, READ CAPACITY.
        case probe = "probe"
    }

    /// The status of a failed login (RFC 7143, 11.13.5).
    public struct LoginStatus: Hashable, Sendable, CustomStringConvertible {
        /// 1 redirection, 2 initiator error, 3 target error.
        public var statusClass: UInt8
        /// The detail within the class.
        public var detail: UInt8

        /// A status from the two bytes as one number (`0x0203`).
        public init(_ code: UInt16) {
            statusClass = UInt8(code >> 8)
            detail = UInt8(code & 0xFF)
        }

        /// The RFC's words.
        public var description: String {
            switch (statusClass, detail) {
            case (0, _): "success"
            case (1, 1): "the target has moved for now"
            case (1, 2): "the target has moved for good"
            case (2, 0): "the target blames the initiator"
            case (2, 1): "authentication failed"
            case (2, 2): "this initiator is not allowed to use the target"
            case (2, 3): "the target was not found there"
            case (2, 4): "the target was removed"
            case (2, 5): "unsupported iSCSI version"
            case (2, 6): "too many connections"
            case (2, 7): "missing parameter"
            case (2, 8): "the connection can't be part of that session"
            case (2, 9): "this type of session is not supported"
            case (2, 10): "the session does not exist"
            case (2, 11): "invalid request during login"
            case (3, 0): "target error"
            case (3, 1): "the service is unavailable now"
            case (3, 2): "the target is out of resources"
            default: "login status \(statusClass)/\(detail)"
            }
        }
    }

    /// What was being done.
    public let operation: Operation
    /// The portal it was done to.
    public let portal: ISCSIPortal
    /// The target, when one was meant.
    public let targetName: String?
    /// The unit, when one was meant.
    public let lun: UInt64?
    /// What went wrong, in words.
    public let cause: String
    /// The login's status, when the target gave one.
    public let loginStatus: LoginStatus?
    /// Whether the portal cannot be reached at all.
    public let isPortalDead: Bool

    init(
        _ operation: Operation, _ portal: ISCSIPortal, target: String? = nil, lun: UInt64? = nil, cause: String,
        loginStatus: LoginStatus? = nil, isPortalDead: Bool = false
    ) {
        self.operation = operation
        self.portal = portal
        targetName = target
        self.lun = lun
        self.cause = cause
        self.loginStatus = loginStatus
        self.isPortalDead = isPortalDead
    }

    /// What to do next; may be empty.
    public var advice: String {
        if isPortalDead { return "check that storaged runs there and that the network to it is up" }
        return switch loginStatus.map({ ($0.statusClass, $0.detail) }) {
        case (2, 1)?: "check the CHAP user and secret on both ends"
        case (2, 2)?: "let the target's access list name this initiator"
        case (2, 3)?, (2, 4)?: "the target left after it was listed: run discovery again"
        case (3, _)?: "the target's own log says more"
        default: ""
        }
    }

    /// One line: operation, object, cause, advice.
    public var description: String {
        let unit = lun.map { " LUN \($0)" } ?? ""
        let object = targetName.map { "\($0)\(unit) at \(portal)" } ?? "portal \(portal)"
        return "cannot \(operation.rawValue) \(object): \(cause)\(advice.isEmpty ? "" : "; \(advice)")"
    }
}
