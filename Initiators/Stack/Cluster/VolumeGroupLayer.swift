import HostDevices
import Rack

/// Shared volume groups: made once, by the client that the inventory names first, and their lockspaces on every client.
public struct VolumeGroupLayer: Layer {
    /// How many looks have to contradict the inventory, 1.5 s apart, before a client stops waiting for a group.
    private static let contradictionsThatCount = 8
    /// How long the other clients wait for the first to make a group.
    static let creationDeadlineSeconds = 180

    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext, paths: ClusterPaths = ClusterPaths()) {
        self.context = context
    }

    /// `volume-group`.
    public var kind: LayerKind { .volumeGroup }

    /// The device-mapper UUIDs of the maps that are there, by name.
    static func maps(_ files: HostFiles) -> [String: String] {
        var found: [String: String] = [:]
        for name in files.entries("/sys/block") where name.hasPrefix("dm-") {
            guard let mapName = files.text("/sys/block/\(name)/dm/name"),
                let uuid = files.text("/sys/block/\(name)/dm/uuid")
            else { continue }
            found[mapName] = uuid
        }
        return found
    }

    /// The group's maps that are not there with the right UUID.
    static func missingMaps(_ group: VolumeGroup, _ inventory: Inventory, _ files: HostFiles) -> [String] {
        let maps = maps(files)
        return inventory.volumes(of: group).filter { maps[$0.name] != $0.mapUUID }.map(\.name)
    }

    /// Reads the group's state from its maps.
    static func find(
        _ group: VolumeGroup, _ inventory: Inventory, _ context: StackContext
    ) async throws -> VolumeGroupFinding {
        let devices = LVMCommand.devices(group, inventory)
        let result = try await context.commands.run(
            "lvm", LVMCommand.report("pvs", fields: VolumeGroupFinding.fields, devices: devices, ["-a"]),
            deadlineSeconds: 20)
        guard result.isSuccess, let rows = LVMCommand.rows(result.standardOutput) else {
            throw StackError(
                .failed, object: group.name, cause: "LVM could not look: \(LVMCommand.reason(result))",
                advice: "try it by hand: pvs -a \(devices.joined(separator: " "))")
        }
        return VolumeGroupFinding(
            group, devices: devices, clusterName: try ClusterScope.clusterName(inventory), rows: rows)
    }

    /// What lvmlockd holds; nil when it does not run or does not answer.
    static func locks(_ context: StackContext) async -> VolumeLocks? {
        guard ClusterDaemon.volumeLocks.runningProcess(context.files) != nil else { return nil }
        let answer = try? await VolumeLocksReader.read(context)
        return answer.flatMap { $0.isSuccess ? VolumeLocks(parsing: $0.standardOutput) : nil }
    }

    // MARK: - Looking

    /// One object a wanted group.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        var objects: [ObservedObject] = []
        guard !scope.volumeGroups.isEmpty else { return [] }
        let locks = await Self.locks(context)
        for group in scope.volumeGroups { objects.append(await describe(group, scope, locks)) }
        return objects
    }

    private func describe(_ group: VolumeGroup, _ scope: StackScope, _ locks: VolumeLocks?) async -> ObservedObject {
        var object = ObservedObject(
            layer: .volumeGroup, name: group.name,
            parent: scope.inventory.filesystems(on: group).first?.logicalVolumePath,
            state: .absent, facts: ["volumes": group.volumeNames.joined(separator: ",")])
        let isKnownToLocks = locks?.group(named: group.name).map { !$0.isLeaving } ?? false
        let isBlind = locks == nil && ClusterDaemon.volumeLocks.runningProcess(context.files) != nil
        // The kernel's lockspace may outlive lvmlockd; then it is to be adopted, or left.
        let isInKernel = context.files.exists("/sys/kernel/dlm/lvm_\(group.name)")
        object.facts["lockspace"] = isKnownToLocks ? "started" : isInKernel ? "orphaned" : "stopped"
        if isBlind, isInKernel { object.facts["lockspace"] = "unknown" }
        let missing = Self.missingMaps(group, scope.inventory, context.files)
        guard missing.isEmpty else {
            object.detail = "without its maps \(missing.joined(separator: ", "))"
            object.facts["made"] = "unknown"
            return object
        }
        do {
            try await judge(group, scope, &object)
        } catch {
            object.state = .unknown
            object.detail = "\(error)"
        }
        return object
    }

    private func judge(_ group: VolumeGroup, _ scope: StackScope, _ object: inout ObservedObject) async throws {
        switch try await Self.find(group, scope.inventory, context) {
        case .ready(let facts):
            object.facts["uuid"] = facts.uuid
            object.facts["extents"] = "\(facts.extents)"
            object.facts["free_extents"] = "\(facts.freeExtents)"
            object.facts["size_bytes"] = "\(facts.extents * facts.extentBytes)"
            object.facts["made"] = "yes"
            let isStarted = object.facts["lockspace"] == "started"
            object.state = isStarted ? .present : object.facts["lockspace"] == "unknown" ? .unknown : .absent
            object.detail =
                switch object.facts["lockspace"] {
                case "started": ""
                case "unknown": "lvmlockd does not answer"
                case "orphaned": "made, and lvmlockd does not know the lockspace that the kernel has"
                default: "made, its lockspace is not started here"
                }
            if facts.extents != scope.inventory.expectedExtents(of: group) {
                object.detail = "\(facts.extents) extents, expected \(scope.inventory.expectedExtents(of: group))"
            }
        case .unshared(let facts):
            object.state = facts.logicalVolumes == 0 ? .absent : .wrong
            object.detail = "not shared (interrupted while it was made)"
            if facts.logicalVolumes > 0 {
                object.detail = "a volume group of this name is there and is not shared"
                object.facts["conflict"] = object.detail
                object.facts["advice"] = "share it if it is meant: vgchange --lock-type dlm \(group.name)"
            }
        case .conflict(let cause, let advice):
            object.state = .wrong
            object.detail = cause
            object.facts["conflict"] = cause
            object.facts["advice"] = advice
        case .absent(let orphans):
            do {
                try await checkEmpty(group, scope.inventory, orphans: orphans)
            } catch let error as StackError where error.kind == .mismatch && scope.isFirstClient {
                object.state = .wrong
                object.detail = "\(error.object): \(error.cause)"
                object.facts["conflict"] = object.detail
                object.facts["advice"] = error.advice
            } catch let error as StackError where error.kind == .mismatch {
                // Another client may be making it right now; the wait tells a label in the making from foreign data.
                object.detail = "\(error.object): \(error.cause)"
            }
        }
    }

    private func note(_ group: VolumeGroup) -> CreationNote {
        CreationNote(folder: "\(context.folders.state)/cluster", group: group.name)
    }

    private func checkEmpty(_ group: VolumeGroup, _ inventory: Inventory, orphans: [String]) async throws {
        let volumes = inventory.volumes(of: group)
        var findings: [(device: String, signatures: [DeviceSignature])] = []
        for volume in volumes {
            findings.append((volume.mapPath, try await DeviceSignature.probe(volume.mapPath, context.commands)))
        }
        try CreationCheck.require(
            findings, orphans: orphans, isBegun: note(group).isBegun(mapUUIDs: volumes.map(\.mapUUID)))
    }

    // MARK: - Up

    /// LVM, and what looks for foreign data.
    public func missing(_ scope: StackScope) -> [StackError] {
        scope.volumeGroups.isEmpty ? [] : context.missing(programs: ["lvm", "wipefs"])
    }

    /// Making the group or waiting for it, and starting its lockspace.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        for (index, group) in scope.volumeGroups.enumerated() {
            guard let object = observation.object(.volumeGroup, group.name), object.state != .present else { continue }
            if let conflict = Self.conflict(object) { throw conflict }
            if object.facts["made"] != "yes" {
                steps.append(
                    scope.isFirstClient
                        ? makeStep(group, scope, verb: Self.makingVerb(group, observation), index * 2)
                        : waitStep(group, scope, observation, index * 2))
            }
            if scope.isFirstClient == false || object.facts["made"] == "yes" {
                steps.append(lockStartStep(group, scope, index * 2 + 1))
            }
        }
        return steps
    }

    /// Foreign data on the group's maps, and a group that is not the inventory's.
    public func obstaclesUp(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        // Once: when its maps have just come up and the observation was made without them.
        let unseen = scope.volumeGroups.filter {
            observation.object(.volumeGroup, $0.name)?.facts["made"] == "unknown"
                && Self.missingMaps($0, scope.inventory, context.files).isEmpty
        }
        var errors: [StackError] = []
        for group in unseen {
            let object = await describe(group, scope, nil)
            if let error = Self.conflict(object) { errors.append(error) }
        }
        return errors
    }

    private static func conflict(_ object: ObservedObject) -> StackError? {
        object.facts["conflict"].map {
            StackError(
                .mismatch, object: object.name, cause: $0, advice: object.facts["advice"] ?? "see attach status")
        }
    }

    /// `make`, or, for a plan made while nobody can know whether it is there, `find or make`.
    static func makingVerb(_ group: VolumeGroup, _ observation: StackObservation) -> String {
        observation.object(.volumeGroup, group.name)?.facts["made"] == "unknown" ? "find or make" : "make"
    }

    /// `wait for client0 to make X`, or, for a plan made while nobody can know whether it is there, `find X, or wait ...`.
    static func waitingName(
        _ what: String, _ founder: String, _ group: VolumeGroup, _ observation: StackObservation
    ) -> String {
        makingVerb(group, observation) == "make"
            ? "wait for \(founder) to make \(what)" : "find \(what), or wait for \(founder) to make it"
    }

    private func makeStep(_ group: VolumeGroup, _ scope: StackScope, verb: String, _ number: Int) -> Step {
        let (context, inventory) = (context, scope.inventory)
        return Step(
            layer: .volumeGroup,
            name: "\(verb) volume group \(group.name) on \(group.volumeNames.joined(separator: ", "))",
            object: group.name, deadlineSeconds: 150, group: number
        ) {
            let volumes = inventory.volumes(of: group)
            let devices = volumes.map(\.mapPath)
            let note = note(group)
            switch try await Self.find(group, inventory, context) {
            case .ready:
                note.remove()
                return .alreadyThere
            case .conflict(let cause, let advice):
                throw StackError(.mismatch, object: group.name, cause: cause, advice: advice)
            case .unshared(let facts):
                guard facts.logicalVolumes == 0, note.isBegun(mapUUIDs: volumes.map(\.mapUUID)) else {
                    throw StackError(
                        .mismatch, object: group.name, cause: "a volume group of this name is there and is not shared",
                        advice: "share it if it is meant: vgchange --lock-type dlm \(group.name)")
                }
                try await Self.lvm(
                    context, "vgremove", devices, [group.name], object: group.name, deadlineSeconds: 40)
            case .absent(let orphans):
                try await checkEmpty(group, inventory, orphans: orphans)
            }
            try note.write(mapUUIDs: volumes.map(\.mapUUID))
            // Without --yes: should a signature have appeared in between, LVM's question gets no answer and it stops.
            try await Self.lvm(
                context, "vgcreate", devices,
                ["--shared", "--physicalextentsize", "\(group.extentSizeBytes)b", group.name] + devices,
                object: group.name, deadlineSeconds: 90)
            guard case .ready(let facts) = try await Self.find(group, inventory, context) else {
                throw StackError(
                    .failed, object: group.name, cause: "LVM made it, and it does not look as it should",
                    advice: "see vgs and pvs, then: attach up")
            }
            note.remove()
            let expected = inventory.expectedExtents(of: group)
            guard facts.extents == expected else {
                throw StackError(
                    .mismatch, object: group.name, cause: "it has \(facts.extents) extents, expected \(expected)",
                    advice: "see pvs -o +pv_pe_count, and correct the sizes in rack.yaml")
            }
            return .created
        }
    }

    private func waitStep(
        _ group: VolumeGroup, _ scope: StackScope, _ observation: StackObservation, _ number: Int
    ) -> Step {
        let (context, inventory) = (context, scope.inventory)
        let founder = inventory.foundingClient?.name ?? "the first client"
        return Step(
            layer: .volumeGroup,
            name: Self.waitingName("volume group \(group.name)", founder, group, observation), object: group.name,
            deadlineSeconds: Self.creationDeadlineSeconds + 30, group: number
        ) {
            var waited = false
            var contradictions = 0
            return try await waitUntil(
                group.name, deadlineSeconds: Self.creationDeadlineSeconds, everyMilliseconds: 1500,
                advice: { _ in "run on \(founder): attach up" },
                probe: {
                    switch try await Self.find(group, inventory, context) {
                    case .ready: return WaitState.done(waited ? .changed : .alreadyThere)
                    case .conflict(let cause, let advice):
                        // Metadata that are being written can look like anything for a moment: what stays is meant.
                        contradictions += 1
                        if contradictions == Self.contradictionsThatCount {
                            throw StackError(.mismatch, object: group.name, cause: cause, advice: advice)
                        }
                        waited = true
                        return .waiting(cause)
                    case .unshared:
                        waited = true
                        return .waiting("\(founder) has not finished making it")
                    case .absent:
                        waited = true
                        for device in LVMCommand.devices(group, inventory) {
                            let found = try await DeviceSignature.probe(device, context.commands)
                            try CreationCheck.require([(device, found)], orphans: [device], isBegun: true)
                        }
                        return .waiting("\(founder) has not made it")
                    }
                })
        }
    }

    private func lockStartStep(_ group: VolumeGroup, _ scope: StackScope, _ number: Int) -> Step {
        let (context, inventory) = (context, scope.inventory)
        return Step(
            layer: .volumeGroup, name: "start the lockspace of \(group.name)", object: group.name, deadlineSeconds: 100,
            group: number
        ) {
            let answer = try await VolumeLocksReader.read(context)
            if let known = VolumeLocks(parsing: answer.standardOutput).group(named: group.name), !known.isLeaving {
                return .alreadyThere
            }
            // It waits until the lockspace can be used.
            try await Self.lvm(
                context, "vgchange", LVMCommand.devices(group, inventory), ["--lockstart", group.name],
                object: group.name, deadlineSeconds: 60)
            _ = try await waitUntil(
                "lockspace lvm_\(group.name)", deadlineSeconds: 30,
                advice: { _ in "see what it waits for: dlm_tool ls; dlm_tool status; lvmlockctl -i" },
                probe: {
                    let answer = try await VolumeLocksReader.read(context)
                    let known = VolumeLocks(parsing: answer.standardOutput).group(named: group.name)
                    return known.map { !$0.isLeaving } ?? false ? WaitState.done(true) : .waiting("it has not started")
                })
            return .created
        }
    }

    /// Runs an LVM command that has to succeed.
    static func lvm(
        _ context: StackContext, _ subcommand: String, _ devices: [String], _ arguments: [String], object: String,
        deadlineSeconds: Int
    ) async throws(StackError) {
        let vector = LVMCommand.arguments(subcommand, devices: devices, arguments)
        let result = try await context.commands.run("lvm", vector, deadlineSeconds: deadlineSeconds)
        guard result.isSuccess else {
            throw StackError(
                .failed, object: object, cause: "\(subcommand): \(LVMCommand.reason(result))",
                advice: "try it by hand: \(CommandRunner.commandLine("lvm", vector))")
        }
    }

    // MARK: - Down

    /// Stops the lockspaces of the wanted groups. The groups themselves stay: they hold the data.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        let (context, inventory) = (context, scope.inventory)
        return scope.volumeGroups.reversed().enumerated().compactMap { index, group in
            guard let object = observation.object(.volumeGroup, group.name), object.facts["lockspace"] != "stopped"
            else {
                return nil
            }
            if object.facts["lockspace"] == "orphaned",
                observation.object(.locks, LocksLayer.volumeLocksName)?.facts["pid"] == nil
            {
                return adoptStep(group, index)
            }
            return Step(
                layer: .volumeGroup, name: "stop the lockspace of \(group.name)", object: group.name,
                deadlineSeconds: 90,
                group: index
            ) {
                try await Self.lockStop(group, LVMCommand.devices(group, inventory), context)
            }
        }
    }

    private func adoptStep(_ group: VolumeGroup, _ number: Int) -> Step {
        let context = context
        return Step(
            layer: .volumeGroup, name: "start lvmlockd to adopt the locks of \(group.name)", object: group.name,
            deadlineSeconds: 60, group: number
        ) {
            try await ClusterDaemon.volumeLocks.start(context, deadlineSeconds: 25) {
                try await VolumeLocksReader.read(context).isSuccess
            }
        }
    }

    private static func lockStop(
        _ group: VolumeGroup, _ devices: [String], _ context: StackContext
    ) async throws -> StepOutcome {
        let answer = try await VolumeLocksReader.read(context)
        let isKnown = VolumeLocks(parsing: answer.standardOutput).group(named: group.name) != nil
        if isKnown {
            let vector = LVMCommand.arguments("vgchange", devices: devices, ["--lockstop", group.name])
            let result = try await context.commands.run("lvm", vector, deadlineSeconds: 45)
            if !result.isSuccess {
                let reason = LVMCommand.reason(result)
                let isBusy = result.standardError.contains("must first be deactivated")
                throw StackError(
                    isBusy ? .busy : .failed, object: group.name, cause: "its lockspace does not stop: \(reason)",
                    advice: isBusy ? "deactivate them: vgchange -an \(group.name)" : "see lvmlockctl -i and dlm_tool ls"
                )
            }
        }
        _ = try await waitUntil(
            "lockspace lvm_\(group.name)", deadlineSeconds: 30,
            advice: { _ in "see what it waits for: dlm_tool ls; dlm_tool status" },
            probe: {
                context.files.exists("/sys/kernel/dlm/lvm_\(group.name)")
                    ? WaitState.waiting("it is still there") : .done(true)
            })
        return isKnown ? .removed : .alreadyThere
    }
}
