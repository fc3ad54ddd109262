import ISCSI
import Testing

/// What a command came to.
struct Outcome {
    var status: UInt8
    var data: [UInt8] = []
    /// Sense data in fixed format, without the length before it.
    var sense: [UInt8] = []
    var residual = Residual.none

    var senseKey: UInt8 { sense.count > 2 ? sense[2] & 0x0f : 0 }
    /// ASC and ASCQ.
    var additionalSense: UInt16 { sense.count > 13 ? UInt16(sense[12]) << 8 | UInt16(sense[13]) : 0 }
    var isGood: Bool { status == 0 }
}

/// A session of the test initiator: one connection, logged in, that does as RFC 7143 says unless told otherwise.
final class TestSession {
    let wire: Wire
    let parameters: OperationalParameters
    let tsih: UInt16
    private(set) var cmdSN: SerialNumber
    private var expStatSN: SerialNumber
    private var nextTag: UInt32 = 1
    /// What came without being an answer to a command: rejects, asynchronous messages, answers to other requests.
    var unasked: [PDU] = []

    struct LoginFailed: Error {
        var status: LoginStatus?
        var cause: String
    }

    init(
        port: UInt16, target: String?, initiator: String = "iqn.2026-01.net.example:client0", isid: UInt64 = 1,
        receiveBufferBytes: Int32 = 0, _ change: (inout InitiatorLogin.Configuration) -> Void = { _ in }
    ) throws {
        wire = try Wire(port: port, receiveBufferBytes: receiveBufferBytes)
        var configuration = InitiatorLogin.Configuration(
            initiatorName: try ISCSIName(initiator), targetName: try target.map { try ISCSIName($0) },
            isid: ISID(rawValue: 0x8000_0000_0000 | isid))
        change(&configuration)
        var login = InitiatorLogin(configuration)
        var step = login.start()
        while case .send(let request, let text) = step {
            wire.send(PDU(header: request.header, data: text))
            guard let answer = wire.receive() else {
                throw LoginFailed(status: nil, cause: "the target closed the connection during login")
            }
            step = unsafe login.receive(answer.header, data: answer.data.span.bytes)
        }
        guard case .established(let result) = step else {
            if case .failed(let status, let cause) = step { throw LoginFailed(status: status, cause: cause) }
            throw LoginFailed(status: nil, cause: "unfinished")
        }
        parameters = result.parameters
        tsih = result.tsih
        cmdSN = result.cmdSN
        expStatSN = result.expStatSN
        wire.headerDigest = parameters.headerDigest == .crc32c
        wire.dataDigest = parameters.dataDigest == .crc32c
    }

    // MARK: Commands

    func newTag() -> InitiatorTaskTag {
        defer { nextTag += 1 }
        return InitiatorTaskTag(nextTag)
    }

    /// The number of the next request, which is used up.
    func takeCmdSN() -> SerialNumber { cmdSN.take() }

    /// A command's header, numbered.
    func command(
        _ cdb: [UInt8], reads: Int = 0, writes: Int = 0, lun: ISCSI.LogicalUnitNumber = .zero, immediate: Bool = false,
        final: Bool = true
    ) -> SCSICommand {
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        for (index, byte) in cdb.enumerated() { bytes[index] = byte }
        var command = SCSICommand(
            initiatorTaskTag: newTag(), lun: lun, cdb: bytes, reads: reads > 0, writes: writes > 0,
            expectedDataTransferLength: UInt32(max(reads, writes)), cmdSN: immediate ? cmdSN : takeCmdSN(),
            expStatSN: expStatSN, immediate: immediate)
        command.isFinal = final
        return command
    }

    /// Sends a command with `immediate` bytes of its data in its own PDU. Returns its tag.
    func begin(_ cdb: [UInt8], reads: Int = 0, writes: Int = 0, immediate: [UInt8] = []) -> InitiatorTaskTag {
        let command = command(cdb, reads: reads, writes: writes)
        wire.send(PDU(header: command.header, data: immediate))
        return command.initiatorTaskTag
    }

    /// Sends a command and its data as the negotiated values allow, and waits for its end; nil when the connection ends.
    func execute(_ cdb: [UInt8], reads: Int = 0, writing data: [UInt8] = [], immediateBytes: Int? = nil) -> Outcome? {
        let allowed =
            parameters.immediateData
            ? min(data.count, parameters.firstBurstLength, parameters.targetMaxRecvDataSegmentLength) : 0
        let immediate = min(immediateBytes ?? allowed, allowed)
        let tag = begin(cdb, reads: reads, writes: data.count, immediate: Array(data[..<immediate]))
        return finish(tag, writing: data)
    }

