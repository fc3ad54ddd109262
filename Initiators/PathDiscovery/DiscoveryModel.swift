/// What CHAP needs, with MD5, the one algorithm that libiscsi knows. The secrets in it are shown in no text.
public struct DiscoveryCredentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The name that is proved, which storaged wants to be our iSCSI name.
    public var name: String
    /// What we prove to know; at most 255 bytes, none of them zero.
    var secret: [UInt8]
    /// What targets have to prove to know; nil where they need prove nothing.
    var targetSecret: [UInt8]?
    /// The name that a portal proves in a discovery session; in others it is the target's.
    var discoveryName: String

    /// Credentials, with secrets as CHAP hashes them.
    public init(name: String, secret: [UInt8], targetSecret: [UInt8]?, discoveryName: String) {
        self.name = name
        self.secret = secret
        self.targetSecret = targetSecret
        self.discoveryName = discoveryName
    }

    /// The name; the secrets do not show.
    public var description: String { "CHAP of \(name)\(targetSecret == nil ? "" : ", mutual")" }
    /// The same.
    public var debugDescription: String { description }
    /// Nothing inside.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// How discovery goes about it, with its bounds.
///
/// All bounds are there because what is asked may be hostile. In the worst case memory is `concurrency` times one
/// command's buffer (64 KiB) plus `maximumPaths` rows of less than 1 KiB.
public struct DiscoveryOptions: Hashable, Sendable {
    /// Our iSCSI name.
    public var initiatorName: String
    /// What is proved by CHAP at every login, and asked of targets; nil for none.
    public var credentials: DiscoveryCredentials?
    /// How long a TCP connection may take. A dead portal costs this once, however many targets it is said to have.
    public var connectTimeoutSeconds: Double = 3
    /// How long a login, or one command, may take.
    public var commandTimeoutSeconds: Double = 5
    /// The targets to log in to; nil for all that are listed.
    public var targetNames: Set<String>?
    /// Whether targets are logged in to and their units asked; false ends with the list of targets.
    public var probesUnits = true
    /// Whether portals that targets name and the caller did not are tried too.
    public var followsReportedPortals = true
    /// How many portals are talked to at the same time.
    public var concurrency = 16
    /// Targets taken from one portal's list.
    public var maximumTargets = 4096
    /// Portals taken for one target.
    public var maximumPortalsPerTarget = 64
    /// Units taken from one target's list.
    public var maximumUnitsPerTarget = 256
    /// Rows in all.
    public var maximumPaths = 65_536

    /// Options with the bounds and times above.
    public init(initiatorName: String) { self.initiatorName = initiatorName }
}

/// A target as a portal listed it.
public struct DiscoveredTarget: Hashable, Sendable {
    /// A portal of a target and its portal group tag.
    public struct Portal: Hashable, Sendable {
        /// The portal.
        public var portal: ISCSIPortal
        /// The target portal group tag; nil when it was not said.
        public var portalGroupTag: Int?

        /// A portal with its tag.
        public init(portal: ISCSIPortal, portalGroupTag: Int?) {
            self.portal = portal
            self.portalGroupTag = portalGroupTag
        }
    }

    /// The iSCSI target's name.
    public var name: String
    /// Its portals, in the order they were listed.
    public var portals: [Portal]

    /// A target with its portals.
    public init(name: String, portals: [Portal]) {
        self.name = name
        self.portals = portals
    }
}

/// What came of one portal that was asked for its targets.
public struct PortalReport: Hashable, Sendable {
    /// The portal.
    public var portal: ISCSIPortal
    /// The targets it listed; empty after an error.
    public var targets: [DiscoveredTarget]
    /// Why it listed none.
    public var error: DiscoveryError?
    /// How long it took.
    public var seconds: Double

    /// From its parts, for tests and simulations.
    public init(
        portal: ISCSIPortal, targets: [DiscoveredTarget], error: DiscoveryError? = nil, seconds: Double
    ) {
        self.portal = portal
        self.targets = targets
        self.error = error
        self.seconds = seconds
    }
}

