import ISCSI
import SCSI

/// One PDU on its way to the target: the header, the CDB in full, and what its data segment stands for.
struct SimulatedPacket {
    var header: BasicHeaderSegment
    var cdb: [UInt8] = []
    var list: [UInt8] = []
    var stamp: UInt64 = 0
}

/// One PDU on its way to the initiator.
struct SimulatedAnswer {
    var pdu: OutboundPDU
    var stamps: [UInt64] = []
}

/// A connection of one initiator: the real machine of the target's side, and the two directions of the wire.
final class SimulatedSession {
    let initiator: Int
    let handle: NexusHandle
    var machine: FullFeatureConnection
    var toTarget: [SimulatedPacket] = []
    var toInitiator: [SimulatedAnswer] = []
    var jobs: [TaskIndex: Job] = [:]
    var lent: [UInt32: [UInt64]] = [:]
    var isOver = false

    /// A command that the target works on.
    struct Job {
        var arrival: Int
        var cdb: [UInt8]
        var range = 0..<0
        var stamp: UInt64 = 0
        var isWrite = false
        var continuation: ParameterListContinuation?
        var list: [UInt8] = []
        var inFlight = 0
    }

    init(_ initiator: Int, _ handle: NexusHandle) {
        self.initiator = initiator
        self.handle = handle
        machine = FullFeatureConnection(
            parameters: TransferParameters(), isDiscovery: false, expCmdSN: SerialNumber(0xffff_fff0),
            statSN: SerialNumber(1), commandWindow: 8)
    }

    var inFlight: Int { jobs.values.reduce(0) { $0 + $1.inFlight } }
}

/// What the target tells the checker, as it happens.
protocol SimulationObserver: AnyObject {
    func began(_ session: SimulatedSession, _ cdb: [UInt8], _ execution: Execution)
    func changed(
        _ session: SimulatedSession, _ cdb: [UInt8], _ list: [UInt8], _ outcome: ReservationOutcome, kept: Bool)
    func fenced(_ victims: [Int], committedAt: Int, hadRequestsInFlight: Bool)
    func applies(_ session: SimulatedSession, arrival: Int, stamp: UInt64)
    func raised(_ attention: UnitAttention, except: Int?)
}

/// The server of the simulation: does for the real logical unit and the real connection machines what the contracts of
/// both ask of a server, in an order that the seed chooses. Block requests take any time and may fail; so does keeping a
/// reservation.
final class SimulatedTarget {
    static let blocks = 32
    static let blockBytes = 512

    private(set) var unit: LogicalUnit
    private(set) var medium = [UInt64](repeating: 0, count: blocks)
    private(set) var kept = ReservationState()
    private var sessions: [SimulatedSession] = []
    private var requests: [Request] = []
    private var changes: [Change] = []
    private var barriers: [Barrier] = []
    private var nextHandle: UInt64 = 1
    private var nextRequest = 0
    private var nextPayload: UInt32 = 0
    private(set) var time = 0
    weak var observer: SimulationObserver?

    private struct Request {
        let number: Int
        let session: SimulatedSession
        let task: TaskIndex
        let range: Range<Int>
        let isWrite: Bool
    }
    /// A PERSISTENT RESERVE OUT in the queue: one at a time is worked out, kept, and committed.
    private struct Change {
        let session: SimulatedSession
        let task: TaskIndex
        let request: PersistentReserveOut
        let cdb: [UInt8]
        let list: [UInt8]
    }
    private struct Barrier {
        var requests: Set<Int>
        let open: () -> Void
    }

    init() { unit = Self.newUnit(ReservationState()) }

    static func name(_ initiator: Int) -> NexusInformation {
        NexusInformation(
            initiatorPortName: "iqn.2026-01.net.example:client\(initiator),i,0x00023d000001",
            relativeTargetPort: initiator == 2 ? 42 : 1)
    }

