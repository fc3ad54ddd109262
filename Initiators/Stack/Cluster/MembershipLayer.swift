import Glibc
import HostDevices
import Rack

/// Membership and quorum of the clients: corosync, configured from the inventory.
///
/// A corosync that runs with the inventory's cluster is used as it is, whoever started it; one that runs with another is
/// reported and never touched.
public struct MembershipLayer: Layer {
    /// How long `up` waits for the other clients.
    static let quorumDeadlineSeconds = 120
    /// Long, because a look that fails on a busy host says nothing about the cluster.
    private static let lookDeadlineSeconds = 15

    private let context: StackContext
    private let paths: ClusterPaths

    /// The layer on this host.
    public init(_ context: StackContext, paths: ClusterPaths = ClusterPaths()) {
        self.context = context
        self.paths = paths
    }

    /// `membership`.
    public var kind: LayerKind { .membership }

    private var configurationFile: GeneratedFile {
        GeneratedFile(
            path: paths.corosyncConfiguration, isPackagedExample: { CorosyncConfiguration.isPackagedExample($0) })
    }

    // MARK: - Looking

    /// One object: the cluster, by its name.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        guard ClusterScope.isWanted(scope) else { return [] }
        var object = ObservedObject(layer: .membership, name: scope.inventory.name, state: .absent)
        do {
            let wanted = try ClusterIdentity(scope.inventory)
            object.name = wanted.clusterName
            describeConfiguration(wanted, try CorosyncConfiguration.text(scope.inventory), &object)
            if ClusterDaemon.corosync.isStartedByUs(context) { object.facts["started_by_attach"] = "yes" }
            guard let pid = ClusterDaemon.corosync.runningProcess(context.files) else { return [object] }
            object.facts["pid"] = "\(pid)"
            try await describeRunning(wanted, scope, &object)
        } catch {
            object.state = .unknown
            object.detail = "\(error)"
        }
        return [object]
    }

    private func describeConfiguration(_ wanted: ClusterIdentity, _ body: String, _ object: inout ObservedObject) {
        func judge(_ text: String, _ whose: String) {
            let differences = ClusterIdentity(configuration: text).differences(from: wanted)
            object.facts["configuration"] = whose
            if !differences.isEmpty { object.facts["configuration_conflict"] = differences.joined(separator: "; ") }
        }
        switch configurationFile.owner {
        case .absent: object.facts["configuration"] = "absent"
        case .packaged: object.facts["configuration"] = "packaged"
        case .ours(let text): object.facts["configuration"] = text == body ? "ours" : "outdated"
        case .edited(let text): judge(text, "edited")
        case .foreign(let text): judge(text, "foreign")
        }
    }

    private func describeRunning(
        _ wanted: ClusterIdentity, _ scope: StackScope, _ object: inout ObservedObject
    ) async throws {
        let map = try await context.commands.run("corosync-cmapctl", deadlineSeconds: Self.lookDeadlineSeconds)
        let quorum = try await context.commands.run(
            "corosync-quorumtool", ["-s"], deadlineSeconds: Self.lookDeadlineSeconds)
        guard map.isSuccess, let status = QuorumStatus(parsing: quorum.standardOutput) else {
            object.state = .degraded
            object.detail = "corosync runs and does not answer: \((map.isSuccess ? quorum : map).lastWords)"
            return
        }
        let differences = ClusterIdentity(runningMap: map.standardOutput).differences(from: wanted)
        guard differences.isEmpty else {
            object.state = .foreign
            object.detail = "corosync runs with another configuration: \(differences.joined(separator: "; "))"
            object.facts["running_conflict"] = differences.joined(separator: "; ")
            return
        }
        let missing = status.missing(scope.inventory)
        object.facts["quorate"] = status.isQuorate ? "yes" : "no"
        object.facts["members"] = status.members.map { "\($0)" }.joined(separator: ",")
        object.facts["missing"] = missing.joined(separator: ", ")
        object.state = status.isQuorate ? .present : .degraded
        if !status.isQuorate {
            object.detail = missing.isEmpty ? "no quorum yet" : "no quorum, missing: \(missing.joined(separator: ", "))"
        } else if !missing.isEmpty {
            object.detail = "without \(missing.joined(separator: ", "))"
        }
    }

    // MARK: - Up

    /// corosync, where a cluster is wanted.
    public func missing(_ scope: StackScope) -> [StackError] {
        guard ClusterScope.isWanted(scope) else { return [] }
        return context.missing(programs: ["corosync", "corosync-cmapctl", "corosync-quorumtool", "corosync-cfgtool"])
    }

    /// Configuration, daemon, quorum.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        guard ClusterScope.isWanted(scope) else { return [] }
        let name = try ClusterScope.clusterName(scope.inventory)
        guard let object = observation.object(.membership, name) else { return [] }
        if let conflict = object.facts["running_conflict"] {
            throw StackError(
                .mismatch, object: "corosync", cause: "it runs with another configuration: \(conflict)",
                advice: "if nobody needs that cluster: systemctl stop corosync; else give rack.yaml its name and nodes")
        }
        if object.state == .present { return [] }
        var steps: [Step] = []
        if object.facts["pid"] == nil {
            if let conflict = object.facts["configuration_conflict"] {
                throw StackError(
                    .mismatch, object: paths.corosyncConfiguration,
                    cause: "another configuration is there and is not overwritten: \(conflict)",
                    advice: "move it away if nobody needs it (mv \(paths.corosyncConfiguration) "
                        + "\(paths.corosyncConfiguration).saved), or give rack.yaml its name and nodes")
            }
            if ["absent", "packaged", "outdated"].contains(object.facts["configuration"]) {
                let file = configurationFile
                let body = try CorosyncConfiguration.text(scope.inventory)
                steps.append(
                    Step(
                        layer: .membership, name: "write \(file.path)", object: name, deadlineSeconds: 10, group: 0
                    ) { try file.install(body) })
            }
            steps.append(startStep(name))
        }
        steps.append(quorumStep(name, scope))
        return steps
    }

    private func startStep(_ name: String) -> Step {
        let (context, paths) = (context, paths)
        return Step(layer: .membership, name: "start corosync", object: name, deadlineSeconds: 60, group: 1) {
            for folder in paths.daemonFolders where !context.folders.systemdRuns { try makeFolder(folder) }
            return try await ClusterDaemon.corosync.start(context, deadlineSeconds: 25) {
                let answer = try await context.commands.run(
                    "corosync-quorumtool", ["-s"], deadlineSeconds: Self.lookDeadlineSeconds)
                return QuorumStatus(parsing: answer.standardOutput) != nil
            }
        }
    }

    private func quorumStep(_ name: String, _ scope: StackScope) -> Step {
        let (context, inventory, client) = (context, scope.inventory, scope.client)
        let others = inventory.clients.filter { $0.name != client.name }.map(\.name).joined(separator: ", ")
        return Step(
            layer: .membership, name: "wait for quorum" + (others.isEmpty ? "" : " (with \(others))"), object: name,
            deadlineSeconds: Self.quorumDeadlineSeconds + 15, group: 2
        ) {
            var waited = false
            return try await waitUntil(
                "cluster \(name)", deadlineSeconds: Self.quorumDeadlineSeconds, everyMilliseconds: 500,
                advice: { _ in
                    "run attach up there too; where those hosts are surely off: "
                        + "corosync-cmapctl -s quorum.cancel_wait_for_all u8 1"
                },
                probe: {
                    let answer = try await context.commands.run(
                        "corosync-quorumtool", ["-s"], deadlineSeconds: Self.lookDeadlineSeconds)
                    guard let status = QuorumStatus(parsing: answer.standardOutput) else {
                        waited = true
                        return WaitState.waiting("corosync does not answer: \(answer.lastWords)")
                    }
                    if status.isQuorate { return .done(waited ? .changed : .alreadyThere) }
                    waited = true
                    let missing = status.missing(inventory)
                    return .waiting("no quorum, missing: \(missing.isEmpty ? "none" : missing.joined(separator: ", "))")
                })
        }
    }

    // MARK: - Down

    /// Stops the corosync that attach started and takes attach's configuration away; leaves any other alone.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        guard ClusterScope.isWanted(scope) else { return [] }
        let name = try ClusterScope.clusterName(scope.inventory)
        guard let object = observation.object(.membership, name) else { return [] }
        // Whoever else uses dlm needs the membership as well.
        if observation.object(.locks, LocksLayer.lockManagerName)?.facts["keep"] != nil { return [] }
        let isOurs =
            object.facts["started_by_attach"] != nil
            || (["ours", "outdated"].contains(object.facts["configuration"]) && object.state != .foreign)
        let isRunning = object.facts["pid"] != nil
        if isRunning && !isOurs { return [] }
        var steps: [Step] = []
        let context = context
        if isRunning || object.facts["started_by_attach"] != nil {
            steps.append(
                Step(layer: .membership, name: "stop corosync", object: name, deadlineSeconds: 45, group: 0) {
                    if let pid = ClusterDaemon.lockManager.runningProcess(context.files) {
                        throw StackError(
                            .busy, object: "corosync", cause: "dlm_controld (pid \(pid)) still uses it",
                            advice: "stop what uses dlm first: dlm_tool ls")
                    }
                    return try await ClusterDaemon.corosync.stop(
                        context, deadlineSeconds: 30,
                        ask: {
                            // Leaving is announced, so the others count one member fewer at once, without a timeout.
                            let answer = try await context.commands.run("corosync-cfgtool", ["-H"], deadlineSeconds: 15)
                            guard !answer.isSuccess, let pid = ClusterDaemon.corosync.runningProcess(context.files)
                            else {
                                return
                            }
                            kill(pid, SIGTERM)
                        }, advice: "see what it waits for: corosync-cfgtool -s; corosync-cpgtool")
                })
        }
        let file = configurationFile
        if file.isToRemove {
            steps.append(
                Step(
                    layer: .membership, name: "remove \(file.path)", object: name, deadlineSeconds: 10, group: 1
                ) { try file.remove() })
        }
        return steps
    }
}
