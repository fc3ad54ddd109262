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