    private static func newUnit(_ state: ReservationState) -> LogicalUnit {
        var unit = LogicalUnit(
            identity: LogicalUnitIdentity(
                naaIdentifier: 0x3001_0203_0405_0607, serialNumber: "SN0123", vendor: "RACK", product: "storaged",
                revision: "1.0", targetName: "iqn.2026-01.net.example:mpath0",
                ports: [
                    TargetPort(relativeIdentifier: 1, groupIdentifier: 1),
                    TargetPort(relativeIdentifier: 42, groupIdentifier: 7),
                ]),
            geometry: BlockGeometry(blockLengthBytes: UInt32(blockBytes), blockCount: UInt64(blocks)))
        unit.keepsReservations = true
        unit.restore(state)
        return unit
    }

    // MARK: Sessions

    func logIn(_ initiator: Int) -> SimulatedSession {
        let session = SimulatedSession(initiator, NexusHandle(rawValue: nextHandle))
        nextHandle += 1
        unit.nexusEstablished(session.handle, Self.name(initiator))
        sessions.append(session)
        return session
    }

    /// The connection is gone. Block requests in flight go on, and until they have ended the nexus counts as present: a
    /// PREEMPT AND ABORT has to wait for them, and so has a login that takes its place.
    func lose(_ session: SimulatedSession) {
        session.isOver = true
        session.machine.discardOutput { session.lent[$0.value] = nil }
        forgetQuietSessions()
    }

    private func forgetQuietSessions() {
        for session in sessions where session.isOver && isQuiet(session) { unit.nexusLost(session.handle) }
        sessions.removeAll { $0.isOver && isQuiet($0) }
    }

    private func isQuiet(_ session: SimulatedSession) -> Bool {
        !requests.contains { $0.session === session } && !changes.contains { $0.session === session }
    }

    /// Whether an initiator's last session has left nothing behind.
    func mayLogIn(_ initiator: Int) -> Bool { !sessions.contains { $0.initiator == initiator } }

    /// The process dies and starts again. A block request may have got as far as the medium or not, and a change of
    /// reservations that was being kept is there or not.
    func crash(_ random: inout SimulationRandom) {
        for request in requests where request.isWrite && random.chance(2) { apply(request) }
        if let change = changes.first, random.chance(2) {
            let outcome = unit.reservationOutcome(of: change.request, from: change.session.handle)
            if case .change(let new) = outcome {
                kept = new.state
                observer?.changed(change.session, change.cdb, change.list, outcome, kept: true)
            }
        }
        for session in sessions { session.isOver = true }
        (sessions, requests, changes, barriers) = ([], [], [], [])
        unit = Self.newUnit(kept)
    }

    // MARK: Steps that the seed chooses among

    /// Takes the next PDU of a session.
    func deliver(_ session: SimulatedSession) {
        guard !session.isOver, session.machine.wantsInput, !session.toTarget.isEmpty else { return }
        time += 1
        let packet = session.toTarget.removeFirst()
        switch session.machine.receive(packet.header, additional: RawSpan()) {
        case .command(let task): begin(session, task, packet)
        case .dataOut(let task, _): arrived(session, task, packet)
        case .taskManagement(let request): manage(session, request)
        case .ping(let keepBytes): session.machine.answerPing(payload: .none, lengthBytes: keepBytes)
        case .ignore: break
        case .violation(let violation): fatalError("the simulated initiator \(violation.explanation)")
        default: fatalError("the simulated initiator sends no such PDU")
        }
    }

    /// Sends the next PDU.
    func transmit(_ session: SimulatedSession) {
        guard !session.isOver, let pdu = session.machine.nextOutput() else { return }
        var answer = SimulatedAnswer(pdu: pdu)
        if pdu.payload != .none {
            let stamps = session.lent[pdu.payload.value] ?? []
            let first = pdu.payloadOffset / Self.blockBytes
            answer.stamps = Array(stamps[first..<first + pdu.payloadLength / Self.blockBytes])
            if pdu.releasesPayload { session.lent[pdu.payload.value] = nil }
        }
        session.toInitiator.append(answer)
    }

    /// Ends one block request.
    func complete(_ random: inout SimulationRandom) {
        guard !requests.isEmpty else { return }
        time += 1
        let request = requests.remove(at: random.below(requests.count))
        let fails = random.chance(40)
        if request.isWrite, !fails || random.chance(2) { apply(request) }
        ended(request, fails: fails)
        for index in barriers.indices { barriers[index].requests.remove(request.number) }
        let open = barriers.filter { $0.requests.isEmpty }
        barriers.removeAll { $0.requests.isEmpty }
        for barrier in open { barrier.open() }
        forgetQuietSessions()
    }

