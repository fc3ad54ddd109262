import Rack

/// Where the cluster engines keep their files; below a temporary folder in tests.
public struct ClusterPaths: Sendable {
    /// What every path begins with: empty on a host.
    public var root: String

    /// The paths of a real host, or of a made-up tree.
    public init(root: String = "") { self.root = root }

    /// corosync's configuration.
    public var corosyncConfiguration: String { "\(root)/etc/corosync/corosync.conf" }
    /// dlm_controld's configuration.
    public var dlmConfiguration: String { "\(root)/etc/dlm/dlm.conf" }
    /// Folders that the daemons expect and do not make where no systemd-tmpfiles made them. lvmlockd without /run/lvm
    /// runs on for ever and never opens its socket.
    public var daemonFolders: [String] {
        ["/var/log/corosync", "/var/lib/corosync", "/run/lvm", "/run/lock/lvm"].map { root + $0 }
    }
}

/// The corosync cluster that the wanted filesystems ask for.
package enum ClusterScope {
    /// The cluster's name: the filesystems' own, else the rack's (a shared group without a filesystem).
    ///
    /// - Throws: `.inventory` when filesystems name different clusters; a host is in one corosync cluster only.
    package static func clusterName(_ inventory: Inventory) throws(StackError) -> String {
        var names: [String] = []
        for filesystem in inventory.filesystems where !names.contains(filesystem.clusterName) {
            names.append(filesystem.clusterName)
        }
        guard names.count <= 1 else {
            throw StackError(
                .inventory, object: names.joined(separator: ", "),
                cause: "the filesystems name \(names.count) clusters and a client can be in one only",
                advice: "give all filesystems of the rack the same cluster")
        }
        return names.first ?? inventory.name
    }

    /// Whether anything wanted needs a cluster at all.
    package static func isWanted(_ scope: StackScope) -> Bool { !scope.volumeGroups.isEmpty }

    /// A client's name for people: `client1 (10.77.9.12)`, or the bare node id of one that is not in the inventory.
    package static func describe(nodeID: Int, _ inventory: Inventory) -> String {
        inventory.clients.first { $0.nodeID == nodeID }.map { "\($0.name) (\($0.address))" } ?? "node \(nodeID)"
    }
}

/// What a wait found at one look.
enum WaitState<Value: Sendable>: Sendable {
    /// It is there.
    case done(Value)
    /// Not yet; the text says what is still missing, for the error when the deadline passes.
    case waiting(String)
}

/// Looks again and again until `probe` says done.
///
/// - Throws: What `probe` throws; `.deadline` with the last reason and `advice` when the time is over;
///   `CancellationError` when the run was ended.
func waitUntil<Value: Sendable>(
    _ object: String, deadlineSeconds: Int, everyMilliseconds: Int = 250, advice: (String) -> String,
    probe: () async throws -> WaitState<Value>
) async throws -> Value {
    let end = ContinuousClock.now + .seconds(deadlineSeconds)
    while true {
        let reason: String
        switch try await probe() {
        case .done(let value): return value
        case .waiting(let text): reason = text
        }
        if ContinuousClock.now >= end {
            throw StackError(
                .deadline, object: object, cause: "\(reason) (waited \(deadlineSeconds) s)", advice: advice(reason))
        }
        try await Task.sleep(for: .milliseconds(everyMilliseconds))
    }
}
