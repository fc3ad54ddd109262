import ISCSI
import Reactor

/// One operation on a backing file that is in flight.
struct BlockRequest: BitwiseCopyable {
    enum Kind: UInt8 {
        case read, write, readBack, synchronize, punchHole, zeroRange

        var changesMedium: Bool { self == .write || self == .punchHole || self == .zeroRange }
    }

    var kind: Kind
    /// Place of the connection that asked for it.
    var connection: Int
    var task: TaskIndex
    /// The buffer it reads into or writes from; `none` without data.
    var slot: PayloadSlot
    /// For `readBack`: the buffer with what the medium should hold.
    var reference: PayloadSlot
    var referenceOffset: Int
    /// Where in the file.
    var offset: UInt64
    var lengthBytes: Int
    /// Bytes done by earlier rounds (short reads and writes).
    var doneBytes: Int
    /// For writes: complete only on stable storage.
    var toStableStorage: Bool
}

/// The block requests of one reactor, numbered; numbers are given again once an operation has ended.
struct BlockRequestTable {
    private var requests: ContiguousArray<BlockRequest> = []
    private var free: ContiguousArray<Int> = []

    @inline(__always)
    mutating func insert(_ request: BlockRequest) -> Int {
        if let index = free.popLast() {
            requests[index] = request
            return index
        }
        requests.append(request)
        return requests.count - 1
    }

    @inline(__always)
    subscript(index: Int) -> BlockRequest {
        get { requests[index] }
        set { requests[index] = newValue }
    }

    @inline(__always)
    mutating func remove(_ index: Int) { free.append(index) }
}
