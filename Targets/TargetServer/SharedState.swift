import Glibc
import ISCSI
import Logging
import Reactor
import Synchronization

/// Identifies a session (RFC 7143 section 4.4.1): the initiator port and the target port. A second login with the same key
/// reinstates the session (section 6.3.5).
struct SessionKey: Hashable, Sendable {
    var initiator: String
    var isid: ISID
    var target: String
    var portalGroupTag: UInt16
}

/// A session that has its place in the registry.
struct Session: Sendable {
    var key: SessionKey
    var tsih: UInt16
}

/// What all reactors share beside the units: who is connected, which targets there are. Everything here is control plane,
/// behind one lock; no command passes it.
final class SharedState: Sendable {
    struct Counters: ~Copyable {
        let protocolErrors = Atomic<UInt64>(0)
        let refusedConnections = Atomic<UInt64>(0)
        let staleConnections = Atomic<UInt64>(0)
        let staleCommands = Atomic<UInt64>(0)
        /// EXTENDED COPY commands under way, each of which has a thread.
        let copies = Atomic<Int>(0)
    }

    private struct Place {
        var owner: ConnectionReference
        var tsih: UInt16
        /// The connection whose login waits for the owner to be gone.
        var successor: ConnectionReference?
    }

    private struct State {
        var targets: [String: UnitRuntime] = [:]
        var places: [SessionKey: Place] = [:]
        var waiting: [ConnectionReference: SessionKey] = [:]
        var nextTSIH: UInt16 = 1
        var connections = 0
        var beforeLogin = 0
        var beforeLoginByAddress: [String: Int] = [:]
        var reactors: [ReactorThread] = []
        var isStopping = false
        /// Targets whose stores did not end their block requests before the shutdown's last deadline.
        var hungTargets: Set<String> = []
    }

    let limits: ServerLimits
    let logger: Logger
    let counters = Counters()
    /// What was changed of the access to units, and who is drained.
    let access: AccessRegistry
    let reservations: ReservationRegistry
    let faults = FaultRules()
    let loginFailures: LoginFailures
    let authentication: AuthenticationRegistry
    private let nextNexus = Atomic<UInt64>(1)
    private let state = Mutex(State())

    init(
        limits: ServerLimits, logger: Logger, access: AccessRegistry, reservations: ReservationRegistry
    ) {
        self.reservations = reservations
        self.limits = limits
        self.logger = logger
        self.access = access
        loginFailures = LoginFailures(limits)
        authentication = AuthenticationRegistry()
    }

    // MARK: Reactors

    func add(_ reactor: ReactorThread) { state.withLock { $0.reactors.append(reactor) } }

    var reactors: [ReactorThread] { state.withLock { $0.reactors } }

    func removeReactors() { state.withLock { $0.reactors.removeAll() } }

    func post(_ message: ReactorMessage, to number: Int) {
        let reactor = state.withLock { number < $0.reactors.count ? $0.reactors[number] : nil }
        reactor?.post(message)
    }

    /// Finds a reactor for a fresh socket: the one with the fewest connections. Over a bound the socket is closed.
    func assign(descriptor: Int32, portal: PortalAddress) {
        guard let peer = PeerAddress(of: descriptor) else {
            close(descriptor)
            return
        }
        if loginFailures.refuses(peer, now: monotonicNanoseconds()) {
            close(descriptor)
            return
        }
        let (reactor, refusal): (ReactorThread?, String?) = state.withLock { state in
            if state.isStopping { return (nil, nil) }
            if state.connections >= limits.connections { return (nil, "\(limits.connections) connections are open") }
            if state.beforeLogin >= limits.connectionsBeforeLogin {
                return (nil, "\(limits.connectionsBeforeLogin) connections are in login")
            }
            let fromThere = state.beforeLoginByAddress[peer.address, default: 0]
            if fromThere >= limits.connectionsBeforeLoginPerAddress {
                return (nil, "\(fromThere) connections of this address are in login")
            }
            state.connections += 1
            state.beforeLogin += 1
            state.beforeLoginByAddress[peer.address] = fromThere + 1
            let reactor = state.reactors.min { $0.load.load(ordering: .relaxed) < $1.load.load(ordering: .relaxed) }
            reactor?.load.add(1, ordering: .relaxed)
            return (reactor, nil)
        }
        guard let reactor else {
            if let refusal {
                // The first of a flood is worth a line, the rest would only fill the disk.
                let count = counters.refusedConnections.add(1, ordering: .relaxed).newValue
                if count & (count - 1) == 0 {
                    logger.warning(
                        "refused connection: \(refusal)", metadata: ["peer": "\(peer)", "refused_total": "\(count)"])
                }
            }
            close(descriptor)
            return
        }
        reactor.post(.adopt(descriptor: descriptor, portal: portal, peer: peer))
    }

