import BlockStore
import CLinux
import Glibc
import ISCSI
import SCSI

/// EXTENDED COPY: from one unit of this host to another, or within one.
extension Connection {
    /// The only way from a name in a copy to a unit. It answers with units that this initiator may log in to through this
    /// portal, and with no other: whoever may use one volume of the host must not read or write the rest through it
    /// (CVE-2020-28374 was that).
    private func copyUnit(_ naaIdentifier: UInt64?) -> UnitRuntime? {
        guard let naaIdentifier, let session, let name = try? ISCSIName(session.key.initiator) else { return nil }
        guard let found = reactor.shared.targets.first(where: { $0.target.wwid == naaIdentifier }),
            let target = try? ISCSIName(found.target.name)
        else { return nil }
        if found === unit { return found }
        let policy = PortalPolicy(shared: reactor.shared, portal: portal)
        let identity = LoginIdentity(
            sessionType: .normal, initiatorName: name, targetName: target, isid: session.key.isid)
        guard case .admitted = policy.admit(identity) else { return nil }
        return found
    }

    /// Looks up the units and has a thread copy.
    func extendedCopy(_ copy: ExtendedCopy, _ task: TaskIndex) {
        guard let unit, let session else { return }
        let (shared, nexus) = (reactor.shared, nexus)
        let recorder = CopyRecorder(unit: unit, nexus: nexus, listIdentifier: copy.listIdentifier)
        let found = copy.units.map { copyUnit($0) }
        let units = found.compactMap { $0 }
        guard units.count == found.count else {
            recorder.record(.endedWithErrors)
            return fail(task, .copyTargetDeviceNotReachable)
        }
        if copy.segments.isEmpty {
            recorder.record(.endedWell)
            return succeed(task)
        }
        guard shared.counters.copies.add(1, ordering: .relaxed).newValue <= LogicalUnit.maximumCopies else {
            shared.counters.copies.subtract(1, ordering: .relaxed)
            recorder.record(.endedWithErrors)
            return refuseOffload(task)
        }
        let copier = Copier(
            copy: copy, units: units, initiatorName: session.key.initiator, nexus: nexus, recorder: recorder)
        let started = offload(task, name: "extended-copy", isWaitedFor: true) { offload in
            defer { shared.counters.copies.subtract(1, ordering: .relaxed) }
            return copier.run(offload)
        }
        if !started {
            shared.counters.copies.subtract(1, ordering: .relaxed)
            recorder.record(.endedWithErrors)
            refuseOffload(task)
        }
    }
}

/// Tells the logical unit that the command came to how a copy stands.
struct CopyRecorder: Sendable {
    let unit: UnitRuntime
    let nexus: NexusHandle
    let listIdentifier: UInt8?

    func record(_ state: CopyStatus.State, segments: Int = 0, bytes: UInt64 = 0) {
        guard let listIdentifier else { return }
        let status = CopyStatus(
            listIdentifier: listIdentifier, state: state, segments: UInt16(segments),
            kibibytes: UInt32(truncatingIfNeeded: bytes >> 10))
        unit.withUnit { $0.copyProgressed(status, for: nexus) }
    }
}

/// Copies the segments of one command, on a thread of its own.
struct Copier: Sendable {
    let copy: ExtendedCopy
    let units: [UnitRuntime]
    let initiatorName: String
    let nexus: NexusHandle
    let recorder: CopyRecorder

    /// Bytes between two looks at whether the copy may still go on; an atomic command waits for one step at most.
    private static let stepBytes: UInt64 = 4 << 20

    func run(_ offload: Offload) -> OffloadOutcome {
        var bytes: UInt64 = 0
        for (index, segment) in copy.segments.enumerated() {
            if let sense = run(segment, offload, &bytes, index) {
                recorder.record(.endedWithErrors, segments: index, bytes: bytes)
                return .failed(sense)
            }
        }
        if let sense = makeDurable() {
            recorder.record(.endedWithErrors, segments: copy.segments.count, bytes: bytes)
            return .failed(sense)
        }
        recorder.record(.endedWell, segments: copy.segments.count, bytes: bytes)
        return .good
    }

