/// The table of one dm-multipath map: features, hardware handler, path groups.
///
/// The line it writes and reads is dm-mpath's (Linux, drivers/md/dm-mpath.c):
///
///     <#features> <features> <#handler words> <handler> <#groups> <initial group>
///         { <selector> <#selector words> <words> <#paths> <#words a path> { <major:minor> <words> } }
///
/// The target's start, length and type are not part of it: `DMTarget` has those.
public struct MultipathTable: Hashable, Sendable {
    /// What request-based multipath runs on.
    public enum QueueMode: String, Hashable, Sendable {
        /// blk-mq requests with the path's scheduler left out: the kernel's default.
        case multiQueue = "mq"
        /// The old name of request-based; the same as `mq` on today's kernels.
        case request = "rq"
        /// Whole bios, not requests.
        case bio
    }

    /// How the kernel chooses among the paths of the active group.
    public struct PathSelector: Hashable, Sendable, CustomStringConvertible {
        /// The selector's name, which is also its module's without `dm-`.
        public var name: String
        /// Words of the selector itself (the common three have none).
        public var arguments: [String]

        /// A selector by name and words of its own.
        public init(name: String, arguments: [String] = []) {
            self.name = name
            self.arguments = arguments
        }

        /// Parses multipath.conf's form, `service-time 0`: a name, a count, that many words.
        public init(parsing text: String) throws(DMTextError) {
            var fields = DMTextFields(text)
            name = try fields.word("a path selector")
            arguments = fields.left == 0 ? [] : try fields.counted("selector arguments")
            try fields.end()
        }

        /// The path with the least outstanding bytes for its throughput.
        public static let serviceTime = PathSelector(name: "service-time")
        /// One path after the other.
        public static let roundRobin = PathSelector(name: "round-robin")
        /// The path with the fewest requests in flight.
        public static let queueLength = PathSelector(name: "queue-length")

        /// The words that a path of this selector gets when nothing else is wanted: the repeat count 1, and for
        /// service-time the relative throughput 1. Empty for a selector this module does not know.
        public var defaultPathArguments: [String] {
            switch name {
            case "service-time": ["1", "1"]
            case "round-robin", "queue-length": ["1"]
            default: []
            }
        }

        /// `service-time 0`.
        public var description: String { ([name, "\(arguments.count)"] + arguments).joined(separator: " ") }
    }

    /// One path: a device and what the selector wants to know of it.
    public struct Path: Hashable, Sendable {
        /// The path's block device.
        public var device: DMDeviceNumber
        /// Words for the selector; every path of a group has equally many.
        public var selectorArguments: [String]

        /// A path with its selector words.
        public init(device: DMDeviceNumber, selectorArguments: [String]) {
            self.device = device
            self.selectorArguments = selectorArguments
        }
    }

    /// Paths among which the selector chooses; the groups are tried in order.
    public struct PathGroup: Hashable, Sendable {
        /// The group's selector.
        public var selector: PathSelector
        /// The paths, in table order.
        public var paths: [Path]

        /// A group from complete paths.
        public init(selector: PathSelector, paths: [Path]) {
            self.selector = selector
            self.paths = paths
        }

        /// A group of devices with the selector's default words (repeat count 1).
        public init(selector: PathSelector, devices: [DMDeviceNumber]) {
            self.init(
                selector: selector,
                paths: devices.map { Path(device: $0, selectorArguments: selector.defaultPathArguments) })
        }
    }

    /// Whether I/O waits when no path is left (feature `queue_if_no_path`).
    public var queueIfNoPath: Bool
    /// Whether a hardware handler that the SCSI layer attached is kept (feature `retain_attached_hw_handler`; the
    /// kernel keeps it anyhow since 4.3 and merely echoes the word).
    public var retainAttachedHardwareHandler: Bool
    /// How often initialising a path group is repeated (feature `pg_init_retries`).
    public var pathGroupInitRetries: UInt32?
    /// The pause between those (feature `pg_init_delay_msecs`).
    public var pathGroupInitDelayMilliseconds: UInt32?
    /// The queue mode (feature `queue_mode`); nil for the kernel's default.
    public var queueMode: QueueMode?
    /// Feature words this module does not know, kept as they were.
    public var otherFeatures: [String]
    /// The hardware handler's name and its arguments; empty for none.
    public var hardwareHandler: [String]
    /// The path groups, best first.
    public var groups: [PathGroup]
    /// The group to begin with, counted from 1.
    public var initialGroup: Int

