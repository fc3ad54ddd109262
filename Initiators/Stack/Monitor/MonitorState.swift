import Glibc

/// What the monitor knows, as it writes it for `status` and for the next monitor.
public struct MonitorState: Sendable, Equatable {
    /// What the monitor found of a path.
    public enum PathState: String, Sendable {
        /// Takes I/O.
        case up
        /// Does not.
        case down
        /// Is another unit than the inventory wants, and is kept out of the map.
        case refused
    }

    /// One path of a map.
    public struct Path: Sendable, Equatable {
        /// The portal, `10.77.0.21:3260`.
        public var endpoint: String
        /// The block device, `sdb`; empty while there is none.
        public var device: String
        /// What was found.
        public var state: PathState
        /// Since when, Unix time.
        public var sinceSeconds: Int
        /// Why it is not up; empty when it is.
        public var reason: String
        /// How long the last good check took.
        public var latencyMilliseconds: Double?
        /// How often it went down since the monitor began.
        public var failures: Int

        /// Makes a path's state.
        public init(
            endpoint: String, device: String, state: PathState, sinceSeconds: Int, reason: String = "",
            latencyMilliseconds: Double? = nil, failures: Int = 0
        ) {
            self.endpoint = endpoint
            self.device = device
            self.state = state
            self.sinceSeconds = sinceSeconds
            self.reason = reason
            self.latencyMilliseconds = latencyMilliseconds
            self.failures = failures
        }
    }

    /// One map.
    public struct Map: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Whether it queues I/O while no path is left.
        public var isQueueing: Bool
        /// Since when no path has been up, Unix time; nil while one is.
        public var allDownSinceSeconds: Int?
        /// Its paths.
        public var paths: [Path]

        /// Makes a map's state.
        public init(name: String, isQueueing: Bool, allDownSinceSeconds: Int? = nil, paths: [Path]) {
            self.name = name
            self.isQueueing = isQueueing
            self.allDownSinceSeconds = allDownSinceSeconds
            self.paths = paths
        }
    }

    /// The monitor's process.
    public var pid: Int32
    /// Fingerprint of the inventory it works from.
    public var inventory: String
    /// Whether its first round of checks is over.
    public var isReady: Bool
    /// When it wrote this, Unix time.
    public var writtenSeconds: Int
    /// The maps it cares for.
    public var maps: [Map]

    /// Makes a state.
    public init(pid: Int32, inventory: String, isReady: Bool, writtenSeconds: Int, maps: [Map]) {
        self.pid = pid
        self.inventory = inventory
        self.isReady = isReady
        self.writtenSeconds = writtenSeconds
        self.maps = maps
    }

    /// One path of one map.
    public func path(_ map: String, _ endpoint: String) -> Path? {
        maps.first { $0.name == map }?.paths.first { $0.endpoint == endpoint }
    }

    /// The state that a living monitor left at `path`; nil when there is none, or its monitor is gone.
    public static func read(path: String) -> MonitorState? {
        guard let text = readTextFile(path), let json = JSONValue(parsing: text), let state = MonitorState(json) else {
            return nil
        }
        return DaemonProcess.state(of: state.pid) == .running ? state : nil
    }

    /// The state as JSON, schema `attach.monitor/1`.
    public var json: JSONValue {
        .object([
            ("schema", .string("attach.monitor/1")), ("pid", .integer(Int(pid))), ("inventory", .string(inventory)),
            ("ready", .bool(isReady)), ("written", .integer(writtenSeconds)),
            (
                "maps",
                .array(
                    maps.map { map in
                        .object([
                            ("name", .string(map.name)), ("queueing", .bool(map.isQueueing)),
                            ("all_down_since", map.allDownSinceSeconds.map(JSONValue.integer) ?? .null),
                            ("paths", .array(map.paths.map(\.json))),
                        ])
                    })
            ),
        ])
    }

    /// Reads a state back; nil for anything else.
    public init?(_ json: JSONValue) {
        guard json["schema"]?.text == "attach.monitor/1", let pid = json["pid"]?.integer,
            let maps = json["maps"]?.elements
        else { return nil }
        self.init(
            pid: Int32(truncatingIfNeeded: pid), inventory: json["inventory"]?.text ?? "",
            isReady: json["ready"]?.bool ?? false, writtenSeconds: json["written"]?.integer ?? 0,
            maps: maps.compactMap { map in
                guard let name = map["name"]?.text else { return nil }
                return Map(
                    name: name, isQueueing: map["queueing"]?.bool ?? false,
                    allDownSinceSeconds: map["all_down_since"]?.integer,
                    paths: (map["paths"]?.elements ?? []).compactMap(Path.init))
            })
    }
}

extension MonitorState.Path {
    var json: JSONValue {
        .object([
            ("endpoint", .string(endpoint)), ("device", .string(device)), ("state", .string(state.rawValue)),
            ("since", .integer(sinceSeconds)), ("reason", .string(reason)),
            ("latency_ms", latencyMilliseconds.map(JSONValue.number) ?? .null), ("failures", .integer(failures)),
        ])
    }

    init?(_ json: JSONValue) {
        guard let endpoint = json["endpoint"]?.text,
            let state = json["state"]?.text.flatMap(MonitorState.PathState.init)
        else { return nil }
        let latency: Double? =
            switch json["latency_ms"] {
            case .number(let number)?: number
            case .integer(let number)?: Double(number)
            default: nil
            }
        self.init(
            endpoint: endpoint, device: json["device"]?.text ?? "", state: state,
            sinceSeconds: json["since"]?.integer ?? 0, reason: json["reason"]?.text ?? "", latencyMilliseconds: latency,
            failures: json["failures"]?.integer ?? 0)
    }
}
