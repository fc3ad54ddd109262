import Foundation
import HostDevices
import Rack
import Stack
import Synchronization
import Testing

/// A made-up root folder with files in it, gone with the value.
final class ClusterTree: Sendable {
    let path: String

    init(_ files: [String: String] = [:]) throws {
        path = "/tmp/cluster-tests.\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, text) in files { try write(name, text) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let file = path + name
        let folder = file[..<file.lastIndex(of: "/")!]
        try FileManager.default.createDirectory(atPath: String(folder), withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: false, encoding: .utf8)
    }

    func read(_ name: String) -> String? { try? String(contentsOfFile: path + name, encoding: .utf8) }

    /// A context in which commands are played and every file lies below this folder.
    func context(_ play: @escaping CommandRunner.Player) -> StackContext {
        StackContext(
            commands: CommandRunner(playing: play),
            folders: StackFolders(run: path + "/run/attach", state: path + "/var/lib/attach"),
            files: HostFiles(root: path))
    }

    var clusterPaths: ClusterPaths { ClusterPaths(root: path) }
}

/// The commands that were asked for, in order.
final class PlayedCommands: Sendable {
    private let lines = Mutex<[String]>([])

    func note(_ program: String, _ arguments: [String]) {
        lines.withLock { $0.append(([program] + arguments).joined(separator: " ")) }
    }

    var all: [String] { lines.withLock { $0 } }
}

func success(_ text: String) -> CommandResult { CommandResult(standardOutput: text) }
func failure(_ code: Int32, _ text: String) -> CommandResult {
    CommandResult(ending: .exited(code), standardError: text)
}

func clusterScope(_ client: String) throws -> StackScope {
    try StackScope(inventory: walkThrough(), clientName: client)
}

/// The walk-through with a third client.
func threeClients() throws -> Inventory {
    let more =
        "  - {name: client1, address: 10.77.9.12, nodeID: 2}\n  - {name: client2, address: 10.77.9.13, nodeID: 3}"
    let text = walkThroughText.split(separator: "\n", omittingEmptySubsequences: false)
        .map { $0.contains("name: client1") ? more[...] : $0 }.joined(separator: "\n")
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    return try #require(load.inventory, "\(load.report)")
}

