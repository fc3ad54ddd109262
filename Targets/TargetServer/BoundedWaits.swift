import ISCSI

/// Requests of one connection that wait for block requests to end: each is answered in bounded time, whatever the store
/// does. One that waited for too long is refused, which makes the initiator escalate; success is only ever said when
/// nothing of the victims can reach the file any more.
struct BoundedWaits {
    private struct Wait {
        var number: Int
        var tag: InitiatorTaskTag
        /// `.max` once it is answered: its barrier is still to come.
        var deadline: Int64
    }

    private var waits: [Wait] = []
    private var nextNumber = 0
    /// When the logout has waited for too long.
    var logoutDeadline = Int64.max

    /// Waits at a time, those included whose answer has been given and whose victims still hang.
    private static let maximum = 64

    var hasRoom: Bool { waits.count < Self.maximum }

    /// The next moment at which one is overdue.
    var nextDeadline: Int64 { waits.reduce(logoutDeadline) { min($0, $1.deadline) } }

    mutating func begin(_ tag: InitiatorTaskTag, deadline: Int64) -> Int {
        nextNumber += 1
        waits.append(Wait(number: nextNumber, tag: tag, deadline: deadline))
        return nextNumber
    }

    /// Everything that it waited for has ended. Returns the tag to answer, nil when it has its answer.
    mutating func end(_ number: Int) -> InitiatorTaskTag? {
        guard let place = waits.firstIndex(where: { $0.number == number }) else { return nil }
        let wait = waits.remove(at: place)
        return wait.deadline == .max ? nil : wait.tag
    }

    /// The tags of those that are overdue, which count as answered from here on.
    mutating func takeOverdue(_ now: Int64) -> [InitiatorTaskTag] {
        var tags: [InitiatorTaskTag] = []
        for index in waits.indices where waits[index].deadline <= now {
            waits[index].deadline = .max
            tags.append(waits[index].tag)
        }
        return tags
    }
}

extension Connection {
    private var patience: Int64 { Int64(reactor.shared.limits.abortSeconds) * 1_000_000_000 }

    /// Task management begins to wait; returns the number to end it by.
    func beginWait(for tag: InitiatorTaskTag) -> Int {
        reactor.schedule(at: reactor.now + patience)
        return waits.begin(tag, deadline: reactor.now + patience)
    }

    func beginLogoutWait() {
        waits.logoutDeadline = reactor.now + patience
        reactor.schedule(at: waits.logoutDeadline)
    }

    /// A login begins to wait for the session whose place it takes.
    func awaitSession() {
        deadline = reactor.now + patience
        reactor.schedule(at: deadline)
    }

    /// The store did not answer in time.
    func waitsOverdue() {
        let tags = waits.takeOverdue(reactor.now)
        let logoutIsOverdue = waits.logoutDeadline <= reactor.now
        if logoutIsOverdue { waits.logoutDeadline = .max }
        guard case .fullFeature = phase, !closesAfterOutput else { return }
        let seconds = reactor.shared.limits.abortSeconds
        for tag in tags {
            log(.warning, "task management refused: the store has not ended the tasks' block requests for \(seconds) s")
            machine.answerTaskManagement(tag, .functionRejected)
        }
        if logoutIsOverdue, pendingLogout {
            pendingLogout = false
            log(.warning, "logout failed: the store has not ended the session's block requests for \(seconds) s")
            machine.answerLogout(.cleanupFailed)
            closesAfterOutput = true
        }
        reactor.markDirty(self)
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
