import ISCSI
import Reactor
import SCSI

/// Faults that a user injects for a drill.
extension Connection {
    /// Asks the rules about a new command. Returns whether they ended it (or the connection).
    func injectFault(_ task: TaskIndex, _ descriptor: CommandDescriptorBlock) -> Bool {
        guard let session, let unit else { return false }
        let (state, parameters) = (machine.task(task), machine.parameters)
        let faults = reactor.shared.faults
        let strike = faults.strike(
            FaultRules.Command(
                volume: unit.target.volumeName, initiator: session.key.initiator, portal: portal.description,
                descriptor: descriptor,
                hasDigest: parameters.headerDigest || (parameters.dataDigest && state.expectsDataIn)))
        guard !strike.rules.isEmpty else { return false }
        if strike.spentARule { reactor.shared.publishFaults() }
        log(
            .debug,
            "fault injected into command \(String(descriptor.byte(0), radix: 16)) of task \(state.initiatorTaskTag.rawValue): "
                + "rules \(strike.rules)")
        if let delay = strike.delay {
            jobs[task.index].delayMilliseconds = UInt32(delay.milliseconds)
            jobs[task.index].delayRule = Int32(truncatingIfNeeded: delay.rule)
        }
        for flip in strike.flips {
            // Not here: publishing states waits for those who keep some on a disk.
            let (shared, tag) = (reactor.shared, session.key.portalGroupTag)
            shared.access.queue.async { shared.flipAccess(of: unit, tag: tag, rule: flip.rule, flip.state) }
        }
        if strike.corruptsDigest { digestsToSpoil.append(state.initiatorTaskTag) }
        switch strike.end {
        case nil: return false
        case .sense(let sense): fail(task, sense)
        case .busy: endInjected(task, .busy)
        case .taskSetFull: endInjected(task, .taskSetFull)
        default: cut()
        }
        return true
    }

    private func endInjected(_ task: TaskIndex, _ status: SCSIStatus) {
        machine.respond(task, status: status.rawValue, sense: RawSpan())
        reactor.markDirty(self)
    }

    /// Puts a block request of a delayed command aside. Returns whether it has to wait; the delay runs from the command's
    /// first block request.
    func putAside(_ number: Int, _ task: TaskIndex) -> Bool {
        if jobs[task.index].delayedUntil == 0 {
            jobs[task.index].delayedUntil = reactor.now + Int64(jobs[task.index].delayMilliseconds) * 1_000_000
        }
        return reactor.putAside(
            number, until: jobs[task.index].delayedUntil, rule: Int(jobs[task.index].delayRule))
    }

    /// Spoils the digest of the PDU that was gathered last, where it is one of a command that a rule struck.
    func spoilDigest(of pdu: OutboundPDU) {
        let tag = pdu.header.initiatorTaskTag
        guard let place = digestsToSpoil.firstIndex(of: tag) else { return }
        let isSpoilt = transmit.spoilDigest(
            of: pdu, headerDigest: machine.parameters.headerDigest, dataDigest: machine.parameters.dataDigest)
        let isLast = pdu.header.opcode == .scsiResponse || pdu.header[.hasStatus]
        if isSpoilt || isLast { digestsToSpoil.remove(at: place) }
    }
}

extension SharedState {
    /// Flips the state of a target port group, on the queue of access. A rule that was cleared meanwhile does nothing.
    func flipAccess(of unit: UnitRuntime, tag: UInt16, rule: Int, _ state: AccessState) {
        guard faults.hold(rule), let group = unit.target.portalGroups.first(where: { $0.tag == tag })?.group else {
            return
        }
        unit.flip(group, rule: rule, state)
        access.whileUnchanged { unit.setAccess($0.access(of: unit.target)) }
    }

    /// Ends what cleared rules flipped.
    func endFlips(of rules: Set<Int>) {
        access.queue.sync {
            for unit in targets where unit.endFlips(of: rules) {
                access.whileUnchanged { unit.setAccess($0.access(of: unit.target)) }
            }
        }
    }
}

/// Block requests that wait for their time: a slow disk of a drill.
struct DelayedRequests {
    struct Waiting {
        var number: Int
        var dueAt: Int64
        var rule: Int
    }

    private var waiting: [Waiting] = []

    mutating func add(_ request: Waiting) { waiting.append(request) }

    /// The next moment at which one is due.
    var nextDue: Int64 { waiting.reduce(.max) { min($0, $1.dueAt) } }

    /// Takes out those that are meant, in the order in which they came.
    mutating func take(where isMeant: (Waiting) -> Bool) -> [Int] {
        guard !waiting.isEmpty else { return [] }
        let taken = waiting.filter(isMeant)
        waiting.removeAll(where: isMeant)
        return taken.map(\.number)
    }
}
