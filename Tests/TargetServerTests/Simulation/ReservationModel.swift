import SCSI

/// What a command means to a reservation, for the table below.
enum CommandClass: CaseIterable {
    /// TEST UNIT READY, READ CAPACITY: allowed always (SPC-4 table 65, SBC-3 table 13).
    case harmless
    /// READ, MODE SENSE: conflicts with Exclusive Access.
    case reading
    /// WRITE, SYNCHRONIZE CACHE, MODE SELECT: conflicts with every type.
    case writing
}

/// Persistent reservations as SPC-4 5.13 tells them, written down a second time and as plainly as they can be: lists
/// that are searched, no names shared with the code under test but the attentions'.
struct ReservationModel: Equatable {
    /// By initiator: its key; nil for one that is not registered.
    var keys: [UInt64?]
    /// TYPE, 0 for none.
    var type: UInt8 = 0
    /// The holder; -1 where there is none, or all registrants hold.
    var holder = -1
    var generation: UInt32 = 0

    init(initiators: Int) { keys = Array(repeating: nil, count: initiators) }

    private var registered: [Int] { keys.indices.filter { keys[$0] != nil } }
    private static func isAllRegistrants(_ type: UInt8) -> Bool { type == 7 || type == 8 }

    func holds(_ initiator: Int) -> Bool {
        if type == 0 { return false }
        return Self.isAllRegistrants(type) ? keys[initiator] != nil : holder == initiator
    }

    /// The table: rows are types, columns what may be done by whom.
    func conflicts(_ command: CommandClass, from initiator: Int) -> Bool {
        let isRegistered = keys[initiator] != nil
        switch (type, command) {
        case (0, _), (_, .harmless): return false
        case (1, .reading): return false
        case (1, .writing), (3, _): return holder != initiator
        case (5, .reading), (7, .reading): return false
        default: return !isRegistered
        }
    }

    struct Result: Equatable {
        /// 00h GOOD, 02h CHECK CONDITION, 18h RESERVATION CONFLICT.
        var status: UInt8 = 0
        var victims: Set<Int> = []
        var told: [Told] = []
    }
    struct Told: Equatable {
        var initiator: Int
        var attention: UnitAttention
    }

    /// Carries out a PERSISTENT RESERVE OUT.
    mutating func out(
        _ action: UInt8, type newType: UInt8, key: UInt64, serviceActionKey: UInt64, from me: Int
    ) -> Result {
        var result = Result()
        func others(_ attention: UnitAttention) {
            for other in registered where other != me {
                result.told.append(Told(initiator: other, attention: attention))
            }
        }
        let isRegister = action == 0 || action == 6
        if !isRegister || action == 0 && keys[me] != nil {
            guard let own = keys[me], own == key else { return Result(status: 0x18) }
        }
        if action == 0, keys[me] == nil, key != 0 { return Result(status: 0x18) }
        switch action {
        case 0, 6:
            if serviceActionKey == 0 {
                guard keys[me] != nil else { return result }
                let endsReservation = holder == me
                keys[me] = nil
                if endsReservation {
                    holder = -1
                    if type == 5 || type == 6 { others(.reservationsReleased) }
                    type = 0
                } else if Self.isAllRegistrants(type), registered.isEmpty {
                    type = 0
                }
            } else {
                keys[me] = serviceActionKey
            }
            generation += 1
        case 1:
            if type != 0 { return Result(status: holds(me) && type == newType ? 0 : 0x18) }
            (type, holder) = (newType, Self.isAllRegistrants(newType) ? -1 : me)
        case 2:
            guard holds(me) else { return result }
            guard type == newType else { return Result(status: 0x02) }
            if type >= 5 { others(.reservationsReleased) }
            (type, holder) = (0, -1)
        case 3:
            others(.reservationsPreempted)
            keys = keys.map { _ in nil }
            (type, holder) = (0, -1)
            generation += 1
        default: return preempt(action, newType, serviceActionKey, me)
        }
        return result
    }

    private mutating func preempt(_ action: UInt8, _ newType: UInt8, _ wanted: UInt64, _ me: Int) -> Result {
        var result = Result()
        var removed: [Int]
        var replaces = false
        if Self.isAllRegistrants(type) {
            removed = wanted == 0 ? registered.filter { $0 != me } : registered.filter { keys[$0] == wanted }
            replaces = wanted == 0
        } else {
            if wanted == 0 { return Result(status: 0x02) }
            removed = registered.filter { keys[$0] == wanted }
            if type != 0, keys[holder] == wanted {
                replaces = true
                removed.removeAll { $0 == me }
            }
        }
        if removed.isEmpty, !replaces { return Result(status: 0x18) }
        for each in removed {
            keys[each] = nil
            if each != me { result.told.append(Told(initiator: each, attention: .registrationsPreempted)) }
        }
        if action == 5 {
            result.victims = Set(removed.filter { $0 != me })
            for each in removed where each != me {
                result.told.append(Told(initiator: each, attention: .commandsClearedByAnotherInitiator))
            }
        }
        if replaces {
            if type != newType {
                for each in registered where each != me {
                    result.told.append(Told(initiator: each, attention: .reservationsReleased))
                }
            }
            (type, holder) = (newType, Self.isAllRegistrants(newType) ? -1 : me)
        } else if Self.isAllRegistrants(type), registered.isEmpty {
            type = 0
        }
        generation += 1
        return result
    }

    /// Whether the unit's state is this one.
    func agrees(with state: ReservationState, _ name: (Int) -> NexusInformation) -> Bool {
        guard state.generation == generation, (state.reservation?.type.rawValue ?? 0) == type else { return false }
        guard state.reservation?.holder == (holder < 0 ? nil : name(holder)) else { return false }
        guard state.registrations.count == registered.count else { return false }
        return registered.allSatisfy { state.key(of: name($0)) == keys[$0] }
    }
}

/// What each block may hold: the stamps of writes that were sent, less those that a later one has replaced for certain.
struct BlockModel {
    private struct Candidate {
        let stamp: UInt64
        /// When its write was sent, and when it had ended for certain.
        let issuedAt: Int
        var endedAt: Int?
    }
    private var blocks: [[Candidate]]

    init(blocks count: Int) {
        blocks = Array(repeating: [Candidate(stamp: 0, issuedAt: 0, endedAt: 0)], count: count)
    }

    mutating func issued(_ stamp: UInt64, _ range: Range<Int>, at time: Int) {
        for block in range { blocks[block].append(Candidate(stamp: stamp, issuedAt: time)) }
    }

    /// A write cannot reach the medium any more. With `acknowledged` it did, so that what had ended before it was sent is
    /// gone.
    mutating func ended(_ stamp: UInt64, _ range: Range<Int>, acknowledged: Bool, at time: Int) {
        for block in range {
            guard let place = blocks[block].firstIndex(where: { $0.stamp == stamp }) else { continue }
            let issuedAt = blocks[block][place].issuedAt
            if blocks[block][place].endedAt == nil { blocks[block][place].endedAt = time }
            if acknowledged {
                blocks[block].removeAll { $0.stamp != stamp && ($0.endedAt.map { $0 < issuedAt } ?? false) }
            }
        }
    }

    func candidates(_ range: Range<Int>) -> [Set<UInt64>] { range.map { Set(blocks[$0].map(\.stamp)) } }

    /// Stamps that may come in while a read is on its way.
    func mayHold(_ stamp: UInt64, in block: Int) -> Bool { blocks[block].contains { $0.stamp == stamp } }
}
