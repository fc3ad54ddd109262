import Glibc

/// A buffer of the pool. It stays the caller's until it is released; zero-cost to copy, so release it once.
public struct PayloadSlot: BitwiseCopyable, Sendable, Equatable {
    /// The slot as a number, for those who pass it on: class in the top 2 bits, index below.
    public let rawValue: UInt32

    /// The slot that `rawValue` names.
    @inline(__always) public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Stands for no slot.
    public static let none = PayloadSlot(rawValue: UInt32.max)
    /// Whether this is `none`.
    @inline(__always) public var isNone: Bool { rawValue == UInt32.max }
    /// Its length in bytes.
    @inline(__always) public var sizeBytes: Int {
        switch rawValue >> 30 {
        case 0: 8 << 10
        case 1: 64 << 10
        default: 256 << 10
        }
    }
}

/// Whose share of the pool a slot is taken from.
public struct PayloadAccount: BitwiseCopyable, Sendable, Equatable {
    fileprivate let index: UInt16
    /// A small number of its own while it is open, for tables; 0 for `unbounded`.
    @inline(__always) public var number: Int { Int(index) }
    /// Takes what there is.
    public static let unbounded = PayloadAccount(index: 0)
}

/// All payload memory of one reactor, taken from the system at start and touched only when used.
///
/// Three sizes: 8 KiB for small commands and parameter data, 64 KiB, and 256 KiB for one burst. The free lists are
/// stacks, so that a light load keeps using the same few pages, which stay in the processor's cache and keep the
/// resident size near what is in flight. A class that runs out borrows from the next larger one; when the largest is
/// empty the command waits, which is the daemon's back pressure.
///
/// A logical unit takes its slots through an account, whose share depends on what is free: it may
/// hold as many of a class as are free for work that can wait, and as many again, less one, for data that is on its way. The
/// two are counted apart, or else work that waits, of this unit or of one that hangs, would shut out the data behind
/// which in the socket stands what it waits for. A store that never answers leaves a quarter at least, and there is always
/// something left for the next unit. A fixed share was turned down: it would be too little for the one unit that is busy,
/// or too much for the third that hangs.
@safe
public struct PayloadPool: ~Copyable {
    /// The sizes of the classes, smallest first.
    public static let slotSizesBytes = [8 << 10, 64 << 10, 256 << 10]
    /// The largest buffer there is, which bounds a burst.
    public static let largestSlotBytes = 256 << 10

    private let memory: UnsafeMutableRawPointer
    private let memoryBytes: Int
    // A class's first byte in `memory`, its slots' size as a shift, and its free stack.
    private var base: (Int, Int, Int)
    private var free: (ContiguousArray<UInt32>, ContiguousArray<UInt32>, ContiguousArray<UInt32>)
    // The account of every slot, the classes one after the other, and where each class begins. The top bit says that the
    // slot is for work that can wait.
    private var owners: ContiguousArray<UInt16>
    private let firstOwner: (Int, Int, Int)
    /// Slots that each account holds, eight entries an account: one a class for data on its way, then the same, from
    /// `sparing` on, for work that can wait.
    private var held = ContiguousArray(repeating: 0, count: 8)
    private static let entriesPerAccount = 8
    private static let sparing = 4
    private static let sparingMark: UInt16 = 1 << 15
    private var freeAccounts: [UInt16] = []
    /// Slots of each class that `takeSparing` leaves.
    private let reserve: (Int, Int, Int)
    /// Bytes given out now.
    public private(set) var bytesInUse = 0
    /// Bytes in all.
    public var capacityBytes: Int { memoryBytes }

