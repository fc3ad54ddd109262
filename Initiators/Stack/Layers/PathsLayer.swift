import HostDevices
import Rack

/// The SCSI devices of the wanted units, one a session: scanned one by one, verified, tuned for multipath.
public struct PathsLayer: Layer {
    /// How long a command may take before the kernel begins to recover the device.
    static let commandTimeoutSeconds = 30
    /// The unit of a volume: the target has no other.
    static let logicalUnit: UInt64 = 0

    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext) { self.context = context }

    /// `paths`.
    public var kind: LayerKind { .paths }

    // MARK: - Looking

    /// One object a wanted path (`mpath0 storage0/10.77.0.21:3260`), and the udev rule.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        let sessions = ISCSISession.all(files: context.files)
        let monitor = MonitorState.read(path: context.folders.monitorStateFile)
        var objects = scope.paths.map { path in
            var object = describe(path, sessions, scope)
            if let seen = monitor?.path(path.volume.name, path.endpoint) {
                if let latency = seen.latencyMilliseconds { object.facts["latency_ms"] = "\(latency)" }
                object.facts["since"] = "\(seen.sinceSeconds)"
                // A drain says more than the lost connection that follows on it.
                let isDrained = seen.reason.hasPrefix(MonitorMachine.drainedPrefix)
                if isDrained { object.facts["drained"] = "yes" }
                if object.facts["device"] != nil, object.state == .present, seen.state != .up {
                    object.state = .degraded
                    object.detail = seen.reason
                } else if isDrained, object.state == .degraded || object.state == .absent {
                    object.detail = seen.reason
                }
            }
            return object
        }
        let rule = readTextFile(context.folders.udevRuleFile)
        if let rule {
            let wanted = UdevRule.text(scope.inventory.volumes)
            objects.append(
                ObservedObject(
                    layer: .paths, name: "udev rule", state: rule == wanted ? .present : .wrong,
                    detail: rule == wanted ? "" : "for another set of volumes", facts: ["kind": "aux"]))
        }
        return objects
    }

    private func describe(_ path: WantedPath, _ sessions: [ISCSISession], _ scope: StackScope) -> ObservedObject {
        var object = ObservedObject(
            layer: .paths, name: path.pathName, parent: path.volume.name, state: .absent,
            facts: [
                "host": path.portal.hostName, "portal": path.portal.portal.address, "endpoint": path.endpoint,
                "network": path.portal.portal.network ?? "", "tag": "\(path.portal.tag)",
            ])
        guard let session = SessionsLayer.session(for: path, in: sessions) else {
            object.detail = "no session"
            return object
        }
        object.facts["session"] = "\(session.number)"
        guard let device = session.devices.first(where: { $0.address.lun == Self.logicalUnit }),
            let name = device.blockName, let block = BlockDevice(name: name, files: context.files)
        else {
            object.detail = "no disk on its session"
            return object
        }
        object.facts["device"] = name
        object.facts["number"] = block.number.description
        object.facts["address"] = device.address.description
        object.facts["wwid"] = device.wwid ?? ""
        object.facts["size_bytes"] = "\(block.sizeBytes)"
        let disagreement = PathIdentity.disagreement(
            path, identification: device.identification, sizeBytes: block.sizeBytes,
            portalGroupTag: session.targetPortalGroupTag)
        if let disagreement {
            object.state = .wrong
            object.detail = disagreement
            object.facts["refused"] = "yes"
            return object
        }
        switch (session.state, device.state) {
        case (.loggedIn, .running): object.state = .present
        case (.loggedIn, let state):
            object.state = .degraded
            object.detail = "the device is \(state)"
        case (.failed, _):
            object.state = .degraded
            object.detail = "the connection is lost"
        case (.free, _):
            object.state = .degraded
            object.detail = "no connection for longer than \(scope.inventory.timeouts.recoverySeconds) s"
        case (.other(let state), _):
            object.state = .degraded
            object.detail = "the session is \(state)"
        }
        if Self.needsTuning(session, device, scope) { object.facts["tuned"] = "no" }
        return object
    }

    private static func needsTuning(_ session: ISCSISession, _ device: SCSIDevice, _ scope: StackScope) -> Bool {
        session.recoveryTimeoutSeconds != scope.inventory.timeouts.recoverySeconds
            || device.timeoutSeconds != UInt64(commandTimeoutSeconds)
    }

    // MARK: - Up

    /// The disk driver, and udev.
    public func missing(_ scope: StackScope) -> [StackError] {
        context.missing(programs: ["udevadm"], modules: ["sd_mod"])
    }

    /// The udev rule first, so that nobody grabs what appears; then every path at once.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        if let step = context.moduleStep(.paths, ["sd_mod"], group: 0) { steps.append(step) }
        if observation.object(.paths, "udev rule")?.state != .present { steps.append(writeRule(scope)) }
        for path in scope.paths {
            let object = observation.object(.paths, path.pathName)
            // A session that is not there, or is reconnecting, cannot be scanned; `plan` from nothing shows the step.
            let session = observation.object(.sessions, path.sessionName)
            let sessionsAreDown = !observation.objects(of: .sessions).contains { $0.facts["session"] != nil }
            let isMissing = object?.facts["device"] == nil && (session?.state == .present || sessionsAreDown)
            let isToTune = object?.facts["tuned"] == "no" && object?.state == .present
            if isMissing || isToTune || object?.facts["refused"] == "yes" {
                steps.append(bringIn(path, scope, isTuning: isToTune))
            }
        }
        return steps
    }

    private func writeRule(_ scope: StackScope) -> Step {
        let context = context
        let text = UdevRule.text(scope.inventory.volumes)
        return Step(
            layer: .paths, name: "keep LVM and udev off raw paths", object: "udev rule", deadlineSeconds: 45, group: 0
        ) {
            try makeFolder(context.folders.udevRules)
            try writeFileAtomically(context.folders.udevRuleFile, text)
            try await Self.reloadRules(context)
            return .created
        }
    }

    /// udevd takes one control connection at a time and answers EAGAIN to a second one, which is nobody's fault and over
    /// in a moment: the request is made again until the step's own deadline is near.
    private static func reloadRules(_ context: StackContext) async throws(StackError) {
        guard Udev.isRunning else { return }
        for _ in 0..<20 {
            let result = try await context.commands.run("udevadm", ["control", "--reload"], deadlineSeconds: 15)
            if result.isSuccess { return }
            try? await Task.sleep(for: .milliseconds(300))
        }
        try await context.commands.check("udevadm", ["control", "--reload"], deadlineSeconds: 15)
    }

    private func bringIn(_ path: WantedPath, _ scope: StackScope, isTuning: Bool) -> Step {
        let context = context
        let recovery = scope.inventory.timeouts.recoverySeconds
        let name = isTuning ? "tune \(path.pathName)" : "scan and verify \(path.pathName)"
        return Step(layer: .paths, name: name, object: path.pathName, deadlineSeconds: 45, group: 1) {
            guard let session = SessionsLayer.session(for: path, in: ISCSISession.all(files: context.files)) else {
                throw StackError(
                    .noPath, object: path.pathName, cause: "its session has gone", advice: "run attach up again")
            }
            let (device, wasThere) = try await Self.findDevice(path, session, context)
            guard let blockName = device.blockName else {
                throw StackError(
                    .failed, object: path.pathName, cause: "its unit is no disk", advice: "see storaged status")
            }
            let disagreement = try await PathIdentity.ask(
                path, blockName: blockName, portalGroupTag: session.targetPortalGroupTag, deadlineSeconds: 10)
            if let disagreement {
                if BlockDevice(name: blockName, files: context.files)?.holders.isEmpty ?? true {
                    _ = await BlockingCall.run(deadlineSeconds: 10) { try? device.delete(files: context.files) }
                }
                throw PathIdentity.refusal(path, blockName: blockName, disagreement)
            }
            do throws(HostDeviceError) {
                try session.setRecoveryTimeout(seconds: recovery, files: context.files)
                try device.setTimeout(seconds: Self.commandTimeoutSeconds, files: context.files)
            } catch {
                throw StackError(error)
            }
            // The map above sorts and merges; a scheduler below it only adds time. Kernels without it are fine, too.
            try? context.files.write("/sys/class/block/\(blockName)/queue/scheduler", "none")
            return wasThere ? .changed : .created
        }
    }

    /// The unit's device on a session: there, or scanned for and waited for until udev is through with it.
    static func findDevice(
        _ path: WantedPath, _ session: ISCSISession, _ context: StackContext
    ) async throws(StackError) -> (device: SCSIDevice, wasThere: Bool) {
        func find() -> SCSIDevice? {
            ISCSISession(number: session.number, files: context.files)?.devices
                .first { $0.address.lun == logicalUnit && $0.blockName != nil }
        }
        let before = find()
        if before == nil {
            let scanned = await BlockingCall.run(deadlineSeconds: 20) {
                Result { () throws(HostDeviceError) in
                    // Found while its port was unavailable, it has no disk, and the kernel asks it never again.
                    let known = ISCSISession(number: session.number, files: context.files)?.devices
                    if let device = known?.first(where: { $0.address.lun == logicalUnit }),
                        device.isNotConnected(files: context.files)
                    {
                        try device.delete(files: context.files)
                    }
                    try session.scan(lun: logicalUnit, files: context.files)
                }
            }
            if case .failure(let error)? = scanned { throw StackError(error) }
        }
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            if let device = find(), let name = device.blockName {
                do {
                    try await Udev.waitInitialized(blockName: name, deadlineSeconds: 15)
                } catch {
                    throw StackError(error, kind: .deadline)
                }
                return (device, before != nil)
            }
            try? await Task.sleep(for: .milliseconds(25))
        }
        throw StackError(
            .noPath, object: path.pathName, cause: "no unit 0 appeared on session \(session.number) within 5 s",
            advice: "see whether storaged on \(path.portal.hostName) exports it: attach discover \(path.endpoint)")
    }

    /// Every wanted volume needs a path that works.
    public func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws {
        for volume in scope.volumes {
            let paths = observation.objects(of: .paths).filter { $0.parent == volume.name }
            if paths.contains(where: { $0.state == .present }) { continue }
            let states = paths.map { "\($0.name): \($0.detail.isEmpty ? $0.state.rawValue : $0.detail)" }
            throw StackError(
                .noPath, object: volume.name, cause: "none of its paths works (\(states.joined(separator: "; ")))",
                advice:
                    "check storaged on \(volume.hostNames.joined(separator: ", ")) and the networks, then: attach up")
        }
    }

    // MARK: - Down

    /// Raw paths that are mounted, or held by something else than their volume's map.
    public func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        let mounts = MountTable(files: context.files)
        return scope.paths.compactMap { path -> StackError? in
            guard let name = observation.object(.paths, path.pathName)?.facts["device"],
                let block = BlockDevice(name: name, files: context.files)
            else { return nil }
            if let mount = mounts.mounts(of: block.number).first {
                return StackError(
                    .busy, object: "/dev/\(name)", cause: "the raw path is mounted on \(mount.mountPoint)",
                    advice: "umount \(mount.mountPoint), then: attach down")
            }
            for holder in block.holders {
                let map = BlockDevice(name: holder, files: context.files)
                if map?.mapUUID == path.volume.mapUUID { continue }
                return StackError(
                    .busy, object: "/dev/\(name)", cause: "the raw path is held by \(map?.mapName ?? holder)",
                    advice: "take \(map?.mapName ?? holder) away, then: attach down")
            }
            return nil
        }
    }

    /// All devices at once, then the udev rule.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        var steps: [Step] = []
        for path in scope.paths {
            guard let object = observation.object(.paths, path.pathName), let name = object.facts["device"],
                let address = object.facts["address"].flatMap({ SCSIAddress($0) })
            else { continue }
            let context = context
            steps.append(
                Step(
                    layer: .paths, name: "delete \(name) (\(path.pathName))", object: path.pathName, deadlineSeconds: 45
                ) {
                    guard let device = SCSIDevice(address, files: context.files), device.blockName == name else {
                        return .alreadyThere
                    }
                    if let holder = BlockDevice(name: name, files: context.files)?.holders.first {
                        throw StackError(
                            .busy, object: "/dev/\(name)", cause: "it is held by \(holder)",
                            advice: "take \(holder) away (dmsetup ls --tree), then: attach down")
                    }
                    let deleted = await BlockingCall.run(deadlineSeconds: 40) {
                        Result { () throws(HostDeviceError) in try device.delete(files: context.files) }
                    }
                    guard let deleted else {
                        throw StackError(
                            .deadline, object: "/dev/\(name)", cause: "its deletion waits for its cache to be flushed",
                            advice: "wait for the session's recovery timeout, then: attach down")
                    }
                    if case .failure(let error) = deleted { throw StackError(error) }
                    return .removed
                })
        }
        if observation.object(.paths, "udev rule") != nil {
            let context = context
            steps.append(
                Step(layer: .paths, name: "remove the udev rule", object: "udev rule", deadlineSeconds: 20, group: 1) {
                    // udevd looks for changed rules by itself; nothing here depends on when.
                    removeFile(context.folders.udevRuleFile)
                    return .removed
                })
        }
        return steps
    }
}
