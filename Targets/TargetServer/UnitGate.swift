import Dispatch
import SCSI
import Synchronization

/// Lets one command have a logical unit to itself: COMPARE AND WRITE, ORWRITE and what else no other command may come
/// in between.
///
/// How it goes: `enter` closes the gate and tells every reactor. From then on what their connections would submit for
/// this unit is parked there, except for the rest of commands that have begun and whose block requests follow one
/// another. A connection none of whose block requests on the unit is in flight has drained; when all have, the command
/// that entered first is told by message. After `leave` the next one of those that were waiting when the gate closed is
/// let in; then the gate opens, and what was parked goes on in the order in which it came, before the gate closes for
/// those that came later: neither side can starve the other.
///
/// What it gains: reads and writes take no lock, they look at a word. What it costs: an atomic command waits for
/// one message to every reactor and for the reads and writes in flight. Locks on ranges of blocks were turned down: every
/// read and write would have to take one.
///
/// A command is whole to another one as far as its block requests follow one another without a pause. A read or write
/// that pauses in the middle, because its initiator does not take or send the data, is in parts of at most 256 KiB, each
/// of them whole.
final class UnitGate: Sendable {
    /// Who waits.
    enum Mode: UInt8 {
        /// Nobody.
        case open
        /// What changes the medium.
        case writesWait
        /// Everything but the command that has the unit.
        case closed
    }

    /// A command that wants the unit. The ticket tells it from a later command in the same place.
    struct Entrant: Hashable, Sendable {
        /// Nil for a thread of its own, see `State.callbacks`.
        var connection: ConnectionReference?
        var task: UInt16
        var ticket: UInt64
    }

    private struct State {
        /// Will be let in before the gate opens; the first one has, or is about to get, the unit.
        var admitted: [Entrant] = []
        /// Came later: once the gate has been open in between.
        var later: [Entrant] = []
        /// How those are told that do not sit on a reactor, by ticket.
        var callbacks: [UInt64: @Sendable () -> Void] = [:]
        var writeHolds = 0
        /// Threads that are in between two `visit` and `endVisit`, and those that wait to be.
        var visitors = 0
        var waitingVisitors: [UInt64: @Sendable () -> Void] = [:]
        /// Left when the last visitor is gone.
        var visitorsBarriers: [Barrier] = []
        var nextTicket: UInt64 = 1
    }

    private let mode = Atomic<UInt8>(Mode.open.rawValue)
    private let state = Mutex(State())

    /// For a connection that finds `LogicalUnitFlags.gated` set.
    var currentMode: Mode { Mode(rawValue: mode.load(ordering: .acquiring)) ?? .open }

    // MARK: One command alone

    /// Queues a command for the unit. `ReactorMessage.gateEntered` tells its connection when it has it; from then on the
    /// command owes a `leave`, whatever becomes of it.
    func enter(_ connection: ConnectionReference, task: UInt16, unit: UnitRuntime, shared: SharedState) -> Entrant {
        enter(connection, task, unit, shared, nil)
    }

    /// The same for a thread of its own, which may wait: returns when it has the unit.
    func enterWaiting(unit: UnitRuntime, shared: SharedState) -> Entrant {
        let entered = DispatchSemaphore(value: 0)
        let entrant = enter(nil, 0, unit, shared) { entered.signal() }
        entered.wait()
        return entrant
    }

    private func enter(
        _ connection: ConnectionReference?, _ task: UInt16, _ unit: UnitRuntime, _ shared: SharedState,
        _ callback: (@Sendable () -> Void)?
    ) -> Entrant {
        let (entrant, closing): (Entrant, Barrier?) = state.withLock { state in
            let entrant = Entrant(connection: connection, task: task, ticket: state.nextTicket)
            state.nextTicket += 1
            if let callback { state.callbacks[entrant.ticket] = callback }
            guard state.admitted.isEmpty else {
                state.later.append(entrant)
                return (entrant, nil)
            }
            state.admitted = [entrant]
            return (entrant, close(&state, unit, shared))
        }
        closing?.leave()
        return entrant
    }

    /// The command is done with the unit.
    func leave(_ entrant: Entrant, unit: UnitRuntime, shared: SharedState) {
        let closing: Barrier? = state.withLock { state in
            guard state.admitted.first == entrant else { preconditionFailure("left the gate without having entered") }
            state.admitted.removeFirst()
            if let next = state.admitted.first {
                grant(next, &state, unit, shared)
                return nil
            }
            change(to: state.writeHolds > 0 ? .writesWait : .open, unit, shared, nil)
            admitVisitors(&state)
            if state.later.isEmpty { return nil }
            state.admitted = state.later
            state.later = []
            return close(&state, unit, shared)
        }
        closing?.leave()
    }

