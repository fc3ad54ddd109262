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
}
