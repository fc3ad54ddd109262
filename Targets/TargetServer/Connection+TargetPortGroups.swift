import ISCSI
import Reactor
import SCSI

/// Asymmetric access on the way of a command, and SET TARGET PORT GROUPS.
extension Connection {
    /// Whether media commands of this nexus need not ask the logical unit, although some port of it is not active or it is
    /// reserved.
    func isUnrestricted(_ unit: UnitRuntime) -> Bool {
        let version = unit.currentAccessVersion
        if version != accessVersion {
            let nexus = nexus
            isRestricted = unit.withUnit { $0.isRestricted(nexus) }
            accessVersion = version
        }
        return !isRestricted
    }

    /// Has states kept and published by the queue for that; the task counts as having a request in flight meanwhile.
    func setTargetPortGroups(_ changes: [TargetPortGroupChange], _ task: TaskIndex) {
        guard let unit else { return }
        requestsInFlight += 1
        offloadedRequests += 1
        jobs[task.index].inFlight += 1
        let (shared, reference, nexus) = (reactor.shared, reference, nexus)
        let offload = Offload(task: task, isWaitedFor: true)
        offloads[task] = offload
        log(.notice, "SET TARGET PORT GROUPS: \(changes.map { "\($0.group) \(AccessState($0.state).rawValue)" })")
        shared.access.queue.async {
            // What its initiator has given up long ago must not undo what was set since.
            let isKept = !offload.isCancelled && shared.setAccess(of: unit, changes, from: nexus)
            shared.post(.targetPortGroupsSet(reference, task, isKept: isKept), to: reference.reactor)
        }
    }

    /// The queue is done with a SET TARGET PORT GROUPS.
    func targetPortGroupsSet(_ task: TaskIndex, isKept: Bool) {
        offloads[task] = nil
        requestsInFlight -= 1
        offloadedRequests -= 1
        jobs[task.index].inFlight -= 1
        reactor.markDirty(self)
        if isClosing || machine.task(task).state == .aborted {
            return discard(BlockRequest.synchronize(connection: index, task: task))
        }
        if isKept { succeed(task) } else { fail(task, .setTargetPortGroupsCommandFailed) }
    }

    /// Asks the initiator to log out within so many seconds (RFC 7143 section 11.9.1, event 1).
    func askForLogout(withinSeconds seconds: UInt16) {
        guard case .fullFeature = phase, !pendingLogout else { return }
        log(.notice, "asking the initiator to log out within \(seconds) s")
        machine.announce(.logoutRequest, parameter1: 0, parameter2: 0, parameter3: seconds)
        reactor.markDirty(self)
    }
}

extension SharedState {
    /// Gives groups of a unit the states that an initiator asked for; false when they cannot be kept, or when the
    /// operator has drained one of them or taken it offline.
    func setAccess(of unit: UnitRuntime, _ changes: [TargetPortGroupChange], from nexus: NexusHandle) -> Bool {
        let target = unit.target
        do throws(ServerError) {
            try access.change { settings throws(ServerError) in
                for change in changes {
                    if let drain = settings.drains.first(where: { $0.covers(target, group: change.group) }) {
                        throw ServerError(
                            operation: "set target port group", object: "\(change.group)", cause: "\(drain) is drained",
                            advice: "storaged undrain")
                    }
                    let isOffline = settings.groups.contains {
                        $0.target == target.name && $0.group == change.group && $0.state == .offline
                    }
                    if isOffline {
                        throw ServerError(
                            operation: "set target port group", object: "\(change.group)",
                            cause: "the operator took it offline", advice: "storaged alua")
                    }
                    settings.set(
                        AccessState(change.state), target: target.name, group: change.group, isByInitiator: true)
                }
            } publish: { settings in
                unit.setAccess(settings.access(of: target), from: nexus)
            }
            return true
        } catch {
            logger.error("SET TARGET PORT GROUPS refused: \(error)", metadata: ["target": "\(target.name)"])
            return false
        }
    }
}
