import Glibc
import ISCSI
import Reactor

extension Connection {
    /// Data segments with at least this many bytes to come are received straight into their slot.
    private static let directBytes = 16 << 10

    // MARK: Socket

    /// Asks for more bytes, unless the peer must first read what it was sent, or memory is short.
    func receiveMore() {
        guard !receiveInFlight, !isInboundStalled, !closesAfterOutput, machine.wantsInput else { return }
        if case .awaitingSession = phase { return }
        receiveInFlight = true
        let token = token(.receive, index, generation: generation)
        let left = inbound.keptBytes - inbound.arrivedBytes
        if !inbound.slot.isNone, left >= Self.directBytes, receiveBuffer.count == 0 {
            let destination = unsafe reactor.pool.address(of: inbound.slot) + inbound.slotOffset + inbound.arrivedBytes
            unsafe receiveBuffer.receive(
                from: descriptor, into: destination, lengthBytes: left, ring: &reactor.ring, token: token)
            isDirectReceive = true
        } else {
            receiveBuffer.receive(from: descriptor, ring: &reactor.ring, token: token)
        }
    }

    /// A receive ended: `result` bytes, 0 at the end of the stream, or a negated errno.
    func received(_ result: Int32) {
        receiveInFlight = false
        defer { reactor.markDirty(self) }
        let wasDirect = isDirectReceive
        isDirectReceive = false
        if isClosing { return }
        guard result > 0 else {
            if result == -EINTR || result == -EAGAIN { return }
            if case .fullFeature = phase, unit != nil, !closesAfterOutput {
                log(.info, result == 0 ? "initiator closed the connection" : "connection lost (errno \(-result))")
            } else if case .login(let machine) = phase, !closesAfterOutput, let failure = machine.failureByLeaving {
                note(failure, isGuess: false)
            }
            return cut()
        }
        lastReceived = reactor.now
        var count = Int(result)
        if wasDirect {
            let direct = min(count, inbound.keptBytes - inbound.arrivedBytes)
            if machine.parameters.dataDigest {
                unsafe inbound.digest.update(
                    reactor.pool.address(of: inbound.slot) + inbound.slotOffset + inbound.arrivedBytes, direct)
            }
            inbound.arrivedBytes += direct
            count -= direct
        }
        receiveBuffer.received(count)
        parse()
    }

    // MARK: PDUs

    /// Takes what has arrived as far as it goes.
    func parse() {
        while !closesAfterOutput, !isInboundStalled {
            switch phase {
            case .login:
                guard parseLogin() else { return }
            case .fullFeature:
                if case .none = inbound.purpose {
                    guard parseHeader() else { return }
                } else {
                    guard parseData() else { return }
                }
            case .awaitingSession, .closing: return
            }
        }
    }

    /// One header of the full feature phase; false when it is not all there.
    @inline(__always)
    private func parseHeader() -> Bool {
        let digestBytes = machine.parameters.headerDigest ? 4 : 0
        let available = receiveBuffer.count
        guard available >= BasicHeaderSegment.lengthBytes + digestBytes else { return false }
        let span = unsafe RawSpan(_unsafeStart: receiveBuffer.bytes, byteCount: available)
        guard let header = BasicHeaderSegment(span) else { return false }
        let headerBytes = BasicHeaderSegment.lengthBytes + header.totalAHSLengthBytes
        guard available >= headerBytes + digestBytes else { return false }
        if digestBytes > 0 {
            var digest = RunningDigest()
            unsafe digest.update(receiveBuffer.bytes, headerBytes)
            let sent = unsafe (receiveBuffer.bytes + headerBytes).loadUnaligned(as: UInt32.self)
            guard UInt32(littleEndian: sent) == digest.final else {
                violated(.headerDigest)
                return false
            }
        }
        inbound.reset()
        inbound.header = header
        inbound.lengthBytes = header.dataSegmentLength
        let additional = span.extracting(BasicHeaderSegment.lengthBytes..<headerBytes)
        take(header, additional)
        if closesAfterOutput { return false }
        receiveBuffer.consume(headerBytes + digestBytes)
        if inbound.lengthBytes == 0 {
            segmentArrived(digestFailed: false)
        } else if case .none = inbound.purpose {
            inbound.purpose = .discard
        }
        return true
    }

    @inline(__always)
    private func take(_ header: BasicHeaderSegment, _ additional: RawSpan) {
        if isDraining, header.opcode == .scsiCommand {
            // Unanswered: the initiator repeats it on its next connection.
            inbound.purpose = .discard
            return
        }
        switch machine.receive(header, additional: additional) {
        case .command(let task):
            beginCommand(task, additional)
            if inbound.lengthBytes > 0 { expectDataOut(task, offset: 0) }
        case .dataOut(let task, let offset):
            expectDataOut(task, offset: offset)
        case .ping(let keepBytes):
            inbound.purpose = .ping
            inbound.keptBytes = keepBytes
            if keepBytes > 0 { takeInboundSlot(lengthBytes: keepBytes) }
        case .text:
            guard inbound.lengthBytes <= LoginLimits().segmentLengthBytes else { return violated(.textTooLong) }
            inbound.purpose = .text
            inbound.keptBytes = inbound.lengthBytes
            if inbound.lengthBytes > 0 { takeInboundSlot(lengthBytes: inbound.lengthBytes) }
        case .logout:
            logoutRequested()
        case .taskManagement(let request):
            manage(request)
        case .ignore:
            inbound.purpose = .discard
        case .violation(let violation):
            violated(violation)
        }
    }

