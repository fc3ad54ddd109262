import BlockStore
import CLinux
import Dispatch
import Glibc
import Logging
import Reactor
import SCSI
import Synchronization

/// The whole of a storage host's service: portals, targets, sessions, and the reactor threads that carry them.
public final class TargetServer: Sendable {
    private struct State {
        var configuration: ServerConfiguration
        var startedAt: Int64 = 0
        var isRunning = false
    }

    let shared: SharedState
    let logger: Logger
    private let state: Mutex<State>
    private let journal: @Sendable (TargetConfiguration) throws(ServerError) -> AtomicJournal?
    private let spaceWatch = SpaceWatch()

    /// Prepares a server; nothing is opened yet. Contradictions in the configuration are errors.
    ///
    /// - Parameters:
    ///   - access: What was changed of the access to the units before this server began.
    ///   - keepAccess: Puts changed settings on stable storage before they count, or throws. Called by one thread at a
    ///     time, never by one that serves I/O.
    ///   - reservations: Where persistent reservations outlive the server; nil to forget them with it.
    ///   - journal: A unit's journal; nil where WRITE ATOMIC is not to be offered.
    public init(
        configuration: ServerConfiguration, logger: Logger, access: AccessSettings = AccessSettings(),
        keepAccess: @escaping @Sendable (AccessSettings) throws(ServerError) -> Void = { (_) throws(ServerError) in },
        reservations: ReservationKeeper? = nil,
        journal: @escaping @Sendable (TargetConfiguration) throws(ServerError) -> AtomicJournal? = {
            (_) throws(ServerError) in nil
        }
    ) throws(ServerError) {
        try Self.validate(configuration)
        shared = SharedState(
            limits: configuration.limits, logger: logger, access: AccessRegistry(access, keeper: keepAccess),
            reservations: ReservationRegistry(keeper: reservations))
        shared.authentication.set(configuration.authentication)
        self.logger = logger
        self.journal = journal
        state = Mutex(State(configuration: configuration))
    }

    private static func validate(_ configuration: ServerConfiguration) throws(ServerError) {
        var names = Set<String>()
        for target in configuration.targets {
            guard names.insert(target.name).inserted else {
                throw ServerError(
                    operation: "configure", object: target.name, cause: "two volumes have this target name",
                    advice: "give one of them a `target:` of its own")
            }
            let blocks = target.store.lengthBytes / UInt64(target.blockLengthBytes)
            guard blocks > 0, target.store.lengthBytes % UInt64(target.blockLengthBytes) == 0 else {
                throw ServerError(
                    operation: "configure", object: target.volumeName,
                    cause: "\(target.store.path) is not a whole number of \(target.blockLengthBytes)-byte blocks",
                    advice: "correct the size or the block size")
            }
            for group in target.portalGroups where !configuration.portals.contains(group.portal) {
                throw ServerError(
                    operation: "configure", object: target.volumeName,
                    cause: "it names portal \(group.portal), which this host does not have", advice: "list the portal")
            }
        }
    }

    /// Starts the reactor threads and then opens the portals. When a portal cannot be opened, none is, and the threads
    /// are ended again.
    public func start() throws(ServerError) {
        let configuration = state.withLock { $0.configuration }
        let states = try reservationStates(of: configuration.targets)
        let journals = try journals(of: configuration.targets)
        shared.access.whileUnchanged { settings in
            for target in configuration.targets { add(target, settings, states[target.name], journals[target.name]) }
        }
        let count = configuration.limits.reactors > 0 ? configuration.limits.reactors : Self.usableProcessors()
        for number in 0..<count { try startReactor(number, configuration.limits) }
        do throws(ServerError) {
            try open(configuration.portals)
        } catch {
            stopReactors()
            throw error
        }
        if !spaceWatch.start(shared) { logger.error("nobody watches for file systems that run low: no thread for it") }
        state.withLock {
            $0.startedAt = monotonicNanoseconds()
            $0.isRunning = true
        }
    }

    /// What is kept of the units' reservations, by target.
    private func reservationStates(
        of targets: [TargetConfiguration]
    ) throws(ServerError) -> [String: ReservationState] {
        var states: [String: ReservationState] = [:]
        for target in targets { states[target.name] = try shared.reservations.state(of: target) }
        return states
    }

