import Glibc
import ISCSI
import Logging
import Reactor
import Synchronization

/// What a completion is about, in the top byte of its token.
enum TokenKind: UInt8 {
    case wakeup = 1
    case accept = 2
    case receive = 3
    case send = 4
    case block = 5
}

@inline(__always)
func token(_ kind: TokenKind, _ index: Int, generation: UInt32 = 0) -> UInt64 {
    UInt64(kind.rawValue) << 56 | UInt64(generation & 0xff_ffff) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
}

/// One thread that serves the connections given to it from accept to close: it alone touches them, its ring, its
/// payload pool and its block requests, so none of those has a lock. Other threads reach it through its inbox.
///
/// What it gains: a command crosses no thread between the socket and the file and back. What it costs: a connection
/// cannot use two processors; a rack has more volumes than a host has processors, and each volume's session stands on
/// its own.
final class ReactorThread: @unchecked Sendable {
    let number: Int
    let shared: SharedState
    let logger: Logger
    /// Connections on this reactor, for the acceptor's choice.
    let load = Atomic<Int>(0)

    private let inbox = Mutex<[ReactorMessage]>([])
    private let wakeup = Wakeup()
    private var wakeupCounter: UInt64 = 0

    // What follows belongs to the thread.
    var ring: Ring
    var pool: PayloadPool
    var requests = BlockRequestTable()
    /// What pings, text and logins of all connections take from: whoever does not read the answers to them has that share,
    /// and no unit's.
    let controlAccount: PayloadAccount
    private var delayed = DelayedRequests()
    var turns = UnitTurns()
    private var accounts: [ObjectIdentifier: (account: PayloadAccount, connections: Int)] = [:]
    private var connections: [Connection?] = []
    private var freePlaces: [Int] = []
    private var nextGeneration: UInt32 = 1
    private var listeners: [ListeningSocket?] = []
    /// Connections with something to send or to go on with, each once.
    private var dirty: [Int] = []
    private var starved: [Int] = []
    private var nextTimer = Int64.max
    private var draining: (deadline: Int64, barrier: Barrier, isCut: Bool)?
    private var isRunning = true
    private var standstill: StandstillWatch
    /// The clock at the last wake-up.
    private(set) var now = monotonicNanoseconds()

    struct ListeningSocket {
        var descriptor: Int32
        var portal: PortalAddress
        var closing: Barrier?
        /// Accepting is put off: the process has no descriptor or memory for one more connection.
        var isResting = false
    }

    /// How long accepting is put off then; asking again at once would fail at once, for ever.
    private static let acceptRestNanoseconds: Int64 = 100_000_000

    /// Makes a reactor on the calling thread, which then calls `run`.
    init(number: Int, shared: SharedState, logger: Logger, limits: ServerLimits) throws(RingError) {
        self.number = number
        self.shared = shared
        self.logger = logger
        ring = try Ring(entries: 1024)
        pool = PayloadPool(totalBytes: limits.payloadBytesPerReactor)
        controlAccount = pool.openAccount()
        standstill = StandstillWatch(limitSeconds: limits.standstillSeconds)
    }

    /// Asks the reactor for something; any thread may call it.
    func post(_ message: ReactorMessage) {
        inbox.withLock { $0.append(message) }
        wakeup.signal()
    }

    /// Serves until it is told to stop.
    func run() {
        watchInbox()
        while isRunning {
            if let gap = standstill.look() { dropStale(gap) }
            ring.submitAndWait(timeoutNanoseconds: longestWait)
            now = monotonicNanoseconds()
            if hasConnections {
                if let gap = standstill.look() { dropStale(gap) }
            } else {
                standstill.forget()
            }
            while let completion = ring.nextCompletion() { dispatch(completion) }
            settle()
            if now >= nextTimer { runTimers() }
            if draining != nil { checkDrained() }
        }
    }

    private var hasConnections: Bool { load.load(ordering: .relaxed) > 0 }

    private var longestWait: Int64? {
        let limit = hasConnections ? standstill.longestWaitNanoseconds : nil
        if nextTimer == .max { return limit }
        let left = max(0, nextTimer - monotonicNanoseconds())
        return limit.map { min($0, left) } ?? left
    }

