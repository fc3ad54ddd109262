import ISCSI
import Testing

/// What a well-behaved initiator does from login to logout.
@Suite("Server: a session")
struct SessionTests {
    @Test("login, INQUIRY, READ CAPACITY, logout")
    func identification() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        #expect(session.settle() == [0x2900])

        let inquiry = try #require(session.execute([0x12, 0, 0, 0, 96, 0], reads: 96))
        #expect(inquiry.isGood && inquiry.data[0] == 0x00)
        #expect(String(decoding: inquiry.data[8..<16], as: UTF8.self) == "STORAGED")
        #expect(String(decoding: inquiry.data[16..<22], as: UTF8.self) == "mpath0")

        let capacity = try #require(session.execute([0x25], reads: 8))
        #expect(capacity.isGood && capacity.data == [0, 1, 0xff, 0xff, 0, 0, 2, 0])

        #expect(session.logOut() == .success)
        #expect(session.wire.closes())
        #expect(eventually { host.sessionCount == 0 })
    }

    @Test("4 KiB, and 1 MiB by R2T, are read as they were written")
    func writeAndRead() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(session.works(block: 8, bytes: 4096))
        #expect(session.works(block: 4096, bytes: 1 << 20, seed: 2))
        #expect(session.works(block: 131_071, bytes: 512, seed: 3))
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("immediate data of any length goes before the rest")
    func immediateLengths() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        for (number, immediate) in [0, 1, 2, 3, 511, 512, 513, 1000, 4095, 4096, 8191, 65_537].enumerated() {
            let data = pattern(128 << 10, seed: UInt8(number))
            #expect(session.write(block: 0, data, immediateBytes: immediate)?.isGood == true)
            #expect(session.read(block: 0, blocks: 256)?.data == data, "\(immediate) bytes of immediate data")
        }
    }

    @Test("small segments and bursts, no immediate data")
    func smallSegments() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target) { configuration in
            configuration.preferences.immediateData = false
            configuration.preferences.initialR2T = true
            configuration.preferences.maxBurstLength = 4096
            configuration.preferences.firstBurstLength = 512
            configuration.preferences.maxRecvDataSegmentLength = 512
        }
        #expect(!session.parameters.immediateData && session.parameters.initialR2T)
        #expect(session.parameters.maxBurstLength == 4096)
        session.settle()
        #expect(session.works(block: 3, bytes: 37 * 512))
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("residuals of a read that expects too much or too little")
    func residuals() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        let data = pattern(4096)
        #expect(session.write(block: 0, data)?.isGood == true)
        let much = try #require(session.execute(CDB.read16(0, 8), reads: 8192))
        #expect(much.data == data && much.residual == .underflow(4096))
        let little = try #require(session.execute(CDB.read16(0, 8), reads: 1024))
        #expect(little.data == Array(data[..<1024]) && little.residual == .overflow(3072))
    }

    @Test("pings come back with their data")
    func pings() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        for (length, immediate) in [(0, true), (1, true), (1001, false), (9000, true), (100_000, false)] {
            let data = pattern(length)
            #expect(session.ping(data, immediate: immediate) == data)
        }
        // Long reads must not be held up by what pings took and gave back.
        session.settle()
        #expect(session.works(bytes: 4 << 20))
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("an idle session is pinged; one that answers lives, one that does not is closed")
    func ownPings() throws {
        let host = try Host { limits in
            limits.nopIntervalSeconds = 1
            limits.nopTimeoutSeconds = 2
        }
        let deaf = try TestSession(port: host.port, target: host.target, isid: 2)
        let ping = try #require(deaf.wire.receive())
        #expect(ping.header.opcode == .nopIn && !ping.header[.targetTransferTag].isReserved)
        #expect(deaf.wire.closes())
    }

    @Test("SendTargets in a discovery session names targets and portals; commands are refused there")
    func discovery() throws {
        let host = try Host(volumes: 2, portals: 2)
        let session = try TestSession(port: host.port, target: nil)
        let tag = session.newTag()
        let request = TextRequest(
            initiatorTaskTag: tag, cmdSN: session.takeCmdSN(), expStatSN: SerialNumber(0), dataSegmentLength: 0)
        session.wire.send(PDU(header: request.header, data: Array("SendTargets=All\0".utf8)))
        let answer = try #require(session.next(.textResponse))
        let lines = answer.data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        var expected: [String] = []
        for target in host.configuration.targets {
            expected.append("TargetName=\(target.name)")
            for group in target.portalGroups { expected.append("TargetAddress=\(group.portal),\(group.tag)") }
        }
        #expect(lines == expected)
        _ = session.begin([0x00])
        let reject = try #require(session.next(.reject))
        #expect(Reject(header: reject.header).reason == .protocolError)
        #expect(session.wire.closes())
    }

    @Test("a second login of the same initiator port ends the first session, and no other one")
    func reinstatement() throws {
        let host = try Host()
        let first = try TestSession(port: host.port, target: host.target, isid: 1)
        let other = try TestSession(port: host.port, target: host.target, isid: 2)
        first.settle()
        other.settle()
        #expect(first.works())
        // A write that waits for its data dies with its session.
        _ = first.begin(CDB.write16(0, 8), writes: 4096)
        #expect(first.next(.r2t) != nil)
        let second = try TestSession(port: host.port, target: host.target, isid: 1)
        #expect(first.wire.closes())
        #expect(second.tsih != first.tsih)
        #expect(second.settle() == [0x2907])
        #expect(second.works(seed: 3) && other.works(seed: 4))
        #expect(host.sessionCount == 2)
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("a login to a target that is not there, or not at this portal, is refused")
    func unknownTarget() throws {
        let host = try Host()
        #expect(throws: TestSession.LoginFailed.self) {
            try TestSession(port: host.port, target: "iqn.2026-01.net.example:nothing")
        }
        #expect(host.server.snapshot().loginFailures == 1)
        #expect(eventually { host.server.snapshot().connectionsBeforeLogin == 0 })
    }

    @Test("a read-only volume is read and not written")
    func readOnly() throws {
        let host = try Host(readOnly: true)
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(session.read(block: 0, blocks: 8)?.isGood == true)
        let write = try #require(session.write(block: 0, pattern(4096)))
        #expect(write.status == 2 && write.senseKey == 7 && write.additionalSense == 0x2700)
        #expect(session.read(block: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
    }
}

