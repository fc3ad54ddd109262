import Rack
import Stack
import Testing

@Suite("Cluster: what attach writes")
struct ClusterTextTests {
    @Test("corosync.conf for two clients")
    func corosyncTwo() throws {
        #expect(
            try CorosyncConfiguration.text(walkThrough()) == """
                totem {
                    version: 2
                    cluster_name: client
                    transport: udpu
                    token: 5000
                    consensus: 6000
                    crypto_cipher: none
                    crypto_hash: none
                }

                quorum {
                    provider: corosync_votequorum
                    two_node: 1
                    wait_for_all: 1
                }

                nodelist {
                    node {
                        name: client0
                        nodeid: 1
                        ring0_addr: 10.77.9.11
                    }
                    node {
                        name: client1
                        nodeid: 2
                        ring0_addr: 10.77.9.12
                    }
                }

                logging {
                    to_stderr: no
                    to_syslog: yes
                    to_logfile: yes
                    logfile: /var/log/corosync/corosync.log
                    timestamp: on
                }

                """)
    }

    @Test("Three clients are no two_node, and all of them are waited for at first")
    func corosyncThree() throws {
        let text = try CorosyncConfiguration.text(threeClients())
        #expect(!text.contains("two_node"))
        #expect(text.contains("wait_for_all: 1"))
        #expect(text.contains("ring0_addr: 10.77.9.13"))
    }

    @Test("What is written reads back as the same cluster")
    func roundTrip() throws {
        let inventory = try threeClients()
        let read = ClusterIdentity(configuration: try CorosyncConfiguration.text(inventory))
        #expect(try read == ClusterIdentity(inventory))
    }

    @Test("An administrator's file of the same cluster agrees, whatever else it says")
    func sameCluster() throws {
        let text = """
            totem { 
              cluster_name: client
              transport: knet
            }
            nodelist {
              node {
                ring0_addr: 10.77.9.12
                ring1_addr: 10.78.9.12
                nodeid: 2
              }
              node {
                nodeid: 1
                ring0_addr: 10.77.9.11
              }
            }
            """
        let wanted = try ClusterIdentity(walkThrough())
        #expect(ClusterIdentity(configuration: text).differences(from: wanted) == [])
        let other = text.split(separator: "\n").map { $0.contains("10.77.9.12") ? "ring0_addr: 10.1.1.1" : $0 }
        #expect(
            ClusterIdentity(configuration: other.joined(separator: "\n")).differences(from: wanted)
                == ["node 2 has address 10.1.1.1, wanted 10.77.9.12"])
    }

    @Test("Debian's example is recognised, a cluster of hosts is not taken for it")
    func packaged() throws {
        #expect(CorosyncConfiguration.isPackagedExample(Captured.packagedCorosync))
        #expect(!CorosyncConfiguration.isPackagedExample(try CorosyncConfiguration.text(walkThrough())))
        #expect(!CorosyncConfiguration.isPackagedExample(""))
    }

    @Test("dlm.conf keeps fencing on, and not at start")
    func dlm() {
        #expect(LockManagerConfiguration.text == "enable_fencing=1\nenable_startup_fencing=0\n")
        #expect(!LockManagerConfiguration.hasFencing(LockManagerConfiguration.text))
        #expect(LockManagerConfiguration.hasFencing("device  foo fence_foo ipaddr=1.1.1.1\n"))
        #expect(!LockManagerConfiguration.hasFencing("# device foo fence_foo\n"))
    }

    @Test("LVM sees the wanted maps and nothing else")
    func lvm() {
        #expect(
            LVMCommand.arguments("vgs", devices: ["/dev/mapper/mpath0", "/dev/mapper/a.b"], ["VG0"]) == [
                "vgs", "--config",
                "global/use_lvmlockd=1 global/event_activation=0 devices/use_devicesfile=0 "
                    + "devices/filter=[\"a|^/dev/mapper/mpath0$|\",\"a|^/dev/mapper/a[.]b$|\",\"r|.*|\"] "
                    + "devices/global_filter=[\"a|^/dev/mapper/mpath0$|\",\"a|^/dev/mapper/a[.]b$|\",\"r|.*|\"]",
                "VG0",
            ])
    }

    @Test("A report takes no locks: it answers when they are blocked")
    func report() {
        let vector = LVMCommand.report("lvs", fields: ["lv_name"], devices: [])
        #expect(vector.contains("--nolocking"))
        #expect(vector.contains("json"))
    }
}

@Suite("Cluster: whose file it is")
struct ClusterFileTests {
    let body = "enable_fencing=1\n"

    private func file(_ tree: ClusterTree) -> GeneratedFile {
        GeneratedFile(path: tree.path + "/etc/x/x.conf", isPackagedExample: { $0 == "example\n" })
    }

    @Test("Written where there is none, once, and taken away again")
    func absent() throws {
        let tree = try ClusterTree()
        let file = file(tree)
        #expect(file.owner == .absent)
        #expect(try file.install(body) == .created)
        #expect(try file.install(body) == .alreadyThere)
        #expect(file.owner == .ours(body))
        #expect(try #require(tree.read("/etc/x/x.conf")).hasPrefix("# Made by attach"))
        #expect(try file.install("other\n") == .changed)
        #expect(try file.remove() == .removed)
        #expect(tree.read("/etc/x/x.conf") == nil)
        #expect(try file.remove() == .alreadyThere)
    }

    @Test("Somebody else's is neither overwritten nor removed")
    func foreign() throws {
        let tree = try ClusterTree(["/etc/x/x.conf": "mine\n"])
        let file = file(tree)
        #expect(throws: StackError.self) { try file.install(body) }
        #expect(try file.remove() == .alreadyThere)
        #expect(tree.read("/etc/x/x.conf") == "mine\n")
    }

    @Test("Ours that somebody edited is theirs")
    func edited() throws {
        let tree = try ClusterTree()
        let file = file(tree)
        _ = try file.install(body)
        let text = try #require(tree.read("/etc/x/x.conf"))
        try tree.write("/etc/x/x.conf", text + "more=1\n")
        #expect(file.owner == .edited(body + "more=1\n"))
        #expect(refusal { _ = try file.install(body) }?.kind == .mismatch)
        #expect(try file.remove() == .alreadyThere)
    }

    @Test("The distribution's example is set aside and comes back, also when a run was killed in between")
    func packaged() throws {
        let tree = try ClusterTree(["/etc/x/x.conf": "example\n"])
        let file = file(tree)
        #expect(file.owner == .packaged)
        #expect(try file.install(body) == .created)
        #expect(tree.read("/etc/x/x.conf.before-attach") == "example\n")
        #expect(try file.remove() == .removed)
        #expect(tree.read("/etc/x/x.conf") == "example\n")
        #expect(tree.read("/etc/x/x.conf.before-attach") == nil)
        // Killed between setting aside and writing.
        let half = try ClusterTree(["/etc/x/x.conf.before-attach": "example\n"])
        #expect(self.file(half).isToRemove)
        #expect(try self.file(half).remove() == .removed)
        #expect(half.read("/etc/x/x.conf") == "example\n")
    }
}
