/// Who asks to come in: what the first complete Login Request says, checked for form but not yet for rights.
public struct LoginIdentity: Sendable, Equatable {
    /// SessionType (RFC 7143 section 13.21).
    public let sessionType: SessionType
    /// InitiatorName (section 13.5).
    public let initiatorName: ISCSIName
    /// InitiatorAlias (section 13.7), safe for a log line.
    public let initiatorAlias: String?
    /// TargetName (section 13.4): always there in a normal session, and never in a discovery session.
    public let targetName: ISCSIName?
    /// The initiator's part of the session identifier.
    public let isid: ISID
    /// The connection's identifier.
    public let cid: UInt16

    /// An identity. A discovery session has no `targetName`, a normal one has.
    public init(
        sessionType: SessionType, initiatorName: ISCSIName, initiatorAlias: String? = nil, targetName: ISCSIName?,
        isid: ISID, cid: UInt16 = 0
    ) {
        self.sessionType = sessionType
        self.initiatorName = initiatorName
        self.initiatorAlias = initiatorAlias
        self.targetName = targetName
        self.isid = isid
        self.cid = cid
    }
}

/// Whether an initiator may log in, and what it must prove first.
public enum LoginAdmission<Authenticator: LoginAuthenticator>: Sendable {
    /// It may. `targetPortalGroupTag` is told to the initiator of a normal session (RFC 7143 section 13.9), and so is
    /// `targetAlias`, where there is one. With an `authenticator` the login must pass it first; with nil the initiator
    /// needs no authentication.
    case admitted(targetPortalGroupTag: UInt16, targetAlias: String?, authenticator: Authenticator?)
    /// It may not. `cause` is one phrase for the log, without secrets; the initiator only sees the status. A policy that
    /// hides targets answers `targetNotFound` for those the initiator may not see.
    case refused(LoginStatus, cause: String)
}

/// What the server knows and a login needs. A policy is asked once a login; it must answer without waiting.
public protocol LoginPolicy: Sendable {
    /// How initiators prove who they are.
    associatedtype Authenticator: LoginAuthenticator
    /// What the target wants of a session.
    var preferences: OperationalPreferences { get }
    /// How many commands the session may have outstanding at first: MaxCmdSN is ExpCmdSN plus this, minus one.
    var commandWindow: UInt32 { get }
    /// Judges a leading login through this portal.
    func admit(_ identity: LoginIdentity) -> LoginAdmission<Authenticator>
    /// Whether the session that a login with a TSIH wants to join is there. Where it is, the login is refused with
    /// 0206 (one connection a session), else with 020a.
    func hasSession(tsih: UInt16, isid: ISID) -> Bool
}

extension LoginPolicy {
    /// No session is known.
    public func hasSession(tsih: UInt16, isid: ISID) -> Bool { false }
}

/// One step of an authentication.
public enum AuthenticationStep: Sendable, Equatable {
    /// Send these keys and go on.
    case reply([TextPair])
    /// Send these keys; the initiator has proved who it is.
    case complete([TextPair])
    /// End the login. `cause` is one phrase for the log, without secrets.
    case failed(LoginStatus, cause: String)
}

/// The target's side of an authentication method (RFC 7143 section 12.1), as a value that lives as long as one login.
///
/// The login machine negotiates AuthMethod itself. When the initiator offers `methodName`, the machine answers with it and
/// hands every later request's security keys (those of section 12, without AuthMethod) to `receive`, in order, until the
/// step is `complete` or `failed`. Until then no operational key and no change of stage is accepted.
public protocol LoginAuthenticator: Sendable {
    /// The value of AuthMethod, such as `CHAP`.
    static var methodName: String { get }
    /// Takes the security keys of one request, none where the initiator sent none.
    mutating func receive(_ keys: [TextPair]) -> AuthenticationStep
    /// What was proved and how; asked for after `complete`.
    var proof: LoginProof { get }
}

extension LoginAuthenticator {
    /// The method alone.
    public var proof: LoginProof { LoginProof(method: Self.methodName) }
}

/// No authentication: for policies that never ask for any. It has no values.
public enum NoAuthentication: LoginAuthenticator {
    /// No method.
    public static var methodName: String { TextConstant.none }
    /// Never called.
    public mutating func receive(_ keys: [TextPair]) -> AuthenticationStep { switch self {} }
}

