import HostDevices
import Rack

/// The lock managers: dlm in the kernel with dlm_controld, and lvmlockd for LVM. The lockspaces of volume groups belong to
/// the layer above, because they need the groups.
public struct LocksLayer: Layer {
    static let lockManagerName = "dlm_controld"
    static let volumeLocksName = "lvmlockd"
    /// Long, because a look that fails on a busy host says nothing about the cluster.
    private static let lookDeadlineSeconds = 15

    private let context: StackContext
    private let paths: ClusterPaths

    /// The layer on this host.
    public init(_ context: StackContext, paths: ClusterPaths = ClusterPaths()) {
        self.context = context
        self.paths = paths
    }

    /// `locks`.
    public var kind: LayerKind { .locks }

    private var configurationFile: GeneratedFile { GeneratedFile(path: paths.dlmConfiguration) }

    // MARK: - Looking

    /// Two objects: `dlm_controld` and `lvmlockd`.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        guard ClusterScope.isWanted(scope) else { return [] }
        return [await observeLockManager(scope), await observeVolumeLocks(scope)]
    }

    private func observeLockManager(_ scope: StackScope) async -> ObservedObject {
        var object = ObservedObject(layer: .locks, name: Self.lockManagerName, state: .absent)
        let isStartedByUs = ClusterDaemon.lockManager.isStartedByUs(context)
        if isStartedByUs { object.facts["started_by_attach"] = "yes" }
        var isFencing = false
        switch configurationFile.owner {
        case .ours: object.facts["configuration"] = "ours"
        case .absent, .packaged: object.facts["configuration"] = "absent"
        case .edited(let text), .foreign(let text):
            object.facts["configuration"] = "foreign"
            isFencing = LockManagerConfiguration.hasFencing(text)
        }
        object.facts["fencing"] = isFencing ? "configured" : "none"
        let lockspaces = context.files.entries("/sys/kernel/dlm")
        object.facts["lockspaces"] = lockspaces.joined(separator: ",")
        guard let pid = ClusterDaemon.lockManager.runningProcess(context.files) else {
            if !lockspaces.isEmpty {
                object.state = .wrong
                object.detail =
                    "dlm_controld is gone and the kernel still has lockspaces: \(lockspaces.joined(separator: ", "))"
            }
            return object
        }
        object.facts["pid"] = "\(pid)"
        if !isStartedByUs { object.facts["keep"] = "started by another" }
        do {
            let status = try await context.commands.run(
                "dlm_tool", ["status"], deadlineSeconds: Self.lookDeadlineSeconds)
            guard status.isSuccess else {
                object.state = .degraded
                object.detail = "dlm_controld runs and does not answer: \(status.lastWords)"
                return object
            }
            let list = try await context.commands.run("dlm_tool", ["ls"], deadlineSeconds: Self.lookDeadlineSeconds)
            describe(
                LockManagerStatus(parsing: status.standardOutput), Lockspace.parse(list.standardOutput), scope, &object)
        } catch {
            object.state = .unknown
            object.detail = "\(error)"
        }
        return object
    }

    private func describe(
        _ status: LockManagerStatus, _ lockspaces: [Lockspace], _ scope: StackScope, _ object: inout ObservedObject
    ) {
        for lockspace in lockspaces {
            object.facts["members_\(lockspace.name)"] = lockspace.members.map { "\($0)" }.joined(separator: ",")
        }
        object.state = status.isReady ? .present : .degraded
        object.detail = status.isReady ? "" : "dlm_controld has not joined its group yet"
        if let wait = status.fencingWait({ ClusterScope.describe(nodeID: $0, scope.inventory) }) {
            object.state = .degraded
            object.detail = "\(wait.cause); \(wait.advice)"
            object.facts["waits_for_fencing"] = wait.cause
            object.facts["fencing_advice"] = wait.advice
        } else if let stopped = lockspaces.first(where: { $0.waitsFor != nil }), let reason = stopped.waitsFor {
            object.state = .degraded
            object.detail = "lockspace \(stopped.name): \(reason)"
        } else if object.facts["fencing"] == "none", object.detail.isEmpty {
            object.detail = LockManagerConfiguration.warning
        }
    }

    private func observeVolumeLocks(_ scope: StackScope) async -> ObservedObject {
        var object = ObservedObject(layer: .locks, name: Self.volumeLocksName, state: .absent)
        if ClusterDaemon.volumeLocks.isStartedByUs(context) { object.facts["started_by_attach"] = "yes" }
        guard let pid = ClusterDaemon.volumeLocks.runningProcess(context.files) else { return object }
        object.facts["pid"] = "\(pid)"
        do {
            let answer = try await VolumeLocksReader.read(context)
            object.state = answer.isSuccess ? .present : .degraded
            object.detail = answer.isSuccess ? "" : "lvmlockd runs and does not answer: \(answer.lastWords)"
            object.facts["groups"] = VolumeLocks(parsing: answer.standardOutput).groups.map(\.name)
                .joined(separator: ",")
        } catch {
            object.state = .unknown
            object.detail = "\(error)"
        }
        return object
    }

    // MARK: - Up

    /// dlm and lvmlockd, where a cluster is wanted.
    public func missing(_ scope: StackScope) -> [StackError] {
        guard ClusterScope.isWanted(scope) else { return [] }
        return context.missing(
            programs: ["dlm_controld", "dlm_tool", "lvmlockd", "lvmlockctl"], modules: ["configfs", "dlm"])
    }

    /// Modules, configfs, dlm_controld with its configuration, lvmlockd.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        guard ClusterScope.isWanted(scope) else { return [] }
        let manager = observation.object(.locks, Self.lockManagerName)
        let volumeLocks = observation.object(.locks, Self.volumeLocksName)
        var steps: [Step] = []
        if manager?.facts["pid"] == nil {
            if manager?.state == .wrong {
                throw StackError(
                    .failed, object: Self.lockManagerName, cause: manager?.detail ?? "",
                    advice: "those locks are lost to this host: reboot it (the other clients will wait for that)")
            }
            if let step = context.moduleStep(.locks, ["configfs", "dlm"], group: 0) { steps.append(step) }
            if MountTable(files: context.files).mount(at: "/sys/kernel/config") == nil { steps.append(configfsStep()) }
            if manager?.facts["configuration"] == "absent" {
                let file = configurationFile
                steps.append(
                    Step(
                        layer: .locks, name: "write \(file.path)", object: Self.lockManagerName, deadlineSeconds: 10,
                        group: 1
                    ) { try file.install(LockManagerConfiguration.text) })
            }
        }
        if manager?.facts["waits_for_fencing"] == nil, manager?.state != .present || manager?.facts["pid"] == nil {
            steps.append(startLockManager(hasFencing: manager?.facts["fencing"] == "configured"))
        }
        if volumeLocks?.state != .present { steps.append(startVolumeLocks()) }
        return steps
    }

    /// Nothing above works while the locks wait for a lost client.
    public func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws {
        guard let manager = observation.object(.locks, Self.lockManagerName),
            let cause = manager.facts["waits_for_fencing"]
        else { return }
        throw StackError(
            .failed, object: Self.lockManagerName, cause: cause, advice: manager.facts["fencing_advice"] ?? "")
    }

    private func configfsStep() -> Step {
        let context = context
        return Step(
            layer: .locks, name: "mount configfs", object: Self.lockManagerName, deadlineSeconds: 20, group: 1
        ) {
            if MountTable(files: context.files).mount(at: "/sys/kernel/config") != nil { return .alreadyThere }
            try await context.commands.check(
                "mount", ["-t", "configfs", "configfs", "/sys/kernel/config"], deadlineSeconds: 10)
            return .created
        }
    }

    private func startLockManager(hasFencing: Bool) -> Step {
        let context = context
        let name = "start dlm_controld" + (hasFencing ? "" : " (\(LockManagerConfiguration.warning))")
        return Step(layer: .locks, name: name, object: Self.lockManagerName, deadlineSeconds: 60, group: 2) {
            try await ClusterDaemon.lockManager.start(context, deadlineSeconds: 25) {
                let answer = try await context.commands.run(
                    "dlm_tool", ["status"], deadlineSeconds: Self.lookDeadlineSeconds)
                return answer.isSuccess && LockManagerStatus(parsing: answer.standardOutput).isReady
            }
        }
    }

    private func startVolumeLocks() -> Step {
        let (context, paths) = (context, paths)
        return Step(
            layer: .locks, name: "start lvmlockd", object: Self.volumeLocksName, deadlineSeconds: 60, group: 3
        ) {
            for folder in paths.daemonFolders where !context.folders.systemdRuns { try makeFolder(folder) }
            return try await ClusterDaemon.volumeLocks.start(context, deadlineSeconds: 25) {
                try await VolumeLocksReader.read(context)
                    .isSuccess
            }
        }
    }

    // MARK: - Down

    /// Stops lvmlockd and dlm_controld when attach started them and nobody else has a lockspace left.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        guard ClusterScope.isWanted(scope) else { return [] }
        let context = context
        var steps: [Step] = []
        let wanted = Set(scope.volumeGroups.map(\.name))
        if let locks = observation.object(.locks, Self.volumeLocksName), locks.facts["started_by_attach"] != nil {
            let groups = (locks.facts["groups"] ?? "").split(separator: ",").map(String.init)
            if groups.contains(where: { !wanted.contains($0) }) { return [] }
            steps.append(
                Step(
                    layer: .locks, name: "stop lvmlockd", object: Self.volumeLocksName, deadlineSeconds: 45, group: 0
                ) { try await Self.stopVolumeLocks(context) })
        }
        if let manager = observation.object(.locks, Self.lockManagerName), manager.facts["started_by_attach"] != nil {
            steps.append(
                Step(
                    layer: .locks, name: "stop dlm_controld", object: Self.lockManagerName, deadlineSeconds: 60,
                    group: 1
                ) { try await Self.stopLockManager(context) })
        }
        let file = configurationFile
        if file.isToRemove, observation.object(.locks, Self.lockManagerName)?.facts["keep"] == nil {
            steps.append(
                Step(
                    layer: .locks, name: "remove \(file.path)", object: Self.lockManagerName, deadlineSeconds: 10,
                    group: 2
                ) { try file.remove() })
        }
        return steps
    }

    private static func stopVolumeLocks(_ context: StackContext) async throws -> StepOutcome {
        if ClusterDaemon.volumeLocks.runningProcess(context.files) != nil {
            // On SIGTERM it would begin to leave, wait for ever for the groups in use, and refuse all further work.
            let answer = try await VolumeLocksReader.read(context)
            let groups = VolumeLocks(parsing: answer.standardOutput).groups.filter { !$0.isLeaving }.map(\.name)
            guard groups.isEmpty else {
                throw StackError(
                    .busy, object: volumeLocksName,
                    cause: "it still has the locks of \(groups.joined(separator: ", "))",
                    advice: "deactivate what is on it, then: vgchange --lockstop \(groups[0])")
            }
        }
        return try await ClusterDaemon.volumeLocks.stop(
            context, deadlineSeconds: 30, advice: "see what it waits for: lvmlockctl -i; dlm_tool ls")
    }

    private static func stopLockManager(_ context: StackContext) async throws -> StepOutcome {
        if ClusterDaemon.lockManager.runningProcess(context.files) != nil {
            // It ignores SIGTERM while there are lockspaces, and a unit's stop would wait for ever.
            _ = try await waitUntil(
                lockManagerName, deadlineSeconds: 20,
                advice: { _ in "see who uses it: dlm_tool ls; grep gfs2 /proc/mounts; lvmlockctl -i" },
                probe: {
                    let left = context.files.entries("/sys/kernel/dlm")
                    if left.isEmpty { return WaitState.done(true) }
                    return .waiting("lockspaces are still in use: \(left.joined(separator: ", "))")
                })
        }
        return try await ClusterDaemon.lockManager.stop(
            context, deadlineSeconds: 30, advice: "see what it waits for: dlm_tool status; dlm_tool ls")
    }
}
