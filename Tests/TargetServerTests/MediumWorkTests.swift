import ISCSI
import TargetServer
import Testing

/// SANITIZE and FORMAT UNIT over sockets.
@Suite struct MediumWorkTests {
    private static let eraseNow: [UInt8] = [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]
    private static let blocks: UInt64 = (64 << 20) / 512

    private static func session(_ host: Host, isid: UInt64 = 1) throws -> TestSession {
        let session = try TestSession(port: host.port, target: host.target, isid: isid)
        session.settle()
        return session
    }

    private static func fill(_ session: TestSession) {
        for block in [0, 5000, blocks - 64] { #expect(session.write(block: block, pattern(64 * 512))?.isGood == true) }
    }

    private static func holds(_ session: TestSession, _ byte: UInt8) -> Bool {
        [0, 5000, blocks - 64].allSatisfy {
            session.read(block: $0, blocks: 64)?.data == [UInt8](repeating: byte, count: 64 * 512)
        }
    }

    @Test func blockEraseAndFormatLeaveZeros() throws {
        let host = try Host()
        let session = try Self.session(host)
        Self.fill(session)
        #expect(session.execute(Self.eraseNow)?.isGood == true)
        #expect(Self.holds(session, 0))
        Self.fill(session)
        #expect(session.execute([0x04, 0, 0, 0, 0, 0])?.isGood == true)
        #expect(Self.holds(session, 0))
        #expect(session.works())
    }

    /// GET LBA STATUS sees what is a hole; many at once are answered, or BUSY, and none is lost.
    @Test func statusOfBlocks() throws {
        let host = try Host()
        let session = try Self.session(host)
        #expect(session.write(block: 16, pattern(8 * 512))?.isGood == true)
        func status(_ block: UInt8) -> [UInt8] { [0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, 40, 0, 0] }
        let first = try #require(session.execute(status(0), reads: 40)?.data)
        #expect(first.count == 40 && first[20] == 1 && first[19] == 16, "blocks 0 to 15 are a hole: \(first)")
        #expect(first[36] == 0 && first[31] == 16 && first[35] == 8, "8 blocks from 16 on are mapped")
        #expect(session.execute(status(18), reads: 40)?.data[15] == 18)
        let tags = Set((0..<100).map { _ in session.begin(status(0), reads: 40) })
        #expect(session.finishReads(tags).values.allSatisfy { $0 == first })
        #expect(session.works())
    }

    /// Without a write cache what is deallocated is so on stable storage, too: it goes through another request.
    @Test func deallocationWithoutAWriteCache() throws {
        let host = try Host()
        let session = try Self.session(host)
        Self.fill(session)
        let page: [UInt8] = [0, 0, 0, 0, 0x08, 0x12, 0x00] + [UInt8](repeating: 0, count: 17)
        #expect(session.execute([0x15, 0x10, 0, 0, 24, 0], writing: page)?.isGood == true)
        let list: [UInt8] =
            [0, 38, 0, 32, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 64, 0, 0, 0, 0]
            + [0, 0, 0, 0, 0, 0, 0x13, 0x88] + [0, 0, 0, 64, 0, 0, 0, 0]
        #expect(session.execute([0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0], writing: list)?.isGood == true)
        let last: [UInt8] = [0, 0x01, 0xff, 0xc0]
        // UNMAP and NDOB; then zeros that stay allocated.
        for flags: UInt8 in [0x09, 0x01] {
            #expect(session.write(block: Self.blocks - 64, pattern(64 * 512))?.isGood == true)
            let same: [UInt8] = [0x93, flags, 0, 0, 0, 0] + last + [0, 0, 0, 64, 0, 0]
            #expect(session.execute(same)?.isGood == true)
        }
        #expect(Self.holds(session, 0))
        #expect(session.works() && eventually { host.payloadBytes == 0 })
    }

    @Test func overwriteLeavesThePattern() throws {
        let host = try Host()
        let session = try Self.session(host)
        Self.fill(session)
        let list: [UInt8] = [0x82, 0, 0, 1, 0xc3]
        #expect(session.execute([0x48, 0x01, 0, 0, 0, 0, 0, 0, 5, 0], writing: list)?.isGood == true)
        #expect(Self.holds(session, 0xc3))
    }

    /// With IMMED the answer comes first; others are refused until it is done, and then find nothing of the old data.
    @Test func immediateOverwriteGoesOnWithoutItsSession() throws {
        let host = try Host()
        let other = try Self.session(host, isid: 2)
        do {
            let session = try Self.session(host)
            Self.fill(session)
            let list: [UInt8] = [0x05, 0, 0, 1, 0x11]
            #expect(session.execute([0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0], writing: list)?.isGood == true)
            session.wire.disconnect()
        }
        var refusals: Set<UInt16> = []
        let isReady = eventually {
            guard let outcome = other.execute([0x00]) else { return false }
            if !outcome.isGood { refusals.insert(outcome.additionalSense) }
            return outcome.isGood
        }
        #expect(isReady && refusals.isSubset(of: [0x041b]))
        #expect(Self.holds(other, 0x11))
    }
}
