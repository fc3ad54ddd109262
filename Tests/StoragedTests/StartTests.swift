import Glibc
import Testing

/// Everything that can be wrong before the first portal opens: an exit code, a line that names it, nothing left behind.
extension StoragedTests {
    @Suite(.serialized) struct StartTests {
        let scene = Scene()
        let port = freePort()

        private func inventory(
            volumes: String, hosts: String? = nil, name: String = "rack.yaml"
        ) -> String {
            let hosts =
                hosts
                    ?? """
                      - name: storage0
                        portals:
                          - {network: san0, address: 127.0.0.1, port: \(port)}
                          - {network: san1, address: 127.0.0.2, port: \(port)}
                    """
            return scene.write(
                name,
                """
                rack: rack1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}, {name: san1}]
                hosts:
                \(hosts)
                volumes:
                \(volumes)

                """)
        }

        private func volume(_ name: String, _ file: String? = nil, size: String = "16MiB") -> String {
            "  - {name: \(name), size: \(size), path: \(file ?? scene.path("\(name).img")), hosts: [storage0]}"
        }

        /// Runs storaged, expects that exit code, and gives what it said on stderr.
        private func ending(
            _ arguments: [String], code: Int32, sourceLocation: SourceLocation = #_sourceLocation
        ) -> String {
            let process = scene.storaged(arguments)
            let found = process.waitForEnd(seconds: 20)
            #expect(found == code, "\(process.errors)", sourceLocation: sourceLocation)
            return process.errors
        }

        @Test func aMissingInventory() {
            let text = ending(["run", "--rack", scene.path("none.yaml"), "--host", "storage0"], code: 11)
            #expect(text.contains("none.yaml") && text.split(separator: "\n").count == 1)
        }

        @Test func everyProblemOfAnInventoryAtOnce() {
            let rack = inventory(
                volumes: [volume("a", size: "1000"), volume("a"), "  - {name: b, colour: red}"].joined(separator: "\n"))
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 11)
            #expect(text.split(separator: "\n").filter { $0.hasPrefix("\(rack):") }.count >= 3)
            #expect(status(scene.path("a.img")) == nil)
        }

        @Test func aHostThatIsNotInIt() {
            let rack = inventory(volumes: volume("a"))
            let text = ending(["run", "--rack", rack, "--host", "storage9"], code: 11)
            #expect(text.contains("storage9") && text.contains("storage0"))
        }