/// CRC32C on headers and data.
@Suite("Server: digests")
struct DigestTests {
    private func login(_ host: Host, isid: UInt64 = 1, immediate: Bool = true) throws -> TestSession {
        let session = try TestSession(port: host.port, target: host.target, isid: isid) { configuration in
            configuration.preferences.headerDigest = .requireCRC32C
            configuration.preferences.dataDigest = .requireCRC32C
            configuration.preferences.immediateData = immediate
        }
        #expect(session.wire.headerDigest && session.wire.dataDigest)
        session.settle()
        return session
    }

    @Test("everything works with both digests on")
    func writeAndRead() throws {
        let host = try Host()
        let session = try login(host)
        #expect(session.works(bytes: 4096) && session.works(block: 9, bytes: 1 << 20, seed: 2))
        for length in [1, 2, 3, 5, 1001] { #expect(session.ping(pattern(length)) == pattern(length)) }
    }

    @Test("immediate data with a wrong digest: Reject, then CHECK CONDITION, nothing written, the session goes on")
    func immediateData() throws {
        let host = try Host()
        let session = try login(host)
        let old = pattern(4096, seed: 9)
        #expect(session.write(block: 0, old)?.isGood == true)
        let command = session.command(CDB.write16(0, 8), writes: 4096)
        let pdu = PDU(header: command.header, data: pattern(4096, seed: 10))
        session.wire.send(pdu, spoiling: .dataDigest)
        try expectDigestError(session, command.initiatorTaskTag)
        #expect(session.read(block: 0, blocks: 8)?.data == old)
        #expect(session.works() && eventually { host.payloadBytes == 0 })
    }

    @Test("solicited data with a wrong digest in one of its PDUs")
    func solicitedData() throws {
        let host = try Host()
        let session = try login(host, immediate: false)
        let data = pattern(1 << 20, seed: 10)
        let tag = session.begin(CDB.write16(0, 2048), writes: data.count)
        let r2t = R2T(header: try #require(session.next(.r2t)).header)
        session.answer(r2t, data, spoilingFirst: true)
        try expectDigestError(session, tag)
        #expect(session.read(block: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
        #expect(session.works() && eventually { host.payloadBytes == 0 })
    }

    private func expectDigestError(_ session: TestSession, _ tag: InitiatorTaskTag) throws {
        let outcome = try #require(session.finish(tag))
        #expect(outcome.status == 2 && outcome.senseKey == 0x0b && outcome.additionalSense == 0x4705)
        let reject = try #require(session.next(.reject))
        #expect(Reject(header: reject.header).reason == .dataDigestError)
        #expect(unsafe BasicHeaderSegment(reject.data.span.bytes)?.initiatorTaskTag == tag)
    }

    @Test("a ping with a wrong data digest is rejected, and the session goes on")
    func ping() throws {
        let host = try Host()
        let session = try login(host)
        let view = NOPOut(initiatorTaskTag: session.newTag(), cmdSN: SerialNumber(0), expStatSN: SerialNumber(0))
        session.wire.send(PDU(header: view.header, data: pattern(600)), spoiling: .dataDigest)
        #expect(session.next(.reject).map { Reject(header: $0.header).reason } == .dataDigestError)
        #expect(session.works() && eventually { host.payloadBytes == 0 })
    }

    @Test("a wrong header digest ends the connection, and no other one")
    func header() throws {
        let host = try Host()
        let session = try login(host)
        let other = try login(host, isid: 2)
        let command = session.command(CDB.write16(0, 8), writes: 4096)
        session.wire.send(PDU(header: command.header, data: pattern(4096)), spoiling: .headerDigest)
        #expect(session.wire.closes())
        #expect(host.server.snapshot().protocolErrors == 1)
        #expect(other.works())
    }
}
