import Glibc
import ISCSI
import Reactor
import SCSI

extension Connection {
    /// Payload memory of one connection's reads, under way or unsent, beyond which no further read is begun: one that
    /// does not read its answers leaves the rest of the memory to others.
    private var maximumOutputBytes: Int { min(2 << 20, reactor.pool.capacityBytes / 4) }
    /// Block requests of one write in flight: one burst is written while the next comes in.
    private static let maximumWritesInFlight: Int32 = 2

    // MARK: Beginning

    /// A command came in: asks the logical unit what to do.
    @inline(__always)
    func beginCommand(_ task: TaskIndex, _ additional: RawSpan) {
        jobs[task.index] = Job()
        let words = machine.task(task).cdb
        guard let unit, machine.task(task).lun.rawValue == 0 else { return beginElsewhere(task) }
        unit.commands.add(1, ordering: .relaxed)
        let flags = unit.currentFlags
        let cdb = commandDescriptorBlock(words, additional)
        if flags.contains(.injectsFaults), injectFault(task, cdb) { return }
        if flags.contains(.gated) { gateMode = unit.gate.currentMode }
        if !flags.contains(.requiresInspection), !flags.contains(.restrictsAccess) || isUnrestricted(unit) {
            if unit.currentGeometryVersion != geometryVersion { refreshGeometry(unit) }
            switch MediaOperation.decode(cdb, geometry) {
            case .operation(let operation): return beginMedia(operation, task)
            case .failed(let sense): return fail(task, sense)
            case .notMediaCommand: break
            }
        }
        let expected = machine.task(task).expectedBytes
        let (nexus, writes) = (nexus, machine.task(task).announcesDataOut)
        let execution = unit.withUnit { unit in
            unit.begin(
                cdb, from: nexus,
                expecting: ExpectedTransfer(
                    dataOutLengthBytes: writes ? UInt32(expected) : 0,
                    dataInLengthBytes: writes ? 0 : UInt32(expected)))
        }
        if unit.currentGeometryVersion != geometryVersion { refreshGeometry(unit) }
        perform(execution, task)
    }

    /// The CDB: 16 bytes of the header, and what an additional header segment adds to them.
    @inline(__always)
    private func commandDescriptorBlock(
        _ words: InlineArray<2, UInt64>, _ additional: RawSpan
    ) -> CommandDescriptorBlock {
        guard additional.byteCount > 0 else { return CommandDescriptorBlock(wireWords: words) }
        var cursor = AdditionalHeaderCursor()
        // The connection machine has found the segments well formed.
        while let segment = try? cursor.next(in: additional) {
            guard segment.kind == .extendedCDB else { continue }
            return CommandDescriptorBlock(wireWords: words, extension: segment.content(in: additional))
        }
        return CommandDescriptorBlock(wireWords: words)
    }

    private func refreshGeometry(_ unit: UnitRuntime) {
        geometryVersion = unit.currentGeometryVersion
        geometry = unit.withUnit { $0.effectiveGeometry }
    }

    /// A command for a unit that is not there.
    private func beginElsewhere(_ task: TaskIndex) {
        let words = machine.task(task).cdb
        perform(
            AbsentUnit.respond(commandDescriptorBlock(words, RawSpan()), visibleUnits: [SCSI.LogicalUnitNumber(0)]),
            task)
    }

    func perform(_ execution: Execution, _ task: TaskIndex) {
        switch execution {
        case .media(let operation): beginMedia(operation, task)
        case .status(let status, let sense):
            if let sense {
                fail(task, sense)
            } else {
                machine.respond(task, status: status.rawValue, sense: RawSpan())
            }
        case .parameterData(let bytes): sendParameterData(bytes, task)
        case .needsParameterList(let lengthBytes, let continuation):
            let wanted = expectedDataOut(task, lengthBytes)
            _ = machine.admit(task, wantedBytes: wanted, commandBytes: lengthBytes)
            jobs[task.index].work = .parameterList
            continuations[task] = continuation
            collect(task, wanted)
        case .extendedCopy(let copy): extendedCopy(copy, task)
        case .workOnMedium(let work): workOnMedium(work, task)
        case .unmap(let ranges): unmap(ranges, task)
        case .reportLBAStatus(let startingBlock, let allocationLength):
            reportLBAStatus(startingBlock, allocationLength, task)
        case .setTargetPortGroups(let changes): setTargetPortGroups(changes, task)
        case .persistentReserveOut(let request): persistentReserveOut(request, task)
        }
    }

