/// The status of one dm-multipath map, as the kernel reports it (dm-mpath.c, multipath_status with STATUSTYPE_INFO):
///
///     2 <waits for group initialisation> <group initialisations> <#handler words> <words>
///         <#groups> <current group>
///         { <A|E|D> <#selector words> <words> <#paths> <#words a path> { <major:minor> <A|F> <failures> <words> } }
///
/// Whether the map queues without paths is no part of it: that is the table's `queueIfNoPath`.
public struct MultipathStatus: Hashable, Sendable {
    /// What the kernel does with a path group.
    public enum GroupState: String, Hashable, Sendable {
        /// I/O goes here.
        case active = "A"
        /// May be used when those before it fail.
        case enabled = "E"
        /// Bypassed on request (`disable_group`).
        case disabled = "D"
    }

    /// One path as the kernel sees it.
    public struct Path: Hashable, Sendable {
        /// The path's block device.
        public var device: DMDeviceNumber
        /// True for `A`; false for `F`, a path set aside after an error or on request.
        public var isActive: Bool
        /// How often the kernel failed this path since the table was loaded.
        public var failCount: UInt32
        /// What the selector says of it (service-time: bytes in flight, throughput; queue-length: requests in flight).
        public var selectorStatus: [String]

        /// A path's status from its parts.
        public init(device: DMDeviceNumber, isActive: Bool, failCount: UInt32, selectorStatus: [String] = []) {
            self.device = device
            self.isActive = isActive
            self.failCount = failCount
            self.selectorStatus = selectorStatus
        }
    }

    /// One path group as the kernel sees it.
    public struct PathGroup: Hashable, Sendable {
        /// Whether I/O goes there.
        public var state: GroupState
        /// What the selector says of the group.
        public var selectorStatus: [String]
        /// Its paths, in table order.
        public var paths: [Path]

        /// A group's status from its parts.
        public init(state: GroupState, selectorStatus: [String] = [], paths: [Path]) {
            self.state = state
            self.selectorStatus = selectorStatus
            self.paths = paths
        }
    }

    /// Whether I/O waits for the initialisation of a path group.
    public var isWaitingForGroupInit: Bool
    /// How many initialisations run.
    public var groupInitCount: UInt32
    /// The hardware handler's status words.
    public var hardwareHandlerStatus: [String]
    /// The group in use or to be used next, counted from 1; 0 when there are none.
    public var currentGroup: Int
    /// The groups, in table order.
    public var groups: [PathGroup]

    /// A status from its parts.
    public init(
        isWaitingForGroupInit: Bool = false, groupInitCount: UInt32 = 0, hardwareHandlerStatus: [String] = [],
        currentGroup: Int, groups: [PathGroup]
    ) {
        self.isWaitingForGroupInit = isWaitingForGroupInit
        self.groupInitCount = groupInitCount
        self.hardwareHandlerStatus = hardwareHandlerStatus
        self.currentGroup = currentGroup
        self.groups = groups
    }

    /// All paths, group by group.
    public var paths: [Path] { groups.flatMap(\.paths) }
    /// How many paths the kernel would use.
    public var activePathCount: Int { paths.count { $0.isActive } }

    /// The path on `device`, if it is in the map.
    public func path(_ device: DMDeviceNumber) -> Path? { paths.first { $0.device == device } }

    /// Parses a status line. Never traps, whatever the text is.
    public init(parsing text: String) throws(DMTextError) {
        var fields = DMTextFields(text)
        let atStart = fields
        let features = try fields.counted("status features")
        guard features.count >= 2, let waiting = DMTextFields.number(Substring(features[0]), upTo: UInt32(1)),
            let initialisations = DMTextFields.number(Substring(features[1]), upTo: UInt32.max)
        else { throw atStart.failure("'2', a flag and a count of group initialisations") }
        self.init(
            isWaitingForGroupInit: waiting == 1, groupInitCount: initialisations, currentGroup: 0, groups: [])
        hardwareHandlerStatus = try fields.counted("hardware handler status words")
        let groupCount = try fields.count("a number of path groups")
        let current: UInt32 = try fields.number("the current path group", upTo: UInt32(groupCount))
        currentGroup = Int(current)
        for _ in 0..<groupCount {
            let beforeState = fields
            guard let state = GroupState(rawValue: try fields.word("a path group's state")) else {
                throw beforeState.failure("a path group's state, A, E or D")
            }
            let selectorStatus = try fields.counted("selector status words")
            let pathCount = try fields.count("a number of paths")
            let width: UInt32 = try fields.number("a number of status words a path", upTo: 1024)
            var paths: [Path] = []
            for _ in 0..<pathCount { paths.append(try Self.path(&fields, width: Int(width))) }
            groups.append(PathGroup(state: state, selectorStatus: selectorStatus, paths: paths))
        }
        try fields.end()
    }

    private static func path(_ fields: inout DMTextFields, width: Int) throws(DMTextError) -> Path {
        let beforeDevice = fields
        guard let device = DMDeviceNumber(try fields.word("a path's major:minor")) else {
            throw beforeDevice.failure("a path's major:minor")
        }
        let beforeState = fields
        let state = try fields.word("a path's state")
        guard state == "A" || state == "F" else { throw beforeState.failure("a path's state, A or F") }
        return Path(
            device: device, isActive: state == "A", failCount: try fields.number("a number of failures"),
            selectorStatus: try fields.words(width, "path status words"))
    }
}
