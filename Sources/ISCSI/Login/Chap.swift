/// What CHAP hashes with (RFC 7143 section 12.1.3; numbers of IANA's registry of PPP authentication algorithms, to which
/// RFC 7143 adds SHA-1, SHA-256 and SHA3-256).
public enum ChapAlgorithm: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// MD5, which RFC 7143 has everybody implement.
    case md5 = 5
    /// SHA-1.
    case sha1 = 6
    /// SHA-256.
    case sha256 = 7
    /// SHA3-256.
    case sha3With256Bits = 8

    /// Length of a digest, and so of CHAP_R, in bytes.
    public var digestLengthBytes: Int {
        switch self {
        case .md5: 16
        case .sha1: 20
        case .sha256, .sha3With256Bits: 32
        }
    }

    /// Its usual name.
    public var description: String {
        switch self {
        case .md5: "MD5"
        case .sha1: "SHA-1"
        case .sha256: "SHA-256"
        case .sha3With256Bits: "SHA3-256"
        }
    }
}

/// The keys of CHAP (RFC 7143 section 12.1.3).
enum ChapKey {
    static let algorithm = "CHAP_A"
    static let identifier = "CHAP_I"
    static let challenge = "CHAP_C"
    static let name = "CHAP_N"
    static let response = "CHAP_R"
}

/// A CHAP secret. Nothing that prints, dumps or logs one shows more than that there is one.
public struct ChapSecret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    /// A secret, as CHAP hashes it.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// What stands for it in every text.
    public var description: String { "<secret>" }
    /// What stands for it in every text.
    public var debugDescription: String { description }
    /// Nothing inside.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// What CHAP needs and this module does not have: digests, and bytes that nobody can foretell.
public struct ChapFunctions: Sendable {
    /// The digest of some bytes.
    public let digest: @Sendable (ChapAlgorithm, [UInt8]) -> [UInt8]
    /// So many bytes of the system's generator for secrets.
    public let randomBytes: @Sendable (Int) -> [UInt8]

    /// Takes both from the caller.
    public init(
        digest: @escaping @Sendable (ChapAlgorithm, [UInt8]) -> [UInt8],
        randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.digest = digest
        self.randomBytes = randomBytes
    }

    /// A response (RFC 1994 section 4.1): the digest of identifier, secret and challenge.
    func response(
        _ algorithm: ChapAlgorithm, identifier: UInt8, secret: ChapSecret, challenge: [UInt8]
    ) -> [UInt8] {
        digest(algorithm, [identifier] + secret.bytes + challenge)
    }
}

/// Makes the challenges of a target, and knows each of them again, without remembering any.
///
/// A challenge is 16 random bytes and a seal over them with a key of the process, so a challenge that comes back, on the
/// same connection or on another one, now or later, is recognised as ours, and no number of logins makes a table grow. It is
/// as long as the longest digest, as RFC 7143 section 9.2.1 wants.
public struct ChapChallenges: Sendable {
    /// Length of every challenge in bytes.
    public static let lengthBytes = 32
    private static let nonceBytes = 16

    let functions: ChapFunctions
    private let key: ChapSecret
    /// What a name without a secret is judged by: nobody knows it, and it costs what any other does.
    let decoy: ChapSecret

    /// One for the life of a server, with a key of its own.
    public init(_ functions: ChapFunctions) {
        self.functions = functions
        key = ChapSecret(functions.randomBytes(32))
        decoy = ChapSecret(functions.randomBytes(32))
    }

    /// A new one.
    public func make() -> [UInt8] {
        let nonce = functions.randomBytes(Self.nonceBytes)
        return nonce + seal(nonce)
    }

    /// Whether a challenge that somebody else sent was made here.
    public func isOurs(_ challenge: [UInt8]) -> Bool {
        guard challenge.count == Self.lengthBytes else { return false }
        return isSame(Array(challenge[Self.nonceBytes...]), seal(Array(challenge[..<Self.nonceBytes])))
    }

    private func seal(_ nonce: [UInt8]) -> [UInt8] {
        Array(functions.digest(.sha3With256Bits, key.bytes + nonce).prefix(Self.lengthBytes - Self.nonceBytes))
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}

/// How a login was proved.
public struct LoginProof: Sendable, Equatable, CustomStringConvertible {
    /// The value of AuthMethod.
    public let method: String
    /// What CHAP hashed with.
    public let algorithm: String?
    /// Whether the target proved who it is too.
    public let isMutual: Bool

    /// A proof.
    public init(method: String, algorithm: String? = nil, isMutual: Bool = false) {
        self.method = method
        self.algorithm = algorithm
        self.isMutual = isMutual
    }

    /// `CHAP, SHA3-256, mutual`
    public var description: String {
        ([method, algorithm, isMutual ? "mutual" : nil] as [String?]).compactMap { $0 }.joined(separator: ", ")
    }
}
