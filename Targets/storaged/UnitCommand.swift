import ArgumentParser
import Glibc

/// `storaged unit`
struct UnitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unit", abstract: "Print a systemd unit that runs this program.",
        discussion: "storaged unit > /etc/systemd/system/storaged.service && systemctl daemon-reload")

    @Option(help: ArgumentHelp("The inventory that it serves.", valueName: "file"))
    var rack = "/etc/rack/rack.yaml"

    func run() throws {
        var path = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
        let program =
            count > 0
            ? String(decoding: path[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : "/usr/sbin/storaged"
        printLine(
            """
            [Unit]
            Description=iSCSI targets of this storage host
            After=network-online.target local-fs.target
            Wants=network-online.target

            [Service]
            Type=notify
            ExecStart=\(program) run --rack \(rack)
            ExecReload=\(program) reload
            WatchdogSec=30
            Restart=on-failure
            RestartSec=1
            TimeoutStopSec=60
            RuntimeDirectory=storaged
            StateDirectory=storaged
            LimitNOFILE=65536
            LimitCORE=0
            NoNewPrivileges=yes

            [Install]
            WantedBy=multi-user.target
            """)
    }
}
