import ArgumentParser
import Glibc
import Rack
import TargetServer

/// `storaged unit`
struct UnitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unit", abstract: "Print a systemd unit that runs this program as a user of its own.",
        discussion: """
            It may write the folders of this host's backing files, and its block devices, and nothing else; print it anew \
            when volumes move.

            storaged unit --user-file | systemd-sysusers -
            storaged unit > /etc/systemd/system/storaged.service && systemctl daemon-reload
            chown storaged: BACKING-FILE...
            chown -R storaged: /etc/rack/secrets        # where rack.yaml asks for authentication
            """)

    @OptionGroup var inventory: InventoryOptions
    @Flag(help: "Print the sysusers.d line that makes the user instead.")
    var userFile = false

    func run() throws {
        if userFile {
            return printLine("u storaged - \"iSCSI target daemon\" /var/lib/storaged")
        }
        try reportingFailure { () throws(CommandFailure) in
            let plan = try inventory.load()
            printLine(SystemdUnit(plan, rack: inventory.rack, program: Self.program).text)
        }
    }

    private static var program: String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
        return count > 0
            ? String(decoding: path[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : "/usr/sbin/storaged"
    }
}

/// The service's unit: its own user, no capability, and of the machine only what this host's volumes need.
struct SystemdUnit {
    let text: String

    init(_ plan: ServingPlan, rack: String, program: String) {
        let paths = plan.volumes.map(\.volume.path)
        let devices = paths.filter { $0.hasPrefix("/dev/") }
        let folders = Set(paths.filter { !$0.hasPrefix("/dev/") }.map(Self.folder)).sorted()
        let isInHome = (folders + [plan.authentication?.secretsFolder].compactMap { $0 }).contains { folder in
            ["/home", "/root", "/run/user"].contains { folder == $0 || folder.hasPrefix($0 + "/") }
        }
        let usesLowPort = plan.portals.contains { $0.port < 1024 }
        var lines = [
            "[Unit]",
            "Description=iSCSI targets of storage host \(plan.hostName)",
            "After=network-online.target local-fs.target",
            "Wants=network-online.target",
            "",
            "[Service]",
            "Type=notify",
            "ExecStart=\(program) run --rack \(rack) --host \(plan.hostName)",
            "ExecReload=\(program) reload",
            "WatchdogSec=30",
            "Restart=on-failure",
            "RestartSec=1",
            "TimeoutStopSec=60",
            "",
            "User=storaged",
            "Group=storaged",
            "RuntimeDirectory=storaged",
            "RuntimeDirectoryMode=0700",
            "StateDirectory=storaged",
            "StateDirectoryMode=0700",
            "UMask=0077",
            "LimitNOFILE=65536",
            "LimitCORE=0",
            "",
            "CapabilityBoundingSet=\(usesLowPort ? "CAP_NET_BIND_SERVICE" : "")",
            "AmbientCapabilities=\(usesLowPort ? "CAP_NET_BIND_SERVICE" : "")",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ProtectHome=\(isInHome ? "no" : "yes")",
        ]
        if !folders.isEmpty { lines.append("ReadWritePaths=\(folders.joined(separator: " "))") }
        if devices.isEmpty {
            lines += ["PrivateDevices=yes", "DevicePolicy=closed"]
        } else {
            lines.append("DevicePolicy=closed")
            lines += devices.map { "DeviceAllow=\($0) rw" }
            // What udev gives block devices to.
            lines.append("SupplementaryGroups=disk")
        }
        lines += [
            "PrivateTmp=yes",
            "PrivateUsers=\(devices.isEmpty && !usesLowPort ? "yes" : "no")",
            "ProtectClock=yes",
            "ProtectControlGroups=yes",
            "ProtectHostname=yes",
            "ProtectKernelLogs=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelTunables=yes",
            "ProtectProc=invisible",
            "KeyringMode=private",
            "LockPersonality=yes",
            "MemoryDenyWriteExecute=yes",
            "RemoveIPC=yes",
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "SystemCallArchitectures=native",
            // seccomp does not see what goes through io_uring; the rings themselves are restricted to what they need.
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged @resources",
            "SystemCallErrorNumber=EPERM",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
        ]
        text = lines.joined(separator: "\n")
    }

    private static func folder(_ path: String) -> String {
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        return folder.isEmpty ? "/" : String(folder)
    }
}
