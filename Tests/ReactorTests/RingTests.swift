import Glibc
import Reactor
import Testing

private struct Empty: Error {}

@Suite struct RingTests {
    /// Waits for the completion of one token.
    private func result(of token: UInt64, in ring: inout Ring) -> Int32 {
        for _ in 0..<1_000 {
            ring.submitAndWait(timeoutNanoseconds: 10_000_000_000)
            while let completion = ring.nextCompletion() {
                if completion.token == token { return completion.result }
            }
        }
        return .min
    }

    @Test func writesReadsPunchesAndSynchronizesAFile() throws {
        var ring = try Ring(entries: 8)
        var pool = PayloadPool(totalBytes: 4 << 20)
        let file = unsafe open("/tmp", O_RDWR | 0o20200000, 0o600)  // O_TMPFILE
        defer { close(file) }
        guard let slot = pool.take(lengthBytes: 4096) else { throw Empty() }
        unsafe pool.address(of: slot).initializeMemory(as: UInt8.self, repeating: 0xA7, count: 4096)
        unsafe ring.write(
            file, from: pool.address(of: slot), lengthBytes: 4096, offset: 8192, toStableStorage: true, token: 1)
        #expect(result(of: 1, in: &ring) == 4096)
        unsafe pool.address(of: slot).initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        unsafe ring.read(file, into: pool.address(of: slot), lengthBytes: 4096, offset: 8192, token: 2)
        #expect(result(of: 2, in: &ring) == 4096)
        let written = unsafe pool.address(of: slot).load(fromByteOffset: 4095, as: UInt8.self)
        #expect(written == 0xA7)
        ring.synchronize(file, token: 3)
        #expect(result(of: 3, in: &ring) == 0)
        ring.punchHole(file, offset: 8192, lengthBytes: 4096, token: 4)
        #expect(result(of: 4, in: &ring) == 0)
        unsafe ring.read(file, into: pool.address(of: slot), lengthBytes: 4096, offset: 8192, token: 5)
        #expect(result(of: 5, in: &ring) == 4096)
        let punched = unsafe pool.address(of: slot).load(fromByteOffset: 4095, as: UInt8.self)
        #expect(punched == 0)
    }

    @Test func errorsComeBackAsNegatedErrnos() throws {
        var ring = try Ring(entries: 8)
        ring.synchronize(-1, token: 9)
        #expect(result(of: 9, in: &ring) == -EBADF)
    }

    @Test func moreSubmissionsThanEntriesAllComplete() throws {
        var ring = try Ring(entries: 4)
        for token in 0..<64 { ring.synchronize(-1, token: UInt64(token)) }
        var seen = Set<UInt64>()
        while seen.count < 64 {
            ring.submitAndWait(timeoutNanoseconds: 10_000_000_000)
            let before = seen.count
            while let completion = ring.nextCompletion() { seen.insert(completion.token) }
            try #require(seen.count > before)
        }
    }
}

@Suite struct PayloadPoolTests {
    @Test func slotsDoNotOverlapAndRunOut() throws {
        var pool = PayloadPool(totalBytes: 4 << 20)
        var slots: [(PayloadSlot, UInt)] = []
        // 1 MiB of 8 KiB slots, 1 MiB of 64 KiB, 2 MiB of 256 KiB: 128 + 16 + 8.
        while let slot = pool.take(lengthBytes: 1) {
            slots.append((slot, unsafe UInt(bitPattern: pool.address(of: slot))))
        }
        #expect(slots.count == 152)
        let (used, capacity) = (pool.bytesInUse, pool.capacityBytes)
        #expect(used == capacity)
        let starts = slots.map(\.1).sorted()
        #expect(zip(starts, starts.dropFirst()).allSatisfy { $1 - $0 >= 8 << 10 })
        for (slot, _) in slots { pool.release(slot) }
        let left = pool.bytesInUse
        #expect(left == 0)
        let tooLarge = pool.take(lengthBytes: PayloadPool.largestSlotBytes + 1)
        #expect(tooLarge == nil)
    }

    @Test func theLastReleasedIsTakenFirst() throws {
        var pool = PayloadPool(totalBytes: 4 << 20)
        guard let first = pool.take(lengthBytes: 4096) else { throw Empty() }
        pool.release(first)
        let second = pool.take(lengthBytes: 4096)
        #expect(second == first)
    }
}
