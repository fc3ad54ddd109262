import Glibc
import Testing

/// A store that answers late, or never: a delay rule stands for it, and does not carry out what was given up meanwhile
/// (`FrozenStoreTests` has one that does). Other units go on, what waits for it ends in bounded time, and success is never
/// said while a write of the victim is under way.
extension StoragedTests {
    @Suite(.serialized) struct HungStoreTests {
        let scene = Scene()

        /// Two volumes behind one reactor thread.
        private func serving(_ limits: String) throws -> (v0: Export, v1: Export) {
            try scene.servingTwoVolumes(limits: limits, reactors: 1, more: "faultInjection: true")
        }

        /// A block of the first volume's file, as it is on the host.
        private func block(_ number: Int) -> UInt8 {
            let descriptor = unsafe open(scene.path("a.img"), O_RDONLY)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0xff, count: 512)
            #expect(unsafe pread(descriptor, &bytes, 512, off_t(number) * 512) == 512)
            return bytes[0]
        }

        private func begin(_ session: RawSession, block: UInt32, _ value: UInt8) -> UInt32 {
            let pdu = session.command(
                RawSession.cdb(0x2a, block, 1), writes: 512, immediate: [UInt8](repeating: value, count: 512))
            session.connection.send(pdu)
            return UInt32(pdu[16, 4])
        }

        private func session(_ export: Export, _ name: String = "good") throws -> RawSession {
            try export.settledSession(name)
        }

