import Histogram
import ISCSI

/// What to do to the unit.
struct Work {
    /// Whether to write rather than to read.
    let writes: Bool
    /// Bytes of one command: whole blocks.
    let size: Int
    /// Commands in flight, 1...1024.
    let depth: Int
    let seconds: Double
    /// Commands lie at multiples of `size` below this many bytes.
    let span: Int
    let blockBytes: Int
    /// Of the offsets and of the data that is written.
    let seed: UInt64
}

/// What came of it.
struct Outcome {
    /// From the first command to the last answer.
    var seconds = 0.0
    /// Commands that ended GOOD with all their bytes.
    var completed = 0
    /// Commands that did not.
    var errors = 0
    /// What the first of them ended with.
    var firstError: String?
    var sendCalls = 0
    var receiveCalls = 0
    /// Nanoseconds from queueing a command to having all of its answer, as of the system call that brought the end.
    var latencies = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
    /// Processor time (user and system) that the watched process used meanwhile.
    var serverNanoseconds: UInt64?
}

/// The load: `depth` commands in flight on one connection, on one thread. What one receive brings is answered with one
/// gathered send, so that the load costs its processor as little as it can and the target is what is measured. Data that
/// arrives is copied out of the socket and dropped.
struct LoadLoop: ~Copyable {
    private struct Slot {
        var tag = InitiatorTaskTag.reserved
        var startNanoseconds: UInt64 = 0
        /// Bytes received of a read, bytes asked for of a write.
        var moved = 0
        var nextDataSN: UInt32 = 0
        var nextR2TSN: UInt32 = 0
    }

    private static let slotBits: UInt32 = 10
    /// A run that only meets errors ends early.
    private static let maximumErrors = 1000

    private let work: Work
    private var session: Session
    private var queue: SendQueue
    private var slots: [Slot]
    private var free: [Int]
    private var generation: UInt32 = 0
    private var random: SplitMix64
    private var outcome = Outcome()
    private var now: UInt64 = 0

    private var buffer = [UInt8](repeating: 0, count: 512 << 10)
    /// The part of `buffer` that is filled and not yet taken.
    private var start = 0
    private var end = 0
    /// Data of the current Data-In that is still to come.
    private var skipBytes = 0
    /// The Data-In whose data is being skipped, when it carries the status.
    private var lastDataIn: BasicHeaderSegment?

