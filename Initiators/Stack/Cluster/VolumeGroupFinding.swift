import Glibc
import Rack

/// What the physical volumes of a group say, compared with the inventory.
package enum VolumeGroupFinding: Sendable, Equatable {
    /// No volume group of this name, and none on its maps; `orphans` are maps that are physical volumes of no group.
    case absent(orphans: [String])
    /// The group as wanted.
    case ready(VolumeGroupFacts)
    /// The right name and maps, and not yet shared: a creation that was interrupted, or is going on elsewhere.
    case unshared(VolumeGroupFacts)
    /// Something else; what, and what to do.
    case conflict(cause: String, advice: String)

    /// The fields of `pvs` that this is made from.
    package static let fields = [
        "pv_name", "pv_fmt", "vg_name", "vg_uuid", "vg_shared", "vg_lock_type", "vg_lock_args", "vg_extent_size",
        "vg_extent_count", "vg_free_count", "lv_count", "pv_count", "vg_missing_pv_count",
    ]

    /// What LVM calls the group of a physical volume whose metadata it read while they were being written.
    private static let unreadable = "[unknown]"

    /// Judges the rows of `pvs -a` over a group's maps.
    package init(_ group: VolumeGroup, devices: [String], clusterName: String, rows: [[String: String]]) {
        func say(_ cause: String, _ advice: String) -> VolumeGroupFinding { .conflict(cause: cause, advice: advice) }
        let ours = rows.filter { devices.contains($0["pv_name"] ?? "") }
        for row in ours {
            let name = row["vg_name"] ?? ""
            if !name.isEmpty, name != group.name, name != Self.unreadable {
                self = say(
                    "\(row["pv_name"]!) belongs to volume group \(name)",
                    "correct rack.yaml, or free it if nobody needs that data: vgreduce \(name) \(row["pv_name"]!)")
                return
            }
        }
        let members = ours.filter { $0["vg_name"] == group.name }
        guard let row = members.first else {
            // `pvs -a` lists devices that are no physical volume as well; those have no format.
            self = .absent(
                orphans: ours.filter {
                    $0["pv_fmt"]?.isEmpty == false && $0["vg_name"] != Self.unreadable
                }.compactMap { $0["pv_name"] })
            return
        }
        let facts = VolumeGroupFacts(row)
        if Set(members.compactMap { $0["vg_uuid"] }).count > 1 {
            self = say("there are two volume groups of this name on the maps", "remove or rename one of them")
        } else if facts.physicalVolumes != devices.count || members.count != devices.count || facts.missing > 0 {
            let missing = devices.filter { device in !members.contains { $0["pv_name"] == device } }
            self = say(
                "it has \(facts.physicalVolumes) physical volumes, the inventory \(devices.count)"
                    + (missing.isEmpty ? "" : " (not in it: \(missing.joined(separator: ", ")))"),
                "make the volumes of \(group.name) in rack.yaml agree with: vgs -o +devices")
        } else if facts.extentBytes != group.extentSizeBytes {
            self = say(
                "its extents have \(facts.extentBytes) bytes, the inventory says \(group.extentSizeBytes)",
                "correct extentSize in rack.yaml")
        } else if facts.lockType.isEmpty {
            self = .unshared(facts)
        } else if facts.lockType != "dlm" {
            self = say("its locks are of type \(facts.lockType), wanted dlm", "vgchange --lock-type dlm \(group.name)")
        } else if facts.lockCluster != clusterName {
            self = say(
                "it belongs to cluster \(facts.lockCluster), the inventory says \(clusterName)",
                "give the filesystems of rack.yaml that cluster, or, with all clients down: "
                    + "vgchange --lock-type none --lock-opt force \(group.name)")
        } else {
            self = .ready(facts)
        }
    }
}

/// The figures of a volume group.
package struct VolumeGroupFacts: Sendable, Equatable {
    package var uuid: String
    package var lockType: String
    package var lockCluster: String
    package var extentBytes: UInt64
    package var extents: UInt64
    package var freeExtents: UInt64
    package var logicalVolumes: Int
    package var physicalVolumes: Int
    package var missing: Int

    package init(_ row: [String: String]) {
        uuid = row["vg_uuid"] ?? ""
        lockType = row["vg_lock_type"] ?? ""
        // `1.0.0:client`: the version of the lock format, and the cluster it was made in.
        lockCluster = (row["vg_lock_args"] ?? "").split(separator: ":").dropFirst().joined(separator: ":")
        extentBytes = row["vg_extent_size"].flatMap(UInt64.init) ?? 0
        extents = row["vg_extent_count"].flatMap(UInt64.init) ?? 0
        freeExtents = row["vg_free_count"].flatMap(UInt64.init) ?? 0
        logicalVolumes = row["lv_count"].flatMap(Int.init) ?? 0
        physicalVolumes = row["pv_count"].flatMap(Int.init) ?? 0
        missing = row["vg_missing_pv_count"].flatMap(Int.init) ?? 0
    }
}

/// The note that a volume group is being made on certain maps, written before `vgcreate` and removed after it.
///
/// `vgcreate` labels the physical volumes before the group exists. A label without a group is somebody's until this note
/// says that it is what an interrupted run of ours left.
package struct CreationNote: Sendable {
    package let folder: String
    package let group: String

    package init(folder: String, group: String) {
        self.folder = folder
        self.group = group
    }

    private var path: String { "\(folder)/vgcreate-\(group)" }

    /// Notes the creation, on the maps with these UUIDs.
    package func write(mapUUIDs: [String]) throws(StackError) {
        try makeFolder(folder)
        try writeFileAtomically(path, mapUUIDs.joined(separator: "\n") + "\n")
    }

    /// Whether a creation on exactly these maps was begun and not finished.
    package func isBegun(mapUUIDs: [String]) -> Bool {
        readTextFile(path).map { $0.split(separator: "\n").map(String.init) == mapUUIDs } ?? false
    }

    /// Takes the note away.
    package func remove() {
        removeFile(path)
        _ = unsafe rmdir(folder)
    }
}

/// What may be done about a map on which a group is to be made.
package enum CreationCheck {
    /// Throws unless every map is empty, or carries only the labels of our own interrupted creation.
    package static func require(
        _ findings: [(device: String, signatures: [DeviceSignature])], orphans: [String], isBegun: Bool
    ) throws(StackError) {
        for (device, signatures) in findings {
            let left = signatures.filter { !(isBegun && $0.type == "LVM2_member" && orphans.contains(device)) }
            guard let first = left.first else { continue }
            let all = left.map(\.description).joined(separator: ", ")
            throw StackError(
                .mismatch, object: device, cause: "it is not empty: \(all)",
                advice: "take another volume, or, if nobody needs that data: wipefs --all \(device)"
                    + (first.type == "LVM2_member" ? " (see pvs first)" : ""))
        }
    }
}
