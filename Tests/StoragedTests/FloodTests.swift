import Glibc
import Synchronization
import Testing

/// Reads and writes of a session that behaves, in a thread of its own, counted.
final class BackgroundIO: Sendable {
    private let rounds = Atomic<Int>(0)
    private let failures = Atomic<Int>(0)
    private let firstFailure = Mutex<String?>(nil)
    private let slowestMilliseconds = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let hasStopped = Atomic<Bool>(false)

    init(port: UInt16, targetName: String) {
        startThread { [self] in
            defer { hasStopped.store(true, ordering: .releasing) }
            guard
                let session = try? RawSession(
                    port: port, targetName: targetName, initiatorName: "iqn.2026-01.net.example:background")
            else { return }
            session.settle()
            var lba: UInt32 = 0
            while !isStopping.load(ordering: .relaxed) {
                let start = now()
                let data = [UInt8](repeating: UInt8(truncatingIfNeeded: lba), count: 4096)
                let written = session.write(lba: 40000 + lba % 1000 * 8, data)
                let got = session.read(lba: 40000 + lba % 1000 * 8, blocks: 8)
                if written?.status != 0 || got?.data != data {
                    failures.add(1, ordering: .relaxed)
                    firstFailure.withLock { first in
                        if first == nil { first = "write \(written?.status ?? 0xff), read \(got?.status ?? 0xff)" }
                    }
                }
                let milliseconds = Int((now() - start) * 1000)
                if milliseconds > slowestMilliseconds.load(ordering: .relaxed) {
                    slowestMilliseconds.store(milliseconds, ordering: .relaxed)
                }
                rounds.add(1, ordering: .relaxed)
                lba += 1
                usleep(2000)
            }
        }
    }

    /// Expects that it went on all the time, without an error and without a long wait; otherwise shows what `daemon`
    /// logged.
    func expectGoodService(_ daemon: DaemonProcess, sourceLocation: SourceLocation = #_sourceLocation) {
        // However busy the machine is, it has to get somewhere.
        #expect(eventually(seconds: 20) { rounds.load(ordering: .relaxed) > 20 }, sourceLocation: sourceLocation)
        isStopping.store(true, ordering: .relaxed)
        #expect(eventually(seconds: 25) { hasStopped.load(ordering: .acquiring) }, sourceLocation: sourceLocation)
        let first = firstFailure.withLock { $0 } ?? ""
        #expect(
            failures.load(ordering: .relaxed) == 0,
            "first failure: status of \(first); the daemon says: \(daemon.errors.suffix(3000))",
            sourceLocation: sourceLocation)
        let slowest = slowestMilliseconds.load(ordering: .relaxed)
        #expect(slowest < 3000, "a write and a read took \(slowest) ms", sourceLocation: sourceLocation)
    }
}

/// Starts a detached thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    let error = unsafe pthread_create(
        &thread, nil,
        { argument in
            unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, argument)
    precondition(error == 0)
    pthread_detach(thread)
}

/// Peers that want too much, or nothing at all.
extension StoragedTests {
    @Suite(.serialized) struct FloodTests {
        let scene = Scene()
        let export: Export

        init() throws {
            export = try scene.exporting()
            var limit = rlimit(rlim_cur: 0, rlim_max: 0)
            unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }

        private func background() -> BackgroundIO {
            BackgroundIO(port: export.port, targetName: export.targetName)
        }

        private func open(_ count: Int, from source: String) -> [RawConnection] {
            (0..<count).compactMap { _ in try? RawConnection(port: export.port, from: source) }
        }

        @Test func thousandsOfSilentConnections() throws {
            let background = background()
            let before = export.process.residentBytes
            var silent: [RawConnection] = []
            for address in 0..<30 { silent += open(100, from: "127.0.1.\(address)") }
            #expect(silent.count > 2000)
            // Connections before login are bounded in all (256 of them) and by address (64).
            #expect(eventually(seconds: 10) { export.process.descriptorCount < 400 })
            let grown = export.process.residentBytes - before
            #expect(grown < 64 << 20, "storaged grew by \(grown >> 20) MiB")
            // The login deadline (10 s) clears them away, and then anybody is welcome again.
            #expect(eventually(seconds: 20) { export.process.descriptorCount < 60 })
            let newcomer = try export.session("newcomer", from: "127.0.1.5")
            newcomer.settle()
            newcomer.works()
            background.expectGoodService(export.process)
            silent.removeAll()
        }

