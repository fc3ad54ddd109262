import HostDevices
import Rack
import Stack
import Testing

@Suite("Volume group: what is found on the maps")
struct VolumeGroupFindingTests {
    private let devices = ["/dev/mapper/mpath0", "/dev/mapper/mpath1"]

    private func judge(
        _ changes: [String: String] = [:], second: [String: String]? = nil, cluster: String = "client"
    ) throws -> VolumeGroupFinding {
        let rows = try #require(LVMCommand.rows(Captured.physicalVolumes(changes, second: second)))
        return VolumeGroupFinding(
            try #require(walkThrough().volumeGroups.first), devices: devices, clusterName: cluster, rows: rows)
    }

    private func cause(_ finding: VolumeGroupFinding) -> String? {
        if case .conflict(let cause, _) = finding { return cause }
        return nil
    }

    @Test("The group as wanted")
    func ready() throws {
        guard case .ready(let facts) = try judge() else {
            Issue.record("not ready")
            return
        }
        #expect(facts.extents == 510)
        #expect(facts.lockCluster == "client")
    }

    @Test("Nothing, and labels of no group")
    func absent() throws {
        let none = ["pv_fmt": "", "vg_name": "", "vg_uuid": "", "vg_lock_type": ""]
        #expect(try judge(none) == .absent(orphans: []))
        #expect(try judge(none, second: ["pv_fmt": "lvm2"]) == .absent(orphans: ["/dev/mapper/mpath1"]))
    }

    @Test(
        "Each contradiction is named",
        arguments: [
            (["vg_lock_args": "1.0.0:other"], "it belongs to cluster other, the inventory says client"),
            (["vg_lock_type": "sanlock"], "its locks are of type sanlock, wanted dlm"),
            (["vg_extent_size": "1048576"], "its extents have 1048576 bytes, the inventory says 4194304"),
            (["pv_count": "3"], "it has 3 physical volumes, the inventory 2"),
            (["vg_missing_pv_count": "1"], "it has 2 physical volumes, the inventory 2"),
            (["vg_name": "data"], "/dev/mapper/mpath0 belongs to volume group data"),
        ])
    func conflicts(changes: [String: String], expected: String) throws {
        #expect(try cause(judge(changes)) == expected)
    }

    @Test("One map in the group, the other not")
    func half() throws {
        let found = try cause(judge(["pv_count": "1"], second: ["vg_name": "", "pv_fmt": ""]))
        #expect(found == "it has 1 physical volumes, the inventory 2 (not in it: /dev/mapper/mpath1)")
        #expect(try cause(judge(second: ["vg_uuid": "x"])) == "there are two volume groups of this name on the maps")
    }

    @Test("A group that is not shared yet is no conflict, the creation may be under way")
    func unshared() throws {
        guard case .unshared = try judge(["vg_lock_type": "", "vg_lock_args": "", "lv_count": "0"]) else {
            Issue.record("not unshared")
            return
        }
    }

    @Test("What LVM read while it was being written is no group of somebody else's, and no label to take over")
    func halfWritten() throws {
        let unknown = ["vg_name": "[unknown]", "vg_uuid": "", "vg_lock_type": ""]
        #expect(try judge(unknown, second: unknown) == .absent(orphans: []))
    }

    @Test("Only an empty map is taken, or one with the label of our own interrupted creation")
    func emptiness() throws {
        let member = try #require(DeviceSignature.parse(Captured.memberSignature))
        let device = devices[0]
        let ext4 = DeviceSignature(type: "ext4", offset: "0x438", uuid: "x", label: "backup")
        try CreationCheck.require([(device, [])], orphans: [], isBegun: false)
        try CreationCheck.require([(device, member)], orphans: [device], isBegun: true)
        for (signatures, orphans, isBegun) in [
            (member, [device], false), (member, [], true), ([ext4], [], true), (member + [ext4], [device], true),
        ] {
            let error = refusal {
                try CreationCheck.require([(device, signatures)], orphans: orphans, isBegun: isBegun)
            }
            #expect(error?.kind == .mismatch)
            #expect(error?.object == device)
        }
    }

    @Test("The note holds for exactly the maps it was written for")
    func note() throws {
        let tree = try ClusterTree()
        let note = CreationNote(folder: tree.path + "/cluster", group: "VG0")
        #expect(!note.isBegun(mapUUIDs: ["mpath-a", "mpath-b"]))
        try note.write(mapUUIDs: ["mpath-a", "mpath-b"])
        #expect(note.isBegun(mapUUIDs: ["mpath-a", "mpath-b"]))
        #expect(!note.isBegun(mapUUIDs: ["mpath-a"]))
        #expect(!CreationNote(folder: tree.path + "/cluster", group: "VG1").isBegun(mapUUIDs: ["mpath-a", "mpath-b"]))
        note.remove()
        #expect(!note.isBegun(mapUUIDs: ["mpath-a", "mpath-b"]))
    }
}

@Suite("Filesystem: whether it is made")
struct FilesystemDecisionTests {
    private func superblock(_ table: String, _ lockProtocol: String = "lock_dlm") -> GFS2Superblock? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes.replaceSubrange(0..<8, with: [0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1])
        bytes.replaceSubrange(96..<(96 + lockProtocol.utf8.count), with: lockProtocol.utf8)
        bytes.replaceSubrange(160..<(160 + table.utf8.count), with: table.utf8)
        return GFS2Superblock(bytes)
    }

