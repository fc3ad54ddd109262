import ISCSI
import Testing

/// Task management, and what it takes back.
@Suite("Server: task management")
struct ManagementTests {
    /// A session with a 4 KiB write that waits for its data.
    private func waiting(_ host: Host, isid: UInt64) throws -> (TestSession, InitiatorTaskTag, R2T) {
        let session = try TestSession(port: host.port, target: host.target, isid: isid)
        session.settle()
        let tag = session.begin(CDB.write16(0, 8), writes: 4096)
        let r2t = R2T(header: try #require(session.next(.r2t)).header)
        #expect(host.payloadBytes > 0)
        return (session, tag, r2t)
    }

    @Test("ABORT TASK of a command that waits for Data-Out; its late data is dropped")
    func abortTask() throws {
        let host = try Host()
        let (session, tag, r2t) = try waiting(host, isid: 1)
        #expect(session.manage(.abortTask, referenced: tag) == .functionComplete)
        #expect(host.payloadBytes == 0)
        session.answer(r2t, pattern(4096))
        #expect(session.read(block: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
        #expect(session.works())
        #expect(host.server.snapshot().targets[0].aborts == 1)
        #expect(session.manage(.abortTask, referenced: tag) == .taskDoesNotExist)
        #expect(session.manage(.taskReassign, referenced: tag) == .reassignmentNotSupported)
    }

    @Test("ABORT TASK SET ends the tasks of one session only")
    func abortTaskSet() throws {
        let host = try Host()
        let (session, _, _) = try waiting(host, isid: 1)
        let (other, tag, r2t) = try waiting(host, isid: 2)
        #expect(session.manage(.abortTaskSet) == .functionComplete)
        let data = pattern(4096, seed: 5)
        other.answer(r2t, data)
        #expect(other.finish(tag)?.isGood == true)
        #expect(session.read(block: 0, blocks: 8)?.data == data)
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("LOGICAL UNIT RESET ends the tasks of all sessions and is told to all")
    func logicalUnitReset() throws {
        let host = try Host()
        let (session, _, _) = try waiting(host, isid: 1)
        let (other, tag, r2t) = try waiting(host, isid: 2)
        #expect(session.manage(.logicalUnitReset) == .functionComplete)
        #expect(host.payloadBytes == 0)
        other.answer(r2t, pattern(4096))
        #expect(other.finish(tag)?.status == 0x40, "TASK ABORTED, once the data that it was asked for is over")
        #expect(session.settle() == [0x2903])
        #expect(other.settle() == [0x2903])
        #expect(session.read(block: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
        #expect(session.works() && other.works(seed: 2))
    }

    @Test("CLEAR TASK SET is told to the others, whose tasks end with TASK ABORTED")
    func clearTaskSet() throws {
        let host = try Host()
        let (session, _, _) = try waiting(host, isid: 1)
        let (other, tag, r2t) = try waiting(host, isid: 2)
        #expect(session.manage(.clearTaskSet) == .functionComplete)
        other.answer(r2t, pattern(4096))
        #expect(other.finish(tag)?.status == 0x40)
        #expect(session.settle() == [] && other.settle() == [0x2f00])
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("TARGET COLD RESET drops all sessions, which may come back")
    func coldReset() throws {
        let host = try Host()
        let (session, _, _) = try waiting(host, isid: 1)
        let (other, _, _) = try waiting(host, isid: 2)
        #expect(session.manage(.targetColdReset) == .functionComplete)
        #expect(other.next(.asyncMessage).map { AsyncMessage(header: $0.header).event } == .sessionDrop)
        #expect(session.wire.closes() && other.wire.closes())
        let again = try TestSession(port: host.port, target: host.target, isid: 1)
        again.settle()
        #expect(again.works() && eventually { host.payloadBytes == 0 })
    }

    @Test("after an abort of reads that were queued, long reads still go on")
    func readsAfterAbort() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target, receiveBufferBytes: 4096)
        session.settle()
        for round in 0..<4 {
            for _ in 0..<8 { _ = session.begin(CDB.read16(0, 2048), reads: 1 << 20) }
            #expect(session.manage(.abortTaskSet) == .functionComplete)
            session.unasked = []
            #expect(session.works(block: 64, bytes: 2 << 20, seed: UInt8(round)))
        }
        #expect(eventually { host.payloadBytes == 0 })
    }

    @Test("logout ends what waits for data, and answers")
    func logout() throws {
        let host = try Host()
        let (session, _, _) = try waiting(host, isid: 1)
        #expect(session.logOut() == .success)
        #expect(session.wire.closes())
        #expect(eventually { host.payloadBytes == 0 && host.sessionCount == 0 })
    }
}