    /// The thread stood still for longer than initiators wait: nothing that was queued before is executed.
    private func dropStale(_ nanoseconds: Int64) {
        var dropped = StaleWork()
        for connection in connections {
            guard let connection, !connection.isClosing else { continue }
            dropped.add(connection.cutStale())
        }
        // Requests that this round has made and not submitted; their connections are closing, and drop the result.
        ring.withdrawWrites()
        withdrawDelayed()
        shared.count(dropped)
        guard dropped.connections > 0 else { return }
        logger.warning(
            "stood still for \(nanoseconds / 1_000_000) ms; what was queued before is not executed",
            metadata: dropped.metadata)
    }

    private func watchInbox() {
        unsafe ring.read(
            wakeup.descriptor, into: &wakeupCounter, lengthBytes: 8, offset: 0, token: token(.wakeup, 0))
    }

    // MARK: Completions

    @inline(__always)
    private func dispatch(_ completion: Completion) {
        let index = Int(UInt32(truncatingIfNeeded: completion.token))
        switch completion.token >> 56 {
        case UInt64(TokenKind.block.rawValue):
            let request = requests[index]
            if let connection = connections[request.connection] {
                connection.blockRequestEnded(index, result: completion.result)
            }
        case UInt64(TokenKind.receive.rawValue): connections[index]?.received(completion.result)
        case UInt64(TokenKind.send.rawValue): connections[index]?.sent(completion.result)
        case UInt64(TokenKind.wakeup.rawValue):
            watchInbox()
            let messages = inbox.withLock { inbox in
                defer { inbox.removeAll() }
                return inbox
            }
            for message in messages { handle(message) }
        case UInt64(TokenKind.accept.rawValue): accepted(index, completion.result)
        default: preconditionFailure("a completion that nobody asked for")
        }
    }

    /// Sends what the completions made ready, and lets those go on that waited for payload memory.
    @inline(__always)
    private func settle() {
        if !starved.isEmpty {
            let waiting = starved
            starved.removeAll(keepingCapacity: true)
            for index in waiting {
                guard let connection = connections[index] else { continue }
                connection.isStarved = false
                connection.resumeStarved()
            }
        }
        while let index = dirty.popLast() {
            guard let connection = connections[index] else { continue }
            connection.isDirty = false
            connection.settle()
            if connection.isFinished { remove(connection) }
        }
    }

    /// Has `settle` called on the connection at the end of this round.
    @inline(__always)
    func markDirty(_ connection: Connection) {
        if connection.isDirty { return }
        connection.isDirty = true
        dirty.append(connection.index)
    }

    /// Has `resumeStarved` called in the next round, when payload memory may have come back.
    func markStarved(_ connection: Connection) {
        if connection.isStarved { return }
        connection.isStarved = true
        starved.append(connection.index)
    }

    // MARK: Connections

    private func accepted(_ index: Int, _ result: Int32) {
        guard let listener = listeners[index] else { return }
        if let barrier = listener.closing {
            if result >= 0 { close(result) }
            close(listener.descriptor)
            listeners[index] = nil
            barrier.leave()
            return
        }
        if [-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM].contains(result) {
            listeners[index]?.isResting = true
            schedule(at: now + Self.acceptRestNanoseconds)
            return shared.noteShortage(errorNumber: -result)
        }
        ring.accept(on: listener.descriptor, token: token(.accept, index))
        guard result >= 0 else { return }
        shared.assign(descriptor: result, portal: listener.portal)
    }

    /// Accepts again where that was put off.
    private func resumeListeners() {
        for index in listeners.indices where listeners[index]?.isResting == true {
            listeners[index]?.isResting = false
            if let listener = listeners[index] { ring.accept(on: listener.descriptor, token: token(.accept, index)) }
        }
    }

    private func adopt(_ descriptor: Int32, portal: PortalAddress, peer: PeerAddress) {
        guard draining == nil else {
            shared.connectionEnded(peer: peer, wasLoggedIn: false)
            load.subtract(1, ordering: .relaxed)
            close(descriptor)
            return
        }
        let index: Int
        if let free = freePlaces.popLast() {
            index = free
        } else {
            index = connections.count
            connections.append(nil)
        }
        nextGeneration = (nextGeneration + 1) & 0xff_ffff
        let connection = Connection(
            reactor: self, index: index, generation: nextGeneration, descriptor: descriptor, portal: portal, peer: peer)
        connections[index] = connection
        connection.start()
        schedule(at: connection.deadline)
    }

    private func remove(_ connection: Connection) {
        connections[connection.index] = nil
        freePlaces.append(connection.index)
        load.subtract(1, ordering: .relaxed)
        if draining != nil { checkDrained() }
    }

