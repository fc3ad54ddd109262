import Glibc
import HostDevices
import Testing

@Suite("Mounts, processes, modules, deadlines")
struct ProcTests {
    private static let mountinfo = """
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
        31 22 0:5 / /proc rw,nosuid shared:9 - proc proc rw
        40 22 253:3 / /mnt rw,noatime shared:20 master:3 - gfs2 /dev/mapper/VG0-LV0 rw,lockproto=lock_dlm
        41 40 0:44 / /mnt/below rw - tmpfs tmpfs rw,size=4k
        42 22 253:4 /sub /srv/with\\040blank\\134slash ro - ext4 /dev/mapper/a\\011b rw
        garbage
        1 2 3 4 5
        """

    @Test("mountinfo, with escapes, optional fields and garbage") func mounts() throws {
        let table = MountTable(parsing: Self.mountinfo)
        #expect(table.mounts.map(\.id) == [22, 31, 40, 41, 42])
        let mount = try #require(table.mount(at: "/mnt"))
        #expect(mount.filesystemType == "gfs2" && mount.source == "/dev/mapper/VG0-LV0" && mount.parentID == 22)
        #expect(mount.device == DeviceNumber(major: 253, minor: 3) && mount.root == "/")
        #expect(mount.options == ["rw", "noatime"] && mount.filesystemOptions.contains("lockproto=lock_dlm"))
        #expect(table.mount(at: "/srv/with blank\\slash")?.source == "/dev/mapper/a\tb")
        #expect(table.mounts.last?.isReadOnly == true)
        #expect(table.mounts(below: "/mnt").map(\.mountPoint) == ["/mnt/below"])
        #expect(table.mounts(of: DeviceNumber(major: 253, minor: 4)).map(\.root) == ["/sub"])
    }

    @Test("This machine's own mountinfo parses whole") func realMounts() throws {
        let text = try #require(HostFiles().text("/proc/self/mountinfo"))
        #expect(MountTable(parsing: text).mounts.count == text.split(separator: "\n").count)
    }

    private static func hostWithHolders() -> SyntheticHost {
        let host = SyntheticHost()
        host.file("/proc/self/mountinfo", mountinfo)
        host.file("/proc/812/comm", "bash")
        host.link("/proc/812/cwd", to: "/mnt/folder")
        host.link("/proc/812/root", to: "/")
        host.file("/proc/900/comm", "fio")
        host.link("/proc/900/fd/3", to: "/mnt/data (deleted)")
        host.file("/proc/900/fdinfo/3", "pos:\t0\nflags:\t02\nmnt_id:\t40\nino:\t7")
        host.link("/proc/900/fd/4", to: "/mnt/other")
        host.file("/proc/900/fdinfo/4", "mnt_id:\t99")
        host.link("/proc/900/fd/5", to: "socket:[77]")
        host.link("/proc/900/fd/6", to: "/dev/dm-0")
        host.file("/proc/901/comm", "server")
        host.file("/proc/901/maps", "7f00-7f01 r--s 00000000 fd:03 12   /mnt/a mapped file\n7f02-7f03 rw-p 0 00:00 0")
        host.file("/proc/902/comm", "elsewhere")
        host.link("/proc/902/cwd", to: "/mntother")
        host.link("/proc/902/exe", to: "/mnt/below/program")
        return host
    }

