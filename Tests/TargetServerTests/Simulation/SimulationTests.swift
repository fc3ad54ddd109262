import Glibc
import ISCSI
import SCSI
import Testing

/// Three initiators against one unit, in simulated time: the real logical unit and the real connection machines, block
/// requests that take any time and may fail, a process that dies. Every choice comes from the seed.
@Suite("Simulation: several initiators, one unit")
struct SimulationTests {
    /// RACK_SIMULATION_SEED plays one seed, RACK_SIMULATION_SEEDS that many new ones.
    private static let seeds: [UInt64] = {
        if let text = unsafe getenv("RACK_SIMULATION_SEED"), let seed = UInt64(unsafe String(cString: text)) {
            return [seed]
        }
        var count = 60
        if let text = unsafe getenv("RACK_SIMULATION_SEEDS"), let wanted = Int(unsafe String(cString: text)) {
            count = wanted
        }
        let first = UInt64.random(in: 1...1 << 40)
        return (0..<UInt64(count)).map { first + $0 }
    }()

    @Test("reservations, aborts, resets, lost connections and crashes, checked against the models")
    func play() {
        var totals = Simulation.Counts()
        for seed in Self.seeds {
            let simulation = Simulation(seed: seed)
            simulation.run(steps: 3000)
            for problem in simulation.problems.prefix(3) {
                Issue.record("seed \(seed) (RACK_SIMULATION_SEED=\(seed)): \(problem)")
            }
            if !simulation.problems.isEmpty { return }
            totals.add(simulation.counts)
        }
        print("simulation: \(Self.seeds.count) seeds from \(Self.seeds[0]): \(totals)")
        if Self.seeds.count >= 60 {
            // A run that does not get far proves nothing.
            #expect(totals.writes > 1000 && totals.reads > 1000 && totals.conflicts > 1000 && totals.attentions > 1000)
            #expect(totals.changes > 1000 && totals.fenced > 20 && totals.heldBack > 5 && totals.crashes > 20)
        }
    }
}

/// One seed's play, and what is checked while it goes on.
final class Simulation: SimulationObserver {
    struct Counts: CustomStringConvertible {
        var writes = 0, reads = 0, conflicts = 0, attentions = 0, changes = 0, fenced = 0, heldBack = 0, crashes = 0
        mutating func add(_ other: Counts) {
            writes += other.writes
            reads += other.reads
            conflicts += other.conflicts
            attentions += other.attentions
            changes += other.changes
            fenced += other.fenced
            heldBack += other.heldBack
            crashes += other.crashes
        }
        var description: String {
            "\(writes) writes and \(reads) reads answered, \(conflicts) conflicts, \(attentions) unit attentions, "
                + "\(changes) reservation changes, \(fenced) nexuses fenced (\(heldBack) times with block requests in flight), "
                + "\(crashes) crashes"
        }
    }

    private static let initiators = 3
    private(set) var problems: [String] = []
    private(set) var counts = Counts()
    private var random: SimulationRandom
    private let target = SimulatedTarget()
    private var initiators: [SimulatedInitiator?] = Array(repeating: nil, count: Simulation.initiators)
    private var reservations = ReservationModel(initiators: Simulation.initiators)
    private var blocks = BlockModel(blocks: SimulatedTarget.blocks)
    /// Unit attentions that each initiator has to hear, and whether this unit has known it before.
    private var pending: [Set<UnitAttention>] = Array(repeating: [], count: Simulation.initiators)
    private var known: [Bool] = Array(repeating: false, count: Simulation.initiators)
    /// When the last PREEMPT AND ABORT against each counted, of those that have been answered: what came later was judged
    /// by the new state.
    private var fencedAt: [Int?] = Array(repeating: nil, count: Simulation.initiators)
    private var nextStamp: UInt64 = 1
    /// Writes that no initiator waits for any more, but that have not ended for certain.
    private var orphans: [(initiator: Int, request: SimulatedRequest)] = []