    /// The journals of writable units, by target; what was left half done by a daemon before this one is done.
    private func journals(of targets: [TargetConfiguration]) throws(ServerError) -> [String: AtomicJournal] {
        var journals: [String: AtomicJournal] = [:]
        for target in targets where !target.store.isReadOnly {
            guard let journal = try journal(target) else { continue }
            let bytes = try journal.recover(target.store)
            if bytes > 0 { logger.notice("\(target.volumeName): a WRITE ATOMIC of \(bytes) bytes was finished") }
            journals[target.name] = journal
        }
        return journals
    }

    /// Serves a unit, with its reservations and the states that were set for its ports from the first command on.
    private func add(
        _ target: TargetConfiguration, _ settings: AccessSettings, _ reservations: ReservationState?,
        _ journal: AtomicJournal?
    ) {
        let unit = UnitRuntime(target, journal: journal)
        unit.withUnit { unit in
            unit.keepsReservations = shared.reservations.keeper != nil
            if let reservations { unit.restore(reservations) }
        }
        unit.setAccess(settings.access(of: target))
        unit.takeSpace(shared.limits, logger)
        shared.add(unit)
    }

    /// Processors that this process may run on.
    static func usableProcessors() -> Int {
        Int(rack_usable_processors())
    }

    private func startReactor(_ number: Int, _ limits: ServerLimits) throws(ServerError) {
        let ready = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<ReactorThread, RingError>?>(nil)
        let (shared, logger) = (shared, logger)
        let started = Thread.start(name: "reactor-\(number)") {
            do throws(RingError) {
                let reactor = try ReactorThread(number: number, shared: shared, logger: logger, limits: limits)
                outcome.withLock { $0 = .success(reactor) }
                ready.signal()
                reactor.run()
            } catch {
                outcome.withLock { $0 = .failure(error) }
                ready.signal()
            }
        }
        guard started else {
            throw ServerError(
                operation: "start", object: "reactor thread", cause: "the system gives no thread",
                advice: "raise TasksMax= in the unit, or use fewer reactors")
        }
        ready.wait()
        switch outcome.withLock({ $0 }) {
        case .success(let reactor): shared.add(reactor)
        case .failure(let error):
            stopReactors()
            throw ServerError(
                operation: "start", object: "reactor", cause: error.description, advice: "then start storaged again")
        case nil: preconditionFailure("the thread signalled without a result")
        }
    }

    private func stopReactors() {
        for reactor in shared.reactors { reactor.post(.stop) }
        shared.removeReactors()
    }

    private func open(_ portals: [PortalAddress]) throws(ServerError) {
        var descriptors: [(Int32, PortalAddress)] = []
        for portal in portals {
            do throws(ServerError) {
                descriptors.append((try Listener.open(portal), portal))
            } catch {
                for (descriptor, _) in descriptors { close(descriptor) }
                throw error
            }
        }
        for (descriptor, portal) in descriptors {
            shared.post(.listen(descriptor: descriptor, portal: portal), to: 0)
        }
    }

    // MARK: Changes

    /// Brings the server to another configuration by the difference alone: sessions of targets that stay are not touched.
    /// Returns what changed, in words; throws before anything is changed.
    ///
    /// - Parameter goodbyeSeconds: How long the initiators of units that go have to log out after they were asked; with 0
    ///   they are told and cut off at once.
    public func apply(_ configuration: ServerConfiguration, goodbyeSeconds: Int = 0) throws(ServerError) -> [String] {
        try Self.validate(configuration)
        let old = state.withLock { $0.configuration }
        var changes: [String] = []

        let addedPortals = configuration.portals.filter { !old.portals.contains($0) }
        let removedPortals = old.portals.filter { !configuration.portals.contains($0) }
        let new = configuration.targets.filter { new in
            !old.targets.contains { $0.name == new.name && !isLost($0, in: configuration) }
        }
        let states = try reservationStates(of: new)
        let journals = try journals(of: new)
        try open(addedPortals)
        if goodbyeSeconds > 0 {
            sayGoodbye(to: old.targets.filter { isLost($0, in: configuration) }, withinSeconds: goodbyeSeconds)
            sayGoodbyeToExcluded(by: configuration, withinSeconds: goodbyeSeconds)
        }
        defer { shared.access.setLeaving([]) }
        // Before units change: no login is judged by new rights and old secrets.
        if shared.authentication.set(configuration.authentication) {
            changes.append("authentication changed; new logins are judged by it")
        }
        changes += addedPortals.map { "portal \($0) opened" }

        for portal in removedPortals {
            wait { barrier in shared.post(.stopListening(portal, barrier), to: 0) }
            changes.append("portal \(portal) closed")
        }
        for target in old.targets {
            guard let new = configuration.targets.first(where: { $0.name == target.name }) else {
                shared.removeTarget(target.name)
                shared.closeSessions(of: target.name, .targetRemoved)
                changes.append("volume \(target.volumeName) removed")
                continue
            }
            changes += change(target, new, states[new.name], journals[new.name])
        }
        for target in configuration.targets where !old.targets.contains(where: { $0.name == target.name }) {
            shared.access.whileUnchanged { add(target, $0, states[target.name], journals[target.name]) }
            changes.append("volume \(target.volumeName) added")
        }
        state.withLock { $0.configuration = configuration }
        if !configuration.allowsFaults { changes += clearFaults(nil).map { "fault rule \($0.id) cleared" } }
        shared.publishFaults()
        return changes
    }

