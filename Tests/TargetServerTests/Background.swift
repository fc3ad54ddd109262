import Dispatch
import Synchronization

/// Work on a thread of its own, beside a test.
final class Background: Sendable {
    private let done = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () -> Void) {
        let done = done
        DispatchQueue.global().async {
            body()
            done.signal()
        }
    }

    func wait() { done.wait() }
}

/// Writes and reads on a session of its own until it is stopped.
final class Load: Sendable {
    private final class Progress: Sendable {
        let isStopped = Atomic<Bool>(false)
        let rounds = Atomic<Int>(0)
        let failures = Atomic<Int>(0)
    }

    private let progress = Progress()
    private let background: Background

    init(port: UInt16, target: String) {
        let progress = progress
        background = Background {
            guard let session = try? TestSession(port: port, target: target, isid: 77) else {
                progress.failures.add(1, ordering: .relaxed)
                return
            }
            session.settle()
            var seed: UInt8 = 0
            while !progress.isStopped.load(ordering: .relaxed) {
                seed &+= 1
                let works = session.works(block: 100_000, bytes: 4096, seed: seed)
                guard works else {
                    progress.failures.add(1, ordering: .relaxed)
                    return
                }
                progress.rounds.add(1, ordering: .relaxed)
            }
        }
    }

    /// Whether more rounds end well from now on.
    func goesOn() -> Bool {
        let before = progress.rounds.load(ordering: .relaxed)
        return eventually { progress.rounds.load(ordering: .relaxed) > before + 2 }
    }

    /// Ends it; whether nothing failed.
    func stop() -> Bool {
        progress.isStopped.store(true, ordering: .relaxed)
        background.wait()
        return progress.failures.load(ordering: .relaxed) == 0
    }
}

/// A session of its own that begins many writes before the first of them has ended, on a thread of its own.
final class Writer: Sendable {
    private final class Count: Sendable {
        let good = Atomic<Int>(0)
    }

    private let count = Count()
    private let background: Background

    /// Writes `data` to `writes` places one after the other.
    init(port: UInt16, target: String, isid: UInt64, _ data: [UInt8], writes: Int, firstBlock: UInt64) {
        let count = count
        background = Background {
            guard let session = try? TestSession(port: port, target: target, isid: isid) else { return }
            session.settle()
            let blocks = UInt32(data.count / 512)
            let immediate = Array(data[..<min(data.count, session.parameters.firstBurstLength)])
            let tags = (0..<writes).map { number in
                session.begin(
                    CDB.write16(firstBlock + UInt64(number) * UInt64(blocks), blocks), writes: data.count,
                    immediate: immediate)
            }
            for outcome in session.finishAll(Set(tags), writing: data) where outcome.isGood {
                count.good.add(1, ordering: .relaxed)
            }
        }
    }

    /// Waits for the end; how many ended well.
    func goodWrites() -> Int {
        background.wait()
        return count.good.load(ordering: .relaxed)
    }
}
