import BlockStore
import Glibc
import Rack
import TargetServer

/// What one host is to serve, taken from an inventory: everything the server needs except the open files.
struct ServingPlan {
    /// A volume of this host.
    struct PlannedVolume {
        var volume: Volume
        var portalGroups: [PortalGroupConfiguration]
        /// Those that see it; nil for anybody.
        var initiators: [Initiator]?
    }

    var hostName: String
    var portals: [ServerPortal]
    var volumes: [PlannedVolume]
    /// What the inventory says of the daemon's bounds.
    private let declaredLimits: DaemonLimits
    /// Whether `storaged fault` may be used.
    var allowsFaults: Bool
    /// How initiators prove who they are; nil when nobody has to.
    let authentication: Authentication?
    /// All that may log in; empty for anybody.
    let initiators: [Initiator]
    private let discoveryName: String
    /// The secrets of `initiators` by name, once `readSecrets` has read them.
    private var secrets: [String: ChapSecrets] = [:]
    /// Seconds between pings, where it is another than the daemon's own.
    var nopIntervalSeconds: Int?

    /// This host's part of an inventory.
    init(_ inventory: Inventory, hostName: String) throws(CommandFailure) {
        guard let host = inventory.host(named: hostName) else {
            let known = inventory.hosts.map(\.name).joined(separator: ", ")
            throw CommandFailure(
                .inventory,
                "storaged: host \(hostName) is not in the inventory; give one of these with --host: \(known)")
        }
        var groups: [PortalGroupConfiguration] = []
        for portal in host.portals {
            let address = ServerPortal(address: try Addresses.literal(portal.address), port: portal.port)
            if groups.contains(where: { $0.portal == address }) {
                throw CommandFailure(
                    .inventory,
                    "storaged: portal \(portal.endpoint) is \(address), as another portal of \(hostName) is; "
                        + "give each portal an address of its own")
            }
            groups.append(PortalGroupConfiguration(portal: address, tag: portal.tag, group: portal.groupIdentifier))
        }
        self.hostName = hostName
        declaredLimits = inventory.limits
        allowsFaults = inventory.allowsFaultInjection
        portals = groups.map(\.portal)
        volumes = inventory.volumes(servedBy: hostName).map {
            PlannedVolume(volume: $0, portalGroups: groups, initiators: inventory.initiators(seeing: $0))
        }
        authentication = inventory.authentication
        initiators = inventory.declaredInitiators
        discoveryName = inventory.discoveryName
    }

    /// Reads the secrets of everybody that may log in, where they are needed; every problem is in the failure.
    mutating func readSecrets() throws(CommandFailure) {
        guard let authentication else { return }
        let load = authentication.loadSecrets(of: initiators.map(\.name), readBy: Self.daemonUserID)
        guard load.isComplete else { throw CommandFailure(.inventory, load.report) }
        secrets = load.secrets
    }

    /// The user of the unit that `storaged unit` prints: root checks in its place.
    private static var daemonUserID: UInt32? {
        guard geteuid() == 0, let entry = unsafe getpwnam("storaged") else { return nil }
        return unsafe entry.pointee.pw_uid
    }

    private var chap: ChapConfiguration? {
        guard let authentication else { return nil }
        var chap = ChapConfiguration(
            algorithmNumbers: authentication.algorithms.map(\.number), coversDiscovery: authentication.coversDiscovery,
            discoveryName: discoveryName)
        for initiator in initiators {
            guard let found = secrets[initiator.name] else { continue }
            chap.add(
                initiatorName: initiator.initiatorName, initiatorSecret: found.initiator.bytes,
                targetSecret: authentication.isMutual ? found.target?.bytes : nil)
        }
        return chap
    }

    /// The host that this machine is, when none is named: its full name, or the part before the first dot.
    static func hostName(given: String?, in inventory: Inventory) -> String {
        if let given { return given }
        let full = machineName()
        if inventory.host(named: full) != nil { return full }
        let short = String(full.prefix { $0 != "." })
        return inventory.host(named: short) == nil ? full : short
    }

    /// Reads an inventory; every problem is in the failure. Warnings are handed to `warn`.
    static func load(
        rack path: String, host: String?, warn: (String) -> Void
    ) throws(CommandFailure) -> ServingPlan {
        let load = Inventory.load(path: path)
        guard let inventory = load.inventory else { throw CommandFailure(.inventory, load.report) }
        load.warnings.forEach { warn($0.description) }
        return try ServingPlan(inventory, hostName: hostName(given: host, in: inventory))
    }

    /// The server's bounds: its own, where the inventory does not set others.
    func limits(reactors: Int) -> ServerLimits {
        var limits = ServerLimits()
        limits.reactors = reactors
        func take(_ declared: Int?, _ bound: WritableKeyPath<ServerLimits, Int>) {
            if let declared { limits[keyPath: bound] = declared }
        }
        take(nopIntervalSeconds, \.nopIntervalSeconds)
        take(declaredLimits.connections, \.connections)
        take(declaredLimits.connectionsBeforeLogin, \.connectionsBeforeLogin)
        take(declaredLimits.connectionsBeforeLoginPerAddress, \.connectionsBeforeLoginPerAddress)
        take(declaredLimits.loginSeconds, \.loginSeconds)
        take(declaredLimits.commandsPerSession, \.commandsPerSession)
        take(declaredLimits.payloadBytesPerReactor, \.payloadBytesPerReactor)
        take(declaredLimits.drainSeconds, \.drainSeconds)
        take(declaredLimits.standstillSeconds, \.standstillSeconds)
        take(declaredLimits.abortSeconds, \.abortSeconds)
        take(declaredLimits.loginFailuresPerAddress, \.loginFailuresPerAddress)
        take(declaredLimits.loginFailureSeconds, \.loginFailureSeconds)
        take(declaredLimits.thinThresholdPercent, \.thinThresholdPercent)
        take(declaredLimits.overwriteBytesPerSecond, \.overwriteBytesPerSecond)
        return limits
    }