/// One row: a unit through one portal of its target, or why there is no unit to show there.
public struct DiscoveredPath: Hashable, Sendable {
    /// The portal.
    public var portal: ISCSIPortal
    /// The iSCSI target's name.
    public var targetName: String
    /// The target portal group tag.
    public var portalGroupTag: Int?
    /// The unit; nil when the target could not be asked for its units.
    public var lun: UInt64?
    /// The unit's name in scsi_id's form (`3` + 16 or 32 hex digits for NAA); nil when it has none.
    public var wwid: String?
    /// The unit serial number (VPD page 80h).
    public var serialNumber: String?
    /// Size in bytes.
    public var sizeBytes: UInt64?
    /// Logical block size in bytes.
    public var blockBytes: UInt32?
    /// Peripheral device type (SPC-4, table 138); 0 is a disk.
    public var deviceType: UInt8?
    /// T10 vendor identification.
    public var vendor: String?
    /// Product identification.
    public var product: String?
    /// Product revision level.
    public var revision: String?
    /// The relative target port identifier of this port (VPD page 83h).
    public var relativeTargetPort: UInt16?
    /// The target port group of this port (VPD page 83h).
    public var targetPortGroup: UInt16?
    /// That group's asymmetric access state, where the unit reports it.
    public var accessState: AccessState?
    /// What failed; a row with an error may still hold what was learnt before it.
    public var error: DiscoveryError?

    /// Whether it is a disk (peripheral device type 0, or 0Eh). tgt shows a controller as LUN 0 of every target.
    public var isDisk: Bool { deviceType == 0 || deviceType == 0x0E }

    /// A row of which nothing more is known yet.
    public init(portal: ISCSIPortal, targetName: String, portalGroupTag: Int?) {
        self.portal = portal
        self.targetName = targetName
        self.portalGroupTag = portalGroupTag
    }
}

/// The paths that belong together: the same unit by its WWID.
public struct DiscoveredUnit: Hashable, Sendable {
    /// The unit's name.
    public var wwid: String
    /// Its paths, ordered by target and portal.
    public var paths: [DiscoveredPath]

    /// From its parts, for tests and simulations.
    public init(
        wwid: String, paths: [DiscoveredPath]
    ) {
        self.wwid = wwid
        self.paths = paths
    }

    /// The size, when all paths that gave one gave the same.
    public var sizeBytes: UInt64? { Self.same(paths.compactMap(\.sizeBytes)) }
    /// The block size, when all paths that gave one gave the same.
    public var blockBytes: UInt32? { Self.same(paths.compactMap(\.blockBytes)) }

    /// What contradicts that these are one unit: different sizes, block sizes or targets. Two targets with one WWID are
    /// two disks that multipath would merge, unless they are meant to be one.
    public var contradictions: [String] {
        var found: [String] = []
        let sizes = Set(paths.compactMap(\.sizeBytes))
        if sizes.count > 1 { found.append("sizes \(sizes.sorted().map(String.init).joined(separator: ", ")) bytes") }
        let blocks = Set(paths.compactMap(\.blockBytes))
        if blocks.count > 1 {
            found.append("block sizes \(blocks.sorted().map(String.init).joined(separator: ", ")) bytes")
        }
        let targets = Set(paths.map(\.targetName))
        if targets.count > 1 { found.append("targets \(targets.sorted().joined(separator: ", "))") }
        return found
    }

    private static func same<N: Equatable>(_ values: [N]) -> N? {
        guard let first = values.first, values.allSatisfy({ $0 == first }) else { return nil }
        return first
    }

    /// Groups the rows of disks by WWID; others, and rows without a WWID, are in no unit.
    public static func grouping(_ paths: [DiscoveredPath]) -> [DiscoveredUnit] {
        var units: [String: [DiscoveredPath]] = [:]
        for path in paths where path.isDisk {
            if let wwid = path.wwid { units[wwid, default: []].append(path) }
        }
        return units.map { DiscoveredUnit(wwid: $0.key, paths: $0.value) }.sorted { $0.wwid < $1.wwid }
    }
}

/// What a discovery found.
public struct DiscoveryResult: Hashable, Sendable {
    /// The portals asked for targets, in the order they were given.
    public var portals: [PortalReport]
    /// All rows, ordered by target, LUN and portal.
    public var paths: [DiscoveredPath]

    /// From its parts, for tests and simulations.
    public init(
        portals: [PortalReport], paths: [DiscoveredPath]
    ) {
        self.portals = portals
        self.paths = paths
    }

    /// Which paths belong together.
    public var units: [DiscoveredUnit] { DiscoveredUnit.grouping(paths) }
    /// Every failure, portals first.
    public var errors: [DiscoveryError] { portals.compactMap(\.error) + paths.compactMap(\.error) }
}
