import SCSI

/// What a rule does to the commands that it strikes.
///
/// Its text is what `storaged fault` prints and what goes over the control socket: `delay=200ms`, `sense=03/11/00`,
/// `status=busy`, `status=task-set-full`, `drop`, `corrupt-digest`, `alua=standby`.
public enum FaultEffect: Sendable, Equatable {
    /// The command's first block request reaches the store so much later: a slow disk. Commands without one are not slowed.
    case delay(milliseconds: Int)
    /// The command ends with CHECK CONDITION and this sense data; nothing of it is done.
    case sense(Sense)
    /// The command ends with BUSY; nothing of it is done.
    case busy
    /// The command ends with TASK SET FULL; nothing of it is done.
    case taskSetFull
    /// The connection ends; nothing of the command is done.
    case drop
    /// The next PDU of the command that carries a digest goes out with a wrong one.
    case corruptDigest
    /// The target port group that the command came by is flipped into this state, and by the next command that is struck
    /// back. It is not kept on stable storage, and is over when the rule is cleared.
    case alua(AccessState)

    /// The longest delay: a day.
    public static let maximumDelayMilliseconds = 86_400_000

    /// From the text above.
    public init(parsing text: String) throws(FaultRuleError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        switch (parts[0], parts.count) {
        case ("delay", 2): self = try .delay(milliseconds: Self.milliseconds(parts[1]))
        case ("sense", 2): self = try .sense(Self.sense(parts[1]))
        case ("status", 2): self = try Self.status(parts[1])
        case ("alua", 2): self = try .alua(Self.access(parts[1]))
        case ("drop", 1): self = .drop
        case ("corrupt-digest", 1): self = .corruptDigest
        default:
            throw FaultRuleError(
                "there is no such fault; it is one of delay=200ms, sense=03/11/00, status=busy, status=task-set-full, "
                    + "drop, corrupt-digest, alua=standby")
        }
    }

    /// A length of time such as `200ms`, `30s`, `5m` or `1h`, in milliseconds; 1 ms to a day.
    public static func milliseconds(_ text: String) throws(FaultRuleError) -> Int {
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        for (unit, factor) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard !digits.isEmpty, digits.utf8.count <= 9, digits.utf8.allSatisfy({ (48...57).contains($0) }),
                let number = Int(digits), (1...maximumDelayMilliseconds).contains(number * factor)
            else { break }
            return number * factor
        }
        throw FaultRuleError("a delay is a whole number and ms, s, m or h, from 1ms to 24h, such as 200ms")
    }

    /// Sense key, additional sense code and its qualifier in hexadecimal, such as `03/11/00`.
    ///
    /// NO SENSE and RECOVERED ERROR are refused: they say that the command was done, and initiators take them so.
    public static func sense(_ text: String) throws(FaultRuleError) -> Sense {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part -> UInt8? in
            let isHexadecimal = part.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
            }
            return (1...2).contains(part.utf8.count) && isHexadecimal ? UInt8(part, radix: 16) : nil
        }
        guard parts.count == 3, bytes.count == 3 else {
            throw FaultRuleError("sense is KEY/ASC/ASCQ in hexadecimal, such as 03/11/00 for an unrecovered read error")
        }
        guard let key = SenseKey(rawValue: bytes[0]), key != .noSense, key != .recoveredError else {
            throw FaultRuleError(
                "sense key \(parts[0]) is no error that a disk reports; 02 NOT READY, 03 MEDIUM ERROR, 04 HARDWARE ERROR, "
                    + "05 ILLEGAL REQUEST, 06 UNIT ATTENTION, 07 DATA PROTECT and 0B ABORTED COMMAND are")
        }
        return Sense(key, additionalSenseCode: UInt16(bytes[1]) << 8 | UInt16(bytes[2]))
    }

    /// `busy` or `task-set-full`.
    public static func status(_ text: String) throws(FaultRuleError) -> FaultEffect {
        switch text {
        case "busy": return .busy
        case "task-set-full": return .taskSetFull
        default: throw FaultRuleError("a status is busy or task-set-full")
        }
    }

    private static let accessWords: [(String, AccessState)] = [
        ("optimized", .activeOptimized), ("non-optimized", .activeNonOptimized), ("standby", .standby),
        ("unavailable", .unavailable), ("transitioning", .transitioning),
    ]

    /// A state that a group can be flipped into, by the words of `storaged alua`. Offline is none: it ends the sessions,
    /// and nobody is left to flip it back.
    public static func access(_ text: String) throws(FaultRuleError) -> AccessState {
        for (word, state) in accessWords where word == text { return state }
        throw FaultRuleError("a state is optimized, non-optimized, standby, unavailable or transitioning")
    }
}

extension FaultEffect: CustomStringConvertible, Codable {
    /// The text above.
    public var description: String {
        switch self {
        case .delay(let milliseconds):
            for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] where milliseconds % factor == 0 {
                return "delay=\(milliseconds / factor)\(unit)"
            }
            return "delay=\(milliseconds)ms"
        case .sense(let sense):
            func two(_ byte: UInt16) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }
            let code = sense.additionalSenseCode
            return "sense=\(two(UInt16(sense.key.rawValue)))/\(two(code >> 8))/\(two(code & 0xff))"
        case .busy: return "status=busy"
        case .taskSetFull: return "status=task-set-full"
        case .drop: return "drop"
        case .corruptDigest: return "corrupt-digest"
        case .alua(let state):
            return "alua=\(Self.accessWords.first { $0.1 == state }?.0 ?? state.rawValue)"
        }
    }

    /// From the text above.
    public init(from decoder: any Decoder) throws {
        self = try Self(parsing: decoder.singleValueContainer().decode(String.self))
    }

    /// As the text above.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Which commands a rule looks at.