    @Test("Made on an empty device only; ours is recognised; anything else stops")
    func decisions() throws {
        let filesystem = try #require(walkThrough().filesystems.first)
        let ext4 = DeviceSignature(type: "ext4", offset: "0x438", uuid: nil, label: nil)
        let gfs2 = DeviceSignature(type: "gfs2", offset: "0x10000", uuid: nil, label: "client:gfs2")
        #expect(try FilesystemLayer.Work.needsMaking(nil, [], filesystem))
        #expect(try !FilesystemLayer.Work.needsMaking(superblock("client:gfs2"), [gfs2], filesystem))
        let refusals: [(GFS2Superblock?, [DeviceSignature], String)] = [
            (nil, [ext4], "it is not empty: ext4 at 0x438"),
            (
                superblock("other:gfs2"), [gfs2],
                "it holds the GFS2 other:gfs2 (lock_dlm), wanted client:gfs2 (lock_dlm)"
            ),
            (
                superblock("client:gfs2", "lock_nolock"), [gfs2],
                "it holds the GFS2 client:gfs2 (lock_nolock), wanted client:gfs2 (lock_dlm)"
            ),
        ]
        for (superblock, signatures, cause) in refusals {
            let error = refusal { _ = try FilesystemLayer.Work.needsMaking(superblock, signatures, filesystem) }
            #expect(error?.kind == .mismatch)
            #expect(error?.cause == cause)
        }
    }

    @Test("A volume is mounted only when all it lies on are verified maps")
    func slaves() throws {
        let inventory = try walkThrough()
        let tree = try ClusterTree([
            "/sys/block/dm-2/dm/name": "VG0-LV0\n", "/sys/block/dm-2/dm/uuid": "LVM-x\n",
            "/sys/block/dm-2/dev": "254:2\n",
            "/sys/block/dm-2/slaves/dm-0": "", "/sys/block/dm-2/slaves/sdb": "",
            "/sys/block/dm-0/dm/name": "mpath0\n", "/sys/block/dm-0/dm/uuid": inventory.volumes[0].mapUUID + "\n",
        ])
        let group = try #require(inventory.volumeGroups.first)
        let device = try #require(
            LogicalVolumeDevice(group, group.logicalVolumes[0], HostFiles(root: tree.path)))
        #expect(device.number == "254:2")
        #expect(device.foreignSlaves(inventory.volumes) == ["sdb, which is no map"])
        let one = LogicalVolumeDevice(group, group.logicalVolumes[0], HostFiles(root: tree.path + "/none"))
        #expect(one == nil)
    }
}

@Suite("Cluster layers: which steps")
struct ClusterPlanningTests {
    private func names(_ steps: [Step]) -> [String] { steps.map(\.name) }

    /// Every cluster layer, looking at an empty host on which no command works.
    private func layers(_ tree: ClusterTree) -> [any Layer] {
        let context = tree.context { program, _, _ throws(StackError) in
            throw StackError(.missing, object: program, cause: "not there", advice: "none")
        }
        let paths = tree.clusterPaths
        return [
            MembershipLayer(context, paths: paths), LocksLayer(context, paths: paths), VolumeGroupLayer(context),
            LogicalVolumeLayer(context), FilesystemLayer(context),
        ]
    }

