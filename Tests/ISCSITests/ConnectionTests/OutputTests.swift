import ISCSI
import Testing

@Suite("Full feature phase: what is sent")
struct OutputTests {
    // MARK: Data-In

    @Test("Data-In is cut by MaxRecvDataSegmentLength and MaxBurstLength; F ends a sequence, S the command")
    func dataIn() throws {
        let harness = Harness { parameters in
            parameters.maximumSendBytes = 4096
            parameters.maximumBurstBytes = 10000
        }
        let index = try harness.admit(harness.command(9, reads: 21000), moves: 21000)
        harness.machine.sendData(index, payload: harness.lend(), lengthBytes: 12000, endsCommand: false)
        harness.machine.sendData(index, payload: harness.lend(), lengthBytes: 9000, endsCommand: true)
        let pdus = harness.drain()
        #expect(pdus.map(\.payloadLength) == [4096, 4096, 1808, 2000, 4096, 3904, 1000])
        #expect(pdus.map { $0.header[.final] } == [false, false, true, false, false, true, true])
        #expect(pdus.map { $0.header[.hasStatus] } == [false, false, false, false, false, false, true])
        #expect(pdus.map { Int($0.header[.dataSN]) } == Array(0..<7))
        #expect(pdus.map(\.payloadOffset) == [0, 4096, 8192, 10000, 0, 4096, 8000])
        #expect(pdus.map(\.releasesPayload) == [false, false, false, true, false, false, true])
        var offset = 0
        for pdu in pdus {
            #expect(pdu.opcode == .scsiDataIn && pdu.header.dataSegmentLength == pdu.payloadLength)
            #expect(Int(pdu.header[.bufferOffset]) == offset)
            #expect(pdu.header.initiatorTaskTag == InitiatorTaskTag(9) && pdu.header[.targetTransferTag].isReserved)
            offset += pdu.payloadLength
        }
        #expect(harness.lent.isEmpty && harness.tasksInFlight == 0)
    }

    @Test("Data-In without status is followed by a response that counts it")
    func dataInThenResponse() throws {
        let harness = Harness { $0.maximumSendBytes = 512 }
        let index = try harness.admit(harness.command(1, reads: 2048), moves: 2048)
        harness.machine.sendData(index, payload: harness.lend(), lengthBytes: 1024, endsCommand: false)
        harness.respond(index, status: 2, sense: [UInt8](repeating: 0x11, count: 18))
        let pdus = harness.drain()
        #expect(pdus.map(\.opcode) == [.scsiDataIn, .scsiDataIn, .scsiResponse])
        let response = SCSIResponse(header: pdus[2].header)
        #expect(response.expDataSN == 2 && response.residual == .underflow(1024))
        #expect(response.dataSegmentLength == 20 && pdus[2].inlineLength == 20)
    }

    // MARK: Residuals

    @Test(
        "residuals of reads: expected, by the CDB, really sent",
        arguments: [
            (4096, 4096, 4096, Residual.none), (4096, 8192, 4096, .overflow(4096)), (4096, 36, 36, .underflow(4060)),
            (4096, 4096, 1024, .underflow(3072)),
        ])
    func readResidual(expected: Int, command: Int, sent: Int, residual: Residual) throws {
        let harness = Harness()
        let index = try harness.admit(harness.command(1, reads: expected), moves: command)
        harness.machine.sendData(index, payload: harness.lend(), lengthBytes: sent, endsCommand: true)
        let pdu = try #require(harness.next())
        #expect(SCSIDataIn(header: pdu.header).residual == residual)
    }

    @Test("residuals of commands that move nothing", arguments: [(0, Residual.none), (512, .underflow(512))])
    func emptyResidual(expected: Int, residual: Residual) throws {
        let harness = Harness()
        let index = try harness.admit(harness.command(1, reads: expected))
        harness.respond(index)
        #expect(SCSIResponse(header: try #require(harness.next()).header).residual == residual)
    }

    @Test("a write that wants more than the initiator offers overflows")
    func writeOverflow() throws {
        let harness = Harness()
        let header = harness.command(1, writes: 512, data: 512)
        let index = try harness.admit(header, wants: 4096)
        #expect(harness.task(index).wantedBytes == 512)
        #expect(harness.arrive(index, header) == .complete)
        harness.respond(index)
        #expect(SCSIResponse(header: try #require(harness.next()).header).residual == .overflow(3584))
    }