        @Test func oneAddressCannotTakeAllPlaces() throws {
            let silent = open(500, from: "127.0.2.1")
            usleep(300_000)
            // Another address logs in while the first one's share is used up.
            let other = try export.session("other", from: "127.0.2.2")
            other.settle()
            other.works()
            withExtendedLifetime(silent) {}
        }

        @Test func aByteASecond() throws {
            let background = background()
            let slow = open(40, from: "127.0.3.1")
            var login = RawLogin()
            login.keys = [
                "InitiatorName=iqn.2026-01.net.example:slow", "TargetName=\(export.targetName)", "SessionType=Normal",
            ]
            let bytes = login.pdu.bytes()
            // The deadline counts from accept; a byte now and then does not put it off.
            for second in 0..<13 {
                for connection in slow { connection.send([bytes[second]]) }
                sleep(1)
            }
            #expect(slow.allSatisfy { $0.closes(withinSeconds: 4) })
            background.expectGoodService(export.process)
        }

        @Test func aByteASecondInsideASession() throws {
            let background = background()
            let session = try export.session("slow")
            session.settle()
            let pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
            for byte in pdu.bytes() {
                session.connection.send([byte])
                usleep(100_000)
            }
            // Slow is not wrong.
            #expect(session.result(of: UInt32(pdu[16, 4]))?.status == 0)
            background.expectGoodService(export.process)
        }

        @Test func anInitiatorThatStopsReading() throws {
            let background = background()
            let before = export.process.residentBytes
            var deaf: [RawSession] = []
            for number in 0..<6 {
                let session = try RawSession(
                    port: export.port, targetName: export.targetName,
                    initiatorName: "iqn.2026-01.net.example:deaf\(number)", receiveBufferBytes: 4096)
                // A hundred reads of 1 MiB each, in the command window, and not one byte read.
                for _ in 0..<100 {
                    session.connection.send(session.command(RawSession.cdb(0x28, 0, 2048), reads: 1 << 20))
                }
                deaf.append(session)
            }
            var most = 0
            for _ in 0..<40 {
                usleep(100_000)
                most = max(most, export.process.residentBytes - before)
            }
            // 600 MiB are wanted; the payload pools bound what is in flight to 32 MiB a reactor.
            #expect(most < 160 << 20, "storaged grew by \(most >> 20) MiB")
            background.expectGoodService(export.process)
            // NOP-Ins that go unanswered end such a session: 15 s interval, 15 s timeout.
            #expect(eventually(seconds: 60) { export.process.descriptorCount < 60 && !scene.status().contains("deaf") })
        }

        @Test func commandsWithoutWaitingForTheWindow() throws {
            let background = background()
            let session = try export.session("eager")
            session.settle()
            // Ten thousand commands as fast as they go, window or not; answers are not read.
            var sent = 0
            for _ in 0..<10000 {
                var limit = timeval(tv_sec: 1, tv_usec: 0)
                unsafe setsockopt(
                    session.connection.descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit,
                    socklen_t(MemoryLayout<timeval>.size))
                guard session.connection.send(session.command(RawSession.cdb(0x28, 0, 8), reads: 4096)) else { break }
                sent += 1
            }
            #expect(sent > 100)
            background.expectGoodService(export.process)
        }

        @Test func writesThatNeverSendTheirData() throws {
            let background = background()
            let before = export.process.residentBytes
            var held: [RawSession] = []
            for number in 0..<20 {
                let session = try export.session("held\(number)")
                // A hundred writes of 256 KiB each, whose data is asked for and never comes.
                for _ in 0..<100 {
                    session.connection.send(session.command(RawSession.cdb(0x2a, 0, 512), writes: 512 * 512))
                }
                held.append(session)
            }
            sleep(2)
            let grown = export.process.residentBytes - before
            #expect(grown < 160 << 20, "storaged grew by \(grown >> 20) MiB")
            background.expectGoodService(export.process)
            withExtendedLifetime(held) {}
        }
    }
}
