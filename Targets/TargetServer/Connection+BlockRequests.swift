import Glibc
import ISCSI
import Reactor
import SCSI

extension BlockRequest {
    /// A flush of the whole file.
    static func synchronize(connection: Int, task: TaskIndex) -> BlockRequest {
        BlockRequest(
            kind: .synchronize, connection: connection, task: task, slot: .none, reference: .none, referenceOffset: 0,
            offset: 0, lengthBytes: 0, doneBytes: 0, toStableStorage: false)
    }

    /// An operation on a range that moves no data.
    static func range(
        _ kind: Kind, connection: Int, task: TaskIndex, offset: UInt64, lengthBytes: UInt64
    ) -> BlockRequest {
        BlockRequest(
            kind: kind, connection: connection, task: task, slot: .none, reference: .none, referenceOffset: 0,
            offset: offset, lengthBytes: Int(lengthBytes), doneBytes: 0, toStableStorage: false)
    }
}

extension Connection {
    /// Gives a block request to the ring.
    @inline(__always)
    func submit(_ request: BlockRequest) {
        requestsInFlight += 1
        if request.task != Self.detachedTask { jobs[request.task.index].inFlight += 1 }
        if gateMode != .open, parks(request) { return }
        issueNew(request)
    }

    /// The same past the unit's gate.
    @inline(__always)
    func issueNew(_ request: BlockRequest) {
        let number = reactor.requests.insert(request)
        if request.task != Self.detachedTask {
            jobs[request.task.index].hasBegun = true
            if jobs[request.task.index].delayMilliseconds > 0, putAside(number, request.task) { return }
        }
        issueInTurn(number, request)
    }

    /// Gives it to the ring when fewer of the unit's are there than may be.
    @inline(__always)
    func issueInTurn(_ number: Int, _ request: BlockRequest) {
        if reactor.turns.take(account, number, now: reactor.now) { begin(number, request) }
    }

    /// Gives it to the ring for the first time.
    @inline(__always)
    func begin(_ number: Int, _ request: BlockRequest) {
        if request.kind.changesMedium { changeBegins() }
        issue(number, request)
    }

    @inline(__always)
    private func issue(_ number: Int, _ request: BlockRequest) {
        guard let unit else { preconditionFailure("a block request without a unit") }
        let file = unit.store.fileDescriptor
        let token = token(.block, number)
        let offset = request.offset + UInt64(request.doneBytes)
        let length = request.lengthBytes - request.doneBytes
        switch request.kind {
        case .read, .readBack:
            unsafe reactor.ring.read(
                file, into: reactor.pool.address(of: request.slot) + request.doneBytes, lengthBytes: length,
                offset: offset, token: token)
        case .write:
            unsafe reactor.ring.write(
                file, from: reactor.pool.address(of: request.slot) + request.doneBytes, lengthBytes: length,
                offset: offset, toStableStorage: request.toStableStorage, token: token)
        case .synchronize: reactor.ring.synchronize(file, token: token)
        case .punchHole:
            reactor.ring.punchHole(file, offset: offset, lengthBytes: UInt64(length), token: token)
        case .zeroRange:
            reactor.ring.zeroRange(file, offset: offset, lengthBytes: UInt64(length), token: token)
        }
    }

    /// A block request's operation ended; a short one goes on where it stopped.
    @inline(__always)
    func blockRequestEnded(_ number: Int, result: Int32, wasIssued: Bool = true) {
        // Whoever ends it: a request of another connection that gives its turn away, say.
        defer { if !drainBarriers.isEmpty { answerIfDrained() } }
        var request = reactor.requests[number]
        var result = result
        if result < 0, wasIssued { distrustAfter(request, errorNumber: -result) }
        switch request.kind {
        case .read, .readBack, .write:
            if result > 0, request.doneBytes + Int(result) < request.lengthBytes {
                request.doneBytes += Int(result)
                reactor.requests[number] = request
                if !hasGivenUp(request) { return issue(number, request) }
                result = -ECANCELED
            }
            // The end of the file in the middle of the unit: somebody cut the file under us.
            if result == 0 { result = -EIO }
        case .synchronize, .punchHole, .zeroRange: break
        }
        if result == -EINTR || result == -EAGAIN {
            if request.task == Self.detachedTask || !hasGivenUp(request) { return issue(number, request) }
        }
        if wasIssued {
            if request.kind.changesMedium { changeEnded() }
            reactor.turnEnded(account)
        }
        reactor.requests.remove(number)
        requestsInFlight -= 1
        reactor.markDirty(self)
        if request.task == Self.detachedTask { return }
        jobs[request.task.index].inFlight -= 1
        if isClosing || machine.task(request.task).state == .aborted { return discard(request) }
        if result < 0 { record(request, errorNumber: -result) }
        ended(request)
    }

