import ISCSI
import SCSI

/// SplitMix64, so that a seed plays the same everywhere.
struct SimulationRandom {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x2545_F491_4F6C_DD1D }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    /// True once in so many times.
    mutating func chance(_ oneIn: Int) -> Bool { below(oneIn) == 0 }
    mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
}

/// A command or a task management request that an initiator waits for.
struct SimulatedRequest {
    enum Kind { case write, read, reserveOut, other, abort(InitiatorTaskTag), clearsOthers }
    let kind: Kind
    var cdb: [UInt8] = []
    var range = 0..<0
    var stamp: UInt64 = 0
    var list: [UInt8] = []
    /// For a read: what each block may turn out to hold.
    var candidates: [Set<UInt64>] = []

    var isCommand: Bool {
        switch kind {
        case .write, .read, .reserveOut, .other: true
        case .abort, .clearsOthers: false
        }
    }
}

/// One initiator: numbers its requests, keeps within the window, answers R2Ts, and remembers what it waits for.
final class SimulatedInitiator {
    let number: Int
    let session: SimulatedSession
    private(set) var waiting: [InitiatorTaskTag: SimulatedRequest] = [:]
    private var cmdSN = SerialNumber(0xffff_fff0)
    private var maxCmdSN = SerialNumber(0xffff_fff0) + 7
    private var nextTag: UInt32 = 1
    private var expStatSN = SerialNumber(1)

    init(_ number: Int, _ session: SimulatedSession) {
        self.number = number
        self.session = session
    }

    var mayCommand: Bool { cmdSN <= maxCmdSN }

    private func newTag() -> InitiatorTaskTag {
        defer { nextTag += 1 }
        return InitiatorTaskTag(nextTag)
    }

    /// Sends a command. `immediately` puts its data into its own PDU, else it comes by R2T.
    func send(_ request: SimulatedRequest, expected: Int, reads: Bool, immediately: Bool) {
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        for (index, byte) in request.cdb.enumerated() { bytes[index] = byte }
        let tag = newTag()
        let view = SCSICommand(
            initiatorTaskTag: tag, lun: .zero, cdb: bytes, reads: reads && expected > 0,
            writes: !reads && expected > 0, expectedDataTransferLength: UInt32(expected), cmdSN: cmdSN.take(),
            expStatSN: expStatSN, dataSegmentLength: immediately && !reads ? expected : 0)
        waiting[tag] = request
        session.toTarget.append(
            SimulatedPacket(header: view.header, cdb: request.cdb, list: request.list, stamp: request.stamp))
    }

    func manage(_ function: TaskManagementFunction, about tag: InitiatorTaskTag = .reserved) {
        let own = newTag()
        let view = TaskManagementRequest(
            function: function, initiatorTaskTag: own, referencedTaskTag: tag, refCmdSN: cmdSN - 1, cmdSN: cmdSN,
            expStatSN: expStatSN)
        if function == .abortTask {
            waiting[own] = SimulatedRequest(kind: .abort(tag))
        } else {
            waiting[own] = SimulatedRequest(kind: .clearsOthers)
        }
        session.toTarget.append(SimulatedPacket(header: view.header))
    }

    /// Learns the window anew when nothing is on its way that would tell.
    func ping() {
        let view = NOPOut(initiatorTaskTag: newTag(), cmdSN: cmdSN, expStatSN: expStatSN)
        session.toTarget.append(SimulatedPacket(header: view.header))
    }

    /// What an answer was to, and with what status; nil for one that ends nothing.
    func receive(_ problem: (String) -> Void) -> (
        request: SimulatedRequest, tag: InitiatorTaskTag, status: UInt8, stamps: [UInt64]
    )? {
        guard !session.toInitiator.isEmpty else { return nil }
        let answer = session.toInitiator.removeFirst()
        let header = answer.pdu.header
        if header[.maxCmdSN] > maxCmdSN { maxCmdSN = header[.maxCmdSN] }
        let tag = header.initiatorTaskTag
        switch header.opcode {
        case .r2t:
            let view = R2T(header: header)
            guard let request = waiting[tag] else { return nil }
            let data = SCSIDataOut(
                initiatorTaskTag: tag, targetTransferTag: view.targetTransferTag, dataSN: 0,
                bufferOffset: view.bufferOffset, final: true, expStatSN: expStatSN,
                dataSegmentLength: Int(view.desiredDataTransferLength))
            session.toTarget.append(
                SimulatedPacket(header: data.header, list: request.list, stamp: request.stamp))
            return nil
        case .scsiDataIn where !header[.hasStatus]:
            problem("Data-In in pieces")
            return nil
        case .scsiDataIn, .scsiResponse, .taskManagementResponse, .nopIn:
            if header[.statSN] != expStatSN { problem("StatSN \(header[.statSN]), expected \(expStatSN)") }
            expStatSN += 1
            if header.opcode == .nopIn { return nil }
            guard let request = waiting.removeValue(forKey: tag) else {
                problem("an answer to tag \(tag), which waits for none")
                return nil
            }
            let isManagement = header.opcode == .taskManagementResponse
            return (request, tag, isManagement ? header[.response] : header[.status], answer.stamps)
        default:
            problem("opcode \(header[.opcode])")
            return nil
        }
    }

    /// Requests that have ended without an answer.
    func forget(_ tag: InitiatorTaskTag) -> SimulatedRequest? { waiting.removeValue(forKey: tag) }

    func addCandidate(_ stamp: UInt64, _ range: Range<Int>) {
        for tag in waiting.keys {
            guard case .read? = waiting[tag]?.kind, let read = waiting[tag]?.range else { continue }
            for block in range.clamped(to: read) { waiting[tag]?.candidates[block - read.lowerBound].insert(stamp) }
        }
    }
}
