import Glibc
import Testing

/// `storaged fault`, as its users see it.
extension StoragedTests {
    @Suite(.serialized) struct FaultTests {
        let scene = Scene()

        private func exporting() throws -> Export { try scene.exporting(more: ["--allow-faults"]) }

        private static let testUnitReady: [UInt8] = [0, 0, 0, 0, 0, 0]

        @Test func nobodyInjectsFaultsWhereTheyAreNotAllowed() throws {
            let export = try scene.exporting()
            let refused = scene.fault("add", "--drop")
            #expect(refused.code == 10)
            #expect(refused.errors.contains("--allow-faults") && refused.errors.contains("faultInjection: true"))
            let session = try export.session()
            session.settle()
            session.works()
            #expect(scene.fault("list").output == "no fault rules\n")
        }

        @Test(arguments: [
            ["add"], ["add", "--drop", "--corrupt-digest"], ["add", "--delay", "soon"], ["add", "--sense", "03"],
            ["add", "--status", "good"], ["add", "--drop", "--probability", "0"],
            ["add", "--drop", "--probability", "nan"], ["add", "--drop", "--count", "0"],
            ["add", "--drop", "--commands", "some"], ["add", "--drop", "--portal", "::::"], ["clear", "one"],
        ])
        func usage(_ arguments: [String]) { #expect(scene.fault(arguments).code == 64) }

        @Test func whatIsNotThereIsNamed() throws {
            _ = try exporting()
            #expect(scene.fault("add", "--drop", "--volume", "b").code == 12)
            #expect(scene.fault("add", "--drop", "--portal", "127.0.0.9").code == 12)
            #expect(scene.fault("clear", "7").code == 12)
        }

        @Test func senseAsGivenSoOftenAsGiven() throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            let arguments = ["--volume", "a", "--commands", "read", "--sense", "03/11/00", "--count", "2"]
            #expect(scene.fault(["add"] + arguments).code == 0)
            #expect(scene.statusCode() == 1)
            #expect(session.write(lba: 0, [UInt8](repeating: 1, count: 512))?.status == 0)
            for _ in 0..<2 {
                let result = session.read(lba: 0, blocks: 1)
                #expect(result?.status == 2 && result?.senseKey == 3 && result?.additionalSense == 0x1100)
                #expect(result?.data == [])
            }
            #expect(session.read(lba: 0, blocks: 1)?.data == [UInt8](repeating: 1, count: 512))
            let list = scene.fault("list").output
            #expect(list.contains("2 of 2 injected") && list.contains("spent"), "\(list)")
            // A rule that cannot strike any more is nothing to warn of.
            #expect(scene.statusCode() == 0)
            session.works()
        }

        @Test(arguments: [("busy", UInt8(0x08)), ("task-set-full", 0x28)])
        func statuses(_ word: String, _ status: UInt8) throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            let number = scene.fault("add", "--status", word).number
            #expect(session.execute(Self.testUnitReady)?.status == status)
            #expect(session.read(lba: 0, blocks: 8)?.status == status)
            // Data that comes with the command is dropped; data that would be asked for is not asked for.
            #expect(session.write(lba: 0, [UInt8](repeating: 9, count: 4096))?.status == status)
            let large = session.command(RawSession.cdb(0x2a, 0, 512), writes: 262_144)
            session.connection.send(large)
            #expect(session.result(of: UInt32(large[16, 4]))?.status == status)
            #expect(scene.fault("clear", "\(number)").code == 0)
            #expect(session.read(lba: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
            session.works()
        }