    /// Looks at every backing file without making or locking any; all that is wrong comes back at once.
    func preview() throws(CommandFailure) -> [(volume: PlannedVolume, preview: StorePreview)] {
        var failures: [CommandFailure] = []
        var found: [(volume: PlannedVolume, preview: StorePreview)] = []
        for planned in volumes {
            let volume = planned.volume
            do throws(StoreError) {
                let preview = try BlockStore.preview(
                    path: volume.path, sizeBytes: volume.sizeBytes, blockLengthBytes: volume.blockSizeBytes,
                    readOnly: volume.isReadOnly)
                found.append((planned, preview))
            } catch {
                failures.append(CommandFailure(error, volume: volume.name))
            }
        }
        if let failure = combined(failures) { throw failure }
        return found
    }

    /// The server's configuration over open stores, by the path of each.
    func configuration(_ stores: StoreRegistry, limits: ServerLimits) -> ServerConfiguration {
        var configuration = ServerConfiguration(
            hostName: hostName, portals: portals,
            targets: volumes.compactMap { planned in
                stores[planned.volume.path].map { store in
                    TargetConfiguration(
                        name: planned.volume.targetName, volumeName: planned.volume.name, wwid: planned.volume.wwid,
                        portalGroups: planned.portalGroups, store: store,
                        blockLengthBytes: planned.volume.blockSizeBytes, isReadOnly: planned.volume.isReadOnly,
                        initiators: planned.initiators.map { Set($0.map(\.initiatorName)) })
                }
            }, limits: limits)
        configuration.allowsFaults = allowsFaults
        configuration.authentication = chap
        return configuration
    }
}

/// The open backing files and devices of a plan, by path.
struct StoreRegistry: Sendable {
    private var stores: [String: BlockStore] = [:]
    /// Those of them that the last change opened.
    private var opened: [BlockStore] = []
    /// Volumes that are to be written, whose stores were opened for reading only.
    private var reopening: [Volume] = []
    /// Volumes whose declared size went beyond that of their open stores.
    private var growing: [Volume] = []

    init() {}

    subscript(path: String) -> BlockStore? { stores[path] }

    /// The registry that serves `plan`: stores that are open already are taken over, the others are opened. On a failure
    /// every file that was made on the way is gone again, and `self` is what it was.
    func changed(to plan: ServingPlan) throws(CommandFailure) -> StoreRegistry {
        var next = StoreRegistry()
        var failures: [CommandFailure] = []
        for planned in plan.volumes {
            let volume = planned.volume
            do throws(CommandFailure) {
                if let store = stores[volume.path] {
                    try check(store, for: volume)
                    next.stores[volume.path] = store
                    if store.isReadOnly && !volume.isReadOnly { next.reopening.append(volume) }
                    if let declared = volume.sizeBytes, declared > store.lengthBytes { next.growing.append(volume) }
                } else {
                    let store = try open(volume)
                    next.stores[volume.path] = store
                    next.opened.append(store)
                }
            } catch {
                failures.append(error)
            }
        }
        if let failure = combined(failures) {
            next.discardCreated()
            throw failure
        }
        return next
    }

    /// Opens the stores for writing that were declared so, and extends those that were declared larger: the last thing before the server is told. Initiators then hear
    /// that the capacity has changed.
    func grow() throws(CommandFailure) {
        for volume in reopening {
            do throws(StoreError) {
                try stores[volume.path]?.becomeWritable()
            } catch {
                throw CommandFailure(error, volume: volume.name)
            }
        }
        for volume in growing {
            guard let store = stores[volume.path], let declared = volume.sizeBytes else { continue }
            do throws(StoreError) {
                try store.grow(toBytes: declared, blockLengthBytes: volume.blockSizeBytes)
            } catch {
                throw CommandFailure(error, volume: volume.name)
            }
        }
    }

    /// Removes the files that the last change made, for when it comes to nothing after all.
    func discardCreated() { opened.forEach { $0.discardIfCreated() } }

    private func open(_ volume: Volume) throws(CommandFailure) -> BlockStore {
        do throws(StoreError) {
            return try BlockStore.open(
                path: volume.path, sizeBytes: volume.sizeBytes, blockLengthBytes: volume.blockSizeBytes,
                readOnly: volume.isReadOnly)
        } catch {
            throw CommandFailure(error, volume: volume.name)
        }
    }

    /// Whether a store that is open can go on as what the inventory now says.
    private func check(_ store: BlockStore, for volume: Volume) throws(CommandFailure) {
        if let declared = volume.sizeBytes, declared < store.lengthBytes {
            let served = ByteSize(bytes: store.lengthBytes)
            throw CommandFailure(
                .mismatch,
                "volume \(volume.name): \(volume.path) is served with \(served) and never cut to "
                    + "\(ByteSize(bytes: declared)); declare \(served.exactText) again")
        }
    }
}
