import ISCSI
import SCSI

/// A unit's reservations as they lie on stable storage: lines of text, the last of which is a checksum.
///
///     storaged.reservations/1
///     unit 336132d69e465b57d
///     boot 6f1c2a9e-...               the boot of the machine (boot_id) that this was written in
///     generation 12                   PRGENERATION
///     aptpl 1                         whether it outlives a loss of power
///     registration 0000000000000abc 9385 iqn.2026-01.net.example:client0,i,0x00023d000001
///     reservation 5 9385 iqn.2026-01.net.example:client0,i,0x00023d000001
///     crc32c 1f2e3d4c                 of all bytes before this line
///
/// A reservation that all registrants hold has no holder after its type (SPC-4 table 219).
public struct ReservationRecord: Sendable, Equatable {
    /// The first line; a reader that does not know it changes nothing.
    public static let schema = "storaged.reservations/1"
    /// No record is longer: every registration with the longest name.
    public static let limitBytes = 512 << 10

    /// The unit's WWID with its designator type, 17 hexadecimal digits.
    public var unit: String
    /// `boot_id` of the machine.
    public var boot: String
    /// What is kept.
    public var state: ReservationState

    /// Why a record cannot be used.
    public struct Flaw: Error, Sendable, CustomStringConvertible {
        /// What is wrong with it.
        public let description: String
    }

    /// A record of a state.
    public init(unit: String, boot: String, state: ReservationState) {
        self.unit = unit
        self.boot = boot
        self.state = state
    }

    /// The bytes to be kept.
    public var encoded: [UInt8] {
        var lines = [
            Self.schema, "unit \(unit)", "boot \(boot)", "generation \(state.generation)",
            "aptpl \(state.persistsThroughPowerLoss ? 1 : 0)",
        ]
        for registration in state.registrations {
            lines.append("registration \(Self.digits(registration.key, 16)) \(Self.text(registration.nexus))")
        }
        if let reservation = state.reservation {
            let holder = reservation.holder.map { " " + Self.text($0) } ?? ""
            lines.append("reservation \(reservation.type.rawValue)\(holder)")
        }
        let body = Array((lines.joined(separator: "\n") + "\n").utf8)
        return body + Array("crc32c \(Self.digits(UInt64(Self.checksum(body)), 8))\n".utf8)
    }

    /// Reads a record; anything that is not exactly what `encoded` makes is a flaw.
    public init(decoding bytes: [UInt8]) throws(Flaw) {
        guard bytes.count <= Self.limitBytes else { throw Flaw(description: "it is too large") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Flaw(description: "it is no text") }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first.map(String.init) == Self.schema else {
            let known = lines.first.map { $0.hasPrefix("storaged.reservations/") } ?? false
            throw Flaw(description: known ? "a newer version wrote it" : "it is no \(Self.schema)")
        }
        guard lines.popLast() == "", let last = lines.popLast(), last.hasPrefix("crc32c ") else {
            throw Flaw(description: "its end is missing")
        }
        let body = Array((lines.joined(separator: "\n") + "\n").utf8)
        guard last == "crc32c \(Self.digits(UInt64(Self.checksum(body)), 8))" else {
            throw Flaw(description: "its checksum is wrong")
        }
        self.init(unit: "", boot: "", state: ReservationState())
        for line in lines.dropFirst() {
            let fields = line.split(separator: " ").map(String.init)
            guard try read(fields) else { throw Flaw(description: "it has a line that means nothing: \(line)") }
        }
        guard state.isConsistent else { throw Flaw(description: "what it says contradicts itself") }
        // A line that is missing, or there twice, is a state that nobody has acknowledged.
        guard encoded == bytes else { throw Flaw(description: "it is not as storaged writes it") }
    }

    private mutating func read(_ fields: [String]) throws(Flaw) -> Bool {
        switch (fields.first, fields.count) {
        case ("unit", 2): unit = fields[1]
        case ("boot", 2): boot = fields[1]
        case ("generation", 2):
            guard let number = UInt32(fields[1]) else { return false }
            state.generation = number
        case ("aptpl", 2):
            guard fields[1] == "0" || fields[1] == "1" else { return false }
            state.persistsThroughPowerLoss = fields[1] == "1"
        case ("registration", 4):
            guard let key = UInt64(fields[1], radix: 16), let port = UInt16(fields[2]) else { return false }
            let nexus = NexusInformation(initiatorPortName: fields[3], relativeTargetPort: port)
            state.registrations.append(Registration(nexus: nexus, key: key))
        case ("reservation", 2), ("reservation", 4):
            guard let number = UInt8(fields[1]), let type = ReservationType(rawValue: number) else { return false }
            var holder: NexusInformation?
            if fields.count == 4 {
                guard let port = UInt16(fields[2]) else { return false }
                holder = NexusInformation(initiatorPortName: fields[3], relativeTargetPort: port)
            }
            state.reservation = PersistentReservation(type: type, holder: holder)
        default: return false
        }
        return true
    }

    /// The state that holds now: all of it after a restart of the daemon alone; after a boot of the machine, which to
    /// initiators is a loss of power, what was registered with APTPL (SPC-4 5.13.5).
    public func state(atBoot now: String) -> ReservationState {
        if now == boot { return state }
        guard state.persistsThroughPowerLoss else { return ReservationState() }
        var kept = state
        kept.generation = 0
        return kept
    }

    private static func text(_ nexus: NexusInformation) -> String {
        "\(nexus.relativeTargetPort) \(nexus.initiatorPortName)"
    }

    private static func digits(_ value: UInt64, _ count: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, count - digits.count)) + digits
    }

    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var digest = RunningDigest()
        unsafe bytes.withUnsafeBytes { buffer in
            if let base = buffer.baseAddress { unsafe digest.update(base, buffer.count) }
        }
        return digest.final
    }
}

/// Where reservations outlive the daemon.
public struct ReservationKeeper: Sendable {
    /// Reads a unit's; an error where there is something that cannot be understood, for it may be somebody's fence.
    public var read: @Sendable (TargetConfiguration) throws(ServerError) -> ReservationState
    /// Puts a unit's on stable storage, or throws and leaves what there was.
    public var keep: @Sendable (TargetConfiguration, ReservationState) throws(ServerError) -> Void

    /// A keeper.
    public init(
        read: @escaping @Sendable (TargetConfiguration) throws(ServerError) -> ReservationState,
        keep: @escaping @Sendable (TargetConfiguration, ReservationState) throws(ServerError) -> Void
    ) {
        self.read = read
        self.keep = keep
    }
}
