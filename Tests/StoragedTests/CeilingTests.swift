import Glibc
import Synchronization
import Testing

/// Logins of every kind as fast as they go, from several threads.
private final class LoginFlood: Sendable {
    private let running = Atomic<Int>(0)
    private let logins = Atomic<Int>(0)

    init(port: UInt16, targetName: String, threads: Int, seconds: Double) {
        for thread in 0..<threads {
            running.add(1, ordering: .relaxed)
            startThread { [self] in
                let end = now() + seconds
                var number = thread
                while now() < end {
                    Self.login(port, targetName, number)
                    number += threads
                    logins.add(1, ordering: .relaxed)
                }
                running.subtract(1, ordering: .releasing)
            }
        }
    }

    var isRunning: Bool { running.load(ordering: .acquiring) > 0 }
    var count: Int { logins.load(ordering: .relaxed) }

    /// A right login, a wrong target, a wrong name, half a request, garbage.
    private static func login(_ port: UInt16, _ targetName: String, _ number: Int) {
        guard let connection = try? RawConnection(port: port, from: "127.0.5.\(number % 200)") else { return }
        var login = RawLogin()
        login.isid[5] = UInt8(number % 7)
        login.keys = [
            "InitiatorName=\(number % 5 == 2 ? "no name" : "iqn.2026-01.net.example:flood")",
            "TargetName=\(targetName)\(number % 5 == 1 ? "x" : "")", "SessionType=Normal",
        ]
        var bytes = login.pdu.bytes()
        if number % 5 == 3 { bytes = Array(bytes[..<60]) }
        if number % 5 == 4 { bytes = bytes.map { $0 &* 7 &+ 3 } }
        guard connection.send(bytes), number % 5 != 3 else { return }
        _ = connection.receive(1)
    }
}

/// The printed ceilings hold.
extension StoragedTests {
    @Suite(.serialized) struct CeilingTests {
        let scene = Scene()

        private func allowDescriptors() {
            var limit = rlimit(rlim_cur: 0, rlim_max: 0)
            unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }

        private func inventory(_ port: UInt16, limits: String) -> String {
            scene.write(
                "rack.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
                clients:
                  - {name: background, address: 127.0.0.1, nodeID: 1, initiator: "iqn.2026-01.net.example:background"}
                  - {name: flood, address: 127.0.0.2, nodeID: 2, initiator: "iqn.2026-01.net.example:flood"}
                volumes: [{name: v0, size: 64MiB, path: \(scene.path("a.img")), hosts: [h0]}]
                limits: {\(limits)}
                """)
        }

        /// The ceiling that `storaged check` prints, in bytes.
        private func printedCeiling(_ rack: String) throws -> Int {
            let check = scene.storaged(["check", "--rack", rack, "--host", "h0"])
            #expect(check.waitForEnd(seconds: 20) == 0)
            let line = try #require(
                check.output.split(separator: "\n").first { $0.contains("memory of the whole daemon") })
            let words = line.split(separator: " ")
            let number = try #require(Double(words[words.count - 2]))
            let unit: Double = words.last == "GiB" ? 1_073_741_824 : 1_048_576
            return Int(number * unit)
        }

        @Test func fiveThousandIdleConnectionsAndALoginFlood() throws {
            allowDescriptors()
            let port = freePort()
            let rack = inventory(
                port,
                limits:
                    "connections: 6000, connectionsBeforeLogin: 5500, connectionsBeforeLoginPerAddress: 5500, loginSeconds: 60"
            )
            let ceiling = try printedCeiling(rack)
            let process = try scene.serving(["run", "--rack", rack, "--host", "h0"])
            let target = "iqn.2026-01.net.example:r1:v0"
            let background = BackgroundIO(port: port, targetName: target)
            var silent: [RawConnection] = []
            for address in 0..<50 {
                silent += (0..<100).compactMap { _ in try? RawConnection(port: port, from: "127.0.4.\(address)") }
            }
            #expect(silent.count == 5000)
            #expect(eventually(seconds: 20) { process.descriptorCount > 5000 })
            // And now everybody wants to log in at once: wrong names, wrong targets, half requests, reinstatements.
            let flood = LoginFlood(port: port, targetName: target, threads: 4, seconds: 8)
            var most = 0
            while flood.isRunning {
                most = max(most, process.residentBytes)
                usleep(50_000)
            }
            #expect(flood.count > 500)
            #expect(most > 0 && most < ceiling, "resident \(most >> 20) MiB, ceiling \(ceiling >> 20) MiB")
            background.expectGoodService(process)
            print("5,000 idle, \(flood.count) logins: \(most >> 20) of \(ceiling >> 20) MiB")
            silent.removeAll()
        }

        @Test func descriptorsRunOutAndComeBack() throws {
            let port = freePort()
            let rack = inventory(port, limits: "connections: 1000")
            let process = try scene.serving(
                ["run", "--rack", rack, "--host", "h0"], prefix: ["/usr/bin/prlimit", "--nofile=80:80"])
            #expect(process.errors.contains("LimitNOFILE="))
            var connections = (0..<150).compactMap { _ in try? RawConnection(port: port) }
            #expect(eventually(seconds: 20) { process.errors.contains("cannot accept a connection") })
            // It waits for descriptors and does not spin for them.
            let before = process.processorTicks
            sleep(2)
            #expect(process.processorTicks - before < 50)
            connections.removeAll()
            var session: RawSession?
            #expect(
                eventually(seconds: 20) {
                    session = try? RawSession(
                        port: port, targetName: "iqn.2026-01.net.example:r1:v0",
                        initiatorName: "iqn.2026-01.net.example:background")
                    return session != nil
                })
            session?.settle()
            session?.works()
        }
    }
}
