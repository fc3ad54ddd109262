import PathDiscovery
import Synchronization
import Testing

@Suite("Discovery against targets that behave, refuse and lie", .timeLimit(.minutes(2)))
struct DiscoveryTests {
    private static let name = "iqn.2026-01.net.example:rack1:mpath0"

    private static func options(_ edit: (inout DiscoveryOptions) -> Void = { _ in }) -> DiscoveryOptions {
        var options = DiscoveryOptions(initiatorName: "iqn.2026-01.net.example:test")
        options.connectTimeoutSeconds = 0.5
        options.commandTimeoutSeconds = 1
        edit(&options)
        return options
    }

    private static func portal(_ target: FakeTarget) -> ISCSIPortal {
        ISCSIPortal(address: "127.0.0.1", port: target.port)
    }

    /// A well-behaved target of one unit; `list` is what it says of its portals, `tweak` answers first when it wants to.
    private static func target(
        list: @escaping @Sendable (Int) -> [String] = { ["TargetName=\(name)", "TargetAddress=127.0.0.1:\($0),7"] },
        tweak: @escaping @Sendable (_ header: [UInt8], _ data: [UInt8]) -> [UInt8]?? = { _, _ in .none }
    ) throws -> FakeTarget {
        try #require(
            FakeTarget { header, data, port in
                if let answer = tweak(header, data) { return answer }
                switch header[0] & 0x3F {
                case 0x03: return FakeTarget.login(header)
                case 0x04: return FakeTarget.text(header, list(port))
                case 0x06: return FakeTarget.pdu(0x26, 0x80, to: header)
                case 0x01: return command(header)
                default: return nil
                }
            })
    }

    private static func command(_ header: [UInt8]) -> [UInt8] {
        let expected = header[20..<24].reduce(0) { $0 << 8 | Int($1) }
        func data(_ bytes: [UInt8]) -> [UInt8] { FakeTarget.dataIn(header, bytes, expected: expected) }
        switch (header[32], header[33] & 0x1F, header[34]) {
        case (0xA0, _, _): return data([0, 0, 0, 8, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8))
        case (0x12, 0, _):
            return data([0, 0, 6, 2, 31, 0x10, 0, 2] + Array("RACK    mpath0          0001".utf8))
        case (0x12, 1, 0x83): return data(UnitPagesTests.page83)
        case (0x12, 1, 0x80): return data([0, 0x80, 0, 4] + Array("a001".utf8))
        case (0x9E, 0x10, _):
            return data([0, 0, 0, 0, 0, 0x1F, 0xFF, 0xFF, 0, 0, 2, 0] + [UInt8](repeating: 0, count: 20))
        case (0xA3, 0x0A, _): return data([0, 0, 0, 12, 0x01, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2])
        default: return FakeTarget.checkCondition(header, key: 5, code: 0x20)
        }
    }

    @Test("One unit through two portals is one unit of two paths") func twoPortals() async throws {
        let first = try Self.target()
        let second = try Self.target()
        let result = await PathDiscovery.discover(
            portals: [Self.portal(first), Self.portal(second), Self.portal(first)], options: Self.options())
        #expect(result.errors.isEmpty, "\(result.errors)")
        #expect(result.portals.count == 2, "asked once, though named twice")
        let unit = try #require(result.units.first)
        #expect(result.units.count == 1 && unit.paths.count == 2 && unit.contradictions.isEmpty)
        #expect(unit.wwid == "3300000000000a001" && unit.sizeBytes == 1 << 30 && unit.blockBytes == 512)
        let path = try #require(unit.paths.first)
        #expect(path.portalGroupTag == 7 && path.lun == 0 && path.targetName == Self.name)
        #expect(path.vendor == "RACK" && path.product == "mpath0" && path.serialNumber == "a001")
        #expect(path.relativeTargetPort == 2 && path.targetPortGroup == 3)
        #expect(path.accessState == .activeNonOptimized)
    }

    @Test("A dead portal costs its timeout once, though ten targets name it") func deadPortal() async throws {
        let deadPortal = try #require(DeadPortal())
        let deadPort = deadPortal.port
        let target = try Self.target(list: { port in
            (0..<10).flatMap {
                [
                    "TargetName=\(Self.name)\($0)", "TargetAddress=127.0.0.1:\(port),1",
                    "TargetAddress=127.0.0.1:\(deadPort),2",
                ]
            }
        })
        let start = ContinuousClock.now
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        #expect(ContinuousClock.now - start >= .milliseconds(500), "it was waited for")
        #expect(ContinuousClock.now - start < .seconds(4), "and once only")
        #expect(result.paths.count == 20)
        let dead = result.paths.filter { $0.portal.port == deadPort }
        #expect(dead.count == 10 && dead.allSatisfy { $0.error?.isPortalDead == true && $0.wwid == nil })
        #expect(result.units.first?.paths.count == 10)
        #expect(result.units.first?.contradictions.count == 1, "ten targets, one WWID: two disks to be merged?")
    }

    @Test("A portal that was asked and found dead is not tried again") func deadWhenAsked() async throws {
        let target = try Self.target(list: { port in
            ["TargetName=\(Self.name)", "TargetAddress=127.0.0.1:\(port),1", "TargetAddress=127.0.0.1:1,2"]
        })
        let dead = ISCSIPortal(address: "127.0.0.1", port: 1)
        let result = await PathDiscovery.discover(portals: [dead, Self.portal(target)], options: Self.options())
        #expect(result.portals[0].error?.isPortalDead == true)
        #expect(result.portals[0].error?.cause.contains("refused") == true)
        #expect(
            result.paths.count == 2 && result.paths.filter { $0.error?.isPortalDead == true }.map(\.portal) == [dead])
    }

    @Test(
        "A login that is refused says why",
        arguments: [
            (0x0201, "authentication"), (0x0202, "not allowed"), (0x0203, "not found"), (0x0301, "unavailable"),
            (0x0302, "resources"), (0x0206, "too many"), (0x02FF, "2/255"),
        ])
    func loginRefused(status: Int, words: String) async throws {
        let target = try Self.target(tweak: { header, data in
            let isDiscovery = String(decoding: data, as: UTF8.self).contains("SessionType=Discovery")
            return header[0] & 0x3F == 0x03 && !isDiscovery ? FakeTarget.login(header, status: UInt16(status)) : .none
        })
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        let error = try #require(result.paths.first?.error)
        #expect(result.paths.count == 1 && error.operation == .login)
        #expect(error.loginStatus == DiscoveryError.LoginStatus(UInt16(status)))
        #expect(error.description.contains(words), "\(error)")
        #expect(error.description.contains(Self.name))
    }

    @Test("Silence at any point ends at the deadline", arguments: [0x03, 0x04, 0x01])
    func silence(opcode: Int) async throws {
        let target = try Self.target(tweak: { header, _ in Int(header[0] & 0x3F) == opcode ? .some([]) : .none })
        let start = ContinuousClock.now
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        #expect(ContinuousClock.now - start < .seconds(4))
        #expect(result.errors.count == 1)
        #expect(result.errors.first?.cause.contains("no answer within 1.0 s") == true, "\(result.errors)")
    }

    @Test("A connection that is cut at any point is an error, not a wait", arguments: [0x03, 0x04, 0x01])
    func cut(opcode: Int) async throws {
        let target = try Self.target(tweak: { header, _ in Int(header[0] & 0x3F) == opcode ? .some(nil) : .none })
        let start = ContinuousClock.now
        let result = await PathDiscovery.discover(
            portals: [Self.portal(target)], options: Self.options { $0.commandTimeoutSeconds = 20 })
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(result.errors.count == 1, "\(result.errors)")
        #expect(target.connectionCount <= 2, "no reconnecting")
    }

    @Test(
        "Lists that are garbage, endless or someone else's",
        arguments: [
            ["Nonsense"], ["TargetAddress=1.2.3.4:3260,1"], ["TargetName=", "TargetAddress=x"],
            ["TargetName=\(String(repeating: "a", count: 300))"], ["TargetName=a/../b"], ["TargetName=a\u{1B}[2J"],
            ["TargetName=iqn.a", "TargetAddress=[::", "TargetAddress=:", "TargetAddress=1.2.3.4:99999,1"],
        ])
    func garbageLists(lines: [String]) async throws {
        let target = try Self.target(list: { _ in lines })
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        #expect(result.units.count <= 1)
        for target in result.portals.flatMap(\.targets) { #expect(target.name == "iqn.a" && target.portals.isEmpty) }
    }

    @Test("Counts are bounded") func bounds() async throws {
        let target = try Self.target(list: { port in
            (0..<300).flatMap { number in
                ["TargetName=iqn.x:\(number)"] + (0..<5).map { "TargetAddress=127.0.0.1:\(port),\($0)" }
            }
        })
        let result = await PathDiscovery.discover(
            portals: [Self.portal(target)],
            options: Self.options {
                $0.maximumTargets = 20
                $0.maximumPortalsPerTarget = 2
                $0.probesUnits = false
            })
        #expect(result.portals[0].targets.count == 20 && result.paths.isEmpty)
        #expect(result.portals[0].targets.map(\.name).prefix(2) == ["iqn.x:0", "iqn.x:1"])
        #expect(result.portals[0].targets.allSatisfy { $0.portals.map(\.portalGroupTag) == [0, 1] })
    }

    @Test("Data that exceeds what was asked for breaks the connection, not the program") func overlong() async throws {
        let target = try Self.target(tweak: { header, _ in
            guard header[0] & 0x3F == 0x01 else { return .none }
            let flood = FakeTarget.pdu(0x25, 0, to: header, data: [UInt8](repeating: 0xAA, count: 200_000))
            return .some(flood + flood)
        })
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        #expect(result.errors.count == 1, "\(result.errors)")
    }

    @Test("Garbage in place of any answer", arguments: [0x03, 0x04, 0x01])
    func garbage(opcode: Int) async throws {
        let seed = Atomic<UInt64>(1)
        let target = try Self.target(tweak: { header, _ in
            guard Int(header[0] & 0x3F) == opcode else { return .none }
            var bytes = [UInt8](repeating: 0, count: 480)
            let start = seed.load(ordering: .relaxed)
            var state = start
            for index in bytes.indices {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[index] = UInt8(truncatingIfNeeded: state >> 56)
            }
            // No data behind the header, and often the opcode and tag that are waited for: deeper than the first check.
            bytes[4...7] = [0, 0, 0, 0]
            if start % 2 == 0 {
                bytes[0] = [0x03: 0x23, 0x04: 0x24, 0x01: 0x21][opcode] ?? 0
                bytes[16...19] = header[16...19]
            }
            return .some(bytes)
        })
        for round in 1...20 {
            seed.store(UInt64(round), ordering: .relaxed)
            let result = await PathDiscovery.discover(
                portals: [Self.portal(target)], options: Self.options { $0.commandTimeoutSeconds = 0.2 })
            #expect(result.units.isEmpty, "seed \(round)")
        }
    }

    @Test("Unit attentions are asked again; pages a unit lacks are no error") func attentionsAndGaps() async throws {
        let attentions = Mutex(3)
        let target = try Self.target(tweak: { header, _ in
            guard header[0] & 0x3F == 0x01 else { return .none }
            let pending = attentions.withLock { left -> Bool in
                guard left > 0, header[32] == 0x9E else { return false }
                left -= 1
                return true
            }
            if pending { return FakeTarget.checkCondition(header, key: 6, code: 0x29) }
            // No page 80h, no port groups.
            if header[32] == 0xA3 || header[32] == 0x12 && header[34] == 0x80 {
                return FakeTarget.checkCondition(header, key: 5, code: 0x24)
            }
            return .none
        })
        let result = await PathDiscovery.discover(portals: [Self.portal(target)], options: Self.options())
        #expect(result.errors.isEmpty, "\(result.errors)")
        #expect(result.units.first?.sizeBytes == 1 << 30)
        #expect(result.paths.first?.serialNumber == nil && result.paths.first?.accessState == nil)
    }

    @Test("Only wanted targets are logged in to") func wanted() async throws {
        let target = try Self.target(list: { port in
            ["a", "b"].flatMap { ["TargetName=iqn.x:\($0)", "TargetAddress=127.0.0.1:\(port),1"] }
        })
        let result = await PathDiscovery.discover(
            portals: [Self.portal(target)], options: Self.options { $0.targetNames = ["iqn.x:b"] })
        #expect(result.paths.map(\.targetName) == ["iqn.x:b"])
        #expect(result.portals[0].targets.count == 2)
        #expect(target.connectionCount == 2)
    }

    @Test("Paths that contradict each other are named") func contradictions() {
        func path(_ target: String, _ size: UInt64, wwid: String? = "31") -> DiscoveredPath {
            var path = DiscoveredPath(portal: ISCSIPortal(address: "a"), targetName: target, portalGroupTag: 1)
            path.wwid = wwid
            path.sizeBytes = size
            path.deviceType = 0
            return path
        }
        var controller = path("x", 1)
        controller.deviceType = 0x0C
        let units = DiscoveredUnit.grouping([path("x", 1), path("y", 2), path("z", 3, wwid: nil), controller])
        #expect(units.count == 1 && units[0].sizeBytes == nil)
        #expect(units[0].contradictions == ["sizes 1, 2 bytes", "targets x, y"])
    }
}
