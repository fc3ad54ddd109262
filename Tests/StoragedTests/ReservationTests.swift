import Glibc
import Testing

/// Persistent reservations through the real daemon, across its death too.
extension StoragedTests {
    @Suite(.serialized) struct ReservationTests {
        let scene = Scene()
        let port = freePort()
        static let target = "iqn.2026-01.net.example:r1:v0"

        private func start() throws -> DaemonProcess {
            let rack = scene.write(
                "rack.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
                volumes: [{name: v0, size: 64MiB, path: \(scene.path("a.img")), hosts: [h0]}]
                """)
            return try scene.serving(
                ["run", "--rack", rack, "--host", "h0", "--state-directory", scene.path("state")])
        }

        private func session(_ name: String) throws -> RawSession {
            let session = try RawSession(
                port: port, targetName: Self.target, initiatorName: "iqn.2026-01.net.example:\(name)")
            session.settle()
            return session
        }

        static func list(key: UInt64, action: UInt64 = 0, flags: UInt8 = 0) -> [UInt8] {
            var bytes: [UInt8] = []
            for value in [key, action] {
                for shift in stride(from: 56, through: 0, by: -8) {
                    bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
                }
            }
            return bytes + [0, 0, 0, 0, flags, 0, 0, 0]
        }

        /// PERSISTENT RESERVE OUT; its status.
        @discardableResult
        private func out(
            _ session: RawSession, _ action: UInt8, type: UInt8 = 0, key: UInt64, new: UInt64 = 0, flags: UInt8 = 0
        ) -> UInt8? {
            session.execute(
                [0x5F, action, type, 0, 0, 0, 0, 0, 24, 0], writing: Self.list(key: key, action: new, flags: flags)
            )?.status
        }

        private func keys(_ session: RawSession) -> [UInt8]? {
            session.execute([0x5E, 0, 0, 0, 0, 0, 0, 1, 0, 0], reads: 256)?.data
        }

        @Test func theyOutliveADaemonThatIsKilled() throws {
            let first = try start()
            let owner = try session("owner")
            let other = try session("other")
            #expect(out(owner, 0, key: 0, new: 0xA) == 0)
            #expect(out(other, 0, key: 0, new: 0xB) == 0)
            #expect(out(owner, 1, type: 5, key: 0xA) == 0)
            let before = keys(owner)
            #expect(before?.prefix(8).elementsEqual([0, 0, 0, 2, 0, 0, 0, 16]) == true)
            first.kill(SIGKILL)

            let second = try start()
            let again = try session("owner")
            let stranger = try session("stranger")
            #expect(keys(again) == before)
            #expect(stranger.write(lba: 0, [UInt8](repeating: 1, count: 512))?.status == 0x18)
            #expect(again.write(lba: 0, [UInt8](repeating: 2, count: 512))?.status == 0)
            // The registration is the nexus': no new key is needed to go on with it.
            #expect(out(again, 2, type: 5, key: 0xA) == 0)
            #expect(stranger.write(lba: 0, [UInt8](repeating: 3, count: 512))?.status == 0)
            #expect(scene.status().contains("\"key\" : \"0x000000000000000a\""))
            second.kill(SIGTERM)
            var found = stat()
            let file = scene.path("state/reservations-h0-3") + digits(of: second)
            #expect(unsafe stat(file, &found) == 0 && found.st_mode & 0o777 == 0o600, "\(file)")
        }

        /// The unit's digits, from the name of its file.
        private func digits(of process: DaemonProcess) -> String {
            guard let folder = unsafe opendir(scene.path("state")) else { return "" }
            defer { unsafe closedir(folder) }
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                if name.hasPrefix("reservations-h0-3") { return String(name.dropFirst(17)) }
            }
            return ""
        }

        @Test func aSpoiledFileStopsTheStart() throws {
            let first = try start()
            let owner = try session("owner")
            #expect(out(owner, 0, key: 0, new: 0xA) == 0)
            first.kill(SIGTERM)
            let file = scene.path("state/reservations-h0-3") + digits(of: first)
            let descriptor = unsafe open(file, O_RDWR)
            let spoiled: [UInt8] = [0x58]
            #expect(unsafe pwrite(descriptor, spoiled, 1, 40) == 1)
            close(descriptor)
            let second = scene.storaged(
                [
                    "run", "--rack", scene.path("rack.yaml"), "--host", "h0", "--state-directory",
                    scene.path("state"),
                ])
            #expect(second.waitForEnd(seconds: 20) != 0)
            #expect(second.errors.contains(file) && second.errors.contains("checksum"))
        }

        @Test func whatCannotBeKeptIsNotDone() throws {
            guard let place = scene.tmpfs("full", options: "size=64k") else { return }
            let rack = scene.write(
                "full.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
                volumes: [{name: v0, size: 64MiB, path: \(scene.path("a.img")), hosts: [h0]}]
                """)
            _ = try scene.serving(["run", "--rack", rack, "--host", "h0", "--state-directory", place])
            let owner = try session("owner")
            #expect(out(owner, 0, key: 0, new: 0xA) == 0)
            #expect(scene.run("/usr/bin/sh", "-c", "cat /dev/zero >\(place)/filler; true") == 0)
            let refused = owner.execute(
                [0x5F, 1, 5, 0, 0, 0, 0, 0, 24, 0], writing: Self.list(key: 0xA))
            #expect(refused?.status == 2 && refused?.additionalSense == 0x5502)
            #expect(owner.execute([0x5E, 1, 0, 0, 0, 0, 0, 1, 0, 0], reads: 256)?.data.count == 8)
            #expect(scene.run("/usr/bin/rm", "\(place)/filler") == 0)
            #expect(out(owner, 1, type: 5, key: 0xA) == 0)
        }

        @Test func withoutAFolderNothingIsPromised() throws {
            let export = try scene.exporting()
            let session = try export.session()
            session.settle()
            #expect(out(session, 0, key: 0, new: 0xA) == 0)
            #expect(out(session, 0, key: 0xA, new: 0xB, flags: 1) == 2, "APTPL")
        }

        /// kill -9 in the middle of changes: what was acknowledged is there afterwards.
        @Test func acknowledgedChangesAreThereAfterKills() throws {
            var last: UInt64 = 0
            var numbers = SeededNumbers(seed: UInt64(getpid()))
            for round in 0..<8 {
                let process = try start()
                let owner = try session("owner")
                if last != 0 {
                    let found = keys(owner).map { $0.dropFirst(8).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
                    #expect(found == last || found == last + 1, "round \(round): acknowledged \(last)")
                    last = found ?? 0
                }
                let end = now() + Double.random(in: 0.05...0.4, using: &numbers)
                while now() < end {
                    guard out(owner, 6, key: 0, new: last + 1) == 0 else { break }
                    last += 1
                }
                // One more, whose answer is not waited for.
                owner.connection.send(
                    owner.command(
                        [0x5F, 6, 0, 0, 0, 0, 0, 0, 24, 0], writes: 24,
                        immediate: Self.list(key: 0, action: last + 1)))
                process.kill(SIGKILL)
            }
            #expect(last > 8)
        }
    }
}