    init(seed: UInt64) {
        random = SimulationRandom(seed: seed)
        target.observer = self
    }

    private func problem(_ text: String) { problems.append("at \(target.time): \(text)") }

    func run(steps: Int) {
        for _ in 0..<steps where problems.isEmpty { step() }
        // To the end of everything that is on its way.
        for _ in 0..<2000 where problems.isEmpty { drain() }
        guard problems.isEmpty else { return }
        if !target.isIdle { problem("something is never done") }
        for initiator in initiators { check(atEnd: initiator) }
        let held = blocks.candidates(0..<SimulatedTarget.blocks)
        for (block, stamp) in target.medium.enumerated() where !held[block].contains(stamp) {
            problem("block \(block) holds \(stamp), may hold \(held[block].sorted())")
        }
    }

    /// Whoever still waits was cleared by somebody else, and has the unit attention that says so before it or behind it.
    private func check(atEnd initiator: SimulatedInitiator?) {
        guard let initiator, !initiator.session.isOver else { return }
        for (tag, request) in initiator.waiting.sorted(by: { $0.key.rawValue < $1.key.rawValue })
        where !cleared[initiator.number] {
            problem("initiator \(initiator.number) waits for \(request.kind), tag \(tag), for ever")
        }
    }

    /// Whether another's request has ended tasks of each since its session began.
    private var cleared = Array(repeating: false, count: Simulation.initiators)

    private func drain() {
        target.change(&random)
        target.complete(&random)
        for initiator in initiators.compactMap(\.self) where !initiator.session.isOver {
            target.deliver(initiator.session)
            target.transmit(initiator.session)
            receive(initiator)
        }
        compare()
    }

    private func step() {
        let number = random.below(Self.initiators)
        guard let initiator = initiators[number], !initiator.session.isOver else { return logIn(number) }
        switch random.below(100) {
        case 0..<22: command(initiator)
        case 22..<42: target.deliver(initiator.session)
        case 42..<62: target.transmit(initiator.session)
        case 62..<82: receive(initiator)
        case 82..<90: target.complete(&random)
        case 90..<96: target.change(&random)
        case 96: abort(initiator)
        case 97: if random.chance(6) { clear(initiator) }
        case 98: if random.chance(6) { lose(initiator) }
        default: if random.chance(20) { crash() }
        }
        compare()
    }

    private func compare() {
        if !reservations.agrees(with: target.unit.reservations, SimulatedTarget.name) {
            problem("the unit has \(target.unit.reservations), the model \(reservations)")
        }
    }

    // MARK: What initiators do

    private func logIn(_ number: Int) {
        guard target.mayLogIn(number) else { return }
        // What the last session left unanswered has ended: it was waited for.
        for orphan in orphans where orphan.initiator == number { ended(orphan.request, acknowledged: false) }
        orphans.removeAll { $0.initiator == number }
        initiators[number] = SimulatedInitiator(number, target.logIn(number))
        pending[number] = [known[number] ? .nexusLoss : .powerOnOrReset]
        known[number] = true
        cleared[number] = false
    }

    private func lose(_ initiator: SimulatedInitiator) {
        for request in initiator.waiting.values { orphans.append((initiator.number, request)) }
        target.lose(initiator.session)
        initiators[initiator.number] = nil
    }

    private func crash() {
        counts.crashes += 1
        target.crash(&random)
        for initiator in initiators.compactMap(\.self) {
            for request in initiator.waiting.values { ended(request, acknowledged: false) }
        }
        for orphan in orphans { ended(orphan.request, acknowledged: false) }
        orphans = []
        initiators = Array(repeating: nil, count: Self.initiators)
        pending = Array(repeating: [], count: Self.initiators)
        known = Array(repeating: false, count: Self.initiators)
    }

