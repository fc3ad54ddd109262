import Reactor

/// How many block requests each unit has in the ring of one reactor. The kernel's workers are bounded in number, and every
/// request of a store that hangs may hold one: a unit that has its share there waits with the others until one comes back.
struct UnitTurns {
    /// An eighth of the workers (`cur_raise_workers`); more than any disk needs to be busy.
    static let maximumInRing: Int32 = 128

    private var inRing = ContiguousArray<Int32>(repeating: 0, count: 16)
    private var waiting: [Int: [(number: Int, since: Int64)]] = [:]

    /// Whether a request may go to the ring at once; where not, it waits for `next`.
    @inline(__always)
    mutating func take(_ account: PayloadAccount, _ number: Int, now: Int64) -> Bool {
        let place = account.number
        if place < inRing.count, inRing[place] < Self.maximumInRing {
            inRing[place] += 1
            return true
        }
        return takeSlowly(place, number, now)
    }

    private mutating func takeSlowly(_ place: Int, _ number: Int, _ now: Int64) -> Bool {
        while place >= inRing.count { inRing.append(contentsOf: repeatElement(0, count: inRing.count)) }
        if inRing[place] < Self.maximumInRing {
            inRing[place] += 1
            return true
        }
        waiting[place, default: []].append((number, now))
        return false
    }

    /// A request has left the ring.
    @inline(__always)
    mutating func end(_ account: PayloadAccount) { inRing[account.number] -= 1 }

    /// A request that waited goes there.
    mutating func begin(_ account: PayloadAccount) { inRing[account.number] += 1 }

    /// Whether any unit's requests wait.
    @inline(__always)
    var isAnyWaiting: Bool { !waiting.isEmpty }

    /// The one that has waited longest, and since when, where there is room for it.
    mutating func next(_ account: PayloadAccount) -> (number: Int, since: Int64)? {
        let place = account.number
        guard inRing[place] < Self.maximumInRing, var numbers = waiting[place], !numbers.isEmpty else { return nil }
        waiting[place] = nil
        let first = numbers.removeFirst()
        if !numbers.isEmpty { waiting[place] = numbers }
        return first
    }

    /// Takes out all that wait.
    mutating func takeAll() -> [Int] {
        defer { waiting = [:] }
        return waiting.values.flatMap { $0.map(\.number) }
    }
}

extension Connection {
    /// Whether nobody waits for what a request would do: its connection or its task has ended.
    func hasGivenUp(_ request: BlockRequest) -> Bool {
        isClosing || (request.task != Self.detachedTask && machine.task(request.task).state == .aborted)
    }
}
