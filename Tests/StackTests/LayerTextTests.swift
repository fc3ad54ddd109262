import DeviceMapper
import HostDevices
import Rack
import Stack
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Scope: what this client is to have")
struct ScopeTests {
    @Test("everything, one volume, one filesystem with what it needs")
    func selections() throws {
        let all = try walkThroughScope()
        #expect(all.volumes.map(\.name) == ["mpath0", "mpath1"])
        #expect(all.filesystems.map(\.name) == ["gfs2"])
        #expect(all.isFirstClient)
        #expect(all.paths.map(\.sessionName).first == "10.77.0.21:3260 mpath0")
        #expect(all.paths.count == 4)
        let volume = try walkThroughScope(.volume("mpath1"))
        #expect(volume.volumes.map(\.name) == ["mpath1"])
        #expect(volume.volumeGroups.isEmpty)
        #expect(volume.filesystems.isEmpty)
        let filesystem = try walkThroughScope(.filesystem("gfs2"))
        #expect(filesystem.volumes.map(\.name) == ["mpath0", "mpath1"])
        #expect(filesystem.volumeGroups.map(\.name) == ["VG0"])
        #expect(try !StackScope(inventory: walkThrough(), clientName: "client1").isFirstClient)
    }

    @Test("what is not there is refused with the names of what is")
    func refusals() throws {
        let inventory = try walkThrough()
        let client = #expect(throws: StackError.self) { try StackScope(inventory: inventory, clientName: "clientX") }
        #expect(client?.kind == .inventory)
        #expect(
            client?.description
                == "clientX: no client of rack1 has this name; say which one this host is: --client client0|client1")
        let volume = #expect(throws: StackError.self) { try walkThroughScope(.volume("mpath7")) }
        #expect(
            volume?.description
                == "mpath7: the inventory has no volume of this name; take one of mpath0, mpath1")
        let filesystem = #expect(throws: StackError.self) { try walkThroughScope(.filesystem("ext4")) }
        #expect(filesystem?.advice == "take one of gfs2")
    }

    @Test("every kind of error has an exit code of its own, from 10 on but for the plain failure")
    func exitCodes() {
        let kinds: [StackError.Kind] = [
            .failed, .noRoot, .inventory, .missing, .busy, .mismatch, .deadline, .noPath, .locked, .secrets,
        ]
        #expect(kinds.map(\.rawValue) == [1, 10, 11, 12, 13, 14, 15, 16, 17, 18])
    }
}

@Suite("The kernel's own bound on queueing")
struct QueueingBoundTests {
    @Test("up sets it, a second up leaves it, down gives back what was there")
    func setAndRestored() async throws {
        let tree = try ClusterTree([MapTable.backstopFile: "17\n"])
        let context = tree.context { program, _, _ in
            Issue.record("\(program) was run")
            return success("")
        }
        let (layer, scope) = (MapsLayer(context), try walkThroughScope(.volume("mpath0")))
        func step(_ steps: [Step]) -> Step? { steps.first { $0.object == "dm_multipath" && $0.layer == .maps } }
        let nothing = StackObservation()
        #expect(try step(layer.stepsDown(scope, nothing)) == nil)
        let bound = try #require(try layer.stepsUp(scope, nothing).first { $0.name.contains("queueing after 90 s") })
        #expect(try await bound.run() == .changed)
        #expect(tree.read(MapTable.backstopFile) == "90")
        #expect(try !layer.stepsUp(scope, nothing).contains { $0.name.contains("queueing") })
        // Another inventory's bound is no reason to forget what was there before attach.
        try tree.write(MapTable.backstopFile, "45")
        _ = try await layer.stepsUp(scope, nothing).first { $0.name.contains("queueing after") }?.run()
        let back = try #require(step(try layer.stepsDown(scope, nothing)))
        #expect(try await back.run() == .changed)
        #expect(tree.read(MapTable.backstopFile) == "17")
        #expect(try step(layer.stepsDown(scope, nothing)) == nil)
    }
}

@Suite("Map tables")
struct MapTableTests {
    private let paths: [MapTable.UsablePath] = [
        .init(hostName: "storage0", device: .init(major: 8, minor: 16)),
        .init(hostName: "storage0", device: .init(major: 8, minor: 32)),
        .init(hostName: "storage1", device: .init(major: 8, minor: 48)),
    ]

