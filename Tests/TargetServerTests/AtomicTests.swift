import ISCSI
import Synchronization
import TargetServer
import Testing

/// COMPARE AND WRITE and ORWRITE over sockets: alone, and beside what other sessions do to the unit.
@Suite struct AtomicTests {
    private static func session(_ host: Host, isid: UInt64 = 1) throws -> TestSession {
        let session = try TestSession(port: host.port, target: host.target, isid: isid)
        session.settle()
        return session
    }

    // MARK: One at a time

    @Test func comparesAndWrites() throws {
        let host = try Host()
        let session = try Self.session(host)
        let (old, new) = (pattern(3 * 512, seed: 1), pattern(3 * 512, seed: 2))
        #expect(session.write(block: 10, old)?.isGood == true)
        #expect(session.execute(CDB.compareAndWrite(10, 3), writing: old + new)?.isGood == true)
        #expect(session.read(block: 10, blocks: 3)?.data == new)
        #expect(session.read(block: 13, blocks: 1)?.data == [UInt8](repeating: 0, count: 512))
        // The largest there is: its data comes in several bursts.
        let large = pattern(255 * 512, seed: 3)
        let zero = [UInt8](repeating: 0, count: 255 * 512)
        #expect(session.execute(CDB.compareAndWrite(1000, 255), writing: zero + large)?.isGood == true)
        #expect(session.read(block: 1000, blocks: 255)?.data == large)
        #expect(host.payloadBytes == 0)
    }