    private func run(_ segment: ExtendedCopy.Segment, _ offload: Offload, _ bytes: inout UInt64, _ index: Int) -> Sense?
    {
        let (source, destination) = (units[segment.source], units[segment.destination])
        let blockBytes = UInt64(source.target.blockLengthBytes)
        guard blockBytes == UInt64(destination.target.blockLengthBytes) else { return .incorrectCopyTargetDeviceType }
        // All of it first, so that nothing is copied of a segment that leaves its unit.
        if let sense = fault(source, segment.from, writes: false) { return sense }
        if let sense = fault(destination, segment.to, writes: true) { return sense }
        let step = Self.stepBytes / blockBytes
        let count = segment.from.blockCount
        // Towards the end where the copy would overtake its own source.
        let backwards = source === destination && segment.to.firstBlock > segment.from.firstBlock
        var done: UInt64 = 0
        while done < count {
            let length = min(step, count - done)
            let offset = backwards ? count - done - length : done
            let from = BlockRange(firstBlock: segment.from.firstBlock + offset, blockCount: length)
            let to = BlockRange(firstBlock: segment.to.firstBlock + offset, blockCount: length)
            func objection() -> Sense? {
                if offload.isCancelled { return .abortedCommand }
                return fault(source, from, writes: false) ?? fault(destination, to, writes: true)
            }
            var error: Int32 = 0
            // Between two steps commands that want a unit to themselves have their turn; a SANITIZE, say.
            let refusal = visiting(source, destination, unless: objection) {
                error = transfer(
                    source.store, from.firstBlock * blockBytes, destination.store, to.firstBlock * blockBytes,
                    Int(length * blockBytes))
            }
            if let refusal { return refusal }
            if error != 0 {
                destination.ioErrors.add(1, ordering: .relaxed)
                return error == ENOSPC || error == EDQUOT
                    ? .spaceAllocationFailedWriteProtect : .thirdPartyDeviceFailure
            }
            done += length
            bytes += length * blockBytes
            recorder.record(.inProgress, segments: index, bytes: bytes)
        }
        return nil
    }

    /// Does one step while nobody gets one of the units to itself: neither what an atomic command has half done is copied,
    /// nor does the step come in between. Asked for objections while it waits for its turn, and when that has come.
    private func visiting(
        _ source: UnitRuntime, _ destination: UnitRuntime, unless objection: () -> Sense?, _ step: () -> Void
    ) -> Sense? {
        let isForward = source.gate.precedes(destination.gate)
        let first = isForward ? source.gate : destination.gate
        let second = isForward ? destination.gate : source.gate
        guard first.visit(while: { objection() == nil }) else { return objection() ?? .abortedCommand }
        defer { first.endVisit() }
        if first !== second {
            guard second.visit(while: { objection() == nil }) else { return objection() ?? .abortedCommand }
        }
        defer { if first !== second { second.endVisit() } }
        if let sense = objection() { return sense }
        step()
        return nil
    }

    /// Where an initiator has switched the write cache off, what was copied is on stable storage before the answer.
    private func makeDurable() -> Sense? {
        for place in Set(copy.segments.map(\.destination)) {
            let unit = units[place]
            guard unit.withUnit({ !$0.writesAreCached }) else { continue }
            do throws(StoreError) {
                try unit.store.flush()
            } catch {
                unit.ioErrors.add(1, ordering: .relaxed)
                unit.withUnit { $0.fail(.internalTargetFailure) }
                return .thirdPartyDeviceFailure
            }
        }
        return nil
    }

    private func fault(_ unit: UnitRuntime, _ range: BlockRange, writes: Bool) -> Sense? {
        let (initiatorName, nexus) = (initiatorName, nexus)
        return unit.withUnit { $0.copyFault(range, writes: writes, initiatorName: initiatorName, nexus: nexus) }
    }

    /// 0, or an errno. The kernel copies where it can, and shares the blocks where the file system can.
    private func transfer(
        _ from: BlockStore, _ source: UInt64, _ to: BlockStore, _ destination: UInt64, _ lengthBytes: Int
    ) -> Int32 {
        var done = 0
        while done < lengthBytes {
            let copied = rack_copy_file_range(
                from.fileDescriptor, Int64(source) + Int64(done), to.fileDescriptor, Int64(destination) + Int64(done),
                UInt64(lengthBytes - done))
            if copied == -Int64(EINTR) { continue }
            // Overlapping ranges, a device, two file systems: by hand.
            guard copied > 0 else { break }
            done += Int(copied)
        }
        if done == lengthBytes { return 0 }
        return byHand(from, source + UInt64(done), to, destination + UInt64(done), lengthBytes - done)
    }

    private func byHand(
        _ from: BlockStore, _ source: UInt64, _ to: BlockStore, _ destination: UInt64, _ lengthBytes: Int
    ) -> Int32 {
        // The whole step is read before any of it is written: the ranges may overlap.
        var buffer = [UInt8](repeating: 0, count: lengthBytes)
        return unsafe buffer.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            var done = 0
            while done < lengthBytes {
                let count = unsafe pread(
                    from.fileDescriptor, base + done, lengthBytes - done, off_t(source) + off_t(done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                done += count
            }
            done = 0
            while done < lengthBytes {
                let count = unsafe pwrite(
                    to.fileDescriptor, base + done, lengthBytes - done, off_t(destination) + off_t(done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                done += count
            }
            return 0
        }
    }
}
