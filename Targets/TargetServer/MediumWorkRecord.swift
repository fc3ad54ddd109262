import SCSI

/// Where a SANITIZE or FORMAT UNIT that goes on is kept, so that one that a crash or a restart ended is begun again.
public struct MediumWorkKeeper: Sendable {
    /// What of a unit goes on; an error where there is something that cannot be understood.
    public var read: @Sendable (TargetConfiguration) throws(ServerError) -> MediumWork?
    /// Puts it on stable storage, or removes it.
    public var keep: @Sendable (TargetConfiguration, MediumWork?) throws(ServerError) -> Void

    /// A keeper.
    public init(
        read: @escaping @Sendable (TargetConfiguration) throws(ServerError) -> MediumWork?,
        keep: @escaping @Sendable (TargetConfiguration, MediumWork?) throws(ServerError) -> Void
    ) {
        self.read = read
        self.keep = keep
    }
}

/// Work on a medium as it lies on stable storage: lines of text.
///
///     storaged.mediumwork/1
///     unit 336132d69e465b57d
///     sanitize 1                      or format; whether EXIT FAILURE MODE may follow
///     overwrite 3 1 c3a5              or erase; how often, whether every second time inverted, the pattern
///     crc32c 1f2e3d4c                 of all bytes before this line
public struct MediumWorkRecord: Sendable, Equatable {
    /// No record is longer.
    public static let limitBytes = 16 << 10
    private static let schema = "storaged.mediumwork/1"

    /// The unit's WWID with its designator type.
    public var unit: String
    /// What goes on.
    public var work: MediumWork

    /// A record.
    public init(unit: String, work: MediumWork) {
        self.unit = unit
        self.work = work
    }

    /// The bytes to be kept.
    public var encoded: [UInt8] {
        var text = "\(Self.schema)\nunit \(unit)\n"
        text += "\(work.isSanitize ? "sanitize" : "format") \(work.allowsExitOfFailure ? 1 : 0)\n"
        switch work.effect {
        case .erase: text += "erase\n"
        case .overwrite(let pattern, let count, let inverts):
            let digits = pattern.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            text += "overwrite \(count) \(inverts ? 1 : 0) \(digits)\n"
        }
        return Array(text.utf8) + Array("crc32c \(Self.checksum(text))\n".utf8)
    }

    /// Reads one; nil for anything that `encoded` does not make.
    public init?(decoding bytes: [UInt8]) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count == 6, lines[0] == Self.schema, lines[1].hasPrefix("unit "), lines[5].isEmpty,
            lines[4] == "crc32c \(Self.checksum(lines[..<4].joined(separator: "\n") + "\n"))"
        else { return nil }
        let kind = lines[2].split(separator: " ")
        let effect = lines[3].split(separator: " ")
        guard kind.count == 2, kind[0] == "sanitize" || kind[0] == "format" else { return nil }
        let found: MediumWork.Effect
        if effect == ["erase"] {
            found = .erase
        } else {
            guard effect.count == 4, effect[0] == "overwrite", let count = Int(effect[1]), (1...31).contains(count),
                let pattern = Self.bytes(effect[3]), (1...4096).contains(pattern.count)
            else { return nil }
            found = .overwrite(pattern: pattern, count: count, inverts: effect[2] == "1")
        }
        unit = String(lines[1].dropFirst(5))
        work = MediumWork(
            effect: found, answersAtOnce: true, isSanitize: kind[0] == "sanitize", allowsExitOfFailure: kind[1] == "1")
    }

    private static func bytes(_ digits: Substring) -> [UInt8]? {
        let characters = Array(digits)
        guard characters.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: characters.count, by: 2) {
            guard let byte = UInt8(String(characters[index...index + 1]), radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func checksum(_ text: String) -> String {
        let digits = String(ReservationRecord.checksum(Array(text.utf8)), radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
