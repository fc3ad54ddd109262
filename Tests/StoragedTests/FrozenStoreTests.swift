import Glibc
import Testing

/// A store that really hangs: a file system of its own, frozen. What is under way in the kernel then lands when it thaws,
/// whoever has given it up meanwhile; nothing that was sent later may be overtaken by it.
extension StoragedTests {
    @Suite(.serialized, .enabled(if: geteuid() == 0, "mounting needs root")) struct FrozenStoreTests {
        let scene = Scene()

        /// An ext4 on a loop device, unmounted at the end.
        private final class FileSystem {
            let folder: String

            init(_ scene: Scene) throws {
                folder = scene.path("frozen")
                let image = scene.path("frozen.ext4")
                try Self.run(["truncate", "-s", "192M", image])
                try Self.run(["mkfs.ext4", "-q", "-F", image])
                try Self.run(["mkdir", folder])
                try Self.run(["mount", "-o", "loop,noatime", image, folder])
            }

            deinit {
                try? thaw()
                try? Self.run(["umount", "-l", folder])
            }

            func freeze() throws { try Self.run(["fsfreeze", "--freeze", folder]) }
            func thaw() throws { try Self.run(["fsfreeze", "--unfreeze", folder]) }

            private static func run(_ words: [String]) throws {
                let process = DaemonProcess(["/usr/bin/env"] + words, errorsTo: "/dev/null", outputTo: "/dev/null")
                guard process.waitForEnd(seconds: 60) == 0 else { throw SceneError() }
            }
        }

        private func serving(_ fileSystem: FileSystem, _ limits: String) throws -> (v0: Export, v1: Export) {
            try scene.servingTwoVolumes(firstIn: fileSystem.folder, limits: limits, reactors: 2)
        }

        private func session(_ export: Export, _ name: String) throws -> RawSession {
            try export.settledSession(name)
        }

        private static let blockCount: UInt32 = 64

        /// Writes of one block each, all at once; their tags.
        private func beginWrites(_ session: RawSession, _ value: UInt8) -> [UInt32] {
            (0..<Self.blockCount).map { block in
                let pdu = session.command(
                    RawSession.cdb(0x2a, block, 1), writes: 512, immediate: [UInt8](repeating: value, count: 512))
                session.connection.send(pdu)
                return UInt32(pdu[16, 4])
            }
        }

        private func areInFlight(_ count: UInt32) -> Bool {
            eventually(seconds: 20) { scene.status().contains("\"inFlight\" : \(count)") }
        }

        /// What the blocks hold, read through a session.
        private func values(_ session: RawSession) -> Set<UInt8> {
            Set(session.read(lba: 0, blocks: UInt16(Self.blockCount))?.data ?? [])
        }

        @Test func whatACutConnectionLeftUnderWayOvertakesNothing() throws {
            let fileSystem = try FileSystem(scene)
            let (v0, v1) = try serving(fileSystem, "abortSeconds: 2")
            for round in 1..<6 as Range<UInt8> {
                let (victim, second, other) = (
                    try session(v0, "victim"), try session(v0, "second"), try session(v1, "other")
                )
                try fileSystem.freeze()
                _ = beginWrites(victim, round)
                #expect(areInFlight(Self.blockCount))
                // The path is lost; the initiator repeats its writes by another one, with newer data.
                victim.connection.disconnect()
                #expect(eventually(seconds: 20) { !scene.status().contains("victim") })
                let tags = beginWrites(second, 100 + round)
                other.works(seed: UInt64(round))
                #expect(areInFlight(Self.blockCount))
                try fileSystem.thaw()
                for tag in tags { #expect(second.result(of: tag)?.status == 0) }
                #expect(values(second) == [100 + round], "round \(round): an older write has overtaken a newer one")
                second.connection.disconnect()
            }
        }

        @Test func aFenceThatCouldNotBeWaitedForHoldsWhatComesNext() throws {
            let fileSystem = try FileSystem(scene)
            let (v0, v1) = try serving(fileSystem, "abortSeconds: 2")
            let (victim, fencer, other) = (
                try session(v0, "victim"), try session(v0, "fencer"), try session(v1, "other")
            )
            for (session, key) in [(victim, UInt8(1)), (fencer, 2)] {
                #expect(reserveOut(session, 0x06, other: key)?.status == 0)
            }
            try fileSystem.freeze()
            _ = beginWrites(victim, 1)
            #expect(areInFlight(Self.blockCount))
            // COMMAND TIMEOUT DURING PROCESSING: in force, but the victim's writes are not over.
            let result = reserveOut(fencer, 0x05, key: 2, other: 1)
            #expect(result?.status == 2 && result?.additionalSense == 0x2e02)
            let tags = beginWrites(fencer, 2)
            other.works()
            try fileSystem.thaw()
            for tag in tags { #expect(fencer.result(of: tag)?.status == 0) }
            #expect(values(fencer) == [2], "a write of the fenced nexus has overtaken a newer one")
            // COMPARE AND WRITE has the unit to itself: the reckoning of who is under way is right again.
            var compare: [UInt8] = [0x89] + [UInt8](repeating: 0, count: 15)
            compare[13] = 1
            let swap = [UInt8](repeating: 2, count: 512) + [UInt8](repeating: 9, count: 512)
            #expect(fencer.execute(compare, writing: swap)?.status == 0)
            #expect(fencer.read(lba: 0, blocks: 1)?.data.first == 9)
            fencer.works()
        }

        @Test func stoppingLeavesAHungStoreBehind() throws {
            let fileSystem = try FileSystem(scene)
            let (v0, v1) = try serving(fileSystem, "drainSeconds: 1, abortSeconds: 1")
            let (session, other) = (try session(v0, "victim"), try session(v1, "other"))
            try fileSystem.freeze()
            _ = beginWrites(session, 1)
            #expect(areInFlight(Self.blockCount))
            v0.process.signal(SIGTERM)
            #expect(other.connection.closes(withinSeconds: 20))
            #expect(eventually(seconds: 20) { v0.process.errors.contains("have not ended: the store hangs") })
            // The kernel does not let go of a process whose writes hang; once they do not, it ends.
            try fileSystem.thaw()
            #expect(v0.process.waitForEnd(seconds: 30) == 0)
        }

        private func reserveOut(_ session: RawSession, _ action: UInt8, key: UInt8 = 0, other: UInt8) -> RawResult? {
            let pdu = session.reserveOut(action, key: key, other: other)
            session.connection.send(pdu)
            return session.result(of: UInt32(pdu[16, 4]))
        }
    }
}