    private func apply(_ request: Request) {
        guard let job = request.session.jobs[request.task] else { fatalError("a request without a job") }
        observer?.applies(request.session, arrival: job.arrival, stamp: job.stamp)
        for block in request.range { medium[block] = job.stamp }
    }

    /// Works out, keeps and commits the first change in the queue.
    func change(_ random: inout SimulationRandom) {
        guard !changes.isEmpty else { return }
        time += 1
        let change = changes.removeFirst()
        let session = change.session
        defer { forgetQuietSessions() }
        let outcome = unit.reservationOutcome(of: change.request, from: session.handle)
        switch outcome {
        case .status(let status, let sense):
            observer?.changed(session, change.cdb, change.list, outcome, kept: true)
            answer(session, change.task, status, sense)
        case .change(let new):
            let keeps = !random.chance(20)
            observer?.changed(session, change.cdb, change.list, outcome, kept: keeps)
            guard keeps else {
                return answer(session, change.task, .checkCondition, .insufficientReservationResources)
            }
            kept = new.state
            let victims = unit.commit(new).subtracting([session.handle])
            let ended = sessions.filter { victims.contains($0.handle) }
            let isBusy = requests.contains { request in ended.contains { $0 === request.session } }
            let committedAt = time
            barrier(for: ended) { [weak self] in
                self?.observer?.fenced(
                    ended.map(\.initiator), committedAt: committedAt, hadRequestsInFlight: isBusy)
                self?.answer(session, change.task, .good, nil)
            }
        }
    }

    // MARK: Commands

    private func begin(_ session: SimulatedSession, _ task: TaskIndex, _ packet: SimulatedPacket) {
        session.jobs[task] = SimulatedSession.Job(
            arrival: time, cdb: packet.cdb, stamp: packet.stamp, list: packet.list)
        let state = session.machine.task(task)
        let block = CommandDescriptorBlock(packet.cdb)
        let execution = unit.begin(
            block, from: session.handle,
            expecting: ExpectedTransfer(
                dataOutLengthBytes: state.announcesDataOut ? UInt32(state.expectedBytes) : 0,
                dataInLengthBytes: state.expectsDataIn ? UInt32(state.expectedBytes) : 0))
        observer?.began(session, packet.cdb, execution)
        perform(session, task, execution)
        if packet.header.dataSegmentLength > 0 { arrived(session, task, packet) }
    }

    private func perform(_ session: SimulatedSession, _ task: TaskIndex, _ execution: Execution) {
        switch execution {
        case .media(let operation):
            let range = Int(operation.range.firstBlock)..<Int(operation.range.endBlock)
            session.jobs[task]?.range = range
            switch operation {
            case .read:
                _ = session.machine.admit(task, wantedBytes: 0, commandBytes: range.count * Self.blockBytes)
                submit(session, task, isWrite: false)
            case .write:
                session.jobs[task]?.isWrite = true
                collect(session, task, range.count * Self.blockBytes)
            default:
                _ = session.machine.admit(task, wantedBytes: 0, commandBytes: 0)
                answer(session, task, .good, nil)
            }
        case .needsParameterList(let length, let continuation):
            session.jobs[task]?.continuation = continuation
            collect(session, task, length)
        case .persistentReserveOut(let request):
            guard let job = session.jobs[task] else { return }
            session.jobs[task]?.inFlight += 1
            changes.append(Change(session: session, task: task, request: request, cdb: job.cdb, list: job.list))
        case .status(let status, let sense): answer(session, task, status, sense)
        case .parameterData: answer(session, task, .good, nil)
        default: fatalError("the simulated initiator sends no such command")
        }
    }

    private func collect(_ session: SimulatedSession, _ task: TaskIndex, _ bytes: Int) {
        if session.machine.admit(task, wantedBytes: bytes, commandBytes: bytes) == 0 {
            _ = session.machine.solicit(task, upToBytes: bytes)
        }
    }

