/// What a persistent reservation allows to whom: TYPE (SPC-4 table 219).
public enum ReservationType: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Write Exclusive: others may read.
    case writeExclusive = 1
    /// Exclusive Access: others may not touch the medium.
    case exclusiveAccess = 3
    /// Write Exclusive - Registrants Only: whoever is registered may write.
    case writeExclusiveRegistrantsOnly = 5
    /// Exclusive Access - Registrants Only: whoever is registered may read and write.
    case exclusiveAccessRegistrantsOnly = 6
    /// Write Exclusive - All Registrants: as registrants only, and every registrant holds it.
    case writeExclusiveAllRegistrants = 7
    /// Exclusive Access - All Registrants.
    case exclusiveAccessAllRegistrants = 8

    /// Whether whoever does not hold it may read.
    var allowsReading: Bool {
        switch self {
        case .writeExclusive, .writeExclusiveRegistrantsOnly, .writeExclusiveAllRegistrants: true
        case .exclusiveAccess, .exclusiveAccessRegistrantsOnly, .exclusiveAccessAllRegistrants: false
        }
    }

    /// Whether registered nexuses may do what the holder may.
    var includesRegistrants: Bool { self != .writeExclusive && self != .exclusiveAccess }

    /// Whether every registrant is a holder.
    var isHeldByAll: Bool { self == .writeExclusiveAllRegistrants || self == .exclusiveAccessAllRegistrants }
}

/// A registered I_T nexus.
public struct Registration: Hashable, Sendable {
    /// Who is registered.
    public var nexus: NexusInformation
    /// Its RESERVATION KEY, never 0.
    public var key: UInt64

    /// A registration.
    public init(nexus: NexusInformation, key: UInt64) {
        self.nexus = nexus
        self.key = key
    }
}

/// A persistent reservation of the whole unit (SCOPE 0, the only one there is).
public struct PersistentReservation: Hashable, Sendable {
    /// What it allows.
    public var type: ReservationType
    /// Who holds it; nil where all registrants do.
    public var holder: NexusInformation?

    /// A reservation.
    public init(type: ReservationType, holder: NexusInformation?) {
        self.type = type
        self.holder = holder
    }
}

/// Everything about a unit that persistent reservations are made of (SPC-4 5.13): what has to be on stable storage
/// before a PERSISTENT RESERVE OUT is answered, and is the same again after a restart.
public struct ReservationState: Sendable, Equatable {
    /// How many nexuses may be registered; one more is INSUFFICIENT REGISTRATION RESOURCES.
    public static let maximumRegistrations = 1024

    /// PRGENERATION: counts the changes of registrations.
    public var generation: UInt32
    /// APTPL of the last registration: whether the state outlives a loss of power.
    public var persistsThroughPowerLoss: Bool
    /// In the order they were made.
    public var registrations: [Registration]
    /// The reservation, if there is one. Its holder is registered.
    public var reservation: PersistentReservation?

    /// Nothing registered, nothing reserved.
    public init() {
        generation = 0
        persistsThroughPowerLoss = false
        registrations = []
    }

    /// The key of a nexus; nil when it is not registered.
    public func key(of nexus: NexusInformation) -> UInt64? { registrations.first { $0.nexus == nexus }?.key }

    /// Whether a nexus holds the reservation.
    public func isHolder(_ nexus: NexusInformation) -> Bool {
        guard let reservation else { return false }
        return reservation.type.isHeldByAll ? key(of: nexus) != nil : reservation.holder == nexus
    }

    /// Whether it fits what it is about: keys that are not 0, each nexus once, a holder that is registered.
    public var isConsistent: Bool {
        guard registrations.count <= Self.maximumRegistrations, registrations.allSatisfy({ $0.key != 0 }),
            Set(registrations.map(\.nexus)).count == registrations.count
        else { return false }
        guard let reservation else { return true }
        if reservation.type.isHeldByAll { return reservation.holder == nil && !registrations.isEmpty }
        return reservation.holder.map { key(of: $0) != nil } ?? false
    }
}