    /// Closes, with the lock held. The barrier calls back when every connection has drained; it is left without the lock,
    /// because it may be the last to be.
    private func close(_ state: inout State, _ unit: UnitRuntime, _ shared: SharedState) -> Barrier {
        let barrier = Barrier { [self] in
            self.state.withLock { state in
                guard let first = state.admitted.first else { preconditionFailure("a gate that closed for nobody") }
                grant(first, &state, unit, shared)
            }
        }
        if state.visitors > 0 {
            barrier.enter()
            state.visitorsBarriers.append(barrier)
        }
        change(to: .closed, unit, shared, barrier)
        return barrier
    }

    private func grant(_ entrant: Entrant, _ state: inout State, _ unit: UnitRuntime, _ shared: SharedState) {
        if let connection = entrant.connection {
            shared.post(.gateEntered(entrant, unit), to: connection.reactor)
        } else {
            state.callbacks.removeValue(forKey: entrant.ticket)?()
        }
    }

    // MARK: Threads that write beside the reactors

    /// Waits until the gate is open, and keeps it from letting anybody in until `endVisit`. For one piece of work on the
    /// medium by a thread of its own. Whoever visits two units does so in the order of `precedes`, or two threads could wait
    /// for each other by way of the commands in between.
    ///
    /// - Parameter isWanted: Asked now and then while it waits, which may be for as long as a SANITIZE takes.
    /// - Returns: False when it was not wanted any more; then there is nothing to end.
    func visit(while isWanted: () -> Bool) -> Bool {
        let admitted = DispatchSemaphore(value: 0)
        let ticket: UInt64? = state.withLock { state in
            if state.admitted.isEmpty && state.writeHolds == 0 {
                state.visitors += 1
                return nil
            }
            defer { state.nextTicket += 1 }
            state.waitingVisitors[state.nextTicket] = { admitted.signal() }
            return state.nextTicket
        }
        guard let ticket else { return true }
        while admitted.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
            if isWanted() { continue }
            // It may have been let in since.
            let stillWaits = state.withLock { $0.waitingVisitors.removeValue(forKey: ticket) != nil }
            if !stillWaits { endVisit() }
            return false
        }
        return true
    }

    /// The order in which two gates are visited.
    func precedes(_ other: UnitGate) -> Bool { ObjectIdentifier(self) < ObjectIdentifier(other) }

    /// The piece of work is done.
    func endVisit() {
        let barriers: [Barrier] = state.withLock { state in
            state.visitors -= 1
            guard state.visitors == 0 else { return [] }
            defer { state.visitorsBarriers = [] }
            return state.visitorsBarriers
        }
        for barrier in barriers { barrier.leave() }
    }

    /// Has a barrier wait until nobody visits any more: a copy into this unit whose command came to another one.
    func awaitVisitors(_ barrier: Barrier) {
        state.withLock { state in
            guard state.visitors > 0 else { return }
            barrier.enter()
            state.visitorsBarriers.append(barrier)
        }
    }

    private func admitVisitors(_ state: inout State) {
        guard state.writeHolds == 0 else { return }
        let waiting = state.waitingVisitors
        state.waitingVisitors = [:]
        state.visitors += waiting.count
        for visitor in waiting.values { visitor() }
    }

    // MARK: Writes that have to wait

    /// Keeps back what would change the medium, from now on and until `releaseWrites`: for the time in which writes of a
    /// connection that was cut may still be in flight. Its initiator sends them again by another path, and what it writes
    /// there must not be overtaken by the older write.
    ///
    /// Holds nest. Requests submitted before are not waited for: the caller knows which ones it is about, and calls
    /// `releaseWrites` when the last of them has ended (`Connection.finishIfIdle`).
    func holdWrites(unit: UnitRuntime, shared: SharedState) {
        state.withLock { state in
            state.writeHolds += 1
            if state.writeHolds == 1, state.admitted.isEmpty { change(to: .writesWait, unit, shared, nil) }
        }
    }

    /// Ends what `holdWrites` began; with the last of them, the writes that were kept back go on in order.
    func releaseWrites(unit: UnitRuntime, shared: SharedState) {
        state.withLock { state in
            state.writeHolds -= 1
            guard state.writeHolds == 0, state.admitted.isEmpty else { return }
            change(to: .open, unit, shared, nil)
            admitVisitors(&state)
        }
    }

    /// Changes the mode and tells every reactor, with the lock held, so that the messages of two changes cannot change
    /// places.
    private func change(to new: Mode, _ unit: UnitRuntime, _ shared: SharedState, _ drained: Barrier?) {
        mode.store(new.rawValue, ordering: .releasing)
        unit.setGated(new != .open)
        for reactor in shared.reactors {
            drained?.enter()
            reactor.post(.gateChanged(unit, new, drained))
        }
    }
}

extension LogicalUnitFlags {
    /// The unit's gate is not open; the gate sets it, beside what the logical unit sets.
    static let gated = Self(rawValue: 1 << 31)
}
