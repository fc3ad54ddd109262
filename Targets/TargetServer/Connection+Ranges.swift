import Glibc
import ISCSI
import Reactor
import SCSI

/// Commands that cover ranges of the medium without as much data: WRITE SAME, UNMAP, VERIFY of the medium.
extension Connection {
    /// The pattern block of a WRITE SAME is in (or there is none: zeros).
    func beginFill(_ task: TaskIndex) {
        if jobs[task.index].slot.isNone, !takeBurstSlot(task, sparing: false) { return failFillBusy(task) }
        let slot = unsafe reactor.pool.address(of: jobs[task.index].slot)
        let blockBytes = Int(geometry.blockLengthBytes)
        let hasPattern = machine.task(task).wantedBytes == blockBytes
        if !hasPattern { unsafe memset(slot, 0, blockBytes) }
        let isZero = unsafe Self.isZero(slot, blockBytes)
        guard let unit else { return }
        let total = jobs[task.index].totalBytes
        if isZero, total > 0, jobs[task.index].mayPunch ? unit.store.canPunchHoles : unit.store.canZeroRange {
            let kind: BlockRequest.Kind = jobs[task.index].mayPunch ? .punchHole : .zeroRange
            jobs[task.index].issuedBytes = total
            return submit(
                .range(
                    kind, connection: index, task: task, offset: jobs[task.index].fileOffset, lengthBytes: total))
        }
        // The block is repeated over the slot, so that one write covers many blocks.
        let bytes = Int(min(UInt64(PayloadPool.largestSlotBytes), max(total, UInt64(blockBytes))))
        var filled = blockBytes
        while filled < bytes {
            let count = min(filled, bytes - filled)
            unsafe (slot + filled).copyMemory(from: slot, byteCount: count)
            filled += count
        }
        jobs[task.index].patternBytes = bytes
        continueFill(task)
    }

    private static func isZero(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        for offset in stride(from: 0, to: count, by: 8)
        where unsafe bytes.load(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
        return true
    }

    private func failFillBusy(_ task: TaskIndex) {
        machine.respond(task, status: SCSIStatus.busy.rawValue, sense: RawSpan())
        reactor.markDirty(self)
    }

    /// The next write of a WRITE SAME.
    func continueFill(_ task: TaskIndex) {
        let job = jobs[task.index]
        guard job.sense == nil, job.inFlight == 0, job.issuedBytes < job.totalBytes else {
            return job.patternBytes == 0 ? endDurably(task) : endIfDone(task)
        }
        let length = min(job.totalBytes - job.issuedBytes, UInt64(job.patternBytes))
        jobs[task.index].issuedBytes += length
        submit(
            BlockRequest(
                kind: .write, connection: index, task: task, slot: job.slot, reference: .none, referenceOffset: 0,
                offset: job.fileOffset + job.issuedBytes, lengthBytes: Int(length), doneBytes: 0,
                toStableStorage: job.toStableStorage))
    }

    /// Ends a command that has deallocated or zeroed blocks; where it has to be on stable storage first, after a flush.
    private func endDurably(_ task: TaskIndex) {
        let job = jobs[task.index]
        guard job.toStableStorage, !job.isFlushed, job.issuedBytes > 0, job.inFlight == 0, !job.hasFailed else {
            return endIfDone(task)
        }
        jobs[task.index].isFlushed = true
        submit(BlockRequest.synchronize(connection: index, task: task))
    }

    /// UNMAP: punches the ranges one after the other. A store without holes keeps its blocks, which the standard allows
    /// (SBC-3 section 4.7.3: a request to unmap is advice).
    func unmap(_ ranges: [BlockRange], _ task: TaskIndex) {
        jobs[task.index].work = .unmap
        let kept = ranges.filter { !$0.isEmpty }
        if let unit, unit.store.canPunchHoles, !kept.isEmpty {
            unmapRanges[task] = kept
            jobs[task.index].toStableStorage = unit.withUnit { !$0.writesAreCached }
        }
        continueUnmap(task)
    }

    /// The next range of an UNMAP.
    func continueUnmap(_ task: TaskIndex) {
        guard jobs[task.index].sense == nil, var ranges = unmapRanges[task], let range = ranges.popLast() else {
            unmapRanges[task] = nil
            return endDurably(task)
        }
        unmapRanges[task] = ranges
        let blockBytes = UInt64(geometry.blockLengthBytes)
        jobs[task.index].issuedBytes += range.blockCount * blockBytes
        submit(
            .range(
                .punchHole, connection: index, task: task, offset: range.firstBlock * blockBytes,
                lengthBytes: range.blockCount * blockBytes))
    }
}
