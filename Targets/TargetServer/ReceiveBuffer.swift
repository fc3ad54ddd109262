import Glibc
import ISCSI
import Reactor

/// Where bytes arrive before it is known what they are: headers, text, and small data segments.
@safe
struct ReceiveBuffer: ~Copyable {
    /// Enough for the largest login PDU: header, additional segments, 8,192 bytes of text.
    static let loginCapacity = 10 << 10
    /// Room for many commands with their small data in one receive.
    static let fullFeatureCapacity = 64 << 10

    private var memory: UnsafeMutableRawPointer
    private(set) var capacity: Int
    private(set) var start = 0
    private(set) var end = 0
    /// For a receive that fills a payload slot first and this buffer with what comes behind it.
    private let message: UnsafeMutablePointer<msghdr>
    private let vectors: UnsafeMutablePointer<iovec>

    init(capacity: Int) {
        self.capacity = capacity
        unsafe memory = .allocate(byteCount: capacity, alignment: 64)
        unsafe message = .allocate(capacity: 1)
        unsafe message.initialize(to: msghdr())
        unsafe vectors = .allocate(capacity: 2)
        unsafe vectors.initialize(repeating: iovec(), count: 2)
    }

    deinit {
        unsafe memory.deallocate()
        unsafe message.deallocate()
        unsafe vectors.deallocate()
    }

    var count: Int { @inline(__always) get { end - start } }

    /// The first unread byte.
    var bytes: UnsafeRawPointer { @inline(__always) get { unsafe UnsafeRawPointer(memory + start) } }

    @inline(__always)
    mutating func consume(_ count: Int) {
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }

    mutating func removeAll() {
        start = 0
        end = 0
    }

    /// Grows to the full feature phase's size; unread bytes stay.
    mutating func enlarge() {
        let larger = UnsafeMutableRawPointer.allocate(byteCount: Self.fullFeatureCapacity, alignment: 64)
        unsafe larger.copyMemory(from: bytes, byteCount: count)
        unsafe memory.deallocate()
        unsafe memory = larger
        end = count
        start = 0
        capacity = Self.fullFeatureCapacity
    }

    /// Makes room behind the unread bytes, by moving them to the front when less than half is left.
    private mutating func makeRoom() {
        guard start > 0, capacity - end < capacity / 2 else { return }
        unsafe memory.copyMemory(from: memory + start, byteCount: count)
        end = count
        start = 0
    }

    /// Asks the ring for more bytes.
    mutating func receive(from descriptor: Int32, ring: inout Ring, token: UInt64) {
        makeRoom()
        unsafe ring.receive(from: descriptor, into: memory + end, lengthBytes: capacity - end, token: token)
    }

    /// Asks for `lengthBytes` into `destination` and for what follows them into this buffer, which must be empty.
    mutating func receive(
        from descriptor: Int32, into destination: UnsafeMutableRawPointer, lengthBytes: Int, ring: inout Ring,
        token: UInt64
    ) {
        unsafe vectors[0] = iovec(iov_base: destination, iov_len: lengthBytes)
        unsafe vectors[1] = iovec(iov_base: memory, iov_len: capacity)
        unsafe message.pointee.msg_iov = vectors
        unsafe message.pointee.msg_iovlen = 2
        unsafe ring.receive(from: descriptor, message: message, token: token)
    }

    /// Records what a receive brought.
    mutating func received(_ count: Int) { end += count }
}

/// The data segment that is coming in: where it goes, and how far it is.
struct InboundSegment {
    enum Purpose {
        /// No data segment is under way: a header comes next.
        case none
        case discard
        case dataOut(TaskIndex)
        case ping
        case text
    }

    var purpose = Purpose.none
    var header = BasicHeaderSegment()
    /// Bytes of the segment, without padding.
    var lengthBytes = 0
    var arrivedBytes = 0
    /// Bytes from its start that are kept; the rest is thrown away.
    var keptBytes = 0
    var slot = PayloadSlot.none
    /// Where in the slot the segment starts.
    var slotOffset = 0
    /// Whether the slot is given back by the segment instead of its job: a ping's, or one whose task was aborted.
    var ownsSlot = false
    var digest = RunningDigest()

    mutating func reset() { self = InboundSegment() }
}
