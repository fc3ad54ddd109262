import DeviceMapper
import Stack
import Testing

/// The monitor's rules on a map of two paths, with time made by hand.
@Suite("Monitor: what it decides")
struct MonitorTests {
    private let first = MonitorMachine.PathKey(volume: "mpath0", endpoint: "10.77.0.21:3260")
    private let second = MonitorMachine.PathKey(volume: "mpath0", endpoint: "10.77.1.21:3260")
    private let sdb = DMDeviceNumber(major: 8, minor: 16)
    private let sdc = DMDeviceNumber(major: 8, minor: 32)

    private func machine() throws -> MonitorMachine {
        let scope = try walkThroughScope(.volume("mpath0"))
        return MonitorMachine(volumes: scope.volumes, paths: scope.paths, checkSeconds: 2, now: 0)
    }

    private func view(_ device: String?, _ number: DMDeviceNumber?, session: Bool = true) -> MonitorMachine.PathView {
        .init(hasSession: session, sessionIsUp: session, device: device, number: number)
    }

    private func look(
        _ b: Bool?, _ c: Bool?, queueing: Bool = true, run: Bool = false,
        views: [MonitorMachine.PathKey: MonitorMachine.PathView]? = nil
    ) -> MonitorMachine.Look {
        var paths: [(number: DMDeviceNumber, isActive: Bool)] = []
        if let b { paths.append((sdb, b)) }
        if let c { paths.append((sdc, c)) }
        return .init(
            paths: views ?? [first: view("sdb", sdb), second: view("sdc", sdc)],
            maps: ["mpath0": .init(paths: paths, isQueueing: queueing)], runIsUnderWay: run)
    }

    private func withoutNotes(_ actions: [MonitorMachine.Action]) -> [MonitorMachine.Action] {
        actions.filter { if case .note = $0 { false } else { true } }
    }