/// The bounds on one login. Time is not among them: the server closes a connection whose login takes too long.
public struct LoginLimits: Sendable, Equatable {
    /// The most Login Requests.
    public var requests = 64
    /// The most text of all requests together, in bytes.
    public var textLengthBytes = 65_536
    /// The most text of one request or response, in bytes: the default MaxRecvDataSegmentLength, which rules until the
    /// login is over (RFC 7143 section 13.12).
    public var segmentLengthBytes = 8192

    /// The usual bounds.
    public init() {}
}

/// What a completed login leaves behind.
public struct LoginResult: Sendable, Equatable {
    /// Who came in.
    public let identity: LoginIdentity
    /// How the initiator proved who it is; nil where it did not have to.
    public let proof: LoginProof?
    /// Whether the initiator was authenticated.
    public var isAuthenticated: Bool { proof != nil }
    /// The portal group that the login came through; 0 in discovery sessions.
    public let targetPortalGroupTag: UInt16
    /// What was agreed.
    public let parameters: OperationalParameters
    /// The CmdSN of the first command to come: ExpCmdSN.
    public let expCmdSN: SerialNumber
    /// The StatSN of the next response; the final Login Response has taken the one before.
    public let statSN: SerialNumber

    /// A result.
    public init(
        identity: LoginIdentity, proof: LoginProof?, targetPortalGroupTag: UInt16, parameters: OperationalParameters,
        expCmdSN: SerialNumber, statSN: SerialNumber
    ) {
        self.identity = identity
        self.proof = proof
        self.targetPortalGroupTag = targetPortalGroupTag
        self.parameters = parameters
        self.expCmdSN = expCmdSN
        self.statSN = statSN
    }
}

/// Why a login ended without a session.
public struct LoginFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// What the initiator was told.
    public let status: LoginStatus
    /// One line for the log: initiator, target and cause, without secrets.
    public let description: String

    /// A failure.
    public init(status: LoginStatus, description: String) {
        self.status = status
        self.description = description
    }
}

/// What one Login Request led to.
public struct LoginStep: Sendable, Equatable {
    /// How the login stands.
    public enum Outcome: Sendable, Equatable {
        /// Send the response and wait for the next request.
        case continues
        /// Send the response, which must carry the new session's TSIH (`assign`); then the full feature phase begins.
        case established(LoginResult)
        /// Send the response, where there is one, and close.
        case failed(LoginFailure)
    }

    /// The header to send, or nil to close without a word.
    public var response: LoginResponse?
    /// The response's data segment, without padding.
    public var text: [UInt8]
    /// How the login stands.
    public var outcome: Outcome

    /// A step.
    public init(response: LoginResponse?, text: [UInt8], outcome: Outcome) {
        self.response = response
        self.text = text
        self.outcome = outcome
    }

    /// Puts the session's identifier (not 0) into the final response.
    public mutating func assign(tsih: UInt16) { response?.tsih = tsih }

    /// Turns a success into a failure: for a server that finds no room for the session at the last moment.
    public mutating func refuse(_ status: LoginStatus, cause: String) {
        guard case .established(let result) = outcome, var refusal = response else { return }
        refusal.status = status
        refusal.transits = false
        refusal.header[.nextStage] = 0
        refusal.tsih = 0
        refusal.dataSegmentLength = 0
        response = refusal
        text = []
        let target = result.identity.targetName?.text
        let line = LoginFailure.line(initiator: result.identity.initiatorName.text, target: target, status, cause)
        outcome = .failed(LoginFailure(status: status, description: line))
    }
}

extension LoginFailure {
    /// The log line of a failure. Names may come unchecked from the wire.
    static func line(initiator: String?, target: String?, _ status: LoginStatus, _ cause: String) -> String {
        let who = initiator.map(printable) ?? "an unnamed initiator"
        let whereTo = target.map { " to " + printable($0) } ?? ""
        let code = hexadecimal(UInt64(status.rawValue), digits: 4)
        return "login of \(who)\(whereTo) refused: \(cause) (\(code) \(status))"
    }
}
