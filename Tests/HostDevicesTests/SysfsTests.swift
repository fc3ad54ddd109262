import HostDevices
import Testing

@Suite("Sessions and devices from a synthetic sysfs")
struct SysfsTests {
    private static func host() -> SyntheticHost {
        let host = SyntheticHost()
        host.session(2, target: "iqn.2026-01.net.example:rack1:mpath0", portal: "10.77.0.21", block: "sda", minor: 0)
        host.session(10, target: "iqn.2026-01.net.example:rack1:mpath0", portal: "10.77.1.21", block: "sdb", minor: 16)
        return host
    }

    @Test("A session with all that hangs on it") func session() throws {
        let host = Self.host()
        let sessions = ISCSISession.all(files: host.files)
        #expect(sessions.map(\.number) == [2, 10])
        let session = try #require(sessions.first)
        #expect(session.targetName == "iqn.2026-01.net.example:rack1:mpath0")
        #expect(session.targetPortalGroupTag == 2)
        #expect(session.state == .loggedIn)
        #expect(session.recoveryTimeoutSeconds == 5)
        #expect(session.initiatorName == "iqn.2026-01.net.example:client0")
        #expect(session.hostNumber == 2)
        #expect(session.folder == "/sys/devices/platform/host2/session2")
        #expect(session.portal?.address == "10.77.0.21" && session.portal?.port == 3260)
        #expect(session.isid == nil)
        #expect(session.connections.map(\.state) == ["up"])
        let device = try #require(session.devices.first)
        #expect(session.devices.count == 1)
        #expect(device.address == SCSIAddress(host: 2, channel: 0, target: 0, lun: 0))
        #expect(device.blockName == "sda")
        #expect(device.state == .running)
        #expect(device.vendor == "RACK" && device.model == "mpath0" && device.revision == "0001")
        #expect(device.type == 0 && device.timeoutSeconds == 30 && device.queueDepth == 32)
        #expect(device.wwid == "3300000000000a001")
        #expect(device.serialNumber == "a0001")
        #expect(device.identification?.relativeTargetPort == 2)
        #expect(device.identification?.targetPortGroup == 2)
    }

    @Test("The same device by address, by disk name and in the list") func deviceLookups() throws {
        let host = Self.host()
        let all = SCSIDevice.all(files: host.files)
        #expect(all.map(\.address.host) == [2, 10])
        let address = try #require(SCSIAddress("10:0:0:0"))
        #expect(SCSIDevice(address, files: host.files) == all[1])
        #expect(SCSIDevice(blockName: "sdb", files: host.files) == all[1])
        #expect(SCSIDevice(blockName: "sdz", files: host.files) == nil)
    }

    @Test("A disk: numbers, limits, holders, partitions") func blockDevice() throws {
        let host = Self.host()
        let disk = try #require(BlockDevice(name: "sda", files: host.files))
        #expect(disk.number == DeviceNumber(major: 8, minor: 0))
        #expect(disk.sizeBytes == 1 << 30)
        #expect(disk.holders == ["dm-0"] && disk.slaves == [] && disk.partitions == ["sda1"])
        #expect(disk.queue.logicalBlockBytes == 512 && disk.queue.physicalBlockBytes == 4096)
        #expect(disk.queue.maximumRequestKiB == 1280 && disk.queue.isRotational == false)
        #expect(disk.queue.optimalIOBytes == nil)
        #expect(disk.mapName == nil && !disk.isReadOnly && disk.node == "/dev/sda")
        #expect(BlockDevice(number: DeviceNumber(major: 8, minor: 16), files: host.files)?.name == "sdb")
        #expect(BlockDevice(name: "../sda", files: host.files) == nil)
        #expect(BlockDevice.all(files: host.files).map(\.name) == ["sda", "sdb"])
    }