    /// What a successful or failed request means for its job.
    @inline(__always)
    private func ended(_ request: BlockRequest) {
        let task = request.task
        switch request.kind {
        case .read:
            guard jobs[task.index].sense == nil else {
                releaseOutput(request.slot)
                return endIfDone(task)
            }
            let isLast = jobs[task.index].issuedBytes == jobs[task.index].totalBytes
            machine.sendData(
                task, payload: PayloadReference(request.slot.rawValue), lengthBytes: request.lengthBytes,
                endsCommand: isLast)
            if isLast {
                unit?.readCommands.add(1, ordering: .relaxed)
                unit?.readBytes.add(jobs[task.index].totalBytes, ordering: .relaxed)
            } else {
                resumeJob(task)
            }
        case .write where jobs[task.index].work == .writeAndVerify && jobs[task.index].sense == nil:
            verifyWritten(request)
        case .write:
            // A fill writes from its job's slot again and again.
            if request.slot != jobs[task.index].slot { reactor.pool.release(request.slot) }
            advance(task)
        case .readBack:
            compare(request)
            reactor.pool.release(request.slot)
            if !request.reference.isNone, request.reference != jobs[task.index].slot {
                reactor.pool.release(request.reference)
            }
            advance(task)
        case .synchronize:
            // Of two flushes at a time only one is told that the disk failed.
            if unit?.store.hasFailed == true, jobs[task.index].sense == nil {
                jobs[task.index].sense = .mediumErrorSynchronize
            }
            advance(task)
        case .punchHole, .zeroRange:
            advance(task)
        }
    }

    /// The next step of a job one of whose requests has ended.
    private func advance(_ task: TaskIndex) {
        switch jobs[task.index].work {
        case .fill: continueFill(task)
        case .unmap: continueUnmap(task)
        case .verifyMedium, .verifyBlock: continueScan(task)
        case .compareAndWrite, .orWrite: continueAtomic(task)
        default:
            resumeJob(task)
            endIfDone(task)
        }
    }

    private func verifyWritten(_ request: BlockRequest) {
        guard let slot = reactor.pool.take(lengthBytes: request.lengthBytes, for: account) else {
            // Written and on stable storage, which is what matters; the comparison would only repeat the page cache.
            reactor.pool.release(request.slot)
            return advance(request.task)
        }
        var back = request
        back.kind = .readBack
        back.slot = slot
        back.reference = request.slot
        back.referenceOffset = 0
        back.doneBytes = 0
        submit(back)
    }

    private func compare(_ request: BlockRequest) {
        if jobs[request.task.index].work == .orWrite { return merge(request) }
        guard !request.reference.isNone, jobs[request.task.index].sense == nil else { return }
        let medium = unsafe reactor.pool.address(of: request.slot)
        let wanted = unsafe reactor.pool.address(of: request.reference) + request.referenceOffset
        guard unsafe memcmp(medium, wanted, request.lengthBytes) != 0 else { return }
        var first = 0
        while unsafe medium.load(fromByteOffset: first, as: UInt8.self)
            == wanted.load(fromByteOffset: first, as: UInt8.self)
        { first += 1 }
        let base = request.offset - jobs[request.task.index].fileOffset
        jobs[request.task.index].sense = .miscompare(offset: base + UInt64(first))
    }

    // MARK: Errors

    private func record(_ request: BlockRequest, errorNumber: Int32) {
        guard let unit else { return }
        let count = unit.ioErrors.add(1, ordering: .relaxed).newValue
        let block = request.offset / UInt64(geometry.blockLengthBytes)
        // A disk that fails under load fails thousands of times: the first ones, then fewer and fewer.
        if count <= 16 || count & (count - 1) == 0 {
            let cause = unsafe String(cString: strerror(errorNumber))
            log(.error, "\(request.kind) of \(unit.store.path) at block \(block) failed: \(cause) (error \(count))")
        }
        let sense: Sense
        switch (request.kind, errorNumber) {
        case (.synchronize, _): sense = .mediumErrorSynchronize
        case (_, ENOSPC), (_, EDQUOT): sense = .spaceAllocationFailedWriteProtect
        case (.read, EIO), (.readBack, EIO): sense = .mediumErrorUnrecoveredRead(block)
        case (_, EIO): sense = .mediumErrorWrite(block)
        case (_, EROFS), (_, EBADF): sense = .writeProtected
        default: sense = .internalTargetFailure
        }
        if jobs[request.task.index].sense == nil { jobs[request.task.index].sense = sense }
    }

