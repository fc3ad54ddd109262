import Glibc
import Testing

/// A SANITIZE that a killed daemon left half done goes on with the next one.
extension StoragedTests {
    @Suite(.serialized) struct SanitizeTests {
        let scene = Scene()

        @Test func goesOnAfterAKill() throws {
            let port = freePort()
            var served = try scene.exportingWithState(port: port)
            var session = try served.session()
            session.settle()
            #expect(session.write(lba: 131_000, [UInt8](repeating: 7, count: 512))?.status == 0)
            // OVERWRITE with IMMED, six times, every second time inverted: at 128 MiB/s three seconds.
            let list: [UInt8] = [0x86, 0, 0, 2, 0xc3, 0x5a]
            #expect(session.execute([0x48, 0x81, 0, 0, 0, 0, 0, 0, 6, 0], writing: list)?.status == 0)
            served.process.kill(SIGKILL)
            served = try scene.exportingWithState(port: port)
            #expect(served.process.errors.contains("begins again"))
            session = try served.session()
            session.settle()
            let refused = try #require(session.read(lba: 131_000, blocks: 1))
            #expect(refused.senseKey == 2 && refused.additionalSense == 0x041b)
            #expect(eventually(seconds: 60) { session.execute([0, 0, 0, 0, 0, 0])?.status == 0 })
            let pattern = (0..<512).map { UInt8($0 % 2 == 0 ? 0xc3 : 0x5a) }
            #expect(session.read(lba: 131_000, blocks: 1)?.data == pattern)
            #expect(session.write(lba: 131_000, [UInt8](repeating: 8, count: 512))?.status == 0)
            // It has ended, and is not begun again.
            served.process.kill(SIGKILL)
            served = try scene.exportingWithState(port: port)
            session = try served.session()
            session.settle()
            #expect(session.read(lba: 131_000, blocks: 1)?.data == [UInt8](repeating: 8, count: 512))
            served.process.kill(SIGTERM)
        }
    }
}
