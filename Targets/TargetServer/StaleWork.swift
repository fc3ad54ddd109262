import Glibc
import Logging

/// What was dropped because it was queued before a standstill, or waited for longer than initiators do.
struct StaleWork: Sendable {
    var connections = 0
    /// Commands in flight, and those whose data was still coming in.
    var commands = 0
    /// Bytes that lay unread in the sockets.
    var unreadBytes = 0

    mutating func add(_ other: StaleWork) {
        connections += other.connections
        commands += other.commands
        unreadBytes += other.unreadBytes
    }

    var metadata: Logger.Metadata {
        ["connections": "\(connections)", "commands": "\(commands)", "unread_bytes": "\(unreadBytes)"]
    }
}

extension Connection {
    /// Cuts the connection unread. Block requests in flight end by themselves; whoever takes the session's place waits
    /// for them.
    func cutStale() -> StaleWork {
        var unread: Int32 = 0
        if unsafe ioctl(descriptor, UInt(FIONREAD), &unread) != 0 { unread = 0 }
        let work = StaleWork(
            connections: 1, commands: machine.tasksInFlight, unreadBytes: Int(unread) + receiveBuffer.count)
        cut()
        return work
    }

    /// What a connection waits with has its turn. Where that took longer than initiators wait, they have given it up, and may
    /// have sent it again by another path: the connection is cut.
    func cutIfWaitedTooLong(since: Int64) {
        let limit = Int64(reactor.shared.limits.standstillSeconds) * 1_000_000_000
        guard !isClosing, reactor.now - since > limit else { return }
        let milliseconds = (reactor.now - since) / 1_000_000
        log(.warning, "closing connection: its commands waited \(milliseconds) ms for the unit")
        reactor.shared.count(cutStale())
    }

    /// The socket is not read until payload memory comes back.
    func stallInbound() {
        isInboundStalled = true
        inboundStalledAt = reactor.now
        beginStall()
        reactor.markStarved(self)
    }

    /// Memory came back to a connection that was not read for longer than its initiator waits, because the disk stood
    /// still, say: what it has sent meanwhile may have been repeated elsewhere. Returns whether it was cut.
    func cutIfStalledTooLong() -> Bool {
        let limit = Int64(reactor.shared.limits.standstillSeconds) * 1_000_000_000
        guard reactor.now - inboundStalledAt > limit else { return false }
        let work = cutStale()
        reactor.shared.count(work)
        let milliseconds = (reactor.now - inboundStalledAt) / 1_000_000
        log(.warning, "closing connection: it was not read for \(milliseconds) ms, for want of memory")
        return true
    }
}
