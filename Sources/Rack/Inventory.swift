/// A rack: the storage hosts, what they export, the clients that use it and what is stacked on top, as rack.yaml
/// declares it.
///
/// Made by `load(path:)`, `load(text:fileName:)` or `standalone(...)` only, so every inventory in hand is one that passed
/// every check: names are unique, references resolve, and identifiers are distinct. Arrays keep the order of the file;
/// nothing but the choice of the client that makes volume groups and filesystems (the first) depends on that order.
public struct Inventory: Sendable, Equatable {
    /// The rack's name, the first part of every derived identifier.
    public let name: String
    /// What every derived iSCSI name begins with, such as `iqn.2026-01.net.example` (RFC 7143, 4.2.7.4).
    public let iqnPrefix: String
    /// The networks that portals may name; empty when the file has no `networks` list.
    public let networks: [Network]
    /// The machines that run storaged.
    public let hosts: [StorageHost]
    /// The machines that run attach; the first makes volume groups and filesystems.
    public let clients: [Client]
    /// Initiators that are not clients of the cluster; with the clients, they are all that may log in.
    public let initiators: [Initiator]
    /// How initiators and targets prove who they are; nil when nobody has to.
    public let authentication: Authentication?
    /// The exported block devices.
    public let volumes: [Volume]
    /// LVM volume groups over volumes.
    public let volumeGroups: [VolumeGroup]
    /// Filesystems on logical volumes.
    public let filesystems: [Filesystem]
    /// Intervals and deadlines of paths.
    public let timeouts: Timeouts
    /// What every storaged of the rack keeps within.
    public let limits: DaemonLimits
    /// Whether `storaged fault` may make this rack's units misbehave, for drills; false unless the file says so.
    public let allowsFaultInjection: Bool
}

/// A network that portals are on.
public struct Network: Sendable, Equatable {
    /// Its name, which portals refer to.
    public let name: String
    /// Free text.
    public let description: String?
}

/// A machine that runs storaged.
public struct StorageHost: Sendable, Equatable {
    /// Its name; storaged takes the part of the host whose name it is given, or of the machine's own name.
    public let name: String
    /// What fails together with it.
    public let failureDomain: FailureDomain
    /// Where it listens, at least one place.
    public let portals: [Portal]
}

/// What fails together.
public struct FailureDomain: Sendable, Equatable {
    /// The rack the host stands in.
    public let rack: String?
    /// The row of racks.
    public let row: String?
}

/// A place where a storage host listens.
///
/// Each portal is a portal group of its own (RFC 7143, 4.1), so that a path is told apart by its tag.
public struct Portal: Sendable, Equatable {
    /// The network it is on; nil only for a stand-alone host.
    public let network: String?
    /// IPv4 or IPv6 address in canonical form (RFC 5952), or a host name in lower case.
    public let address: String
    /// TCP port, 1...65535.
    public let port: UInt16
    /// Target portal group tag (RFC 7143, 13.9) and, the same number, relative target port identifier (SPC-4, 7.8.6.1);
    /// 1...65535, distinct among all portals of any one volume.
    public let tag: UInt16
    /// True when the file gives the tag.
    public let tagIsSetByHand: Bool
    /// The name of the target port group (SPC-4, 5.15) that it shares with other portals of its host; nil for a group of
    /// its own.
    public let groupName: String?
    /// TARGET PORT GROUP, 1...65535: derived from the group's name, or else the tag. Distinct among all groups of any one
    /// volume.
    public let groupIdentifier: UInt16

    /// `ADDRESS:PORT`, with an IPv6 address in brackets, as iSCSI's TargetAddress wants it (RFC 7143, 13.8).
    public var endpoint: String { Self.endpoint(address: address, port: port) }

    static func endpoint(address: String, port: UInt16) -> String {
        address.utf8.contains(0x3a) ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    /// The registered iSCSI port.
    public static let defaultPort: UInt16 = 3260
}

/// An exported block device: one iSCSI target of its own, the same on every host that serves it, with the volume as
/// LUN 0.
public struct Volume: Sendable, Equatable {
    /// Its name, also the name of its device-mapper map.
    public let name: String
    /// Its size, whole blocks; nil only for a stand-alone host, where the backing file's own size is taken.
    public let sizeBytes: UInt64?
    /// Backing file or block device, an absolute path on every serving host.
    public let path: String
    /// Names of the hosts that serve it, at least one.
    public let hostNames: [String]
    /// iSCSI target name.
    public let targetName: String
    /// True when the file gives the target name.
    public let targetNameIsSetByHand: Bool
    /// Locally assigned NAA identifier (SPC-4, 7.8.6.6): 64 bits whose first digit is 3.
    public let wwid: UInt64
    /// True when the file gives the WWID.
    public let wwidIsSetByHand: Bool
    /// Logical block length in bytes, 512 or 4096.
    public let blockSizeBytes: Int
    /// True when writes are refused.
    public let isReadOnly: Bool
    /// How clients spread I/O over its paths.
    public let multipath: MultipathSettings
    /// Names of the clients and initiators that see it, at least one; nil for every declared one.
    public let clientNames: [String]?

    /// The WWID as 16 hexadecimal digits, as `sg_vpd` prints the designator.
    public var wwidDigits: String { hexadecimal(wwid, digits: 16) }
    /// The WWID as scsi_id, udev and multipath print it: `3` (designator type NAA) and the 16 digits.
    public var wwidString: String { "3" + wwidDigits }
    /// UUID of the device-mapper map, `mpath-` and the WWID, the prefix that LVM and udev rules know.
    public var mapUUID: String { "mpath-" + wwidString }
    /// Path of the map's device.
    public var mapPath: String { "/dev/mapper/" + name }
    /// Number of logical blocks, where the size is known.
    public var blockCount: UInt64? { sizeBytes.map { $0 / UInt64(blockSizeBytes) } }
}

/// How a client's map of a volume is made.
public struct MultipathSettings: Sendable, Equatable {
    /// Which paths form a priority group.
    public enum Grouping: String, Sendable, CaseIterable {
        /// All paths in one group: I/O goes over all of them.
        case multibus
        /// A group a path: I/O goes over one of them.
        case failover
        /// A group a storage host: I/O goes over all paths to one host.
        case groupByHost
    }