    /// Takes PDUs until the command has ended; answers R2Ts out of `data`.
    func finish(_ tag: InitiatorTaskTag, writing data: [UInt8] = []) -> Outcome? {
        var received: [UInt8] = []
        while let pdu = receive() {
            guard pdu.header.initiatorTaskTag == tag else {
                unasked.append(pdu)
                continue
            }
            switch pdu.header.opcode {
            case .scsiDataIn:
                let view = SCSIDataIn(header: pdu.header)
                #expect(Int(view.bufferOffset) == received.count, "Data-In out of order")
                received += pdu.data
                if view.hasStatus { return Outcome(status: view.status, data: received, residual: view.residual) }
            case .scsiResponse:
                let view = SCSIResponse(header: pdu.header)
                return Outcome(
                    status: view.status, data: received, sense: Array(pdu.data.dropFirst(2)), residual: view.residual)
            case .r2t: answer(R2T(header: pdu.header), data)
            default: unasked.append(pdu)
            }
        }
        return nil
    }

    /// Takes PDUs until all these writes of the same `data` have ended, or the connection has.
    func finishAll(_ tags: Set<InitiatorTaskTag>, writing data: [UInt8]) -> [Outcome] {
        var left = tags
        var outcomes: [Outcome] = []
        while !left.isEmpty, let pdu = receive() {
            if pdu.header.opcode == .r2t { answer(R2T(header: pdu.header), data) }
            guard pdu.header.opcode == .scsiResponse, left.remove(pdu.header.initiatorTaskTag) != nil else { continue }
            outcomes.append(
                Outcome(status: SCSIResponse(header: pdu.header).status, sense: Array(pdu.data.dropFirst(2))))
        }
        return outcomes
    }

    /// Takes PDUs until all these reads have ended, or the connection has; their data, however it was interleaved.
    func finishReads(_ tags: Set<InitiatorTaskTag>) -> [InitiatorTaskTag: [UInt8]] {
        var left = tags
        var received: [InitiatorTaskTag: [UInt8]] = [:]
        while !left.isEmpty, let pdu = receive() {
            guard pdu.header.opcode == .scsiDataIn, left.contains(pdu.header.initiatorTaskTag) else { continue }
            let view = SCSIDataIn(header: pdu.header)
            #expect(Int(view.bufferOffset) == received[view.initiatorTaskTag, default: []].count)
            received[view.initiatorTaskTag, default: []] += pdu.data
            if view.hasStatus { left.remove(view.initiatorTaskTag) }
        }
        return received
    }

    /// Sends what an R2T asks for.
    func answer(_ r2t: R2T, _ data: [UInt8], spoilingFirst: Bool = false) {
        var offset = Int(r2t.bufferOffset)
        let end = offset + Int(r2t.desiredDataTransferLength)
        var dataSN: UInt32 = 0
        while offset < end {
            let count = min(end - offset, parameters.targetMaxRecvDataSegmentLength)
            let view = SCSIDataOut(
                initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag, lun: r2t.lun,
                dataSN: dataSN, bufferOffset: UInt32(offset), final: offset + count == end, expStatSN: expStatSN,
                dataSegmentLength: count)
            wire.send(
                PDU(header: view.header, data: Array(data[offset..<offset + count])),
                spoiling: spoilingFirst && dataSN == 0 ? .dataDigest : .nothing)
            offset += count
            dataSN += 1
        }
    }

    /// The next PDU; pings are answered on the way.
    func receive() -> PDU? {
        while let pdu = wire.receive() {
            let carriesStatSN: Bool =
                switch pdu.header.opcode {
                case .scsiDataIn: SCSIDataIn(header: pdu.header).hasStatus
                case .r2t: false
                case .nopIn: !pdu.header.initiatorTaskTag.isReserved
                default: true
                }
            if carriesStatSN {
                #expect(pdu.header[.statSN] == expStatSN, "StatSN of \(pdu.header[.opcode])")
                expStatSN = pdu.header[.statSN].next
            }
            guard pdu.header.opcode == .nopIn, !NOPIn(header: pdu.header).targetTransferTag.isReserved else {
                return pdu
            }
            let answer = NOPOut(
                initiatorTaskTag: .reserved, targetTransferTag: NOPIn(header: pdu.header).targetTransferTag,
                cmdSN: cmdSN, expStatSN: expStatSN)
            wire.send(PDU(header: answer.header))
        }
        return nil
    }

    /// Waits for the next PDU with that opcode; others are put by.
    func next(_ opcode: Opcode) -> PDU? {
        if let index = unasked.firstIndex(where: { $0.header.opcode == opcode }) { return unasked.remove(at: index) }
        while let pdu = receive() {
            if pdu.header.opcode == opcode { return pdu }
            unasked.append(pdu)
        }
        return nil
    }

