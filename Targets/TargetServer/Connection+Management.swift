import ISCSI
import SCSI

/// Task management and logout: both end tasks, and answer only when nothing of those tasks is in flight any more.
extension Connection {
    func manage(_ request: TaskManagement) {
        guard let unit else { return machine.answerTaskManagement(request.initiatorTaskTag, .functionRejected) }
        let isAboutUnit = request.function != .targetWarmReset && request.function != .targetColdReset
        if isAboutUnit, request.lun.rawValue != 0 {
            return machine.answerTaskManagement(request.initiatorTaskTag, .logicalUnitDoesNotExist)
        }
        let (server, reference, tag) = (reactor.shared, reference, request.initiatorTaskTag)
        guard waits.hasRoom else { return machine.answerTaskManagement(tag, .functionRejected) }
        func barrier(_ result: TaskManagementResult, dropsSessions: Bool = false) -> Barrier {
            let wait = beginWait(for: tag)
            return Barrier {
                server.post(
                    .managementDone(reference, wait: wait, result, dropsSessions: dropsSessions), to: reference.reactor)
            }
        }
        switch request.function {
        case .abortTask:
            guard let task = machine.find(request.referencedTaskTag) else {
                return machine.answerTaskManagement(tag, .taskDoesNotExist)
            }
            let barrier = barrier(.functionComplete)
            _ = abort(task, barrier)
            barrier.leave()
        case .abortTaskSet:
            let barrier = barrier(.functionComplete)
            abortAllTasks(barrier)
            barrier.leave()
        case .clearTaskSet:
            log(.notice, "CLEAR TASK SET: ending the tasks of all initiators")
            let nexus = nexus
            let barrier = barrier(.functionComplete)
            abortAllTasks(barrier)
            unit.withUnit { $0.raise(.commandsClearedByAnotherInitiator, except: nexus) }
            server.abortTasks(unit: unit, except: reference, barrier)
            barrier.leave()
        case .logicalUnitReset, .targetWarmReset, .targetColdReset:
            let isCold = request.function == .targetColdReset
            log(.notice, "\(request.function.map { "\($0)" } ?? ""): ending the tasks of all initiators")
            let barrier = barrier(.functionComplete, dropsSessions: isCold)
            abortAllTasks(barrier)
            let attention: UnitAttention = isAboutUnit ? .logicalUnitReset : .busReset
            unit.withUnit { $0.reset(attention) }
            server.abortTasks(unit: unit, except: reference, barrier)
            barrier.leave()
        case .taskReassign: machine.answerTaskManagement(tag, .reassignmentNotSupported)
        default: machine.answerTaskManagement(tag, .functionNotSupported)
        }
    }

    /// Everything that a task management request had to end has ended.
    func managementDone(_ wait: Int, _ result: TaskManagementResult, dropsSession: Bool) {
        // Where the wait was too long, the request has its answer.
        guard let tag = waits.end(wait) else { return }
        guard case .fullFeature = phase else { return }
        machine.answerTaskManagement(tag, result)
        reactor.markDirty(self)
        if dropsSession, let unit { reactor.shared.closeSessions(of: unit.target.name, .targetReset) }
    }

    func logoutRequested() {
        pendingLogout = true
        beginLogoutWait()
        let barrier = Barrier {}
        abortAllTasks(barrier)
        barrier.leave()
    }

    /// Answers the logout when no block request of the connection is in flight.
    func answerLogoutIfQuiet() {
        guard requestsInFlight == 0 else { return }
        pendingLogout = false
        log(.info, "initiator logged out")
        machine.answerLogout(.success)
    }
}