    @Test("A map: its name and UUID") func map() throws {
        let host = SyntheticHost()
        let folder = "/sys/devices/virtual/block/dm-0"
        host.link("/sys/class/block/dm-0", to: "../../devices/virtual/block/dm-0")
        host.file(folder + "/dev", "254:0")
        host.file(folder + "/size", "2097152")
        host.file(folder + "/ro", "1")
        host.file(folder + "/dm/name", "mpath0")
        host.file(folder + "/dm/uuid", "mpath-3300000000000a001")
        host.folder(folder + "/slaves/sda")
        let map = try #require(BlockDevice(name: "dm-0", files: host.files))
        #expect(map.mapName == "mpath0" && map.mapUUID == "mpath-3300000000000a001")
        #expect(map.slaves == ["sda"] && map.isReadOnly)
    }

    @Test("Writing where the kernel reads") func writing() throws {
        let host = Self.host()
        let session = try #require(ISCSISession(number: 2, files: host.files))
        try session.setRecoveryTimeout(seconds: 15, files: host.files)
        #expect(ISCSISession(number: 2, files: host.files)?.recoveryTimeoutSeconds == 15)
        try session.scan(lun: 7, files: host.files)
        #expect(host.files.text("/sys/class/scsi_host/host2/scan") == "0 0 7")
        try SCSIDevice.scan(host: 2, lun: 0, files: host.files)
        #expect(host.files.text("/sys/class/scsi_host/host2/scan") == "- - 0")
        let device = try #require(session.devices.first)
        try device.setState(running: false, files: host.files)
        try device.setTimeout(seconds: 10, files: host.files)
        try device.rescan(files: host.files)
        try device.delete(files: host.files)
        let again = try #require(SCSIDevice(device.address, files: host.files))
        #expect(again.state == .offline && again.timeoutSeconds == 10)
        #expect(host.files.text(device.folder + "/delete") == "1" && host.files.text(device.folder + "/rescan") == "1")
        #expect(throws: HostDeviceError.self) { try host.files.write("/sys/nothing", "1") }
    }

    @Test("Half a session (coming or going) is left out, not guessed") func halfGone() {
        let host = Self.host()
        host.link(
            "/sys/class/iscsi_session/session3", to: "../../devices/platform/host3/session3/iscsi_session/session3")
        host.link("/sys/class/iscsi_session/sessionX", to: "nowhere")
        host.folder("/sys/devices/platform/host2/session2/target2:0:0/2:0:0:9")
        #expect(ISCSISession.all(files: host.files).map(\.number) == [2, 10])
        #expect(ISCSISession(number: 2, files: host.files)?.devices.count == 1)
        #expect(ISCSISession.all(files: HostFiles(root: "/nonexistent")).isEmpty)
    }

    @Test("States in the kernel's words", arguments: ["running", "offline", "transport-offline", "blocked", "created"])
    func states(word: String) {
        #expect(SCSIDevice.State(word).description == word)
        #expect((SCSIDevice.State(word) == .other(word)) == (word == "created"))
    }

    @Test("Session states and a timeout that is off") func sessionStates() {
        let host = SyntheticHost()
        host.session(1, target: "t", portal: "10.0.0.1", block: "sda", minor: 0, state: "FAILED")
        host.file("/sys/devices/platform/host1/session1/iscsi_session/session1/recovery_tmo", "off")
        host.file("/sys/class/iscsi_connection/connection1:0/persistent_address", "<NULL>")
        let session = ISCSISession(number: 1, files: host.files)
        #expect(session?.state == .failed)
        #expect(session?.recoveryTimeoutSeconds == nil)
        #expect(session?.connections.first?.persistentAddress == nil)
        #expect(session?.portal?.address == "10.0.0.1")
        for word in ["LOGGED_IN", "FAILED", "FREE", "ODD"] { #expect(ISCSISession.State(word).description == word) }
    }

    @Test("Addresses and numbers", arguments: ["", "1", "1:2:3", "1:2:3:4:5", "a:0:0:0", "1:0:0:-1", "1:0:0: 0"])
    func badAddresses(text: String) {
        #expect(SCSIAddress(text) == nil)
        #expect(DeviceNumber(text) == nil)
    }

    @Test("A device number and its dev_t") func deviceNumbers() {
        let number = DeviceNumber(major: 254, minor: 1_000_000)
        #expect(DeviceNumber(kernel: number.kernelNumber) == number)
        #expect(DeviceNumber("254:1000000") == number)
    }
}
