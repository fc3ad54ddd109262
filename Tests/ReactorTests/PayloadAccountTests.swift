import Reactor
import Testing

/// The shares that logical units have of the payload memory.
@Suite struct PayloadAccountTests {
    private func drain(_ pool: inout PayloadPool, _ account: PayloadAccount, _ lengthBytes: Int) -> [PayloadSlot] {
        var slots: [PayloadSlot] = []
        while let slot = pool.take(lengthBytes: lengthBytes, for: account) { slots.append(slot) }
        return slots
    }

    @Test(arguments: [4096, 65536, 262_144])
    func aGreedyOneLeavesSlotsOfEverySize(_ lengthBytes: Int) {
        // 1024 slots of 8 KiB, 128 of 64 KiB, 64 of 256 KiB.
        var pool = PayloadPool(totalBytes: 32 << 20)
        let greedy = [pool.openAccount(), pool.openAccount(), pool.openAccount()]
        var all: [PayloadSlot] = []
        for account in greedy {
            let slots = drain(&pool, account, lengthBytes)
            #expect(!slots.isEmpty)
            all += slots
        }
        let other = pool.openAccount()
        for size in [4096, 65536, 262_144] {
            let slot = pool.take(lengthBytes: size, for: other)
            #expect(slot != nil, "\(size) bytes")
            if let slot { all.append(slot) }
        }
        for slot in all { pool.release(slot) }
        let left = pool.bytesInUse
        #expect(left == 0)
    }

    @Test func theShareComesBack() {
        var pool = PayloadPool(totalBytes: 32 << 20)
        let account = pool.openAccount()
        let first = drain(&pool, account, 262_144)
        #expect(first.count == 32)
        for slot in first { pool.release(slot) }
        let second = drain(&pool, account, 262_144)
        #expect(second.count == 32)
        for slot in second { pool.release(slot) }
        pool.closeAccount(account)
        let again = pool.openAccount()
        #expect(again == account)
    }

    @Test(arguments: [2 << 20, 4 << 20, 32 << 20])
    func aUnitThatHoldsAllItMayLeavesBothKindsToTheNext(_ totalBytes: Int) {
        var pool = PayloadPool(totalBytes: totalBytes)
        let (greedy, other) = (pool.openAccount(), pool.openAccount())
        while pool.takeSparing(lengthBytes: 262_144, for: greedy) != nil {}
        while pool.take(lengthBytes: 262_144, for: greedy) != nil {}
        let waits = pool.takeSparing(lengthBytes: 262_144, for: other)
        // The smallest pool has four slots of that size: one is all that is left of them.
        #expect((waits != nil) == (totalBytes > 2 << 20))
        let comes = pool.take(lengthBytes: 262_144, for: other)
        #expect(comes != nil)
    }

    @Test func whatCanWaitLeavesRoomForWhatIsOnItsWay() {
        var pool = PayloadPool(totalBytes: 32 << 20)
        let account = pool.openAccount()
        while pool.takeSparing(lengthBytes: 262_144, for: account) != nil {}
        let slot = pool.take(lengthBytes: 262_144, for: account)
        #expect(slot != nil)
    }

    @Test func anAccountInUseIsNotGivenAgain() {
        var pool = PayloadPool(totalBytes: 32 << 20)
        let account = pool.openAccount()
        let slot = pool.take(lengthBytes: 4096, for: account)
        #expect(slot != nil)
        pool.closeAccount(account)
        let next = pool.openAccount()
        #expect(next != account)
    }
}