    /// A flush that failed, or a write that was to reach stable storage, leaves the page cache in doubt, and the kernel says so
    /// once: whether or not anybody still waits for this request, the next flush would be told that all is well.
    private func distrustAfter(_ request: BlockRequest, errorNumber: Int32) {
        switch errorNumber {
        case EINTR, EAGAIN, ECANCELED: return
        // The write itself was refused; nothing was to be written back.
        case ENOSPC, EDQUOT, EROFS, EBADF: if request.kind != .synchronize { return }
        default: break
        }
        if request.kind == .synchronize || request.toStableStorage { failUnit(errorNumber: errorNumber) }
    }

    /// A flush failed: the kernel may have dropped dirty pages, so nothing this unit acknowledged can be promised any
    /// more. It answers HARDWARE ERROR from here on, until the daemon is started again and reads what is really there.
    private func failUnit(errorNumber: Int32) {
        guard let unit else { return }
        let isKnown = unit.store.hasFailed
        unit.store.markFailed()
        unit.withUnit { $0.fail(.internalTargetFailure) }
        if isKnown { return }
        log(
            .critical,
            "flush of \(unit.store.path) failed (\(unsafe String(cString: strerror(errorNumber)))); the unit is set aside: "
                + "repair the disk below it, then restart storaged")
    }

    // MARK: Aborts

    /// An ended request whose task is aborted, or whose connection is going.
    func discard(_ request: BlockRequest) {
        let task = request.task
        if task == Self.detachedTask { return }
        if request.kind == .read {
            releaseOutput(request.slot)
        } else if !request.slot.isNone, request.slot != jobs[task.index].slot {
            reactor.pool.release(request.slot)
        }
        if !request.reference.isNone, request.reference != jobs[task.index].slot {
            reactor.pool.release(request.reference)
        }
        guard jobs[task.index].inFlight == 0 else { return }
        leaveGate(task)
        if !jobs[task.index].slot.isNone { releaseJobSlot(task) }
        if machine.task(task).state == .aborted { machine.forget(task) }
        for barrier in abortBarriers.removeValue(forKey: task) ?? [] { barrier.leave() }
    }

    /// Ends a task without a response, or with TASK ABORTED where another initiator does it (TAS of the Control mode page
    /// is 1). `barrier` is entered and left once its last block request has ended. Returns whether there was such a task.
    func abort(_ task: TaskIndex, _ barrier: Barrier, byOtherNexus: Bool = false) -> Bool {
        dropParked(of: task)
        let busy = jobs[task.index].inFlight > 0
        let tag = machine.task(task).initiatorTaskTag
        func release(_ payload: PayloadReference) { withdrawOutput(PayloadSlot(rawValue: payload.value)) }
        let isAborted =
            byOtherNexus
            ? machine.abort(
                task, status: SCSIStatus.taskAborted.rawValue, deviceServerBusy: busy, release: release)
            : machine.abort(task, deviceServerBusy: busy, release: release)
        guard isAborted else { return false }
        unit?.aborts.add(1, ordering: .relaxed)
        continuations[task] = nil
        unmapRanges[task] = nil
        if gatePlaces[task]?.isInside == false { gatePlaces[task] = nil }
        offloads.removeValue(forKey: task)?.cancel()
        starvedJobs.removeAll { $0 == task }
        readsAwaitingOutput.removeAll { $0 == task }
        if !digestsToSpoil.isEmpty {
            digestsToSpoil.removeAll { $0 == tag }
        }
        if busy {
            barrier.enter()
            abortBarriers[task, default: []].append(barrier)
        } else {
            releaseJobSlot(task)
        }
        return true
    }

    /// Ends every task of the connection.
    func abortAllTasks(_ barrier: Barrier, byOtherNexus: Bool = false) {
        var tasks: [TaskIndex] = []
        machine.forEachTask { task, _ in tasks.append(task) }
        for task in tasks { _ = abort(task, barrier, byOtherNexus: byOtherNexus) }
        reactor.markDirty(self)
    }

    /// At the end of the connection: slots of data that is being collected go back. Those of block requests in flight
    /// follow with their completions.
    func releaseCollectedData() {
        var idle: [TaskIndex] = []
        machine.forEachTask { task, _ in if jobs[task.index].inFlight == 0 { idle.append(task) } }
        for task in idle { releaseJobSlot(task) }
        continuations.removeAll()
        starvedJobs.removeAll()
        readsAwaitingOutput.removeAll()
    }
}
