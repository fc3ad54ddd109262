/// A CHAP secret. Nothing that prints, dumps or logs one shows more than that there is one.
public struct ChapSecret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    /// The secret as CHAP hashes it: the characters of the file, whatever they look like.
    public let bytes: [UInt8]

    /// Shortest and longest secret in bytes. 96 random bits are the least that RFC 7143, 9.2.1 lets pass; 12 bytes can
    /// hold them. No initiator in use takes more than 255.
    public static let lengthBytes = 12...255

    /// What stands for it in every text.
    public var description: String { "<secret>" }
    /// What stands for it in every text.
    public var debugDescription: String { description }
    /// Nothing inside.
    public var customMirror: Mirror { Mirror(self, children: [:]) }

    /// A new one of 190 random bits from the kernel: 32 letters and digits, which every configuration file takes as they
    /// are and no initiator finds too long but those that stop at 16 bytes.
    static func random() -> ChapSecret {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        var kernel = SystemRandomNumberGenerator()
        return ChapSecret(
            bytes: (0..<32).map { _ in alphabet[Int(UInt64.random(in: 0..<UInt64(alphabet.count), using: &kernel))] })
    }
}

/// The secrets of one client or initiator, as its file in the secrets folder has them:
///
///     # comments and empty lines may stand anywhere
///     initiator: n8TgWc0yNqZ4vRkM2uXs7bLpJd5hFa1E
///     target: V3mKz9QeYt6RwBx0LcHj8NsGf2UaPd7o
///
/// `initiator` is what the initiator proves to know, `target` what targets prove to it; `target` may be missing where
/// authentication is not mutual. A secret is printable ASCII without blanks, taken literally: `0x41...` is a secret of its
/// own characters, not of the bytes that a hexadecimal or base64 reading would give.
public struct ChapSecrets: Sendable, Equatable {
    /// What the initiator proves to know.
    public let initiator: ChapSecret
    /// What targets prove to know; nil when the file has none.
    public let target: ChapSecret?

    /// Reads the text of a secrets file. The problems never quote anything of it but the names of keys.
    ///
    /// - Parameters:
    ///   - fileName: what problems call the file.
    ///   - isMutual: whether the target's secret is needed.
    public static func parse(bytes: [UInt8], fileName: String, isMutual: Bool) -> (
        secrets: ChapSecrets?, problems: [Problem]
    ) {
        var problems = ProblemList(file: fileName)
        var found: [String: (secret: ChapSecret, position: Position)] = [:]
        let lines = bytes.split(separator: 0x0a, maxSplits: 1000, omittingEmptySubsequences: false)
        for (index, raw) in lines.enumerated() {
            let line = trimmed(raw)
            guard let first = line.first, first != 0x23 else { continue }
            let column = line.startIndex - raw.startIndex + 1
            let position = Position(line: index + 1, column: column)
            guard let colon = line.firstIndex(of: 0x3a),
                let key = ["initiator", "target"].first(where: { $0.utf8.elementsEqual(line[..<colon]) })
            else {
                // The line may be a secret that lost its key, so it is not shown.
                problems.error(
                    position, "this line begins with neither \"initiator:\" nor \"target:\"", "write KEY: SECRET")
                continue
            }
            let value = trimmed(line[(colon + 1)...])
            let place = Position(line: index + 1, column: value.startIndex - raw.startIndex + 1)
            if let earlier = found[key] {
                problems.error(
                    position, "\(key) is given a second time (first on line \(earlier.position.line))",
                    "keep one of them")
                continue
            }
            guard ChapSecret.lengthBytes.contains(value.count) else {
                problems.error(
                    place,
                    "the \(key)'s secret has \(value.count) bytes, and \(ChapSecret.lengthBytes.lowerBound) to "
                        + "\(ChapSecret.lengthBytes.upperBound) are allowed", "let storaged secret make one")
                continue
            }
            guard value.allSatisfy({ (0x21...0x7e).contains($0) }) else {
                problems.error(
                    place, "the \(key)'s secret holds a blank or a character beyond ASCII",
                    "use letters, digits and marks, or let storaged secret make one")
                continue
            }
            found[key] = (ChapSecret(bytes: Array(value)), place)
        }
        let start = Position(line: 1, column: 1)
        if !problems.hasErrors, found["initiator"] == nil {
            problems.error(start, "there is no line initiator: SECRET", "let storaged secret make the file")
        }
        if !problems.hasErrors, isMutual, found["target"] == nil {
            problems.error(
                start, "there is no line target: SECRET, and authentication is mutual",
                "let storaged secret make the file, or write authentication: {mutual: false}")
        }
        if let initiator = found["initiator"], let target = found["target"], initiator.secret == target.secret {
            problems.error(
                target.position,
                "the target's secret is the initiator's too, so that each could be made to answer for the other",
                "use two different ones")
        }
        let sorted = problems.sorted(lineCount: lines.count)
        guard !problems.hasErrors, let initiator = found["initiator"] else { return (nil, sorted) }
        return (ChapSecrets(initiator: initiator.secret, target: found["target"]?.secret), sorted)
    }

    /// New random secrets for both directions.
    public static func random() -> ChapSecrets { ChapSecrets(initiator: .random(), target: .random()) }

    /// The text of a secrets file. It is the one place that shows secrets, so it goes into a file of mode 0600 only.
    public var fileText: [UInt8] {
        var text = Array("initiator: ".utf8) + initiator.bytes + [0x0a]
        if let target { text += Array("target: ".utf8) + target.bytes + [0x0a] }
        return text
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
        var rest = line.drop(while: isBlank)
        while let last = rest.last, isBlank(last) { rest.removeLast() }
        return rest
    }
}

/// The secrets of several clients and initiators, or what stands in the way.
public struct SecretsLoad: Sendable {
    /// By the name of the client or initiator; those whose file could not be used are missing.
    public let secrets: [String: ChapSecrets]
    /// All problems, in the order of names; each has the file's path.
    public let problems: [Problem]

    /// True when every file could be used.
    public var isComplete: Bool { !problems.contains { $0.severity == .error } }
    /// Every problem, a line each; empty when there is none.
    public var report: String { problems.map(\.description).joined(separator: "\n") }

    /// Judges the texts of several files together: no secret may serve twice, or one initiator could log in as another.
    init(files: [(name: String, path: String, result: (secrets: ChapSecrets?, problems: [Problem]))]) {
        var secrets: [String: ChapSecrets] = [:]
        var problems: [Problem] = []
        var owners: [[UInt8]: String] = [:]
        for file in files {
            problems += file.result.problems
            guard let found = file.result.secrets else { continue }
            let all = [found.initiator, found.target].compactMap { $0 }
            if let other = all.compactMap({ owners[$0.bytes] }).first {
                problems.append(
                    Problem(
                        severity: .error, file: file.path, line: 0, column: 0,
                        message: "\(file.name) has a secret of \(other), so that either could pass for the other",
                        advice: "make new ones with storaged secret \(file.name) --replace"))
                continue
            }
            for secret in all { owners[secret.bytes] = file.name }
            secrets[file.name] = found
        }
        self.secrets = secrets
        self.problems = problems
    }
}
