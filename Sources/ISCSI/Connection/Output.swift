/// A buffer that the driver lent to the output queue, as it numbers them; `none` for no buffer.
public struct PayloadReference: BitwiseCopyable, Hashable, Sendable {
    /// The driver's number.
    public let value: UInt32
    /// Names a buffer.
    @inlinable public init(_ value: UInt32) { self.value = value }
    /// No buffer.
    public static let none = PayloadReference(UInt32.max)
}

/// One PDU to send: its header is complete but for the digests, which the driver adds.
public struct OutboundPDU: BitwiseCopyable, Sendable {
    /// The header, numbers filled in.
    public var header: BasicHeaderSegment
    /// Up to 48 bytes that travel as the data segment (sense data, a rejected header); `inlineLength` says how many.
    public var inlineData = InlineArray<6, UInt64>(repeating: 0)
    /// Bytes of `inlineData` in use.
    public var inlineLength = 0
    /// The buffer that holds the data segment, when it is not inline.
    public var payload = PayloadReference.none
    /// Where in that buffer the data segment starts.
    public var payloadOffset = 0
    /// Its length in bytes, without padding.
    public var payloadLength = 0
    /// Whether this is the last PDU out of that buffer, which is free once the PDU is sent.
    public var releasesPayload = false
    /// Whether the connection is to be closed once this PDU is sent (a logout response).
    public var closesConnection = false

    /// A PDU without data.
    public init(header: BasicHeaderSegment) { self.header = header }
}

/// What waits to be sent. A Data-In item stands for as many PDUs as the initiator's MaxRecvDataSegmentLength makes of it;
/// they are made when the socket takes them, so a slow reader costs one item a buffer, whatever its segment length.
struct OutputItem: BitwiseCopyable {
    enum Kind: UInt8 { case ready, dataIn, response, r2t }

    var kind: Kind
    var task = TaskIndex(0)
    /// For `.dataIn`: whether it carries the command's GOOD status in its last PDU.
    var endsCommand = false
    var pdu: OutboundPDU
    /// For `.dataIn`: bytes of the item already made into PDUs.
    var progress = 0
}

/// A queue that keeps its memory.
struct OutputQueue {
    private var items: ContiguousArray<OutputItem> = []
    private var head = 0

    var isEmpty: Bool { head == items.count }
    var count: Int { items.count - head }

    @inline(__always)
    mutating func append(_ item: OutputItem) {
        if head > 64, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
        items.append(item)
    }

    @inline(__always)
    var first: OutputItem {
        get { items[head] }
        set { items[head] = newValue }
    }

    @inline(__always)
    mutating func removeFirst() {
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        }
    }

    /// Takes out every item of a task that is not under way; gives their buffers to `release`. Returns whether there was an
    /// R2T among them.
    mutating func removeAll(of task: TaskIndex, release: (PayloadReference) -> Void) -> Bool {
        var kept = ContiguousArray<OutputItem>()
        var hadR2T = false
        for item in items[head...] {
            if item.kind != .ready, item.task == task {
                if item.kind == .r2t { hadR2T = true }
                if item.pdu.payload != .none { release(item.pdu.payload) }
            } else {
                kept.append(item)
            }
        }
        items = kept
        head = 0
        return hadR2T
    }

    /// Empties the queue; gives the buffers to `release`.
    mutating func removeAll(release: (PayloadReference) -> Void) {
        for item in items[head...] where item.pdu.payload != .none { release(item.pdu.payload) }
        items.removeAll()
        head = 0
    }
}