    private func change(
        _ old: TargetConfiguration, _ new: TargetConfiguration, _ reservations: ReservationState?,
        _ journal: AtomicJournal?
    ) -> [String] {
        var changes: [String] = []
        let lost = old.portalGroups.filter { group in
            !new.portalGroups.contains { $0.portal == group.portal && $0.tag == group.tag }
        }
        let isMoved = new.portalGroups.contains { group in
            old.portalGroups.contains { $0.tag == group.tag && $0.group != group.group }
        }
        if old.store !== new.store || old.wwid != new.wwid || old.blockLengthBytes != new.blockLengthBytes
            || old.portalGroups != new.portalGroups || old.volumeName != new.volumeName
            || old.initiators != new.initiators
        {
            // Another medium or identity: what sessions knew of it is void. Other portals alone leave them be.
            let isSameMedium =
                old.store === new.store && old.wwid == new.wwid && old.blockLengthBytes == new.blockLengthBytes
            if isSameMedium, let unit = shared.target(old.name) {
                unit.change(to: new)
                shared.access.whileUnchanged { unit.setAccess($0.access(of: new)) }
                // A port in another group: its initiators have to read page 83h anew.
                if isMoved { unit.withUnit { $0.raise(.inquiryDataChanged) } }
                shared.closeSessions(of: old.name, tags: Set(lost.map(\.tag)), .portalRemoved)
                for owner in shared.owners(where: { $0.target == new.name && !new.isVisible(to: $0.initiator) }) {
                    shared.post(.close(owner, .accessWithdrawn), to: owner.reactor)
                }
            } else {
                shared.access.whileUnchanged { add(new, $0, reservations, journal) }
                shared.closeSessions(of: old.name, .targetRemoved)
            }
            changes.append("volume \(new.volumeName) changed")
        }
        guard let unit = shared.target(new.name) else { return changes }
        let geometry = unit.geometry(as: new)
        let before = unit.withUnit { unit in
            let before = unit.geometry
            if before != geometry { unit.changeGeometry(geometry) }
            return before
        }
        if before.blockCount != geometry.blockCount { changes.append("volume \(new.volumeName) resized") }
        if before.isReadOnly != geometry.isReadOnly {
            changes.append("volume \(new.volumeName) is now \(geometry.isReadOnly ? "read-only" : "writable")")
        }
        return changes
    }

    private func wait(_ body: (Barrier) -> Void) {
        let done = DispatchSemaphore(value: 0)
        body(Barrier { done.signal() })
        done.wait()
    }

    /// Whether the configuration allows fault rules.
    var allowsFaults: Bool { state.withLock { $0.configuration.allowsFaults } }

    /// Whether there is a volume of this name.
    func serves(volume: String) -> Bool {
        state.withLock { $0.configuration.targets.contains { $0.volumeName == volume } }
    }

    /// Whether there is such a portal, as `10.0.0.1:3260`.
    func serves(portal: String) -> Bool {
        state.withLock { $0.configuration.portals.contains { $0.description == portal } }
    }

    // MARK: Looking