        @Test func aPortalThatIsTaken() throws {
            let other = scene.path("other.sock")
            let taken = try scene.serving([
                "export", scene.path("x.img"), "--size", "1MiB", "--portal", "127.0.0.2:\(port)", "--socket", other,
            ])
            let rack = inventory(volumes: volume("a"))
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 13)
            #expect(text.contains("127.0.0.2:\(port)") && text.contains("Address already in use"))
            // The file that this start had made is gone, and so are the other portal and the control socket.
            #expect(status(scene.path("a.img")) == nil)
            #expect(throws: SceneError.self) { try RawConnection(port: port) }
            #expect(!taken.hasEnded)
        }

        @Test func anAddressThatIsNotHere() {
            let rack = inventory(
                volumes: volume("a"),
                hosts: """
                      - name: storage0
                        portals: [{network: san0, address: 192.0.2.1, port: \(port)}]
                    """)
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 12)
            #expect(text.contains("192.0.2.1:\(port)"))
            #expect(status(scene.path("a.img")) == nil)
        }

        @Test func aMissingFolder() {
            let rack = inventory(volumes: [volume("a"), volume("b", scene.path("no/b.img"))].joined(separator: "\n"))
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 12)
            #expect(text.contains("volume b") && text.contains("mkdir -p \(scene.path("no"))"))
            // The other volume's file is not made either.
            #expect(status(scene.path("a.img")) == nil)
        }

        @Test func aFileOfAnotherSize() throws {
            _ = scene.write("a.img", String(repeating: "x", count: 4096))
            let rack = inventory(volumes: volume("a"))
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 14)
            #expect(text.contains("a.img") && text.contains("truncate -s 16777216"))
            #expect(try #require(status(scene.path("a.img"))).st_size == 4096)
        }

        @Test func aFileThatAnotherHolds() throws {
            let first = try scene.serving([
                "export", scene.path("a.img"), "--size", "16MiB", "--portal", "127.0.0.1:\(freePort())", "--socket",
                scene.path("first.sock"),
            ])
            let rack = inventory(volumes: volume("a"))
            let text = ending(["run", "--rack", rack, "--host", "storage0"], code: 13)
            #expect(text.contains("held by storaged (pid \(first.processID))"))
        }

        @Test func aFileThatMayNotBeWritten() throws {
            guard geteuid() == 0, let place = scene.tmpfs("ro", options: "size=20m") else {
                try Test.cancel("a read-only mount needs root")
            }
            _ = scene.run("/usr/bin/truncate", "-s", "1048576", "\(place)/a.img")
            _ = scene.run("/usr/bin/mount", "-o", "remount,ro", place)
            let text = ending(
                ["export", "\(place)/a.img", "--portal", "127.0.0.1:\(port)"], code: 10)
            #expect(text.contains("read-only"))
            let served = try scene.serving(["export", "\(place)/a.img", "--read-only", "--portal", "127.0.0.1:\(port)"])
            let name = try #require(served.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
            let session = try RawSession(
                port: port, targetName: String(name), initiatorName: "iqn.2026-01.net.example:ro")
            session.settle()
            #expect(session.read(lba: 0, blocks: 1)?.status == 0)
            let refused = try #require(session.write(lba: 0, [UInt8](repeating: 1, count: 512)))
            // DATA PROTECT, write protected (SPC-4, 4.5.6).
            #expect(refused.status == 2 && refused.senseKey == 7 && refused.additionalSense == 0x2700)
            served.kill(SIGTERM)
        }

        @Test func whatIsNoFile() {
            #expect(
                ending(["export", "/dev/null", "--portal", "127.0.0.1:\(port)"], code: 14).contains("character device"))
            #expect(ending(["export", scene.folder, "--portal", "127.0.0.1:\(port)"], code: 14).contains("a folder"))
            #expect(
                ending(["export", scene.path("typo"), "--portal", "127.0.0.1:\(port)"], code: 12).contains("--size"))
        }

        @Test func usage() {
            _ = ending(["export"], code: 64)
            _ = ending(["export", "a", "--size", "1G"], code: 64)
            _ = ending(["export", "a", "--portal", "300.1.1.1"], code: 64)
            _ = ending(["export", "a", "--block-size", "100"], code: 64)
            _ = ending(["frobnicate"], code: 64)
        }

        @Test func checkChangesNothing() throws {
            let rack = inventory(volumes: [volume("a"), volume("b")].joined(separator: "\n"))
            let process = scene.storaged(["check", "--rack", rack, "--host", "storage0"])
            #expect(process.waitForEnd(seconds: 20) == 0)
            #expect(process.output.hasPrefix("storage0 OK"))
            #expect(process.output.contains("will be made"))
            #expect(status(scene.path("a.img")) == nil)
            let served = try scene.serving(["run", "--rack", rack, "--host", "storage0"])
            // Beside a daemon that holds the locks.
            #expect(scene.storaged(["check", "--rack", rack, "--host", "storage0"]).waitForEnd(seconds: 20) == 0)
            served.kill(SIGTERM)
        }

        @Test func reloading() throws {
            let rack = inventory(volumes: volume("a"))
            let served = try scene.serving(["run", "--rack", rack, "--host", "storage0"])
            func target(_ volume: String) -> String { "iqn.2026-01.net.example:rack1:\(volume)" }
            let session = try RawSession(
                port: port, targetName: target("a"), initiatorName: "iqn.2026-01.net.example:c")
            session.settle()
            session.works()

            // Wrong: everything stays.
            _ = inventory(volumes: volume("a", size: "1000"))
            #expect(scene.storaged(["reload", "--socket", scene.path("control.sock")]).waitForEnd(seconds: 20) == 11)
            session.works(seed: 2)
            _ = inventory(volumes: [volume("a"), volume("b", scene.path("no/b.img"))].joined(separator: "\n"))
            served.signal(SIGHUP)
            #expect(eventually(seconds: 10) { served.errors.contains("not applied") })
            session.works(seed: 3)
            #expect(status(scene.path("b.img")) == nil)

            // One more volume: the session on the other does not notice.
            _ = inventory(volumes: [volume("a"), volume("b")].joined(separator: "\n"))
            #expect(scene.storaged(["reload", "--socket", scene.path("control.sock")]).waitForEnd(seconds: 20) == 0)
            let second = try RawSession(port: port, targetName: target("b"), initiatorName: "iqn.2026-01.net.example:c")
            second.settle()
            second.works(seed: 4)
            session.works(seed: 5)

            // And one less: not while it is in use, nor by a signal; by force its session ends, its file is free again.
            _ = inventory(volumes: volume("a"))
            let refused = scene.storaged(["reload", "--socket", scene.path("control.sock")])
            #expect(refused.waitForEnd(seconds: 20) == 13)
            #expect(refused.errors.contains("volume b is in use by iqn.2026-01.net.example:c"), "\(refused.errors)")
            served.signal(SIGHUP)
            #expect(eventually(seconds: 10) { served.errors.contains("volume b is in use") })
            second.works(seed: 6)
            let forced = scene.storaged(["reload", "--force", "--socket", scene.path("control.sock")])
            let asked = try #require(second.connection.receive())
            #expect(asked.opcode == 0x32 && asked.header[36] == 1 && asked[42, 2] == 5)
            #expect(forced.waitForEnd(seconds: 30) == 0)
            #expect(second.connection.closes(withinSeconds: 10))
            session.works(seed: 6)
            #expect(
                eventually(seconds: 10) { scene.run("/usr/bin/flock", "-n", scene.path("b.img"), "/usr/bin/true") == 0 }
            )
            served.kill(SIGTERM)
        }

        @Test func aVolumeThatIsDeclaredLarger() throws {
            let rack = inventory(volumes: volume("a"))
            let served = try scene.serving(["run", "--rack", rack, "--host", "storage0"])
            let session = try RawSession(
                port: port, targetName: "iqn.2026-01.net.example:rack1:a", initiatorName: "iqn.2026-01.net.example:c")
            session.settle()
            session.works()
            let beyond: UInt32 = (16 << 20) / 512
            #expect(session.read(lba: beyond, blocks: 1)?.additionalSense == 0x2100)
            _ = inventory(volumes: volume("a", size: "32MiB"))
            let reload = scene.storaged(["reload", "--socket", scene.path("control.sock")])
            #expect(reload.waitForEnd(seconds: 20) == 0)
            #expect(reload.output.contains("resized"))
            // Capacity data has changed (SPC-4, 5.14), once; then the new blocks are there.
            let told = try #require(session.read(lba: 0, blocks: 1))
            #expect(told.status == 2 && told.senseKey == 6 && told.additionalSense == 0x2a09)
            #expect(session.write(lba: beyond, [UInt8](repeating: 3, count: 512))?.status == 0)
            #expect(session.read(lba: beyond, blocks: 1)?.data == [UInt8](repeating: 3, count: 512))
            session.works(seed: 2)
            // Smaller again: refused, and nothing changes.
            _ = inventory(volumes: volume("a"))
            #expect(scene.storaged(["reload", "--socket", scene.path("control.sock")]).waitForEnd(seconds: 20) == 14)
            #expect(session.read(lba: beyond, blocks: 1)?.data == [UInt8](repeating: 3, count: 512))
            served.kill(SIGTERM)
        }

        private func status(_ path: String) -> stat? {
            var found = stat()
            return unsafe lstat(path, &found) == 0 ? found : nil
        }
    }
}