    /// A machine whose two paths were found well at 0 s.
    private func steady() throws -> MonitorMachine {
        var machine = try machine()
        _ = machine.look(look(true, true), now: 0)
        _ = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 0)
        _ = machine.checked(second, device: "sdc", .up(latencyMilliseconds: 1), now: 0)
        return machine
    }

    @Test("the first look asks every path who it is, and changes nothing")
    func firstLook() throws {
        var machine = try machine()
        let actions = withoutNotes(machine.look(look(true, true), now: 0))
        #expect(
            actions == [
                .check(first, device: "sdb", verify: true), .check(second, device: "sdc", verify: true),
            ])
        #expect(!machine.isReady)
        #expect(withoutNotes(machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 0.1)).isEmpty)
        #expect(withoutNotes(machine.checked(second, device: "sdc", .up(latencyMilliseconds: 1), now: 0.1)).isEmpty)
        #expect(machine.isReady)
        let states = machine.mapStates(now: 1, wallSeconds: 1000)
        #expect(states.first?.paths.map(\.state) == [.up, .up])
    }

    @Test("a path that is steady is asked every two seconds, without its identity")
    func steadyChecks() throws {
        var machine = try steady()
        #expect(withoutNotes(machine.look(look(true, true), now: 0.5)).isEmpty)
        #expect(
            withoutNotes(machine.look(look(true, true), now: 2)) == [
                .check(first, device: "sdb", verify: false), .check(second, device: "sdc", verify: false),
            ])
    }

    @Test("a failed check fails the path; the check that is good again asks who it is and reinstates it")
    func failAndReinstate() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        #expect(
            withoutNotes(machine.checked(first, device: "sdb", .down("timed out"), now: 2.5)) == [
                .failPath(map: "mpath0", sdb)
            ])
        #expect(machine.mapStates(now: 44.5, wallSeconds: 1000).first?.paths.first?.sinceSeconds == 958)
        #expect(
            withoutNotes(machine.look(look(false, true), now: 4)).contains(
                .check(first, device: "sdb", verify: true)))
        #expect(
            withoutNotes(machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 4.1)) == [
                .reinstatePath(map: "mpath0", sdb)
            ])
    }

    @Test("a path that the kernel failed is asked at once, and used again when it is well")
    func kernelFailed() throws {
        var machine = try steady()
        let actions = withoutNotes(machine.look(look(false, true), now: 0.5))
        #expect(actions == [.check(first, device: "sdb", verify: true)])
        #expect(machine.mapStates(now: 1, wallSeconds: 10).first?.paths.first?.reason == "I/O error")
        #expect(
            withoutNotes(machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 0.6)) == [
                .reinstatePath(map: "mpath0", sdb)
            ])
    }

    @Test("a path that flaps needs more and more good checks, but one when no other path is left")
    func flapping() throws {
        var machine = try steady()
        var now = 2.0
        var needed: [Int] = []
        for _ in 0..<4 {
            _ = machine.look(look(true, true), now: now)
            _ = machine.checked(first, device: "sdb", .down("lost"), now: now)
            var checks = 0
            var isBack = false
            while !isBack, checks < 50 {
                now += 2
                _ = machine.look(look(false, true), now: now)
                checks += 1
                isBack = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: now)
                    .contains(.reinstatePath(map: "mpath0", sdb))
                _ = machine.checked(second, device: "sdc", .up(latencyMilliseconds: 1), now: now)
            }
            needed.append(checks)
            now += 2
        }
        #expect(needed == [1, 2, 4, 8])
        // The other one goes, and the flapping one is all there is.
        _ = machine.look(look(true, true), now: now)
        _ = machine.checked(first, device: "sdb", .down("lost"), now: now)
        _ = machine.checked(second, device: "sdc", .down("lost"), now: now)
        now += 2
        _ = machine.look(look(false, false), now: now)
        #expect(
            machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: now)
                .contains(.reinstatePath(map: "mpath0", sdb)))
    }

    @Test("queueing ends after its time, once, and begins again with the first path that is back")
    func queueing() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        _ = machine.checked(first, device: "sdb", .down("lost"), now: 3)
        _ = machine.checked(second, device: "sdc", .down("lost"), now: 3)
        #expect(machine.nextDeadline == nil)
        _ = machine.look(look(false, false), now: 3)
        #expect(machine.nextDeadline == 63)
        #expect(machine.tick(now: 62.9).isEmpty)
        #expect(withoutNotes(machine.tick(now: 63)) == [.setQueueing(map: "mpath0", false)])
        #expect(machine.tick(now: 64).isEmpty)
        #expect(machine.nextDeadline == nil)
        _ = machine.look(look(false, false, queueing: false), now: 66)
        #expect(
            withoutNotes(machine.checked(second, device: "sdc", .up(latencyMilliseconds: 1), now: 66.1)) == [
                .reinstatePath(map: "mpath0", sdc), .setQueueing(map: "mpath0", true),
            ])
    }

    @Test("an outage shorter than the window leaves queueing on")
    func shortOutage() throws {
        var machine = try steady()
        _ = machine.look(look(false, false), now: 2)
        _ = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 30)
        _ = machine.look(look(true, false), now: 30.5)
        #expect(machine.nextDeadline == nil)
        #expect(machine.tick(now: 100).isEmpty)
    }

    @Test("a path with another unit behind it is failed and taken out of the map")
    func refused() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        _ = machine.checked(first, device: "sdb", .down("lost"), now: 2)
        _ = machine.look(look(false, true), now: 4)
        let actions = withoutNotes(
            machine.checked(first, device: "sdb", .refused("wanted WWID 3361, found 3999"), now: 4.1))
        #expect(actions == [.reload(map: "mpath0", [.init(hostName: "storage0", device: sdc)])])
        #expect(machine.mapStates(now: 5, wallSeconds: 10).first?.paths.first?.state == .refused)
        machine.reloaded("mpath0")
        // And it is not taken in again.
        #expect(
            !withoutNotes(machine.look(look(nil, true), now: 5)).contains {
                if case .reload = $0 { true } else { false }
            })
    }

    @Test("a device that has gone is dropped, and one that is new is verified before it is taken in")
    func dropAndAdd() throws {
        var machine = try steady()
        let gone = [first: view(nil, nil), second: view("sdc", sdc)]
        let dropped = withoutNotes(machine.look(look(true, true, views: gone), now: 1))
        #expect(dropped.contains(.reload(map: "mpath0", [.init(hostName: "storage0", device: sdc)])))
        #expect(dropped.contains(.scan(first)))
        machine.reloaded("mpath0")
        let sdd = DMDeviceNumber(major: 8, minor: 48)
        let back = [first: view("sdd", sdd), second: view("sdc", sdc)]
        let seen = withoutNotes(machine.look(look(nil, true, views: back), now: 3))
        #expect(seen.contains(.check(first, device: "sdd", verify: true)))
        #expect(!seen.contains { if case .reload = $0 { true } else { false } })
        let added = withoutNotes(machine.checked(first, device: "sdd", .up(latencyMilliseconds: 1), now: 3.1))
        #expect(
            added == [
                .reload(
                    map: "mpath0",
                    [.init(hostName: "storage0", device: sdd), .init(hostName: "storage0", device: sdc)])
            ])
        // A result for the device of before says nothing.
        #expect(machine.checked(first, device: "sdb", .down("late"), now: 4).isEmpty)
    }

    @Test("a map whose every device has gone keeps its table")
    func neverEmpty() throws {
        var machine = try steady()
        let gone = [first: view(nil, nil), second: view(nil, nil)]
        let actions = machine.look(look(true, true, views: gone), now: 1)
        #expect(!actions.contains { if case .reload = $0 { true } else { false } })
    }

    @Test("while up or down is at work, nothing is reloaded, scanned or logged in; paths are still failed")
    func runUnderWay() throws {
        var machine = try steady()
        let gone = [first: view(nil, nil, session: false), second: view("sdc", sdc)]
        let actions = withoutNotes(machine.look(look(true, true, queueing: false, run: true, views: gone), now: 2))
        #expect(actions == [.check(second, device: "sdc", verify: false)])
        #expect(
            withoutNotes(machine.checked(second, device: "sdc", .down("lost"), now: 2.1)) == [
                .failPath(map: "mpath0", sdc)
            ])
    }

    @Test("a session that is missing is logged in to every thirty seconds")
    func logins() throws {
        var machine = try steady()
        let gone = [first: view(nil, nil, session: false), second: view("sdc", sdc)]
        var times: [Double] = []
        for now in stride(from: 1.0, to: 65, by: 1)
        where machine.look(look(nil, true, views: gone), now: now).contains(.logIn(first)) {
            times.append(now)
        }
        #expect(times == [1, 31, 61])
    }

    @Test("what it writes is read back")
    func stateFile() throws {
        var machine = try steady()
        _ = machine.look(look(false, false), now: 2)
        let state = MonitorState(
            pid: 77, inventory: "abc", isReady: true, writtenSeconds: 1000,
            maps: machine.mapStates(now: 3, wallSeconds: 1000))
        #expect(JSONValue(parsing: state.json.pretty).flatMap { MonitorState($0) } == state)
        #expect(state.path("mpath0", "10.77.1.21:3260")?.device == "sdc")
        #expect(MonitorState(JSONValue.object([("schema", .string("attach.monitor/2"))])) == nil)
    }

    @Test("whatever comes in, in whatever order, no path is used that is not verified", arguments: 1...200)
    func anyOrder(seed: UInt64) throws {
        var generator = SplitMix(seed)
        var machine = try machine()
        var now = 0.0
        var active: [DMDeviceNumber: Bool] = [sdb: true, sdc: true]
        var lastGood: Set<DMDeviceNumber> = [sdb, sdc]
        var queueing = true
        for _ in 0..<200 {
            now += Double(generator.next() % 30) / 10
            var actions: [MonitorMachine.Action] = []
            let isFirst = generator.next() % 2 == 0
            let (key, device, number) = isFirst ? (first, "sdb", sdb) : (second, "sdc", sdc)
            switch generator.next() % 6 {
            case 0, 1: actions = machine.look(look(active[sdb], active[sdc], queueing: queueing), now: now)
            case 2: active[number] = false
            case 3:
                lastGood.insert(number)
                actions = machine.checked(key, device: device, .up(latencyMilliseconds: 1), now: now)
            case 4:
                lastGood.remove(number)
                actions = machine.checked(key, device: device, .down("lost"), now: now)
            default: actions = machine.tick(now: now)
            }
            for action in actions {
                switch action {
                case .failPath(_, let number): active[number] = false
                case .reinstatePath(_, let number):
                    #expect(lastGood.contains(number), "seed \(seed)")
                    active[number] = true
                case .setQueueing(_, let isOn): queueing = isOn
                default: break
                }
            }
        }
        // However it went: without a path, queueing ends in time.
        active = [sdb: false, sdc: false]
        _ = machine.checked(first, device: "sdb", .down("lost"), now: now)
        _ = machine.checked(second, device: "sdc", .down("lost"), now: now)
        let ended =
            machine.look(look(false, false, queueing: true), now: now)
            + machine.look(look(false, false, queueing: true), now: now + 61)
        #expect(ended.contains(.setQueueing(map: "mpath0", false)), "seed \(seed)")
    }
}