    /// Takes `totalBytes` from the system: a quarter for small slots, a quarter for middle ones, half for the largest.
    public init(totalBytes: Int) {
        let quarter = max(totalBytes / 4, 512 << 10) & ~((256 << 10) - 1)
        memoryBytes = quarter * 4
        let mapped = unsafe mmap(
            nil, memoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { fatalError("no memory for payload pools") }
        unsafe memory = mapped
        base = (0, quarter, quarter * 2)
        func stack(_ bytes: Int, _ slot: Int) -> ContiguousArray<UInt32> {
            ContiguousArray((0..<UInt32(bytes / slot)).reversed())
        }
        free = (stack(quarter, 8 << 10), stack(quarter, 64 << 10), stack(quarter * 2, 256 << 10))
        firstOwner = (0, free.0.count, free.0.count + free.1.count)
        owners = ContiguousArray(repeating: 0, count: free.0.count + free.1.count + free.2.count)
        reserve = (free.0.count / 8, max(1, free.1.count / 8), max(1, free.2.count / 8))
    }

    deinit { unsafe munmap(memory, memoryBytes) }

    /// An account with a share of its own; `unbounded` when there are as many as can be told apart.
    public mutating func openAccount() -> PayloadAccount {
        if let index = freeAccounts.popLast() { return PayloadAccount(index: index) }
        guard let index = UInt16(exactly: held.count / Self.entriesPerAccount), index < Self.sparingMark else {
            return .unbounded
        }
        held.append(contentsOf: repeatElement(0, count: Self.entriesPerAccount))
        return PayloadAccount(index: index)
    }

    /// Ends an account that holds nothing any more.
    public mutating func closeAccount(_ account: PayloadAccount) {
        let place = Int(account.index) * Self.entriesPerAccount
        guard account != .unbounded, held[place..<(place + Self.entriesPerAccount)].allSatisfy({ $0 == 0 }) else {
            return
        }
        freeAccounts.append(account.index)
    }

    /// Whether the account may have one of the free slots of a class for data that is on its way: its first, or up to as many
    /// as are free, less one.
    @inline(__always)
    private func hasShare(_ account: PayloadAccount, _ slotClass: Int, _ freeCount: Int) -> Bool {
        if account.index == 0 { return true }
        let count = held[Int(account.index) * Self.entriesPerAccount + slotClass]
        return count == 0 || count < freeCount - 1
    }

    /// Whether it may have one for work that can wait: up to as many of either kind as are free.
    @inline(__always)
    private func hasSpare(_ account: PayloadAccount, _ slotClass: Int, _ freeCount: Int) -> Bool {
        if account.index == 0 { return true }
        let place = Int(account.index) * Self.entriesPerAccount + slotClass
        return held[place] + held[place + Self.sparing] < freeCount
    }

    @inline(__always)
    private mutating func give(_ owner: Int, _ slotClass: Int, _ account: PayloadAccount, _ isSparing: Bool) {
        owners[owner] = account.index | (isSparing ? Self.sparingMark : 0)
        held[Int(account.index) * Self.entriesPerAccount + slotClass + (isSparing ? Self.sparing : 0)] += 1
    }

    @inline(__always)
    private mutating func takeBack(_ owner: Int, _ slotClass: Int) {
        let account = Int(owners[owner] & ~Self.sparingMark)
        let isSparing = owners[owner] & Self.sparingMark != 0
        held[account * Self.entriesPerAccount + slotClass + (isSparing ? Self.sparing : 0)] -= 1
    }

    /// A free slot of a class, which must have one.
    @inline(__always)
    private mutating func pop(_ slotClass: Int, _ account: PayloadAccount, isSparing: Bool) -> PayloadSlot? {
        let index: UInt32?
        let first: Int
        switch slotClass {
        case 0: (index, first) = (free.0.popLast(), firstOwner.0)
        case 1: (index, first) = (free.1.popLast(), firstOwner.1)
        default: (index, first) = (free.2.popLast(), firstOwner.2)
        }
        guard let index else { return nil }
        give(first + Int(index), slotClass, account, isSparing)
        let slot = PayloadSlot(rawValue: index | UInt32(slotClass) << 30)
        bytesInUse += slot.sizeBytes
        return slot
    }

    /// A slot of at least `lengthBytes`, nil when none is free or the account has its share. More than the largest slot is
    /// never granted.
    @inline(__always)
    public mutating func take(lengthBytes: Int, for account: PayloadAccount = .unbounded) -> PayloadSlot? {
        if lengthBytes <= 8 << 10, hasShare(account, 0, free.0.count),
            let slot = pop(0, account, isSparing: false)
        {
            return slot
        }
        if lengthBytes <= 64 << 10, hasShare(account, 1, free.1.count),
            let slot = pop(1, account, isSparing: false)
        {
            return slot
        }
        guard lengthBytes <= 256 << 10, hasShare(account, 2, free.2.count) else { return nil }
        return pop(2, account, isSparing: false)
    }

    /// The same for work that can wait, and whose slot comes back only when a peer does its part: it leaves an eighth
    /// of each class to data that is on its way already. Without that, what would free the slots could stand in the socket
    /// behind data for which there is none.
    @inline(__always)
    public mutating func takeSparing(lengthBytes: Int, for account: PayloadAccount = .unbounded) -> PayloadSlot? {
        if lengthBytes <= 8 << 10, free.0.count > reserve.0, hasSpare(account, 0, free.0.count) {
            return pop(0, account, isSparing: true)
        }
        if lengthBytes <= 64 << 10, free.1.count > reserve.1, hasSpare(account, 1, free.1.count) {
            return pop(1, account, isSparing: true)
        }
        guard lengthBytes <= 256 << 10, free.2.count > reserve.2, hasSpare(account, 2, free.2.count) else { return nil }
        return pop(2, account, isSparing: true)
    }

    /// Gives a slot back.
    @inline(__always)
    public mutating func release(_ slot: PayloadSlot) {
        let index = slot.rawValue & (1 << 30 - 1)
        switch slot.rawValue >> 30 {
        case 0:
            takeBack(firstOwner.0 + Int(index), 0)
            free.0.append(index)
            bytesInUse -= 8 << 10
        case 1:
            takeBack(firstOwner.1 + Int(index), 1)
            free.1.append(index)
            bytesInUse -= 64 << 10
        case 2:
            takeBack(firstOwner.2 + Int(index), 2)
            free.2.append(index)
            bytesInUse -= 256 << 10
        default: preconditionFailure("released the empty slot")
        }
    }

    /// Where a slot's bytes are. Valid until the slot is released.
    @inline(__always)
    public func address(of slot: PayloadSlot) -> UnsafeMutableRawPointer {
        let index = Int(slot.rawValue & (1 << 30 - 1))
        switch slot.rawValue >> 30 {
        case 0: return unsafe memory + (base.0 + index << 13)
        case 1: return unsafe memory + (base.1 + index << 16)
        default: return unsafe memory + (base.2 + index << 18)
        }
    }
}
