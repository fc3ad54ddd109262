/// What the data path must know of a unit, in one word that the server mirrors in an atomic.
public struct LogicalUnitFlags: OptionSet, BitwiseCopyable, Sendable {
    /// The bits below.
    public var rawValue: UInt32
    /// From bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Media commands have to go through `LogicalUnit.begin` instead of `MediaOperation.decode`.
    public static let requiresInspection = Self(rawValue: 1)
    /// D_SENSE of the Control mode page: sense data goes out in descriptor format.
    public static let descriptorSense = Self(rawValue: 2)
    /// A target port group of the unit is not active, or the unit is reserved: some nexuses have to go through
    /// `LogicalUnit.begin`. Whether one of them is meant, `LogicalUnit.isRestricted` says.
    public static let restrictsAccess = Self(rawValue: 4)
}

/// A logical unit of type direct access block device (SPC-4, SBC-3) as a state machine without I/O.
///
/// The server owns one per volume, behind one lock, and does what `begin` and `finish` say. What this gains: every rule
/// of the standards is tested without a socket or a file. What it costs: the server mirrors `flags` after each call, so
/// that reads and writes pass with an atomic look and never take the lock. An actor per unit was turned down: a hop
/// costs more than a command.
///
/// Memory: an entry for every I_T nexus present, of fixed size beside its name, and the names of the last
/// `maximumLostNexuses` that left. The server bounds how many are present.
public struct LogicalUnit: Sendable {
    /// How many departed I_T nexuses are remembered, to tell them I_T NEXUS LOSS OCCURRED when they return. One that is
    /// forgotten hears POWER ON, RESET, OR BUS DEVICE RESET OCCURRED instead, which says no less.
    public static let maximumLostNexuses = 256

    struct Nexus: Sendable {
        var information: NexusInformation
        var pending: PendingAttentions
        /// Copies that go on or have ended, for RECEIVE COPY RESULTS.
        var copies: [CopyStatus] = []
    }

    /// Who the unit is.
    public private(set) var identity: LogicalUnitIdentity
    /// The size and limits as configured. SWP set by an initiator is not in here: see `effectiveGeometry`.
    public private(set) var geometry: BlockGeometry
    /// What REPORT LUNS lists. The server sets it where the target has other units; `raise` tells the initiators.
    public var visibleUnits: [LogicalUnitNumber]
    /// Set by `fail`: what TEST UNIT READY and every command that touches the medium answer.
    public private(set) var failure: Sense?

    var mode = ModeParameters()
    /// SANITIZE and FORMAT UNIT.
    var medium = MediumState.usable
    /// See ThinProvisioning.swift.
    public internal(set) var resources: ProvisioningResources?
    var thresholdIsReached = false
    var nexuses: [NexusHandle: Nexus] = [:]
    /// The target port groups that somebody has changed (see AsymmetricAccess.swift).
    var groupAccess: [UInt16: TargetPortGroupAccess] = [:]
    /// Persistent reservations and registrations.
    public internal(set) var reservations = ReservationState()
    /// Who holds the unit by RESERVE.
    var legacyHolder: NexusHandle?
    /// Whether the server keeps reservations on stable storage: APTPL may be asked for.
    public var keepsReservations = false
    /// Changes whenever it may have changed whom a reservation keeps from what.
    public internal(set) var restrictionVersion: UInt32 = 0
    private var lost: [NexusInformation] = []
    private var nexusesWithAttention = 0

    /// A unit that nobody has spoken to since power on.
    public init(
        identity: LogicalUnitIdentity, geometry: BlockGeometry,
        visibleUnits: [LogicalUnitNumber] = [LogicalUnitNumber(0)]
    ) {
        self.identity = identity
        self.geometry = geometry
        self.visibleUnits = visibleUnits
    }

    // MARK: What the data path looks at

    /// False when media commands of every nexus may go straight from `MediaOperation.decode(cdb, geometry)`.
    public var requiresInspection: Bool { nexusesWithAttention > 0 || inspectsEverybody }

    /// False when media commands of this nexus may: another one's unit attention does not slow it down.
    public func requiresInspection(of nexus: NexusHandle) -> Bool {
        inspectsEverybody || isRestricted(nexus) || nexuses[nexus].map { !$0.pending.isEmpty } ?? false
    }

    /// Whether the state of its port or a reservation may keep a nexus from media commands.
    public func isRestricted(_ nexus: NexusHandle) -> Bool {
        !accessState(of: nexus).isActive || !isUnrestricted(nexus)
    }

    private var inspectsEverybody: Bool {
        failure != nil || mode.softwareWriteProtect || !mode.writeCacheEnabled || medium != .usable
    }

    /// WCE: writes may be acknowledged before they are on stable storage. What `begin` asks for by `.unmap` and
    /// `.extendedCopy` has to look at it.
    public var writesAreCached: Bool { mode.writeCacheEnabled }

    /// D_SENSE: pass it to `Sense.encode`.
    public var usesDescriptorSense: Bool { mode.descriptorSense }

    /// The word for an atomic that all nexuses share.
    public var flags: LogicalUnitFlags { flags(requiresInspection) }