    // MARK: Numbers

    @Test("StatSN: used by status, answers, rejects; not by R2T, our own ping and Data-In without status")
    func statSN() throws {
        let harness = Harness(statSN: 100)
        let write = try harness.admit(harness.command(1, writes: 512), wants: 512)
        _ = harness.solicit(write, upToBytes: 512)
        #expect(harness.next()?.header[.statSN] == SerialNumber(100))
        harness.machine.ping()
        #expect(harness.next()?.header[.statSN] == SerialNumber(100))
        let read = try harness.admit(harness.command(2, reads: 1024), moves: 1024)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 512, endsCommand: false)
        let part = try #require(harness.next())
        #expect(!part.header[.hasStatus] && part.header[.statSN] == SerialNumber(0))
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 512, endsCommand: true)
        #expect(harness.next()?.header[.statSN] == SerialNumber(100))
        _ = harness.receive(harness.nop(immediate: true))
        harness.machine.answerPing(payload: .none, lengthBytes: 0)
        #expect(harness.next()?.header[.statSN] == SerialNumber(101))
        harness.machine.answerTaskManagement(InitiatorTaskTag(5), .functionComplete)
        #expect(harness.next()?.header[.statSN] == SerialNumber(102))
        harness.machine.announce(.sessionDrop, parameter1: 0, parameter2: 2, parameter3: 0)
        #expect(harness.next()?.header[.statSN] == SerialNumber(103))
        harness.machine.reject(harness.nop(immediate: true), .invalidPDUField)
        #expect(harness.next()?.header[.statSN] == SerialNumber(104))
        #expect(harness.abort(write))
    }

    // MARK: Pings, rejects, other requests

    @Test("a ping comes back with its data, cut to what the initiator takes")
    func pingEcho() throws {
        let harness = Harness { parameters in
            parameters.maximumReceiveBytes = 8192
            parameters.maximumSendBytes = 1024
        }
        guard case .ping(let kept) = harness.receive(harness.nop(immediate: true, data: 5000)) else {
            Issue.record("not a ping")
            return
        }
        #expect(kept == 1024)
        harness.machine.answerPing(payload: harness.lend(), lengthBytes: kept)
        let answer = try #require(harness.next())
        #expect(answer.opcode == .nopIn && answer.payloadLength == 1024 && answer.header.dataSegmentLength == 1024)
        #expect(answer.header.initiatorTaskTag == InitiatorTaskTag(0x7000) && harness.lent.isEmpty)
    }

    @Test("our pings: one at a time, each with a tag of its own, ended by its answer only")
    func ownPings() throws {
        let harness = Harness()
        var tags: Set<TargetTransferTag> = []
        for _ in 0..<100 {
            harness.machine.ping()
            harness.machine.ping()
            let pdus = harness.drain()
            #expect(pdus.count == 1)
            let ping = NOPIn(header: try #require(pdus.first).header)
            #expect(ping.initiatorTaskTag.isReserved && !ping.targetTransferTag.isReserved)
            #expect(tags.insert(ping.targetTransferTag).inserted, "\(ping.targetTransferTag) again")
            func answer(_ tag: TargetTransferTag) -> BasicHeaderSegment {
                NOPOut(
                    initiatorTaskTag: .reserved, targetTransferTag: tag, cmdSN: SerialNumber(1),
                    expStatSN: SerialNumber(0)
                ).header
            }
            #expect(harness.receive(answer(TargetTransferTag(12345))).isIgnored)
            #expect(harness.isPingOutstanding)
            #expect(harness.receive(answer(ping.targetTransferTag)).isIgnored)
            #expect(!harness.isPingOutstanding)
        }
    }

    @Test("what may not come is rejected with its header")
    func rejects() throws {
        func header(_ opcode: UInt8) -> BasicHeaderSegment {
            var header = BasicHeaderSegment()
            header[.opcode] = opcode
            header[.immediate] = true
            header[.final] = true
            header.initiatorTaskTag = InitiatorTaskTag(77)
            return header
        }
        for opcode in 0..<0x40 as Range<UInt8> {
            let (reason, violation): (RejectReason?, ProtocolViolation?) =
                switch Opcode(rawValue: opcode) {
                case .loginRequest: (.protocolError, .opcodeNotAllowed)
                case .snackRequest: (.snackReject, nil)
                case .some(let opcode) where opcode.isFromInitiator: (nil, nil)
                default: (.commandNotSupported, .opcodeUnknown)
                }
            let harness = Harness()
            let sent = header(opcode)
            #expect(harness.receive(sent).violation == violation, "opcode \(opcode)")
            guard let reason else { continue }
            let reject = try #require(harness.next())
            #expect(Reject(header: reject.header).reason == reason, "opcode \(opcode)")
            #expect(reject.header.initiatorTaskTag.isReserved && reject.inlineBytes == sent.bytes)
        }
    }

    @Test("a discovery session takes no SCSI command and no task management")
    func discovery() throws {
        let harness = Harness(isDiscovery: true)
        #expect(harness.receive(harness.command(1)).violation == .opcodeNotAllowed)
        #expect(Reject(header: try #require(harness.next()).header).reason == .protocolError)
        let second = Harness(isDiscovery: true)
        let request = TaskManagementRequest(
            function: .abortTaskSet, initiatorTaskTag: InitiatorTaskTag(1), cmdSN: SerialNumber(1),
            expStatSN: SerialNumber(0))
        #expect(second.receive(request.header).violation == .opcodeNotAllowed)
        #expect(second.tasksInFlight == 0)
        let third = Harness(isDiscovery: true)
        guard case .ping = third.receive(third.nop(immediate: true)) else {
            Issue.record("a discovery session answers pings")
            return
        }
    }

    @Test("after a logout request nothing is taken; the connection closes with the answer")
    func logout() throws {
        let harness = Harness()
        let request = LogoutRequest(
            reason: .closeSession, initiatorTaskTag: InitiatorTaskTag(3), cmdSN: harness.cmdSN,
            expStatSN: SerialNumber(0))
        guard case .logout(.closeSession) = harness.receive(request.header) else {
            Issue.record("the logout was not taken")
            return
        }
        harness.cmdSN += 1
        #expect(
            harness.receive(harness.command(4)).isIgnored && harness.receive(harness.nop(immediate: true)).isIgnored)
        harness.machine.answerLogout(.success)
        let answer = try #require(harness.next())
        #expect(LogoutResponse(header: answer.header).result == .success && answer.closesConnection)
        #expect(answer.header.initiatorTaskTag == InitiatorTaskTag(3))
    }

    @Test("a logout for a reason that does not exist is rejected, and the session goes on")
    func unknownLogout() throws {
        let harness = Harness()
        var header = LogoutRequest(
            reason: .closeSession, initiatorTaskTag: InitiatorTaskTag(3), cmdSN: harness.cmdSN,
            expStatSN: SerialNumber(0)
        ).header
        header[.logoutReason] = 0x33
        header[.immediate] = false
        #expect(harness.receive(header).isIgnored)
        #expect(Reject(header: try #require(harness.next()).header).reason == .invalidPDUField)
        harness.cmdSN += 1
        #expect(harness.receive(harness.command(4)).task != nil)
    }

    @Test("additional header segments have to be well formed, and one-directional")
    func additionalHeaders() throws {
        let harness = Harness()
        #expect(harness.receive(harness.command(1), additional: [0, 5, 1, 0, 1, 2, 3, 4]).task != nil)
        for bad: [UInt8] in [[0, 0, 1, 0], [0, 200, 1, 0], [0, 5, 2, 0, 0, 0, 2, 0]] {
            let other = Harness()
            #expect(other.receive(other.command(1), additional: bad).violation == .additionalHeaderInvalid)
        }
    }

    @Test("a peer that does not read its replies is not read from any more")
    func boundedReplies() {
        let harness = Harness(window: 2)
        var pings = 0
        while harness.wantsInput, pings < 1000 {
            _ = harness.receive(harness.nop(immediate: true))
            harness.machine.answerPing(payload: .none, lengthBytes: 0)
            pings += 1
        }
        #expect(pings == harness.taskCapacity * 2 + FullFeatureConnection.maximumControlReplies)
        _ = harness.drain()
        #expect(harness.wantsInput)
    }
}
