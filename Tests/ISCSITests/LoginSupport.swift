import ISCSI
import Testing

/// A method with two rounds, in the shape of CHAP: CHAP_A asks for a challenge, CHAP_N and CHAP_R answer it.
struct TestAuthenticator: LoginAuthenticator {
    static let methodName = "CHAP"
    private var hasChallenged = false

    mutating func receive(_ keys: [TextPair]) -> AuthenticationStep {
        guard hasChallenged else {
            guard keys.contains(where: { $0.key == "CHAP_A" }) else {
                return .failed(.authenticationFailure, cause: "no algorithm was offered")
            }
            hasChallenged = true
            return .reply([TextPair("CHAP_A", "7"), TextPair("CHAP_I", "1"), TextPair("CHAP_C", "0xabcd")])
        }
        guard keys.contains(TextPair("CHAP_R", "0x600d")) else {
            return .failed(.authenticationFailure, cause: "the response is wrong")
        }
        return .complete([TextPair("CHAP_N", "target")])
    }
}

/// One target, `volume`, which everybody may use who is not called `...:stranger`.
struct TestPolicy: LoginPolicy {
    var preferences = OperationalPreferences()
    var commandWindow: UInt32 = 32
    var needsAuthentication = false
    var alias: String?
    var session: UInt16?

    func admit(_ identity: LoginIdentity) -> LoginAdmission<TestAuthenticator> {
        if let target = identity.targetName, target != volume {
            return .refused(.targetNotFound, cause: "no such target at this portal")
        }
        guard !identity.initiatorName.text.hasSuffix(":stranger") else {
            return .refused(.authorizationFailure, cause: "it is not in the access list")
        }
        return .admitted(
            targetPortalGroupTag: 3, targetAlias: alias, authenticator: needsAuthentication ? TestAuthenticator() : nil)
    }

    func hasSession(tsih: UInt16, isid: ISID) -> Bool { tsih == session }
}

extension LoginMachine {
    mutating func receive(_ request: LoginRequest, _ text: [UInt8]) -> LoginStep {
        var header = request.header
        header.dataSegmentLength = text.count
        return receive(header, text)
    }

    mutating func receive(_ header: BasicHeaderSegment, _ text: [UInt8]) -> LoginStep {
        receive(header, data: unsafe text.span.bytes)
    }
}

extension InitiatorLogin {
    mutating func receive(_ header: BasicHeaderSegment, _ text: [UInt8]) -> Step {
        receive(header, data: unsafe text.span.bytes)
    }
}

extension LoginStep {
    /// The result of a login that succeeded.
    var result: LoginResult? {
        guard case .established(let result) = outcome else { return nil }
        return result
    }

    /// The failure of one that did not.
    var failure: LoginFailure? {
        guard case .failed(let failure) = outcome else { return nil }
        return failure
    }
}

/// A request of the operational stage with its usual fields.
func request(
    _ stage: LoginStage = .operationalNegotiation, to next: LoginStage? = .fullFeaturePhase, continues: Bool = false
) -> LoginRequest {
    LoginRequest(
        initiatorTaskTag: InitiatorTaskTag(9), isid: ISID(rawValue: 0x0002_3d01_0000), currentStage: stage,
        nextStage: next, continues: continues, cmdSN: SerialNumber(100), expStatSN: SerialNumber(7))
}

let identityKeys = text(
    "InitiatorName=iqn.2026-01.net.example:client0", "TargetName=iqn.2026-01.net.example:mpath0", "SessionType=Normal")
