import ISCSI
import Testing

/// Whatever an initiator sends and whenever a driver answers, nothing traps and no buffer is lost or given back twice.
@Suite("Full feature phase: random sequences")
struct RandomSequenceTests {
    /// What the driver knows of a task.
    private struct Work {
        var wanted = 0
        /// Data-In bytes that may still be given.
        var leftToSend = 0
        var awaitsBurst = false
        var isBusyAbort = false
    }

    @Test("headers that are nearly right, and a driver in any order")
    func sequences() {
        withSeed("random sequences") { generator in
            for round in 0..<150 { Self.play(&generator, isDiscovery: round % 10 == 9) }
        }
    }

    private static func play(_ generator: inout SeededGenerator, isDiscovery: Bool) {
        let harness = Harness(window: Int.random(in: 1...6, using: &generator), isDiscovery: isDiscovery) {
            parameters in
            parameters.initialR2T = Bool.random(using: &generator)
            parameters.immediateData = Bool.random(using: &generator)
            parameters.maximumSendBytes = [512, 1000, 8192].randomElement(using: &generator)!
            parameters.maximumBurstBytes = [512, 4096, 262_144].randomElement(using: &generator)!
            parameters.firstBurstBytes = min(
                parameters.maximumBurstBytes, [512, 4096].randomElement(using: &generator)!)
        }
        var works: [TaskIndex: Work] = [:]
        var transferTags: [TargetTransferTag] = [.reserved]
        for _ in 0..<400 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0...4:
                let header = header(harness, transferTags, &generator)
                handle(harness.receive(header), header, harness, &works, &generator)
            case 5, 6: drive(harness, &works, &generator)
            case 7 where Int.random(in: 0..<4, using: &generator) == 0:
                if let index = works.keys.sorted(by: { $0.value < $1.value }).randomElement(using: &generator) {
                    abort(index, harness, &works, busy: Bool.random(using: &generator))
                }
            default:
                if Int.random(in: 0..<30, using: &generator) == 0 { harness.machine.ping() }
                send(harness, &works, &transferTags)
            }
            let live = works.keys.allSatisfy { harness.task($0).state != .free }
            #expect(live, "a task vanished without having been answered")
        }
        // The end of a connection: everything queued is thrown away, everything in flight ends.
        harness.discardOutput()
        #expect(harness.lent.isEmpty, "buffers lost: \(harness.lent)")
    }

    /// A header that is right in most of its fields.
    private static func header(
        _ harness: Harness, _ transferTags: [TargetTransferTag], _ generator: inout SeededGenerator
    ) -> BasicHeaderSegment {
        func rarely() -> Bool { Int.random(in: 0..<12, using: &generator) == 0 }
        let length = [0, 0, 1, 512, 700, 4096].randomElement(using: &generator)!
        let tag = UInt32.random(in: 1...10, using: &generator)
        let expected = [0, 512, 4096, 10_000].randomElement(using: &generator)!
        var header: BasicHeaderSegment
        switch Int.random(in: 0..<8, using: &generator) {
        case 0...2:
            let writes = Bool.random(using: &generator)
            let carries = writes && harness.parameters.immediateData && Bool.random(using: &generator)
            header = harness.command(
                tag, reads: writes ? 0 : expected, writes: writes ? expected : 0,
                data: carries ? min(length, expected) : 0,
                final: harness.parameters.initialR2T || !writes || Bool.random(using: &generator),
                immediate: rarely())
        case 3...5:
            var offset = 0
            var dataSN: UInt32 = 0
            if let index = harness.find(InitiatorTaskTag(tag)), !rarely() {
                offset = harness.task(index).receivedBytes
                dataSN = UInt32.random(in: 0...2, using: &generator)
            }
            header = harness.dataOut(
                tag, offset: offset, length: length, dataSN: dataSN, final: Bool.random(using: &generator),
                transferTag: transferTags.randomElement(using: &generator)!)
        case 6: header = harness.nop(immediate: Bool.random(using: &generator), data: length)
        default:
            header = BasicHeaderSegment()
            header.words = InlineArray { _ in generator.next() }
            header.dataSegmentLength = length
            header[.cmdSN] = harness.cmdSN
            if !rarely() { header[.opcode] = [0, 2, 4, 5, 0x10].randomElement(using: &generator)! }
        }
        if rarely() { header[.cmdSN] = SerialNumber(UInt32.random(in: 0...40, using: &generator)) }
        return header
    }

    private static func handle(
        _ inbound: Inbound, _ header: BasicHeaderSegment, _ harness: Harness, _ works: inout [TaskIndex: Work],
        _ generator: inout SeededGenerator
    ) {
        switch inbound {
        case .command(let index):
            #expect(!works.keys.contains(index), "a place in use was given again")
            works[index] = Work()
            if Int.random(in: 0..<6, using: &generator) == 0 {
                harness.respond(index, status: 2, sense: [0x70])
            } else {
                let task = harness.task(index)
                let moves = [0, 512, 4096, 10_000].randomElement(using: &generator)!
                let wanted = task.announcesDataOut ? moves : 0
                let unsolicited = harness.machine.admit(index, wantedBytes: wanted, commandBytes: moves)
                works[index]?.wanted = harness.task(index).wantedBytes
                works[index]?.leftToSend = task.expectsDataIn ? min(moves, task.expectedBytes) : 0
                works[index]?.awaitsBurst = unsolicited == 0 && harness.task(index).state == .collecting
            }
            if header.dataSegmentLength > 0 { arrive(index, header, harness, &works, &generator) }
        case .dataOut(let index, _): arrive(index, header, harness, &works, &generator)
        case .ping(let keepBytes):
            let payload = keepBytes > 0 ? harness.lend() : .none
            harness.machine.answerPing(payload: payload, lengthBytes: keepBytes)
        case .text:
            harness.machine.answerText(
                TextResponse(
                    initiatorTaskTag: harness.machine.textRequest.initiatorTaskTag, sequence: .zero,
                    dataSegmentLength: 0),
                payload: harness.lend(), lengthBytes: 8)
        case .taskManagement(let request):
            harness.machine.answerTaskManagement(request.initiatorTaskTag, .functionComplete)
        case .logout: harness.machine.answerLogout(.success)
        case .ignore, .violation:
            // What the machine sends next tells which number it expects. (A driver ends the connection at a violation;
            // the machine must bear that it does not.)
            harness.machine.reject(header, .invalidPDUField)
        }
    }

    private static func arrive(
        _ index: TaskIndex, _ header: BasicHeaderSegment, _ harness: Harness, _ works: inout [TaskIndex: Work],
        _ generator: inout SeededGenerator
    ) {
        let offset = header.opcode == .scsiDataOut ? Int(header[.bufferOffset]) : 0
        let kept = harness.keptBytes(index, offset: offset, lengthBytes: header.dataSegmentLength)
        #expect(kept >= 0 && kept <= header.dataSegmentLength)
        let digestFailed = Int.random(in: 0..<20, using: &generator) == 0
        if harness.arrive(index, header, digestFailed: digestFailed) == .burst { works[index]?.awaitsBurst = true }
    }

    /// The device server goes on with a task.
    private static func drive(
        _ harness: Harness, _ works: inout [TaskIndex: Work], _ generator: inout SeededGenerator
    ) {
        guard let index = works.keys.sorted(by: { $0.value < $1.value }).randomElement(using: &generator),
            var work = works[index]
        else { return }
        defer { if works[index] != nil { works[index] = work } }
        switch harness.task(index).state {
        case .collecting:
            if work.awaitsBurst {
                let room = Int.random(in: 1...20_000, using: &generator)
                #expect(harness.solicit(index, upToBytes: room) <= room)
                work.awaitsBurst = false
            } else if Int.random(in: 0..<8, using: &generator) == 0 {
                harness.respond(index, status: 2, sense: [0x70, 0, 3])
            }
        case .executing:
            if work.leftToSend > 0 {
                let count = Int.random(in: 1...work.leftToSend, using: &generator)
                work.leftToSend -= count
                harness.machine.sendData(
                    index, payload: harness.lend(), lengthBytes: count, endsCommand: work.leftToSend == 0)
            } else {
                harness.respond(index)
            }
        case .aborted where work.isBusyAbort:
            harness.machine.forget(index)
            works[index] = nil
        default: break
        }
    }

    private static func abort(
        _ index: TaskIndex, _ harness: Harness, _ works: inout [TaskIndex: Work], busy: Bool
    ) {
        if harness.task(index).state == .aborted { return }
        guard harness.abort(index, busy: busy) else { return }
        if busy { works[index]?.isBusyAbort = true } else { works[index] = nil }
    }

    private static func send(
        _ harness: Harness, _ works: inout [TaskIndex: Work], _ transferTags: inout [TargetTransferTag]
    ) {
        guard let pdu = harness.next() else { return }
        harness.cmdSN = pdu.header[.expCmdSN]
        switch pdu.opcode {
        case .r2t: transferTags.append(R2T(header: pdu.header).targetTransferTag)
        case .scsiResponse, .scsiDataIn:
            let ends = pdu.opcode == .scsiResponse || pdu.header[.hasStatus]
            for index in works.keys where ends && harness.task(index).state == .free { works[index] = nil }
        default: break
        }
    }
}
