/// A portal as one way to a volume.
public struct VolumePortal: Sendable, Equatable {
    /// The storage host.
    public let hostName: String
    /// The host's portal.
    public let portal: Portal

    /// Target portal group tag and relative target port identifier, distinct within the volume.
    public var tag: UInt16 { portal.tag }
}

extension Inventory {
    /// The storage host of this name.
    public func host(named name: String) -> StorageHost? { hosts.first { $0.name == name } }

    /// The client of this name.
    public func client(named name: String) -> Client? { clients.first { $0.name == name } }

    /// The volume of this name.
    public func volume(named name: String) -> Volume? { volumes.first { $0.name == name } }

    /// The volume with this WWID.
    public func volume(wwid: UInt64) -> Volume? { volumes.first { $0.wwid == wwid } }

    /// The volume behind this iSCSI target name.
    public func volume(targetName: String) -> Volume? { volumes.first { $0.targetName == targetName } }

    /// What every storage host calls itself in CHAP_N (RFC 7143, 12.1.3) of a discovery session, which has no target.
    public var discoveryName: String { "\(iqnPrefix):\(name)" }

    /// All that are declared to log in: clients, then initiators, each in the order of the file.
    public var declaredInitiators: [Initiator] {
        clients.map { Initiator(name: $0.name, initiatorName: $0.initiatorName) } + initiators
    }

    /// Those that see this volume, its target and its unit; nil for anybody, which is so only where the file declares
    /// neither clients nor initiators.
    public func initiators(seeing volume: Volume) -> [Initiator]? {
        let declared = declaredInitiators
        guard !declared.isEmpty else { return nil }
        guard let names = volume.clientNames else { return declared }
        return declared.filter { names.contains($0.name) }
    }

    /// The volumes that a client or initiator of this name sees, in the order of the file.
    public func volumes(seenBy name: String) -> [Volume] {
        volumes.filter { volume in initiators(seeing: volume)?.contains { $0.name == name } ?? true }
    }

    /// The volume group of this name.
    public func volumeGroup(named name: String) -> VolumeGroup? { volumeGroups.first { $0.name == name } }

    /// The filesystem of this name.
    public func filesystem(named name: String) -> Filesystem? { filesystems.first { $0.name == name } }

    /// The volumes that this host serves, in the order of the file.
    public func volumes(servedBy hostName: String) -> [Volume] { volumes.filter { $0.hostNames.contains(hostName) } }

    /// Every way to a volume: hosts as the volume lists them, portals as the host lists them.
    public func portals(of volume: Volume) -> [VolumePortal] {
        volume.hostNames.compactMap(host(named:)).flatMap { host in
            host.portals.map { VolumePortal(hostName: host.name, portal: $0) }
        }
    }

    /// The volumes that are a group's physical volumes, as the group lists them.
    public func volumes(of group: VolumeGroup) -> [Volume] { group.volumeNames.compactMap(volume(named:)) }

    /// The volumes that a filesystem lies on, all of its group's.
    public func volumes(of filesystem: Filesystem) -> [Volume] {
        volumeGroup(named: filesystem.volumeGroupName).map(volumes(of:)) ?? []
    }

    /// The group a volume is a physical volume of.
    public func volumeGroup(using volume: Volume) -> VolumeGroup? {
        volumeGroups.first { $0.volumeNames.contains(volume.name) }
    }

    /// The logical volume a filesystem lies on.
    public func logicalVolume(of filesystem: Filesystem) -> LogicalVolume? {
        volumeGroup(named: filesystem.volumeGroupName)?.logicalVolumes
            .first { $0.name == filesystem.logicalVolumeName }
    }

    /// The filesystems on a group's logical volumes, in the order of the file.
    public func filesystems(on group: VolumeGroup) -> [Filesystem] {
        filesystems.filter { $0.volumeGroupName == group.name }
    }

    /// The client that makes volume groups and filesystems: the first in the file.
    public var foundingClient: Client? { clients.first }

    /// The corosync cluster's name; nil when there is no filesystem.
    public var clusterName: String? { filesystems.first?.clusterName }

    /// How many extents a group is expected to hold: each physical volume less the 1 MiB that LVM takes at its start.
    public func expectedExtents(of group: VolumeGroup) -> UInt64 {
        volumes(of: group).reduce(0) { sum, volume in
            sum
                + VolumeGroup.expectedExtents(
                    volumeBytes: volume.sizeBytes ?? 0, extentSizeBytes: group.extentSizeBytes)
        }
    }

    /// How many extents a logical volume is expected to have.
    public func expectedExtents(of logicalVolume: LogicalVolume, in group: VolumeGroup) -> UInt64 {
        switch logicalVolume.size {
        case .extents(let count): count
        case .bytes(let bytes): bytes / group.extentSizeBytes
        case .percentOfGroup(let percent): VolumeGroup.share(percent, ofExtents: expectedExtents(of: group))
        }
    }
}

extension VolumeGroup {
    /// LVM's default metadata area with its alignment.
    static let reservedBytes: UInt64 = 1 << 20

    static func expectedExtents(volumeBytes: UInt64, extentSizeBytes: UInt64) -> UInt64 {
        volumeBytes > reservedBytes ? (volumeBytes - reservedBytes) / extentSizeBytes : 0
    }

    static func share(_ percent: Int, ofExtents extents: UInt64) -> UInt64 {
        let (high, low) = extents.multipliedFullWidth(by: UInt64(percent))
        return UInt64(100).dividingFullWidth((high, low)).quotient
    }

    /// A logical volume's name as device-mapper has it, where LVM doubles every hyphen of either name:
    /// `VG0`, `LV0` gives `VG0-LV0`; `a-b`, `c` gives `a--b-c`.
    public func mapName(of logicalVolume: LogicalVolume) -> String {
        Self.mapName(group: name, volume: logicalVolume.name)
    }

    static func mapName(group: String, volume: String) -> String {
        let doubled = [group, volume].map { $0.split(separator: "-", omittingEmptySubsequences: false) }
        return doubled.map { $0.joined(separator: "--") }.joined(separator: "-")
    }
}