    /// Data-Out bytes that the initiator will really send of `commandBytes`.
    @inline(__always)
    private func expectedDataOut(_ task: TaskIndex, _ commandBytes: Int) -> Int {
        machine.task(task).announcesDataOut ? min(commandBytes, machine.task(task).expectedBytes) : 0
    }

    @inline(__always)
    private func beginMedia(_ operation: MediaOperation, _ task: TaskIndex) {
        let blockBytes = UInt64(geometry.blockLengthBytes)
        let range = operation.range
        jobs[task.index].fileOffset = range.firstBlock * blockBytes
        let commandBytes = range.blockCount * blockBytes
        if case .read = operation {
        } else {
            // Half a block, or a pattern that is no block, is refused before anything of it is written.
            let announced = machine.task(task).announcesDataOut ? machine.task(task).expectedBytes : 0
            if let fault = operation.expectedDataOutFault(UInt32(clamping: announced), geometry) {
                _ = machine.admit(
                    task, wantedBytes: 0, commandBytes: Int(operation.dataOutLengthBytes(geometry)))
                return fail(task, fault)
            }
        }
        switch operation {
        case .read:
            let length = Int(commandBytes)
            let expected = machine.task(task).expectsDataIn ? machine.task(task).expectedBytes : 0
            _ = machine.admit(task, wantedBytes: 0, commandBytes: length)
            jobs[task.index].work = .read
            jobs[task.index].totalBytes = UInt64(min(length, expected))
            if jobs[task.index].totalBytes == 0 { return succeed(task) }
            continueRead(task)
        case .write:
            beginDataOut(task, .write, Int(commandBytes), operation.forcesUnitAccess)
        case .writeAndVerify(_, let check, _):
            beginDataOut(task, check == .medium ? .write : .writeAndVerify, Int(commandBytes), true)
        case .verify(_, .compare, _):
            beginDataOut(task, .verifyData, Int(commandBytes), false)
        case .verify(_, .compareOneBlock, _):
            jobs[task.index].totalBytes = commandBytes
            beginDataOut(task, .verifyBlock, range.isEmpty ? 0 : Int(blockBytes), false)
        case .verify(_, .medium, _):
            _ = machine.admit(task, wantedBytes: 0, commandBytes: 0)
            jobs[task.index].work = .verifyMedium
            jobs[task.index].totalBytes = commandBytes
            continueScan(task)
        case .writeSame(_, let options):
            jobs[task.index].totalBytes = commandBytes
            jobs[task.index].mayPunch = options.contains(.unmap)
            beginDataOut(
                task, .fill, options.contains(.noDataOut) ? 0 : Int(blockBytes), operation.forcesUnitAccess)
        case .compareAndWrite:
            jobs[task.index].totalBytes = commandBytes
            beginDataOut(task, .compareAndWrite, 2 * Int(commandBytes), operation.forcesUnitAccess)
        case .orWrite:
            jobs[task.index].totalBytes = commandBytes
            beginDataOut(task, .orWrite, Int(commandBytes), operation.forcesUnitAccess)
        case .writeAtomic:
            jobs[task.index].totalBytes = commandBytes
            beginDataOut(task, .writeAtomic, Int(commandBytes), true)
        case .synchronizeCache(_, let immediate):
            _ = machine.admit(task, wantedBytes: 0, commandBytes: 0)
            jobs[task.index].work = .synchronize
            if immediate {
                // The answer goes first; the flush is then nobody's task and its failure is the next command's.
                machine.respond(task, status: SCSIStatus.good.rawValue, sense: RawSpan())
                submit(BlockRequest.synchronize(connection: index, task: Self.detachedTask))
            } else {
                submit(BlockRequest.synchronize(connection: index, task: task))
            }
        case .prefetch:
            _ = machine.admit(task, wantedBytes: 0, commandBytes: 0)
            machine.respond(task, status: SCSIStatus.conditionMet.rawValue, sense: RawSpan())
        }
    }

