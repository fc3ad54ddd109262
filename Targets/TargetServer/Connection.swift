import Glibc
import ISCSI
import Logging
import Reactor
import SCSI

/// One TCP connection from accept to close, on the reactor thread that owns it.
///
/// It carries bytes between the socket and two state machines, `LoginMachine` and then `FullFeatureConnection`, and
/// carries out what the logical unit asks for with block requests. It ends in steps: `cut` shuts the socket down, and
/// the connection goes away when its receive, its send and its last block request have ended, never earlier. Only then
/// does its session leave the registry, so that whoever waits for that knows that no write of it is under way.
final class Connection {
    let reactor: ReactorThread
    let index: Int
    let generation: UInt32
    let descriptor: Int32
    let portal: PortalAddress
    let peer: PeerAddress

    /// Where the connection stands.
    enum Phase {
        case login(LoginMachine<PortalPolicy>)
        /// Login is decided; the session that this one reinstates has to end first.
        case awaitingSession(LoginStep, LoginResult)
        case fullFeature
        case closing
    }

    var phase: Phase
    var machine: FullFeatureConnection
    /// The unit behind the session's target; nil in discovery sessions and during login.
    var unit: UnitRuntime?
    var session: Session?
    /// How the session's initiator proved who it is.
    var proof: LoginProof?
    var nexus = NexusHandle(rawValue: 0)
    var geometry = BlockGeometry(blockLengthBytes: 512, blockCount: 1)
    var geometryVersion = UInt32.max
    /// Whether the port of the nexus or a reservation keeps it from media commands, as of `accessVersion` of the unit.
    var isRestricted = false
    var accessVersion = UInt32.max
    var jobs: ContiguousArray<Job> = []
    /// Parameter lists under way, by task: what the logical unit wants back with them.
    var continuations: [TaskIndex: ParameterListContinuation] = [:]
    /// Aborted tasks whose last block request somebody waits for.
    var abortBarriers: [TaskIndex: [Barrier]] = [:]
    /// Jobs that wait for payload memory.
    var starvedJobs: [TaskIndex] = []
    /// Long reads that wait until more of what is queued has been sent.
    var readsAwaitingOutput: [TaskIndex] = []
    /// Payload memory that the peer has to read free: of reads under way, of the output queue, of the send under way.
    private(set) var outputBytes = 0
    /// How far the unit's gate is open, as this connection last heard.
    var gateMode = UnitGate.Mode.open
    /// Block requests that the gate keeps back, in order, and since when.
    var parkedRequests: [BlockRequest] = []
    var parkedSince: Int64 = 0
    /// Those who wait until nothing of this connection is in flight that came before the gate closed.
    var drainBarriers: [Barrier] = []
    /// Nothing of this connection was in flight after the gate closed.
    var hasDrained = false
    /// Commands that want, or have, the unit to themselves.
    var gatePlaces: [TaskIndex: GatePlace] = [:]
    /// Commands whose work another thread does.
    var offloads: [TaskIndex: Offload] = [:]
    /// How many of the requests in flight are work of other threads.
    var offloadedRequests = 0
    /// Ranges of UNMAP commands that are still to be punched.
    var unmapRanges: [TaskIndex: [BlockRange]] = [:]
    /// Tags of commands whose next digest a fault rule makes wrong.
    var digestsToSpoil: [InitiatorTaskTag] = []
    /// Task management and logout that wait for block requests.
    var waits = BoundedWaits()
    /// Whose share of the payload memory its commands take from: its unit's.
    var account = PayloadAccount.unbounded
    /// All that was negotiated, for text requests and `status`.
    var operational = OperationalParameters()
    var textNegotiation: TextNegotiation?

    // Receiving.
    var receiveBuffer: ReceiveBuffer
    var inbound = InboundSegment()
    var isInboundStalled = false
    /// Clock of the moment since which it is.
    var inboundStalledAt: Int64 = 0
    var receiveInFlight = false
    /// Whether the receive in flight fills the segment's slot first.
    var isDirectReceive = false

    // Sending.
    var transmit = TransmitStage()
    var loginOutput: [OutboundPDU] = []
    var sendInFlight = false

