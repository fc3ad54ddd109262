import Glibc
import Testing

/// A backing file that goes bad while it is served: the right sense data, no exit, no silent success; and what was
/// acknowledged is there after `kill -9`.
extension StoragedTests {
    @Suite(.serialized) struct BackingTests {
        let scene = Scene()

        @Test func aFullFileSystem() throws {
            guard geteuid() == 0, let place = scene.tmpfs("full", options: "size=2m") else {
                try Test.cancel("a small tmpfs needs root")
            }
            let port = freePort()
            let served = try scene.serving([
                "export", "\(place)/full.img", scene.path("roomy.img"), "--size", "64MiB", "--portal",
                "127.0.0.1:\(port)",
            ])
            let names = served.output.split(whereSeparator: { " \n".contains($0) }).filter { $0.hasPrefix("iqn.") }.map(
                String.init)
            try #require(names.count == 2)
            let full = try RawSession(port: port, targetName: names[0], initiatorName: "iqn.2026-01.net.example:c")
            let roomy = try RawSession(port: port, targetName: names[1], initiatorName: "iqn.2026-01.net.example:c")
            full.settle()
            roomy.settle()
            var refused: RawResult?
            var written = 0
            for number in 0..<100 as Range<UInt32> {
                let result = try #require(full.write(lba: number * 128, [UInt8](repeating: 9, count: 65536)))
                if result.status != 0 {
                    refused = result
                    break
                }
                written += 1
            }
            #expect((16...32).contains(written))
            let result = try #require(refused, "a full file system took everything")
            // Space allocation failed write protect (SBC-3, 4.7.3.6): DATA PROTECT 27/07.
            #expect(result.status == 2 && result.senseKey == 7 && result.additionalSense == 0x2707)
            #expect(full.read(lba: 0, blocks: 8)?.data == [UInt8](repeating: 9, count: 4096))
            roomy.works()
            #expect(!served.hasEnded)
            served.kill(SIGTERM)
        }

        /// Initiators hear of it before the file system is full, each once; so does whoever looks at the status.
        @Test func aFileSystemThatRunsLow() throws {
            guard geteuid() == 0, let place = scene.tmpfs("low", options: "size=32m") else {
                try Test.cancel("a small tmpfs needs root")
            }
            let port = freePort()
            let served = try scene.serving([
                "export", "\(place)/low.img", scene.path("roomy.img"), "--size", "64MiB", "--portal",
                "127.0.0.1:\(port)",
            ])
            let names = served.output.split(whereSeparator: { " \n".contains($0) }).filter { $0.hasPrefix("iqn.") }
                .map(String.init)
            try #require(names.count == 2)
            let sessions = try ["a", "b"].map {
                try RawSession(port: port, targetName: names[0], initiatorName: "iqn.2026-01.net.example:\($0)")
            }
            let roomy = try RawSession(port: port, targetName: names[1], initiatorName: "iqn.2026-01.net.example:c")
            sessions.forEach { $0.settle() }
            roomy.settle()
            func told(_ session: RawSession) -> UInt16? {
                let result = session.execute([0, 0, 0, 0, 0, 0])
                return result?.status == 2 ? result?.additionalSense : nil
            }
            func fill(from first: UInt32) -> RawResult? {
                for number in first..<600 {
                    let result = sessions[0].write(lba: number * 128, [UInt8](repeating: 9, count: 65536))
                    if result?.status != 0, result?.senseKey != 6 { return result }
                }
                return nil
            }
            // 10 % of 32 MiB are 3.2: with 2 MiB left it is told, within two looks of 5 s.
            for number in 0..<480 as Range<UInt32> {
                #expect(sessions[0].write(lba: number * 128, [UInt8](repeating: 9, count: 65536))?.status == 0)
            }
            for session in sessions {
                #expect(eventually(seconds: 15) { told(session) == 0x3807 })
                #expect(told(session) == nil, "once")
            }
            let status = scene.storaged(["status", "--socket", scene.path("control.sock")])
            #expect(status.waitForEnd(seconds: 20) == 1)
            #expect(status.output.contains("space runs low below low"), "\(status.output)")
            // Available and used, in MiB.
            let page = sessions[0].execute([0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 28, 0], reads: 28)?.data ?? []
            #expect(page.count == 28 && page[11] <= 2 && page[23] == 30, "\(page)")
            // Full; the other unit is none the worse.
            let refused = try #require(fill(from: 480))
            #expect(refused.senseKey == 7 && refused.additionalSense == 0x2707)
            roomy.works()
            #expect(told(roomy) == nil)
            // Room again, and low again: another crossing. 16 MiB from block 0 on.
            let descriptor: [UInt8] = [0, 22, 0, 16, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + [0, 0, 0x80, 0]
            let list = descriptor + [0, 0, 0, 0]
            #expect(sessions[0].execute([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], writing: list)?.status == 0)
            #expect(eventually(seconds: 15) { !scene.status().contains("\"isLowOnSpace\" : true") })
            #expect(fill(from: 0) != nil)
            #expect(eventually(seconds: 15) { told(sessions[1]) == 0x3807 })
            #expect(!served.hasEnded)
            served.kill(SIGTERM)
        }

        @Test func writesThatFail() throws {
            guard unsafe access("/usr/bin/prlimit", X_OK) == 0 else { try Test.cancel("prlimit is missing") }
            // A limit on the size of files that this process writes: beyond it the kernel answers EFBIG.
            _ = scene.run("/usr/bin/truncate", "-s", "16777216", scene.path("a.img"))
            let port = freePort()
            let served = try scene.serving(
                ["export", scene.path("a.img"), "--portal", "127.0.0.1:\(port)"],
                prefix: ["/usr/bin/prlimit", "--fsize=8388608"])
            let name = try #require(served.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
            let session = try RawSession(
                port: port, targetName: String(name), initiatorName: "iqn.2026-01.net.example:c")
            session.settle()
            session.works()
            let result = try #require(session.write(lba: 20000, [UInt8](repeating: 1, count: 4096)))
            #expect(result.status == 2 && [3, 4, 7].contains(result.senseKey), "\(result)")
            // Half of it is over the limit: not silently half a success.
            let half = try #require(session.write(lba: 16384 - 4, [UInt8](repeating: 1, count: 4096)))
            #expect(half.status == 2)
            session.works(seed: 2)
            #expect(!served.hasEnded)
            #expect(scene.status().contains("\"ioErrors\" : 2"))
        }

        @Test func aFileThatSomebodyCuts() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            session.works()
            #expect(unsafe truncate(scene.path("a.img"), 1 << 20) == 0)
            // What is gone is an error, neither zeros nor a hang.
            let beyond = try #require(session.read(lba: 4096, blocks: 8))
            #expect(beyond.status == 2 && [3, 4].contains(beyond.senseKey), "\(beyond.status) \(beyond.senseKey)")
            let across = try #require(session.read(lba: 2048 - 4, blocks: 8))
            #expect(across.status == 2)
            #expect(session.read(lba: 0, blocks: 8)?.status == 0)
            #expect(!export.process.hasEnded)
        }

