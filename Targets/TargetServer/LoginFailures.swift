import ISCSI
import Synchronization

/// Failed logins: counted by reason, kept within bounds by address, and logged within bounds.
///
/// An address that guessed too often in `loginFailureSeconds` has its connections closed unheard for as long again; then it
/// starts anew, whoever is behind it. A success does not clear it: one who may log in could guess for ever in between. The
/// table is of fixed size; when it is full, the address that failed longest ago makes room.
package final class LoginFailures: Sendable {
    /// Why a login failed.
    package enum Reason: String, Sendable, CaseIterable {
        /// It proved nothing, or the wrong thing.
        case authentication
        /// There is no such target, or none that it may see.
        case access
        /// It broke the protocol.
        case malformed
        /// Drained, leaving, or short of something.
        case unavailable
        /// It took too long.
        case timeout
        /// The address had failed too often, and nobody listened to the connection.
        case rateLimited

        /// What a login's status comes from.
        init(_ status: LoginStatus) {
            switch status {
            case .authenticationFailure: self = .authentication
            case .authorizationFailure, .targetNotFound, .targetRemoved: self = .access
            case _ where status.statusClass == 3: self = .unavailable
            default: self = .malformed
            }
        }

        /// Whether somebody who fails this way may be guessing.
        var isGuess: Bool { self == .authentication || self == .access }
    }

    /// What came of counting a failure.
    package struct Note {
        /// Failures before it that were not logged, where it is to be logged; else nil.
        package var unlogged: Int?
        /// The address is refused from now on.
        package var beginsRefusal = false
    }

    private struct Record {
        var failures = 0
        /// Failures count from here on.
        var since: Int64
        /// Connections are refused until then.
        var refusedUntil: Int64 = .min
    }

    private struct State {
        var counts = [UInt64](repeating: 0, count: Reason.allCases.count)
        var records: [String: Record] = [:]
        var lines: Double = LoginFailures.lineBurst
        var linesAt: Int64 = 0
        var unlogged = 0
    }

    /// Addresses that are remembered.
    package static let tableSize = 1024
    /// Lines at once, and lines a second after those: enough to see what goes on, too few to fill a disk.
    private static let lineBurst = 100.0
    private static let linesPerSecond = 1.0

    private let limit: Int
    private let window: Int64
    private let state = Mutex(State())

    package init(_ limits: ServerLimits) {
        limit = limits.loginFailuresPerAddress
        window = Int64(limits.loginFailureSeconds) * 1_000_000_000
    }

    /// Counts a failure that is nobody's guess.
    func count(_ reason: Reason) {
        state.withLock { Self.count(reason, &$0) }
    }

    /// Counts a failure.
    ///
    /// - Parameter isGuess: Whether guessing is worth anything here.
    package func note(_ reason: Reason, of peer: PeerAddress, isGuess: Bool, now: Int64) -> Note {
        state.withLock { state in
            Self.count(reason, &state)
            var note = Note()
            state.lines = min(Self.lineBurst, state.lines + Double(now - state.linesAt) / 1e9 * Self.linesPerSecond)
            state.linesAt = now
            if state.lines >= 1 {
                state.lines -= 1
                note.unlogged = state.unlogged
                state.unlogged = 0
            } else {
                state.unlogged += 1
            }
            guard isGuess, reason.isGuess else { return note }
            let network = peer.network
            if state.records[network] == nil, state.records.count >= Self.tableSize { makeRoom(&state, now) }
            var record = state.records[network] ?? Record(since: now)
            if now - record.since >= window { record = Record(since: now, refusedUntil: record.refusedUntil) }
            record.failures += 1
            if record.failures >= limit, record.refusedUntil <= now {
                record.refusedUntil = now + window
                record.since = now
                record.failures = 0
                note.beginsRefusal = true
            }
            state.records[network] = record
            return note
        }
    }

    /// Whether a connection of this peer is to be closed unheard; counted where it is.
    package func refuses(_ peer: PeerAddress, now: Int64) -> Bool {
        state.withLock { state in
            // Nearly always: nobody has failed.
            if state.records.isEmpty { return false }
            guard let record = state.records[peer.network] else { return false }
            if record.refusedUntil > now {
                Self.count(.rateLimited, &state)
                return true
            }
            if now - record.since >= window { state.records[peer.network] = nil }
            return false
        }
    }

    /// Failed logins of every reason.
    package var total: UInt64 { state.withLock { $0.counts.reduce(0, +) } }

    /// Failed logins by the names of reasons.
    package var countsByReason: [String: UInt64] {
        let counts = state.withLock { $0.counts }
        return Dictionary(uniqueKeysWithValues: zip(Reason.allCases.map(\.rawValue), counts))
    }

    /// How many addresses are remembered.
    package var remembered: Int { state.withLock { $0.records.count } }

    /// How many addresses are refused now.
    package func refusedAddresses(now: Int64) -> Int {
        state.withLock { $0.records.values.count { $0.refusedUntil > now } }
    }

    private static func count(_ reason: Reason, _ state: inout State) {
        if let index = Reason.allCases.firstIndex(of: reason) { state.counts[index] += 1 }
    }

    private func makeRoom(_ state: inout State, _ now: Int64) {
        state.records = state.records.filter { $0.value.refusedUntil > now || now - $0.value.since < window }
        guard state.records.count >= Self.tableSize else { return }
        let oldest = state.records.min { left, right in
            // Those that are refused go last.
            (left.value.refusedUntil, left.value.since) < (right.value.refusedUntil, right.value.since)
        }
        if let oldest { state.records[oldest.key] = nil }
    }
}