    private func find(_ reference: ConnectionReference) -> Connection? {
        guard reference.index < connections.count, let connection = connections[reference.index],
            connection.generation == reference.generation
        else { return nil }
        return connection
    }

    // MARK: Timers

    /// Wakes the thread at `deadline`, to look at the connections' timers.
    func schedule(at deadline: Int64) { nextTimer = min(nextTimer, deadline) }

    private func runTimers() {
        nextTimer = .max
        resumeListeners()
        for connection in connections {
            guard let connection else { continue }
            if connection.deadline <= now { connection.timerFired() }
            if connection.waits.nextDeadline <= now { connection.waitsOverdue() }
            nextTimer = min(nextTimer, connection.deadline, connection.waits.nextDeadline)
        }
        issueDelayed { $0.dueAt <= now }
        nextTimer = min(nextTimer, delayed.nextDue)
        if let draining { nextTimer = min(nextTimer, draining.deadline) }
        settle()
    }

    // MARK: Faults

    /// Puts a block request aside until `dueAt`; false when it may go at once.
    func putAside(_ number: Int, until dueAt: Int64, rule: Int) -> Bool {
        guard dueAt > now, draining == nil, shared.faults.hold(rule) else { return false }
        delayed.add(DelayedRequests.Waiting(number: number, dueAt: dueAt, rule: rule))
        schedule(at: dueAt)
        return true
    }

    /// Gives the ring what waited. The connections are still there: they count these requests as in flight. What nobody
    /// wants any more is not begun: it may have been repeated elsewhere long ago.
    private func issueDelayed(_ isDue: (DelayedRequests.Waiting) -> Bool) {
        for number in delayed.take(where: isDue) {
            let request = requests[number]
            guard let connection = connections[request.connection] else { continue }
            if connection.hasGivenUp(request) {
                connection.blockRequestEnded(number, result: -ECANCELED, wasIssued: false)
            } else {
                connection.issueInTurn(number, request)
            }
        }
    }

    /// A block request of the unit has left the ring: the next of those that wait takes its turn. What nobody wants any
    /// more is not begun.
    @inline(__always)
    func turnEnded(_ account: PayloadAccount) {
        turns.end(account)
        if turns.isAnyWaiting { issueNext(account) }
    }

    private func issueNext(_ account: PayloadAccount) {
        while let (number, since) = turns.next(account) {
            let request = requests[number]
            guard let connection = connections[request.connection] else { continue }
            connection.cutIfWaitedTooLong(since: since)
            if connection.hasGivenUp(request) {
                connection.blockRequestEnded(number, result: -ECANCELED, wasIssued: false)
            } else {
                turns.begin(account)
                return connection.begin(number, request)
            }
        }
    }

    /// After a standstill: what waited is not executed.
    private func withdrawDelayed() {
        for number in delayed.take(where: { _ in true }) + turns.takeAll() {
            connections[requests[number].connection]?.blockRequestEnded(
                number, result: -ECANCELED, wasIssued: false)
        }
    }

    // MARK: Payload memory

    /// Has a connection take payload memory from its unit's share.
    func openAccount(of connection: Connection) {
        guard let unit = connection.unit else { return }
        let key = ObjectIdentifier(unit)
        let entry = accounts[key] ?? (pool.openAccount(), 0)
        accounts[key] = (entry.account, entry.connections + 1)
        connection.account = entry.account
    }

    /// The connection has given everything back.
    func closeAccount(of connection: Connection) {
        guard let unit = connection.unit, connection.account != .unbounded else { return }
        connection.account = .unbounded
        let key = ObjectIdentifier(unit)
        guard let entry = accounts[key] else { return }
        accounts[key] = entry.connections > 1 ? (entry.account, entry.connections - 1) : nil
        if entry.connections == 1 { pool.closeAccount(entry.account) }
    }

    // MARK: Messages

