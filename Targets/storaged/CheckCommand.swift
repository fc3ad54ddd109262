import ArgumentParser
import BlockStore
import Rack
import TargetServer

/// `storaged check`
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say what would be served, and everything that stands in the way.",
        discussion: "Nothing is made, locked or changed; a storaged that runs is not disturbed.")

    @OptionGroup var inventory: InventoryOptions
    @Option(help: "Reactor threads, as for run.")
    var reactors = 0

    func run() throws {
        try reportingFailure { () throws(CommandFailure) in
            var plan = try inventory.load()
            try plan.readSecrets()
            printLine(CheckReport(plan, try plan.preview(), limits: plan.limits(reactors: reactors)).text)
        }
    }
}

/// What would be served, as text.
struct CheckReport {
    let text: String

    init(
        _ plan: ServingPlan, _ stores: [(volume: ServingPlan.PlannedVolume, preview: StorePreview)],
        limits: ServerLimits
    ) {
        var lines = [
            "\(plan.hostName) OK  would serve \(counted(plan.volumes.count, "target")) on "
                + "\(counted(plan.portals.count, "portal"))"
        ]
        let tags = plan.volumes.first?.portalGroups ?? []
        lines += aligned(
            plan.portals.map { portal in
                ["portal", portal.description, tags.first { $0.portal == portal }.map { "tag \($0.tag)" } ?? ""]
            })
        lines += aligned(
            stores.map { planned, preview in
                let volume = planned.volume
                var notes: [String] = []
                if preview.willBeMade { notes.append("will be made") }
                if preview.isBlockDevice { notes.append("block device") }
                if volume.isReadOnly { notes.append("read-only") }
                if preview.isOvercommitted, let free = preview.freeBytes {
                    notes.append("more than the \(ByteSize(bytes: free)) that are free there")
                }
                let seeing = planned.initiators.map { $0.map(\.name).joined(separator: " ") }
                notes.append("seen by \(seeing ?? "anybody")")
                return [
                    "volume", volume.name, ByteSize(bytes: preview.lengthBytes).description,
                    "\(volume.blockSizeBytes) B blocks", volume.wwidString, volume.targetName, volume.path,
                    notes.joined(separator: ", "),
                ]
            })
        if plan.volumes.isEmpty { lines.append("no volume of the inventory names this host") }
        lines.append(Self.authentication(plan))
        let reactors = limits.reactors == 0 ? "one a processor" : "\(limits.reactors)"
        lines += aligned([
            ["limit", "reactor threads", reactors],
            ["limit", "connections", "\(limits.connections)"],
            ["limit", "connections before login", "\(limits.connectionsBeforeLogin)"],
            ["limit", "connections before login, one address", "\(limits.connectionsBeforeLoginPerAddress)"],
            ["limit", "login", "\(limits.loginSeconds) s"],
            ["limit", "commands in flight, a session", "\(limits.commandsPerSession)"],
            ["limit", "NOP-In interval", "\(limits.nopIntervalSeconds) s"],
            ["limit", "NOP-In timeout", "\(limits.nopTimeoutSeconds) s"],
            [
                "limit", "payload memory, a reactor",
                ByteSize(bytes: UInt64(limits.payloadBytesPerReactor)).description,
            ],
            ["limit", "memory of the whole daemon", ByteSize(bytes: UInt64(limits.memoryCeilingBytes)).description],
            ["limit", "drain at shutdown", "\(limits.drainSeconds) s"],
            ["limit", "wait of an abort for a store that does not answer", "\(limits.abortSeconds) s"],
            [
                "limit", "failed logins, one address",
                "\(limits.loginFailuresPerAddress) in \(limits.loginFailureSeconds) s",
            ],
            ["limit", "refusal of an address with more", "\(limits.loginFailureSeconds) s"],
            [
                "limit", "soft threshold of thin volumes",
                limits.thinThresholdPercent == 0 ? "none" : "\(limits.thinThresholdPercent) % of the file system left",
            ],
            [
                "limit", "SANITIZE OVERWRITE", "\(ByteSize(bytes: UInt64(limits.overwriteBytesPerSecond))) a second",
            ],
            ["limit", "standstill after which queued commands are dropped", "\(limits.standstillSeconds) s"],
        ])
        if plan.allowsFaults { lines.append("fault injection is allowed (faultInjection: true)") }
        text = lines.joined(separator: "\n")
    }

    /// Who has to prove what, in a line.
    private static func authentication(_ plan: ServingPlan) -> String {
        guard let settings = plan.authentication else {
            let who =
                plan.initiators.isEmpty ? "whoever reaches a portal is let in" : "initiators are known by name alone"
            return "authentication none: \(who)"
        }
        return "authentication CHAP (\(settings.algorithms.map(\.rawValue).joined(separator: ", ")))"
            + (settings.isMutual ? ", mutual for initiators that ask" : "")
            + (settings.coversDiscovery ? ", discovery too" : ", discovery without")
            + "; secrets of \(counted(plan.initiators.count, "initiator")) in \(settings.secretsFolder)"
    }
}

/// Rows with their columns padded to one width, two spaces between, none at the end.
func aligned(_ rows: [[String]]) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    // A column that is empty everywhere takes no room.
    return rows.map { row in
        var line = ""
        for (column, cell) in row.enumerated() where widths[column] > 0 {
            line += cell + String(repeating: " ", count: widths[column] - cell.count + 2)
        }
        while line.last == " " { line.removeLast() }
        return line
    }
}