        @Test func anAbortWaitsForASlowWrite() throws {
            let (v0, v1) = try serving("abortSeconds: 15")
            let (session, other) = (try session(v0), try session(v1))
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "3s").code == 0)
            let start = now()
            let tag = begin(session, block: 0, 7)
            session.sendManagement(1, tag: 0x7000_0001, referenced: tag)
            for seed in 1..<20 { other.works(seed: UInt64(seed)) }
            #expect(now() - start < 3, "the test is too slow for its delay")
            #expect(block(0) == 0)
            #expect(session.managementResult(0x7000_0001) == 0)
            // Nothing comes after the answer.
            #expect(now() - start >= 3)
            #expect(block(0) == 0)
            #expect(scene.fault("clear").code == 0)
            session.works()
        }

        @Test func aReinstatementWaitsForASlowWrite() throws {
            let (v0, _) = try serving("abortSeconds: 15")
            let session = try session(v0)
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "2s").code == 0)
            let start = now()
            _ = begin(session, block: 0, 7)
            // The old session has to have taken the command in before the new one asks for its place.
            #expect(eventually(seconds: 20) { scene.fault("list").output.contains("1 injected") })
            let again = try v0.session()
            #expect(now() - start >= 2)
            #expect(block(0) == 0)
            #expect(scene.fault("clear").code == 0)
            again.settle()
            again.works()
            #expect(block(0) == 0)
        }

        @Test func aStoreThatNeverAnswersIsGivenUpInBoundedTime() throws {
            let (v0, v1) = try serving("abortSeconds: 2")
            let (victim, second, other) = (try session(v0), try session(v0, "second"), try session(v1))
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "1h").code == 0)
            let tag = begin(victim, block: 0, 7)
            #expect(eventually(seconds: 20) { scene.fault("list").output.contains("1 injected") })
            // Reads of the same unit are not held back by the rule, nor is the other unit.
            #expect(second.read(lba: 0, blocks: 1)?.status == 0)
            other.works()
            let start = now()
            victim.sendManagement(1, tag: 0x7000_0001, referenced: tag)
            second.sendManagement(5, tag: 0x7000_0002, referenced: 0xffff_ffff)
            other.works(seed: 2)
            #expect(victim.managementResult(0x7000_0001) == 255)
            #expect(second.managementResult(0x7000_0002) == 255)
            #expect(now() - start >= 2)
            // A tag that was answered may be used again; what it is answered must be its own.
            victim.sendManagement(2, tag: 0x7000_0001, referenced: 0xffff_ffff)
            #expect(victim.managementResult(0x7000_0001) == 255)
            // The initiator escalates: it comes anew for its session's place, again and again.
            for _ in 0..<2 { #expect(try refusedLogin(v0) == 0x0301) }
            #expect(victim.connection.closes(withinSeconds: 20))
            other.works(seed: 3)
            #expect(block(0) == 0)
            #expect(scene.statusCode() == 1)
            // The store comes back: the place is free, and the write that was given up stays undone.
            #expect(scene.fault("clear").code == 0)
            let again = try session(v0)
            again.works()
            #expect(block(0) == 0)
        }

        @Test func aLogoutIsAnsweredToo() throws {
            let (v0, _) = try serving("abortSeconds: 1")
            let session = try session(v0)
            #expect(scene.fault("add", "--commands", "write", "--delay", "1h").code == 0)
            _ = begin(session, block: 0, 7)
            var logout = RawPDU(opcode: 0x46, flags: 0x80)
            logout[16, 4] = 0x7000_0001
            logout[24, 4] = UInt64(session.commandNumber)
            session.connection.send(logout)
            // Cleanup failed (RFC 7143, 11.15.1).
            let answer = session.connection.receive()
            #expect(answer?.opcode == 0x26 && answer?.header[2] == 3)
            #expect(session.connection.closes(withinSeconds: 20))
            #expect(block(0) == 0)
        }

        private func reserve(_ session: RawSession, _ action: UInt8, key: UInt8, other: UInt8 = 0) -> RawResult? {
            let pdu = session.reserveOut(action, key: key, other: other)
            session.connection.send(pdu)
            return session.result(of: UInt32(pdu[16, 4]))
        }

        @Test(arguments: [true, false])
        func preemptAndAbortSaysGoodOnlyWhenNothingCanCome(_ isSlow: Bool) throws {
            let (v0, v1) = try serving("abortSeconds: \(isSlow ? 15 : 2)")
            let (victim, fencer, other) = (try session(v0), try session(v0, "second"), try session(v1))
            for (session, key) in [(victim, UInt8(1)), (fencer, 2)] {
                #expect(reserve(session, 0x06, key: 0, other: key)?.status == 0)
            }
            let delay = isSlow ? "3s" : "1h"
            let rule = ["--volume", "v0", "--commands", "write", "--delay", delay]
            #expect(scene.fault(["add"] + rule).code == 0)
            let start = now()
            _ = begin(victim, block: 0, 7)
            #expect(eventually(seconds: 20) { scene.fault("list").output.contains("1 injected") })
            let preempt = fencer.reserveOut(0x05, key: 2, other: 1)
            fencer.connection.send(preempt)
            other.works()
            let result = fencer.result(of: UInt32(preempt[16, 4]))
            if isSlow {
                #expect(result?.status == 0 && block(0) == 0)
                #expect(now() - start >= 3)
            } else {
                // COMMAND TIMEOUT DURING PROCESSING: fencing has not succeeded, and the fence agent has to know.
                #expect(result?.status == 2 && result?.senseKey == 0xb && result?.additionalSense == 0x2e02)
                #expect(block(0) == 0)
                // The place of the command is free again, and what is still to come of the old one is nobody's.
                for _ in 0..<200 { #expect(fencer.read(lba: 8, blocks: 1)?.status == 0) }
            }
            #expect(scene.fault("clear").code == 0)
            #expect(victim.write(lba: 0, [UInt8](repeating: 9, count: 512))?.status == 2)
            fencer.works()
            other.works(seed: 2)
            #expect(block(0) == 0)
        }

        @Test func manageWithoutEndIsBounded() throws {
            let (v0, _) = try serving("abortSeconds: 60")
            let session = try session(v0)
            #expect(scene.fault("add", "--commands", "write", "--delay", "1h").code == 0)
            let tag = begin(session, block: 0, 7)
            for number in 0..<65 { session.sendManagement(1, tag: 0x7000_0000 + UInt32(number), referenced: tag) }
            // 64 wait; the one after them is refused at once.
            #expect(session.managementResult(0x7000_0040) == 255)
            #expect(scene.fault("clear").code == 0)
            #expect(session.managementResult(0x7000_003f) == 0)
            #expect(block(0) == 0)
            session.works()
        }

        @Test func otherUnitsHaveMemoryLeft() throws {
            let (v0, v1) = try serving("payloadMemory: 4MiB, abortSeconds: 2")
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "1h").code == 0)
            // 6 MiB of data for the store that hangs, where 4 MiB of memory are all there is.
            let data = [UInt8](repeating: 6, count: 65536)
            var tags: [(RawSession, [UInt32])] = []
            for number in 0..<8 {
                let session = try session(v0, "hung\(number)")
                let own = (0..<12).map { place -> UInt32 in
                    let pdu = session.command(
                        RawSession.cdb(0x2a, UInt32((number * 12 + place) * 128), 128), writes: 65536, immediate: data)
                    session.connection.send(pdu)
                    return UInt32(pdu[16, 4])
                }
                tags.append((session, own))
            }
            // Its share: 8 of the 16 slots of 64 KiB and 4 of the 8 of 256 KiB.
            let share = 8 * 65536 + 4 * 262_144
            #expect(eventually(seconds: 20) { scene.status().contains("\"payloadBytesInUse\" : \(share)") })
            let other = try session(v1)
            for seed in 1..<10 { other.works(seed: UInt64(seed)) }
            let large = [UInt8](repeating: 3, count: 65536)
            #expect(other.write(lba: 0, large)?.status == 0)
            #expect(other.execute(RawSession.cdb(0x28, 0, 512), reads: 262_144)?.data.count == 262_144)
            #expect(scene.fault("clear").code == 0)
            // The store comes back before the limit for late writes, and everything goes on.
            for (session, own) in tags { for tag in own { #expect(session.result(of: tag)?.status == 0) } }
            #expect(eventually(seconds: 20) { scene.status().contains("\"payloadBytesInUse\" : 0") })
        }

        @Test func aConnectionThatIsNotReadIsNotKept() throws {
            let (v0, v1) = try serving("payloadMemory: 4MiB, abortSeconds: 2")
            let (session, other) = (try session(v0), try session(v1))
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "1h").code == 0)
            let data = [UInt8](repeating: 6, count: 65536)
            for place in 0..<60 {
                session.connection.send(
                    session.command(
                        RawSession.cdb(0x2a, UInt32(place * 128), 128), writes: 65536, immediate: data))
            }
            // A request to abort stands behind data for which there is no memory: nobody will read it.
            session.sendManagement(2, tag: 0x7000_0001, referenced: 0xffff_ffff)
            #expect(session.connection.closes(withinSeconds: 20))
            #expect(v0.process.errors.contains("given no memory back"))
            other.works()
            #expect(try refusedLogin(v0) == 0x0301)
        }

        @Test func stoppingDoesNotWaitForADrill() throws {
            let (v0, _) = try serving("drainSeconds: 60")
            let session = try session(v0)
            #expect(scene.fault("add", "--commands", "write", "--delay", "1h").code == 0)
            let tag = begin(session, block: 0, 7)
            #expect(eventually(seconds: 20) { scene.fault("list").output.contains("1 injected") })
            v0.process.signal(SIGTERM)
            #expect(session.result(of: tag)?.status == 0)
            #expect(v0.process.waitForEnd(seconds: 20) == 0)
            #expect(block(0) == 7)
        }

        @Test func aStandstillWithdrawsWhatIsHeldBack() throws {
            let (v0, _) = try serving("standstillSeconds: 2")
            let session = try session(v0)
            #expect(scene.fault("add", "--commands", "write", "--delay", "2s", "--count", "1").code == 0)
            _ = begin(session, block: 0, 7)
            #expect(eventually(seconds: 20) { scene.fault("list").output.contains("1 of 1 injected") })
            v0.process.signal(SIGSTOP)
            sleep(4)
            v0.process.signal(SIGCONT)
            #expect(session.connection.closes(withinSeconds: 20))
            let again = try self.session(v0)
            #expect(again.write(lba: 8, [UInt8](repeating: 3, count: 512))?.status == 0)
            #expect(block(0) == 0, "a late write was executed")
            again.works()
        }

        /// A login for the place of the session that `Export.session` makes; its status.
        private func refusedLogin(_ export: Export) throws -> UInt64 {
            let connection = try RawConnection(port: export.port)
            var login = RawLogin()
            login.keys = [
                "InitiatorName=iqn.2026-01.net.example:good", "TargetName=\(export.targetName)", "SessionType=Normal",
            ]
            connection.send(login.pdu)
            let answer = try #require(connection.receive())
            #expect(connection.closes(withinSeconds: 20))
            return answer[36, 2]
        }
    }
}