    private func command(_ initiator: SimulatedInitiator) {
        guard initiator.mayCommand else {
            if random.chance(10) { initiator.ping() }
            return
        }
        let count = 1 + random.below(4)
        let first = random.below(SimulatedTarget.blocks - count)
        let range = first..<first + count
        let bytes = count * SimulatedTarget.blockBytes
        func cdb(_ code: UInt8) -> [UInt8] { [code, 0, 0, 0, 0, UInt8(first), 0, 0, UInt8(count), 0] }
        switch random.below(20) {
        case 0..<7:
            let stamp = nextStamp
            nextStamp += 1
            blocks.issued(stamp, range, at: target.time)
            for other in initiators.compactMap(\.self) { other.addCandidate(stamp, range) }
            initiator.send(
                SimulatedRequest(kind: .write, cdb: cdb(0x2A), range: range, stamp: stamp), expected: bytes,
                reads: false, immediately: random.chance(2))
        case 7..<13:
            let request = SimulatedRequest(
                kind: .read, cdb: cdb(0x28), range: range, candidates: blocks.candidates(range))
            initiator.send(request, expected: bytes, reads: true, immediately: false)
        case 13..<15:
            let other: [UInt8] = random.pick([
                [0, 0, 0, 0, 0, 0], [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0x1A, 0, 0x3F, 0, 0xFF, 0],
                [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ])
            initiator.send(SimulatedRequest(kind: .other, cdb: other), expected: 0, reads: true, immediately: false)
        default: reserveOut(initiator)
        }
    }

    /// Keys of a small set, mostly one's own where one's own is meant, so that what is asked for often works.
    private func reserveOut(_ initiator: SimulatedInitiator) {
        let action = UInt8(random.pick([0, 0, 6, 6, 1, 1, 1, 2, 3, 4, 5, 5, 5]))
        let type: UInt8 = random.pick([1, 3, 5, 6, 7, 8])
        let own = reservations.keys[initiator.number] ?? 0
        let key = random.chance(8) ? UInt64(random.below(4)) : own
        let serviceActionKey: UInt64 =
            switch action {
            case 4, 5: random.chance(6) ? 0 : reservations.keys[random.below(Self.initiators)] ?? 3
            default: UInt64(random.below(6))
            }
        let same = random.chance(3) ? type : reservations.type
        var list: [UInt8] = []
        for number in [key, serviceActionKey] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                list.append(UInt8(truncatingIfNeeded: number >> shift))
            }
        }
        list += [0, 0, 0, 0, UInt8(random.below(2)) * (action == 0 || action == 6 ? 1 : 0), 0, 0, 0]
        let cdb = [0x5F, action, action == 2 && same != 0 ? same : type, 0, 0, 0, 0, 0, 24, 0]
        initiator.send(
            SimulatedRequest(kind: .reserveOut, cdb: cdb, list: list), expected: 24, reads: false,
            immediately: random.chance(2))
    }

    private func abort(_ initiator: SimulatedInitiator) {
        let tags = initiator.waiting.filter(\.value.isCommand).keys.sorted { $0.rawValue < $1.rawValue }
        if !tags.isEmpty { initiator.manage(.abortTask, about: random.pick(tags)) }
    }

    private func clear(_ initiator: SimulatedInitiator) {
        initiator.manage(random.chance(2) ? .clearTaskSet : .logicalUnitReset)
    }

    // MARK: What they hear

    private func receive(_ initiator: SimulatedInitiator) {
        guard let (request, _, status, stamps) = initiator.receive({ problem("initiator \(initiator.number): \($0)") })
        else { return }
        switch request.kind {
        case .write:
            if status == 0 { counts.writes += 1 }
            ended(request, acknowledged: status == 0)
        case .read:
            guard status == 0 else { return }
            counts.reads += 1
            for (place, stamp) in stamps.enumerated() where !request.candidates[place].contains(stamp) {
                problem(
                    "block \(request.range.lowerBound + place) was read as \(stamp), may hold "
                        + "\(request.candidates[place].sorted())")
            }
        case .abort(let tag):
            if let aborted = initiator.forget(tag) { ended(aborted, acknowledged: false) }
        case .clearsOthers, .reserveOut, .other: break
        }
    }

    private func ended(_ request: SimulatedRequest, acknowledged: Bool) {
        guard case .write = request.kind else { return }
        blocks.ended(request.stamp, request.range, acknowledged: acknowledged, at: target.time)
    }

    // MARK: What the target tells

    func began(_ session: SimulatedSession, _ cdb: [UInt8], _ execution: Execution) {
        let number = session.initiator
        if !pending[number].isEmpty {
            guard case .status(.checkCondition, let sense?) = execution,
                let heard = pending[number].first(where: { $0.sense == sense })
            else { return problem("initiator \(number) was to hear of \(pending[number]), and got \(execution)") }
            pending[number].remove(heard)
            counts.attentions += 1
            return
        }
        let command: CommandClass? =
            switch cdb[0] {
            case 0x00, 0x25: .harmless
            case 0x28, 0x1A: .reading
            case 0x2A, 0x35: .writing
            default: nil
            }
        let conflicts = command.map { reservations.conflicts($0, from: number) } ?? false
        if conflicts { counts.conflicts += 1 }
        if conflicts != (execution == .status(.reservationConflict, nil)) {
            problem("\(cdb) of initiator \(number) under \(reservations): \(execution)")
        }
        if case .status(.checkCondition, let sense?) = execution, sense.key == .unitAttention {
            problem("initiator \(number) hears \(sense) for nothing")
        }
    }

    func changed(
        _ session: SimulatedSession, _ cdb: [UInt8], _ list: [UInt8], _ outcome: ReservationOutcome, kept: Bool
    ) {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        var after = reservations
        let expected = after.out(
            cdb[1], type: cdb[2], key: number(list[0..<8]), serviceActionKey: number(list[8..<16]),
            from: session.initiator)
        switch outcome {
        case .status(let status, _):
            if status.rawValue != expected.status || after != reservations {
                problem("\(cdb) \(list) of initiator \(session.initiator) under \(reservations): \(status)")
            }
        case .change(let change):
            guard expected.status == 0 else {
                return problem("\(cdb) \(list) of initiator \(session.initiator) under \(reservations): a change")
            }
            let victims = Set(expected.victims.map(SimulatedTarget.name))
            if change.victims != victims { problem("victims \(change.victims), expected \(victims)") }
            guard kept else { return }
            counts.changes += 1
            reservations = after
            for told in expected.told { raise(told.attention, for: told.initiator) }
        }
    }

    func raised(_ attention: UnitAttention, except: Int?) {
        for number in 0..<Self.initiators where number != except { raise(attention, for: number) }
        cleared = cleared.map { _ in true }
    }

    private func raise(_ attention: UnitAttention, for number: Int) {
        guard initiators[number] != nil else { return }
        let resets: [UnitAttention] = [
            .powerOnOrReset, .powerOn, .busReset, .logicalUnitReset, .deviceInternalReset, .nexusLoss,
        ]
        if let rank = resets.firstIndex(of: attention) {
            // One of the 29h family is enough: the one that says most.
            let present = resets.firstIndex { pending[number].contains($0) }
            if let present, present < rank { return }
            pending[number].subtract(resets)
        }
        pending[number].insert(attention)
    }

    func fenced(_ victims: [Int], committedAt: Int, hadRequestsInFlight: Bool) {
        for number in victims {
            fencedAt[number] = max(fencedAt[number] ?? 0, committedAt)
            cleared[number] = true
        }
        counts.fenced += victims.count
        if hadRequestsInFlight { counts.heldBack += 1 }
    }

    func applies(_ session: SimulatedSession, arrival: Int, stamp: UInt64) {
        if let fenced = fencedAt[session.initiator], arrival <= fenced {
            problem("a late write: \(stamp) of initiator \(session.initiator), fenced at \(fenced), sent at \(arrival)")
        }
    }
}
