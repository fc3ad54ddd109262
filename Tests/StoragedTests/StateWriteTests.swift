import Glibc
import Testing

/// The daemon dies at every system call of a change of its state, and every one of them fails: what is found afterwards is
/// the old state or the new one, and which of them follows from whether the new file had its name yet. The calls are not
/// written down here: a run under strace says which they are.
extension StoragedTests {
    @Suite(.serialized) struct StateWriteTests {
        let scene = Scene()
        let port = freePort()
        static let strace = "/usr/bin/strace"

        /// One system call of the change, as strace counts them: the `ordinal`th of that name in its thread.
        private struct Call: CustomStringConvertible {
            var name: String
            var ordinal: Int
            var line: String
            var description: String { "\(name) number \(ordinal): \(line)" }
        }

        /// What strace is asked to look at: the new file and the folder, which nothing but a change touches.
        private func watching(_ state: String, _ file: String, log: String, inject: String? = nil) -> [String] {
            let calls = "mkdir,unlink,openat,fchmod,write,fsync,close,rename"
            return [Self.strace, "-D", "-f", "-qq", "-o", log, "-e", "signal=none", "-e", "trace=\(calls)"]
                + ["-P", "\(file).new", "-P", state] + (inject.map { ["-e", "inject=\($0)"] } ?? [])
        }

        private func start(_ state: String, prefix: [String] = []) throws -> DaemonProcess {
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
                ["run", "--rack", rack, "--host", "h0", "--state-directory", state], prefix: prefix)
        }

        private func session() throws -> RawSession {
            let session = try RawSession(
                port: port, targetName: "iqn.2026-01.net.example:r1:v0",
                initiatorName: "iqn.2026-01.net.example:owner")
            session.settle()
            return session
        }

        /// REGISTER AND IGNORE EXISTING KEY; its status, nil when the connection ended.
        private func register(_ session: RawSession, _ key: UInt8) -> UInt8? {
            let list = [UInt8](repeating: 0, count: 15) + [key] + [UInt8](repeating: 0, count: 8)
            return session.execute([0x5F, 6, 0, 0, 0, 0, 0, 0, 24, 0], writing: list)?.status
        }

        /// PRGENERATION and the key.
        private func found(_ session: RawSession) throws -> [UInt8] {
            let data = try #require(session.execute([0x5E, 0, 0, 0, 0, 0, 0, 1, 0, 0], reads: 256)?.data)
            return [data[3], data.count == 16 ? data[15] : 0]
        }

        private func reservationFile(in state: String) throws -> String {
            guard let folder = unsafe opendir(state) else { throw SceneError() }
            defer { unsafe closedir(folder) }
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name.hasPrefix("reservations-"), !name.hasSuffix(".new") { return "\(state)/\(name)" }
            }
            throw SceneError()
        }

        private func contents(_ path: String) -> String {
            let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = unsafe read(descriptor, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }

        /// The calls of a second change, found by looking at one.
        private func calls() throws -> (file: String, calls: [Call]) {
            try #require(unsafe access(Self.strace, X_OK) == 0, "strace is missing; Tests/run setup installs it")
            let state = scene.path("look")
            var daemon = try start(state)
            #expect(try register(session(), 1) == 0)
            let file = try reservationFile(in: state)
            daemon.kill(SIGTERM)
            let log = scene.path("look.strace")
            daemon = try start(state, prefix: watching(state, file, log: log))
            let owner = try session()
            let before = names(contents(log)).count
            #expect(register(owner, 2) == 0)
            daemon.kill(SIGTERM)
            let all = names(contents(log))
            #expect(before == 0, "something else touches them: \(all)")
            var counts: [String: Int] = [:]
            var calls: [Call] = []
            for entry in all {
                counts[entry.name, default: 0] += 1
                calls.append(Call(name: entry.name, ordinal: counts[entry.name] ?? 0, line: entry.line))
            }
            return (String(file.dropFirst(state.utf8.count)), calls)
        }

        /// `PID name(...) = result`, one a line.
        private func names(_ log: String) -> [(name: String, line: String)] {
            log.split(separator: "\n").compactMap { line in
                let text = line.drop { $0.isNumber || $0 == " " }
                guard let end = text.firstIndex(of: "("), text[..<end].allSatisfy(\.isLetter) else { return nil }
                return (String(text[..<end]), String(text))
            }
        }

        /// A daemon with a kept key of 1, under strace that disturbs one call, and what came of a change to 2.
        private func disturb(_ number: Int, _ file: String, _ inject: String) throws -> (state: String, status: UInt8?)
        {
            let state = scene.path("state\(number)")
            var daemon = try start(state)
            #expect(try register(session(), 1) == 0)
            daemon.kill(SIGTERM)
            daemon = try start(
                state, prefix: watching(state, state + file, log: scene.path("strace.log"), inject: inject))
            let status = try register(session(), 2)
            daemon.kill(SIGKILL)
            return (state, status)
        }

        @Test("killed at every system call of a change")
        func killed() throws {
            let (file, calls) = try calls()
            let names = calls.map(\.name)
            let renamed = try #require(names.firstIndex(of: "rename"))
            // Written, synced, renamed, and the folder synced, in this order.
            #expect(names.firstIndex(of: "write")! < names.firstIndex(of: "fsync")!)
            #expect(names.firstIndex(of: "fsync")! < renamed && names.lastIndex(of: "fsync")! > renamed)
            for (number, call) in calls.enumerated() {
                let (state, status) = try disturb(number, file, "\(call.name):signal=KILL:when=\(call.ordinal)")
                // The last call follows the last sync: by then the answer may have gone out.
                #expect(status == nil || number == calls.count - 1, "\(call): the daemon was not killed")
                let daemon = try start(state)
                let owner = try session()
                let isNew = number > renamed
                #expect(try found(owner) == (isNew ? [2, 2] : [1, 1]), "killed at \(call)")
                #expect(register(owner, 3) == 0, "killed at \(call)")
                #expect(try found(owner) == [isNew ? 3 : 2, 3])
                daemon.kill(SIGTERM)
            }
            print("state writes: killed at each of \(names)")
        }

        @Test("an error at every system call of a change")
        func failing() throws {
            let (file, calls) = try calls()
            let renamed = try #require(calls.firstIndex { $0.name == "rename" })
            // A close that fails changes nothing; a folder that is there already is what mkdir is expected to say.
            for (number, call) in calls.enumerated() where call.name != "close" {
                let (state, status) = try disturb(number, file, "\(call.name):error=EIO:when=\(call.ordinal)")
                #expect(status == 2, "an error at \(call) was answered with \(status ?? 255)")
                let daemon = try start(state)
                let owner = try session()
                let keys = try found(owner)
                // Behind the new name's place in the folder stands whichever of the two the medium kept.
                #expect(keys == [1, 1] || number > renamed && keys == [2, 2], "an error at \(call): \(keys)")
                #expect(register(owner, 3) == 0)
                daemon.kill(SIGTERM)
            }
        }
    }
}
