// What is stacked on volumes: groups, logical volumes, filesystems.
extension Checks {
    mutating func checkVolumeGroups() {
        checkDistinctNames(declared.volumeGroups.map { ($0.label, $0.name) })
        let volumeNames = declared.volumes.compactMap { $0.name?.value }
        let volumes = Dictionary(
            declared.volumes.compactMap { volume in volume.name.map { ($0.value, volume) } }, uniquingKeysWith: { $1 })
        var users = FirstUses<String>()
        for group in declared.volumeGroups {
            var members: [Declarations.Volume] = []
            for name in group.volumes?.value ?? [] {
                guard let volume = volumes[name.value] else {
                    if isUnreadable(volumeNames) { continue }
                    problems.error(
                        name.position, "\(group.label): volume \(quoted(name.value)) is not declared",
                        choice(name.value, of: volumeNames))
                    continue
                }
                if let first = users.note(name.value, group.label, name.position) {
                    problems.error(
                        name.position,
                        "\(group.label): volume \(name.value) is in \(first.label) already, on line \(first.line)",
                        "write each volume once, in one group")
                    continue
                }
                if volume.isReadOnly {
                    problems.error(
                        name.position, "\(group.label): volume \(name.value) is read-only, and LVM writes to it",
                        "remove readOnly there, or the volume here")
                }
                if let first = members.first, first.blockSizeBytes != volume.blockSizeBytes {
                    problems.error(
                        name.position,
                        "\(group.label): \(volume.label) has blocks of \(volume.blockSizeBytes) bytes and \(first.label) of "
                            + "\(first.blockSizeBytes), which LVM does not mix",
                        "write volumes of one blockSize")
                }
                members.append(volume)
            }
            checkCapacity(of: group, members: members)
            checkAccess(to: group, members: members)
        }
    }

    /// Only where every size is known: else the report would blame the wrong line.
    private mutating func checkCapacity(of group: Declarations.VolumeGroup, members: [Declarations.Volume]) {
        checkDistinctNames(group.logicalVolumes.map { ($0.label, $0.name) })
        guard let extent = group.extentSizeBytes, members.count == group.volumes?.value.count else { return }
        let sizes = members.compactMap { $0.size?.value }
        guard sizes.count == members.count, !sizes.isEmpty else { return }
        var most: UInt64 = 0
        var expected: UInt64 = 0
        for size in sizes {
            most += size / extent
            expected += VolumeGroup.expectedExtents(volumeBytes: size, extentSizeBytes: extent)
        }
        var total: UInt64 = 0
        for volume in group.logicalVolumes {
            guard let size = volume.size else { continue }
            let extents: UInt64
            switch size.value {
            case .extents(let count): extents = count
            case .bytes(let bytes): extents = bytes / extent
            case .percentOfGroup(let percent): extents = VolumeGroup.share(percent, ofExtents: expected)
            }
            if extents == 0 {
                problems.error(
                    size.position, "\(volume.label): that share of \(group.label) is less than one extent",
                    "write a larger share, or extents: 1")
            }
            total = min(total, UInt64.max / 2) + min(extents, UInt64.max / 2)
            guard total > expected else { continue }
            let name = group.name?.value ?? ""
            let message =
                "\(volume.label): \(total) extents in all are more than the \(expected) that \(name) will hold"
            let advice = "write at most \(expected) in all, or larger volumes"
            if total > most {
                problems.error(size.position, message, advice)
            } else {
                problems.warning(size.position, message + " (LVM keeps 1 MiB of each volume)", advice)
            }
            return
        }
    }

    /// Maps of volumes and of logical volumes share one folder, /dev/mapper.
    mutating func checkMapNames() {
        var maps = FirstUses<String>()
        for volume in declared.volumes {
            if let name = volume.name { _ = maps.note(name.value, volume.label, name.position) }
        }
        for group in declared.volumeGroups {
            guard let groupName = group.name else { continue }
            for volume in group.logicalVolumes {
                guard let name = volume.name else { continue }
                let map = VolumeGroup.mapName(group: groupName.value, volume: name.value)
                if map.utf8.count > 127 {
                    problems.error(
                        name.position,
                        "\(volume.label): /dev/mapper/\(map) is longer than 127 bytes (LVM doubles each hyphen there)",
                        "write shorter names, or names without hyphens")
                } else if let first = maps.note(map, volume.label, name.position), first.label.hasPrefix("volume ") {
                    problems.error(
                        name.position,
                        "\(volume.label): its map /dev/mapper/\(map) has the name of \(first.label), on line \(first.line)",
                        "write another name for one of them")
                }
            }
        }
    }

    mutating func checkFilesystems() {
        checkDistinctNames(declared.filesystems.map { ($0.label, $0.name) })
        var mounts = FirstUses<String>()
        var devices = FirstUses<String>()
        var cluster: Located<String>?
        for filesystem in declared.filesystems {
            if let name = filesystem.cluster {
                if let cluster, cluster.value != name.value {
                    problems.error(
                        name.position,
                        "\(filesystem.label): cluster \(quoted(name.value)) is not the \(quoted(cluster.value)) of line "
                            + "\(cluster.position.line), and a client is in one cluster only",
                        "write cluster: \(cluster.value)")
                }
                cluster = cluster ?? name
            }
            if let mount = filesystem.mount, let first = mounts.note(mount.value, filesystem.label, mount.position) {
                problems.error(
                    mount.position,
                    "\(filesystem.label): \(mount.value) is where \(first.label) is mounted, on line \(first.line)",
                    "write a mount point of its own")
            }
            if let volume = filesystem.volume {
                checkReference(volume, of: filesystem)
                let path = "\(volume.value.group)/\(volume.value.logicalVolume)"
                if let first = devices.note(path, filesystem.label, volume.position) {
                    problems.error(
                        volume.position, "\(filesystem.label): \(path) is \(first.label)'s, on line \(first.line)",
                        "write a logical volume of its own")
                }
            }
            checkJournals(of: filesystem)
        }
    }

    private mutating func checkReference(
        _ reference: Located<(group: String, logicalVolume: String)>, of filesystem: Declarations.Filesystem
    ) {
        let (groupName, volumeName) = reference.value
        guard let group = declared.volumeGroups.first(where: { $0.name?.value == groupName }) else {
            if isUnreadable(declared.volumeGroups.compactMap { $0.name?.value }) { return }
            problems.error(
                reference.position, "\(filesystem.label): volume group \(quoted(groupName)) is not declared",
                choice(groupName, of: declared.volumeGroups.compactMap { $0.name?.value }))
            return
        }
        let names = group.logicalVolumes.compactMap { $0.name?.value }
        guard !names.contains(volumeName) else { return }
        problems.error(
            reference.position,
            "\(filesystem.label): \(group.label) has no logical volume \(quoted(volumeName))",
            choice(volumeName, of: names))
    }

    private mutating func checkJournals(of filesystem: Declarations.Filesystem) {
        let clients = declared.clients.count
        if clients == 0 {
            problems.error(
                filesystem.position, "\(filesystem.label): there is no client to mount it",
                "write clients: and a list, each with name, address and nodeID")
        }
        guard let journals = filesystem.journals, journals.value < UInt64(clients) else { return }
        let count = journals.value == 1 ? "1 journal" : "\(journals.value) journals"
        problems.error(
            journals.position, "\(filesystem.label): \(count) for \(clients) clients, each of which needs one",
            "write journals: \(clients) or more")
    }
}