    private func volume(_ multipath: String) throws -> Volume {
        let text = walkThroughText.split(separator: "\n").map(String.init).map { line in
            line.contains("name: mpath0,") ? line.dropLast() + ", multipath: \(multipath)}" : line
        }
        let load = Inventory.load(text: text.joined(separator: "\n"), fileName: "rack.yaml")
        return try #require(load.inventory?.volume(named: "mpath0"), "\(load.report)")
    }

    @Test("groups and selectors as the inventory asks")
    func groupings() throws {
        let byHost = try volume("{grouping: groupByHost, selector: service-time 0}")
        #expect(
            MapTable.table(byHost, paths: paths, queueIfNoPath: true).line
                == "1 queue_if_no_path 0 2 1 service-time 0 2 2 8:16 1 1 8:32 1 1 service-time 0 1 2 8:48 1 1")
        let multibus = try volume("{grouping: multibus, selector: round-robin 0}")
        #expect(
            MapTable.table(multibus, paths: paths, queueIfNoPath: false).line
                == "0 0 1 1 round-robin 0 3 1 8:16 1 8:32 1 8:48 1")
        let failover = try volume("{grouping: failover, selector: queue-length 0}")
        #expect(
            MapTable.table(failover, paths: paths, queueIfNoPath: false).line
                == "0 0 3 1 queue-length 0 1 1 8:16 1 queue-length 0 1 1 8:32 1 queue-length 0 1 1 8:48 1")
    }

    @Test("the kernel's own words make no difference, paths and selectors do")
    func equivalence() throws {
        let volume = try volume("{grouping: multibus, selector: service-time 0}")
        let wanted = MapTable.table(volume, paths: paths, queueIfNoPath: false)
        let line = "2 queue_if_no_path retain_attached_hw_handler 0 1 1 service-time 0 3 2 8:16 1 1 8:32 1 1 8:48 1 1"
        #expect(MapTable.isEquivalent(try MultipathTable(parsing: line), wanted))
        let fewer = "0 0 1 1 service-time 0 2 2 8:16 1 1 8:32 1 1"
        #expect(!MapTable.isEquivalent(try MultipathTable(parsing: fewer), wanted))
        let other = "0 0 1 1 round-robin 0 3 1 8:16 1 8:32 1 8:48 1"
        #expect(!MapTable.isEquivalent(try MultipathTable(parsing: other), wanted))
    }

    @Test("the kernel's bound lies behind the longest window, and there is none without queueing")
    func backstop() throws {
        #expect(MapTable.backstopSeconds([try volume("{queueSeconds: 60}"), try volume("{queueSeconds: 10}")]) == 90)
        #expect(MapTable.backstopSeconds([try volume("{queueSeconds: 0}")]) == 0)
        #expect(
            MapTable.modules([try volume("{selector: round-robin 0}")]) == ["dm_mod", "dm_multipath", "dm_round_robin"])
    }
}

@Suite("A path's identity")
struct PathIdentityTests {
    private func page(wwid: UInt64, port: UInt16) -> [UInt8] {
        var page: [UInt8] = [0, 0x83, 0, 20, 0x01, 0x03, 0, 8]
        for shift in stride(from: 56, through: 0, by: -8) {
            page.append(UInt8(truncatingIfNeeded: wwid >> UInt64(shift)))
        }
        page += [0x01, 0x14, 0, 4, 0, 0, UInt8(port >> 8), UInt8(port & 0xff)]
        return page
    }

    @Test("WWID, size, relative port and portal group tag are all compared")
    func comparisons() throws {
        let path = try #require(walkThroughScope().paths.first)
        let tag = path.portal.tag
        let good = DeviceIdentification(page: page(wwid: path.volume.wwid, port: tag))
        func disagreement(
            _ identification: DeviceIdentification?, size: UInt64 = 1 << 30, group: Int? = nil
        ) -> String? {
            PathIdentity.disagreement(path, identification: identification, sizeBytes: size, portalGroupTag: group)
        }
        #expect(disagreement(good) == nil)
        #expect(disagreement(good, group: Int(tag)) == nil)
        #expect(disagreement(nil) == "wanted WWID \(path.volume.wwidString), found no VPD page 83")
        let other = DeviceIdentification(page: page(wwid: 0x3000_0000_0000_0001, port: tag))
        #expect(disagreement(other) == "wanted WWID \(path.volume.wwidString), found 33000000000000001")
        #expect(disagreement(good, size: 512) == "wanted 1073741824 bytes, found 512")
        let port = DeviceIdentification(page: page(wwid: path.volume.wwid, port: tag ^ 1))
        #expect(disagreement(port) == "wanted relative target port \(tag), found \(tag ^ 1)")
        #expect(disagreement(good, group: 1) == "wanted portal group tag \(tag), found 1")
    }

