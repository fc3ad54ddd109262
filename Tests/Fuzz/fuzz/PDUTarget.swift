import ISCSI

/// Headers, additional header segments and digests as bytes, against the full feature phase with a driver that answers
/// in any order. What holds: nothing traps; every lent buffer comes back once; a task that was taken is answered or aborted
/// once; no Data-In goes beyond what was expected; replies to a peer that does not read them are bounded.
enum PDUTarget {
    static func run(_ input: inout Input) {
        let driver = PDUDriver(&input)
        while !input.isEmpty { driver.step(&input) }
        driver.end()
    }
}

private final class PDUDriver {
    private var machine: FullFeatureConnection
    private var lent: Set<UInt32> = []
    private var nextBuffer: UInt32 = 0
    private var cmdSN: SerialNumber
    private var statSN: SerialNumber
    private var transferTag = TargetTransferTag.reserved
    private var isOver = false

    private struct Work {
        var leftToSend = 0
        var awaitsBurst = false
        var isBusyAbort = false
    }
    private var works: [TaskIndex: Work] = [:]

    init(_ input: inout Input) {
        let flags = input.byte()
        var parameters = TransferParameters()
        parameters.initialR2T = flags & 1 != 0
        parameters.immediateData = flags & 2 != 0
        parameters.headerDigest = flags & 4 != 0
        parameters.dataDigest = flags & 8 != 0
        parameters.maximumSendBytes = input.pick([512, 1000, 8192])
        parameters.maximumBurstBytes = input.pick([512, 4096, 262_144])
        parameters.firstBurstBytes = min(parameters.maximumBurstBytes, input.pick([512, 4096]))
        // Near the wrap, where serial number arithmetic goes wrong if it does.
        cmdSN = SerialNumber(flags & 32 != 0 ? 0xffff_fffe : 1)
        statSN = SerialNumber(flags & 64 != 0 ? 0xffff_ffff : 100)
        machine = FullFeatureConnection(
            parameters: parameters, isDiscovery: flags & 16 != 0, expCmdSN: cmdSN, statSN: statSN,
            commandWindow: 1 + Int(input.byte() % 6))
    }

    func step(_ input: inout Input) {
        let operation = input.byte()
        switch operation & 7 {
        // A driver reads on only while the machine wants it to.
        case 0...3: if !machine.wantsInput { send() } else if !isOver { receive(operation, &input) }
        case 4: work(&input)
        case 5: abort(&input)
        case 6: for _ in 0...(operation >> 3) { send() }
        default:
            switch operation >> 3 & 3 {
            case 0: machine.ping()
            case 1: machine.announce(.logoutRequest, parameter1: 0, parameter2: 0, parameter3: 1)
            default: send()
            }
        }
        hold(machine.tasksInFlight <= machine.taskCapacity, "more tasks than places")
        for index in works.keys { hold(machine.task(index).state != .free, "a task ended without an answer") }
    }

