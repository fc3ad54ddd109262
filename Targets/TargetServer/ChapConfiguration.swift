import Crypto
import ISCSI
import Synchronization

/// How initiators prove who they are, and what each has to know. It prints as its settings; the secrets do not show.
public struct ChapConfiguration: Sendable {
    let algorithms: [ChapAlgorithm]
    let coversDiscovery: Bool
    let discoveryName: String
    /// By iSCSI name, in lower case.
    private(set) var credentials: [String: ChapAuthenticator.Credentials] = [:]
    /// Tells one set of settings and secrets from another within this process, and nothing else to anybody.
    private(set) var fingerprint: [UInt8]
    private static let salt = ChapFunctions.ofThisSystem.randomBytes(32)

    /// Settings without anybody who could log in yet.
    ///
    /// - Parameters:
    ///   - algorithmNumbers: Algorithms by their number in CHAP_A (RFC 7143, 12.1.3), best first; unknown ones are dropped.
    ///   - coversDiscovery: Whether discovery sessions have to prove who they are.
    ///   - discoveryName: CHAP_N of this host in a discovery session; in others it is the target's name.
    public init(algorithmNumbers: [UInt8], coversDiscovery: Bool, discoveryName: String) {
        algorithms = algorithmNumbers.compactMap { ChapAlgorithm(rawValue: $0) }
        self.coversDiscovery = coversDiscovery
        self.discoveryName = discoveryName
        fingerprint = Array(
            SHA256.hash(data: Self.salt + algorithmNumbers + [coversDiscovery ? 1 : 0] + Array(discoveryName.utf8)))
    }

    /// Lets an initiator prove who it is.
    ///
    /// - Parameters:
    ///   - initiatorName: Its iSCSI name.
    ///   - initiatorSecret: What it has to know.
    ///   - targetSecret: What targets show to know when it asks; nil to refuse it then.
    public mutating func add(initiatorName: String, initiatorSecret: [UInt8], targetSecret: [UInt8]?) {
        credentials[initiatorName.lowercased()] = ChapAuthenticator.Credentials(
            initiator: ChapSecret(initiatorSecret), target: targetSecret.map { ChapSecret($0) })
        var all = fingerprint + Array(initiatorName.utf8) + [0] + initiatorSecret + [0]
        if let targetSecret { all += targetSecret + [0] }
        fingerprint = Array(SHA256.hash(data: all))
    }
}

/// The authentication that is in force, and the challenges of this server. A login looks at it once.
final class AuthenticationRegistry: Sendable {
    private let current = Mutex<ChapConfiguration?>(nil)
    private let challenges = ChapChallenges(.ofThisSystem)

    /// Has logins judged by this from now on; whether it is another one than before. Sessions stay.
    @discardableResult
    func set(_ configuration: ChapConfiguration?) -> Bool {
        current.withLock { current in
            defer { current = configuration }
            return current?.fingerprint != configuration?.fingerprint
        }
    }

    var isRequired: Bool { current.withLock { $0 != nil } }

    /// What a login has to pass; nil where nothing.
    func authenticator(of identity: LoginIdentity) -> ChapAuthenticator? {
        current.withLock { current in
            guard let current, identity.sessionType == .normal || current.coversDiscovery else { return nil }
            return ChapAuthenticator(
                initiatorName: identity.initiatorName, targetName: identity.targetName?.text ?? current.discoveryName,
                algorithms: current.algorithms, credentials: current.credentials[identity.initiatorName.text],
                challenges: challenges)
        }
    }
}

extension ChapFunctions {
    /// Digests of swift-crypto, randomness of getrandom.
    static let ofThisSystem = ChapFunctions(
        digest: { algorithm, bytes in
            switch algorithm {
            case .md5: Array(Insecure.MD5.hash(data: bytes))
            case .sha1: Array(Insecure.SHA1.hash(data: bytes))
            case .sha256: Array(SHA256.hash(data: bytes))
            case .sha3With256Bits: Array(SHA3_256.hash(data: bytes))
            }
        },
        randomBytes: { count in
            // The standard library's generator is getrandom on Linux; it never gives less than it was asked for.
            var kernel = SystemRandomNumberGenerator()
            var bytes: [UInt8] = []
            while bytes.count < count {
                let number: UInt64 = kernel.next()
                for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
            }
            return Array(bytes.prefix(count))
        })
}