    @Test("Who has a device mounted in another namespace, once a namespace") func namespaces() {
        let host = SyntheticHost()
        host.link("/proc/self/ns/mnt", to: "mnt:[1]")
        for (pid, namespace) in [(10, 1), (20, 2), (21, 2), (30, 3)] {
            host.file("/proc/\(pid)/comm", "daemon\(pid)")
            host.link("/proc/\(pid)/ns/mnt", to: "mnt:[\(namespace)]")
            host.file(
                "/proc/\(pid)/mountinfo", namespace == 3 ? "22 1 254:0 / / rw - ext4 /dev/vda rw" : Self.mountinfo)
        }
        let table = ProcessTable(files: host.files)
        #expect(
            table.holders(inOtherNamespaces: DeviceNumber(major: 253, minor: 3)).map(\.description)
                == ["daemon20 (pid 20): mount in a namespace of its own /mnt"])
        #expect(table.holders(inOtherNamespaces: DeviceNumber(major: 253, minor: 9)).isEmpty)
    }

    @Test("Who holds a mount, and how") func holders() throws {
        let host = Self.hostWithHolders()
        let mount = try #require(MountTable(files: host.files).mount(at: "/mnt"))
        let holds = ProcessTable(files: host.files).holders(of: mount)
        #expect(
            holds == [
                ProcessHold(pid: 812, name: "bash", kind: .workingDirectory, path: "/mnt/folder"),
                ProcessHold(pid: 900, name: "fio", kind: .openFile, path: "/mnt/data (deleted)"),
                ProcessHold(pid: 901, name: "server", kind: .mappedFile, path: "/mnt/a mapped file"),
            ])
        #expect(holds[0].description == "bash (pid 812): working directory /mnt/folder")
        #expect(ProcessTable(files: host.files).holders(of: mount, limit: 1).count == 1)
    }

    @Test("Who holds a device node, and processes by name") func nodesAndNames() {
        let table = ProcessTable(files: Self.hostWithHolders().files)
        #expect(table.holders(ofNodes: ["/dev/dm-0"]).isEmpty, "the tree is gone with its owner")
        let host = Self.hostWithHolders()
        let living = ProcessTable(files: host.files)
        #expect(living.holders(ofNodes: ["/dev/dm-0", "/dev/mapper/x"]).map(\.pid) == [900])
        #expect(living.named("fio") == [900] && living.named("multipathd") == [])
        host.file("/proc/950/comm", "averyveryverylo")
        #expect(living.named("averyveryverylongname") == [950])
    }

    @Test("This process holds its own working directory's mount") func realHolders() throws {
        let table = ProcessTable()
        let name = try #require(table.name(getpid()))
        #expect(table.named(name).contains(getpid()))
        #expect(!table.holders(ofNodes: ["/dev/null"], limit: 1).isEmpty)
    }

    @Test("Loop devices on files below a mount") func loops() {
        let host = SyntheticHost()
        host.file("/sys/class/block/loop0/loop/backing_file", "/mnt/image")
        host.file("/sys/class/block/loop1/loop/backing_file", "/mntother/image")
        #expect(ProcessTable(files: host.files).loopDevices(backedBelow: "/mnt") == ["loop0"])
    }

    @Test("Modules: loaded, built in, loadable, missing") func modules() {
        let host = SyntheticHost()
        host.file("/proc/sys/kernel/osrelease", "6.1.0")
        host.file("/proc/modules", "dm_mod 184320 3 dm_multipath, Live 0x0\nxfs 1 0 - Live 0x0")
        host.file("/sys/module/gfs2/initstate", "live")
        host.folder("/sys/module/printk/parameters")
        host.file("/lib/modules/6.1.0/modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/fs/configfs/configfs.ko")
        host.file(
            "/lib/modules/6.1.0/modules.dep",
            "kernel/drivers/md/dm-multipath.ko.xz: kernel/drivers/md/dm-mod.ko.xz\nkernel/fs/dlm/dlm.ko:")
        let modules = KernelModules(files: host.files)
        #expect(modules.release == "6.1.0")
        #expect(modules.availability("dm-mod") == .loaded && modules.availability("gfs2") == .loaded)
        #expect(modules.availability("configfs") == .builtIn && modules.availability("printk") == .builtIn)
        #expect(modules.availability("dm_multipath") == .loadable && modules.availability("dlm") == .loadable)
        #expect(modules.availability("dm-multi") == .missing)
        #expect(KernelModules.Availability.builtIn.isPresent && !KernelModules.Availability.loadable.isPresent)
    }

    @Test("A call that hangs does not hang its caller") func hanging() async {
        let start = ContinuousClock.now
        let result = await BlockingCall.run(deadlineSeconds: 0.1) { () -> Int in
            sleep(120)
            return 1
        }
        #expect(result == nil)
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test("A call in time returns what it returned, many at once") func inTime() async {
        let sum = await withTaskGroup(of: Int?.self) { group in
            for number in 0..<50 { group.addTask { await BlockingCall.run(deadlineSeconds: 20) { number } } }
            var sum = 0
            for await value in group { sum += value ?? 1_000_000 }
            return sum
        }
        #expect(sum == (0..<50).reduce(0, +))
    }

    @Test("A monitor can be opened and has nothing to say at once") func monitor() throws {
        // The netlink socket needs no privilege; in a sandbox without it this is what fails, and says why.
        do {
            var monitor = try DeviceMonitor(subsystems: ["block"])
            #expect(monitor.descriptor >= 0)
            #expect(monitor.source != .automatic)
            _ = monitor.receive()
        } catch {
            #expect(error.description.hasPrefix("cannot "))
        }
        #expect(Udev.device(subsystem: "block", name: "no-such-disk") == nil)
    }

    @Test("Waiting for a device that never comes ends at the deadline and names it") func waiting() async {
        await #expect(
            performing: {
                try await Udev.waitInitialized(blockName: "no-such-disk", deadlineSeconds: 0.05)
            }, throws: { "\($0)".contains("no-such-disk") })
    }

    @Test("Errors in one line") func errors() {
        let error = HostDeviceError(operation: "open", object: "/dev/sda", code: EACCES)
        #expect(error.description == "cannot open /dev/sda: Permission denied; run it as root")
    }
}