    /// A load on a session that is ready for commands.
    init(_ session: consuming Session, _ work: Work) {
        self.work = work
        self.session = session
        random = SplitMix64(state: work.seed)
        var data: [UInt8] = []
        if work.writes {
            data.reserveCapacity(work.size + 8)
            while data.count < work.size + 4 {
                let word = random.next()
                for byte in 0..<8 { data.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * byte))) }
            }
        }
        queue = SendQueue(data: data)
        slots = [Slot](repeating: Slot(), count: work.depth)
        free = Array((0..<work.depth).reversed())
    }

    /// Runs the load, waits for everything in flight, and logs out.
    ///
    /// - Parameter watching: The clock of the process whose processor time is wanted.
    consuming func run(watching clock: ProcessClock?) throws(LoadFailure) -> Outcome {
        let serverBegin = try clock?.nanoseconds()
        now = monotonicNanoseconds()
        let begin = now
        let deadline = begin + UInt64(work.seconds * 1e9)
        while true {
            let goesOn = now < deadline && outcome.errors < Self.maximumErrors
            if goesOn { issue() }
            if !goesOn && free.count == work.depth { break }
            try queue.flush(to: session.socket)
            try receive()
        }
        try queue.flush(to: session.socket)
        outcome.seconds = Double(now - begin) / 1e9
        outcome.sendCalls = queue.calls
        if let clock, let serverBegin { outcome.serverNanoseconds = try clock.nanoseconds() - serverBegin }
        try session.logout()
        return outcome
    }

    /// Queues commands into every free place that the target's window lets in.
    private mutating func issue() {
        let positions = UInt64(work.span / work.size)
        let blocks = work.size / work.blockBytes
        while !free.isEmpty, session.cmdSN <= session.maxCmdSN {
            let slot = free.removeLast()
            generation = (generation &+ 1) & (UInt32.max >> Self.slotBits &- 1)
            let tag = InitiatorTaskTag(generation << Self.slotBits | UInt32(slot))
            slots[slot] = Slot(tag: tag, startNanoseconds: now)
            let position = Int(random.next().multipliedFullWidth(by: positions).high)
            let block = UInt32(position * blocks)
            var immediate = 0
            if work.writes && session.parameters.immediateData {
                immediate = min(
                    work.size, session.parameters.firstBurstLength, session.parameters.targetMaxRecvDataSegmentLength)
                immediate &= ~3
            }
            slots[slot].moved = immediate
            let command = SCSICommand(
                initiatorTaskTag: tag, lun: session.lun, cdb: Self.cdb(work.writes ? 0x2a : 0x28, block, blocks),
                reads: !work.writes, writes: work.writes, expectedDataTransferLength: UInt32(work.size),
                cmdSN: session.cmdSN.take(), expStatSN: session.expStatSN, dataSegmentLength: immediate)
            queue.append(command.header)
        }
    }

    /// READ(10) or WRITE(10) (SBC-3 sections 5.8 and 5.29).
    @inline(__always)
    private static func cdb(_ operation: UInt8, _ block: UInt32, _ blocks: Int) -> InlineArray<16, UInt8> {
        var cdb = InlineArray<16, UInt8>(repeating: 0)
        cdb[0] = operation
        cdb[2] = UInt8(truncatingIfNeeded: block >> 24)
        cdb[3] = UInt8(truncatingIfNeeded: block >> 16)
        cdb[4] = UInt8(truncatingIfNeeded: block >> 8)
        cdb[5] = UInt8(truncatingIfNeeded: block)
        cdb[7] = UInt8(truncatingIfNeeded: blocks >> 8)
        cdb[8] = UInt8(truncatingIfNeeded: blocks)
        return cdb
    }

    /// One receive, and every whole PDU in it.
    private mutating func receive() throws(LoadFailure) {
        // With data left to send, waiting in recv could wait for a target that waits for that data.
        let waits = queue.isEmpty
        if !waits {
            guard try session.socket.wait(orRoom: true, milliseconds: Int32(TCPSocket.silenceSeconds * 1000)) else {
                throw LoadFailure("the target has taken and sent nothing for \(TCPSocket.silenceSeconds) s")
            }
        }
        guard case .moved(let count) = try session.socket.receive(into: &buffer, from: end, waiting: waits) else {
            return
        }
        outcome.receiveCalls += 1
        now = monotonicNanoseconds()
        end += count
        while try takeNext() {}
        if start == end {
            start = 0
            end = 0
        } else if start > 0 {
            for index in start..<end { buffer[index - start] = buffer[index] }
            end -= start
            start = 0
        }
    }

    /// Takes the next piece of what was received; false when it is not all there.
    private mutating func takeNext() throws(LoadFailure) -> Bool {
        if skipBytes > 0 {
            let skipped = min(skipBytes, end - start)
            start += skipped
            skipBytes -= skipped
            guard skipBytes == 0 else { return false }
        }
        if let header = lastDataIn {
            lastDataIn = nil
            try takeStatus(header, data: [])
        }
        let length = BasicHeaderSegment.lengthBytes
        guard end - start >= length, let header = unsafe BasicHeaderSegment(buffer.span.bytes, at: start) else {
            return false
        }
        guard header.totalAHSLengthBytes == 0 else { throw LoadFailure("the target sent an additional header") }
        if header.opcode == .scsiDataIn {
            start += length
            skipBytes = header.paddedDataSegmentLength
            try takeDataIn(header)
            return true
        }
        let whole = length + header.paddedDataSegmentLength
        guard whole <= buffer.count else { throw LoadFailure("a data segment of \(whole) bytes is too long") }
        guard end - start >= whole else { return false }
        let from = start
        start += whole
        switch header.opcode {
        case .scsiResponse:
            try takeStatus(header, data: Array(buffer[from + length..<from + length + header.dataSegmentLength]))
        case .r2t: try takeR2T(R2T(header: header))
        case .nopIn:
            session.takeWindow(header)
            if let answer = session.pong(header) { queue.append(answer) }
        default: throw Session.unexpected(header)
        }
        return true
    }

    /// The place of a command in flight.
    @inline(__always)
    private func place(_ header: BasicHeaderSegment) throws(LoadFailure) -> Int {
        let tag = header.initiatorTaskTag
        let slot = Int(tag.rawValue & (1 << Self.slotBits - 1))
        guard slot < slots.count, slots[slot].tag == tag else { throw Session.unexpected(header) }
        return slot
    }

    private mutating func takeDataIn(_ header: BasicHeaderSegment) throws(LoadFailure) {
        let slot = try place(header)
        let view = SCSIDataIn(header: header)
        guard !work.writes, view.dataSN == slots[slot].nextDataSN, Int(view.bufferOffset) == slots[slot].moved,
            slots[slot].moved + view.dataSegmentLength <= work.size
        else {
            throw LoadFailure(
                "Data-In \(view.dataSN) at \(view.bufferOffset) of \(view.dataSegmentLength) bytes came, "
                    + "\(slots[slot].nextDataSN) at \(slots[slot].moved) was due")
        }
        slots[slot].nextDataSN &+= 1
        slots[slot].moved += view.dataSegmentLength
        if view.hasStatus { lastDataIn = header } else { session.takeWindow(header) }
    }

    /// Sends what the target asks for.
    private mutating func takeR2T(_ r2t: R2T) throws(LoadFailure) {
        let slot = try place(r2t.header)
        session.takeWindow(r2t.header)
        let length = Int(r2t.desiredDataTransferLength)
        var offset = Int(r2t.bufferOffset)
        let burstEnd = offset + length
        guard work.writes, r2t.r2tSN == slots[slot].nextR2TSN, offset == slots[slot].moved, length > 0,
            length <= session.parameters.maxBurstLength, burstEnd <= work.size
        else {
            throw LoadFailure(
                "R2T \(r2t.r2tSN) for \(length) bytes at \(offset) came, "
                    + "\(slots[slot].nextR2TSN) at \(slots[slot].moved) of \(work.size) was due")
        }
        slots[slot].nextR2TSN &+= 1
        slots[slot].moved = burstEnd
        let segment = session.parameters.targetMaxRecvDataSegmentLength & ~3
        var dataSN: UInt32 = 0
        while offset < burstEnd {
            let count = min(segment, burstEnd - offset)
            let data = SCSIDataOut(
                initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag, lun: r2t.lun,
                dataSN: dataSN, bufferOffset: UInt32(offset), final: offset + count == burstEnd,
                expStatSN: session.expStatSN, dataSegmentLength: count)
            queue.append(data.header, dataOffset: offset)
            dataSN += 1
            offset += count
        }
    }

    /// Ends a command: with the status of its last Data-In or of its SCSI Response.
    private mutating func takeStatus(_ header: BasicHeaderSegment, data: [UInt8]) throws(LoadFailure) {
        let slot = try place(header)
        try session.takeStatus(header)
        let status = header[.status]
        let hasResidual = header[.residualOverflow] || header[.residualUnderflow]
        let responded = header.opcode == .scsiDataIn || header[.response] == 0
        if status == 0 && !hasResidual && responded && slots[slot].moved == work.size {
            outcome.completed += 1
            outcome.latencies.record(now - slots[slot].startNanoseconds)
        } else {
            outcome.errors += 1
            if outcome.firstError == nil {
                outcome.firstError =
                    Session.describe(Session.Answer(status: status, data: data))
                    + (responded ? "" : ", response \(header[.response])")
                    + (hasResidual ? ", residual \(header[.residualCount])" : "")
                    + ", \(slots[slot].moved) of \(work.size) bytes"
            }
        }
        slots[slot].tag = .reserved
        free.append(slot)
    }
}

/// Steele, Lea and Flood's generator: the same numbers for the same seed, everywhere.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
