/// Status-Class and Status-Detail of a Login Response (RFC 7143 section 11.13.5).
@frozen
public struct LoginStatus: RawRepresentable, Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The class in the high byte, the detail in the low one.
    public var rawValue: UInt16

    /// A status with the given code.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Status-Class: 0 success, 1 redirection, 2 initiator error, 3 target error.
    @inlinable
    public var statusClass: UInt8 { UInt8(rawValue >> 8) }
    /// Status-Detail.
    @inlinable
    public var statusDetail: UInt8 { UInt8(rawValue & 0xff) }

    /// 0000: the login goes on, or is complete.
    public static var success: LoginStatus { LoginStatus(rawValue: 0x0000) }
    /// 0101: target moved temporarily.
    public static var targetMovedTemporarily: LoginStatus { LoginStatus(rawValue: 0x0101) }
    /// 0102: target moved permanently.
    public static var targetMovedPermanently: LoginStatus { LoginStatus(rawValue: 0x0102) }
    /// 0200: miscellaneous initiator error.
    public static var initiatorError: LoginStatus { LoginStatus(rawValue: 0x0200) }
    /// 0201: authentication failure.
    public static var authenticationFailure: LoginStatus { LoginStatus(rawValue: 0x0201) }
    /// 0202: authorization failure: the initiator may not use the target.
    public static var authorizationFailure: LoginStatus { LoginStatus(rawValue: 0x0202) }
    /// 0203: not found: no such target here.
    public static var targetNotFound: LoginStatus { LoginStatus(rawValue: 0x0203) }
    /// 0204: target removed, and no forwarding address.
    public static var targetRemoved: LoginStatus { LoginStatus(rawValue: 0x0204) }
    /// 0205: unsupported version.
    public static var unsupportedVersion: LoginStatus { LoginStatus(rawValue: 0x0205) }
    /// 0206: too many connections on this session.
    public static var tooManyConnections: LoginStatus { LoginStatus(rawValue: 0x0206) }
    /// 0207: missing parameter.
    public static var missingParameter: LoginStatus { LoginStatus(rawValue: 0x0207) }
    /// 0208: the target cannot include the connection in a session here.
    public static var cannotIncludeInSession: LoginStatus { LoginStatus(rawValue: 0x0208) }
    /// 0209: session type not supported.
    public static var sessionTypeNotSupported: LoginStatus { LoginStatus(rawValue: 0x0209) }
    /// 020a: session does not exist.
    public static var sessionDoesNotExist: LoginStatus { LoginStatus(rawValue: 0x020a) }
    /// 020b: invalid request type during login.
    public static var invalidDuringLogin: LoginStatus { LoginStatus(rawValue: 0x020b) }
    /// 0300: target hardware or software error.
    public static var targetError: LoginStatus { LoginStatus(rawValue: 0x0300) }
    /// 0301: service unavailable, for instance while the target starts or drains.
    public static var serviceUnavailable: LoginStatus { LoginStatus(rawValue: 0x0301) }
    /// 0302: out of resources.
    public static var outOfResources: LoginStatus { LoginStatus(rawValue: 0x0302) }

    /// The standard's words for the code.
    public var description: String {
        switch rawValue {
        case 0x0000: "success"
        case 0x0101: "target moved temporarily"
        case 0x0102: "target moved permanently"
        case 0x0200: "initiator error"
        case 0x0201: "authentication failure"
        case 0x0202: "authorization failure"
        case 0x0203: "target not found"
        case 0x0204: "target removed"
        case 0x0205: "unsupported version"
        case 0x0206: "too many connections"
        case 0x0207: "missing parameter"
        case 0x0208: "cannot include in session"
        case 0x0209: "session type not supported"
        case 0x020a: "session does not exist"
        case 0x020b: "invalid request during login"
        case 0x0300: "target error"
        case 0x0301: "service unavailable"
        case 0x0302: "out of resources"
        default: "status 0x" + hexadecimal(UInt64(rawValue), digits: 4)
        }
    }
}