    /// A header from the input, put right in places that chance hardly finds, through the wire's form and back.
    private func receive(_ operation: UInt8, _ input: inout Input) {
        let flags = input.byte()
        var header = withSpan(input.padded(BasicHeaderSegment.lengthBytes)) { BasicHeaderSegment($0)! }
        if operation & 8 != 0 { header[.opcode] = input.pick([0, 1, 1, 2, 3, 4, 5, 5, 5, 6, 0x10]) }
        if operation & 16 != 0 { header[.initiatorTaskTag] = InitiatorTaskTag(UInt32(input.byte() & 7)) }
        if flags & 1 != 0 { header[.cmdSN] = cmdSN }
        if flags & 2 != 0, let index = machine.find(header.initiatorTaskTag) {
            header[.bufferOffset] = UInt32(truncatingIfNeeded: machine.task(index).receivedBytes)
        }
        if flags & 4 != 0 { header[.targetTransferTag] = flags & 8 != 0 ? transferTag : .reserved }
        if flags & 16 != 0 { header.dataSegmentLength &= 0x3ff }
        var additional = input.take(header.totalAHSLengthBytes)
        additional += [UInt8](repeating: 0, count: header.totalAHSLengthBytes - additional.count)
        var wire = header.bytes + additional
        let end = wire.count
        if machine.parameters.headerDigest {
            let digest = withSpan(wire) { CRC32C<SoftwareCRC32C>.checksum(of: $0) } ^ (flags & 32 != 0 ? 1 : 0)
            wire += (0..<4).map { UInt8(truncatingIfNeeded: digest >> (8 * UInt32($0))) }
        }
        withSpan(wire) { span in
            guard let read = BasicHeaderSegment(span) else { fatalError("48 bytes are no header") }
            let layout = PDULayout(
                read, headerDigest: machine.parameters.headerDigest, dataDigest: machine.parameters.dataDigest)
            hold(layout.headerLength == end && layout.totalLength >= layout.dataOffset, "layout \(layout)")
            if machine.parameters.headerDigest {
                let found = withSpan(Array(wire[..<end])) { CRC32C<SoftwareCRC32C>.checksum(of: $0) }
                guard PDUDigest.load(from: span, at: end) == found else {
                    hold(flags & 32 != 0, "a right digest was refused")
                    isOver = true
                    return
                }
            }
            let segments = span.extracting(BasicHeaderSegment.lengthBytes..<end)
            walk(segments)
            let inbound = machine.receive(read, additional: segments)
            handle(inbound, read, digestFailed: flags & 64 != 0, refuses: flags & 128 != 0)
        }
    }

    /// Additional header segments are walked to their end, never beyond it.
    private func walk(_ segments: RawSpan) {
        var cursor = AdditionalHeaderCursor()
        while let segment = try? cursor.next(in: segments) {
            hold(segment.contentOffset + segment.contentLength <= segments.byteCount, "a segment beyond the header")
            hold(segment.content(in: segments).count == segment.contentLength, "content cut")
            _ = segment.bidirectionalReadLength(in: segments)
        }
    }

    private func handle(_ inbound: Inbound, _ header: BasicHeaderSegment, digestFailed: Bool, refuses: Bool) {
        switch inbound {
        case .command(let index):
            hold(works[index] == nil, "a place in use was given again")
            let task = machine.task(index)
            var work = Work()
            // What the device server wants comes from the CDB: any length.
            let moves = Int(truncatingIfNeeded: task.cdb[0] & 0xffff)
            if !refuses {
                let unsolicited = machine.admit(
                    index, wantedBytes: task.announcesDataOut ? moves : 0, commandBytes: moves)
                hold(unsolicited <= task.expectedBytes, "unsolicited data beyond the expected length")
                work.leftToSend = task.expectsDataIn ? min(moves, task.expectedBytes) : 0
                work.awaitsBurst = unsolicited == 0 && machine.task(index).state == .collecting
            } else {
                withSpan([0x70, 0, 5]) { machine.respond(index, status: 2, sense: $0) }
            }
            works[index] = work
            if header.dataSegmentLength > 0 { arrive(index, 0, header, digestFailed) }
        case .dataOut(let index, let offset): arrive(index, offset, header, digestFailed)
        case .ping(let keepBytes):
            hold(keepBytes <= min(header.dataSegmentLength, machine.parameters.maximumSendBytes), "a longer echo")
            machine.answerPing(payload: keepBytes > 0 ? lend() : .none, lengthBytes: keepBytes)
        case .text:
            let request = machine.textRequest
            machine.answerText(
                TextResponse(initiatorTaskTag: request.initiatorTaskTag, sequence: .zero, dataSegmentLength: 0),
                payload: lend(), lengthBytes: 8)
        case .taskManagement(let request):
            if request.function == .abortTask, let index = machine.find(request.referencedTaskTag) {
                abort(index, busy: header[.immediate])
            }
            machine.answerTaskManagement(request.initiatorTaskTag, .functionComplete)
        case .logout: machine.answerLogout(.success)
        case .ignore: break
        case .violation(let violation):
            hold(!violation.explanation.isEmpty, "a violation without a word")
            isOver = true
        }
    }

