import Rack

/// The layers of the stack, in the order they are brought up. `down` walks them backwards.
public enum LayerKind: String, CaseIterable, Sendable, Comparable {
    case sessions
    case paths
    case maps
    case membership
    case locks
    case volumeGroup = "volume-group"
    case volume
    case filesystem

    /// Position in the bring-up order, 0 for the lowest layer.
    public var height: Int { Self.allCases.firstIndex(of: self)! }

    /// A lower layer comes first.
    public static func < (left: LayerKind, right: LayerKind) -> Bool { left.height < right.height }
}

/// What a layer found for one object, compared with the inventory.
public enum ObjectState: String, Sendable {
    /// As the inventory asks, and working.
    case present
    /// Not there.
    case absent
    /// There, working in part (a map with a failed path, a session that is reconnecting).
    case degraded
    /// There and not working, or there and contrary to the inventory (`detail` says how).
    case wrong
    /// There and not ours: another program's, or not in the inventory. Never touched.
    case foreign
    /// Could not be observed; `detail` says why.
    case unknown
}

/// One observed object of a layer, as `status` prints it and the planner compares it.
public struct ObservedObject: Sendable {
    /// The layer it belongs to.
    public var layer: LayerKind
    /// The object's name as the user knows it: `mpath0`, `10.77.0.21:3260 mpath0`, `VG0`, `/mnt`.
    public var name: String
    /// The name of the object of a higher layer that this one carries (a path's map, a map's volume group), if any.
    public var parent: String?
    /// What was found.
    public var state: ObjectState
    /// One line for people: what is wrong, or the figures worth knowing. Empty when there is nothing to say.
    public var detail: String
    /// Named facts for `--json` and the tree (`device`, `wwid`, `size_bytes`, `queueing`, `holders`); values as text.
    public var facts: [String: String]

    /// Makes an observation of one object.
    public init(
        layer: LayerKind, name: String, parent: String? = nil, state: ObjectState, detail: String = "",
        facts: [String: String] = [:]
    ) {
        self.layer = layer
        self.name = name
        self.parent = parent
        self.state = state
        self.detail = detail
        self.facts = facts
    }
}

/// Everything the layers saw in one look, the single source for `plan`, `up`, `down` and `status`.
public struct StackObservation: Sendable {
    /// All objects, lowest layer first.
    public var objects: [ObservedObject]

    /// Makes an observation from its objects.
    public init(objects: [ObservedObject] = []) { self.objects = objects }

    /// The objects of one layer.
    public func objects(of layer: LayerKind) -> [ObservedObject] { objects.filter { $0.layer == layer } }

    /// The object of that layer and name.
    public func object(_ layer: LayerKind, _ name: String) -> ObservedObject? {
        objects.first { $0.layer == layer && $0.name == name }
    }
}

/// What a step did, in the words of the report.
public enum StepOutcome: String, Sendable {
    case alreadyThere = "already there"
    case created
    case changed
    case removed
}

/// One thing to do. Steps are idempotent: running one whose work is done answers `alreadyThere`.
public struct Step: Sendable {
    /// The layer that asks for it.
    public var layer: LayerKind
    /// What it does, in the imperative: `log in mpath0 via 10.77.0.21:3260`.
    public var name: String
    /// The object it acts on, as in `ObservedObject.name`.
    public var object: String
    /// The step fails when it has not ended by then; whatever it started is ended.
    public var deadlineSeconds: Int
    /// Steps of one layer that share a group number run at the same time; groups run in ascending order.
    public var group: Int
    /// Whether the run goes on when this step fails (one portal of several is down). The failure is reported, and the
    /// layer's `verifyUp` decides whether what is left is enough.
    public var toleratesFailure: Bool
    /// Carries it out.
    public var run: @Sendable () async throws -> StepOutcome

    /// Makes a step.
    public init(
        layer: LayerKind, name: String, object: String, deadlineSeconds: Int, group: Int = 0,
        toleratesFailure: Bool = false, run: @escaping @Sendable () async throws -> StepOutcome
    ) {
        self.layer = layer
        self.name = name
        self.object = object
        self.deadlineSeconds = deadlineSeconds
        self.group = group
        self.toleratesFailure = toleratesFailure
        self.run = run
    }
}

