import HostDevices
import Rack
import Stack
import Testing

@Suite("Cluster: what the tools print")
struct ClusterParserTests {
    @Test("corosync-quorumtool: quorum, members, who is missing")
    func quorum() throws {
        let quorate = try #require(QuorumStatus(parsing: Captured.quorate))
        #expect(quorate.isQuorate)
        #expect(quorate.members == [1, 2])
        #expect(quorate.flags == ["2Node", "Quorate", "WaitForAll"])
        let blocked = try #require(QuorumStatus(parsing: Captured.blocked))
        #expect(!blocked.isQuorate)
        #expect(try blocked.missing(walkThrough()) == ["client1 (10.77.9.12)"])
        #expect(QuorumStatus(parsing: "Cannot initialize CMAP service\n") == nil)
    }

    @Test("corosync-cmapctl: the running cluster is the inventory's, or the difference is named")
    func runningMap() throws {
        let wanted = try ClusterIdentity(walkThrough())
        #expect(ClusterIdentity(runningMap: Captured.runningMap).differences(from: wanted) == [])
        let three = try ClusterIdentity(threeClients())
        #expect(
            ClusterIdentity(runningMap: Captured.runningMap).differences(from: three)
                == ["node 3 is missing, wanted 10.77.9.13"])
        #expect(
            three.differences(from: wanted) == ["node 3 (10.77.9.13) is no client of the inventory"])
    }

    @Test("dlm_tool ls: a lockspace that waits for fencing")
    func lockspaces() {
        let found = Lockspace.parse(Captured.lockspacesWaiting)
        #expect(found.map(\.name) == ["gfs2", "lvm_global"])
        #expect(found[0].members == [1, 2])
        #expect(found[0].isStopped)
        #expect(found[0].waitsFor == "wait fencing")
        #expect(found[1].waitsFor == nil)
        #expect(Lockspace.parse("").isEmpty)
    }

    @Test("dlm_tool status: ready, and whom it waits to fence")
    func lockManager() throws {
        #expect(LockManagerStatus(parsing: Captured.statusReady).isReady)
        #expect(!LockManagerStatus(parsing: Captured.statusStarting).isReady)
        let waiting = LockManagerStatus(parsing: Captured.statusWaiting)
        #expect(waiting.nodesToFence == [2])
        let wait = try #require(waiting.fencingWait { "client\($0 - 1)" })
        #expect(wait.cause.contains("client1"))
        #expect(wait.advice.hasSuffix("dlm_tool fence_ack 2"))
        #expect(LockManagerStatus(parsing: Captured.statusReady).fencingWait { "\($0)" } == nil)
    }

    @Test("lvmlockctl: groups and the locks on their volumes, without the global lockspace")
    func volumeLocks() throws {
        let locks = VolumeLocks(parsing: Captured.volumeLocks)
        #expect(locks.groups.map(\.name) == ["VG0"])
        let group = try #require(locks.group(named: "VG0"))
        #expect(group.lockType == "dlm")
        #expect(group.uuid == "de7jAM-cObN-CWwR-6Uoe-0ZXd-2dHg-Xg7U93")
        #expect(group.volumeModes == ["pNhUtg-Nt5J-HqaT-BHSp-eIo5-Ocvp-PbQEX9": "sh"])
        #expect(!group.isLeaving)
        #expect(VolumeLocks(parsing: Captured.globalLeaving).groups.isEmpty)
    }

    @Test("lvs and pvs in JSON")
    func reports() throws {
        let rows = try #require(LVMCommand.rows(Captured.logicalVolumes))
        let volume = try #require(LogicalVolumeFacts.volumes(of: "VG0", rows)["LV0"])
        #expect(volume.sizeBytes == 2_139_095_040)
        #expect(volume.tags == ["attach.unformatted"])
        #expect(LogicalVolumeFacts.volumes(of: "VG1", rows).isEmpty)
        #expect(LVMCommand.rows("  Failed to find physical volume") == nil)
    }

    @Test("wipefs: nothing, and a physical volume")
    func signatures() throws {
        #expect(DeviceSignature.parse(Captured.emptySignatures) == [])
        #expect(DeviceSignature.parse("") == [])
        #expect(DeviceSignature.parse("wipefs: error") == nil)
        let found = try #require(DeviceSignature.parse(Captured.memberSignature))
        #expect(found.map(\.description) == ["LVM2_member at 0x218"])
    }

    @Test("gfs2_edit: journals are counted")
    func journals() {
        #expect(GFS2Journals.count(Captured.journalIndex) == 4)
        #expect(GFS2Journals.count("Bad magic number\n") == nil)
    }

    @Test("GFS2's superblock, byte by byte")
    func superblock() throws {
        var bytes = [UInt8](repeating: 0, count: 4096)
        func put(_ offset: Int, _ values: [UInt8]) {
            bytes.replaceSubrange(offset..<(offset + values.count), with: values)
        }
        put(0, [0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1])  // mh_magic, mh_type = superblock
        put(24, [0, 0, 0x07, 0x0A, 0, 0, 0x07, 0x6C])  // sb_fs_format 1802, sb_multihost_format 1900
        put(36, [0, 0, 0x10, 0, 0, 0, 0, 12])  // sb_bsize 4096, sb_bsize_shift 12
        put(96, Array("lock_dlm".utf8))
        put(160, Array("client:gfs2".utf8))
        put(256, [0x30, 0xd8, 0xe6, 0x52, 0x39, 0x4a, 0x48, 0x38, 0xb2, 0xf2, 0x9d, 0x41, 0xa5, 0xd5, 0x30, 0xdb])
        let superblock = try #require(GFS2Superblock(bytes))
        #expect(superblock.lockProtocol == "lock_dlm")
        #expect(superblock.lockTable == "client:gfs2")
        #expect(superblock.blockBytes == 4096)
        #expect(superblock.uuid == "30d8e652394a4838b2f29d41a5d530db")
        #expect(GFS2Superblock(Array(bytes.prefix(271))) == nil)
        put(0, [0])
        #expect(GFS2Superblock(bytes) == nil)
    }

    @Test("A daemon that ended and was not collected does not run")
    func daemonState() throws {
        #expect(ClusterDaemon.state(ofStatLine: "812 (corosync) S 1 812", name: "corosync") == "S")
        #expect(ClusterDaemon.state(ofStatLine: "812 (corosync) Z 1 812", name: "corosync") == "Z")
        #expect(ClusterDaemon.state(ofStatLine: "813 (corosync-qnetd) S 1", name: "corosync") == nil)
        #expect(ClusterDaemon.state(ofStatLine: "814 (odd) name) R 1", name: "odd) name") == "R")
        let tree = try ClusterTree([
            "/proc/10/stat": "10 (lvmlockd) Z 1 10", "/proc/11/stat": "11 (lvmlockd) S 1 11",
            "/proc/12/stat": "12 (corosync) Z 1 12",
        ])
        let files = HostFiles(root: tree.path)
        #expect(ClusterDaemon.volumeLocks.runningProcess(files) == 11)
        #expect(ClusterDaemon.corosync.runningProcess(files) == nil)
    }
}
