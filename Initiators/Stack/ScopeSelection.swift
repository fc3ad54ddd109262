import Glibc
import Rack

extension StackScope {
    /// What part of the inventory a run is to care for.
    public enum Selection: Sendable, Equatable {
        /// All of it.
        case everything
        /// One volume and its map, and nothing above.
        case volume(String)
        /// One filesystem and all that it needs.
        case filesystem(String)
    }

    /// The part of an inventory that this host is to have.
    ///
    /// - Parameters:
    ///   - inventory: The rack.
    ///   - clientName: Which client this host is; its host name (up to the first dot) when nil.
    ///   - selection: What of it.
    /// - Throws: `.inventory` when there is no such client, volume or filesystem (the advice names those there are), or
    ///   this client may not see what it would need.
    public init(
        inventory: Inventory, clientName: String? = nil, selection: Selection = .everything
    ) throws(StackError) {
        let name = clientName ?? Self.hostName()
        guard let client = inventory.client(named: name) else {
            let names = inventory.clients.map(\.name)
            let advice =
                names.isEmpty
                ? "add it under clients" : "say which one this host is: --client \(names.joined(separator: "|"))"
            let cause =
                clientName == nil
                ? "this host's name is not among the clients of \(inventory.name)"
                : "no client of \(inventory.name) has this name"
            throw StackError(.inventory, object: name, cause: cause, advice: advice)
        }
        let seen = inventory.volumes(seenBy: name)
        let seenNames = Set(seen.map(\.name))
        func sees(_ needed: [Volume]) -> Bool { needed.allSatisfy { seenNames.contains($0.name) } }
        self.init(
            inventory: inventory, client: client, volumes: seen,
            volumeGroups: inventory.volumeGroups.filter { sees(inventory.volumes(of: $0)) },
            filesystems: inventory.filesystems.filter { sees(inventory.volumes(of: $0)) },
            isFirstClient: inventory.foundingClient?.name == name)
        switch selection {
        case .everything: break
        case .volume(let wanted):
            guard let volume = inventory.volume(named: wanted) else {
                throw Self.unknown("volume", wanted, inventory.volumes.map(\.name))
            }
            guard sees([volume]) else { throw Self.unseen(volume, wanted, name) }
            volumes = [volume]
            volumeGroups = []
            filesystems = []
        case .filesystem(let wanted):
            guard let filesystem = inventory.filesystem(named: wanted) else {
                throw Self.unknown("filesystem", wanted, inventory.filesystems.map(\.name))
            }
            if let volume = inventory.volumes(of: filesystem).first(where: { !sees([$0]) }) {
                throw Self.unseen(volume, wanted, name)
            }
            filesystems = [filesystem]
            volumeGroups = inventory.volumeGroups.filter { $0.name == filesystem.volumeGroupName }
            volumes = inventory.volumes(of: filesystem)
        }
    }

    /// Every way to every wanted volume: volumes in order, each with its portals in order.
    public var paths: [WantedPath] {
        volumes.flatMap { volume in
            inventory.portals(of: volume).map { WantedPath(volume: volume, portal: $0) }
        }
    }

    /// This host's name up to the first dot.
    public static func hostName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        unsafe gethostname(&buffer, buffer.count - 1)
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(String(decoding: bytes, as: UTF8.self).prefix { $0 != "." })
    }

    /// Throws `.inventory` when this client may see no volume at all, so that there is nothing to bring up.
    public func requireVolumes() throws(StackError) {
        guard volumes.isEmpty, !inventory.volumes.isEmpty else { return }
        throw StackError(
            .inventory, object: client.name, cause: "no volume of \(inventory.name) may be seen by this client",
            advice: "add it to the clients of a volume, or remove that key for all that are declared")
    }

    private static func unseen(_ volume: Volume, _ wanted: String, _ client: String) -> StackError {
        StackError(
            .inventory, object: wanted,
            cause: volume.name == wanted
                ? "client \(client) may not see this volume" : "client \(client) may not see volume \(volume.name)",
            advice: "add \(client) to the clients of volume \(volume.name) in the inventory of every host")
    }

    private static func unknown(_ what: String, _ name: String, _ names: [String]) -> StackError {
        StackError(
            .inventory, object: name, cause: "the inventory has no \(what) of this name",
            advice: names.isEmpty ? "it has no \(what)s at all" : "take one of \(names.joined(separator: ", "))")
    }
}

/// One way to one volume, as the inventory wants it.
public struct WantedPath: Sendable {
    /// The volume.
    public var volume: Volume
    /// The host and portal that the way goes through.
    public var portal: VolumePortal

    /// Makes a wanted path.
    public init(volume: Volume, portal: VolumePortal) {
        self.volume = volume
        self.portal = portal
    }

    /// `10.77.0.21:3260`.
    public var endpoint: String { portal.portal.endpoint }
    /// The session's name in reports: `10.77.0.21:3260 mpath0`.
    public var sessionName: String { "\(endpoint) \(volume.name)" }
    /// The path's name in reports: `mpath0 storage0/10.77.0.21:3260`.
    public var pathName: String { "\(volume.name) \(portal.hostName)/\(endpoint)" }
}