    @Test func whatDiffersIsNotWritten() throws {
        let host = try Host()
        let session = try Self.session(host)
        let old = pattern(2 * 512, seed: 1)
        #expect(session.write(block: 0, old)?.isGood == true)
        var other = old
        other[700] ^= 1
        let outcome = try #require(
            session.execute(CDB.compareAndWrite(0, 2), writing: other + pattern(1024, seed: 9)))
        #expect(outcome.status == 2 && outcome.senseKey == 0x0e && outcome.additionalSense == 0x1d00)
        #expect(outcome.sense[0] == 0xf0, "INFORMATION is valid")
        #expect(Array(outcome.sense[3..<7]) == [0, 0, 0x02, 0xbc], "700, the first byte that differs")
        #expect(session.read(block: 0, blocks: 2)?.data == old)
        #expect(session.works(block: 5000))
        #expect(host.payloadBytes == 0)
    }

    @Test func lessDataThanTwiceTheBlocksIsRefused() throws {
        let host = try Host()
        let session = try Self.session(host)
        let outcome = try #require(session.execute(CDB.compareAndWrite(0, 2), writing: pattern(3 * 512)))
        #expect(outcome.status == 2 && outcome.senseKey == 5 && outcome.additionalSense == 0x2400)
        #expect(session.read(block: 0, blocks: 2)?.data == [UInt8](repeating: 0, count: 1024))
        #expect(session.execute(CDB.compareAndWrite(0, 0))?.isGood == true)
        #expect(host.payloadBytes == 0)
    }

    @Test func orsIntoTheMedium() throws {
        let host = try Host()
        let session = try Self.session(host)
        let (old, more) = (pattern(8 * 512, seed: 4), pattern(8 * 512, seed: 7))
        #expect(session.write(block: 64, old)?.isGood == true)
        #expect(session.execute(CDB.orWrite16(64, 8), writing: more)?.isGood == true)
        #expect(session.read(block: 64, blocks: 8)?.data == zip(old, more).map { $0 | $1 })
        #expect(host.payloadBytes == 0)
    }

    /// One that waits for the unit, or has it, goes with its connection, and the unit is free for others.
    @Test func aCutConnectionLeavesTheUnitFree() throws {
        let host = try Host()
        let other = try Self.session(host, isid: 2)
        for round in 0..<20 {
            let session = try Self.session(host, isid: UInt64(100 + round))
            let data = [UInt8](repeating: 0, count: 512) + pattern(512)
            for _ in 0..<8 { _ = session.begin(CDB.compareAndWrite(7, 1), writes: 1024, immediate: data) }
            session.wire.disconnect()
            #expect(other.works(block: 9000, seed: UInt8(round)))
            let seen = try #require(other.read(block: 20, blocks: 1)).data
            #expect(
                other.execute(CDB.compareAndWrite(20, 1), writing: seen + pattern(512, seed: UInt8(round)))?.isGood
                    == true)
        }
        #expect(eventually { host.payloadBytes == 0 })
    }

    /// Aborts race with the gate: whatever comes first, the unit answers afterwards.
    @Test func abortedOnesLeaveTheUnitFree() throws {
        let host = try Host()
        let session = try Self.session(host)
        let data = [UInt8](repeating: 0, count: 512) + pattern(512)
        for round in 0..<20 {
            for _ in 0..<6 { _ = session.begin(CDB.compareAndWrite(7, 1), writes: 1024, immediate: data) }
            #expect(session.manage(.abortTaskSet) == .functionComplete)
            session.settle()
            #expect(session.works(block: 9000, seed: UInt8(round)))
        }
        #expect(eventually { host.payloadBytes == 0 })
    }

    // MARK: Beside each other

    /// Counters as a clustered file system keeps them: every session reads, adds one, and compares and writes until it was
    /// the one. No increment may be lost, and a reader never sees half of an old value and half of a new one.
    @Test func countersLoseNothingAndNoReadIsTorn() throws {
        let host = try Host(portals: 2) { $0.reactors = 3 }
        let increments = 60
        let blocks: UInt32 = 24
        let (target, ports) = (host.target, host.configuration.portals.map(\.port))
        let shared = Progress()
        let incrementers = (0..<4).map { number in
            Background {
                guard let session = try? TestSession(port: ports[number % 2], target: target, isid: UInt64(10 + number))
                else { return shared.failures.count() }
                session.settle()
                var done = 0
                while done < increments {
                    guard let seen = session.read(block: 50, blocks: blocks), seen.isGood else {
                        return shared.failures.count()
                    }
                    guard let value = Self.value(seen.data) else { return shared.torn.count() }
                    let outcome = session.execute(
                        CDB.compareAndWrite(50, UInt8(blocks)),
                        writing: seen.data + Self.counter(value + 1, blocks: Int(blocks)))
                    guard let outcome else { return shared.failures.count() }
                    if outcome.isGood { done += 1 } else if outcome.senseKey != 0x0e { return shared.failures.count() }
                }
            }
        }
        let readers = (0..<2).map { number in
            Background {
                guard let session = try? TestSession(port: ports[number], target: target, isid: UInt64(30 + number))
                else { return shared.failures.count() }
                session.settle()
                while !shared.isStopped.load(ordering: .relaxed) {
                    // A read of several block requests around the counter.
                    guard let seen = session.read(block: 0, blocks: 1200), seen.isGood else {
                        return shared.failures.count()
                    }
                    if Self.value(Array(seen.data[(50 * 512)..<((50 + Int(blocks)) * 512)])) == nil {
                        shared.torn.count()
                    }
                    shared.reads.count()
                }
            }
        }
        let load = Load(port: host.port, target: host.target)
        for incrementer in incrementers { incrementer.wait() }
        #expect(load.stop())
        shared.isStopped.store(true, ordering: .relaxed)
        for reader in readers { reader.wait() }
        #expect(shared.torn.load(ordering: .relaxed) == 0)
        #expect(shared.failures.load(ordering: .relaxed) == 0)
        #expect(shared.reads.load(ordering: .relaxed) > 0)
        let session = try Self.session(host)
        let last = try #require(session.read(block: 50, blocks: blocks))
        #expect(Self.value(last.data) == UInt64(4 * increments))
        #expect(eventually { host.payloadBytes == 0 })
    }

    /// ORWRITE of single bits from several sessions: every bit is there in the end.
    @Test func bitsLoseNothing() throws {
        let host = try Host(portals: 2)
        let (target, ports) = (host.target, host.configuration.portals.map(\.port))
        let workers = (0..<4).map { number in
            Background {
                guard let session = try? TestSession(port: ports[number % 2], target: target, isid: UInt64(10 + number))
                else { return }
                session.settle()
                for byte in 0..<64 {
                    var data = [UInt8](repeating: 0, count: 512)
                    data[byte] = 1 << UInt8(number)
                    _ = session.execute(CDB.orWrite16(3, 1), writing: data)
                }
            }
        }
        for worker in workers { worker.wait() }
        let session = try Self.session(host)
        let seen = try #require(session.read(block: 3, blocks: 1)).data
        #expect(Array(seen[..<64]) == [UInt8](repeating: 0x0f, count: 64))
    }

    private final class Progress: Sendable {
        let torn = Atomic<Int>(0)
        let failures = Atomic<Int>(0)
        let reads = Atomic<Int>(0)
        let isStopped = Atomic<Bool>(false)
    }

    /// The value in every eight bytes, nil when they differ.
    private static func value(_ data: [UInt8]) -> UInt64? {
        let first = Array(data[..<8])
        for offset in stride(from: 8, to: data.count, by: 8) where Array(data[offset..<offset + 8]) != first {
            return nil
        }
        return first.reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func counter(_ value: UInt64, blocks: Int) -> [UInt8] {
        let word = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
        return (0..<blocks * 64).flatMap { _ in word }
    }
}

extension Atomic where Value == Int {
    fileprivate borrowing func count() { add(1, ordering: .relaxed) }
}