    /// What the server is doing now.
    public func snapshot() -> ServerSnapshot {
        let (configuration, startedAt) = state.withLock { ($0.configuration, $0.startedAt) }
        let done = DispatchSemaphore(value: 0)
        let collector = SnapshotCollector(barrier: Barrier { done.signal() })
        let reactors = shared.reactors
        for reactor in reactors {
            collector.barrier.enter()
            reactor.post(.snapshot(collector))
        }
        collector.barrier.leave()
        done.wait()
        let parts = collector.parts.withLock { $0 }
        let sessions = parts.flatMap(\.sessions)
        return ServerSnapshot(
            hostName: configuration.hostName,
            uptimeSeconds: startedAt == 0 ? 0 : Int((monotonicNanoseconds() - startedAt) / 1_000_000_000),
            portals: configuration.portals.map { portal in
                PortalSnapshot(
                    address: portal.description,
                    connections: parts.reduce(0) { $0 + $1.connectionsByPortal[portal, default: 0] })
            },
            targets: shared.targets.map { unit in
                snapshot(unit, sessions.filter { $0.target == unit.target.name }.map(\.session))
            },
            connectionsBeforeLogin: parts.reduce(0) { $0 + $1.connectionsBeforeLogin },
            loginFailures: shared.loginFailures.total,
            loginFailuresByReason: shared.loginFailures.countsByReason,
            addressesRefused: shared.loginFailures.refusedAddresses(now: monotonicNanoseconds()),
            protocolErrors: shared.counters.protocolErrors.load(ordering: .relaxed),
            staleConnectionsDropped: shared.counters.staleConnections.load(ordering: .relaxed),
            staleCommandsDropped: shared.counters.staleCommands.load(ordering: .relaxed),
            payloadBytesInUse: parts.reduce(0) { $0 + $1.payloadBytesInUse }, reactors: reactors.count,
            engine: "io_uring", drains: shared.access.settings.drains, faults: shared.faults.reports)
    }

    private func snapshot(_ unit: UnitRuntime, _ sessions: [SessionSnapshot]) -> TargetSnapshot {
        let target = unit.target
        let (geometry, resources, isLow) = unit.withUnit { ($0.geometry, $0.resources, $0.hasReachedThreshold) }
        return TargetSnapshot(
            name: target.name, volume: target.volumeName, path: target.store.path,
            wwid: "3" + String(target.wwid, radix: 16),
            sizeBytes: geometry.blockCount * UInt64(target.blockLengthBytes),
            blockLengthBytes: target.blockLengthBytes, readOnly: geometry.isReadOnly, failed: target.store.hasFailed,
            availableBytes: resources?.availableBytes, usedBytes: resources?.usedBytes, isLowOnSpace: isLow,
            readCommands: unit.readCommands.load(ordering: .relaxed),
            readBytes: unit.readBytes.load(ordering: .relaxed),
            writeCommands: unit.writeCommands.load(ordering: .relaxed),
            writeBytes: unit.writeBytes.load(ordering: .relaxed), commands: unit.commands.load(ordering: .relaxed),
            ioErrors: unit.ioErrors.load(ordering: .relaxed), aborts: unit.aborts.load(ordering: .relaxed),
            portGroups: portGroups(target), reservations: ReservationSnapshot(unit.withUnit { $0.reservations }),
            sessions: sessions.sorted { ($0.initiator, $0.portal, $0.isid) < ($1.initiator, $1.portal, $1.isid) })
    }

    private func portGroups(_ target: TargetConfiguration) -> [PortGroupSnapshot] {
        let settings = shared.access.settings
        let access = settings.access(of: target)
        return Set(target.portalGroups.map(\.group)).sorted().map { group in
            PortGroupSnapshot(
                group: group, portals: target.portalGroups.filter { $0.group == group }.map(\.portal.description),
                state: AccessState((access[group] ?? .initial).state),
                isDrained: settings.drains.contains { $0.covers(target, group: group) })
        }
    }

    // MARK: Ending

    /// Closes the portals, answers what is in flight, tells the initiators, flushes the stores, ends the threads. Takes
    /// at most the configured drain time and the flush. Blocks until it is done.
    public func shutDown() {
        let configuration = state.withLock { state in
            defer { state.isRunning = false }
            return state.configuration
        }
        spaceWatch.end()
        shared.stopAccepting()
        for portal in configuration.portals {
            wait { barrier in shared.post(.stopListening(portal, barrier), to: 0) }
        }
        let deadline = monotonicNanoseconds() + Int64(configuration.limits.drainSeconds) * 1_000_000_000
        let done = DispatchSemaphore(value: 0)
        let barrier = Barrier { done.signal() }
        for reactor in shared.reactors {
            barrier.enter()
            reactor.post(.drain(deadlineNanoseconds: deadline, barrier))
        }
        barrier.leave()
        done.wait()
        // A flush of a store that hangs would never come back.
        for unit in shared.targets where !unit.store.isReadOnly && !shared.isHung(unit.target.name) {
            do {
                try unit.store.flush()
            } catch {
                logger.error("flush at shutdown failed: \(error)")
            }
        }
        stopReactors()
    }
}