    /// A connection could not be accepted for want of descriptors or memory.
    func noteShortage(errorNumber: Int32) {
        let count = counters.refusedConnections.add(1, ordering: .relaxed).newValue
        if count & (count - 1) == 0 {
            logger.error(
                "cannot accept a connection: \(unsafe String(cString: strerror(errorNumber))); raise LimitNOFILE= or lower limits:",
                metadata: ["refused_total": "\(count)"])
        }
    }

    /// A connection left login for the full feature phase.
    func loginEnded(peer: PeerAddress) { state.withLock { Self.leaveLogin(&$0, peer) } }

    private static func leaveLogin(_ state: inout State, _ peer: PeerAddress) {
        state.beforeLogin -= 1
        let left = state.beforeLoginByAddress[peer.address, default: 1] - 1
        state.beforeLoginByAddress[peer.address] = left == 0 ? nil : left
    }

    /// A connection is gone.
    func connectionEnded(peer: PeerAddress, wasLoggedIn: Bool) {
        state.withLock { state in
            state.connections -= 1
            if !wasLoggedIn { Self.leaveLogin(&state, peer) }
        }
    }

    /// Counts what was dropped unexecuted.
    func count(_ stale: StaleWork) {
        counters.staleConnections.add(UInt64(stale.connections), ordering: .relaxed)
        counters.staleCommands.add(UInt64(stale.commands), ordering: .relaxed)
    }

    /// The target's store hangs while the server shuts down; false when that was known.
    func noteHung(_ target: String) -> Bool { state.withLock { $0.hungTargets.insert(target).inserted } }

    /// Whether it does.
    func isHung(_ target: String) -> Bool { state.withLock { $0.hungTargets.contains(target) } }

    /// From now on no connection is taken in.
    func stopAccepting() { state.withLock { $0.isStopping = true } }

    // MARK: Targets

    func target(_ name: String) -> UnitRuntime? { state.withLock { $0.targets[name] } }

    var targets: [UnitRuntime] {
        state.withLock { $0.targets.values.sorted { $0.target.volumeName < $1.target.volumeName } }
    }

    func add(_ unit: UnitRuntime) { state.withLock { $0.targets[unit.target.name] = unit } }

    /// Whether it matters who an initiator is: somebody may not see something, or has to prove who he is.
    var isRestricted: Bool {
        authentication.isRequired || state.withLock { $0.targets.values.contains { $0.target.initiators != nil } }
    }

    func removeTarget(_ name: String) { state.withLock { $0.targets[name] = nil } }

    /// Has the tasks of a unit ended on every reactor but for one connection's.
    func abortTasks(unit: UnitRuntime, except: ConnectionReference, _ barrier: Barrier) {
        for reactor in reactors {
            barrier.enter()
            reactor.post(.abortTasks(unit: unit, except: except, barrier))
        }
    }

    /// Tells every unit whether fault rules are about it.
    func publishFaults() {
        for unit in targets { unit.publish(injectsFaults: faults.concern(volume: unit.target.volumeName)) }
    }

    // MARK: Sessions

