import Crypto
import Glibc
import ISCSI
import Synchronization

/// A file of secrets: lines `initiator: SECRET` and `target: SECRET`.
struct Secrets {
    let initiator: ChapSecret
    let target: ChapSecret?

    init(path: String) throws {
        guard let stream = unsafe fopen(path, "r") else { throw RogueError("\(path) cannot be read") }
        defer { unsafe fclose(stream) }
        var found: [Substring: [UInt8]] = [:]
        while let line = unsafe readLine(from: stream) {
            guard !line.hasPrefix("#"), let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            found[Substring(String(line[..<colon]))] = Array(value.utf8)
        }
        guard let initiator = found["initiator"] else { throw RogueError("\(path) has no initiator: line") }
        self.initiator = ChapSecret(initiator)
        target = found["target"].map { ChapSecret($0) }
    }

    func needTarget() throws -> ChapSecret {
        guard let target else { throw RogueError("the file has no target: line") }
        return target
    }
}

private func readLine(from stream: UnsafeMutablePointer<FILE>) -> String? {
    var buffer = [CChar](repeating: 0, count: 1024)
    guard unsafe fgets(&buffer, Int32(buffer.count), stream) != nil else { return nil }
    let bytes = buffer.prefix { $0 != 0 && $0 != 10 && $0 != 13 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}

/// What went over the wire in a login.
final class Recording: Sendable {
    private let kept = Mutex<(challenge: [UInt8]?, response: [UInt8]?)>((nil, nil))

    /// The target's challenge.
    var challenge: [UInt8]? { kept.withLock { $0.challenge } }
    /// The answer to it.
    var response: [UInt8]? { kept.withLock { $0.response } }

    /// Keeps what was hashed, identifier, secret and challenge, and what came of it.
    func keep(_ bytes: [UInt8], _ response: [UInt8]) {
        kept.withLock { $0 = (Array(bytes.suffix(ChapChallenges.lengthBytes)), response) }
    }
}

/// The part that a login plays, as far as CHAP goes.
enum Part {
    case honest
    /// Honest, and written down.
    case recording(Recording)
    /// Answers with what was recorded.
    case replaying(Recording)
    /// Challenges with the target's challenge: of this connection, or one that was recorded.
    case reflecting(Recording)

    var functions: ChapFunctions {
        switch self {
        case .honest: return ChapFunctions(digest: Self.digest, randomBytes: Self.random)
        case .recording(let recording):
            return ChapFunctions(
                digest: { algorithm, bytes in
                    let response = Self.digest(algorithm, bytes)
                    recording.keep(bytes, response)
                    return response
                }, randomBytes: Self.random)
        case .replaying(let recording):
            return ChapFunctions(
                digest: { algorithm, bytes in recording.response ?? Self.digest(algorithm, bytes) },
                randomBytes: Self.random)
        case .reflecting(let recording):
            return ChapFunctions(
                digest: { algorithm, bytes in
                    let response = Self.digest(algorithm, bytes)
                    if recording.challenge == nil { recording.keep(bytes, response) }
                    return response
                },
                randomBytes: { count in
                    guard count == ChapChallenges.lengthBytes, let challenge = recording.challenge else {
                        return Self.random(count)
                    }
                    return challenge
                })
        }
    }

    private static func digest(_ algorithm: ChapAlgorithm, _ bytes: [UInt8]) -> [UInt8] {
        switch algorithm {
        case .md5: Array(Insecure.MD5.hash(data: bytes))
        case .sha1: Array(Insecure.SHA1.hash(data: bytes))
        case .sha256: Array(SHA256.hash(data: bytes))
        case .sha3With256Bits: Array(SHA3_256.hash(data: bytes))
        }
    }

    private static func random(_ count: Int) -> [UInt8] {
        var kernel = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &kernel) }
    }
}
