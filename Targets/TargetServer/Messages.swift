import ISCSI
import SCSI
import Synchronization

/// Names a connection from another thread. A connection that has ended is simply not found any more.
struct ConnectionReference: Hashable, Sendable {
    var reactor: Int
    var index: Int
    var generation: UInt32
}

/// What one thread asks of a reactor.
enum ReactorMessage: Sendable {
    /// Take over a freshly accepted socket.
    case adopt(descriptor: Int32, portal: PortalAddress, peer: PeerAddress)
    /// Listen here (first reactor only).
    case listen(descriptor: Int32, portal: PortalAddress)
    /// Stop listening there; the barrier is left when the descriptor is closed.
    case stopListening(PortalAddress, Barrier)
    /// The session that this connection reinstates is gone; its login may end.
    case loginGranted(ConnectionReference, tsih: UInt16)
    /// End this connection: another one takes its session's place, or its target or portal is gone.
    case close(ConnectionReference, CloseReason)
    /// End the tasks of this unit on this reactor, except those of one connection.
    case abortTasks(unit: UnitRuntime, except: ConnectionReference?, Barrier)
    /// The gate of this unit changed; the barrier is entered for connections that have requests of the unit in flight.
    case gateChanged(UnitRuntime, UnitGate.Mode, Barrier?)
    /// This command has the unit to itself.
    case gateEntered(UnitGate.Entrant, UnitRuntime)
    /// What a command had a thread of its own do has ended, with this sense or well.
    case offloadEnded(ConnectionReference, Offload, OffloadOutcome)
    /// Ask the initiator of this connection to log out.
    case askForLogout(ConnectionReference, withinSeconds: UInt16)
    /// What a SET TARGET PORT GROUPS asked for is kept and published, or is not.
    case targetPortGroupsSet(ConnectionReference, TaskIndex, isKept: Bool)
    /// End the tasks of these nexuses of a unit on this reactor.
    case abortTasksOf(Set<NexusHandle>, unit: UnitRuntime, Barrier)
    /// A PERSISTENT RESERVE OUT is in force; it waits for the last block requests of its victims.
    case reservationsCommitted(ConnectionReference, TaskIndex, wait: Int, VictimsHold)
    /// A PERSISTENT RESERVE OUT came to this.
    case reservationsChanged(ConnectionReference, TaskIndex, wait: Int, SCSIStatus, Sense?)
    /// The tasks that a task management request had to end are over.
    case managementDone(ConnectionReference, wait: Int, TaskManagementResult, dropsSessions: Bool)
    /// Fault rules are gone: what they hold back goes on. Nil for all of them.
    case releaseDelayed(rules: Set<Int>?)
    /// Report the sessions of this reactor.
    case snapshot(SnapshotCollector)
    /// Answer what is in flight, say goodbye, close everything.
    case drain(deadlineNanoseconds: Int64, Barrier)
    /// End the thread.
    case stop
}

/// Why we end a connection, for the log and for what is said to the initiator first.
enum CloseReason: Sendable {
    case reinstated
    case targetRemoved
    case portalRemoved
    case portOffline
    case accessWithdrawn
    case drained
    case targetReset
    case shutdown
    case loginTimeout
    case pingTimeout

    var explanation: String {
        switch self {
        case .reinstated: "session reinstated by a new login of the same initiator port"
        case .targetRemoved: "target removed from the inventory"
        case .portalRemoved: "portal removed from the inventory"
        case .portOffline: "the target port was taken offline"
        case .accessWithdrawn: "the inventory does not let the initiator see the volume any more"
        case .drained: "drained, and the initiator did not log out in time"
        case .targetReset: "target cold reset"
        case .shutdown: "shutting down"
        case .loginTimeout: "login did not end in time"
        case .pingTimeout: "no answer to a ping"
        }
    }
}

/// Counts down work that several threads do, and calls back once when the last of it is done, on the thread that did it.
final class Barrier: Sendable {
    private let left: Atomic<Int>
    private let whenDone: @Sendable () -> Void

    /// Starts at 1: the maker leaves it once it has entered all others.
    init(whenDone: @escaping @Sendable () -> Void) {
        left = Atomic(1)
        self.whenDone = whenDone
    }

    func enter() { left.add(1, ordering: .relaxed) }

    func leave() {
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { whenDone() }
    }
}

/// Collects every reactor's part of a snapshot.
final class SnapshotCollector: Sendable {
    struct Part {
        var sessions: [(target: String, session: SessionSnapshot)] = []
        var connectionsByPortal: [PortalAddress: Int] = [:]
        var connectionsBeforeLogin = 0
        var payloadBytesInUse = 0
    }

    let parts = Mutex<[Part]>([])
    let barrier: Barrier

    init(barrier: Barrier) { self.barrier = barrier }

    func add(_ part: Part) {
        parts.withLock { $0.append(part) }
        barrier.leave()
    }
}