    func newNexus() -> UInt64 { nextNexus.add(1, ordering: .relaxed).oldValue }

    /// What came of asking for a session's place.
    enum Claim { case granted(tsih: UInt16), waits }

    /// Takes the place of a session. Where an older one has it, that one is told to end, and the claim is granted by
    /// message once nothing of it is in flight any more: no write of the old session may come after the new login.
    func claim(_ key: SessionKey, by reference: ConnectionReference) -> Claim {
        var toClose: [ConnectionReference] = []
        let claim: Claim = state.withLock { state in
            guard var place = state.places[key] else {
                let tsih = Self.takeTSIH(&state)
                state.places[key] = Place(owner: reference, tsih: tsih, successor: nil)
                return .granted(tsih: tsih)
            }
            toClose.append(place.owner)
            if let earlier = place.successor {
                toClose.append(earlier)
                state.waiting[earlier] = nil
            }
            place.successor = reference
            state.places[key] = place
            state.waiting[reference] = key
            return .waits
        }
        for owner in toClose { post(.close(owner, .reinstated), to: owner.reactor) }
        return claim
    }

    private static func takeTSIH(_ state: inout State) -> UInt16 {
        let tsih = state.nextTSIH
        state.nextTSIH = state.nextTSIH == UInt16.max ? 1 : state.nextTSIH + 1
        return tsih
    }

    /// A session is over, with nothing of it in flight; its successor, if any, may go on.
    func sessionEnded(_ session: Session, _ reference: ConnectionReference) {
        let granted: (ConnectionReference, UInt16)? = state.withLock { state in
            guard let place = state.places[session.key], place.owner == reference else { return nil }
            guard let successor = place.successor else {
                state.places[session.key] = nil
                return nil
            }
            state.waiting[successor] = nil
            let tsih = Self.takeTSIH(&state)
            state.places[session.key] = Place(owner: successor, tsih: tsih, successor: nil)
            return (successor, tsih)
        }
        if let (successor, tsih) = granted { post(.loginGranted(successor, tsih: tsih), to: successor.reactor) }
    }

    /// A connection went away while its login waited, or was granted a place it never took.
    func forgetClaim(of reference: ConnectionReference) {
        let abandoned: SessionKey? = state.withLock { state in
            if let key = state.waiting.removeValue(forKey: reference) {
                if state.places[key]?.successor == reference { state.places[key]?.successor = nil }
                return nil
            }
            return state.places.first { $0.value.owner == reference }?.key
        }
        if let abandoned { sessionEnded(Session(key: abandoned, tsih: 0), reference) }
    }

    func hasSession(tsih: UInt16, isid: ISID) -> Bool {
        state.withLock { $0.places.contains { $0.value.tsih == tsih && $0.key.isid == isid } }
    }

    /// The connections of the sessions that `isMeant` picks.
    func owners(where isMeant: (SessionKey) -> Bool) -> [ConnectionReference] {
        let places = state.withLock { $0.places }
        return places.filter { isMeant($0.key) }.map(\.value.owner)
    }

    /// Whose sessions a target has, each once, in order.
    func initiators(of target: String) -> [String] {
        state.withLock { Set($0.places.keys.filter { $0.target == target }.map(\.initiator)) }.sorted()
    }

    /// Ends all sessions of a target.
    func closeSessions(of target: String, _ reason: CloseReason) {
        let owners = state.withLock { $0.places.filter { $0.key.target == target }.map(\.value.owner) }
        for owner in owners { post(.close(owner, reason), to: owner.reactor) }
    }

    /// Ends all sessions that came through these portal groups of a target.
    func closeSessions(of target: String, tags: Set<UInt16>, _ reason: CloseReason) {
        let owners = state.withLock {
            $0.places.filter { $0.key.target == target && tags.contains($0.key.portalGroupTag) }.map(\.value.owner)
        }
        for owner in owners { post(.close(owner, reason), to: owner.reactor) }
    }
}