    @Test("the udev rule names every volume, in either form of the kernel's wwid attribute")
    func udevRule() throws {
        let text = UdevRule.text(try walkThrough().volumes)
        #expect(text.contains(#"ATTRS{wwid}=="*36132d69e465b57d", ENV{DM_MULTIPATH_DEVICE_PATH}="1""#))
        #expect(text.contains(#"ATTRS{wwid}=="*362c477f0695976c""#))
        #expect(text.hasSuffix("LABEL=\"attach_end\"\n"))
    }
}

@Suite("open-iscsi")
struct ISCSIAdminTests {
    @Test("a session's record says every timer, and that nothing starts or scans by itself")
    func settings() {
        let settings = Dictionary(uniqueKeysWithValues: ISCSIAdmin.nodeSettings(.standard).map { ($0.name, $0.value) })
        #expect(settings["node.session.scan"] == "manual")
        #expect(settings["node.startup"] == "manual")
        #expect(settings["node.session.timeo.replacement_timeout"] == "5")
        #expect(settings["node.conn[0].timeo.noop_out_interval"] == "5")
        #expect(settings["node.conn[0].iscsi.DataDigest"] == "CRC32C,None")
    }

    @Test("exit code and words become one line with the reason")
    func reasons() {
        let refused = CommandResult(
            ending: .exited(19),
            standardError: """
                iscsiadm: Could not login to [iface: rack-rack1, target: iqn.x, portal: 10.77.0.21,3260].
                iscsiadm: initiator reported error (19 - encountered non-retryable iSCSI login failure)
                iscsiadm: Could not log into all portals

                """)
        #expect(
            ISCSIAdmin.reason(refused)
                == "the target refused the login for good (iscsid: 19 - encountered non-retryable iSCSI login failure)")
        let plain = CommandResult(ending: .exited(21), standardError: "iscsiadm: No records found\n")
        #expect(ISCSIAdmin.reason(plain) == "open-iscsi has no such record (No records found)")
        #expect(ISCSIAdmin.reason(CommandResult(ending: .exited(8))) == "the portal did not answer in time")
    }

    @Test("a collision on open-iscsi's records is tried again, anything else is not")
    func collisions() async throws {
        let folder = try TemporaryFolder()
        let counter = folder.file("count")
        try folder.write(
            "iscsiadm",
            "#!/bin/sh\necho x >> \(counter)\n[ $(wc -l < \(counter)) -ge 3 ] && exit ${1:-0}\nexit ${2:-6}\n",
            mode: 0o755)
        let commands = CommandRunner(folders: [folder.path])
        #expect(try await ISCSIAdmin.onRecords(commands, []).isSuccess)
        #expect(try folder.read("count").split(separator: "\n").count == 3)
        try folder.write("count", "")
        #expect(try await ISCSIAdmin.onRecords(commands, ["0", "21"]).exitCode == 21)
        #expect(try folder.read("count").split(separator: "\n").count == 1)
    }

    @Test("a killed iscsiadm's lock is removed; one that is held, or goes by itself, is left alone")
    func staleLock() async throws {
        let folder = try TemporaryFolder()
        try folder.write("lock.write", "")
        await ISCSIAdmin.clearStaleLock(link: folder.file("lock.write"), seconds: 1, isHeld: { true })
        #expect(unsafe access(folder.file("lock.write"), F_OK) == 0)
        await ISCSIAdmin.clearStaleLock(link: folder.file("lock.write"), seconds: 1, isHeld: { false })
        #expect(unsafe access(folder.file("lock.write"), F_OK) != 0)
    }
}