/// What the tools of Debian 12 printed in the lab (corosync 3.1.7, dlm 4.2.0, lvm 2.03.16, gfs2-utils 3.5.0).
enum Captured {
    static let quorate = """
        Quorum information
        ------------------
        Date:             Sun Nov 22 19:35:43 2026
        Quorum provider:  corosync_votequorum
        Nodes:            2
        Node ID:          2
        Ring ID:          1.9
        Quorate:          Yes

        Votequorum information
        ----------------------
        Expected votes:   2
        Highest expected: 2
        Total votes:      2
        Quorum:           1  
        Flags:            2Node Quorate WaitForAll 

        Membership information
        ----------------------
            Nodeid      Votes Name
                 1          1 client0
                 2          1 client1 (local)
        """
    static let blocked = """
        Quorum information
        ------------------
        Date:             Sun Nov 22 19:35:41 2026
        Quorum provider:  corosync_votequorum
        Nodes:            1
        Node ID:          1
        Ring ID:          1.5
        Quorate:          No

        Votequorum information
        ----------------------
        Expected votes:   2
        Highest expected: 2
        Total votes:      1
        Quorum:           1 Activity blocked
        Flags:            2Node WaitForAll 

        Membership information
        ----------------------
            Nodeid      Votes Name
                 1          1 client0 (local)
        """
    static let runningMap = """
        internal_configuration.service.3.name (str) = corosync_quorum
        nodelist.local_node_pos (u32) = 0
        nodelist.node.0.name (str) = client0
        nodelist.node.0.nodeid (u32) = 1
        nodelist.node.0.ring0_addr (str) = 10.77.9.11
        nodelist.node.1.name (str) = client1
        nodelist.node.1.nodeid (u32) = 2
        nodelist.node.1.ring0_addr (str) = 10.77.9.12
        quorum.provider (str) = corosync_votequorum
        quorum.two_node (u8) = 1
        runtime.config.totem.token (u32) = 3000
        totem.cluster_name (str) = client
        totem.interface.0.bindnetaddr (str) = 10.77.9.11
        totem.transport (str) = udpu
        """
    static let lockspacesWaiting = """
        dlm lockspaces
        name          gfs2
        id            0xe4f48a18
        flags         0x00000004 kern_stop
        change        member 2 joined 1 remove 0 failed 0 seq 1,1
        members       1 2 
        new change    member 1 joined 0 remove 1 failed 1 seq 2,2
        new status    wait fencing
        new members   1 

        name          lvm_global
        id            0x12aabd2d
        flags         0x00000000 
        change        member 1 joined 0 remove 1 failed 0 seq 2,2
        members       2 

        """
    static let statusWaiting = """
        cluster nodeid 1 quorate 1 ring seq 60 60
        daemon now 1389 fence_pid 3519 
        fence 2 nodedown pid 3519 actor 1 fail 1795376902 fence 0 now 1795377491
        node 1 M add 772 rem 0 fail 0 fence 0 at 0 0
        node 2 X add 773 rem 799 fail 799 fence 0 at 0 0
        """
    static let statusStarting = """
        cluster nodeid 1 quorate 0 ring seq 0 0
        daemon now 115 fence_pid 0 fence_init
        """
    static let statusReady = """
        cluster nodeid 1 quorate 1 ring seq 9 9
        daemon now 122 fence_pid 0 
        node 1 M add 117 rem 0 fail 0 fence 0 at 0 0
        node 2 M add 121 rem 0 fail 0 fence 0 at 0 0
        """
    static let volumeLocks = """
        VG vg_uuid= lock_type= 
        LS  lvm_global
        LK VG un ver 0
        LK GL un ver 0

        VG VG0 lock_type=dlm de7jAM-cObN-CWwR-6Uoe-0ZXd-2dHg-Xg7U93
        LS dlm lvm_VG0
        LK VG un ver 0
        LK LV sh pNhUtg-Nt5J-HqaT-BHSp-eIo5-Ocvp-PbQEX9
        """
    static let globalLeaving = "VG vg_uuid= lock_type= \nLS  REM:lvm_global\n"
    static let logicalVolumes = """
          {
              "report": [
                  {
                      "lv": [
                          {"vg_name":"VG0", "lv_name":"LV0", "lv_uuid":"pNhUtg-Nt5J-HqaT-BHSp-eIo5-Ocvp-PbQEX9", "lv_size":"2139095040", "lv_tags":"attach.unformatted"}
                      ]
                  }
              ]
          }
        """
    static let emptySignatures = "{\n   \"signatures\": [\n\n   ]\n}\n"
    static let memberSignature = """
        {
           "signatures": [
              {
                 "device": "mpath0",
                 "offset": "0x218",
                 "type": "LVM2_member",
                 "uuid": "8cFL7F-0sBr-lvAC-Ew87-ekDy-yiV7-FS9Pa4",
                 "label": null
              }
           ]
        }
        """
    static let journalIndex = """
        Block #2073    (0x819) of 522240 (0x7f800) (inode)
        --------------- Journal Index ------------------
        Dinode:
          di_entries            6                   0x6

        Directory block: lf_depth:0, lf_entries:0, lf_inode: 0x0, lf_dist: 0, lf_nsec: 0, lf_sec: 0, fmt:0 next=0x0 (6 dirents).
           1/1 [0ED4E242] 6/2073 (0x6/0x819) +0: Dir     .
           2/2 [9608161C] 5/2072 (0x5/0x818) +0: Dir     ..
           3/3 [FC7745EB] 1/18 (0x1/0x12) +0: File    journal0
           4/4 [8B70757D] 2/2075 (0x2/0x81b) +0: File    journal1
           5/5 [127924C7] 3/4132 (0x3/0x1024) +0: File    journal2
           6/6 [657E1451] 4/6189 (0x4/0x182d) +0: File    journal3
        ------------------------------------------------------
        """
    /// Debian's corosync.conf as installed, without most of its comments.
    static let packagedCorosync = """
        # Please read the corosync.conf.5 manual page
        totem {
        \tversion: 2

        \t# Corosync itself works without a cluster name, but DLM needs one.
        \tcluster_name: debian

        \tcrypto_cipher: none
        \tcrypto_hash: none
        }

        nodelist {
        \t# Change/uncomment/add node sections to match cluster configuration

        \tnode {
        \t\t# Hostname of the node
        \t\tname: node1
        \t\tnodeid: 1
        \t\tring0_addr: 127.0.0.1
        \t}
        }
        """

    /// `pvs` over the walk-through's maps with one of the fields changed.
    static func physicalVolumes(_ changes: [String: String] = [:], second: [String: String]? = nil) -> String {
        let plain = [
            "pv_fmt": "lvm2", "vg_name": "VG0", "vg_uuid": "de7jAM-cObN-CWwR-6Uoe-0ZXd-2dHg-Xg7U93",
            "vg_shared": "shared", "vg_lock_type": "dlm", "vg_lock_args": "1.0.0:client", "vg_extent_size": "4194304",
            "vg_extent_count": "510", "vg_free_count": "0", "lv_count": "1", "pv_count": "2",
            "vg_missing_pv_count": "0",
        ].merging(changes) { $1 }
        let rows = [("/dev/mapper/mpath0", plain), ("/dev/mapper/mpath1", plain.merging(second ?? [:]) { $1 })].map {
            device, fields in
            let all = fields.merging(["pv_name": device]) { $1 }
            return "{" + all.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ", ") + "}"
        }
        return "  {\"report\": [ {\"pv\": [" + rows.joined(separator: ",\n") + "]} ] }\n"
    }
}

/// The error a user would see, nil when there is none.
func refusal(_ body: () throws -> Void) -> StackError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StackError
    }
}
