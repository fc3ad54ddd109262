import DeviceMapper
import Stack
import Testing

/// What the monitor makes of asymmetric access: drained paths, and groups of paths that are to be preferred.
@Suite("Monitor: asymmetric access")
struct MonitorAccessTests {
    private let first = MonitorMachine.PathKey(volume: "mpath0", endpoint: "10.77.0.21:3260")
    private let second = MonitorMachine.PathKey(volume: "mpath0", endpoint: "10.77.1.21:3260")
    private let sdb = DMDeviceNumber(major: 8, minor: 16)
    private let sdc = DMDeviceNumber(major: 8, minor: 32)

    /// A look at two paths in a group each.
    private func look(_ b: Bool, _ c: Bool, group: Int = 1, firstHasSession: Bool = true) -> MonitorMachine.Look {
        .init(
            paths: [
                first: .init(
                    hasSession: firstHasSession, sessionIsUp: firstHasSession, device: firstHasSession ? "sdb" : nil,
                    number: firstHasSession ? sdb : nil),
                second: .init(hasSession: true, sessionIsUp: true, device: "sdc", number: sdc),
            ],
            maps: [
                "mpath0": .init(
                    paths: [(sdb, b), (sdc, c)], isQueueing: true, groups: [[sdb], [sdc]], currentGroup: group)
            ], runIsUnderWay: false)
    }

    private func steady() throws -> MonitorMachine {
        let scope = try walkThroughScope(.volume("mpath0"))
        var machine = MonitorMachine(volumes: scope.volumes, paths: scope.paths, checkSeconds: 2, now: 0)
        _ = machine.look(look(true, true), now: 0)
        _ = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 0)
        _ = machine.checked(second, device: "sdc", .up(latencyMilliseconds: 1), now: 0)
        return machine
    }

    private func withoutNotes(_ actions: [MonitorMachine.Action]) -> [MonitorMachine.Action] {
        actions.filter { if case .note = $0 { false } else { true } }
    }

    private func reason(_ machine: MonitorMachine) -> String? {
        machine.mapStates(now: 100, wallSeconds: 1000).first?.paths.first?.reason
    }

    @Test("a drained path is failed with its reason, through logout and all, and is back with its first good check")
    func drained() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        let actions = withoutNotes(machine.checked(first, device: "sdb", .drained, now: 2.1))
        #expect(actions == [.failPath(map: "mpath0", sdb)])
        #expect(reason(machine) == "drained: unavailable")
        // The initiator was asked to log out: the connection goes, then the session with its disk.
        _ = machine.look(look(false, true, group: 2), now: 4)
        _ = machine.checked(first, device: "sdb", .down("transport disrupted"), now: 4.1)
        #expect(reason(machine) == "drained: transport disrupted")
        let gone = machine.look(look(false, true, group: 2, firstHasSession: false), now: 6)
        #expect(reason(machine) == "drained: no session")
        #expect(gone.contains(.logIn(first)))
        machine.reloaded("mpath0")
        // Back: verified like any path, and one good check is enough, since it has not flapped.
        let seen = machine.look(look(false, true, group: 2), now: 40)
        #expect(seen.contains(.check(first, device: "sdb", verify: true)))
        #expect(
            withoutNotes(machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 40.1)) == [
                .reinstatePath(map: "mpath0", sdb)
            ])
        #expect(reason(machine) == "")
        #expect(machine.mapStates(now: 41, wallSeconds: 1000).first?.paths.first?.failures == 0)
    }

    @Test("drained again and again, a path needs no more good checks than the first time")
    func drainsAreNoFlaps() throws {
        var machine = try steady()
        for round in 1...4 {
            let now = Double(round * 10)
            _ = machine.look(look(true, true), now: now)
            _ = machine.checked(first, device: "sdb", .drained, now: now)
            _ = machine.look(look(false, true, group: 2), now: now + 2)
            #expect(
                machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: now + 2)
                    .contains(.reinstatePath(map: "mpath0", sdb)), "round \(round)")
        }
    }

    @Test("a path that failed by itself after a drain is over is down, not drained")
    func downAfterDrain() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        _ = machine.checked(first, device: "sdb", .drained, now: 2)
        _ = machine.look(look(false, true), now: 4)
        _ = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 4)
        _ = machine.look(look(true, true), now: 6)
        _ = machine.checked(first, device: "sdb", .down("timed out"), now: 6)
        #expect(reason(machine) == "timed out")
    }

    @Test("I/O moves to a group that is optimized, once, and does not move back between equals")
    func groups() throws {
        var machine = try steady()
        #expect(withoutNotes(machine.look(look(true, true), now: 1)).isEmpty)
        _ = machine.look(look(true, true), now: 2)
        // It stays in the map: it takes I/O.
        #expect(
            withoutNotes(machine.checked(first, device: "sdb", .nonOptimized(latencyMilliseconds: 1), now: 2)) == [])
        #expect(withoutNotes(machine.look(look(true, true), now: 3)) == [.switchGroup(map: "mpath0", 2)])
        #expect(withoutNotes(machine.look(look(true, true, group: 2), now: 3.5)).isEmpty)
        // Optimized again: the other one is as good, so I/O stays there.
        _ = machine.look(look(true, true, group: 2), now: 4)
        _ = machine.checked(first, device: "sdb", .up(latencyMilliseconds: 1), now: 4)
        #expect(withoutNotes(machine.look(look(true, true, group: 2), now: 5)).isEmpty)
    }

    @Test("a group is not preferred for a path that is down, and never left for one that is no better")
    func noBetterGroup() throws {
        var machine = try steady()
        _ = machine.look(look(true, true), now: 2)
        _ = machine.checked(first, device: "sdb", .nonOptimized(latencyMilliseconds: 1), now: 2)
        _ = machine.checked(second, device: "sdc", .drained, now: 2)
        #expect(!machine.look(look(true, false), now: 3).contains { if case .switchGroup = $0 { true } else { false } })
        _ = machine.look(look(true, false), now: 4)
        _ = machine.checked(second, device: "sdc", .nonOptimized(latencyMilliseconds: 1), now: 4)
        #expect(!machine.look(look(true, true), now: 5).contains { if case .switchGroup = $0 { true } else { false } })
    }
}