    private func arrive(_ index: TaskIndex, _ offset: Int, _ header: BasicHeaderSegment, _ digestFailed: Bool) {
        let length = header.dataSegmentLength
        let kept = machine.keptBytes(index, offset: offset, lengthBytes: length)
        hold(kept >= 0 && kept <= length, "keeps \(kept) of \(length)")
        hold(kept == 0 || offset + kept <= machine.task(index).wantedBytes, "keeps more than is wanted")
        let arrival = machine.dataOutArrived(index, lengthBytes: length, header: header, digestFailed: digestFailed)
        if case .burst = arrival { works[index]?.awaitsBurst = true }
    }

    /// The device server goes on with a task.
    private func work(_ input: inout Input) {
        guard let index = pick(&input), var work = works[index] else { return }
        let amount = 1 + Int(input.number(UInt16.self))
        switch machine.task(index).state {
        case .collecting:
            if work.awaitsBurst {
                hold(machine.solicit(index, upToBytes: amount) <= amount, "asks for more than there is room for")
                work.awaitsBurst = false
            } else if amount & 7 == 0 {
                withSpan([0x70, 0, 3]) { machine.respond(index, status: 2, sense: $0) }
            }
        case .executing:
            if work.leftToSend > 0, amount & 0x100 == 0 {
                let count = min(amount, work.leftToSend)
                work.leftToSend -= count
                machine.sendData(index, payload: lend(), lengthBytes: count, endsCommand: work.leftToSend == 0)
            } else {
                withSpan([UInt8](repeating: 0x70, count: amount & 63)) { machine.respond(index, status: 0, sense: $0) }
            }
        case .aborted where work.isBusyAbort:
            machine.forget(index)
            works[index] = nil
            return
        default: break
        }
        works[index] = work
    }

    private func pick(_ input: inout Input) -> TaskIndex? {
        let all = works.keys.sorted { $0.value < $1.value }
        return all.isEmpty ? nil : all[Int(input.byte()) % all.count]
    }

    private func abort(_ input: inout Input) {
        let isBusy = input.byte() & 1 != 0
        if let index = pick(&input) { abort(index, busy: isBusy) }
    }

    private func abort(_ index: TaskIndex, busy: Bool) {
        if machine.task(index).state == .aborted { return }
        var back: [PayloadReference] = []
        let isAborted = machine.abort(index, deviceServerBusy: busy) { back.append($0) }
        for payload in back { takeBack(payload) }
        guard isAborted else { return }
        if busy { works[index]?.isBusyAbort = true } else { works[index] = nil }
    }

    private func lend() -> PayloadReference {
        defer { nextBuffer += 1 }
        lent.insert(nextBuffer)
        return PayloadReference(nextBuffer)
    }

    private func takeBack(_ payload: PayloadReference) {
        hold(lent.remove(payload.value) != nil, "buffer \(payload.value) came back twice")
    }

    private func send() {
        guard let pdu = machine.nextOutput() else { return hold(!machine.hasOutput, "output that does not come") }
        if pdu.releasesPayload { takeBack(pdu.payload) }
        cmdSN = pdu.header[.expCmdSN]
        hold(pdu.header.opcode?.isFromInitiator == false, "an initiator's opcode")
        switch pdu.header.opcode {
        case .r2t: transferTag = pdu.header[.targetTransferTag]
        case .scsiDataIn:
            hold(pdu.payloadLength <= machine.parameters.maximumSendBytes, "a segment beyond the negotiated length")
            if pdu.header[.hasStatus] { countStatus(pdu) }
        default: countStatus(pdu)
        }
        guard pdu.header.opcode == .scsiResponse || pdu.header[.opcode] == Opcode.scsiDataIn.rawValue else { return }
        for index in works.keys where machine.task(index).state == .free { works[index] = nil }
    }

    /// StatSN goes up by one with every PDU that has one.
    private func countStatus(_ pdu: OutboundPDU) {
        hold(pdu.header[.statSN] == statSN, "StatSN \(pdu.header[.statSN]), expected \(statSN)")
        let isOwnPing = pdu.header.opcode == .nopIn && pdu.header.initiatorTaskTag.isReserved
        if !isOwnPing { statSN += 1 }
    }

    func end() {
        machine.discardOutput { takeBack($0) }
        hold(lent.isEmpty, "buffers lost: \(lent)")
    }
}
