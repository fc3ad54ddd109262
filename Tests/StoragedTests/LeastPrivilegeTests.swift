import Glibc
import Testing

/// A user of its own, no capability, no new privileges.
extension StoragedTests {
    @Suite(.serialized) struct LeastPrivilegeTests {
        let scene = Scene()

        @Test func servesAsNobody() throws {
            let program = scene.path("storaged")
            #expect(scene.run("/usr/bin/cp", DaemonProcess.program, program) == 0)
            #expect(scene.run("/usr/bin/chown", "-R", "nobody", scene.folder) == 0)
            let port = freePort()
            let process = DaemonProcess(
                [
                    "/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs",
                    "--bounding-set=-all", "--inh-caps=-all", program, "export", scene.path("a.img"), "--size", "64MiB",
                    "--portal", "127.0.0.1:\(port)", "--socket", scene.path("control.sock"),
                ], errorsTo: scene.path("errors"), outputTo: scene.path("output"))
            defer { process.kill(SIGKILL) }
            #expect(eventually(seconds: 20) { process.output.contains("on a client") })
            let target = try #require(process.output.split(separator: " ").first { $0.hasPrefix("iqn.") })
            let session = try RawSession(
                port: port, targetName: String(target), initiatorName: "iqn.2026-01.net.example:good")
            session.settle()
            session.works()
            // Root may ask; the socket is its owner's alone.
            #expect(scene.status().contains("\"health\" : \"OK\""))
            var found = stat()
            #expect(unsafe stat(scene.path("control.sock"), &found) == 0)
            #expect(found.st_mode & 0o777 == 0o600)
            process.kill(SIGTERM)
        }

        @Test func theUnitIsHardened() throws {
            let rack = scene.write(
                "rack.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1}]}]
                volumes:
                  - {name: v0, size: 64MiB, path: /srv/storage/v0.img, hosts: [h0]}
                  - {name: v1, size: 64MiB, path: /srv/storage/v1.img, hosts: [h0]}
                """)
            let unit = scene.storaged(["unit", "--rack", rack, "--host", "h0"])
            #expect(unit.waitForEnd(seconds: 20) == 0)
            #expect(unit.output.contains("ReadWritePaths=/srv/storage\n"))
            let file = scene.write("storaged.service", unit.output)
            // In tenths: 1.5 of 10, where tgt's and iscsid's units have 9.5.
            #expect(
                scene.run("/usr/bin/systemd-analyze", "security", "--offline=true", "--threshold=15", file) == 0)
            let device = scene.write(
                "device.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: 860}]}]
                volumes: [{name: v0, size: 64MiB, path: /dev/disk/by-id/x, hosts: [h0]}]
                """)
            let other = scene.storaged(["unit", "--rack", device, "--host", "h0"])
            #expect(other.waitForEnd(seconds: 20) == 0)
            #expect(other.output.contains("DeviceAllow=/dev/disk/by-id/x rw"))
            #expect(other.output.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"))
        }
    }
}