    private func handle(_ message: ReactorMessage) {
        switch message {
        case .adopt(let descriptor, let portal, let peer): adopt(descriptor, portal: portal, peer: peer)
        case .listen(let descriptor, let portal):
            let index = listeners.firstIndex { $0 == nil } ?? listeners.count
            if index == listeners.count { listeners.append(nil) }
            listeners[index] = ListeningSocket(descriptor: descriptor, portal: portal)
            ring.accept(on: descriptor, token: token(.accept, index))
        case .stopListening(let portal, let barrier):
            guard let index = listeners.firstIndex(where: { $0?.portal == portal && $0?.closing == nil }),
                let listener = listeners[index]
            else { return barrier.leave() }
            if listener.isResting {
                close(listener.descriptor)
                listeners[index] = nil
                return barrier.leave()
            }
            listeners[index]?.closing = barrier
            // Ends the accept that is in flight; its completion closes the descriptor.
            shutdown(listener.descriptor, Int32(SHUT_RDWR))
        case .loginGranted(let reference, let tsih): find(reference)?.loginGranted(tsih: tsih)
        case .close(let reference, let reason): find(reference)?.close(reason)
        case .abortTasks(let unit, let except, let barrier):
            for connection in connections {
                guard let connection, connection.unit === unit, connection.reference != except else { continue }
                connection.abortAllTasks(barrier, byOtherNexus: true)
            }
            barrier.leave()
        case .gateChanged(let unit, let mode, let barrier):
            for connection in connections {
                if let connection, connection.unit === unit { connection.gateChanged(mode, barrier) }
            }
            barrier?.leave()
        case .gateEntered(let entrant, let unit):
            if let reference = entrant.connection, let connection = find(reference) {
                connection.gateEntered(entrant, unit)
            } else {
                unit.gate.leave(entrant, unit: unit, shared: shared)
            }
        case .offloadEnded(let reference, let offload, let outcome): find(reference)?.offloadEnded(offload, outcome)
        case .askForLogout(let reference, let seconds): find(reference)?.askForLogout(withinSeconds: seconds)
        case .targetPortGroupsSet(let reference, let task, let isKept):
            find(reference)?.targetPortGroupsSet(task, isKept: isKept)
        case .abortTasksOf(let nexuses, let unit, let barrier):
            for connection in connections {
                guard let connection, connection.unit === unit, nexuses.contains(connection.nexus) else { continue }
                connection.abortAllTasks(barrier, byOtherNexus: true)
            }
            barrier.leave()
        case .reservationsCommitted(let reference, let task, let wait, let hold):
            find(reference)?.beginWait(wait, of: task, hold)
        case .reservationsChanged(let reference, let task, let wait, let status, let sense):
            find(reference)?.reservationsChanged(task, wait, status, sense)
        case .managementDone(let reference, let wait, let result, let dropsSessions):
            find(reference)?.managementDone(wait, result, dropsSession: dropsSessions)
        case .releaseDelayed(let rules): issueDelayed { rules?.contains($0.rule) ?? true }
        case .snapshot(let collector): collector.add(snapshotPart())
        case .drain(let deadline, let barrier):
            draining = (deadline, barrier, false)
            schedule(at: deadline)
            // Nobody waits for a drill at shutdown.
            issueDelayed { _ in true }
            for connection in connections { connection?.drain() }
            settle()
            // The last connection may have gone in there, and the barrier with it.
            if draining != nil { checkDrained() }
        case .stop: isRunning = false
        }
    }

    /// Ends the wait when every connection has gone. At the deadline those that are left are cut; a store that does not let
    /// them go even then is left behind.
    private func checkDrained() {
        guard let draining else { return }
        if connections.allSatisfy({ $0 == nil }) {
            self.draining = nil
            draining.barrier.leave()
        } else if now >= draining.deadline, !draining.isCut {
            let deadline = now + Int64(shared.limits.abortSeconds) * 1_000_000_000
            self.draining = (deadline, draining.barrier, true)
            schedule(at: deadline)
            for connection in connections { connection?.cut() }
            settle()
        } else if now >= draining.deadline {
            self.draining = nil
            for unit in connections.compactMap({ $0?.unit }) where shared.noteHung(unit.target.name) {
                logger.error(
                    "shutting down although block requests of \(unit.store.path) have not ended: the store hangs")
            }
            draining.barrier.leave()
        }
    }

    private func snapshotPart() -> SnapshotCollector.Part {
        var part = SnapshotCollector.Part()
        part.payloadBytesInUse = pool.bytesInUse
        for connection in connections {
            guard let connection else { continue }
            part.connectionsByPortal[connection.portal, default: 0] += 1
            if let (target, session) = connection.snapshot() {
                part.sessions.append((target, session))
            } else if connection.isInLogin {
                part.connectionsBeforeLogin += 1
            }
        }
        return part
    }
}