    /// dm-multipath's path selectors.
    public enum Selector: String, Sendable, CaseIterable {
        /// The path that is likely to be done first.
        case serviceTime = "service-time"
        /// Each path in turn.
        case roundRobin = "round-robin"
        /// The path with the fewest requests.
        case queueLength = "queue-length"

        /// As a multipath table has it: the name and a count of no arguments.
        public var tableText: String { rawValue + " 0" }
    }

    /// Which paths form a group; `groupByHost` unless given, which for a volume on one host is the same as `multibus`.
    public let grouping: Grouping
    /// How a path is chosen within a group; `service-time` unless given.
    public let selector: Selector
    /// How long I/O waits when no path is left before it fails, in seconds; 60 unless given, 0 fails at once.
    public let queueSeconds: Int
}

/// A machine that runs attach.
public struct Client: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// Address for cluster traffic, in canonical form.
    public let address: String
    /// corosync node id, 1...2147483647.
    public let nodeID: Int
    /// iSCSI initiator name.
    public let initiatorName: String
    /// True when the file gives the initiator name.
    public let initiatorNameIsSetByHand: Bool
    /// Initiator session id (RFC 7143, 11.12.5) of 48 bits whose low 16, the qualifier, are zero: sessions number them.
    /// Derived ones are of the random format: the first byte is 0x80.
    public let isidBase: UInt64
    /// True when the file gives the ISID base.
    public let isidBaseIsSetByHand: Bool
    /// Persistent reservation key, not zero.
    public let reservationKey: UInt64
    /// True when the file gives the reservation key.
    public let reservationKeyIsSetByHand: Bool

    /// The ISID of the session with this qualifier, six bytes as they stand in a Login Request.
    public func isid(qualifier: UInt16) -> [UInt8] {
        let value = isidBase | UInt64(qualifier)
        return stride(from: UInt64(40), through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// The ISID base as 12 hexadecimal digits.
    public var isidBaseDigits: String { hexadecimal(isidBase, digits: 12) }
    /// The reservation key as `0x` and 16 hexadecimal digits, as sg_persist and multipath write it.
    public var reservationKeyString: String { "0x" + hexadecimal(reservationKey, digits: 16) }
}

/// An LVM volume group that the clients share.
public struct VolumeGroup: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// Names of the volumes that are its physical volumes, at least one.
    public let volumeNames: [String]
    /// Extent size in bytes, a power of two; 4 MiB unless given.
    public let extentSizeBytes: UInt64
    /// Its logical volumes.
    public let logicalVolumes: [LogicalVolume]
}

/// A logical volume.
public struct LogicalVolume: Sendable, Equatable {
    /// How its size is given.
    public enum Size: Sendable, Equatable {
        /// So many extents.
        case extents(UInt64)
        /// So many bytes, whole extents.
        case bytes(UInt64)
        /// This share of the group's extents, 1...100.
        case percentOfGroup(Int)
    }

    /// Its name within the group.
    public let name: String
    /// Its size.
    public let size: Size
}

/// A filesystem that the clients mount.
public struct Filesystem: Sendable, Equatable {
    /// The kinds there are.
    public enum Kind: String, Sendable, CaseIterable {
        /// Global File System 2.
        case gfs2
    }

    /// Its name.
    public let name: String
    /// Its kind.
    public let kind: Kind
    /// The corosync cluster, one for the whole inventory.
    public let clusterName: String
    /// The volume group it lies in.
    public let volumeGroupName: String
    /// The logical volume it lies on.
    public let logicalVolumeName: String
    /// Number of journals, at least one a client.
    public let journalCount: Int
    /// Mount point, an absolute path other than `/`.
    public let mountPoint: String
    /// Mount options, none of them empty.
    public let options: [String]

    /// `CLUSTER:NAME`, as mkfs.gfs2 takes it.
    public var lockTable: String { "\(clusterName):\(name)" }
    /// `GROUP/VOLUME`, as LVM takes it.
    public var logicalVolumePath: String { "\(volumeGroupName)/\(logicalVolumeName)" }
    /// Path of the device it lies on.
    public var devicePath: String { "/dev/\(volumeGroupName)/\(logicalVolumeName)" }
}

/// Intervals and deadlines of paths, in seconds.
public struct Timeouts: Sendable, Equatable {
    /// Between two NOP-Outs on an idle session; 5 unless given.
    public let nopIntervalSeconds: Int
    /// For the answer to a NOP-Out; 5 unless given.
    public let nopTimeoutSeconds: Int
    /// From the loss of a session until its commands fail up to dm-multipath; 5 unless given.
    public let recoverySeconds: Int
    /// Between two checks of a path; 2 unless given.
    public let pathCheckSeconds: Int

    /// What holds where the file says nothing.
    public static let standard = Timeouts(
        nopIntervalSeconds: 5, nopTimeoutSeconds: 5, recoverySeconds: 5, pathCheckSeconds: 2)

    /// The longest that a command stalls on a path that died silently: NOP interval, NOP timeout and recovery together.
    public var worstStallSeconds: Int { nopIntervalSeconds + nopTimeoutSeconds + recoverySeconds }
}
