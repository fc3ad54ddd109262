import Rack

/// What `attach status` says: a verdict, and the stack as a tree from filesystem to path.
public struct StatusReport: Sendable {
    /// The verdict, in the words of monitoring plugins.
    public enum Verdict: Int32, Sendable {
        /// Everything is as the inventory asks.
        case healthy = 0
        /// I/O goes on, with less than there should be.
        case degraded = 1
        /// Something that the inventory asks for does not work, or is not there.
        case down = 2
        /// It could not be seen.
        case unknown = 3

        /// One word, in capitals for the first line.
        var word: String {
            switch self {
            case .healthy: "HEALTHY"
            case .degraded: "DEGRADED"
            case .down: "DOWN"
            case .unknown: "UNKNOWN"
            }
        }
    }

    /// One object with what it stands on.
    public struct Node: Sendable {
        /// What it is: `filesystem`, `logical volume`, `map`, `path`.
        public var kind: String
        /// What was seen of it.
        public var object: ObservedObject
        /// What it stands on.
        public var children: [Node]
    }

    /// The inventory's part that was looked at.
    public let scope: StackScope
    /// The objects seen.
    public let observation: StackObservation
    /// Unix time of the look.
    public let wallSeconds: Int
    /// The verdict.
    public let verdict: Verdict
    /// One sentence that says why.
    public let sentence: String
    /// What to type or do next; empty when nothing.
    public let next: String
    /// The trees: filesystems, then groups without one, then volumes without either.
    public let trees: [Node]
    /// What the stack needs beside it: cluster, locks, daemons.
    public let services: [ObservedObject]

    /// The report of an observation.
    public init(scope: StackScope, observation: StackObservation, wallSeconds: Int) {
        self.scope = scope
        self.observation = observation
        self.wallSeconds = wallSeconds
        trees = Self.trees(scope, observation)
        services =
            observation.objects(of: .membership) + observation.objects(of: .locks)
            + [
                observation.object(.maps, MonitorService.objectName), observation.object(.sessions, "iscsid"),
            ].compactMap { $0 }
            // Worth a line only where it is not as it should be.
            + [observation.object(.sessions, ServiceManager.objectName)].compactMap { $0 }
            .filter { $0.state != .present }
        (verdict, sentence, next) = Judgement(scope, observation, wallSeconds).verdict
    }

    /// The exit code: 0 healthy, 1 degraded, 2 down, 3 unknown.
    public var exitCode: Int32 { verdict.rawValue }

    // MARK: - Trees

    private static func trees(_ scope: StackScope, _ observation: StackObservation) -> [Node] {
        var trees: [Node] = []
        var shownGroups: Set<String> = []
        var shownVolumes: Set<String> = []
        for filesystem in scope.filesystems {
            let object =
                observation.object(.filesystem, filesystem.mountPoint)
                ?? observation.object(.filesystem, filesystem.name)
                ?? missing(.filesystem, filesystem.mountPoint)
            var children: [Node] = []
            if let group = scope.inventory.volumeGroup(named: filesystem.volumeGroupName) {
                shownGroups.insert(group.name)
                children = [logicalVolume(filesystem.logicalVolumeName, group, scope, observation, &shownVolumes)]
            }
            trees.append(Node(kind: "filesystem", object: object, children: children))
        }
        for group in scope.volumeGroups where !shownGroups.contains(group.name) {
            for volume in group.logicalVolumes {
                trees.append(logicalVolume(volume.name, group, scope, observation, &shownVolumes))
            }
        }
        for volume in scope.volumes where !shownVolumes.contains(volume.name) {
            trees.append(map(volume, scope, observation))
        }
        for object in observation.objects where object.facts["leftover"] == "yes" {
            trees.append(Node(kind: "leftover", object: object, children: []))
        }
        return trees
    }

    private static func logicalVolume(
        _ name: String, _ group: VolumeGroup, _ scope: StackScope, _ observation: StackObservation,
        _ shownVolumes: inout Set<String>
    ) -> Node {
        let path = "\(group.name)/\(name)"
        var object = observation.object(.volume, path) ?? observation.object(.volume, name) ?? missing(.volume, path)
        // The group is no line of its own, so what is wrong with it is said here.
        if let groupObject = observation.object(.volumeGroup, group.name), groupObject.state != .present,
            object.detail.isEmpty
        {
            object.detail = groupObject.detail.isEmpty ? "group \(groupObject.state.rawValue)" : groupObject.detail
        }
        object.name = path
        let volumes = scope.inventory.volumes(of: group)
        shownVolumes.formUnion(volumes.map(\.name))
        return Node(kind: "logical volume", object: object, children: volumes.map { map($0, scope, observation) })
    }