    /// Block requests in flight.
    var requestsInFlight = 0
    /// Those of them in the ring that change the medium.
    private(set) var changesInFlight = 0
    /// The connection is cut, and the unit's other writes wait for the last of those.
    private var holdsWrites = false
    /// Set while the connection stands in the reactor's list of those with something to do.
    var isDirty = false
    /// Set while it stands in the list of those that wait for payload memory.
    var isStarved = false
    /// Nothing is left of it; the reactor forgets it.
    private(set) var isFinished = false
    /// Close once everything queued is sent.
    var closesAfterOutput = false
    /// New commands are dropped unanswered: the server is shutting down.
    var isDraining = false
    private var saidGoodbye = false
    /// A logout to answer once no task is busy any more.
    var pendingLogout = false

    /// Clock of the last byte from the peer, and when a ping has to be answered.
    var lastReceived: Int64
    /// When the reactor has to look at this connection's timers.
    var deadline: Int64
    let startedAt: Int64

    init(
        reactor: ReactorThread, index: Int, generation: UInt32, descriptor: Int32, portal: PortalAddress,
        peer: PeerAddress
    ) {
        self.reactor = reactor
        self.index = index
        self.generation = generation
        self.descriptor = descriptor
        self.portal = portal
        self.peer = peer
        phase = .login(LoginMachine(policy: PortalPolicy(shared: reactor.shared, portal: portal)))
        machine = FullFeatureConnection(
            parameters: TransferParameters(), isDiscovery: true, expCmdSN: SerialNumber(0), statSN: SerialNumber(0),
            commandWindow: 1)
        receiveBuffer = ReceiveBuffer(capacity: ReceiveBuffer.loginCapacity)
        startedAt = reactor.now
        lastReceived = reactor.now
        deadline = reactor.now + Int64(reactor.shared.limits.loginSeconds) * 1_000_000_000
    }

    var reference: ConnectionReference {
        ConnectionReference(reactor: reactor.number, index: index, generation: generation)
    }

    var isInLogin: Bool {
        switch phase {
        case .login, .awaitingSession: true
        default: false
        }
    }

    var isClosing: Bool {
        if case .closing = phase { return true }
        return false
    }

    /// Begins to listen to the peer.
    func start() {
        var on: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        reactor.markDirty(self)
    }

    /// Sends what is queued, asks for more input, and goes away when nothing is left. Called at the end of a round in
    /// which anything happened.
    func settle() {
        if case .closing = phase { return finishIfIdle() }
        if pendingLogout { answerLogoutIfQuiet() }
        if isDraining { sayGoodbyeIfQuiet() }
        flush()
        if closesAfterOutput, !sendInFlight, !hasOutput { return cut() }
        receiveMore()
    }

    var hasOutput: Bool { machine.hasOutput || !loginOutput.isEmpty }

    // MARK: Ending

    /// Ends the connection for a reason of ours: the initiator is told in its session, what is queued is sent, then the
    /// socket goes.
    func close(_ reason: CloseReason) {
        if isClosing { return }
        log(.notice, "closing connection: \(reason.explanation)")
        switch reason {
        case .reinstated, .loginTimeout, .pingTimeout: cut()
        case .targetRemoved, .portalRemoved, .portOffline, .accessWithdrawn, .drained, .targetReset, .shutdown:
            guard case .fullFeature = phase else { return cut() }
            announceGoodbye()
            closesAfterOutput = true
            reactor.markDirty(self)
        }
    }

    private func announceGoodbye() {
        if saidGoodbye { return }
        saidGoodbye = true
        // Event 3 drops all connections of the session; parameters 2 and 3 are Time2Wait and Time2Retain (section 11.9.1).
        machine.announce(
            .sessionDrop, parameter1: 0, parameter2: UInt16(Self.goodbyeWaitSeconds), parameter3: 0)
    }

    /// What an initiator is told to wait before it comes back.
    static let goodbyeWaitSeconds = 2

    /// The server is shutting down: answer what is in flight, take nothing new, say goodbye.
    func drain() {
        if isClosing { return }
        guard case .fullFeature = phase else { return cut() }
        isDraining = true
        reactor.markDirty(self)
    }

    private func sayGoodbyeIfQuiet() {
        guard machine.tasksInFlight == 0, !machine.hasOutput, !closesAfterOutput else { return }
        announceGoodbye()
        closesAfterOutput = true
    }

    /// Ends the connection now. Everything in flight is waited for before it is gone.
    func cut() {
        if isClosing { return }
        phase = .closing
        shutdown(descriptor, Int32(SHUT_RDWR))
        machine.discardOutput { withdrawOutput(PayloadSlot(rawValue: $0.value)) }
        for pdu in loginOutput where pdu.payload != .none { releaseOutput(PayloadSlot(rawValue: pdu.payload.value)) }
        loginOutput.removeAll()
        dropParked()
        releaseCollectedData()
        if changesInFlight > 0, let unit {
            // The initiator sends them again by another path, and then newer ones, which these must not overtake.
            holdsWrites = true
            unit.gate.holdWrites(unit: unit, shared: reactor.shared)
        }
        deadline = .max
        reactor.markDirty(self)
    }

