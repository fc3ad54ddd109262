import Glibc
import ISCSI
import SCSI
import Synchronization

/// Work of a command that a thread of its own does, because it takes long and is many system calls in a row.
final class Offload: Sendable {
    let task: TaskIndex
    /// Whoever waits for the end of the task, or of its connection, waits for the work.
    let isWaitedFor: Bool
    private let cancelled = Atomic<Bool>(false)

    init(task: TaskIndex, isWaitedFor: Bool) {
        self.task = task
        self.isWaitedFor = isWaitedFor
    }

    /// The command was aborted, or its connection ends: what may stop, stops at the next step.
    func cancel() { cancelled.store(true, ordering: .relaxed) }

    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
}

/// How such work ended.
enum OffloadOutcome: Sendable {
    case good
    /// Parameter data.
    case data([UInt8])
    case failed(Sense)
}

extension Connection {
    /// Puts the task's work on a thread of its own; false where the system gives none. `body` returns the outcome.
    func offload(
        _ task: TaskIndex, name: String, isWaitedFor: Bool, _ body: @escaping @Sendable (Offload) -> OffloadOutcome
    ) -> Bool {
        let offload = Offload(task: task, isWaitedFor: isWaitedFor)
        let (shared, reference) = (reactor.shared, reference)
        let started = Thread.start(name: name) {
            let outcome = body(offload)
            shared.post(.offloadEnded(reference, offload, outcome), to: reference.reactor)
        }
        guard started else { return false }
        offloads[task] = offload
        if isWaitedFor {
            offloadedRequests += 1
            requestsInFlight += 1
            jobs[task.index].inFlight += 1
        }
        return true
    }

    /// The thread is done; nobody may be waiting for it any more.
    func offloadEnded(_ offload: Offload, _ outcome: OffloadOutcome) {
        let task = offload.task
        let isCurrent = offloads[task] === offload
        if isCurrent { offloads[task] = nil }
        if offload.isWaitedFor {
            offloadedRequests -= 1
            requestsInFlight -= 1
            jobs[task.index].inFlight -= 1
            reactor.markDirty(self)
            if isClosing || machine.task(task).state == .aborted {
                return discard(.synchronize(connection: index, task: task))
            }
        }
        guard !isClosing, isCurrent else { return }
        if offload.isWaitedFor {
            leaveGate(task)
            releaseJobSlot(task)
        }
        switch outcome {
        case .good: succeed(task)
        case .data(let bytes):
            sendParameterData(bytes, task)
            reactor.markDirty(self)
        case .failed(let sense): fail(task, sense)
        }
    }

    /// Questions to one unit's file system that may wait for their turn; one more is answered with BUSY.
    private static let maximumInspections = 128

    /// Puts a question to the unit's file system on the unit's own queue. Nobody waits for the answer but the task.
    func inspect(_ task: TaskIndex, _ body: @escaping @Sendable () -> OffloadOutcome) {
        guard let unit else { return }
        guard unit.inspections.add(1, ordering: .relaxed).newValue <= Self.maximumInspections else {
            unit.inspections.subtract(1, ordering: .relaxed)
            return refuseOffload(task)
        }
        let offload = Offload(task: task, isWaitedFor: false)
        offloads[task] = offload
        let (shared, reference) = (reactor.shared, reference)
        unit.inspection.async {
            let outcome = offload.isCancelled ? .good : body()
            unit.inspections.subtract(1, ordering: .relaxed)
            shared.post(.offloadEnded(reference, offload, outcome), to: reference.reactor)
        }
    }

    /// Ends a task with BUSY: no thread, or too many of them, for what it asks.
    func refuseOffload(_ task: TaskIndex) {
        machine.respond(task, status: SCSIStatus.busy.rawValue, sense: RawSpan())
        reactor.markDirty(self)
    }

    // MARK: SANITIZE and FORMAT UNIT

    /// Starts work on the whole medium. It goes on whatever becomes of the command, the session or the connection, as
    /// SBC-3 4.11 asks; other commands hear from the logical unit that they have to wait.
    func workOnMedium(_ work: MediumWork, _ task: TaskIndex) {
        guard let unit else { return }
        let (shared, logger) = (reactor.shared, reactor.logger)
        log(.notice, "\(work.isSanitize ? "SANITIZE" : "FORMAT UNIT") of \(unit.target.volumeName) begins")
        let worker = MediumWorker(unit: unit, work: work, shared: shared, logger: logger)
        let started = offload(task, name: "medium-work", isWaitedFor: false) { _ in worker.run() }
        guard started else {
            // Nothing has been touched.
            unit.withUnit { $0.mediumWorkEnded(failed: false) }
            return refuseOffload(task)
        }
        if work.answersAtOnce {
            offloads[task] = nil
            succeed(task)
        }
    }
}
