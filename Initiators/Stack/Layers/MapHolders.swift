import HostDevices
import Rack

/// What stands on a map: our own logical volumes and mounts, which `down` takes away before the map, and everything
/// else, which keeps `down` from beginning.
struct MapHolders {
    let scope: StackScope
    let files: HostFiles
    let mounts: MountTable

    /// The first thing that is not ours to take down; nil when there is none.
    ///
    /// - Parameter openCount: How often the kernel counts the map as open; more than what is seen on it means that a
    ///   process has its node open.
    func refusal(mapName: String, device: String, openCount: Int?) -> StackError? {
        if let foreign = foreignUse(of: device, on: mapName) { return foreign }
        guard let openCount, let block = BlockDevice(name: device, files: files) else { return nil }
        let seen = block.holders.count + mounts.mounts(of: block.number).count
        guard openCount > seen else { return nil }
        let nodes = ["/dev/\(device)", "/dev/mapper/\(mapName)"]
        let holds = ProcessTable(files: files).holders(ofNodes: nodes, limit: 4)
        // udev and LVM open devices for an instant; only who is still there with a name counts.
        guard !holds.isEmpty else { return nil }
        return busy(mapName, "held open by \(holds.map(\.description).joined(separator: "; "))", "end that")
    }

    private func foreignUse(of device: String, on mapName: String) -> StackError? {
        guard let block = BlockDevice(name: device, files: files) else { return nil }
        let ourMounts = Set(scope.inventory.filesystems.map(\.mountPoint))
        for mount in mounts.mounts(of: block.number) where !ourMounts.contains(mount.mountPoint) {
            let holds = ProcessTable(files: files).holders(of: mount, limit: 3)
            let who = holds.isEmpty ? "" : ", in use by \(holds.map(\.description).joined(separator: "; "))"
            return busy(
                mapName, "\(block.mapName ?? device) is mounted on \(mount.mountPoint)\(who)",
                "umount \(mount.mountPoint)")
        }
        for holder in block.holders {
            let above = BlockDevice(name: holder, files: files)
            guard isOurs(above) else {
                return busy(
                    mapName, "\(above?.mapName ?? holder) stands on it", "take \(above?.mapName ?? holder) away")
            }
            if let foreign = foreignUse(of: holder, on: mapName) { return foreign }
        }
        return nil
    }

    /// A logical volume of one of the inventory's groups.
    private func isOurs(_ block: BlockDevice?) -> Bool {
        guard let block, let name = block.mapName, block.mapUUID?.hasPrefix("LVM-") ?? false else { return false }
        return scope.inventory.volumeGroups.contains { group in
            let doubled = group.name.split(separator: "-", omittingEmptySubsequences: false).joined(separator: "--")
            guard name.hasPrefix(doubled + "-") else { return false }
            // `VG0--x-LV` belongs to the group `VG0-x`, not to `VG0`.
            return !name.dropFirst(doubled.count + 1).hasPrefix("-")
        }
    }

    private func busy(_ mapName: String, _ cause: String, _ advice: String) -> StackError {
        StackError(.busy, object: mapName, cause: cause, advice: "\(advice), then: attach down")
    }
}