    /// Stands for no task: a block request that outlives its command.
    static let detachedTask = TaskIndex(Int(UInt16.max))

    // MARK: Data-Out

    @inline(__always)
    private func beginDataOut(_ task: TaskIndex, _ work: Job.Work, _ commandBytes: Int, _ toStableStorage: Bool) {
        let wanted = expectedDataOut(task, commandBytes)
        _ = machine.admit(task, wantedBytes: wanted, commandBytes: commandBytes)
        jobs[task.index].work = work
        jobs[task.index].toStableStorage = toStableStorage
        collect(task, wanted)
    }

    /// Starts to collect `wanted` bytes: what comes unsolicited first, then by R2T.
    private func collect(_ task: TaskIndex, _ wanted: Int) {
        if wanted == 0 { return burstArrived(task, isLast: true) }
        if jobs[task.index].collectsWhole, wanted > PayloadPool.largestSlotBytes {
            return fail(task, .parameterListLengthError)
        }
        if !machine.task(task).hasUnsolicitedData { nextBurst(task) }
    }

    /// Takes the slot for the burst that begins at the job's `slotBase`; false when memory is short.
    ///
    /// With `sparing` the slot waits for data that is yet to be asked for, and must leave room for what comes unasked.
    func takeBurstSlot(_ task: TaskIndex, sparing: Bool) -> Bool {
        let wanted = machine.task(task).wantedBytes
        let left = wanted - jobs[task.index].slotBase
        // A fill spreads its block over the whole slot afterwards.
        let length = jobs[task.index].work == .fill ? PayloadPool.largestSlotBytes : left
        let bytes = min(length, PayloadPool.largestSlotBytes)
        let taken =
            sparing
            ? reactor.pool.takeSparing(lengthBytes: bytes, for: account)
            : reactor.pool.take(lengthBytes: bytes, for: account)
        guard let slot = taken else { return false }
        jobs[task.index].slot = slot
        return true
    }

    /// Asks for the next burst when there is memory for it.
    private func nextBurst(_ task: TaskIndex) {
        if jobs[task.index].hasFailed { return endIfDone(task) }
        if jobs[task.index].inFlight >= Self.maximumWritesInFlight {
            jobs[task.index].awaitsBurst = true
            return
        }
        if jobs[task.index].slot.isNone, !takeBurstSlot(task, sparing: true) {
            jobs[task.index].awaitsBurst = true
            starvedJobs.append(task)
            return reactor.markStarved(self)
        }
        jobs[task.index].awaitsBurst = false
        let room = PayloadPool.largestSlotBytes - (machine.task(task).receivedBytes - jobs[task.index].slotBase)
        _ = machine.solicit(task, upToBytes: room)
    }

    /// A burst is in, or everything is (`isLast`).
    func burstArrived(_ task: TaskIndex, isLast: Bool) {
        let state = machine.task(task)
        if state.dataDigestFailed, jobs[task.index].sense == nil { jobs[task.index].sense = .protocolServiceCRCError }
        if jobs[task.index].collectsWhole {
            guard isLast else { return nextBurst(task) }
            return wholeArrived(task)
        }
        let slot = jobs[task.index].slot
        let base = jobs[task.index].slotBase
        let length = min(state.receivedBytes, state.wantedBytes) - base
        jobs[task.index].slot = .none
        jobs[task.index].slotBase = base + max(0, length)
        if !slot.isNone {
            if jobs[task.index].hasFailed || length <= 0 {
                reactor.pool.release(slot)
            } else {
                submitBurst(task, slot, base, length)
            }
        }
        if isLast { endIfDone(task) } else { nextBurst(task) }
    }

