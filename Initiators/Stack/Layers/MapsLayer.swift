import DeviceMapper
import HostDevices
import Rack

/// dm-multipath maps over the verified paths, made by libdevmapper, and the monitor that watches them.
///
/// Queueing has three ends, each behind the other: the monitor ends it `queueSeconds` after the last path went; the
/// monitor ends it when it is told to end; and the kernel ends it by itself half a minute after the longest window
/// (`queue_if_no_path_timeout_secs`), for a monitor that was killed. So nothing waits for ever whoever dies.
public struct MapsLayer: Layer {
    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext) { self.context = context }

    /// `maps`.
    public var kind: LayerKind { .maps }

    // MARK: - Looking

    /// One object a wanted volume, leftover maps of ours, and the monitor.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        var objects: [ObservedObject] = []
        let mapper: DeviceMapper?
        do throws(DeviceMapperError) {
            mapper = try DeviceMapper()
        } catch {
            // Without the module there are no maps; anything else (permission) is a thing that cannot be seen.
            let isMissing = KernelModules(files: context.files).availability("dm_mod").isPresent == false
            objects = scope.volumes.map {
                ObservedObject(
                    layer: .maps, name: $0.name, parent: scope.inventory.volumeGroup(using: $0)?.name,
                    state: isMissing ? .absent : .unknown, detail: isMissing ? "" : error.description)
            }
            mapper = nil
        }
        if let mapper {
            for volume in scope.volumes { objects.append(describe(volume, scope, mapper)) }
            objects += leftovers(scope, mapper)
        }
        objects.append(MonitorService(context).observe(scope))
        return objects
    }

    private func describe(_ volume: Volume, _ scope: StackScope, _ mapper: DeviceMapper) -> ObservedObject {
        var object = ObservedObject(
            layer: .maps, name: volume.name, parent: scope.inventory.volumeGroup(using: volume)?.name, state: .absent,
            facts: [
                "wwid": volume.wwidString, "uuid": volume.mapUUID, "queue_seconds": "\(volume.multipath.queueSeconds)",
            ])
        do throws(DeviceMapperError) {
            if let named = try mapper.info(volume.name), named.uuid != volume.mapUUID {
                object.state = .wrong
                object.detail = "a map of this name exists, with UUID \(named.uuid.isEmpty ? "none" : named.uuid)"
                object.facts["conflict"] = "name"
                return object
            }
            guard let info = try mapper.info(uuid: volume.mapUUID) else { return object }
            object.facts["device"] = "dm-\(info.device.minor)"
            object.facts["number"] = info.device.description
            object.facts["open_count"] = "\(info.openCount)"
            if info.name != volume.name {
                object.state = .wrong
                object.detail = "its map exists under the name \(info.name)"
                object.facts["conflict"] = "uuid"
                return object
            }
            try describePaths(of: volume, mapper, info, scope, &object)
        } catch {
            object.state = .unknown
            object.detail = error.description
        }
        return object
    }

    private func describePaths(
        of volume: Volume, _ mapper: DeviceMapper, _ info: DMInfo, _ scope: StackScope, _ object: inout ObservedObject
    ) throws(DeviceMapperError) {
        guard info.hasLiveTable else {
            object.state = .wrong
            object.detail = "it has no table"
            object.facts["table"] = "none"
            return
        }
        let table = try mapper.multipathTable(volume.name)
        let status = try mapper.multipathStatus(volume.name)
        let length = try mapper.table(volume.name).reduce(0) { $0 + $1.lengthSectors } * 512
        object.facts["size_bytes"] = "\(length)"
        object.facts["table"] = table.line
        object.facts["queueing"] = table.queueIfNoPath ? "yes" : "no"
        object.facts["active_paths"] = status.paths.filter(\.isActive).map(\.device.description).joined(separator: " ")
        object.facts["failed_paths"] = status.paths.filter { !$0.isActive }.map(\.device.description)
            .joined(separator: " ")
        let active = status.activePathCount
        let wanted = scope.inventory.portals(of: volume).count
        if info.isSuspended {
            object.state = .wrong
            object.detail = "suspended"
        } else if active == 0 {
            object.state = .wrong
            object.detail = "no path left" + (table.queueIfNoPath ? "; I/O waits" : "; I/O fails")
        } else if let size = volume.sizeBytes, size != length {
            object.state = .degraded
            object.detail = "wanted \(size) bytes, has \(length)"
        } else if active < wanted {
            object.state = .degraded
            object.detail = "\(active) of \(wanted) paths"
        } else {
            object.state = .present
        }
    }

    /// Maps that the journal calls ours and that the inventory no longer has.
    private func leftovers(_ scope: StackScope, _ mapper: DeviceMapper) -> [ObservedObject] {
        let declared = Set(scope.inventory.volumes(seenBy: scope.client.name).map(\.mapUUID))
        let owned = context.owned.filter { $0.kind == .map && !declared.contains($0.identity) }
        return owned.sorted { $0.name < $1.name }.compactMap { owned in
            guard let info = try? mapper.info(uuid: owned.identity) else { return nil }
            return ObservedObject(
                layer: .maps, name: info.name, state: .wrong, detail: "made by attach, no longer in the inventory",
                facts: [
                    "leftover": "yes", "uuid": owned.identity, "owned_name": owned.name,
                    "number": info.device.description, "device": "dm-\(info.device.minor)",
                    "open_count": "\(info.openCount)",
                ])
        }
    }

    // MARK: - Up

    /// multipathd, where it claims a wanted volume.
    public func obstaclesUp(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        scope.volumes.compactMap { multipathdConflict($0, observation.object(.maps, $0.name)) }
    }

    /// Device-mapper with its multipath target and the selectors that the inventory names.
    public func missing(_ scope: StackScope) -> [StackError] {
        context.missing(modules: MapTable.modules(scope.volumes))
    }

    /// Modules and the kernel's own bound first, then all maps, then the monitor.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        if let step = context.moduleStep(.maps, MapTable.modules(scope.volumes), group: 0) { steps.append(step) }
        let backstop = MapTable.backstopSeconds(scope.inventory.volumes)
        if context.files.number(MapTable.backstopFile) != UInt64(backstop) { steps.append(setBackstop(backstop)) }
        for volume in scope.volumes {
            if let step = try mapStep(volume, scope, observation) { steps.append(step) }
        }
        if let step = MonitorService(context).startStep(observation, group: 3) { steps.append(step) }
        return steps
    }

    private func setBackstop(_ seconds: Int) -> Step {
        let context = context
        return Step(
            layer: .maps, name: "let the kernel end queueing after \(seconds) s", object: "dm_multipath",
            deadlineSeconds: 10, group: 1
        ) {
            // The parameter is the host's, and somebody else may have set it: down gives it back.
            if let before = context.files.number(MapTable.backstopFile),
                !fileExists(context.folders.queueingBoundBefore)
            {
                try makeFolder(context.folders.run)
                try writeFileAtomically(context.folders.queueingBoundBefore, "\(before)\n")
            }
            do throws(HostDeviceError) {
                try context.files.write(MapTable.backstopFile, "\(seconds)")
            } catch {
                throw StackError(
                    .missing, object: "dm_multipath", cause: "the kernel cannot end queueing by itself: \(error.cause)",
                    advice: "use Linux 5.6 or newer (queue_if_no_path_timeout_secs)")
            }
            return .changed
        }
    }

    private func mapStep(_ volume: Volume, _ scope: StackScope, _ observation: StackObservation) throws -> Step? {
        let object = observation.object(.maps, volume.name)
        if let conflict = object?.facts["conflict"] {
            let advice =
                conflict == "name"
                ? "rename or remove that map (dmsetup info \(volume.name))"
                : "remove that map, or let who made it leave \(volume.wwidString) alone"
            throw StackError(
                .mismatch, object: volume.name, cause: object?.detail ?? "", advice: "\(advice), then: attach up")
        }
        if let conflict = multipathdConflict(volume, object) { throw conflict }
        guard let object, object.facts["device"] != nil, object.facts["table"] != "none" else {
            return makeMap(volume, scope, isNew: object?.facts["device"] == nil)
        }
        let usable = Self.usablePaths(volume, scope, observation)
        guard !usable.isEmpty, let line = object.facts["table"], let live = try? MultipathTable(parsing: line) else {
            return nil
        }
        let wanted = MapTable.table(volume, paths: usable, queueIfNoPath: false)
        return MapTable.isEquivalent(live, wanted) ? nil : makeMap(volume, scope, isNew: false)
    }

    /// multipathd takes every path whose WWID it knows; two owners of one map undo each other's work.
    private func multipathdConflict(_ volume: Volume, _ object: ObservedObject?) -> StackError? {
        guard !DaemonProcess.named("multipathd").isEmpty else { return nil }
        let knows = (readTextFile("/etc/multipath/wwids") ?? "").contains("/\(volume.wwidString)/")
        let hasMap = object?.facts["device"] != nil && !context.owned.contains(.map(volume))
        guard knows || hasMap else { return nil }
        return StackError(
            .busy, object: volume.name, cause: "multipathd runs and has taken \(volume.wwidString)",
            advice: "blacklist that WWID in /etc/multipath.conf and type: multipath -w \(volume.wwidString); "
                + "multipathd reconfigure (or stop multipathd)")
    }

    /// The paths that belong in a map now: verified, with a device, and not deleted.
    static func usablePaths(
        _ volume: Volume, _ scope: StackScope, _ observation: StackObservation
    ) -> [MapTable.UsablePath] {
        scope.paths.filter { $0.volume.name == volume.name }.compactMap { path in
            guard let object = observation.object(.paths, path.pathName),
                object.state == .present || object.state == .degraded,
                let device = object.facts["number"].flatMap({ DMDeviceNumber($0) })
            else { return nil }
            return MapTable.UsablePath(hostName: path.portal.hostName, device: device)
        }
    }

    private func makeMap(_ volume: Volume, _ scope: StackScope, isNew: Bool) -> Step {
        let context = context
        let verb = isNew ? "make" : "reload"
        return Step(
            layer: .maps, name: "\(verb) map \(volume.name)", object: volume.name, deadlineSeconds: 60, group: 2
        ) {
            let paths = await PathsLayer(context).observe(scope)
            let usable = Self.usablePaths(volume, scope, StackObservation(objects: paths))
            guard !usable.isEmpty else {
                throw StackError(
                    .noPath, object: volume.name, cause: "none of its paths can be used",
                    advice: "see attach status, then: attach up")
            }
            do throws(DeviceMapperError) {
                let mapper = try DeviceMapper()
                try mapper.requireTarget("multipath")
                let live = try mapper.info(uuid: volume.mapUUID)
                if let live, live.hasLiveTable {
                    return try Self.reload(volume, usable, mapper)
                }
                // A map without a table is what a run leaves that was cut short between making and loading it.
                if live != nil { try mapper.remove(volume.name) }
            } catch {
                throw StackError(error, object: volume.name)
            }
            try await Self.refuseUsedPaths(volume, scope, StackObservation(objects: paths))
            try context.journal?.own(.map(volume))
            guard let sectors = Self.sectors(volume, usable) else {
                throw StackError(
                    .failed, object: volume.name, cause: "its size is unknown", advice: "give it a size in rack.yaml")
            }
            let table = MapTable.table(volume, paths: usable, queueIfNoPath: volume.multipath.queueSeconds > 0)
            do throws(DeviceMapperError) {
                let target = DMTarget(lengthSectors: sectors, multipath: table)
                try DeviceMapper().create(
                    volume.name, uuid: volume.mapUUID, targets: [target], readOnly: volume.isReadOnly)
            } catch {
                throw StackError(error, object: volume.name)
            }
            return .created
        }
    }

    private static func sectors(_ volume: Volume, _ usable: [MapTable.UsablePath]) -> UInt64? {
        if let size = volume.sizeBytes { return size / 512 }
        guard let first = usable.first?.device else { return nil }
        return BlockDevice(number: DeviceNumber(major: first.major, minor: first.minor)).map { $0.sizeBytes / 512 }
    }

    /// Gives a live map the paths that are there now. Queueing stays as it is: the monitor has it.
    static func reload(
        _ volume: Volume, _ usable: [MapTable.UsablePath], _ mapper: DeviceMapper
    ) throws(DeviceMapperError) -> StepOutcome {
        let live = try mapper.multipathTable(volume.name)
        let wanted = MapTable.table(volume, paths: usable, queueIfNoPath: live.queueIfNoPath)
        if MapTable.isEquivalent(live, wanted) { return .alreadyThere }
        let length = try mapper.table(volume.name).reduce(0) { $0 + $1.lengthSectors }
        try mapper.reload(
            volume.name, targets: [DMTarget(lengthSectors: length, multipath: wanted)], readOnly: volume.isReadOnly)
        return .changed
    }

    /// A raw path that is mounted or that another program holds must not come under a map.
    private static func refuseUsedPaths(
        _ volume: Volume, _ scope: StackScope, _ observation: StackObservation
    ) async throws(StackError) {
        for path in scope.paths where path.volume.name == volume.name {
            guard let name = observation.object(.paths, path.pathName)?.facts["device"] else { continue }
            let node = "/dev/\(name)"
            let isUsed = await BlockingCall.run(deadlineSeconds: 10) { try? BlockDevice.isInUse(node: node) } ?? nil
            guard isUsed == true, let block = BlockDevice(name: name) else { continue }
            let mount = MountTable().mounts(of: block.number).first.map { "mounted on \($0.mountPoint)" }
            let maps = block.holders.map { BlockDevice(name: $0)?.mapName ?? $0 }
            let processes = ProcessTable().holders(ofNodes: [node], limit: 3).map { "\($0.name) (pid \($0.pid))" }
            let holders = maps + processes
            let who = mount ?? (holders.isEmpty ? "held by the kernel" : "held by \(holders.joined(separator: ", "))")
            throw StackError(
                .busy, object: node, cause: "the raw path of \(volume.name) is in use: \(who)",
                advice: "end that use, then: attach up")
        }
    }

    /// Every wanted volume needs a map that takes I/O.
    public func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws {
        for volume in scope.volumes {
            let object = observation.object(.maps, volume.name)
            guard let object, object.state == .present || object.state == .degraded else {
                throw StackError(
                    .noPath, object: volume.name, cause: object.map { $0.detail } ?? "its map is missing",
                    advice: "see attach status, then: attach up")
            }
        }
    }

    // MARK: - Down

    /// Everything that stands on our maps and is not ours to take down: mounts, foreign maps, open files.
    public func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        let mounts = MountTable(files: context.files)
        let ours = MapHolders(scope: scope, files: context.files, mounts: mounts)
        return observation.objects(of: .maps).compactMap { object in
            guard let device = object.facts["device"], object.facts["conflict"] == nil else { return nil }
            return ours.refusal(
                mapName: object.name, device: device, openCount: object.facts["open_count"].flatMap { Int($0) })
        }
    }

    /// All maps at once, then the kernel's bound as it was.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        for object in observation.objects(of: .maps)
        where object.facts["device"] != nil && object.facts["conflict"] == nil {
            guard let uuid = object.facts["uuid"] else { continue }
            steps.append(remove(object.name, uuid: uuid, ownedName: object.facts["owned_name"] ?? object.name))
        }
        if fileExists(context.folders.queueingBoundBefore) {
            let context = context
            steps.append(
                Step(
                    layer: .maps, name: "set the kernel's queueing bound back", object: "dm_multipath",
                    deadlineSeconds: 10, group: 1
                ) {
                    let before = readTextFile(context.folders.queueingBoundBefore).flatMap {
                        UInt64($0.trimmingBlanks())
                    }
                    try? context.files.write(MapTable.backstopFile, "\(before ?? 0)")
                    removeFile(context.folders.queueingBoundBefore)
                    return .changed
                })
        }
        return steps
    }

    private func remove(_ name: String, uuid: String, ownedName: String) -> Step {
        let context = context
        return Step(layer: .maps, name: "remove map \(name)", object: name, deadlineSeconds: 60) {
            let result = await BlockingCall.run(deadlineSeconds: 50) {
                Result { () throws(DeviceMapperError) -> Bool in
                    let mapper = try DeviceMapper()
                    guard let info = try mapper.info(uuid: uuid) else { return false }
                    // What waits in the map would keep its removal waiting.
                    try mapper.message(info.name, .failIfNoPath)
                    return try mapper.remove(info.name, deadlineSeconds: 10)
                }
            }
            guard let result else {
                throw StackError(
                    .deadline, object: name, cause: "its removal waits for I/O that does not end",
                    advice: "see attach status; run attach down again when the paths are back or have failed")
            }
            let removed: Bool
            do throws(DeviceMapperError) {
                removed = try result.get()
            } catch {
                if error.isBusy {
                    let nodes = ["/dev/mapper/\(name)", "/dev/disk/by-id/dm-uuid-\(uuid)"]
                    let holds = ProcessTable(files: context.files).holders(ofNodes: nodes, limit: 3)
                    let who = holds.isEmpty ? "something" : holds.map(\.description).joined(separator: "; ")
                    throw StackError(
                        .busy, object: name, cause: "the map is held open by \(who)",
                        advice: "end that, then: attach down")
                }
                throw StackError(error, object: name)
            }
            try context.journal?.disown(OwnedObject(.map, name: ownedName, identity: uuid))
            return removed ? .removed : .alreadyThere
        }
    }
}

extension StackError {
    /// A device-mapper error as a user's.
    init(_ error: DeviceMapperError, object: String) {
        self.init(
            error.isBusy ? .busy : .failed, object: object, cause: "cannot \(error.operation) it: \(error.cause)",
            advice: error.advice.isEmpty ? "see the kernel's log (dmesg)" : error.advice)
    }
}
