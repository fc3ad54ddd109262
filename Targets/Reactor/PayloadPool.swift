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

/// All payload memory of one reactor, taken from the system at start and touched only when used.
///
/// Three sizes: 8 KiB for small commands and parameter data, 64 KiB, and 256 KiB for one burst. The free lists are
/// stacks, so that a light load keeps using the same few pages, which stay in the processor's cache and keep the
/// resident size near what is in flight. A class that runs out borrows from the next larger one; when the largest is
/// empty the command waits, which is the daemon's back pressure.
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
        reserve = (free.0.count / 8, free.1.count / 8, max(1, free.2.count / 8))
    }

    deinit { unsafe munmap(memory, memoryBytes) }

    /// A slot of at least `lengthBytes`, nil when none is free. More than the largest slot is never granted.
    @inline(__always)
    public mutating func take(lengthBytes: Int) -> PayloadSlot? {
        if lengthBytes <= 8 << 10, let index = free.0.popLast() {
            bytesInUse += 8 << 10
            return PayloadSlot(rawValue: index)
        }
        if lengthBytes <= 64 << 10, let index = free.1.popLast() {
            bytesInUse += 64 << 10
            return PayloadSlot(rawValue: index | 1 << 30)
        }
        if lengthBytes <= 256 << 10, let index = free.2.popLast() {
            bytesInUse += 256 << 10
            return PayloadSlot(rawValue: index | 2 << 30)
        }
        return nil
    }

    /// The same for work that can wait, and whose slot comes back only when a peer does its part: it leaves an eighth
    /// of each class to data that is on its way already. Without that, what would free the slots could stand in the
    /// socket behind data for which there is none.
    @inline(__always)
    public mutating func takeSparing(lengthBytes: Int) -> PayloadSlot? {
        if lengthBytes <= 8 << 10, free.0.count > reserve.0 { return take(lengthBytes: lengthBytes) }
        if lengthBytes <= 64 << 10, free.1.count > reserve.1 { return take(lengthBytes: max(lengthBytes, 8 << 10 + 1)) }
        guard free.2.count > reserve.2 else { return nil }
        return take(lengthBytes: max(lengthBytes, 64 << 10 + 1))
    }

    /// Gives a slot back.
    @inline(__always)
    public mutating func release(_ slot: PayloadSlot) {
        let index = slot.rawValue & (1 << 30 - 1)
        switch slot.rawValue >> 30 {
        case 0:
            free.0.append(index)
            bytesInUse -= 8 << 10
        case 1:
            free.1.append(index)
            bytesInUse -= 64 << 10
        case 2:
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