    private func submitBurst(_ task: TaskIndex, _ slot: PayloadSlot, _ base: Int, _ length: Int) {
        let offset = jobs[task.index].fileOffset + UInt64(base)
        if jobs[task.index].work == .verifyData {
            readBack(task, reference: slot, referenceOffset: 0, offset: offset, lengthBytes: length)
        } else {
            submit(
                BlockRequest(
                    kind: .write, connection: index, task: task, slot: slot, reference: .none, referenceOffset: 0,
                    offset: offset, lengthBytes: length, doneBytes: 0, toStableStorage: jobs[task.index].toStableStorage
                ))
        }
    }

    /// Reads what the medium holds, to compare it with `reference`.
    private func readBack(
        _ task: TaskIndex, reference: PayloadSlot, referenceOffset: Int, offset: UInt64, lengthBytes: Int
    ) {
        guard let slot = reactor.pool.take(lengthBytes: lengthBytes, for: account) else {
            if reference != jobs[task.index].slot { reactor.pool.release(reference) }
            jobs[task.index].lacksMemory = true
            return endIfDone(task)
        }
        submit(
            BlockRequest(
                kind: .readBack, connection: index, task: task, slot: slot, reference: reference,
                referenceOffset: referenceOffset, offset: offset, lengthBytes: lengthBytes, doneBytes: 0,
                toStableStorage: false))
    }

    /// All Data-Out of a command that takes it in one piece.
    private func wholeArrived(_ task: TaskIndex) {
        if jobs[task.index].hasFailed { return endIfDone(task) }
        switch jobs[task.index].work {
        case .parameterList:
            guard let continuation = continuations.removeValue(forKey: task), let unit else { return }
            let slot = jobs[task.index].slot
            let length = machine.task(task).wantedBytes
            let bytes: [UInt8] =
                slot.isNone
                ? [] : unsafe [UInt8](UnsafeRawBufferPointer(start: reactor.pool.address(of: slot), count: length))
            releaseJobSlot(task)
            let nexus = nexus
            perform(unit.withUnit { $0.finish(continuation, parameterList: bytes, from: nexus) }, task)
        case .fill: beginFill(task)
        case .compareAndWrite, .orWrite, .writeAtomic: beginAtomic(task)
        default: continueScan(task)
        }
    }

    // MARK: Reading

    /// Makes the next block request of a read, one at a time, so that data goes out in order.
    @inline(__always)
    private func continueRead(_ task: TaskIndex) {
        let job = jobs[task.index]
        let left = job.totalBytes - job.issuedBytes
        guard left > 0, job.inFlight == 0, job.sense == nil else { return }
        if outputBytes >= maximumOutputBytes {
            readsAwaitingOutput.append(task)
            return
        }
        let length = Int(min(left, UInt64(PayloadPool.largestSlotBytes)))
        guard let slot = reactor.pool.takeSparing(lengthBytes: length, for: account) else {
            starvedJobs.append(task)
            return reactor.markStarved(self)
        }
        countOutput(slot)
        jobs[task.index].issuedBytes += UInt64(length)
        submit(
            BlockRequest(
                kind: .read, connection: index, task: task, slot: slot, reference: .none, referenceOffset: 0,
                offset: job.fileOffset + job.issuedBytes, lengthBytes: length, doneBytes: 0, toStableStorage: false))
    }

    /// Reads the medium on for a command that sends nothing of it.
    func continueScan(_ task: TaskIndex) {
        let job = jobs[task.index]
        let left = job.totalBytes - job.issuedBytes
        guard left > 0, job.inFlight == 0, !job.hasFailed else { return endIfDone(task) }
        let step = job.work == .verifyBlock ? UInt64(geometry.blockLengthBytes) : UInt64(PayloadPool.largestSlotBytes)
        let length = Int(min(left, step))
        jobs[task.index].issuedBytes += UInt64(length)
        readBack(
            task, reference: job.work == .verifyBlock ? job.slot : .none, referenceOffset: 0,
            offset: job.fileOffset + job.issuedBytes, lengthBytes: length)
    }

