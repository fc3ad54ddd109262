import Glibc
import ISCSI
import Reactor
import SCSI

/// A command's place at the unit's gate.
struct GatePlace {
    var entrant: UnitGate.Entrant
    /// Since when it wants it.
    var since: Int64
    /// It has the unit; otherwise it waits for it.
    var isInside = false
}

/// What the unit's gate asks of a connection, and the commands that need it.
extension Connection {
    // MARK: Waiting at the gate

    /// What other threads do is not the gate's: a copy waits there by itself, and what changes reservations or access states
    /// may itself wait for tasks that the gate keeps back.
    private var runningRequests: Int { requestsInFlight - parkedRequests.count - offloadedRequests }

    /// Keeps a request back while the gate is not open; false when it may go.
    func parks(_ request: BlockRequest) -> Bool {
        guard isKeptBack(request) else { return false }
        if parkedRequests.isEmpty { parkedSince = reactor.now }
        parkedRequests.append(request)
        return true
    }

    private func isKeptBack(_ request: BlockRequest) -> Bool {
        if gatePlaces[request.task]?.isInside == true { return false }
        switch gateMode {
        case .open: return false
        case .writesWait: return request.kind.changesMedium
        case .closed:
            // What has begun goes on, until the connection has drained.
            return hasDrained || request.task == Self.detachedTask || !jobs[request.task.index].hasBegun
        }
    }

    /// The gate closed, opened, or holds back writes.
    func gateChanged(_ mode: UnitGate.Mode, _ barrier: Barrier?) {
        gateMode = mode
        hasDrained = false
        goOnParked()
        guard mode == .closed, let barrier else { return }
        if runningRequests == 0 {
            hasDrained = true
        } else {
            barrier.enter()
            drainBarriers.append(barrier)
        }
    }

    /// A block request ended that the gate may have waited for.
    func answerIfDrained() {
        guard runningRequests == 0 else { return }
        hasDrained = true
        let barriers = drainBarriers
        drainBarriers = []
        for barrier in barriers { barrier.leave() }
    }

    private func goOnParked() {
        guard !parkedRequests.isEmpty else { return }
        cutIfWaitedTooLong(since: parkedSince)
        let waiting = parkedRequests
        parkedRequests = []
        for request in waiting {
            if isKeptBack(request) {
                parkedRequests.append(request)
            } else {
                issueNew(request)
            }
        }
        reactor.markDirty(self)
    }

    /// The task is aborted: what the gate keeps back of it is not executed. Whoever has it aborted may be somebody that the
    /// gate waits for.
    func dropParked(of task: TaskIndex) {
        guard !parkedRequests.isEmpty else { return }
        let waiting = parkedRequests
        parkedRequests = waiting.filter { $0.task != task }
        for request in waiting where request.task == task { dropped(request) }
    }

    /// The connection ends: what the gate keeps back is not executed, what waits for the unit does not want it any more.
    func dropParked() {
        gatePlaces = gatePlaces.filter { $0.value.isInside }
        for offload in offloads.values { offload.cancel() }
        let waiting = parkedRequests
        parkedRequests = []
        for request in waiting { dropped(request) }
    }

    private func dropped(_ request: BlockRequest) {
        requestsInFlight -= 1
        if request.task != Self.detachedTask { jobs[request.task.index].inFlight -= 1 }
        discard(request)
    }

    // MARK: Commands that have the unit to themselves

    /// All Data-Out of a COMPARE AND WRITE or ORWRITE is in. Only now does it ask for the unit: nobody waits for an
    /// initiator.
    func beginAtomic(_ task: TaskIndex) {
        guard let unit, jobs[task.index].totalBytes > 0 else { return endIfDone(task) }
        gatePlaces[task] = GatePlace(
            entrant: unit.gate.enter(
                reference, task: UInt16(task.index), unit: unit, shared: reactor.shared), since: reactor.now)
    }

    /// The command has the unit, if it is still there.
    func gateEntered(_ entrant: UnitGate.Entrant, _ unit: UnitRuntime) {
        let task = TaskIndex(Int(entrant.task))
        if let place = gatePlaces[task], place.entrant == entrant { cutIfWaitedTooLong(since: place.since) }
        guard !isClosing, gatePlaces[task]?.entrant == entrant else {
            return unit.gate.leave(entrant, unit: unit, shared: reactor.shared)
        }
        gatePlaces[task]?.isInside = true
        let job = jobs[task.index]
        if job.work == .writeAtomic { return writeAtomically(task) }
        guard let slot = reactor.pool.take(lengthBytes: Int(job.totalBytes)) else {
            jobs[task.index].lacksMemory = true
            return endAtomic(task)
        }
        submit(
            BlockRequest(
                kind: .readBack, connection: index, task: task, slot: slot,
                reference: job.work == .compareAndWrite ? job.slot : .none, referenceOffset: 0, offset: job.fileOffset,
                lengthBytes: Int(job.totalBytes), doneBytes: 0, toStableStorage: false))
    }

    /// ORWRITE: what the medium holds goes into the data that will be written.
    func merge(_ request: BlockRequest) {
        guard jobs[request.task.index].sense == nil else { return }
        let data = unsafe reactor.pool.address(of: jobs[request.task.index].slot)
        let medium = unsafe reactor.pool.address(of: request.slot)
        for offset in stride(from: 0, to: request.lengthBytes, by: 8) {
            let word = unsafe medium.load(fromByteOffset: offset, as: UInt64.self)
            let merged = unsafe data.load(fromByteOffset: offset, as: UInt64.self) | word
            unsafe data.storeBytes(of: merged, toByteOffset: offset, as: UInt64.self)
        }
    }

    /// The medium has been read, or written.
    func continueAtomic(_ task: TaskIndex) {
        let job = jobs[task.index]
        guard !job.hasFailed, job.issuedBytes == 0 else { return endAtomic(task) }
        let length = Int(job.totalBytes)
        jobs[task.index].issuedBytes = job.totalBytes
        if job.work == .compareAndWrite {
            // The first half was compared, the second is to be written.
            let data = unsafe reactor.pool.address(of: job.slot)
            unsafe data.copyMemory(from: data + length, byteCount: length)
        }
        submit(
            BlockRequest(
                kind: .write, connection: index, task: task, slot: job.slot, reference: .none, referenceOffset: 0,
                offset: job.fileOffset, lengthBytes: length, doneBytes: 0, toStableStorage: job.toStableStorage))
    }

    private func endAtomic(_ task: TaskIndex) {
        leaveGate(task)
        endIfDone(task)
    }

    /// Gives the unit back, if the command has it.
    func leaveGate(_ task: TaskIndex) {
        guard let unit, let place = gatePlaces[task], place.isInside else { return }
        gatePlaces[task] = nil
        unit.gate.leave(place.entrant, unit: unit, shared: reactor.shared)
    }
}
