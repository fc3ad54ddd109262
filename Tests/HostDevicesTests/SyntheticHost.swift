import Glibc
import HostDevices

/// A made-up host: a folder with the parts of /sys, /proc and /lib/modules that a test needs, laid out as Linux 6.1 has
/// them. Removed when it goes.
final class SyntheticHost {
    let root: String
    var files: HostFiles { HostFiles(root: root) }

    init() {
        var template = Array("/tmp/hostdevices-XXXXXX".utf8CString)
        root = unsafe template.withUnsafeMutableBufferPointer { buffer -> String in
            guard let start = buffer.baseAddress, let path = unsafe mkdtemp(start) else { return "/nonexistent" }
            return unsafe String(cString: path)
        }
    }

    deinit { Self.removeTree(root) }

    /// Makes a file with its folders.
    func file(_ path: String, _ text: String) { file(path, bytes: Array((text + "\n").utf8)) }

    /// Makes a file of bytes.
    func file(_ path: String, bytes: [UInt8]) {
        folder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        guard let stream = unsafe fopen(root + path, "w") else { return }
        _ = unsafe bytes.withUnsafeBytes { unsafe fwrite($0.baseAddress, 1, $0.count, stream) }
        unsafe fclose(stream)
    }

    /// Makes a folder with those above it.
    func folder(_ path: String) {
        var made = root
        for part in path.split(separator: "/") {
            made += "/" + part
            unsafe mkdir(made, 0o755)
        }
    }

    /// Makes a symbolic link.
    func link(_ path: String, to target: String) {
        folder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        unsafe symlink(target, root + path)
    }

    private static func removeTree(_ path: String) {
        let files = HostFiles(root: path)
        for name in files.entries("/") {
            let child = path + "/" + name
            if files.linkText("/" + name) == nil, unsafe unlink(child) != 0 { removeTree(child) }
            unsafe unlink(child)
        }
        unsafe rmdir(path)
    }

    /// An iSCSI session with one disk, at LUN 0 of host `number`, as iscsi_tcp makes them.
    func session(_ number: Int, target: String, portal: String, block: String, minor: Int, state: String = "LOGGED_IN")
    {
        let session = "/sys/devices/platform/host\(number)/session\(number)"
        let entry = "\(session)/iscsi_session/session\(number)"
        link(
            "/sys/class/iscsi_session/session\(number)",
            to: "../../devices/platform/host\(number)/session\(number)/iscsi_session/session\(number)")
        file(entry + "/targetname", target)
        file(entry + "/tpgt", "\(number)")
        file(entry + "/state", state)
        file(entry + "/recovery_tmo", "5")
        file(entry + "/initiatorname", "iqn.2026-01.net.example:client0")
        file(entry + "/ifacename", "default")
        file(entry + "/username", "(null)")
        let connection = "connection\(number):0"
        folder("\(session)/\(connection)")
        file("/sys/class/iscsi_connection/\(connection)/address", portal)
        file("/sys/class/iscsi_connection/\(connection)/port", "3260")
        file("/sys/class/iscsi_connection/\(connection)/persistent_address", portal)
        file("/sys/class/iscsi_connection/\(connection)/persistent_port", "3260")
        file("/sys/class/iscsi_connection/\(connection)/state", "up")
        file("/sys/class/scsi_host/host\(number)/scan", "")
        let device = "\(session)/target\(number):0:0/\(number):0:0:0"
        scsiDevice(device, block: block, minor: minor)
        link(
            "/sys/class/scsi_device/\(number):0:0:0",
            to: "../../devices/platform/host\(number)/session\(number)/target\(number):0:0/\(number):0:0:0"
                + "/scsi_device/\(number):0:0:0")
        folder("\(device)/scsi_device/\(number):0:0:0")
        link("\(device)/scsi_device/\(number):0:0:0/device", to: "../../../\(number):0:0:0")
    }

    private func scsiDevice(_ device: String, block: String, minor: Int) {
        file(device + "/state", "running")
        file(device + "/type", "0")
        file(device + "/vendor", "RACK    ")
        file(device + "/model", "mpath0          ")
        file(device + "/rev", "0001")
        file(device + "/timeout", "30")
        file(device + "/queue_depth", "32")
        file(device + "/rescan", "")
        file(device + "/delete", "")
        file(device + "/vpd_pg83", bytes: SyntheticHost.page83)
        file(device + "/vpd_pg80", bytes: [0, 0x80, 0, 6] + Array(" a0001".utf8))
        let disk = "\(device)/block/\(block)"
        link("/sys/class/block/\(block)", to: "../../.." + disk)
        link("/sys/dev/block/8:\(minor)", to: "../../.." + disk)
        file(disk + "/dev", "8:\(minor)")
        file(disk + "/size", "2097152")
        file(disk + "/ro", "0")
        link(disk + "/device", to: "../../../\(device.split(separator: "/").last ?? "")")
        folder(disk + "/holders/dm-0")
        folder(disk + "/slaves")
        file(disk + "/queue/logical_block_size", "512")
        file(disk + "/queue/physical_block_size", "4096")
        file(disk + "/queue/max_sectors_kb", "1280")
        file(disk + "/queue/rotational", "0")
        file("\(disk)/\(block)1/partition", "1")
    }

    /// VPD page 83h with: NAA 3 of the unit, a T10 vendor ID, the relative target port 2 and the port group 2.
    static let page83: [UInt8] =
        [0x00, 0x83, 0x00, 44]
        + [0x02, 0x01, 0x00, 12] + Array("RACK    a000".utf8)
        + [0x01, 0x03, 0x00, 8, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0xA0, 0x01]
        + [0x01, 0x14, 0x00, 4, 0, 0, 0, 2]
        + [0x01, 0x15, 0x00, 4, 0, 0, 0, 2]
}
