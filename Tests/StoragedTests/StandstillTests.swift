import Glibc
import Testing

/// Late writes: a daemon that was stopped for longer than initiators wait executes nothing that was sent to it before.
extension StoragedTests {
    @Suite(.serialized) struct StandstillTests {
        let scene = Scene()

        /// The first block of the file, as it is on the host.
        private func block(_ number: Int) -> [UInt8] {
            let descriptor = unsafe open(scene.path("a.img"), O_RDONLY)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0xff, count: 512)
            #expect(unsafe pread(descriptor, &bytes, 512, off_t(number) * 512) == 512)
            return bytes
        }

        private func stopped(_ export: Export, seconds: UInt32, _ meanwhile: () -> Void) {
            export.process.signal(SIGSTOP)
            usleep(200_000)
            meanwhile()
            sleep(seconds)
            export.process.signal(SIGCONT)
        }

        @Test func whatWasQueuedBeforeIsNotExecuted() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            let other = try export.session("other")
            other.settle()
            #expect(session.write(lba: 0, [UInt8](repeating: 1, count: 512))?.status == 0)
            stopped(export, seconds: 7) {
                // The initiator gives up later, and repeats it elsewhere; this copy stays in the socket.
                session.connection.send(
                    session.command(
                        RawSession.cdb(0x2a, 0, 1), writes: 512, immediate: [UInt8](repeating: 2, count: 512)))
            }
            #expect(session.connection.closes(withinSeconds: 20))
            #expect(other.connection.closes(withinSeconds: 20))
            let again = try export.session()
            again.settle()
            // Whoever is in now is behind everything that came before.
            #expect(again.write(lba: 8, [UInt8](repeating: 3, count: 512))?.status == 0)
            #expect(block(0) == [UInt8](repeating: 1, count: 512), "a late write was executed")
            #expect(block(8) == [UInt8](repeating: 3, count: 512))
            #expect(scene.status().contains("\"staleConnectionsDropped\" : 2"))
            #expect(export.process.errors.contains("stood still for"))
        }

        @Test func norWhatWasHalfSent() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            let data = [UInt8](repeating: 9, count: 65536)
            let bytes = session.command(RawSession.cdb(0x2a, 0, 128), writes: 65536, immediate: data).bytes()
            session.connection.send(Array(bytes[..<30000]))
            usleep(300_000)
            stopped(export, seconds: 7) { session.connection.send(Array(bytes[30000...])) }
            #expect(session.connection.closes(withinSeconds: 20))
            let again = try export.session()
            again.settle()
            #expect(again.read(lba: 0, blocks: 1)?.data == [UInt8](repeating: 0, count: 512))
            #expect(scene.status().contains("\"staleCommandsDropped\" : 1"))
        }

        @Test func aShortPauseCostsNothing() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            var tag: UInt32 = 0
            stopped(export, seconds: 1) {
                let pdu = session.command(
                    RawSession.cdb(0x2a, 0, 1), writes: 512, immediate: [UInt8](repeating: 4, count: 512))
                tag = UInt32(pdu[16, 4])
                session.connection.send(pdu)
            }
            #expect(session.result(of: tag)?.status == 0)
            #expect(block(0) == [UInt8](repeating: 4, count: 512))
            session.works()
        }

        @Test func theLimitIsTheInventorys() throws {
            let port = freePort()
            let rack = scene.write(
                "rack.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
                volumes: [{name: v0, size: 64MiB, path: \(scene.path("a.img")), hosts: [h0]}]
                limits: {standstillSeconds: 2}
                """)
            let process = try scene.serving(["run", "--rack", rack, "--host", "h0"])
            let export = Export(process: process, port: port, targetName: "iqn.2026-01.net.example:r1:v0")
            let session = try export.session()
            session.settle()
            stopped(export, seconds: 4) {}
            #expect(session.connection.closes(withinSeconds: 20))
        }
    }
}