        @Test(arguments: 1...5) func whatWasAcknowledgedSurvivesAKill(_ seed: UInt64) throws {
            let port = freePort()
            let arguments = ["export", scene.path("a.img"), "--size", "64MiB", "--portal", "127.0.0.1:\(port)"]
            var numbers = SeededNumbers(seed: seed)
            var acknowledged: [UInt32: UInt64] = [:]
            var number: UInt64 = 0
            for _ in 0..<3 {
                let served = try scene.serving(arguments)
                let name = try #require(served.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
                let session = try RawSession(
                    port: port, targetName: String(name), initiatorName: "iqn.2026-01.net.example:c")
                session.settle()
                for (lba, stamp) in acknowledged {
                    let data = session.read(lba: lba, blocks: 1)?.data ?? []
                    #expect(data.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } >= stamp, "block \(lba), seed \(seed)")
                }
                // Pipelined, so that some are in flight at the kill.
                let writes = Int.random(in: 50...800, using: &numbers)
                var pending: [(UInt32, UInt32, UInt64)] = []
                for _ in 0..<writes {
                    number += 1
                    let lba = UInt32.random(in: 0..<131_072, using: &numbers)
                    let stamp = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
                    let pdu = session.command(
                        RawSession.cdb(0x2a, lba, 1), writes: 512, immediate: stamp + [UInt8](repeating: 0, count: 504))
                    session.connection.send(pdu)
                    pending.append((UInt32(pdu[16, 4]), lba, number))
                    if pending.count == 16 {
                        let (tag, lba, stamp) = pending.removeFirst()
                        #expect(session.result(of: tag)?.status == 0)
                        acknowledged[lba] = stamp
                    }
                }
                served.kill(SIGKILL)
            }
            let content = try scene.serving(arguments)
            content.kill(SIGTERM)
            let descriptor = unsafe open(scene.path("a.img"), O_RDONLY)
            defer { close(descriptor) }
            for (lba, stamp) in acknowledged {
                var bytes = [UInt8](repeating: 0, count: 8)
                #expect(unsafe pread(descriptor, &bytes, 8, off_t(lba) * 512) == 8)
                #expect(bytes.reduce(0) { $0 << 8 | UInt64($1) } >= stamp, "block \(lba), seed \(seed)")
            }
        }
    }
}
