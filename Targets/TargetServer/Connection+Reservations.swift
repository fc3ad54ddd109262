import Dispatch
import ISCSI
import SCSI
import Synchronization

/// Changes of reservations, one at a time, on a queue of their own: each is on stable storage before it counts, and no
/// reactor waits for that disk.
final class ReservationRegistry: Sendable {
    let queue = DispatchQueue(label: "reservations")
    let keeper: ReservationKeeper?

    init(keeper: ReservationKeeper?) { self.keeper = keeper }

    /// What a unit begins with.
    func state(of target: TargetConfiguration) throws(ServerError) -> ReservationState {
        try keeper?.read(target) ?? ReservationState()
    }
}

/// Keeps writes of a unit back while those of nexuses that were preempted are still under way, from the moment on at which
/// PREEMPT AND ABORT gives up waiting for them: whoever comes next believes the victims fenced.
final class VictimsHold: Sendable {
    private enum State { case notNeeded, holds, over }

    private let unit: UnitRuntime
    private let shared: SharedState
    private let state = Mutex(State.notNeeded)

    init(unit: UnitRuntime, shared: SharedState) {
        self.unit = unit
        self.shared = shared
    }

    /// The wait is given up.
    func begin() {
        state.withLock { state in
            guard state == .notNeeded else { return }
            state = .holds
            unit.gate.holdWrites(unit: unit, shared: shared)
        }
    }

    /// The last of the victims' block requests has ended.
    func end() {
        state.withLock { state in
            if state == .holds { unit.gate.releaseWrites(unit: unit, shared: shared) }
            state = .over
        }
    }
}

extension Connection {
    /// Has a change worked out, kept and committed by the queue for that. The task counts as having a request in flight
    /// meanwhile.
    func persistentReserveOut(_ request: PersistentReserveOut, _ task: TaskIndex) {
        guard let unit else { return }
        requestsInFlight += 1
        offloadedRequests += 1
        jobs[task.index].inFlight += 1
        let (shared, reference, nexus, wait) = (reactor.shared, reference, nexus, waits.newNumber())
        let offload = Offload(task: task, isWaitedFor: true)
        offloads[task] = offload
        log(.notice, "PERSISTENT RESERVE OUT: \(request.name)")
        shared.reservations.queue.async {
            @Sendable func answer(_ status: SCSIStatus, _ sense: Sense?) {
                shared.post(.reservationsChanged(reference, task, wait: wait, status, sense), to: reference.reactor)
            }
            // A slow disk of state may have kept it here for longer than its initiator waited: who has preempted whom since?
            if offload.isCancelled { return answer(.taskAborted, nil) }
            switch shared.changeReservations(of: unit, request, from: nexus) {
            case .answered(let status, let sense): answer(status, sense)
            case .committed(let victims):
                // No write of a victim may come after the answer: it waits for the last of their block requests.
                let hold = VictimsHold(unit: unit, shared: shared)
                let barrier = Barrier {
                    hold.end()
                    answer(.good, nil)
                }
                if !victims.isEmpty {
                    shared.post(.reservationsCommitted(reference, task, wait: wait, hold), to: reference.reactor)
                    shared.abortTasks(unit: unit, of: victims, barrier)
                }
                barrier.leave()
            }
        }
    }

    /// The queue is done with a PERSISTENT RESERVE OUT.
    func reservationsChanged(_ task: TaskIndex, _ wait: Int, _ status: SCSIStatus, _ sense: Sense?) {
        // Given up meanwhile; the task's place may be another's by now.
        if waits.end(command: wait) { return }
        offloads[task] = nil
        requestsInFlight -= 1
        offloadedRequests -= 1
        jobs[task.index].inFlight -= 1
        reactor.markDirty(self)
        if isClosing || machine.task(task).state == .aborted {
            return discard(BlockRequest.synchronize(connection: index, task: task))
        }
        switch (status, sense) {
        case (.good, _): succeed(task)
        case (_, let sense?): fail(task, sense)
        default: machine.respond(task, status: status.rawValue, sense: RawSpan())
        }
    }
}

extension SharedState {
    enum ReservationResult {
        case answered(SCSIStatus, Sense?)
        case committed(victims: Set<NexusHandle>)
    }

    /// On the queue of reservations only.
    func changeReservations(
        of unit: UnitRuntime, _ request: PersistentReserveOut, from nexus: NexusHandle
    ) -> ReservationResult {
        switch unit.withUnit({ $0.reservationOutcome(of: request, from: nexus) }) {
        case .status(let status, let sense): return .answered(status, sense)
        case .change(let change):
            let target = unit.target
            do throws(ServerError) {
                try reservations.keeper?.keep(target, change.state)
            } catch {
                logger.error("reservation refused: \(error)", metadata: ["target": "\(target.name)"])
                return .answered(.checkCondition, .insufficientReservationResources)
            }
            return .committed(victims: unit.withUnit { $0.commit(change) }.subtracting([nexus]))
        }
    }

    /// Has the tasks of some nexuses of a unit ended, on every reactor.
    func abortTasks(unit: UnitRuntime, of nexuses: Set<NexusHandle>, _ barrier: Barrier) {
        unit.gate.awaitVisitors(barrier)
        for reactor in reactors {
            barrier.enter()
            reactor.post(.abortTasksOf(nexuses, unit: unit, barrier))
        }
    }
}
