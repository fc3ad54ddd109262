import ISCSI

/// Requests of one connection that wait for block requests to end: each is answered in bounded time, whatever the store
/// does. One that waited for too long is refused, which makes the initiator escalate; success is only ever said when
/// nothing of the victims can reach the file any more.
struct BoundedWaits {
    /// What waits.
    enum Subject {
        /// A task management request.
        case management(InitiatorTaskTag)
        /// A PERSISTENT RESERVE OUT whose victims' block requests are under way.
        case command(TaskIndex, VictimsHold)
    }

    private struct Wait {
        var number: Int
        /// What waits.
        var subject: Subject
        /// `.max` once it is answered: its barrier is still to come.
        var deadline: Int64
    }

    private var waits: [Wait] = []
    private var nextNumber = 0
    /// When the logout has waited for too long.
    var logoutDeadline = Int64.max
    /// When the socket has stood unread for too long, for want of memory; requests to abort may stand in it.
    var stallDeadline = Int64.max

    /// Waits at a time, those included whose answer has been given and whose victims still hang.
    private static let maximum = 64

    var hasRoom: Bool { waits.count < Self.maximum }

    /// The next moment at which one is overdue.
    var nextDeadline: Int64 { waits.reduce(min(logoutDeadline, stallDeadline)) { min($0, $1.deadline) } }

    mutating func newNumber() -> Int {
        nextNumber += 1
        return nextNumber
    }

    mutating func begin(_ number: Int, _ subject: Subject, deadline: Int64) {
        waits.append(Wait(number: number, subject: subject, deadline: deadline))
    }

    /// Everything that task management waited for has ended. Returns the tag to answer, nil when it has its answer.
    mutating func end(_ number: Int) -> InitiatorTaskTag? {
        guard let place = waits.firstIndex(where: { $0.number == number }) else { return nil }
        let wait = waits.remove(at: place)
        guard wait.deadline != .max, case .management(let tag) = wait.subject else { return nil }
        return tag
    }

    /// Everything that a command waited for has ended. Returns whether it has its answer.
    mutating func end(command number: Int) -> Bool {
        guard let place = waits.firstIndex(where: { $0.number == number }) else { return false }
        return waits.remove(at: place).deadline == .max
    }

    /// Those that are overdue, which count as answered from here on.
    mutating func takeOverdue(_ now: Int64) -> [Subject] {
        var overdue: [Subject] = []
        for index in waits.indices where waits[index].deadline <= now {
            waits[index].deadline = .max
            overdue.append(waits[index].subject)
        }
        return overdue
    }
}

extension Connection {
    private var patience: Int64 { Int64(reactor.shared.limits.abortSeconds) * 1_000_000_000 }

    /// Task management begins to wait; returns the number to end it by.
    func beginWait(for tag: InitiatorTaskTag) -> Int {
        let number = waits.newNumber()
        waits.begin(number, .management(tag), deadline: reactor.now + patience)
        reactor.schedule(at: reactor.now + patience)
        return number
    }

    /// A PERSISTENT RESERVE OUT begins to wait for its victims' block requests.
    func beginWait(_ number: Int, of task: TaskIndex, _ hold: VictimsHold) {
        waits.begin(number, .command(task, hold), deadline: reactor.now + patience)
        reactor.schedule(at: reactor.now + patience)
    }

    /// A command gives up. Its task counted as having a request in flight; what is to come of that is dropped.
    private func giveUp(_ task: TaskIndex, _ hold: VictimsHold) {
        hold.begin()
        offloads[task] = nil
        offloadedRequests -= 1
        requestsInFlight -= 1
        jobs[task.index].inFlight -= 1
        if isClosing || machine.task(task).state == .aborted {
            return discard(BlockRequest.synchronize(connection: index, task: task))
        }
        log(.warning, "PERSISTENT RESERVE OUT in force, but a victim's block requests have not ended: the store hangs")
        fail(task, .commandTimeoutDuringProcessing)
    }

    func beginLogoutWait() {
        waits.logoutDeadline = reactor.now + patience
        reactor.schedule(at: waits.logoutDeadline)
    }

    /// The socket is not read for want of memory.
    func beginStall() {
        waits.stallDeadline = reactor.now + patience
        reactor.schedule(at: waits.stallDeadline)
    }

    /// A login begins to wait for the session whose place it takes.
    func awaitSession() {
        deadline = reactor.now + patience
        reactor.schedule(at: deadline)
    }

    /// The store did not answer in time.
    func waitsOverdue() {
        let overdue = waits.takeOverdue(reactor.now)
        for case .command(let task, let hold) in overdue { giveUp(task, hold) }
        if waits.stallDeadline <= reactor.now {
            waits.stallDeadline = .max
            if isInboundStalled, !isClosing {
                log(.warning, "closing connection: the store has given no memory back to read it")
                reactor.shared.count(cutStale())
            }
        }
        let logoutIsOverdue = waits.logoutDeadline <= reactor.now
        if logoutIsOverdue { waits.logoutDeadline = .max }
        reactor.markDirty(self)
        guard case .fullFeature = phase, !closesAfterOutput else { return }
        let seconds = reactor.shared.limits.abortSeconds
        for case .management(let tag) in overdue {
            log(.warning, "task management refused: the store has not ended the tasks' block requests for \(seconds) s")
            machine.answerTaskManagement(tag, .functionRejected)
        }
        if logoutIsOverdue, pendingLogout {
            pendingLogout = false
            log(.warning, "logout failed: the store has not ended the session's block requests for \(seconds) s")
            machine.answerLogout(.cleanupFailed)
            closesAfterOutput = true
        }
    }

    /// The session that this login would reinstate still has block requests under way: its writes could come after the
    /// new session's. The login is refused, and the initiator tries again.
    func sessionDidNotEnd(_ step: LoginStep) {
        // It was told so, and did not read it.
        if closesAfterOutput { return cut() }
        var step = step
        step.refuse(.serviceUnavailable, cause: "the store has not ended the old session's block requests")
        answer(step)
        deadline = reactor.now + Int64(reactor.shared.limits.loginSeconds) * 1_000_000_000
        reactor.schedule(at: deadline)
    }
}