extension RawSession {
    /// PERSISTENT RESERVE OUT (SPC-4 6.16) with keys of one digit, not sent yet.
    func reserveOut(_ action: UInt8, key: UInt8 = 0, other: UInt8) -> RawPDU {
        var list = [UInt8](repeating: 0, count: 24)
        (list[7], list[15]) = (key, other)
        return command([0x5f, action, 0x05, 0, 0, 0, 0, 0, 24, 0], writes: 24, immediate: list)
    }

    /// Sends a task management request (RFC 7143, 11.5), immediate.
    func sendManagement(_ function: UInt8, tag: UInt32, referenced: UInt32) {
        var pdu = RawPDU(opcode: 0x42, flags: 0x80 | function)
        pdu[16, 4] = UInt64(tag)
        pdu[20, 4] = UInt64(referenced)
        pdu[24, 4] = UInt64(commandNumber)
        pdu[28, 4] = UInt64(statusNumber)
        connection.send(pdu)
    }

    /// The response code of a task management request; nil when the connection ends, or nothing comes for 20 s.
    func managementResult(_ tag: UInt32) -> UInt8? {
        while let pdu = connection.receive() {
            if pdu.opcode == 0x22, pdu[16, 4] == UInt64(tag) { return pdu.header[2] }
            answerPing(pdu)
        }
        return nil
    }
}
