import HostDevices
import Rack

/// Logical volumes: made once, activated shared on every client.
///
/// A volume on which a filesystem is still to be made carries the tag `attach.unformatted`, given in the same command that
/// makes it and taken away after mkfs. The tag is in the group's metadata, so every client sees it, and it outlives
/// `kill -9` and reboots of whoever gave it: as long as it is there nobody has mounted the volume, so mkfs may be run
/// (again) without looking; without it, mkfs needs a device on which nothing is found. A note on the first client's own
/// disk, the alternative, cannot tell the others that what they see is half made.
public struct LogicalVolumeLayer: Layer {
    /// The tag of a volume whose filesystem is not finished.
    static let unformattedTag = "attach.unformatted"

    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext, paths: ClusterPaths = ClusterPaths()) { self.context = context }

    /// `volume`.
    public var kind: LayerKind { .volume }

    /// The wanted volumes of all wanted groups.
    static func wanted(_ scope: StackScope) -> [(group: VolumeGroup, volume: LogicalVolume)] {
        scope.volumeGroups.flatMap { group in group.logicalVolumes.map { (group, $0) } }
    }

    /// `VG0/LV0`.
    static func name(_ group: VolumeGroup, _ volume: LogicalVolume) -> String { "\(group.name)/\(volume.name)" }

    /// Reads the logical volumes of a group.
    static func find(
        _ group: VolumeGroup, _ inventory: Inventory, _ context: StackContext
    ) async throws -> [String: LogicalVolumeFacts] {
        let devices = LVMCommand.devices(group, inventory)
        let result = try await context.commands.run(
            "lvm", LVMCommand.report("lvs", fields: LogicalVolumeFacts.fields, devices: devices), deadlineSeconds: 20)
        guard result.isSuccess, let rows = LVMCommand.rows(result.standardOutput) else {
            throw StackError(
                .failed, object: group.name, cause: "LVM could not look: \(LVMCommand.reason(result))",
                advice: "try it by hand: lvs \(group.name)")
        }
        return LogicalVolumeFacts.volumes(of: group.name, rows)
    }

    // MARK: - Looking

    /// One object a wanted volume (`VG0/LV0`).
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        var objects: [ObservedObject] = []
        guard !scope.volumeGroups.isEmpty else { return [] }
        // Only the client that makes filesystems ever has a volume for itself alone.
        let locks = scope.isFirstClient ? await VolumeGroupLayer.locks(context) : nil
        for group in scope.volumeGroups where !group.logicalVolumes.isEmpty {
            let isVisible = VolumeGroupLayer.missingMaps(group, scope.inventory, context.files).isEmpty
            var volumes: [String: LogicalVolumeFacts] = [:]
            var problem: String?
            do {
                if isVisible { volumes = try await Self.find(group, scope.inventory, context) }
            } catch {
                problem = "\(error)"
            }
            for volume in group.logicalVolumes {
                var object = describe(group, volume, scope, facts: volumes[volume.name], problem: problem)
                let mode = object.facts["uuid"].flatMap { locks?.group(named: group.name)?.volumeModes[$0] }
                object.facts["lock_mode"] = mode
                if mode == "ex", object.state == .present, object.facts["unformatted"] == nil {
                    object.state = .degraded
                    object.detail = "active for this client alone"
                }
                objects.append(object)
            }
        }
        return objects
    }

    private func describe(
        _ group: VolumeGroup, _ volume: LogicalVolume, _ scope: StackScope, facts: LogicalVolumeFacts?, problem: String?
    ) -> ObservedObject {
        let filesystem = Self.filesystem(on: group, volume, scope.inventory)
        var object = ObservedObject(
            layer: .volume, name: Self.name(group, volume), parent: filesystem?.mountPoint, state: .absent)
        let device = LogicalVolumeDevice(group, volume, context.files)
        if let device {
            object.facts["device"] = device.kernelName
            object.facts["number"] = device.number
            let foreign = device.foreignSlaves(scope.inventory.volumes(of: group))
            if !foreign.isEmpty { object.facts["conflict"] = "it lies on \(foreign.joined(separator: ", "))" }
        }
        guard let facts else {
            if let problem {
                object.state = .unknown
                object.detail = problem
            } else if device != nil {
                object.state = .degraded
                object.detail = "active, its group cannot be read"
            }
            return object
        }
        object.facts["made"] = "yes"
        object.facts["size_bytes"] = "\(facts.sizeBytes)"
        object.facts["uuid"] = facts.uuid
        let isUnformatted = facts.tags.contains(Self.unformattedTag) && filesystem != nil
        if isUnformatted { object.facts["unformatted"] = "yes" }
        let expected = scope.inventory.expectedExtents(of: volume, in: group) * group.extentSizeBytes
        if facts.sizeBytes != expected {
            object.facts["conflict"] = "it has \(facts.sizeBytes) bytes, the inventory says \(expected)"
        }
        object.state = device == nil ? .absent : .present
        object.detail = device == nil ? "made, not active here" : "shared"
        if isUnformatted { object.detail = "its filesystem is not finished" }
        if let conflict = object.facts["conflict"] {
            object.state = .wrong
            object.detail = conflict
        }
        return object
    }

    /// The inventory's filesystem on a volume.
    static func filesystem(on group: VolumeGroup, _ volume: LogicalVolume, _ inventory: Inventory) -> Filesystem? {
        inventory.filesystems.first { $0.volumeGroupName == group.name && $0.logicalVolumeName == volume.name }
    }

    // MARK: - Up

    /// Making the volumes or waiting for them, and activating them.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        for (index, (group, volume)) in Self.wanted(scope).enumerated() {
            let name = Self.name(group, volume)
            guard let object = observation.object(.volume, name) else { continue }
            if let conflict = object.facts["conflict"] {
                throw StackError(
                    .mismatch, object: name, cause: conflict,
                    advice: "make rack.yaml agree with: lvs -o +devices \(name)")
            }
            let isUnformatted = object.facts["unformatted"] != nil
            if object.state == .present && (!isUnformatted || scope.isFirstClient) { continue }
            if scope.isFirstClient {
                if object.facts["made"] == nil {
                    let verb = VolumeGroupLayer.makingVerb(group, observation)
                    steps.append(makeStep(group, volume, scope, verb: verb, index * 2))
                }
                // An unformatted one is activated by the layer above, for itself alone.
                let hasFilesystem = Self.filesystem(on: group, volume, scope.inventory) != nil
                if isUnformatted || (object.facts["made"] == nil && hasFilesystem) { continue }
            } else if object.facts["made"] == nil || isUnformatted {
                steps.append(waitStep(group, volume, scope, observation, index * 2))
            }
            steps.append(activateStep(group, volume, scope, index * 2 + 1))
        }
        return steps
    }

    private func makeStep(
        _ group: VolumeGroup, _ volume: LogicalVolume, _ scope: StackScope, verb: String, _ number: Int
    ) -> Step {
        let (context, inventory) = (context, scope.inventory)
        let name = Self.name(group, volume)
        let extents = inventory.expectedExtents(of: volume, in: group)
        return Step(
            layer: .volume, name: "\(verb) logical volume \(name) of \(extents) extents", object: name,
            deadlineSeconds: 80,
            group: number
        ) {
            if try await Self.find(group, inventory, context)[volume.name] != nil { return .alreadyThere }
            // Not activated and not zeroed: only its own client may have it until a filesystem is on it.
            var arguments = ["-an", "-Zn", "-Wn", "-l", "\(extents)", "-n", volume.name]
            if Self.filesystem(on: group, volume, inventory) != nil { arguments += ["--addtag", Self.unformattedTag] }
            try await VolumeGroupLayer.lvm(
                context, "lvcreate", LVMCommand.devices(group, inventory), arguments + [group.name], object: name,
                deadlineSeconds: 60)
            return .created
        }
    }

    private func waitStep(
        _ group: VolumeGroup, _ volume: LogicalVolume, _ scope: StackScope, _ observation: StackObservation,
        _ number: Int
    ) -> Step {
        let (context, inventory) = (context, scope.inventory)
        let name = Self.name(group, volume)
        let founder = inventory.foundingClient?.name ?? "the first client"
        return Step(
            layer: .volume, name: VolumeGroupLayer.waitingName(name, founder, group, observation), object: name,
            deadlineSeconds: VolumeGroupLayer.creationDeadlineSeconds + 30, group: number
        ) {
            var waited = false
            return try await waitUntil(
                name, deadlineSeconds: VolumeGroupLayer.creationDeadlineSeconds, everyMilliseconds: 1500,
                advice: { _ in "run on \(founder): attach up" },
                probe: {
                    let found = try await Self.find(group, inventory, context)[volume.name]
                    defer { waited = true }
                    guard let found else { return WaitState.waiting("\(founder) has not made it") }
                    if found.tags.contains(Self.unformattedTag) {
                        return .waiting("\(founder) has not finished its filesystem")
                    }
                    return .done(waited ? .changed : .alreadyThere)
                })
        }
    }

    private func activateStep(_ group: VolumeGroup, _ volume: LogicalVolume, _ scope: StackScope, _ number: Int) -> Step
    {
        let (context, inventory) = (context, scope.inventory)
        return Step(
            layer: .volume, name: "activate \(Self.name(group, volume)) shared", object: Self.name(group, volume),
            deadlineSeconds: 80, group: number
        ) {
            let uuid = try await Self.find(group, inventory, context)[volume.name]?.uuid ?? ""
            let mode = await VolumeGroupLayer.locks(context)?.group(named: group.name)?.volumeModes[uuid]
            let isActive = LogicalVolumeDevice(group, volume, context.files) != nil
            if isActive, mode == "sh" { return .alreadyThere }
            // A run that was killed right after mkfs leaves the volume to this client alone; LVM converts the lock.
            try await Self.activate(group, volume, inventory, context, mode: "-asy", deadlineSeconds: 60)
            return isActive ? .changed : .created
        }
    }

    /// Activates a volume shared (`-asy`) or for this client alone (`-aey`), and waits for its node.
    ///
    /// - Throws: `.busy` when another client has it in a way that forbids it, else as LVM fails.
    static func activate(
        _ group: VolumeGroup, _ volume: LogicalVolume, _ inventory: Inventory, _ context: StackContext, mode: String,
        deadlineSeconds: Int
    ) async throws {
        let object = name(group, volume)
        let vector = LVMCommand.arguments("lvchange", devices: LVMCommand.devices(group, inventory), [mode, object])
        let result = try await context.commands.run("lvm", vector, deadlineSeconds: deadlineSeconds)
        guard result.isSuccess else {
            let isLocked = result.standardError.contains("LV locked by other host")
            throw StackError(
                isLocked ? .busy : .failed, object: object,
                cause: isLocked
                    ? "another client has it locked" : "could not be activated: \(LVMCommand.reason(result))",
                advice: isLocked
                    ? "see on the other clients: lvmlockctl -i"
                    : "try it by hand: \(CommandRunner.commandLine("lvm", vector))")
        }
        _ = try await waitUntil(
            object, deadlineSeconds: 20, everyMilliseconds: 100, advice: { _ in "see: udevadm settle; dmsetup info" },
            probe: {
                fileExists("/dev/\(object)") && LogicalVolumeDevice(group, volume, context.files) != nil
                    ? WaitState.done(true) : .waiting("udev has not made /dev/\(object)")
            })
    }

    /// Deactivates a volume; answers `alreadyThere` when it is not active.
    static func deactivate(
        _ group: VolumeGroup, _ volume: LogicalVolume, _ inventory: Inventory, _ context: StackContext
    ) async throws -> StepOutcome {
        guard let device = LogicalVolumeDevice(group, volume, context.files) else { return .alreadyThere }
        let object = name(group, volume)
        let vector = LVMCommand.arguments("lvchange", devices: LVMCommand.devices(group, inventory), ["-an", object])
        let result = try await context.commands.run("lvm", vector, deadlineSeconds: 45)
        guard result.isSuccess else {
            let users = device.users(group, volume, context.files) + device.usersElsewhere(context.files)
            throw StackError(
                users.isEmpty ? .failed : .busy, object: object,
                cause: users.isEmpty
                    ? "could not be deactivated: \(LVMCommand.reason(result))" : users.joined(separator: ", "),
                advice: users.isEmpty
                    ? "try it by hand: \(CommandRunner.commandLine("lvm", vector))" : "end that, then: attach down")
        }
        _ = try await waitUntil(
            object, deadlineSeconds: 20, everyMilliseconds: 100, advice: { _ in "see: dmsetup info; udevadm settle" },
            probe: {
                LogicalVolumeDevice(group, volume, context.files) == nil
                    ? WaitState.done(true) : .waiting("its device does not go")
            })
        return .removed
    }

    // MARK: - Down

    /// Deactivates what is active.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        let (context, inventory) = (context, scope.inventory)
        return Self.wanted(scope).reversed().enumerated().compactMap { index, wanted in
            let (group, volume) = wanted
            let name = Self.name(group, volume)
            guard observation.object(.volume, name)?.facts["device"] != nil else { return nil }
            return Step(layer: .volume, name: "deactivate \(name)", object: name, deadlineSeconds: 80, group: index) {
                try await Self.deactivate(group, volume, inventory, context)
            }
        }
    }

    /// Users of a volume that are not the inventory's own mount of it.
    public func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        Self.wanted(scope).compactMap { group, volume in
            guard let device = LogicalVolumeDevice(group, volume, context.files) else { return nil }
            let own = Self.filesystem(on: group, volume, scope.inventory)?.mountPoint
            let users = device.users(group, volume, context.files).filter { $0 != "mounted on \(own ?? "")" }
            if users.isEmpty { return nil }
            return StackError(
                .busy, object: Self.name(group, volume), cause: users.joined(separator: ", "),
                advice: "end that, then: attach down")
        }
    }
}

/// What `lvs` says of one logical volume.
package struct LogicalVolumeFacts: Sendable, Equatable {
    package var uuid: String
    package var sizeBytes: UInt64
    package var tags: [String]

    /// The fields of `lvs` that this is made from.
    package static let fields = ["vg_name", "lv_name", "lv_uuid", "lv_size", "lv_tags"]

    /// The volumes of one group, by name.
    package static func volumes(of group: String, _ rows: [[String: String]]) -> [String: LogicalVolumeFacts] {
        var volumes: [String: LogicalVolumeFacts] = [:]
        for row in rows where row["vg_name"] == group {
            guard let name = row["lv_name"] else { continue }
            volumes[name] = LogicalVolumeFacts(
                uuid: row["lv_uuid"] ?? "", sizeBytes: row["lv_size"].flatMap(UInt64.init) ?? 0,
                tags: (row["lv_tags"] ?? "").split(separator: ",").map(String.init))
        }
        return volumes
    }
}
