import Glibc
import ISCSI
import Testing

/// Peers that break the rules, do nothing or do not read: they are closed or wait, all others go on, and memory stays
/// bounded.
@Suite("Server: bad input")
struct HostileTests {
    // MARK: Before login

    @Test("garbage instead of a login is closed")
    func garbage() throws {
        let host = try Host { $0.loginSeconds = 2 }
        let seed = UInt64.random(in: 0...UInt64.max)
        print("garbage: seed \(seed)")
        var numbers = Numbers(state: seed)
        var wires: [Wire] = []
        for number in 0..<40 {
            let wire = try Wire(port: host.port)
            var bytes = (0..<2000).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            // Some of it begins as a login does.
            if number % 2 == 0 { bytes[0] = 0x43 }
            if number % 4 == 0 { bytes.replaceSubrange(4..<8, with: [0, 0, 3, 0]) }
            wire.send(bytes)
            wires.append(wire)
        }
        for wire in wires { #expect(wire.closes()) }
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(session.works())
        #expect(eventually { host.payloadBytes == 0 && host.server.snapshot().connectionsBeforeLogin == 0 })
    }

    @Test("a good login request with garbage behind it in one piece holds no memory afterwards")
    func loginThenGarbage() throws {
        let host = try Host { $0.loginSeconds = 5 }
        for opcode in [0x3f, 0x00, 0x01, 0x05, 0x10] as [UInt8] {
            var request = LoginRequest(
                initiatorTaskTag: InitiatorTaskTag(1), isid: ISID(rawValue: 0x8000_0000_0001),
                currentStage: .operationalNegotiation, nextStage: nil, cmdSN: SerialNumber(1),
                expStatSN: SerialNumber(0)
            ).header
            let text =
                "InitiatorName=iqn.2026-01.net.example:client0\0TargetName=\(host.target)\0"
                + "SessionType=Normal\0HeaderDigest=None\0MaxBurstLength=8192\0"
            let first = PDU(header: request, data: Array(text.utf8)).bytes()
            request[.opcode] = opcode
            let wire = try Wire(port: host.port)
            wire.send(first + PDU(header: request).bytes())
            #expect(wire.closes())
        }
        #expect(eventually { host.payloadBytes == 0 }, "\(host.payloadBytes) bytes are lost")
    }

    @Test("whoever does not log in in time is closed, silent or slow; the others log in meanwhile")
    func loginTimeout() throws {
        let host = try Host { $0.loginSeconds = 1 }
        let silent = try Wire(port: host.port)
        let slow = try Wire(port: host.port)
        slow.send([0x43, 0x87, 0, 0])
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(silent.closes() && slow.closes())
        #expect(session.works())
        #expect(host.server.snapshot().loginFailures == 2)
    }

    @Test("300 silent connections do not disturb a session, are bounded, and go in time")
    func silentConnections() throws {
        let host = try Host { limits in
            limits.loginSeconds = 3
            limits.connectionsBeforeLoginPerAddress = 50
        }
        let load = Load(port: host.port, target: host.target)
        #expect(load.goesOn())
        var wires: [Wire] = []
        for _ in 0..<300 { wires.append(try Wire(port: host.port)) }
        #expect(load.goesOn())
        #expect(host.server.snapshot().connectionsBeforeLogin <= 50)
        for wire in wires { #expect(wire.closes()) }
        #expect(eventually { host.server.snapshot().connectionsBeforeLogin == 0 })
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(session.works() && load.stop())
    }

    // MARK: After login

    @Test("a write cut off anywhere leaves nothing behind")
    func truncated() throws {
        let host = try Host()
        let other = try TestSession(port: host.port, target: host.target, isid: 99)
        other.settle()
        for length in [1, 20, 47, 48, 49, 100, 4000, 4143] {
            let session = try TestSession(port: host.port, target: host.target)
            session.settle()
            let command = session.command(CDB.write16(0, 8), writes: 4096)
            let bytes = PDU(header: command.header, data: pattern(4096)).bytes()
            #expect(bytes.count == 4144)
            session.wire.send(Array(bytes[..<length]))
            session.wire.disconnect()
        }
        #expect(eventually { host.sessionCount == 1 && host.payloadBytes == 0 })
        #expect(other.read(block: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
        #expect(other.works())
    }

    @Test("data segments that are too long, or that nobody announced, end the connection alone")
    func oversized() throws {
        let host = try Host()
        let other = try TestSession(port: host.port, target: host.target, isid: 99)
        other.settle()
        let limit = other.parameters.targetMaxRecvDataSegmentLength
        for (length, firstBurst) in [(limit + 1, limit), (0xff_ffff, limit), (4096, 512)] {
            let session = try TestSession(port: host.port, target: host.target) { configuration in
                configuration.preferences.firstBurstLength = firstBurst
            }
            session.settle()
            var header = session.command(CDB.write16(0, 2048), writes: 1 << 20).header
            header.dataSegmentLength = length
            session.wire.send(header.bytes)
            #expect(session.wire.closes(), "\(length) bytes")
        }
        #expect(host.server.snapshot().protocolErrors == 3)
        #expect(other.works() && eventually { host.payloadBytes == 0 })
    }

    @Test("random bytes after login close the connection, or wait for more, and lose no memory")
    func garbageAfterLogin() throws {
        let host = try Host()
        let seed = UInt64.random(in: 0...UInt64.max)
        print("garbage after login: seed \(seed)")
        var numbers = Numbers(state: seed)
        for round in 0..<60 {
            let session = try TestSession(port: host.port, target: host.target)
            session.settle()
            for _ in 0..<4 {
                var header = session.command(CDB.write16(0, 8), writes: 4096).header
                for _ in 0...(round % 3) {
                    let word = Int(numbers.next() % 6)
                    header.words[word] ^= numbers.next() & numbers.next() & numbers.next()
                }
                let length = Int(numbers.next() % 5000)
                header.dataSegmentLength = length
                session.wire.send(header.bytes + pattern(BasicHeaderSegment.padded(length)))
            }
            session.wire.disconnect()
        }
        let session = try TestSession(port: host.port, target: host.target, isid: 99)
        session.settle()
        #expect(session.works())
        #expect(eventually { host.sessionCount == 1 && host.payloadBytes == 0 })
    }

    @Test("a peer that does not read its answers keeps a bounded part of the memory, and gets all in the end")
    func notReading() throws {
        let host = try Host { limits in
            limits.reactors = 1
            limits.payloadBytesPerReactor = 16 << 20
        }
        let hog = try TestSession(port: host.port, target: host.target, receiveBufferBytes: 4096)
        hog.settle()
        let data = pattern(1 << 20, seed: 3)
        #expect(hog.write(block: 0, data)?.isGood == true)
        let tags = (0..<60).map { _ in hog.begin(CDB.read16(0, 2048), reads: 1 << 20) }
        let other = try TestSession(port: host.port, target: host.target, isid: 2)
        other.settle()
        for round in 0..<5 {
            #expect(other.works(block: 8192, bytes: 1 << 20, seed: UInt8(round)))
            #expect(host.payloadBytes <= 5 << 20)
        }
        let received = hog.finishReads(Set(tags))
        #expect(received.count == 60 && received.values.allSatisfy { $0 == data })
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("a peer that pings and never reads is not read from any more")
    func pingFlood() throws {
        let host = try Host { $0.reactors = 1 }
        let hog = try TestSession(port: host.port, target: host.target, receiveBufferBytes: 4096)
        var limit = timeval(tv_sec: 0, tv_usec: 300_000)
        unsafe setsockopt(
            hog.wire.descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let view = NOPOut(
            initiatorTaskTag: InitiatorTaskTag(1), immediate: true, cmdSN: SerialNumber(0), expStatSN: SerialNumber(0))
        let bytes = PDU(header: view.header, data: pattern(8192)).bytes()
        // Ends when nothing is taken any more: far below what would fit a server that went on taking.
        var sent = 0
        while sent < 20_000, hog.wire.send(bytes) { sent += 1 }
        #expect(sent < 20_000)
        #expect(host.payloadBytes <= 8 << 20)
        let other = try TestSession(port: host.port, target: host.target, isid: 2)
        other.settle()
        #expect(other.works(bytes: 1 << 20))
        hog.wire.disconnect()
        #expect(eventually { host.payloadBytes == 0 })
    }

    // MARK: Memory that runs out

    /// A session whose writes of 256 KiB each hold a slot and get no further.
    private func hog(_ host: Host, slots: Int) throws -> TestSession {
        let session = try TestSession(port: host.port, target: host.target, isid: 50)
        #expect(!session.parameters.initialR2T && session.parameters.firstBurstLength == 262_144)
        session.settle()
        for number in 0..<slots {
            let command = session.command(CDB.write16(UInt64(number) * 512, 512), writes: 262_144, final: false)
            session.wire.send(PDU(header: command.header, data: pattern(512)))
        }
        #expect(eventually { host.payloadBytes >= slots * 262_144 })
        return session
    }

    /// The smallest pool there is has four slots of 256 KiB, of which one unit may hold two for what comes unasked.
    private func smallHost() throws -> Host {
        try Host { limits in
            limits.reactors = 1
            limits.payloadBytesPerReactor = 2 << 20
        }
    }

    private func inFlight(_ host: Host) -> Int {
        host.server.snapshot().targets[0].sessions.reduce(0) { $0 + $1.inFlight }
    }

    @Test("a write that waits for memory goes on when another session's reset ends it")
    func resetWhileStalled() throws {
        let host = try smallHost()
        let stalled = try TestSession(port: host.port, target: host.target, isid: 1)
        let other = try TestSession(port: host.port, target: host.target, isid: 2)
        stalled.settle()
        other.settle()
        let hog = try hog(host, slots: 2)
        _ = stalled.begin(CDB.write16(0, 512), writes: 262_144, immediate: pattern(20_000))
        #expect(eventually { inFlight(host) == 3 })
        #expect(other.manage(.logicalUnitReset) == .functionComplete)
        #expect(stalled.settle() == [0x2903] && stalled.works())
        #expect(other.settle() == [0x2903] && other.works(bytes: 1 << 20))
        hog.wire.disconnect()
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("a write that waits for memory goes on when the memory comes back")
    func stalled() throws {
        let host = try smallHost()
        let session = try TestSession(port: host.port, target: host.target, isid: 1)
        session.settle()
        let hog = try hog(host, slots: 2)
        let data = pattern(1 << 20)
        let tag = session.begin(CDB.write16(8192, 2048), writes: data.count, immediate: Array(data[..<20_000]))
        #expect(eventually { inFlight(host) == 3 })
        hog.wire.disconnect()
        #expect(session.finish(tag, writing: data)?.isGood == true)
        #expect(session.read(block: 8192, blocks: 2048)?.data == data)
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("VERIFY for which there is no memory in the middle is BUSY, and works later")
    func verifyWithoutMemory() throws {
        let host = try smallHost()
        let session = try TestSession(port: host.port, target: host.target, isid: 1)
        session.settle()
        let data = pattern(1 << 20)
        #expect(session.write(block: 8192, data)?.isGood == true)
        let hog = try hog(host, slots: 1)
        #expect(session.execute(CDB.verify16(8192, 2048), writing: data)?.status == 0x08)
        hog.wire.disconnect()
        #expect(eventually { host.payloadBytes == 0 })
        #expect(session.execute(CDB.verify16(8192, 2048), writing: data)?.isGood == true)
        var other = data
        other[700_000] ^= 1
        let miscompare = try #require(session.execute(CDB.verify16(8192, 2048), writing: other))
        #expect(miscompare.status == 2 && miscompare.senseKey == 0x0e)
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("many long writes at once get through a small pool: what is asked for never shuts out what comes unasked")
    func manyWrites() throws {
        let host = try smallHost()
        let data = pattern(1 << 20)
        let writers = (0..<3).map { number in
            Writer(
                port: host.port, target: host.target, isid: UInt64(number + 1), data, writes: 12,
                firstBlock: UInt64(number) * 32_768)
        }
        for writer in writers { #expect(writer.goodWrites() == 12) }
        let session = try TestSession(port: host.port, target: host.target, isid: 9)
        session.settle()
        for number in 0..<3 as Range<UInt64> {
            #expect(session.read(block: number * 32_768 + 11 * 2048, blocks: 2048)?.data == data)
        }
        #expect(eventually { host.payloadBytes == 0 })
    }

    // MARK: The file

    @Test("a file cut short under the server is a medium error there, and nothing elsewhere")
    func shortFile() throws {
        let host = try Host(volumes: 2)
        let session = try TestSession(port: host.port, target: host.target)
        let other = try TestSession(port: host.port, target: host.configuration.targets[1].name)
        session.settle()
        other.settle()
        #expect(session.works(block: 65_536))
        #expect(ftruncate(host.configuration.targets[0].store.fileDescriptor, 1 << 20) == 0)
        let outcome = try #require(session.read(block: 65_536, blocks: 8))
        #expect(outcome.status == 2 && outcome.senseKey == 3 && outcome.data.isEmpty)
        let long = try #require(session.read(block: 0, blocks: 4096))
        #expect(long.status == 2 && long.senseKey == 3)
        #expect(session.works(block: 0) && other.works(block: 65_536))
        #expect(host.server.snapshot().targets[0].ioErrors == 2)
        #expect(eventually { host.payloadBytes == 0 })
    }
}

/// SplitMix64: the same numbers for the same seed.
private struct Numbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
