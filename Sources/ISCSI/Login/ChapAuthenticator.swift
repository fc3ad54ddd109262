/// The target's side of CHAP (RFC 7143 section 12.1.3 over RFC 1994): CHAP_A, then CHAP_I and CHAP_C, then CHAP_N and
/// CHAP_R, and once those are right, where the initiator asks for it with CHAP_I and CHAP_C of its own, the target's CHAP_N
/// and CHAP_R.
///
/// Each login has one try. Whatever is wrong, the initiator is told the same (0201), and which of name and secret was wrong
/// costs the same time: both are always judged, and a name without a secret is judged by a secret that nobody knows.
public struct ChapAuthenticator: LoginAuthenticator {
    /// What the initiator and the target prove to each other.
    public struct Credentials: Sendable {
        /// What the initiator has to know.
        public let initiator: ChapSecret
        /// What the target shows to know; nil where it does not prove itself, so that an initiator that asks is refused.
        public let target: ChapSecret?

        /// Secrets of one initiator.
        public init(initiator: ChapSecret, target: ChapSecret?) {
            self.initiator = initiator
            self.target = target
        }
    }

    private enum State {
        /// CHAP_A is due.
        case start
        /// CHAP_N and CHAP_R are due.
        case challenged(ChapAlgorithm, identifier: UInt8, challenge: [UInt8])
        case proven(ChapAlgorithm, isMutual: Bool)
        case failed
    }

    /// `CHAP`
    public static let methodName = "CHAP"

    private let initiatorName: ISCSIName
    private let targetName: String
    private let algorithms: [ChapAlgorithm]
    private let credentials: Credentials?
    private let challenges: ChapChallenges
    private var state = State.start

    /// One login's authenticator.
    ///
    /// - Parameters:
    ///   - initiatorName: InitiatorName, which CHAP_N has to be too: nobody logs in as somebody else with a secret of his own.
    ///   - targetName: CHAP_N of the target: its iSCSI name, or in a discovery session the host's.
    ///   - algorithms: What may be used, best first.
    ///   - credentials: The initiator's secrets; nil for a name that has none and can prove nothing.
    ///   - challenges: The server's.
    public init(
        initiatorName: ISCSIName, targetName: String, algorithms: [ChapAlgorithm], credentials: Credentials?,
        challenges: ChapChallenges
    ) {
        self.initiatorName = initiatorName
        self.targetName = targetName
        self.algorithms = algorithms
        self.credentials = credentials
        self.challenges = challenges
    }

    /// How it was proved, once it is.
    public var proof: LoginProof {
        guard case .proven(let algorithm, let isMutual) = state else { return LoginProof(method: Self.methodName) }
        return LoginProof(method: Self.methodName, algorithm: algorithm.description, isMutual: isMutual)
    }

    /// Takes the security keys of one request.
    public mutating func receive(_ keys: [TextPair]) -> AuthenticationStep {
        switch state {
        case .start: return choose(keys)
        case .challenged(let algorithm, let identifier, let challenge):
            state = .failed
            return judge(keys, algorithm, identifier, challenge)
        case .proven, .failed: return fail("keys of CHAP came after its end")
        }
    }

    private mutating func choose(_ keys: [TextPair]) -> AuthenticationStep {
        guard keys.count == 1, keys[0].key == ChapKey.algorithm else {
            return fail("CHAP_A alone is due, and \(Self.names(keys)) came")
        }
        guard let list = TextValue.list(keys[0].value) else { return fail("CHAP_A is no list") }
        let offered = list.compactMap { TextValue.number($0, in: 0...255) }
        guard let algorithm = algorithms.first(where: { offered.contains(Int($0.rawValue)) }) else {
            let wanted = algorithms.map { "\($0.rawValue) (\($0))" }.joined(separator: ", ")
            return fail("the initiator offers CHAP algorithms \(printable(keys[0].value)), and \(wanted) may be used")
        }
        let identifier = challenges.functions.randomBytes(1)[0]
        let challenge = challenges.make()
        state = .challenged(algorithm, identifier: identifier, challenge: challenge)
        return .reply([
            TextPair(ChapKey.algorithm, String(algorithm.rawValue)),
            TextPair(ChapKey.identifier, String(identifier)),
            TextPair(ChapKey.challenge, TextValue.text(hexadecimal: challenge)),
        ])
    }

