import Glibc
import HostDevices
import Rack

/// GFS2: made once, on a device on which nothing is found, and mounted on every client.
public struct FilesystemLayer: Layer {
    /// mkfs discards the whole device first, which on large ones takes its time.
    static let makeDeadlineSeconds = 900
    private static let mountDeadlineSeconds = 90

    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext, paths: ClusterPaths = ClusterPaths()) { self.context = context }

    /// `filesystem`.
    public var kind: LayerKind { .filesystem }

    /// The wanted filesystems with what they lie on.
    private static func wanted(
        _ scope: StackScope
    ) -> [(filesystem: Filesystem, group: VolumeGroup, volume: LogicalVolume)] {
        scope.filesystems.compactMap { filesystem in
            guard let group = scope.inventory.volumeGroup(named: filesystem.volumeGroupName),
                let volume = scope.inventory.logicalVolume(of: filesystem)
            else { return nil }
            return (filesystem, group, volume)
        }
    }

    // MARK: - Looking

    /// One object a wanted filesystem, by its mount point.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        var objects: [ObservedObject] = []
        for (filesystem, group, volume) in Self.wanted(scope) {
            objects.append(await describe(filesystem, group, volume))
        }
        return objects
    }

    private func describe(_ filesystem: Filesystem, _ group: VolumeGroup, _ volume: LogicalVolume) async
        -> ObservedObject
    {
        var object = ObservedObject(
            layer: .filesystem, name: filesystem.mountPoint, state: .absent,
            facts: [
                "type": filesystem.kind.rawValue, "lock_table": filesystem.lockTable,
                "volume": filesystem.logicalVolumePath, "journals": "\(filesystem.journalCount)",
            ])
        let device = LogicalVolumeDevice(group, volume, context.files)
        if let mount = MountTable(files: context.files).mount(at: filesystem.mountPoint) {
            judge(mount, filesystem, device, &object)
            return object
        }
        guard device != nil else { return object }
        do throws(StackError) {
            let found = try await GFS2Superblock.read(device: filesystem.devicePath)
            object.detail = found == nil ? "not made" : "made, not mounted"
            if let found { object.facts["found"] = found.lockTable }
        } catch {
            object.detail = error.description
        }
        return object
    }

    private func judge(
        _ mount: Mount, _ filesystem: Filesystem, _ device: LogicalVolumeDevice?, _ object: inout ObservedObject
    ) {
        object.facts["source"] = mount.source
        guard mount.filesystemType == "gfs2", let device, mount.device.description == device.number else {
            object.state = .foreign
            object.detail = "\(mount.source) (\(mount.filesystemType)) is mounted there"
            return
        }
        object.facts["mounted"] = "yes"
        object.facts["mode"] = mount.isReadOnly ? "ro" : "rw"
        let nodes = context.files.entries("/sys/kernel/config/dlm/cluster/spaces/\(filesystem.name)/nodes").count
        object.facts["journals_in_use"] = "\(nodes)"
        object.state = .present
        object.detail =
            "\(mount.isReadOnly ? "ro" : "rw")  \(nodes) of \(filesystem.journalCount) journals in use"
        if context.files.text("/sys/fs/gfs2/\(filesystem.lockTable)/withdraw") == "1" {
            object.state = .wrong
            object.detail = "GFS2 withdrew after an error: attach down, fsck.gfs2, attach up (see dmesg)"
        } else if mount.isReadOnly, !filesystem.options.contains("ro") {
            object.state = .degraded
        }
    }

    // MARK: - Up

    /// GFS2 and its tools.
    public func missing(_ scope: StackScope) -> [StackError] {
        guard !scope.filesystems.isEmpty else { return [] }
        return context.missing(programs: ["mkfs.gfs2", "mount", "umount"], modules: ["gfs2"])
    }

    /// Making the filesystem or waiting for it, and mounting it.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        for (index, (filesystem, group, volume)) in Self.wanted(scope).enumerated() {
            guard let object = observation.object(.filesystem, filesystem.mountPoint) else { continue }
            if object.state == .foreign {
                throw StackError(
                    .mismatch, object: filesystem.mountPoint, cause: object.detail,
                    advice: "unmount it, or give the filesystem another mount point in rack.yaml")
            }
            if object.facts["mounted"] != nil { continue }
            if steps.isEmpty, let step = context.moduleStep(.filesystem, ["gfs2"], group: 0) { steps.append(step) }
            let lower = observation.object(.volume, filesystem.logicalVolumePath)
            let isMade = object.facts["found"] == filesystem.lockTable && lower?.facts["unformatted"] == nil
            if !isMade {
                let work = Work(filesystem: filesystem, group: group, volume: volume, scope: scope, context: context)
                let verb = VolumeGroupLayer.makingVerb(group, observation)
                steps.append(
                    scope.isFirstClient
                        ? makeStep(work, verb: verb, index * 2 + 1) : waitStep(work, observation, index * 2 + 1))
            }
            steps.append(mountStep(filesystem, group, volume, scope, index * 2 + 2))
        }
        return steps
    }

    private func makeStep(_ work: Work, verb: String, _ number: Int) -> Step {
        Step(
            layer: .filesystem,
            name: "\(verb) gfs2 \(work.filesystem.lockTable) with \(work.filesystem.journalCount) journals on "
                + work.filesystem.logicalVolumePath,
            object: work.filesystem.mountPoint, deadlineSeconds: Self.makeDeadlineSeconds + 240, group: number
        ) { try await work.make() }
    }

    private func waitStep(_ work: Work, _ observation: StackObservation, _ number: Int) -> Step {
        let founder = work.scope.inventory.foundingClient?.name ?? "the first client"
        return Step(
            layer: .filesystem,
            name: VolumeGroupLayer.waitingName(
                "gfs2 \(work.filesystem.lockTable)", founder, work.group, observation),
            object: work.filesystem.mountPoint, deadlineSeconds: VolumeGroupLayer.creationDeadlineSeconds + 60,
            group: number
        ) { try await work.wait(for: founder) }
    }

    private func mountStep(
        _ filesystem: Filesystem, _ group: VolumeGroup, _ volume: LogicalVolume, _ scope: StackScope, _ number: Int
    ) -> Step {
        let (context, inventory) = (context, scope.inventory)
        let note = folderNote(filesystem)
        return Step(
            layer: .filesystem, name: "mount \(filesystem.logicalVolumePath) on \(filesystem.mountPoint)",
            object: filesystem.mountPoint, deadlineSeconds: Self.mountDeadlineSeconds + 30, group: number
        ) {
            guard let device = LogicalVolumeDevice(group, volume, context.files) else {
                throw StackError(
                    .failed, object: filesystem.logicalVolumePath, cause: "it is not active", advice: "attach up")
            }
            let foreign = device.foreignSlaves(inventory.volumes(of: group))
            guard foreign.isEmpty else {
                throw StackError(
                    .mismatch, object: filesystem.logicalVolumePath,
                    cause: "it lies on \(foreign.joined(separator: ", ")), not on verified maps only",
                    advice: "attach down, then find out who made that: dmsetup ls --tree")
            }
            if let mount = MountTable(files: context.files).mount(at: filesystem.mountPoint) {
                if mount.device.description == device.number { return .alreadyThere }
                throw StackError(
                    .mismatch, object: filesystem.mountPoint, cause: "\(mount.source) is mounted there",
                    advice: "unmount it, or give the filesystem another mount point in rack.yaml")
            }
            try Work.require(try await GFS2Superblock.read(device: filesystem.devicePath), filesystem)
            if !fileExists(filesystem.mountPoint) {
                try makeFolder("\(context.folders.state)/cluster")
                try writeFileAtomically(note, filesystem.mountPoint + "\n")
                try makeFolder(filesystem.mountPoint)
            }
            let options = filesystem.options.isEmpty ? [] : ["-o", filesystem.options.joined(separator: ",")]
            try await context.commands.check(
                "mount", ["-t", "gfs2"] + options + [filesystem.devicePath, filesystem.mountPoint],
                deadlineSeconds: Self.mountDeadlineSeconds)
            return .created
        }
    }

    /// Where it is noted that attach made a mount point's folder and has to take it away again.
    private func folderNote(_ filesystem: Filesystem) -> String {
        "\(context.folders.state)/cluster/folder-\(filesystem.name)"
    }

    // MARK: - Down

    /// Unmounts what is mounted; the filesystem itself stays.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        let (context, inventory) = (context, scope.inventory)
        return Self.wanted(scope).reversed().enumerated().compactMap { index, wanted in
            let filesystem = wanted.filesystem
            guard observation.object(.filesystem, filesystem.mountPoint)?.facts["mounted"] != nil else { return nil }
            let note = folderNote(filesystem)
            return Step(
                layer: .filesystem, name: "unmount \(filesystem.mountPoint)", object: filesystem.mountPoint,
                deadlineSeconds: 120, group: index
            ) { try await Self.unmount(filesystem, inventory, context, folderNote: note) }
        }
    }

    /// Who uses a mounted filesystem, and locks that wait for a lost client: an unmount would hang in the kernel.
    public func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        Self.wanted(scope).compactMap { filesystem, _, _ in
            guard let object = observation.object(.filesystem, filesystem.mountPoint), object.facts["mounted"] != nil
            else {
                return nil
            }
            let manager = observation.object(.locks, LocksLayer.lockManagerName)
            if let cause = manager?.facts["waits_for_fencing"] {
                return StackError(
                    .failed, object: filesystem.mountPoint, cause: "unmounting would hang: \(cause)",
                    advice: manager?.facts["fencing_advice"] ?? "")
            }
            return Self.busy(filesystem, context)
        }
    }

    /// The refusal that names who holds a mounted filesystem; nil when nobody does.
    private static func busy(_ filesystem: Filesystem, _ context: StackContext) -> StackError? {
        guard let mount = MountTable(files: context.files).mount(at: filesystem.mountPoint) else { return nil }
        let table = ProcessTable(files: context.files)
        var holders = table.holders(of: mount, limit: 8).map(\.description)
        holders += MountTable(files: context.files).mounts(below: filesystem.mountPoint).map {
            "\($0.source) is mounted on \($0.mountPoint)"
        }
        holders += table.loopDevices(backedBelow: filesystem.mountPoint).map { "loop device /dev/\($0)" }
        guard !holders.isEmpty else { return nil }
        return StackError(
            .busy, object: filesystem.mountPoint, cause: "in use by \(holders.joined(separator: ", "))",
            advice: "end that, then: attach down")
    }

    private static func unmount(
        _ filesystem: Filesystem, _ inventory: Inventory, _ context: StackContext, folderNote: String
    ) async throws -> StepOutcome {
        func isMounted() -> Bool { MountTable(files: context.files).mount(at: filesystem.mountPoint) != nil }
        var outcome = StepOutcome.alreadyThere
        if isMounted() {
            if let refusal = busy(filesystem, context) { throw refusal }
            let status = try await context.commands.run("dlm_tool", ["status"], deadlineSeconds: 15)
            let wait = LockManagerStatus(parsing: status.standardOutput)
                .fencingWait { ClusterScope.describe(nodeID: $0, inventory) }
            if let wait {
                throw StackError(
                    .failed, object: filesystem.mountPoint, cause: "unmounting would hang: \(wait.cause)",
                    advice: wait.advice)
            }
            let result = try await context.commands.run("umount", [filesystem.mountPoint], deadlineSeconds: 90)
            guard !isMounted() else {
                throw busy(filesystem, context)
                    ?? StackError(
                        result.standardError.contains("busy") ? .busy : .failed, object: filesystem.mountPoint,
                        cause: "could not be unmounted: \(result.lastWords)",
                        advice: "see: fuser -vm \(filesystem.mountPoint); dmesg")
            }
            outcome = .removed
        }
        if readTextFile(folderNote)?.trimmingBlanks() == filesystem.mountPoint {
            _ = unsafe rmdir(filesystem.mountPoint)
            removeFile(folderNote)
            _ = unsafe rmdir("\(context.folders.state)/cluster")
        }
        return outcome
    }
}