    private func plan(_ client: String, _ tree: ClusterTree) async throws -> [String] {
        let scope = try clusterScope(client)
        var observation = StackObservation()
        for layer in layers(tree) { observation.objects += await layer.observe(scope) }
        return try layers(tree).flatMap { try names($0.stepsUp(scope, observation)) }
            .filter { !$0.contains("kernel module") && !$0.contains("configfs") }
            .map { $0.split(separator: tree.path).joined() }
    }

    @Test("The first client makes what is made once")
    func first() async throws {
        #expect(
            try await plan("client0", ClusterTree()) == [
                "write /etc/corosync/corosync.conf", "start corosync", "wait for quorum (with client1)",
                "write /etc/dlm/dlm.conf",
                "start dlm_controld (fencing is not configured: a lost client blocks the locks)", "start lvmlockd",
                "find or make volume group VG0 on mpath0, mpath1",
                "find or make logical volume VG0/LV0 of 510 extents",
                "find or make gfs2 client:gfs2 with 4 journals on VG0/LV0", "mount VG0/LV0 on /mnt",
            ])
    }

    @Test("The others wait for it")
    func other() async throws {
        #expect(
            try await plan("client1", ClusterTree()) == [
                "write /etc/corosync/corosync.conf", "start corosync", "wait for quorum (with client0)",
                "write /etc/dlm/dlm.conf",
                "start dlm_controld (fencing is not configured: a lost client blocks the locks)", "start lvmlockd",
                "find volume group VG0, or wait for client0 to make it", "start the lockspace of VG0",
                "find VG0/LV0, or wait for client0 to make it", "activate VG0/LV0 shared",
                "find gfs2 client:gfs2, or wait for client0 to make it", "mount VG0/LV0 on /mnt",
            ])
    }

    @Test("Down from nothing is nothing")
    func downFromNothing() async throws {
        let tree = try ClusterTree()
        let scope = try clusterScope("client0")
        var observation = StackObservation()
        for layer in layers(tree) { observation.objects += await layer.observe(scope) }
        #expect(try layers(tree).flatMap { try names($0.stepsDown(scope, observation)) } == [])
    }

    @Test("Another cluster's corosync.conf stops up and is not touched; Debian's example is replaced")
    func foreignConfiguration() async throws {
        let foreign = Captured.packagedCorosync.split(separator: "debian").joined(separator: "payroll")
        let tree = try ClusterTree(["/etc/corosync/corosync.conf": foreign])
        do {
            _ = try await plan("client0", tree)
            Issue.record("a foreign configuration was accepted")
        } catch {
            let error = try #require(error as? StackError)
            #expect(error.kind == .mismatch)
            #expect(error.cause.contains("cluster_name is payroll, wanted client"))
        }
        #expect(tree.read("/etc/corosync/corosync.conf") == foreign)
        let packaged = try ClusterTree(["/etc/corosync/corosync.conf": Captured.packagedCorosync])
        #expect(try await plan("client0", packaged).first == "write /etc/corosync/corosync.conf")
    }

    @Test("An administrator's configuration of the same cluster is used as it is")
    func sameConfiguration() async throws {
        let text = try "# by hand\n" + CorosyncConfiguration.text(walkThrough())
        let tree = try ClusterTree(["/etc/corosync/corosync.conf": text])
        #expect(try await plan("client0", tree).prefix(2) == ["start corosync", "wait for quorum (with client1)"])
    }

    private func membership(
        _ tree: ClusterTree, quorum: String, map: String = Captured.runningMap
    ) -> MembershipLayer {
        MembershipLayer(
            tree.context { program, _, _ throws(StackError) in
                program == "corosync-cmapctl" ? success(map) : success(quorum)
            }, paths: tree.clusterPaths)
    }

    @Test("A corosync that runs as wanted is left alone, up and down, when somebody else started it")
    func runningElsewhere() async throws {
        let tree = try ClusterTree(["/proc/77/stat": "77 (corosync) S 1 77"])
        let scope = try clusterScope("client0")
        let layer = membership(tree, quorum: Captured.quorate)
        let observation = StackObservation(objects: await layer.observe(scope))
        #expect(observation.objects[0].state == .present)
        #expect(try names(layer.stepsUp(scope, observation)) == [])
        #expect(try names(layer.stepsDown(scope, observation)) == [])
    }

    @Test("Without quorum the wait is what is left, and the missing client is named")
    func noQuorum() async throws {
        let tree = try ClusterTree(["/proc/77/stat": "77 (corosync) S 1 77"])
        let scope = try clusterScope("client0")
        let layer = membership(tree, quorum: Captured.blocked)
        let observation = StackObservation(objects: await layer.observe(scope))
        #expect(observation.objects[0].detail == "no quorum, missing: client1 (10.77.9.12)")
        #expect(try names(layer.stepsUp(scope, observation)) == ["wait for quorum (with client1)"])
    }

    @Test("A corosync that runs another cluster stops up")
    func runningOther() async throws {
        let tree = try ClusterTree(["/proc/77/stat": "77 (corosync) S 1 77"])
        let scope = try clusterScope("client0")
        let map = Captured.runningMap.split(separator: "= client\n").joined(separator: "= payroll\n")
        let layer = membership(tree, quorum: Captured.quorate, map: map)
        let observation = StackObservation(objects: await layer.observe(scope))
        #expect(observation.objects[0].state == .foreign)
        do {
            _ = try layer.stepsUp(scope, observation)
            Issue.record("another cluster was accepted")
        } catch {
            #expect((error as? StackError)?.kind == .mismatch)
        }
        #expect(try names(layer.stepsDown(scope, observation)) == [])
    }

    @Test("Locks that wait for a lost client stop up before anything hangs, and say what to type")
    func fencing() async throws {
        let tree = try ClusterTree([
            "/proc/78/stat": "78 (dlm_controld) S 1 78", "/proc/79/stat": "79 (lvmlockd) S 1 79",
        ])
        let scope = try clusterScope("client0")
        let layer = LocksLayer(
            tree.context { program, arguments, _ throws(StackError) in
                if program == "lvmlockctl" { return success(Captured.volumeLocks) }
                return success(arguments == ["ls"] ? Captured.lockspacesWaiting : Captured.statusWaiting)
            }, paths: tree.clusterPaths)
        let observation = StackObservation(objects: await layer.observe(scope))
        #expect(observation.object(.locks, "dlm_controld")?.state == .degraded)
        #expect(try names(layer.stepsUp(scope, observation)) == [])
        do {
            try layer.verifyUp(scope, observation)
            Issue.record("waiting locks were good enough")
        } catch {
            let error = try #require(error as? StackError)
            #expect(error.cause.contains("client1 (10.77.9.12)"))
            #expect(error.advice.contains("dlm_tool fence_ack 2"))
        }
        // Neither daemon was started by attach.
        #expect(try names(layer.stepsDown(scope, observation)) == [])
    }

    @Test("lvmlockd is not stopped while it has the locks of a group that is not ours to stop")
    func foreignGroup() async throws {
        let tree = try ClusterTree([
            "/proc/79/stat": "79 (lvmlockd) S 1 79", "/run/attach/started.json": "{\"lvmlockd\":0}\n",
        ])
        let scope = try clusterScope("client0")
        for (name, expected) in [("VG0", ["stop lvmlockd"]), ("VG9", [])] {
            let text = Captured.volumeLocks.split(separator: "VG0").map(String.init).joined(separator: name)
            let layer = LocksLayer(
                tree.context { _, _, _ throws(StackError) in success(text) }, paths: tree.clusterPaths)
            let observation = StackObservation(objects: await layer.observe(scope))
            #expect(try names(layer.stepsDown(scope, observation)) == expected)
        }
    }
}

@Suite("Waiting with a deadline")
struct ClusterWaitTests {
    @Test("The wait for quorum looks until it is there")
    func quorum() async throws {
        let tree = try ClusterTree(["/proc/77/stat": "77 (corosync) S 1 77"])
        let scope = try clusterScope("client0")
        let played = PlayedCommands()
        let layer = MembershipLayer(
            tree.context { program, arguments, _ throws(StackError) in
                played.note(program, arguments)
                if program == "corosync-cmapctl" { return success(Captured.runningMap) }
                // Quorum comes with the third look of the step.
                return success(played.all.count < 5 ? Captured.blocked : Captured.quorate)
            }, paths: tree.clusterPaths)
        let observation = StackObservation(objects: await layer.observe(scope))
        let step = try #require(layer.stepsUp(scope, observation).first)
        #expect(try await step.run() == .changed)
        #expect(played.all.count == 5)
    }
}