    private mutating func judge(
        _ keys: [TextPair], _ algorithm: ChapAlgorithm, _ identifier: UInt8, _ challenge: [UInt8]
    ) -> AuthenticationStep {
        var name: String?
        var response: String?
        var theirIdentifier: String?
        var theirChallenge: String?
        for pair in keys {
            switch pair.key {
            case ChapKey.name where name == nil: name = pair.value
            case ChapKey.response where response == nil: response = pair.value
            case ChapKey.identifier where theirIdentifier == nil: theirIdentifier = pair.value
            case ChapKey.challenge where theirChallenge == nil: theirChallenge = pair.value
            default: return fail("CHAP_N and CHAP_R are due, and \(Self.names(keys)) came")
            }
        }
        guard let name, let response, (theirIdentifier == nil) == (theirChallenge == nil) else {
            return fail(
                "CHAP_N and CHAP_R are due, with CHAP_I and CHAP_C or without both, and \(Self.names(keys)) came")
        }
        guard let response = TextValue.binary(response, maximumLengthBytes: algorithm.digestLengthBytes),
            response.count == algorithm.digestLengthBytes
        else { return fail("CHAP_R is not \(algorithm.digestLengthBytes) bytes in hexadecimal or base64") }
        var asked: (identifier: UInt8, challenge: [UInt8])?
        if let theirIdentifier, let theirChallenge {
            guard let identifier = TextValue.number(theirIdentifier, in: 0...255) else {
                return fail("CHAP_I is no number of one byte")
            }
            // The bound of section 12.1.3.
            guard let challenge = TextValue.binary(theirChallenge, maximumLengthBytes: 1024), !challenge.isEmpty else {
                return fail("CHAP_C is not 1 to 1024 bytes in hexadecimal or base64")
            }
            asked = (UInt8(identifier), challenge)
        }
        let secret = credentials?.initiator ?? challenges.decoy
        let expected = challenges.functions.response(
            algorithm, identifier: identifier, secret: secret, challenge: challenge)
        let isRightResponse = isSame(response, expected)
        let isRightName = (try? ISCSIName(name)) == initiatorName
        let isReflected = asked.map { challenges.isOurs($0.challenge) } ?? false
        if isReflected { return fail("its challenge is one of ours, reflected") }
        guard isRightName else { return fail("CHAP_N is not the name it logs in with") }
        guard credentials != nil else { return fail("there is no secret for a name like this") }
        guard isRightResponse else { return fail("the response is wrong: it does not know the secret of its name") }
        guard let asked else {
            state = .proven(algorithm, isMutual: false)
            return .complete([])
        }
        guard let own = credentials?.target else {
            return fail("it asks the target to prove who it is, which is not set up (authentication: {mutual: true})")
        }
        let answer = challenges.functions.response(
            algorithm, identifier: asked.identifier, secret: own, challenge: asked.challenge)
        state = .proven(algorithm, isMutual: true)
        return .complete([
            TextPair(ChapKey.name, targetName), TextPair(ChapKey.response, TextValue.text(hexadecimal: answer)),
        ])
    }

    private mutating func fail(_ cause: String) -> AuthenticationStep {
        state = .failed
        return .failed(.authenticationFailure, cause: "CHAP: \(cause)")
    }

    /// Keys for a log line; never their values.
    private static func names(_ keys: [TextPair]) -> String {
        keys.isEmpty ? "none" : printable(keys.prefix(8).map(\.key).joined(separator: ", "))
    }
}
