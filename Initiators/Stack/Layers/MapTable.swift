import DeviceMapper
import Rack

/// From the inventory's settings and the paths that are there to the kernel's table.
package enum MapTable {
    /// One usable path: which host it leads to, and its device.
    package struct UsablePath: Equatable, Sendable {
        package var hostName: String
        package var device: DMDeviceNumber

        package init(hostName: String, device: DMDeviceNumber) {
            self.hostName = hostName
            self.device = device
        }
    }

    /// The table of a volume over these paths, in the order given.
    package static func table(_ volume: Volume, paths: [UsablePath], queueIfNoPath: Bool) -> MultipathTable {
        let selector = MultipathTable.PathSelector(name: volume.multipath.selector.rawValue)
        var groups: [[DMDeviceNumber]] = []
        switch volume.multipath.grouping {
        case .multibus: groups = [paths.map(\.device)]
        case .failover: groups = paths.map { [$0.device] }
        case .groupByHost:
            var hosts: [String] = []
            for path in paths where !hosts.contains(path.hostName) { hosts.append(path.hostName) }
            groups = hosts.map { host in paths.filter { $0.hostName == host }.map(\.device) }
        }
        return MultipathTable(
            queueIfNoPath: queueIfNoPath,
            groups: groups.filter { !$0.isEmpty }.map { .init(selector: selector, devices: $0) })
    }

    /// Whether a live table serves as well as the wanted one: same groups of the same paths with the same selector.
    /// Queueing is left out, because the monitor turns it off and on, and so are words that the kernel adds.
    package static func isEquivalent(_ live: MultipathTable, _ wanted: MultipathTable) -> Bool {
        guard live.groups.count == wanted.groups.count else { return false }
        return zip(live.groups, wanted.groups).allSatisfy { live, wanted in
            live.selector.name == wanted.selector.name && live.paths.map(\.device) == wanted.paths.map(\.device)
        }
    }

    /// The kernel modules that a table of these volumes needs.
    package static func modules(_ volumes: [Volume]) -> [String] {
        var names = ["dm_mod", "dm_multipath"]
        for volume in volumes {
            let name = "dm_" + volume.multipath.selector.rawValue.map { $0 == "-" ? "_" : String($0) }.joined()
            if !names.contains(name) { names.append(name) }
        }
        return names
    }

    /// The kernel's own end to queueing, for when nobody else ends it: the longest window and half a minute more, so
    /// that the monitor, where it lives, always decides first. 0 (no end) only when no volume queues at all.
    package static func backstopSeconds(_ volumes: [Volume]) -> Int {
        let longest = volumes.map(\.multipath.queueSeconds).max() ?? 0
        return longest == 0 ? 0 : longest + 30
    }

    /// The module parameter that holds it (dm-mpath.c, since Linux 5.6).
    package static let backstopFile = "/sys/module/dm_multipath/parameters/queue_if_no_path_timeout_secs"
}