    private func arrived(_ session: SimulatedSession, _ task: TaskIndex, _ packet: SimulatedPacket) {
        let arrival = session.machine.dataOutArrived(
            task, lengthBytes: packet.header.dataSegmentLength, header: packet.header, digestFailed: false)
        guard case .complete = arrival else { return }
        if let continuation = session.jobs[task]?.continuation {
            session.jobs[task]?.list = packet.list
            perform(session, task, unit.finish(continuation, parameterList: packet.list, from: session.handle))
        } else {
            submit(session, task, isWrite: true)
        }
    }

    private func submit(_ session: SimulatedSession, _ task: TaskIndex, isWrite: Bool) {
        guard let job = session.jobs[task] else { return }
        session.jobs[task]?.inFlight += 1
        requests.append(
            Request(number: nextRequest, session: session, task: task, range: job.range, isWrite: isWrite))
        nextRequest += 1
    }

    private func ended(_ request: Request, fails: Bool) {
        if fails { return answer(request.session, request.task, .checkCondition, .mediumErrorSynchronize) }
        guard !request.isWrite else { return answer(request.session, request.task, .good, nil) }
        let session = request.session
        if !session.isOver, session.machine.task(request.task).state == .executing {
            let payload = PayloadReference(nextPayload)
            nextPayload += 1
            session.lent[payload.value] = Array(medium[request.range])
            session.jobs[request.task]?.inFlight -= 1
            session.machine.sendData(
                request.task, payload: payload, lengthBytes: request.range.count * Self.blockBytes, endsCommand: true)
        } else {
            answer(session, request.task, .good, nil)
        }
    }

    /// Ends a command, unless it has been aborted meanwhile.
    private func answer(_ session: SimulatedSession, _ task: TaskIndex, _ status: SCSIStatus, _ sense: Sense?) {
        if session.jobs[task].map({ $0.inFlight > 0 }) == true { session.jobs[task]?.inFlight -= 1 }
        if session.isOver { return }
        if session.machine.task(task).state == .aborted { return session.machine.forget(task) }
        let bytes = sense?.encode(descriptorFormat: false) ?? []
        unsafe session.machine.respond(task, status: status.rawValue, sense: bytes.span.bytes)
    }

    // MARK: Aborting

    private func manage(_ session: SimulatedSession, _ request: TaskManagement) {
        func answer() {
            if !session.isOver { session.machine.answerTaskManagement(request.initiatorTaskTag, .functionComplete) }
        }
        switch request.function {
        case .abortTask:
            guard let task = session.machine.find(request.referencedTaskTag) else {
                return session.machine.answerTaskManagement(request.initiatorTaskTag, .taskDoesNotExist)
            }
            barrier(of: abort(session, task), answer)
        case .clearTaskSet:
            unit.raise(.commandsClearedByAnotherInitiator, except: session.handle)
            observer?.raised(.commandsClearedByAnotherInitiator, except: session.initiator)
            barrier(for: sessions, answer)
        case .logicalUnitReset:
            unit.logicalUnitReset()
            observer?.raised(.logicalUnitReset, except: nil)
            barrier(for: sessions, answer)
        default: fatalError("the simulated initiator sends no such request")
        }
    }

    /// Ends all tasks of these sessions; `open` runs when none of their block requests is in flight.
    private func barrier(for sessions: [SimulatedSession], _ open: @escaping () -> Void) {
        var waits: Set<Int> = []
        for session in sessions {
            var tasks: [TaskIndex] = []
            session.machine.forEachTask { task, _ in tasks.append(task) }
            for task in tasks { waits.formUnion(abort(session, task)) }
        }
        barrier(of: waits, open)
    }

    private func barrier(of requests: Set<Int>, _ open: @escaping () -> Void) {
        if requests.isEmpty { open() } else { barriers.append(Barrier(requests: requests, open: open)) }
    }

    /// The block requests that are still in flight of a task that was aborted.
    private func abort(_ session: SimulatedSession, _ task: TaskIndex) -> Set<Int> {
        let busy = session.jobs[task].map { $0.inFlight > 0 } ?? false
        guard session.machine.abort(task, deviceServerBusy: busy, release: { session.lent[$0.value] = nil })
        else { return [] }
        return Set(requests.filter { $0.session === session && $0.task == task }.map(\.number))
    }

    /// Whether anything is still to be done for anybody.
    var isIdle: Bool { requests.isEmpty && changes.isEmpty && barriers.isEmpty }
}