    private static func map(_ volume: Volume, _ scope: StackScope, _ observation: StackObservation) -> Node {
        let object = observation.object(.maps, volume.name) ?? missing(.maps, volume.name)
        let paths = scope.inventory.portals(of: volume).map { portal in
            let path = WantedPath(volume: volume, portal: portal)
            return Node(
                kind: "path", object: observation.object(.paths, path.pathName) ?? missing(.paths, path.pathName),
                children: [
                    Node(
                        kind: "session",
                        object: observation.object(.sessions, path.sessionName)
                            ?? missing(.sessions, path.sessionName), children: [])
                ])
        }
        return Node(kind: "map", object: object, children: paths)
    }

    private static func missing(_ layer: LayerKind, _ name: String) -> ObservedObject {
        ObservedObject(layer: layer, name: name, state: .absent)
    }
}

/// How a verdict is reached.
private struct Judgement {
    let scope: StackScope
    let observation: StackObservation
    let wallSeconds: Int

    init(_ scope: StackScope, _ observation: StackObservation, _ wallSeconds: Int) {
        self.scope = scope
        self.observation = observation
        self.wallSeconds = wallSeconds
    }

    /// Objects the inventory wants, without daemons and leftovers.
    private var wanted: [ObservedObject] {
        let seen = observation.objects.filter { $0.facts["kind"] != "aux" && $0.facts["leftover"] == nil }
        // A filesystem that no layer says anything about is not there.
        let unseen = scope.filesystems.filter { filesystem in
            !seen.contains {
                $0.layer == .filesystem && ($0.name == filesystem.mountPoint || $0.name == filesystem.name)
            }
        }
        return seen + unseen.map { ObservedObject(layer: .filesystem, name: $0.mountPoint, state: .absent) }
    }

    var verdict: (StatusReport.Verdict, String, String) {
        if !wanted.isEmpty, wanted.allSatisfy({ $0.state == .absent }) {
            return (.down, "nothing is attached.", "attach up")
        }
        if let object = wanted.first(where: { $0.layer > .paths && ($0.state == .wrong || $0.state == .absent) }) {
            let what = object.detail.isEmpty ? (object.state == .absent ? "not there" : "not as wanted") : object.detail
            let next = object.state == .absent ? "attach up" : pathAdvice ?? "attach up"
            return (.down, "\(label(object)): \(what).", next)
        }
        if let object = wanted.first(where: { $0.state == .unknown }) {
            return (.unknown, "\(label(object)) cannot be seen: \(object.detail).", "run it as root; see dmesg")
        }
        let paths = observation.objects(of: .paths).filter { $0.facts["kind"] != "aux" }
        let down = paths.filter { $0.state != .present }
        if !down.isEmpty {
            let since = down.compactMap { $0.facts["since"].flatMap { Int($0) } }.min()
            let age = since.map { " \(Figures.duration(seconds: wallSeconds - $0))" } ?? ""
            return (
                .degraded, "\(down.count) of \(paths.count) paths down\(age); I/O continues.",
                pathAdvice ?? "attach up"
            )
        }
        if let object = wanted.first(where: { $0.state == .degraded || $0.state == .wrong }) {
            return (.degraded, "\(label(object)): \(object.detail).", "attach up")
        }
        if let object = observation.objects(of: .sessions).first(where: { $0.facts["unproven"] == "yes" }) {
            return (.degraded, "\(label(object)): \(object.detail).", "attach down, then attach up")
        }
        let daemons = observation.objects.filter {
            $0.facts["kind"] == "aux"
                && [MonitorService.objectName, "iscsid", ServiceManager.objectName].contains($0.name)
        }
        if let object = daemons.first(where: { $0.state != .present }) {
            let what = object.detail.isEmpty ? "not running" : object.detail
            return (.degraded, "\(object.name): \(what).", "attach up")
        }
        if let object = observation.objects.first(where: { $0.facts["leftover"] == "yes" }) {
            return (.degraded, "\(label(object)): \(object.detail).", "attach down, then attach up")
        }
        let things = scope.filesystems.map(\.mountPoint) + (scope.filesystems.isEmpty ? scope.volumes.map(\.name) : [])
        return (.healthy, "\(paths.count) of \(paths.count) paths up; \(Figures.list(things)) in place.", "")
    }

    /// What to do about the first path that is down.
    private var pathAdvice: String? {
        let paths = observation.objects(of: .paths).filter { $0.facts["kind"] != "aux" }
        let down = paths.filter { $0.state != .present }
        guard let path = down.first(where: { $0.facts["drained"] == nil }) ?? down.first, let host = path.facts["host"],
            let endpoint = path.facts["endpoint"]
        else { return nil }
        if path.facts["refused"] == "yes" { return "make rack.yaml and storaged on \(host) agree" }
        if path.facts["drained"] == "yes" { return "storaged undrain on \(host), once the work there is done" }
        if path.facts["session"] == nil { return "check \(host) \(endpoint), then: attach up" }
        return "check \(host) \(endpoint): attach discover \(endpoint)"
    }

    private func label(_ object: ObservedObject) -> String { object.name }
}