    /// A block request that changes the medium goes to the ring.
    @inline(__always)
    func changeBegins() { changesInFlight += 1 }

    /// It has ended.
    @inline(__always)
    func changeEnded() {
        changesInFlight -= 1
        if holdsWrites, changesInFlight == 0, let unit {
            holdsWrites = false
            unit.gate.releaseWrites(unit: unit, shared: reactor.shared)
        }
    }

    private func finishIfIdle() {
        guard !receiveInFlight, !sendInFlight, requestsInFlight == 0, !isFinished else { return }
        isFinished = true
        releaseInbound()
        transmit.releaseAll { releaseOutput($0) }
        for barriers in abortBarriers.values { for barrier in barriers { barrier.leave() } }
        abortBarriers = [:]
        for barrier in drainBarriers { barrier.leave() }
        drainBarriers = []
        reactor.closeAccount(of: self)
        if let unit, nexus.rawValue != 0 {
            let nexus = nexus
            unit.withUnit { $0.nexusLost(nexus) }
        }
        if let session {
            reactor.shared.sessionEnded(session, reference)
        } else {
            reactor.shared.forgetClaim(of: reference)
        }
        reactor.shared.connectionEnded(peer: peer, wasLoggedIn: hasLeftLogin)
        Glibc.close(descriptor)
    }

    /// Set once the connection no longer counts among those in login.
    var hasLeftLogin = false

    // MARK: Memory of the output

    /// Counts a slot whose bytes are going to be sent.
    @inline(__always)
    func countOutput(_ slot: PayloadSlot) { outputBytes += slot.sizeBytes }

    /// Gives back a slot that `countOutput` counted.
    @inline(__always)
    func releaseOutput(_ slot: PayloadSlot) {
        outputBytes -= slot.sizeBytes
        reactor.pool.release(slot)
    }

    /// Gives back a counted slot that is not going to be sent after all, once a send that has some of it is over.
    func withdrawOutput(_ slot: PayloadSlot) {
        if sendInFlight { transmit.keep(slot) } else { releaseOutput(slot) }
    }

    /// A broken rule: the peer gets what is queued (a Reject), then the connection ends.
    func violated(_ violation: ProtocolViolation) {
        reactor.shared.counters.protocolErrors.add(1, ordering: .relaxed)
        log(.warning, "closing connection: the initiator \(violation.explanation)")
        inbound.reset()
        closesAfterOutput = true
        receiveBuffer.removeAll()
        reactor.markDirty(self)
    }

    // MARK: Timers

    /// The deadline has come: login ends, or a ping is due or overdue.
    func timerFired() {
        let limits = reactor.shared.limits
        switch phase {
        case .login:
            reactor.shared.loginFailures.count(.timeout)
            close(.loginTimeout)
        case .awaitingSession(let step, _): sessionDidNotEnd(step)
        case .fullFeature:
            guard limits.nopIntervalSeconds > 0 else {
                deadline = .max
                return
            }
            let interval = Int64(limits.nopIntervalSeconds) * 1_000_000_000
            let silence = reactor.now - lastReceived
            if machine.isPingOutstanding {
                if silence >= Int64(limits.nopTimeoutSeconds) * 1_000_000_000 { return close(.pingTimeout) }
                deadline = lastReceived + Int64(limits.nopTimeoutSeconds) * 1_000_000_000
            } else if silence >= interval {
                machine.ping()
                lastReceived = reactor.now
                deadline = reactor.now + Int64(limits.nopTimeoutSeconds) * 1_000_000_000
                reactor.markDirty(self)
            } else {
                deadline = lastReceived + interval
            }
        case .closing: deadline = .max
        }
    }

    // MARK: Log

    func log(_ level: Logger.Level, _ message: @autoclosure () -> String) {
        var metadata: Logger.Metadata = ["peer": "\(peer)", "portal": "\(portal)"]
        if let session {
            metadata["initiator"] = "\(session.key.initiator)"
            metadata["target"] = "\(session.key.target)"
        }
        reactor.logger.log(level: level, "\(message())", metadata: metadata)
    }
}
