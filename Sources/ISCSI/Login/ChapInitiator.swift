/// The initiator's side of CHAP, for the load generator and for tests that let both sides talk to each other.
public struct ChapInitiator: Sendable {
    /// What came of the target's keys.
    enum Step {
        /// Send these.
        case send([TextPair])
        /// The target has said all that is due.
        case complete
        case failed(cause: String)
    }

    private enum State {
        case start
        /// CHAP_A, CHAP_I and CHAP_C of the target are due.
        case offered
        /// CHAP_N and CHAP_R of the target are due.
        case asked(ChapAlgorithm, identifier: UInt8, challenge: [UInt8])
        case complete
    }

    private let name: String
    private let secret: ChapSecret
    private let targetSecret: ChapSecret?
    private let algorithms: [ChapAlgorithm]
    private let functions: ChapFunctions
    private var state = State.start

    /// An initiator's part.
    ///
    /// - Parameters:
    ///   - name: CHAP_N, its iSCSI name.
    ///   - secret: What it proves to know.
    ///   - targetSecret: What the target has to prove; nil not to ask.
    ///   - algorithms: What it offers, best first.
    public init(
        name: ISCSIName, secret: ChapSecret, targetSecret: ChapSecret?,
        algorithms: [ChapAlgorithm] = [.sha3With256Bits, .sha256], functions: ChapFunctions
    ) {
        self.name = name.text
        self.secret = secret
        self.targetSecret = targetSecret
        self.algorithms = algorithms
        self.functions = functions
    }

    /// Whether nothing of the target is due any more.
    var isComplete: Bool {
        if case .complete = state { return true }
        return false
    }

    /// The target agreed to CHAP.
    mutating func start() -> [TextPair] {
        state = .offered
        return [TextPair(ChapKey.algorithm, algorithms.map { String($0.rawValue) }.joined(separator: ","))]
    }

    /// Takes the security keys of one response.
    mutating func receive(_ keys: TextKeys) -> Step {
        switch state {
        case .start: return .failed(cause: "the target did not agree to CHAP")
        case .offered:
            guard let number = keys[ChapKey.algorithm].flatMap({ TextValue.number($0, in: 0...255) }),
                let algorithm = algorithms.first(where: { Int($0.rawValue) == number }),
                let identifier = keys[ChapKey.identifier].flatMap({ TextValue.number($0, in: 0...255) }),
                let challenge = keys[ChapKey.challenge].flatMap({ TextValue.binary($0, maximumLengthBytes: 1024) }),
                !challenge.isEmpty
            else { return .failed(cause: "the target sent no CHAP challenge of an algorithm that was offered") }
            let response = functions.response(
                algorithm, identifier: UInt8(identifier), secret: secret, challenge: challenge)
            var pairs = [
                TextPair(ChapKey.name, name), TextPair(ChapKey.response, TextValue.text(hexadecimal: response)),
            ]
            guard targetSecret != nil else {
                state = .complete
                return .send(pairs)
            }
            let ownIdentifier = functions.randomBytes(1)[0]
            let own = functions.randomBytes(ChapChallenges.lengthBytes)
            pairs.append(TextPair(ChapKey.identifier, String(ownIdentifier)))
            pairs.append(TextPair(ChapKey.challenge, TextValue.text(hexadecimal: own)))
            state = .asked(algorithm, identifier: ownIdentifier, challenge: own)
            return .send(pairs)
        case .asked(let algorithm, let identifier, let challenge):
            guard let targetSecret, keys[ChapKey.name] != nil,
                let response = keys[ChapKey.response].flatMap({
                    TextValue.binary($0, maximumLengthBytes: algorithm.digestLengthBytes)
                }),
                isSame(
                    response,
                    functions.response(
                        algorithm, identifier: identifier, secret: targetSecret, challenge: challenge))
            else { return .failed(cause: "the target does not know its secret") }
            state = .complete
            return .complete
        case .complete: return .complete
        }
    }
}
