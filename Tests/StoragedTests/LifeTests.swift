import Glibc
import Testing

/// Signals, and the control socket.
extension StoragedTests {
    @Suite(.serialized) struct LifeTests {
        let scene = Scene()

        @Test func terminationTellsInitiators() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            session.works()
            export.process.signal(SIGTERM)
            // An asynchronous message (RFC 7143, 11.9), then the end of the connection.
            var events: [UInt8] = []
            while let pdu = session.connection.receive() {
                if pdu.opcode == 0x32 { events.append(pdu.header[36]) }
                if pdu.opcode == 0x32 && pdu.header[36] == 1 {
                    var logout = RawPDU(opcode: 0x46)
                    logout[16, 4] = 900
                    logout[24, 4] = UInt64(session.commandNumber)
                    session.connection.send(logout)
                }
            }
            #expect(events.contains { [1, 2, 3].contains($0) }, "events \(events)")
            #expect(export.process.waitForEnd(seconds: 30) == 0)
            // A port that is free at once, a socket that is gone.
            #expect(throws: SceneError.self) { try RawConnection(port: export.port) }
            var found = stat()
            #expect(unsafe lstat(scene.path("control.sock"), &found) != 0)
        }

        @Test func terminationAnswersWhatIsInFlight() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            var tags: [UInt32] = []
            for number in 0..<32 as Range<UInt32> {
                let pdu = session.command(
                    RawSession.cdb(0x2a, number * 128, 128), writes: 65536,
                    immediate: [UInt8](repeating: 5, count: 65536))
                session.connection.send(pdu)
                tags.append(UInt32(pdu[16, 4]))
            }
            // The first answer shows that they are being worked on.
            #expect(session.result(of: tags[0])?.status == 0)
            export.process.signal(SIGTERM)
            var answered: Set<UInt32> = [tags[0]]
            while let pdu = session.connection.receive() {
                if pdu.opcode == 0x21 && pdu.header[3] == 0 { answered.insert(UInt32(pdu[16, 4])) }
            }
            #expect(export.process.waitForEnd(seconds: 40) == 0)
            let descriptor = unsafe open(scene.path("a.img"), O_RDONLY)
            defer { close(descriptor) }
            for (number, tag) in tags.enumerated() where answered.contains(tag) {
                var bytes = [UInt8](repeating: 0, count: 65536)
                #expect(unsafe pread(descriptor, &bytes, 65536, off_t(number) * 65536) == 65536)
                #expect(bytes.allSatisfy { $0 == 5 }, "write \(number) was acknowledged")
            }
        }

        @Test func aSecondSignalEndsAtOnce() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            // A write whose data never comes is in flight for as long as it may be.
            session.connection.send(session.command(RawSession.cdb(0x2a, 0, 512), writes: 512 * 512))
            export.process.signal(SIGTERM)
            usleep(300_000)
            if export.process.hasEnded { return }
            export.process.signal(SIGTERM)
            #expect(export.process.waitForEnd(seconds: 3) != nil)
        }

        @Test func statusFitsPeopleAndPrograms() throws {
            let export = try scene.exporting()
            let session = try export.session("watched")
            session.settle()
            session.works()
            let process = scene.storaged(["status", "--socket", scene.path("control.sock")])
            #expect(process.waitForEnd(seconds: 20) == 0)
            let first = process.output.prefix { $0 != "\n" }
            #expect(first.contains(" OK  2 portals, 1 target, 1 session"))
            #expect(process.output.contains("iqn.2026-01.net.example:watched"))
            let json = scene.status()
            #expect(json.contains("\"schema\" : \"storaged.status/1\""))
            #expect(json.contains("\"initiator\" : \"iqn.2026-01.net.example:watched\""))
            #expect(json.contains("\"isid\" : \"801234560001\""))
            export.process.kill(SIGTERM)
            // Nobody answers: unknown.
            #expect(scene.storaged(["status", "--socket", scene.path("control.sock")]).waitForEnd(seconds: 20) == 3)
        }

        @Test func aHostileControlSocketClient() throws {
            let export = try scene.exporting()
            var clients: [Int32] = []
            for number in 0..<20 as Range<UInt64> {
                var numbers = SeededNumbers(seed: number + 1)
                let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
                var address = sockaddr_un()
                address.sun_family = sa_family_t(AF_UNIX)
                unsafe withUnsafeMutableBytes(of: &address.sun_path) {
                    unsafe $0.copyBytes(from: Array(scene.path("control.sock").utf8))
                }
                _ = unsafe withUnsafePointer(to: &address) { pointer in
                    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                    }
                }
                let garbage: [UInt8] =
                    switch number % 4 {
                    case 0: []
                    case 1: (0..<10000).map { _ in UInt8.random(in: 0...255, using: &numbers) }
                    case 2: Array("{\"request\":\"\(String(repeating: "x", count: 3000))\"}\n".utf8)
                    default: Array("{\"request\":{\"request\":[[[[[[[[\n".utf8)
                    }
                unsafe send(descriptor, garbage, garbage.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                clients.append(descriptor)
            }
            defer { clients.forEach { close($0) } }
            // Silent ones hold their places for five seconds at most; then anybody is answered.
            #expect(eventually(seconds: 20) { scene.status().contains("storaged.status/1\",") })
            #expect(!export.process.hasEnded)
            let session = try export.session()
            session.settle()
            session.works()
        }

        @Test func theControlSocketOfTheDeadAndOfTheLiving() throws {
            let export = try scene.exporting()
            let port = freePort()
            let second = scene.storaged([
                "export", scene.path("b.img"), "--size", "1MiB", "--portal", "127.0.0.1:\(port)",
            ])
            #expect(second.waitForEnd(seconds: 20) == 13)
            #expect(second.errors.contains("another storaged answers there"))
            var found = stat()
            #expect(unsafe lstat(scene.path("b.img"), &found) != 0)
            export.process.kill(SIGKILL)
            #expect(unsafe lstat(scene.path("control.sock"), &found) == 0)
            #expect(found.st_mode & 0o777 == 0o600)
            let third = try scene.serving([
                "export", scene.path("b.img"), "--size", "1MiB", "--portal", "127.0.0.1:\(port)",
            ])
            #expect(scene.status().contains("storaged.status/1"))
            third.kill(SIGTERM)
        }

        @Test func anIdleDaemonUsesNoProcessor() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            let before = ticks(export.process.processID)
            sleep(3)
            #expect(ticks(export.process.processID) - before <= 2)
            withExtendedLifetime(session) {}
        }

        /// User and system time in clock ticks (10 ms), from /proc/PID/stat.
        private func ticks(_ processID: pid_t) -> Int {
            let descriptor = unsafe open("/proc/\(processID)/stat", O_RDONLY)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 1024)
            let count = unsafe read(descriptor, &bytes, bytes.count)
            let fields =
                String(decoding: bytes[..<max(0, count)], as: UTF8.self).split(separator: ")").last?.split(
                    separator: " ") ?? []
            return fields.count > 12 ? (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) : 0
        }
    }
}
