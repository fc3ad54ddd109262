import Synchronization

/// What a check of a path found.
public enum PathCheckResult: Hashable, Sendable, CustomStringConvertible {
    /// Takes I/O.
    case up
    /// Takes I/O, where another path is to be preferred (ALUA active/non-optimized).
    case nonOptimized
    /// Answers, and will not take I/O now (ALUA standby, offline, in transition).
    case standby(String)
    /// Answers that its port was taken out of service (ALUA unavailable).
    case unavailable
    /// Does not take I/O; why.
    case down(String)
    /// No answer for so many seconds; the check still hangs in the kernel.
    case unanswered(seconds: Double)

    /// `up`, `down (no connection)`.
    public var description: String {
        switch self {
        case .up: "up"
        case .nonOptimized: "up (ALUA active/non-optimized)"
        case .unavailable: "standby (ALUA unavailable)"
        case .standby(let why): "standby (\(why))"
        case .down(let why): "down (\(why))"
        case .unanswered(let seconds): "unanswered for \(seconds.rounded()) s"
        }
    }
}

/// Checks one path, never more than once at a time, and never longer than the caller wants to wait.
///
/// A check that hangs keeps its thread; later calls report `unanswered` with its age and start nothing, so a dead path
/// costs one thread, not one a round. Turned down: one thread a path that lives all the time (idle most of it), and
/// asynchronous SG (sg nodes, one more module and one more name for each path).
public final class PathChecker: Sendable {
    /// How the path is asked.
    public enum Method: Hashable, Sendable {
        /// TEST UNIT READY through SG_IO: says why, moves no data. For SCSI disks.
        case testUnitReady
        /// A direct read of the first 4 KiB. For any block device.
        case directRead
    }

    /// The path's node.
    public let node: String
    /// How it is asked.
    public let method: Method
    /// The target port that the path leads to, where it is known: then the state of its group is asked for, too.
    public let relativeTargetPort: UInt16?
    private let startedAt = Mutex<ContinuousClock.Instant?>(nil)

    /// A checker for one path's node (`/dev/sdb`).
    public init(node: String, method: Method = .testUnitReady, relativeTargetPort: UInt16? = nil) {
        self.node = node
        self.method = method
        self.relativeTargetPort = relativeTargetPort
    }

    /// Asks the path; returns at the deadline at the latest.
    public func check(deadlineSeconds: Double) async -> PathCheckResult {
        let now = ContinuousClock.now
        let running = startedAt.withLock { started -> ContinuousClock.Instant? in
            if let started { return started }
            started = now
            return nil
        }
        if let running { return .unanswered(seconds: Self.seconds(since: running)) }
        let result = await BlockingCall.run(deadlineSeconds: deadlineSeconds) { [self] in
            let result = ask(timeoutMilliseconds: UInt32(max(1, min(deadlineSeconds, 3600) * 1000)))
            startedAt.withLock { $0 = nil }
            return result
        }
        return result ?? .unanswered(seconds: Self.seconds(since: now))
    }

    private static func seconds(since start: ContinuousClock.Instant) -> Double {
        (ContinuousClock.now - start) / .seconds(1)
    }

    private func ask(timeoutMilliseconds: UInt32) -> PathCheckResult {
        do {
            switch method {
            case .directRead:
                try SCSIPassThrough.readFirstBlock(node: node)
                return .up
            case .testUnitReady:
                let device = try SCSIPassThrough(node: node)
                // Unit attentions are news, not failures: each is reported once, so ask again. Bounded.
                for _ in 0..<8 {
                    let outcome = try device.testUnitReady(timeoutMilliseconds: timeoutMilliseconds)
                    guard let result = Self.judge(outcome) else { continue }
                    guard result == .up, let relativeTargetPort else { return result }
                    let state = try device.accessState(
                        ofPort: relativeTargetPort, timeoutMilliseconds: timeoutMilliseconds)
                    return Self.judge(accessState: state)
                }
                return .down("unit attentions without end")
            }
        } catch {
            return .down(error.cause)
        }
    }

    /// What the state of its group means for a path that is ready. A unit that does not tell has one state only.
    public static func judge(accessState: UInt8?) -> PathCheckResult {
        switch accessState {
        case nil, 0x0, 0x4: .up
        case 0x1: .nonOptimized
        case 0x2: .standby("ALUA standby")
        case 0x3: .unavailable
        case 0xE: .standby("ALUA offline")
        default: .standby("ALUA transition")
        }
    }

    /// What TEST UNIT READY's outcome means for the path; nil when it has to be asked again.
    ///
    /// A reservation conflict or a busy unit says nothing against the path.
    public static func judge(_ outcome: SCSIPassThrough.Outcome) -> PathCheckResult? {
        switch outcome.hostStatus {
        case 0: break
        case 1: return .down("no connection")
        case 3: return .down("timed out")
        case 14, 15: return .down("transport disrupted")
        default: return .down("host status \(outcome.hostStatus)")
        }
        switch outcome.status {
        case 0, 0x08, 0x18, 0x28: return .up
        case 0x02: break
        default: return .down("SCSI status \(outcome.status)")
        }
        guard let sense = outcome.senseCodes else { return .down("CHECK CONDITION without sense data") }
        switch (sense.key, sense.code, sense.qualifier) {
        case (0, _, _), (1, _, _): return .up
        case (6, _, _): return nil
        case (2, 0x04, 0x0A): return .standby("ALUA transition")
        case (2, 0x04, 0x0B): return .standby("ALUA standby")
        case (2, 0x04, 0x0C): return .unavailable
        case (5, 0x25, _): return .down("the target no longer has this unit")
        default:
            let codes = [sense.key, sense.code, sense.qualifier].map { String($0, radix: 16) }
            return .down("sense \(codes.joined(separator: "/"))")
        }
    }
}