    /// The word for an atomic of one nexus.
    public func flags(of nexus: NexusHandle) -> LogicalUnitFlags { flags(requiresInspection(of: nexus)) }

    private func flags(_ inspect: Bool) -> LogicalUnitFlags {
        var flags: LogicalUnitFlags = inspect ? .requiresInspection : []
        if mode.descriptorSense { flags.insert(.descriptorSense) }
        if restrictsAccess || isReserved { flags.insert(.restrictsAccess) }
        return flags
    }

    /// The geometry with SWP of the Control mode page taken into account.
    public var effectiveGeometry: BlockGeometry {
        var geometry = geometry
        if mode.softwareWriteProtect { geometry.isReadOnly = true }
        return geometry
    }

    // MARK: Nexuses

    /// A session reached full feature phase. A nexus that was here before hears I_T NEXUS LOSS OCCURRED with its first
    /// command, a new one POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    public mutating func nexusEstablished(_ handle: NexusHandle, _ information: NexusInformation) {
        nexusLost(handle)
        var nexus = Nexus(information: information, pending: PendingAttentions())
        if let index = lost.firstIndex(of: information) {
            lost.remove(at: index)
            nexus.pending.insert(.nexusLoss)
        } else {
            nexus.pending.insert(.powerOnOrReset)
        }
        nexusesWithAttention += 1
        nexuses[handle] = nexus
    }

    /// The session ended, by logout or otherwise. What was pending for it is forgotten. Unknown handles are ignored.
    public mutating func nexusLost(_ handle: NexusHandle) {
        guard let nexus = nexuses.removeValue(forKey: handle) else { return }
        if !nexus.pending.isEmpty { nexusesWithAttention -= 1 }
        if legacyHolder == handle { releaseLegacyReservation() }
        if lost.count == Self.maximumLostNexuses { lost.removeFirst() }
        lost.append(nexus.information)
    }

    /// The port a nexus came in by; `nil` for one that was not announced.
    func port(of nexus: NexusHandle) -> TargetPort? {
        guard let relative = nexuses[nexus]?.information.relativeTargetPort else { return nil }
        return identity.ports.first { $0.relativeIdentifier == relative }
    }

    // MARK: Unit attentions

    /// Tells every nexus present, but `except`, with its next command. Raising it twice tells it once.
    public mutating func raise(_ attention: UnitAttention, except: NexusHandle? = nil) {
        for handle in nexuses.keys where handle != except { raise(attention, for: handle) }
    }

    /// Tells one nexus. Unknown handles are ignored.
    public mutating func raise(_ attention: UnitAttention, for handle: NexusHandle) {
        guard let pending = nexuses[handle]?.pending else { return }
        if pending.isEmpty { nexusesWithAttention += 1 }
        nexuses[handle]?.pending.insert(attention)
    }

    /// What a nexus will be told next. Looking does not clear it.
    public func attention(for handle: NexusHandle) -> UnitAttention? { nexuses[handle]?.pending.first }

    /// Clears what is pending, highest priority first, and returns it.
    mutating func takeAttention(for handle: NexusHandle) -> UnitAttention? {
        guard let first = nexuses[handle]?.pending.first else { return nil }
        clear(first, for: handle)
        return first
    }

    mutating func clear(_ attention: UnitAttention, for handle: NexusHandle) {
        guard let pending = nexuses[handle]?.pending, !pending.isEmpty else { return }
        nexuses[handle]?.pending.remove(attention)
        if nexuses[handle]?.pending.isEmpty == true { nexusesWithAttention -= 1 }
    }

    // MARK: Changes from outside

    /// LOGICAL UNIT RESET (SAM-5 6.3.3): mode parameters are the default ones again, every nexus is told, the one that
    /// asked too. The server aborts the tasks.
    public mutating func logicalUnitReset() { reset(.logicalUnitReset) }

    /// The same for another reset of the 29h family, such as a target reset (`.busReset`).
    public mutating func reset(_ attention: UnitAttention) {
        mode = ModeParameters()
        // Persistent reservations outlive it.
        if legacyHolder != nil { releaseLegacyReservation() }
        raise(attention)
    }

    /// Size, limits or read-only switch changed. Tells every nexus what it has to read again.
    public mutating func changeGeometry(_ new: BlockGeometry) {
        let old = geometry
        geometry = new
        if old.blockCount != new.blockCount || old.blockLengthBytes != new.blockLengthBytes {
            raise(.capacityDataChanged)
        }
        if old.isReadOnly != new.isReadOnly { raise(.modeParametersChanged) }
        var resized = old
        resized.blockCount = new.blockCount
        resized.isReadOnly = new.isReadOnly
        if resized != new { raise(.inquiryDataChanged) }
    }

    /// Name or ports changed while sessions go on. They are not told: a portal more or less is nothing to the paths
    /// through the others, and whoever comes by it reads the pages anew.
    public mutating func changeIdentity(_ new: LogicalUnitIdentity) { identity = new }

    /// The store can no longer keep its promises (a failed fsync, say): until `recover`, TEST UNIT READY and every
    /// command that touches the medium answer CHECK CONDITION with `sense`.
    public mutating func fail(_ sense: Sense) { failure = sense }

    /// The store is whole again.
    public mutating func recover() { failure = nil }
}