    /// A table with the groups given; everything else is off unless said.
    public init(
        queueIfNoPath: Bool = false, retainAttachedHardwareHandler: Bool = false, pathGroupInitRetries: UInt32? = nil,
        pathGroupInitDelayMilliseconds: UInt32? = nil, queueMode: QueueMode? = nil, otherFeatures: [String] = [],
        hardwareHandler: [String] = [], groups: [PathGroup], initialGroup: Int = 1
    ) {
        self.queueIfNoPath = queueIfNoPath
        self.retainAttachedHardwareHandler = retainAttachedHardwareHandler
        self.pathGroupInitRetries = pathGroupInitRetries
        self.pathGroupInitDelayMilliseconds = pathGroupInitDelayMilliseconds
        self.queueMode = queueMode
        self.otherFeatures = otherFeatures
        self.hardwareHandler = hardwareHandler
        self.groups = groups
        self.initialGroup = initialGroup
    }

    /// Every path's device, group by group.
    public var devices: [DMDeviceNumber] { groups.flatMap { $0.paths.map(\.device) } }

    /// The feature words in the kernel's own order.
    public var features: [String] {
        var words: [String] = []
        if queueIfNoPath { words.append("queue_if_no_path") }
        if let pathGroupInitRetries { words += ["pg_init_retries", "\(pathGroupInitRetries)"] }
        if let pathGroupInitDelayMilliseconds { words += ["pg_init_delay_msecs", "\(pathGroupInitDelayMilliseconds)"] }
        if retainAttachedHardwareHandler { words.append("retain_attached_hw_handler") }
        if let queueMode { words += ["queue_mode", queueMode.rawValue] }
        return words + otherFeatures
    }

    /// The line for the kernel.
    ///
    /// A map without groups is legal (`0 0 0 0`) and queues or fails everything; its initial group is then 0.
    public var line: String {
        let features = features
        var words = ["\(features.count)"] + features + ["\(hardwareHandler.count)"] + hardwareHandler
        words += ["\(groups.count)", "\(groups.isEmpty ? 0 : initialGroup)"]
        for group in groups {
            words += [group.selector.name, "\(group.selector.arguments.count)"] + group.selector.arguments
            words += ["\(group.paths.count)", "\(group.paths.first?.selectorArguments.count ?? 0)"]
            for path in group.paths { words += [path.device.description] + path.selectorArguments }
        }
        return words.joined(separator: " ")
    }

    /// Parses a table line, as the kernel returns it or as written above. Never traps, whatever the text is.
    public init(parsing text: String) throws(DMTextError) {
        var fields = DMTextFields(text)
        self.init(groups: [])
        try takeFeatures(fields.counted("features"), at: fields)
        hardwareHandler = try fields.counted("hardware handler arguments")
        let groupCount = try fields.count("a number of path groups")
        let initial: UInt32 = try fields.number("an initial path group", upTo: UInt32(groupCount))
        for _ in 0..<groupCount {
            let name = try fields.word("a path selector")
            let selector = PathSelector(name: name, arguments: try fields.counted("selector arguments"))
            let pathCount = try fields.count("a number of paths")
            let width: UInt32 = try fields.number("a number of arguments a path", upTo: 1024)
            var paths: [Path] = []
            for _ in 0..<pathCount {
                let expected = "a path's major:minor"
                let before = fields
                guard let device = DMDeviceNumber(try fields.word(expected)) else { throw before.failure(expected) }
                paths.append(Path(device: device, selectorArguments: try fields.words(Int(width), "path arguments")))
            }
            groups.append(PathGroup(selector: selector, paths: paths))
        }
        try fields.end()
        initialGroup = groups.isEmpty ? 1 : Int(initial)
    }

    private mutating func takeFeatures(_ words: [String], at fields: DMTextFields) throws(DMTextError) {
        var index = 0
        func argument() -> String? { index + 1 < words.count ? words[index + 1] : nil }
        while index < words.count {
            let value = argument().flatMap { DMTextFields.number(Substring($0), upTo: UInt32.max) }
            switch words[index] {
            case "queue_if_no_path": queueIfNoPath = true
            case "retain_attached_hw_handler": retainAttachedHardwareHandler = true
            case "pg_init_retries":
                guard let value else { throw fields.failure("a number after pg_init_retries") }
                pathGroupInitRetries = value
                index += 1
            case "pg_init_delay_msecs":
                guard let value else { throw fields.failure("a number after pg_init_delay_msecs") }
                pathGroupInitDelayMilliseconds = value
                index += 1
            case "queue_mode":
                guard let mode = argument().flatMap(QueueMode.init) else {
                    throw fields.failure("mq, rq or bio after queue_mode")
                }
                queueMode = mode
                index += 1
            default: otherFeatures.append(words[index])
            }
            index += 1
        }
    }
}