        @Test func theConnectionIsDropped() throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            #expect(scene.fault("add", "--commands", "write", "--drop", "--count", "1").code == 0)
            session.connection.send(
                session.command(
                    RawSession.cdb(0x2a, 0, 8), writes: 4096, immediate: [UInt8](repeating: 9, count: 4096)))
            #expect(session.connection.closes(withinSeconds: 20))
            let again = try export.session()
            again.settle()
            #expect(again.read(lba: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
            again.works()
            #expect(!export.process.hasEnded)
        }

        @Test func rulesNameInitiatorAndPortal() throws {
            let export = try exporting()
            let (session, other) = (try export.session(), try export.session("other"))
            session.settle()
            other.settle()
            let rule = ["--status", "busy", "--initiator", "iqn.2026-01.NET.example:other"]
            #expect(scene.fault(["add"] + rule).code == 0)
            #expect(other.execute(Self.testUnitReady)?.status == 8)
            #expect(session.execute(Self.testUnitReady)?.status == 0)
            #expect(scene.fault("clear").code == 0)
            // Both sessions came through the first portal.
            #expect(scene.fault("add", "--status", "busy", "--portal", "127.0.0.2:\(export.port)").code == 0)
            #expect(session.execute(Self.testUnitReady)?.status == 0)
            #expect(scene.fault("add", "--status", "busy", "--portal", "127.0.0.1:\(export.port)").code == 0)
            #expect(session.execute(Self.testUnitReady)?.status == 8)
        }

        @Test func theSameSeedStrikesTheSameCommands() throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            func drill(_ seed: Int) -> [Bool] {
                let rule = ["--commands", "read", "--status", "busy", "--probability", "0.3", "--count", "20"]
                let number = scene.fault(["add"] + rule + ["--seed", "\(seed)"]).number
                let struck = (0..<200).map { _ in session.read(lba: 0, blocks: 1)?.status == 8 }
                #expect(scene.fault("clear", "\(number)").output.contains("20 of 20 injected"))
                return struck
            }
            let first = drill(7)
            #expect(first.count { $0 } == 20)
            #expect(drill(7) == first)
            #expect(drill(8) != first)
        }

        @Test(arguments: [(true, true), (true, false), (false, true)])
        func aDigestIsWrongOnce(_ header: Bool, _ data: Bool) throws {
            let export = try exporting()
            let digests = Digests(header: header, data: data)
            let session = try RawSession(
                port: export.port, targetName: export.targetName, initiatorName: "iqn.2026-01.net.example:good",
                digests: digests)
            session.settle()
            #expect(scene.fault("add", "--commands", "read", "--corrupt-digest", "--count", "1").code == 0)
            session.connection.send(session.command(RawSession.cdb(0x28, 0, 8), reads: 4096))
            let wire = session.connection
            let head = try #require(wire.receive(48))
            #expect(head[0] == 0x25)
            var right: [Bool] = []
            if header { right.append(wire.receive(4) == crc32c(head)) }
            let body = try #require(wire.receive(4096))
            if data { right.append(wire.receive(4) == crc32c(body)) }
            // That of the data where there is one, and only that.
            #expect(right == (header && data ? [true, false] : [false]))
            #expect(body == [UInt8](repeating: 0, count: 4096))
            session.works()
        }

        @Test func whatHasNoDigestIsNotStruck() throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            #expect(scene.fault("add", "--corrupt-digest").code == 0)
            session.works()
            #expect(scene.fault("list").output.contains("0 injected  0 matched"))
        }

        @Test func portGroupsFlip() throws {
            let export = try exporting()
            let session = try export.session()
            session.settle()
            #expect(scene.fault("add", "--commands", "write", "--alua", "standby", "--count", "2").code == 0)
            func flip(_ value: UInt8) {
                // The command that flips is still carried out; those after it hear of it.
                #expect(session.write(lba: 0, [UInt8](repeating: value, count: 512))?.status == 0)
                #expect(
                    eventually(seconds: 20) { session.execute(Self.testUnitReady)?.additionalSense == 0x2a06 },
                    "ASYMMETRIC ACCESS STATE CHANGED")
            }
            flip(1)
            let refused = session.read(lba: 0, blocks: 1)
            // NOT READY, TARGET PORT IN STANDBY STATE.
            #expect(refused?.senseKey == 2 && refused?.additionalSense == 0x040b)
            #expect(scene.statusCode() == 1)
            // A write flips it back, even though it is refused itself.
            let back = session.write(lba: 0, [UInt8](repeating: 2, count: 512))
            #expect(back?.senseKey == 2 && back?.additionalSense == 0x040b)
            #expect(eventually(seconds: 20) { session.read(lba: 0, blocks: 1)?.data.first == 1 })
            // Spent, but a state may still be flipped: the drill is over when the rule is cleared.
            #expect(scene.statusCode() == 1)
            #expect(scene.fault("clear").code == 0)
            session.settle()
            #expect(scene.fault("add", "--commands", "write", "--alua", "unavailable", "--count", "1").code == 0)
            flip(3)
            #expect(session.read(lba: 0, blocks: 1)?.additionalSense == 0x040c)
            #expect(scene.fault("clear").code == 0)
            session.settle()
            #expect(session.read(lba: 0, blocks: 1)?.data.first == 3)
            #expect(scene.statusCode() == 0)
            session.works()
        }

        @Test func hostileRequests() throws {
            let export = try exporting()
            func rule(_ more: String, effect: String = "\"drop\"") -> String {
                "{\"request\":\"fault-add\",\"fault\":{\"commands\":\"all\",\"effect\":\(effect),\(more)}}"
            }
            let plain = "\"probability\":1,\"seed\":1"
            let lines = [
                "{\"request\":\"fault-add\"}", "{\"request\":\"fault-add\",\"fault\":null}",
                "{\"request\":\"fault-add\",\"fault\":[]}", "{\"request\":\"fault-add\",\"fault\":{}}",
                rule("\"probability\":1"), rule("\"probability\":0,\"seed\":1"), rule("\"probability\":-1,\"seed\":1"),
                rule("\"probability\":1e999,\"seed\":1"), rule("\"probability\":\"1\",\"seed\":1"),
                rule("\"probability\":NaN,\"seed\":1"), rule("\"probability\":2,\"seed\":1"),
                rule("\"probability\":1,\"seed\":-1"), rule("\(plain)e30"),
                rule("\(plain),\"count\":0"), rule("\(plain),\"count\":-5"),
                rule("\(plain),\"count\":1e40"), rule("\(plain),\"volume\":\"\""),
                rule("\(plain),\"volume\":\"b\""),
                rule("\(plain),\"initiator\":\"\(String(repeating: "x", count: 3000))\""),
                rule(plain, effect: "\"delay=99h\""),
                rule(plain, effect: "\"delay=-1s\""),
                rule(plain, effect: "\"sense=00/00/00\""),
                rule(plain, effect: "{\"drop\":{}}"),
                rule(plain, effect: String(repeating: "[", count: 3000)),
                "{\"request\":\"fault-clear\",\"faults\":[1e99]}", "{\"request\":\"fault-clear\",\"faults\":\"all\"}",
                "{\"request\":\"fault-clear\",\"faults\":[\(String(repeating: "9,", count: 1500))9]}",
            ]
            for line in lines {
                let answer = scene.ask(line)
                #expect(answer.contains("\"failure\"") || answer.contains("\"faults\":[]"), "\(line): \(answer)")
            }
            // Rules are bounded in number.
            for _ in 0..<70 { _ = scene.ask(rule("\(plain),\"initiator\":\"nobody\"")) }
            #expect(scene.fault("list").output.split(separator: "\n").count == 64)
            #expect(scene.fault("clear").code == 0)
            let session = try export.session()
            session.settle()
            session.works()
        }

        private func inventory(_ port: UInt16, faults: Bool) -> String {
            scene.write(
                "rack.yaml",
                """
                rack: r1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}]
                hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: \(port)}]}]
                volumes: [{name: v0, size: 64MiB, path: \(scene.path("a.img")), hosts: [h0]}]
                faultInjection: \(faults)
                """)
        }

        @Test func theInventoryAllowsAndForbids() throws {
            let port = freePort()
            let rack = inventory(port, faults: true)
            let process = try scene.serving(["run", "--rack", rack, "--host", "h0"])
            let export = Export(process: process, port: port, targetName: "iqn.2026-01.net.example:r1:v0")
            let session = try export.session()
            session.settle()
            #expect(scene.fault("add", "--volume", "v0", "--commands", "read", "--status", "busy").code == 0)
            #expect(scene.fault("add", "--volume", "v0", "--commands", "write", "--delay", "1h").code == 0)
            let write = session.command(
                RawSession.cdb(0x2a, 0, 1), writes: 512, immediate: [UInt8](repeating: 5, count: 512))
            session.connection.send(write)
            process.signal(SIGHUP)
            #expect(eventually(seconds: 20) { process.errors.contains("inventory applied") })
            #expect(session.read(lba: 0, blocks: 1)?.status == 8)
            _ = inventory(port, faults: false)
            let reload = scene.storaged(["reload", "--socket", scene.path("control.sock")])
            #expect(reload.waitForEnd(seconds: 20) == 0)
            #expect(reload.output.contains("fault rule 1 cleared"), "\(reload.output)")
            // What was held back goes on.
            #expect(session.result(of: UInt32(write[16, 4]))?.status == 0)
            #expect(session.read(lba: 0, blocks: 1)?.data == [UInt8](repeating: 5, count: 512))
            #expect(scene.fault("add", "--drop").code == 10)
            #expect(scene.statusCode() == 0)
        }
    }
}

extension Scene {
    struct FaultResult {
        var code: Int32
        var output: String
        var errors: String
        /// The number of the rule that was added.
        var number: Int { output.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? -1 }
    }

    /// `storaged fault` with these arguments.
    func fault(_ arguments: String...) -> FaultResult { fault(arguments) }

    func fault(_ arguments: [String]) -> FaultResult {
        let process = storaged(["fault"] + arguments + ["--socket", path("control.sock")])
        let code = process.waitForEnd(seconds: 20) ?? -1
        return FaultResult(code: code, output: process.output, errors: process.errors)
    }

    /// The answer to a line on the control socket.
    func ask(_ line: String) -> String {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(path("control.sock").utf8)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { return "not connected" }
        let bytes = Array((line + "\n").utf8)
        guard unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return "not sent" }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
            answer += chunk[..<count]
        }
    }

    /// The exit code of `storaged status`.
    func statusCode() -> Int32 {
        storaged(["status", "--socket", path("control.sock")]).waitForEnd(seconds: 20) ?? -1
    }
}