    // MARK: Other requests

    /// Sends a ping; its echo, or nil when the connection ends.
    func ping(_ data: [UInt8], immediate: Bool = true) -> [UInt8]? {
        let tag = newTag()
        let view = NOPOut(
            initiatorTaskTag: tag, immediate: immediate, cmdSN: immediate ? cmdSN : takeCmdSN(), expStatSN: expStatSN)
        wire.send(PDU(header: view.header, data: data))
        guard let answer = next(.nopIn), answer.header.initiatorTaskTag == tag else { return nil }
        return answer.data
    }

    /// Sends a task management request; its result, or nil when the connection ends.
    func manage(_ function: TaskManagementFunction, referenced: InitiatorTaskTag = .reserved) -> TaskManagementResult? {
        let view = TaskManagementRequest(
            function: function, initiatorTaskTag: newTag(), referencedTaskTag: referenced, refCmdSN: cmdSN - 1,
            cmdSN: cmdSN, expStatSN: expStatSN)
        var header = view.header
        header[.immediate] = true
        wire.send(PDU(header: header))
        return next(.taskManagementResponse).flatMap { TaskManagementResponse(header: $0.header).result }
    }

    /// Logs out; the result, or nil when the connection ends first.
    func logOut() -> LogoutResult? {
        let view = LogoutRequest(
            reason: .closeSession, initiatorTaskTag: newTag(), cmdSN: takeCmdSN(), expStatSN: expStatSN)
        var header = view.header
        header[.immediate] = false
        wire.send(PDU(header: header))
        return next(.logoutResponse).flatMap { LogoutResponse(header: $0.header).result }
    }

    // MARK: Usual commands

    /// Takes the unit attentions that wait; their additional sense codes.
    @discardableResult
    func settle() -> [UInt16] {
        var codes: [UInt16] = []
        while let outcome = execute([0x00]), outcome.status == 2, outcome.senseKey == 6, codes.count < 8 {
            codes.append(outcome.additionalSense)
        }
        return codes
    }

    func read(block: UInt64, blocks: UInt32) -> Outcome? {
        execute(CDB.read16(block, blocks), reads: Int(blocks) * 512)
    }

    func write(block: UInt64, _ data: [UInt8], immediateBytes: Int? = nil) -> Outcome? {
        execute(CDB.write16(block, UInt32(data.count / 512)), writing: data, immediateBytes: immediateBytes)
    }

    /// Whether what is written there is read back; what went wrong stands in the test's output.
    func works(block: UInt64 = 0, bytes: Int = 4096, seed: UInt8 = 1) -> Bool {
        let data = pattern(bytes, seed: seed)
        let written = write(block: block, data)
        guard written?.isGood == true else {
            print("write of \(bytes) bytes at block \(block): \(written.map { "\($0)" } ?? "the connection ended")")
            return false
        }
        let back = read(block: block, blocks: UInt32(bytes / 512))
        if back?.isGood != true {
            print("read of \(bytes) bytes at block \(block): \(back.map { "\($0)" } ?? "the connection ended")")
        }
        return back?.isGood == true && back?.data == data
    }
}

/// Command descriptor blocks.
enum CDB {
    static func read16(_ block: UInt64, _ blocks: UInt32) -> [UInt8] { sixteen(0x88, block, blocks) }
    static func write16(_ block: UInt64, _ blocks: UInt32) -> [UInt8] { sixteen(0x8a, block, blocks) }
    /// VERIFY(16) that compares Data-Out with the medium (BYTCHK 01b).
    static func verify16(_ block: UInt64, _ blocks: UInt32) -> [UInt8] {
        var cdb = sixteen(0x8f, block, blocks)
        cdb[1] = 0x02
        return cdb
    }

    /// COMPARE AND WRITE, whose data is what is expected and then what is to be written.
    static func compareAndWrite(_ block: UInt64, _ blocks: UInt8) -> [UInt8] { sixteen(0x89, block, UInt32(blocks)) }
    static func orWrite16(_ block: UInt64, _ blocks: UInt32) -> [UInt8] { sixteen(0x8b, block, blocks) }

    private static func sixteen(_ code: UInt8, _ block: UInt64, _ blocks: UInt32) -> [UInt8] {
        [code, 0] + (0..<8).map { UInt8(truncatingIfNeeded: block >> UInt64(56 - 8 * $0)) }
            + (0..<4).map { UInt8(truncatingIfNeeded: blocks >> UInt32(24 - 8 * $0)) } + [0, 0]
    }
}

/// Bytes that differ from place to place and from seed to seed.
func pattern(_ count: Int, seed: UInt8 = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31 &+ $0 >> 8) ^ Int(seed) &* 97) }
}