public enum FaultCommands: String, Sendable, Codable, CaseIterable {
    /// Those that read the medium: READ, VERIFY, PRE-FETCH.
    case read
    /// Those that change it or flush it: WRITE, WRITE SAME, UNMAP, SYNCHRONIZE CACHE and their like.
    case write
    /// Every command, INQUIRY and TEST UNIT READY too.
    case all

    /// Whether a command is one of these.
    func include(_ descriptor: CommandDescriptorBlock) -> Bool {
        switch self {
        case .all: true
        case .read: Self.reads(descriptor)
        case .write: Self.writes(descriptor)
        }
    }

    // SBC-4 table 33 and SPC-5 annex E. In 7Fh the service action says which (bytes 8 and 9).
    private static func reads(_ descriptor: CommandDescriptorBlock) -> Bool {
        switch descriptor.byte(0) {
        case 0x08, 0x28, 0x88, 0xA8, 0x2F, 0x8F, 0xAF, 0x34, 0x90: true
        case 0x7F: [0x09, 0x0A].contains(descriptor.uint16(at: 8))
        default: false
        }
    }

    private static func writes(_ descriptor: CommandDescriptorBlock) -> Bool {
        switch descriptor.byte(0) {
        case 0x04, 0x0A, 0x2A, 0x2E, 0x35, 0x41, 0x42, 0x48, 0x83, 0x89, 0x8A, 0x8B, 0x8E, 0x91, 0x93, 0x9C, 0xAA, 0xAE:
            true
        case 0x7F: [0x0B, 0x0C, 0x0D, 0x0E].contains(descriptor.uint16(at: 8))
        default: false
        }
    }
}

/// A fault that users inject for a drill: which commands it looks at, how often it strikes, and what it does then.
public struct FaultRule: Sendable, Equatable, Codable {
    /// The volume's name; every volume when nil.
    public var volume: String?
    /// The initiator's iSCSI name; every initiator when nil.
    public var initiator: String?
    /// The portal, as `10.0.0.1:3260`; every portal when nil.
    public var portal: String?
    /// Which commands.
    public var commands: FaultCommands
    /// What happens to one that is struck.
    public var effect: FaultEffect
    /// How likely a command is struck, more than 0 and at most 1.
    public var probability: Double
    /// How often it strikes in all; without end when nil.
    public var count: Int?
    /// What the draws come from: with the same seed the same of the commands that match are struck.
    public var seed: UInt64

    /// A rule.
    public init(
        volume: String? = nil, initiator: String? = nil, portal: String? = nil, commands: FaultCommands = .all,
        effect: FaultEffect, probability: Double = 1, count: Int? = nil, seed: UInt64 = 1
    ) {
        self.volume = volume
        self.initiator = initiator
        self.portal = portal
        self.commands = commands
        self.effect = effect
        self.probability = probability
        self.count = count
        self.seed = seed
    }

    /// The longest name that a rule may give.
    private static let maximumNameBytes = 256

    /// Refuses numbers and names out of bounds: rules come over the control socket.
    func validate() throws(FaultRuleError) {
        guard probability > 0, probability <= 1 else {
            throw FaultRuleError("a probability is more than 0 and at most 1")
        }
        if let count, count < 1 { throw FaultRuleError("a count is at least 1") }
        if case .delay(let milliseconds) = effect {
            guard (1...FaultEffect.maximumDelayMilliseconds).contains(milliseconds) else {
                throw FaultRuleError("a delay is from 1ms to 24h")
            }
        }
        for name in [volume, initiator, portal] {
            guard let name else { continue }
            guard (1...Self.maximumNameBytes).contains(name.utf8.count) else {
                throw FaultRuleError("a name is 1 to \(Self.maximumNameBytes) bytes long")
            }
        }
    }
}

/// A rule as it stands in the server.
public struct FaultRuleReport: Sendable, Codable {
    /// Its number, for `storaged fault clear`.
    public var id: Int
    /// What it is.
    public var rule: FaultRule
    /// Commands that it looked at.
    public var matched: UInt64
    /// Commands that it struck.
    public var injected: UInt64
    /// Whether it will strike no more, because its count is reached.
    public var spent: Bool

    /// Whether a drill is going on by it: it can strike, or a state that it flipped may still be so.
    public var isInForce: Bool {
        if case .alua = rule.effect { return true }
        return !spent
    }
}

/// Why a rule is refused, in one line.
public struct FaultRuleError: Error, Sendable, CustomStringConvertible {
    /// The line.
    public let description: String

    /// An error of this text.
    public init(_ description: String) { self.description = description }
}

/// The draws of one rule (SplitMix64): one for every command that matches.
public struct FaultDraw: Sendable {
    private var state: UInt64
    private let probability: Double

    /// A sequence that is the same for the same seed.
    public init(seed: UInt64, probability: Double) {
        state = seed
        self.probability = probability
    }

    /// Whether the next command is struck.
    public mutating func strikes() -> Bool {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        return Double(mixed >> 11) * 0x1p-53 < probability
    }
}
