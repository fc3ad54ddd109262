import ISCSI
import Testing

/// A full feature connection with a driver that keeps count of the buffers it lends.
final class Harness {
    var machine: FullFeatureConnection
    /// Buffers lent and not yet back.
    private(set) var lent: Set<UInt32> = []
    private var nextBuffer: UInt32 = 0
    var cmdSN = SerialNumber(1)

    init(
        window: Int = 4, isDiscovery: Bool = false, expCmdSN: UInt32 = 1, statSN: UInt32 = 100,
        _ change: (inout TransferParameters) -> Void = { _ in }
    ) {
        var parameters = TransferParameters()
        change(&parameters)
        machine = FullFeatureConnection(
            parameters: parameters, isDiscovery: isDiscovery, expCmdSN: SerialNumber(expCmdSN),
            statSN: SerialNumber(statSN), commandWindow: window)
        cmdSN = SerialNumber(expCmdSN)
    }

    // What the machine says of itself, where a test macro can look at it (it cannot at a value without copies).
    var hasOutput: Bool { machine.hasOutput }
    var wantsInput: Bool { machine.wantsInput }
    var isPingOutstanding: Bool { machine.isPingOutstanding }
    var tasksInFlight: Int { machine.tasksInFlight }
    var taskCapacity: Int { machine.taskCapacity }
    var parameters: TransferParameters { machine.parameters }
    func find(_ tag: InitiatorTaskTag) -> TaskIndex? { machine.find(tag) }
    func task(_ index: TaskIndex) -> ISCSI.Task { machine.task(index) }
    func solicit(_ index: TaskIndex, upToBytes: Int) -> Int { machine.solicit(index, upToBytes: upToBytes) }
    func keptBytes(_ index: TaskIndex, offset: Int, lengthBytes: Int) -> Int {
        machine.keptBytes(index, offset: offset, lengthBytes: lengthBytes)
    }

    // MARK: Headers

    func receive(_ header: BasicHeaderSegment, additional: [UInt8] = []) -> Inbound {
        unsafe machine.receive(header, additional: additional.span.bytes)
    }

    /// A command with the next CmdSN, which it uses up unless it is immediate.
    func command(
        _ tag: UInt32, reads: Int = 0, writes: Int = 0, data: Int = 0, final: Bool = true, immediate: Bool = false
    ) -> BasicHeaderSegment {
        var view = SCSICommand(
            initiatorTaskTag: InitiatorTaskTag(tag), lun: .zero, cdb: InlineArray(repeating: 0), reads: reads > 0,
            writes: writes > 0, expectedDataTransferLength: UInt32(max(reads, writes)), cmdSN: cmdSN,
            expStatSN: SerialNumber(0), immediate: immediate, dataSegmentLength: data)
        view.isFinal = final
        if !immediate { cmdSN += 1 }
        return view.header
    }

    func dataOut(
        _ tag: UInt32, offset: Int, length: Int, dataSN: UInt32 = 0, final: Bool,
        transferTag: TargetTransferTag = .reserved
    ) -> BasicHeaderSegment {
        SCSIDataOut(
            initiatorTaskTag: InitiatorTaskTag(tag), targetTransferTag: transferTag, dataSN: dataSN,
            bufferOffset: UInt32(offset), final: final, expStatSN: SerialNumber(0), dataSegmentLength: length
        ).header
    }

    func nop(immediate: Bool, data: Int = 0) -> BasicHeaderSegment {
        let view = NOPOut(
            initiatorTaskTag: InitiatorTaskTag(0x7000), immediate: immediate, cmdSN: cmdSN, expStatSN: SerialNumber(0),
            dataSegmentLength: data)
        if !immediate { cmdSN += 1 }
        return view.header
    }

    // MARK: The driver

    /// Takes a command that has to come through, and admits it.
    func admit(
        _ header: BasicHeaderSegment, wants: Int = 0, moves: Int? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> TaskIndex {
        let index = try #require(receive(header).task, sourceLocation: sourceLocation)
        _ = machine.admit(index, wantedBytes: wants, commandBytes: moves ?? wants)
        return index
    }

    /// The data segment of that Data-Out or command is in.
    func arrive(_ index: TaskIndex, _ header: BasicHeaderSegment, digestFailed: Bool = false)
        -> FullFeatureConnection.Arrival
    {
        machine.dataOutArrived(
            index, lengthBytes: header.dataSegmentLength, header: header, digestFailed: digestFailed)
    }

    /// A Data-Out that has to be taken, with its data.
    func deliver(
        _ header: BasicHeaderSegment, digestFailed: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> FullFeatureConnection.Arrival {
        guard case .dataOut(let index, let offset) = receive(header) else {
            Issue.record("the Data-Out was not taken", sourceLocation: sourceLocation)
            return .dropped
        }
        #expect(offset == Int(header[.bufferOffset]), sourceLocation: sourceLocation)
        return arrive(index, header, digestFailed: digestFailed)
    }

    func lend() -> PayloadReference {
        defer { nextBuffer += 1 }
        lent.insert(nextBuffer)
        return PayloadReference(nextBuffer)
    }

    func takeBack(_ payload: PayloadReference) {
        #expect(lent.remove(payload.value) != nil, "buffer \(payload.value) came back twice")
    }

    func respond(_ index: TaskIndex, status: UInt8 = 0, sense: [UInt8] = []) {
        unsafe machine.respond(index, status: status, sense: sense.span.bytes)
    }

    func abort(_ index: TaskIndex, busy: Bool = false) -> Bool {
        var back: [PayloadReference] = []
        let result = machine.abort(index, deviceServerBusy: busy) { back.append($0) }
        for payload in back { takeBack(payload) }
        return result
    }

    /// As another initiator ends it.
    func abortByOther(_ index: TaskIndex, busy: Bool = false) -> Bool {
        var back: [PayloadReference] = []
        let result = machine.abort(index, status: 0x40, deviceServerBusy: busy) { back.append($0) }
        for payload in back { takeBack(payload) }
        return result
    }

    func discardOutput() {
        var back: [PayloadReference] = []
        machine.discardOutput { back.append($0) }
        for payload in back { takeBack(payload) }
    }

    /// The next PDU; its buffer comes back when it was the last out of it.
    func next() -> OutboundPDU? {
        guard let pdu = machine.nextOutput() else { return nil }
        if pdu.releasesPayload { takeBack(pdu.payload) }
        return pdu
    }

    /// All PDUs that wait.
    func drain() -> [OutboundPDU] {
        var all: [OutboundPDU] = []
        while let pdu = next() { all.append(pdu) }
        return all
    }
}

extension Inbound {
    /// The new command's place, where it is one.
    var task: TaskIndex? {
        if case .command(let index) = self { return index }
        return nil
    }

    var isIgnored: Bool {
        if case .ignore = self { return true }
        return false
    }

    var violation: ProtocolViolation? {
        if case .violation(let violation) = self { return violation }
        return nil
    }
}

extension OutboundPDU {
    var opcode: Opcode? { header.opcode }

    /// The inline data segment as bytes.
    var inlineBytes: [UInt8] {
        var bytes: [UInt8] = []
        for word in 0..<6 {
            let value = UInt64(bigEndian: inlineData[word])
            for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * byte))) }
        }
        return Array(bytes[..<inlineLength])
    }
}