/// What one client is to have, taken out of the inventory: the part of the rack this run of `attach` cares for.
public struct StackScope: Sendable {
    /// The whole inventory.
    public var inventory: Inventory
    /// The client that this host is.
    public var client: Client
    /// The volumes wanted (all that the wanted filesystems need, or one, or all of the inventory).
    public var volumes: [Volume]
    /// The volume groups wanted.
    public var volumeGroups: [VolumeGroup]
    /// The filesystems wanted.
    public var filesystems: [Filesystem]
    /// Whether this client is the one that the inventory names first, which creates what is to be made once.
    public var isFirstClient: Bool

    /// Makes a scope.
    public init(
        inventory: Inventory, client: Client, volumes: [Volume], volumeGroups: [VolumeGroup],
        filesystems: [Filesystem], isFirstClient: Bool
    ) {
        self.inventory = inventory
        self.client = client
        self.volumes = volumes
        self.volumeGroups = volumeGroups
        self.filesystems = filesystems
        self.isFirstClient = isFirstClient
    }
}

/// One layer of the stack: it can say what is, and what to do about the difference, and does nothing by itself.
///
/// `observe` never changes anything and never waits for long; what it cannot see it reports as `unknown`. The planner
/// calls `stepsUp` with an observation made after every lower layer reached its goal, so a layer may rely on what lies
/// below; for `plan` on a stack that is down it is called with the lower objects absent and then names the steps it
/// would take (their `run` is not called).
public protocol Layer: Sendable {
    /// Which layer this is.
    var kind: LayerKind { get }
    /// What is there now, wanted or left over; objects that the inventory wants and that are missing are `absent`.
    func observe(_ scope: StackScope) async -> [ObservedObject]
    /// The steps from `observation` to what the inventory wants; empty when it is there.
    func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step]
    /// The steps that take this layer's objects away; empty when there are none. Foreign objects are left alone.
    func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step]
    /// Every reason why this layer cannot be taken down now (a mount in use, a device held by another program). `down`
    /// asks all layers before it touches the first object. A layer may throw its reason from `stepsDown` instead.
    func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError]
    /// The programs and kernel modules that this layer needs and the host has not. `up` asks all layers before its first
    /// step, so that nothing is left half done for want of a package.
    func missing(_ scope: StackScope) -> [StackError]
    /// Reasons, to be seen now, why this layer will not come up (foreign data on a map, multipathd). `up` asks all layers
    /// before its first step, and those above each one that it has brought up, so that no cluster is started below data
    /// that it must not touch.
    func obstaclesUp(_ scope: StackScope, _ observation: StackObservation) async -> [StackError]
    /// Throws when the layer, its steps done, is not good enough for the layers above. That no step is left which must
    /// not fail is checked already.
    func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws
}

extension Layer {
    /// Nothing stands in the way.
    public func refusalsDown(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] { [] }
    /// Nothing is.
    public func missing(_ scope: StackScope) -> [StackError] { [] }
    /// None to be seen.
    public func obstaclesUp(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] { [] }
    /// Whatever has no steps left is good enough.
    public func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws {}
}

/// An error a user can act on.
public struct StackError: Error, Sendable, CustomStringConvertible {
    /// The documented kinds, each with an exit code of its own (printed in the manual).
    public enum Kind: Int32, Sendable {
        /// Something outside the documented kinds.
        case failed = 1
        /// Not root, where root is needed.
        case noRoot = 10
        /// The inventory is wrong, or this host is not in it.
        case inventory = 11
        /// A program or kernel module that is needed is missing.
        case missing = 12
        /// A device, mount or lock is in use; the holders are named.
        case busy = 13
        /// What was found contradicts the inventory (WWID, size, foreign data, a differing configuration).
        case mismatch = 14
        /// A deadline passed.
        case deadline = 15
        /// No path to a volume could be brought up, or a login was refused.
        case noPath = 16
        /// Another run of attach is under way on this host.
        case locked = 17
        /// This client's CHAP secrets are missing, too short, or could be read by others.
        case secrets = 18
    }

    /// Which kind, and so which exit code.
    public var kind: Kind
    /// The object it is about.
    public var object: String
    /// What happened.
    public var cause: String
    /// What to do next, preferably a command to type.
    public var advice: String

    /// Makes an error.
    public init(_ kind: Kind, object: String, cause: String, advice: String) {
        self.kind = kind
        self.object = object
        self.cause = cause
        self.advice = advice
    }

    /// One line: what it is about, what happened, what to do.
    public var description: String { "\(object): \(cause); \(advice)" }
}