    // MARK: Parameter data

    func sendParameterData(_ bytes: [UInt8], _ task: TaskIndex) {
        let expected = machine.task(task).expectsDataIn ? machine.task(task).expectedBytes : 0
        let length = min(bytes.count, expected)
        guard length > 0 else {
            _ = machine.admit(task, wantedBytes: 0, commandBytes: bytes.count)
            return machine.respond(task, status: SCSIStatus.good.rawValue, sense: RawSpan())
        }
        guard let slot = reactor.pool.take(lengthBytes: length) else { return failBusy(task) }
        _ = machine.admit(task, wantedBytes: 0, commandBytes: bytes.count)
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress {
                unsafe reactor.pool.address(of: slot).copyMemory(from: base, byteCount: length)
            }
        }
        countOutput(slot)
        machine.sendData(task, payload: PayloadReference(slot.rawValue), lengthBytes: length, endsCommand: true)
    }

    /// Has the unit's queue ask the file system: one that hangs may not answer.
    private func reportLBAStatus(_ startingBlock: UInt64, _ allocationLength: UInt32, _ task: TaskIndex) {
        guard let unit else { return }
        let geometry = geometry
        inspect(task) {
            .data(LBAStatus.parameterData(of: unit.store, geometry, from: startingBlock, allocationLength))
        }
    }

    // MARK: Ending

    /// Ends a task with GOOD.
    func succeed(_ task: TaskIndex) {
        machine.respond(task, status: SCSIStatus.good.rawValue, sense: RawSpan())
        reactor.markDirty(self)
    }

    /// Ends a task with CHECK CONDITION.
    func fail(_ task: TaskIndex, _ sense: Sense) {
        let descriptorFormat = unit?.currentFlags.contains(.descriptorSense) ?? false
        let bytes = sense.encode(descriptorFormat: descriptorFormat)
        unsafe machine.respond(task, status: SCSIStatus.checkCondition.rawValue, sense: bytes.span.bytes)
        reactor.markDirty(self)
    }

    /// Ends a task with BUSY: payload memory is short for a command that cannot wait in the middle.
    private func failBusy(_ task: TaskIndex) {
        releaseJobSlot(task)
        machine.respond(task, status: SCSIStatus.busy.rawValue, sense: RawSpan())
        reactor.markDirty(self)
    }

    func releaseJobSlot(_ task: TaskIndex) {
        let slot = jobs[task.index].slot
        jobs[task.index].slot = .none
        if slot.isNone { return }
        if case .dataOut(task) = inbound.purpose, inbound.slot == slot {
            // Bytes are on their way into it.
            inbound.ownsSlot = true
        } else {
            reactor.pool.release(slot)
        }
    }

    /// Ends the task once nothing of it is in flight or to come.
    func endIfDone(_ task: TaskIndex) {
        let job = jobs[task.index]
        guard job.inFlight == 0 else { return }
        let state = machine.task(task).state
        if let sense = job.sense {
            guard state == .collecting || state == .executing else { return }
            releaseJobSlot(task)
            return fail(task, sense)
        }
        if job.lacksMemory {
            guard state == .collecting || state == .executing else { return }
            return failBusy(task)
        }
        guard state == .executing else { return }
        if let unit, job.work == .write || job.work == .writeAndVerify {
            unit.writeCommands.add(1, ordering: .relaxed)
            unit.writeBytes.add(UInt64(machine.task(task).wantedBytes), ordering: .relaxed)
        }
        releaseJobSlot(task)
        succeed(task)
    }

    /// Goes on with a job that waited for memory or for the output to drain.
    func resumeJob(_ task: TaskIndex) {
        switch machine.task(task).state {
        case .executing: if jobs[task.index].work == .read { continueRead(task) }
        case .collecting: if jobs[task.index].awaitsBurst { nextBurst(task) }
        default: break
        }
    }
}