    /// A slot of the segment's own; stalls the connection while memory is short.
    private func takeInboundSlot(lengthBytes: Int) {
        inbound.ownsSlot = true
        if let slot = reactor.pool.takeSparing(lengthBytes: lengthBytes, for: reactor.controlAccount) {
            inbound.slot = slot
        } else {
            stallInbound()
        }
    }

    private func expectDataOut(_ task: TaskIndex, offset: Int) {
        inbound.purpose = .dataOut(task)
        inbound.keptBytes = machine.keptBytes(task, offset: offset, lengthBytes: inbound.lengthBytes)
        guard inbound.keptBytes > 0 else { return }
        inbound.slotOffset = offset - jobs[task.index].slotBase
        if jobs[task.index].slot.isNone { _ = takeBurstSlot(task, sparing: false) }
        inbound.slot = jobs[task.index].slot
        if inbound.slot.isNone { stallInbound() }
    }

    /// Memory may have come back.
    func resumeStarved() {
        if isClosing { return }
        if isInboundStalled {
            isInboundStalled = false
            let stallDeadline = waits.stallDeadline
            waits.stallDeadline = .max
            if case .dataOut(let task) = inbound.purpose {
                if machine.task(task).state != .collecting {
                    // Ended by a reset or an abort while it waited: its data is thrown away.
                    inbound.keptBytes = 0
                } else if inbound.keptBytes > 0, inbound.slot.isNone {
                    if jobs[task.index].slot.isNone { _ = takeBurstSlot(task, sparing: false) }
                    inbound.slot = jobs[task.index].slot
                }
            } else if inbound.slot.isNone,
                let slot = reactor.pool.takeSparing(lengthBytes: inbound.keptBytes, for: reactor.controlAccount)
            {
                inbound.slot = slot
            }
            if inbound.keptBytes > 0, inbound.slot.isNone {
                isInboundStalled = true
                waits.stallDeadline = stallDeadline
                reactor.markStarved(self)
            } else if cutIfStalledTooLong() {
                return
            } else {
                parse()
            }
        }
        let waiting = starvedJobs
        starvedJobs.removeAll(keepingCapacity: true)
        for task in waiting { resumeJob(task) }
        reactor.markDirty(self)
    }

    /// Data of the segment that is under way; false when it is not all there.
    @inline(__always)
    private func parseData() -> Bool {
        let left = inbound.lengthBytes - inbound.arrivedBytes
        if left > 0 {
            let count = min(left, receiveBuffer.count)
            guard count > 0 else { return false }
            let kept = min(count, inbound.keptBytes - inbound.arrivedBytes)
            if kept > 0 {
                unsafe (reactor.pool.address(of: inbound.slot) + inbound.slotOffset + inbound.arrivedBytes)
                    .copyMemory(from: receiveBuffer.bytes, byteCount: kept)
            }
            if machine.parameters.dataDigest { unsafe inbound.digest.update(receiveBuffer.bytes, count) }
            receiveBuffer.consume(count)
            inbound.arrivedBytes += count
            if count < left { return false }
        }
        let padding = BasicHeaderSegment.padding(inbound.lengthBytes)
        let trailerBytes = padding + (machine.parameters.dataDigest ? 4 : 0)
        guard receiveBuffer.count >= trailerBytes else { return false }
        var digestFailed = false
        if machine.parameters.dataDigest {
            unsafe inbound.digest.update(receiveBuffer.bytes, padding)
            let sent = unsafe (receiveBuffer.bytes + padding).loadUnaligned(as: UInt32.self)
            digestFailed = UInt32(littleEndian: sent) != inbound.digest.final
        }
        receiveBuffer.consume(trailerBytes)
        segmentArrived(digestFailed: digestFailed)
        return true
    }

    /// The data segment is in, or there was none.
    @inline(__always)
    private func segmentArrived(digestFailed: Bool) {
        let segment = inbound
        inbound.reset()
        switch segment.purpose {
        case .none, .discard: break
        case .dataOut(let task):
            if segment.ownsSlot { reactor.pool.release(segment.slot) }
            let arrival = machine.dataOutArrived(
                task, lengthBytes: segment.lengthBytes, header: segment.header, digestFailed: digestFailed)
            switch arrival {
            case .partial, .dropped: break
            case .burst: burstArrived(task, isLast: false)
            case .complete: burstArrived(task, isLast: true)
            }
        case .ping:
            guard !digestFailed else {
                machine.reject(segment.header, .dataDigestError)
                if !segment.slot.isNone { reactor.pool.release(segment.slot) }
                return
            }
            let payload = segment.slot.isNone ? PayloadReference.none : PayloadReference(segment.slot.rawValue)
            if !segment.slot.isNone { countOutput(segment.slot) }
            machine.answerPing(payload: payload, lengthBytes: segment.keptBytes)
        case .text:
            defer { if !segment.slot.isNone { reactor.pool.release(segment.slot) } }
            guard !digestFailed else { return machine.reject(segment.header, .dataDigestError) }
            if segment.slot.isNone {
                answerText(RawSpan())
            } else {
                answerText(
                    unsafe RawSpan(
                        _unsafeStart: reactor.pool.address(of: segment.slot), byteCount: segment.lengthBytes))
            }
        }
    }

    /// Gives back what the segment under way holds by itself.
    func releaseInbound() {
        if inbound.ownsSlot, !inbound.slot.isNone { reactor.pool.release(inbound.slot) }
        inbound.reset()
    }
}
