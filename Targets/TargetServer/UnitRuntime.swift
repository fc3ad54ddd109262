import BlockStore
import Dispatch
import SCSI
import Synchronization

/// A logical unit as all reactors share it: the SCSI state machine behind one lock, and what the data path reads
/// without it.
///
/// Reads and writes look at two atomics only; while no unit attention is pending and nothing is reserved they never take
/// the lock.
final class UnitRuntime: Sendable {
    let store: BlockStore
    /// By which writes are made whole; without one they are not offered.
    let journal: AtomicJournal?
    /// Lets one command have the unit to itself.
    let gate = UnitGate()
    /// For questions to the file system that it may take its time to answer: no reactor waits for them, nor another unit.
    let inspection = DispatchQueue(label: "inspection")
    /// Commands whose questions wait there.
    let inspections = Atomic<Int>(0)
    let isLookingAtSpace = Atomic<Bool>(false)
    private let configuration: Mutex<TargetConfiguration>
    private let unit: Mutex<LogicalUnit>
    private let flags = Atomic<UInt32>(0)
    private let injectsFaults = Atomic<Bool>(false)
    private let geometryVersion = Atomic<UInt32>(0)
    private let accessVersion = Atomic<UInt32>(0)

    let readCommands = Atomic<UInt64>(0)
    let readBytes = Atomic<UInt64>(0)
    let writeCommands = Atomic<UInt64>(0)
    let writeBytes = Atomic<UInt64>(0)
    let commands = Atomic<UInt64>(0)
    let ioErrors = Atomic<UInt64>(0)
    let aborts = Atomic<UInt64>(0)

    init(_ target: TargetConfiguration, journal: AtomicJournal? = nil) {
        configuration = Mutex(target)
        store = target.store
        self.journal = journal
        let geometry = Self.geometry(target, isAtomic: journal != nil)
        unit = Mutex(LogicalUnit(identity: Self.identity(target), geometry: geometry))
    }

    /// States that fault rules have flipped, by group; they go before those that were set.
    private let flips = Mutex<[UInt16: (rule: Int, state: AccessState)]>([:])

    /// Flips a group into a state, or back; `setAccess` makes it so.
    func flip(_ group: UInt16, rule: Int, _ state: AccessState) {
        flips.withLock { $0[group] = $0[group] == nil ? (rule, state) : nil }
    }

    /// Forgets what these rules flipped; whether there was anything.
    func endFlips(of rules: Set<Int>) -> Bool {
        flips.withLock { flips in
            let before = flips.count
            flips = flips.filter { !rules.contains($0.value.rule) }
            return flips.count != before
        }
    }

    /// Gives the unit's target port groups their states (`LogicalUnit.changeAccess`).
    func setAccess(_ access: [UInt16: TargetPortGroupAccess], from nexus: NexusHandle? = nil) {
        var access = access
        for (group, flip) in flips.withLock({ $0 }) {
            access[group] = TargetPortGroupAccess(flip.state.asymmetricAccess, .alteredImplicitly)
        }
        withUnit { $0.changeAccess(access, from: nexus) }
        accessVersion.add(1, ordering: .releasing)
    }

    /// Changes with every change of the states or ports, so that a connection knows when what it made of them is stale.
    @inline(__always)
    var currentAccessVersion: UInt32 { accessVersion.load(ordering: .acquiring) }

    /// The target as it is configured now. Control plane only.
    var target: TargetConfiguration { configuration.withLock { $0 } }

    /// Takes over what may change under sessions: portals and names. The medium stays the same.
    func change(to new: TargetConfiguration) {
        configuration.withLock { $0 = new }
        withUnit { $0.changeIdentity(Self.identity(new)) }
    }

    /// What the unit is with this configuration.
    func geometry(as target: TargetConfiguration) -> BlockGeometry { Self.geometry(target, isAtomic: journal != nil) }

    private static func geometry(_ target: TargetConfiguration, isAtomic: Bool) -> BlockGeometry {
        // A file opened for reading has holes as any other; only nobody may make one.
        let isThin = target.store.canPunchHoles || target.store.isReadOnly && !target.store.isBlockDevice
        var geometry = BlockGeometry(
            blockLengthBytes: UInt32(target.blockLengthBytes),
            blockCount: target.store.lengthBytes / UInt64(target.blockLengthBytes),
            isReadOnly: target.isReadOnly || target.store.isReadOnly, isThin: isThin,
            reportsResources: !target.store.isBlockDevice)
        if isAtomic { geometry.maximumAtomicBlocks = UInt32(AtomicJournal.maximumBytes / target.blockLengthBytes) }
        return geometry
    }

    private static func identity(_ target: TargetConfiguration) -> LogicalUnitIdentity {
        LogicalUnitIdentity(
            naaIdentifier: target.wwid, serialNumber: String(target.wwid, radix: 16), vendor: "STORAGED",
            product: String(target.volumeName.prefix(16)), revision: "1",
            targetName: target.name,
            ports: target.portalGroups.map { TargetPort(relativeIdentifier: $0.tag, groupIdentifier: $0.group) })
    }

    /// Whether media commands have to ask the logical unit first, and how sense data is encoded.
    @inline(__always)
    var currentFlags: LogicalUnitFlags { LogicalUnitFlags(rawValue: flags.load(ordering: .acquiring)) }

    /// For the gate alone.
    func setGated(_ isGated: Bool) {
        if isGated {
            flags.bitwiseOr(LogicalUnitFlags.gated.rawValue, ordering: .releasing)
        } else {
            flags.bitwiseAnd(~LogicalUnitFlags.gated.rawValue, ordering: .releasing)
        }
    }

    /// Changes with every change of the geometry, so that a connection knows when its copy is stale.
    @inline(__always)
    var currentGeometryVersion: UInt32 { geometryVersion.load(ordering: .acquiring) }

    /// Runs `body` with the logical unit, and publishes afterwards what the data path has to know.
    func withUnit<Result: Sendable>(_ body: (inout sending LogicalUnit) -> sending Result) -> Result {
        unit.withLock { unit in
            let before = unit.effectiveGeometry
            let restrictions = unit.restrictionVersion
            let result = body(&unit)
            // Before the flags: whoever sees a new flag has to see that what it knew of itself is stale.
            if unit.restrictionVersion != restrictions { accessVersion.add(1, ordering: .releasing) }
            if unit.effectiveGeometry != before { geometryVersion.add(1, ordering: .releasing) }
            var published = unit.flags
            if injectsFaults.load(ordering: .relaxed) { published.insert(.injectsFaults) }
            // The gate's bit stays as it is. For a moment bits of before and after may both be set, which only sends a
            // command the slow way.
            flags.bitwiseOr(published.rawValue, ordering: .releasing)
            flags.bitwiseAnd(published.union(.gated).rawValue, ordering: .releasing)
            return result
        }
    }

    /// Whether fault rules look at its commands.
    func publish(injectsFaults injects: Bool) { withUnit { _ in injectsFaults.store(injects, ordering: .relaxed) } }
}
