/// The tasks of a connection and the way from an initiator task tag to its place: open addressing over twice as many
/// buckets as places, because every command looks for a duplicate of its tag and unsolicited data comes by tag alone.
struct TaskTable {
    private(set) var tasks: ContiguousArray<Task>
    private var freeWindow: ContiguousArray<UInt16>
    private var freeReserve: ContiguousArray<UInt16>
    private var buckets: ContiguousArray<UInt16>
    private let mask: Int
    private static let empty = UInt16.max

    /// Places for `window` ordinary commands and `reserve` immediate ones.
    init(window: Int, reserve: Int) {
        tasks = ContiguousArray(repeating: Task(), count: window + reserve)
        freeWindow = ContiguousArray((0..<UInt16(window)).reversed())
        freeReserve = ContiguousArray((UInt16(window)..<UInt16(window + reserve)).reversed())
        var size = 16
        while size < (window + reserve) * 2 { size *= 2 }
        buckets = ContiguousArray(repeating: Self.empty, count: size)
        mask = size - 1
    }

    var freeWindowCount: Int { freeWindow.count }

    @inline(__always)
    private func bucket(of tag: InitiatorTaskTag) -> Int {
        Int(truncatingIfNeeded: (tag.rawValue &* 0x9E37_79B1) >> 16) & mask
    }

    @inline(__always)
    func find(_ tag: InitiatorTaskTag) -> TaskIndex? {
        var place = bucket(of: tag)
        while buckets[place] != Self.empty {
            let index = Int(buckets[place])
            if tasks[index].initiatorTaskTag == tag { return TaskIndex(index) }
            place = (place + 1) & mask
        }
        return nil
    }

    @inline(__always)
    subscript(index: TaskIndex) -> Task {
        get { tasks[index.index] }
        _modify { yield &tasks[index.index] }
    }

    /// Takes a place for a command, nil when none is free.
    @inline(__always)
    mutating func insert(_ tag: InitiatorTaskTag, immediate: Bool) -> TaskIndex? {
        guard let free = immediate ? freeReserve.popLast() : freeWindow.popLast() else { return nil }
        let generation = tasks[Int(free)].generation &+ 1
        tasks[Int(free)] = Task()
        tasks[Int(free)].generation = generation
        tasks[Int(free)].initiatorTaskTag = tag
        tasks[Int(free)].isImmediate = immediate
        tasks[Int(free)].state = .new
        var place = bucket(of: tag)
        while buckets[place] != Self.empty { place = (place + 1) & mask }
        buckets[place] = free
        return TaskIndex(Int(free))
    }

    /// Frees a place.
    @inline(__always)
    mutating func remove(_ index: TaskIndex) {
        var hole = bucket(of: tasks[index.index].initiatorTaskTag)
        while buckets[hole] != index.value { hole = (hole + 1) & mask }
        // Close the gap, so that no search stops early: move back whatever probed over it.
        var next = (hole + 1) & mask
        while buckets[next] != Self.empty {
            let home = bucket(of: tasks[Int(buckets[next])].initiatorTaskTag)
            if (next &- home) & mask >= (next &- hole) & mask {
                buckets[hole] = buckets[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        buckets[hole] = Self.empty
        let wasImmediate = tasks[index.index].isImmediate
        tasks[index.index].state = .free
        if wasImmediate { freeReserve.append(index.value) } else { freeWindow.append(index.value) }
    }
}
