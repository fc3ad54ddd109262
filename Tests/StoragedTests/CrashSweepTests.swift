import Glibc
import Testing

/// kill -9 at 200 random instants under writes and reservations.
extension StoragedTests {
    @Suite(.serialized) struct CrashSweepTests {
        let scene = Scene()
        let port = freePort()
        static let blocks = 64

        /// What a thing was last acknowledged to be, and what it was asked to become.
        private struct Value {
            var acknowledged: UInt64
            var issued: UInt64
            func allows(_ found: UInt64) -> Bool { found == acknowledged || found == issued }
            mutating func settle(_ found: UInt64) { (acknowledged, issued) = (found, found) }
        }

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

        private func number(_ bytes: some Sequence<UInt8>) -> UInt64 {
            bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }

        private func bytes(_ number: UInt64) -> [UInt8] {
            stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt64($0)) }
        }

        @Test func whatWasAcknowledgedIsThere() throws {
            let rounds = 200
            let seed = UInt64.random(in: 1...0xffff_ffff)
            var numbers = SeededNumbers(seed: seed)
            var blocks = [Value](repeating: Value(acknowledged: 0, issued: 0), count: Self.blocks)
            // The owner's key, and the reservation's type (0: none).
            var key = Value(acknowledged: 0, issued: 0)
            var type = Value(acknowledged: 0, issued: 0)
            var sequence: UInt64 = 0
            var writes = 0
            var changes = 0
            for round in 0...rounds {
                let label = "seed \(seed), round \(round)"
                let process = try start()
                let session = try RawSession(
                    port: port, targetName: "iqn.2026-01.net.example:r1:v0",
                    initiatorName: "iqn.2026-01.net.example:owner")
                session.settle()
                let keys = try #require(session.execute([0x5E, 0, 0, 0, 0, 0, 0, 1, 0, 0], reads: 256)?.data)
                let foundKey = keys.count > 8 ? number(keys[8...]) : 0
                #expect(key.allows(foundKey), "\(label): key \(foundKey), \(key)")
                key.settle(foundKey)
                let held = try #require(session.execute([0x5E, 1, 0, 0, 0, 0, 0, 1, 0, 0], reads: 256)?.data)
                let foundType = held.count > 21 ? UInt64(held[21] & 15) : 0
                #expect(type.allows(foundType), "\(label): type \(foundType), \(type)")
                type.settle(foundType)
                for block in blocks.indices {
                    let data = try #require(session.read(lba: UInt32(block * 8), blocks: 8)?.data)
                    let found = number(data)
                    #expect(blocks[block].allows(found), "\(label): block \(block) holds \(found), \(blocks[block])")
                    #expect(number(data[4088...]) == found, "\(label): block \(block) is torn")
                    blocks[block].settle(found)
                }
                if round == rounds {
                    process.kill(SIGTERM)
                    break
                }
                // The thread that kills; the loop below ends with the connection.
                let microseconds = UInt32.random(in: 1000...120_000, using: &numbers)
                let victim = process.processID
                startThread {
                    usleep(microseconds)
                    kill(victim, SIGKILL)
                }
                alive: while true {
                    sequence += 1
                    let choice = Int.random(in: 0..<10, using: &numbers)
                    if choice < 7 {
                        let block = Int.random(in: 0..<Self.blocks, using: &numbers)
                        blocks[block].issued = sequence
                        var data = [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: 4096)
                        data.replaceSubrange(0..<8, with: bytes(sequence))
                        data.replaceSubrange(4088..<4096, with: bytes(sequence))
                        guard session.write(lba: UInt32(block * 8), data)?.status == 0 else { break alive }
                        blocks[block].acknowledged = sequence
                        writes += 1
                    } else if choice < 9 || key.acknowledged == 0 {
                        key.issued = sequence
                        guard reserveOut(session, 6, key: 0, new: sequence) else { break alive }
                        key.acknowledged = sequence
                        changes += 1
                    } else {
                        let reserves = type.acknowledged == 0
                        type.issued = reserves ? 5 : 0
                        guard reserveOut(session, reserves ? 1 : 2, key: key.acknowledged, new: 0) else { break alive }
                        type.acknowledged = type.issued
                        changes += 1
                    }
                }
                process.kill(SIGKILL)
            }
            print(
                "crash sweep: \(rounds) kills, seed \(seed), \(writes) writes and \(changes) reservation changes acknowledged"
            )
            #expect(writes > rounds && changes > rounds / 2)
        }

        private func reserveOut(_ session: RawSession, _ action: UInt8, key: UInt64, new: UInt64) -> Bool {
            session.execute(
                [0x5F, action, 5, 0, 0, 0, 0, 0, 24, 0],
                writing: bytes(key) + bytes(new) + [UInt8](repeating: 0, count: 8))?.status == 0
        }
    }
}
