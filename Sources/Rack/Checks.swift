/// Checks across objects: distinct names and identifiers, references, and what fits into what.
struct Checks {
    var problems: ProblemList
    let declared: Declarations

    /// Portals by host name, to be looked at once for each set of hosts.
    private var portalsOfHost: [String: [Declarations.Portal]] = [:]
    private var derivedTags: [String: UInt16] = [:]

    init(_ declared: Declarations, problems: ProblemList) {
        self.declared = declared
        self.problems = problems
    }

    /// Runs all of them.
    mutating func run() {
        checkHosts()
        checkClients()
        checkVolumes()
        checkAccess()
        checkISCSINames()
        checkVolumeGroups()
        checkMapNames()
        checkFilesystems()
    }

    // MARK: - Hosts and portals

    private mutating func checkHosts() {
        checkDistinctNames(declared.hosts.map { ($0.label, $0.name) })
        if let networks = declared.networks {
            checkDistinctNames(networks.map { ("network \($0.name?.value ?? "")", $0.name) })
        }
        let networkNames = declared.networks?.compactMap { $0.name?.value }
        let knownNetworks = networkNames.map { Set($0) }
        var endpoints = FirstUses<PortalAddress>()
        var addresses: [NetworkAddress: (host: String, label: String, line: Int)] = [:]
        for host in declared.hosts {
            if let name = host.name, portalsOfHost[name.value] == nil { portalsOfHost[name.value] = host.portals }
            for portal in host.portals {
                if let network = portal.network, let knownNetworks, !knownNetworks.contains(network.value) {
                    problems.error(
                        network.position,
                        "\(host.label): network \(quoted(network.value)) is not in the list of networks",
                        choice(network.value, of: networkNames ?? []))
                }
                guard let address = portal.address else { continue }
                let endpoint = PortalAddress(address: address.value, port: portal.port)
                if let first = endpoints.note(endpoint, host.label, address.position) {
                    problems.error(
                        address.position,
                        "\(host.label): portal \(endpoint) is given to \(first.label) already, on line \(first.line)",
                        "write another address or port")
                } else if let other = addresses[address.value], other.host != host.label, !address.value.isLoopback {
                    problems.warning(
                        address.position,
                        "\(host.label): address \(address.value) is \(other.label)'s too, on line \(other.line)",
                        "write each host's own address, unless both run on one machine")
                }
                if addresses[address.value] == nil {
                    addresses[address.value] = (host.label, host.label, address.position.line)
                }
            }
        }
    }

    /// The numbers of the target port groups of a volume, those of single portals among them, have to differ.
    private mutating func checkPortGroups(of volume: Declarations.Volume, hosts: [String]) {
        guard let rack = declared.name else { return }
        var single: [UInt16: (host: String, line: Int)] = [:]
        var named: [UInt16: (host: String, group: String, line: Int)] = [:]
        let portals = Set(hosts).sorted().flatMap { host in (portalsOfHost[host] ?? []).map { (host, $0) } }
        for (host, portal) in portals where portal.group == nil {
            if let tag = tag(of: portal, on: host) { single[tag] = (host, portal.position.line) }
        }
        for (host, portal) in portals {
            guard let group = portal.group else { continue }
            let number = Derivation.portGroup(rack: rack.value, host: host, group: group.value)
            let other: String
            if let portal = single[number] {
                other = "host \(portal.host)'s portal on line \(portal.line)"
            } else if let known = named[number], (known.host, known.group) != (host, group.value) {
                other = "host \(known.host)'s group \(known.group) on line \(known.line)"
            } else {
                named[number] = (host, group.value, group.position.line)
                continue
            }
            problems.error(
                group.position,
                "host \(host): group \(quoted(group.value)) comes to the number \(number) of \(other), and both serve "
                    + volume.label, "write another name")
        }
    }

    /// The tag of a portal, given or derived; nil when what it is derived from is missing.
    private mutating func tag(of portal: Declarations.Portal, on host: String) -> UInt16? {
        if let tag = portal.tag { return UInt16(tag.value) }
        guard let rack = declared.name, let address = portal.address else { return nil }
        let endpoint = Portal.endpoint(address: address.value.description, port: portal.port)
        if let known = derivedTags["\(host)/\(endpoint)"] { return known }
        let tag = Derivation.tag(rack: rack.value, host: host, endpoint: endpoint)
        derivedTags["\(host)/\(endpoint)"] = tag
        return tag
    }

    // MARK: - Clients

    private mutating func checkClients() {
        // One list of names: a volume's clients may be either, and a secrets file is named after one of them.
        checkDistinctNames(
            declared.clients.map { ($0.label, $0.name) } + declared.initiators.map { ($0.label, $0.name) })
        var addresses = FirstUses<NetworkAddress>()
        var nodeIDs = FirstUses<UInt64>()
        var isids = FirstUses<UInt64>()
        var keys = FirstUses<UInt64>()
        for client in declared.clients {
            if let address = client.address, let first = addresses.note(address.value, client.label, address.position) {
                problems.error(
                    address.position,
                    "\(client.label): address \(address.value) is \(first.label)'s, on line \(first.line)",
                    "write each client's own address")
            }
            if let id = client.nodeID, let first = nodeIDs.note(id.value, client.label, id.position) {
                problems.error(
                    id.position, "\(client.label): nodeID \(id.value) is \(first.label)'s, on line \(first.line)",
                    "write nodeID: \(freeNumber())")
            }
            guard let rack = declared.name, let name = client.name else { continue }
            let isid = client.isid?.value ?? Derivation.isidBase(rack: rack.value, client: name.value)
            let isidPosition = client.isid?.position ?? name.position
            // Clients with initiator names of their own may have one ISID, but a table that tells them apart is worth it.
            if let first = isids.note(isid, client.label, isidPosition) {
                problems.error(
                    isidPosition,
                    "\(client.label): isid \(hexadecimal(isid, digits: 12)) is \(first.label)'s, on line \(first.line)",
                    "write an isid of its own, such as isid: 80a1b2c30000")
            }
            let key = client.key?.value ?? Derivation.reservationKey(rack: rack.value, client: name.value)
            let keyPosition = client.key?.position ?? name.position
            if let first = keys.note(key, client.label, keyPosition) {
                problems.error(
                    keyPosition,
                    "\(client.label): key 0x\(hexadecimal(key, digits: 16)) is \(first.label)'s, on line \(first.line)",
                    "write a key of its own, or remove it and let it be derived")
            }
        }
    }

    private func freeNumber() -> UInt64 {
        let used = Set(declared.clients.compactMap { $0.nodeID?.value })
        return (1...UInt64(used.count + 1)).first { !used.contains($0) } ?? 1
    }

    // MARK: - Volumes

    private mutating func checkVolumes() {
        checkDistinctNames(declared.volumes.map { ($0.label, $0.name) })
        let hostNames = declared.hosts.compactMap { $0.name?.value }
        let knownHosts = Set(hostNames)
        var wwids = FirstUses<UInt64>()
        var paths = FirstUses<HostPath>()
        var examinedHostSets: Set<[String]> = []
        for volume in declared.volumes {
            if let hosts = volume.hosts {
                checkHosts(of: volume, hosts, known: knownHosts, names: hostNames)
                let names = hosts.value.map(\.value)
                if examinedHostSets.insert(names).inserted {
                    checkTags(of: volume, hosts: names)
                    checkPortGroups(of: volume, hosts: names)
                }
                for host in hosts.value {
                    guard let path = volume.path else { continue }
                    let use = HostPath(host: host.value, path: path.value)
                    if let first = paths.note(use, volume.label, path.position), first.label != volume.label {
                        problems.error(
                            path.position,
                            "\(volume.label): path \(quoted(path.value)) is \(first.label)'s on host \(host.value), on line "
                                + "\(first.line)", "write a path of its own")
                        break
                    }
                }
                checkNetworks(of: volume, hosts: names)
            }
            guard let rack = declared.name, let name = volume.name else { continue }
            let wwid = volume.wwid?.value ?? Derivation.wwid(rack: rack.value, volume: name.value)
            let position = volume.wwid?.position ?? name.position
            if let first = wwids.note(wwid, volume.label, position), first.label != volume.label {
                problems.error(
                    position,
                    "\(volume.label): wwid \(hexadecimal(wwid, digits: 16)) is \(first.label)'s, on line \(first.line)",
                    "write a wwid of its own, or remove it and let it be derived")
            }
        }
    }

    private mutating func checkHosts(
        of volume: Declarations.Volume, _ hosts: Located<[Located<String>]>, known: Set<String>, names: [String]
    ) {
        if hosts.value.isEmpty {
            problems.error(
                hosts.position, "\(volume.label) is served by no host",
                "write hosts: [\(names.first ?? "storage0")]")
        }
        if hosts.value.count > 64 {
            problems.error(
                hosts.position, "\(volume.label) is served by \(hosts.value.count) hosts", "write at most 64")
        }
        var seen: Set<String> = []
        for host in hosts.value {
            if !known.contains(host.value) {
                if isUnreadable(names) { continue }
                problems.error(
                    host.position, "\(volume.label): host \(quoted(host.value)) is not declared",
                    choice(host.value, of: names))
            } else if !seen.insert(host.value).inserted {
                problems.error(host.position, "\(volume.label): host \(host.value) is listed twice", "keep one of them")
            }
        }
    }

    /// Reported at the portal that comes later, once for each pair whatever the number of volumes.
    private mutating func checkTags(of volume: Declarations.Volume, hosts: [String]) {
        var uses: [UInt16: (host: String, portal: Declarations.Portal)] = [:]
        for host in Set(hosts).sorted(by: { position(ofHost: $0) < position(ofHost: $1) }) {
            for portal in portalsOfHost[host] ?? [] {
                guard let tag = tag(of: portal, on: host) else { continue }
                guard let first = uses[tag] else {
                    uses[tag] = (host, portal)
                    continue
                }
                let position = portal.tag?.position ?? portal.position
                let place = PairOfPortals(first: first.portal.position.line, second: position)
                guard reportedTags.insert(place).inserted else { continue }
                let free = (UInt16(1)...65535).first { uses[$0] == nil } ?? 1
                problems.error(
                    position,
                    "host \(host): the portal's tag \(tag) is that of host \(first.host)'s portal on line "
                        + "\(first.portal.position.line), and both serve \(volume.label)",
                    "write tag: \(free) there by hand, or another number that is free")
            }
        }
    }

    private func position(ofHost name: String) -> Position {
        portalsOfHost[name]?.first?.position ?? Position(line: 0, column: 0)
    }

    private struct PairOfPortals: Hashable {
        let first: Int
        let second: Position
    }

    private struct HostPath: Hashable {
        let host: String
        let path: String
    }

    private var reportedTags: Set<PairOfPortals> = []

    private mutating func checkNetworks(of volume: Declarations.Volume, hosts: [String]) {
        let portals = hosts.flatMap { portalsOfHost[$0] ?? [] }
        let networks = Set(portals.compactMap { $0.network?.value })
        guard networks.count == 1, let only = networks.first, portals.allSatisfy({ $0.network != nil }) else { return }
        problems.warning(
            volume.name?.position ?? volume.position,
            "\(volume.label): all its portals are on network \(only), whose loss takes every path",
            "write a portal on a second network for one of its hosts")
    }

    private mutating func checkISCSINames() {
        guard let rack = declared.name, let prefix = declared.iqnPrefix else { return }
        var names = FirstUses<String>()
        var owned: [(label: String, name: String, position: Position)] = []
        for volume in declared.volumes {
            guard let own = volume.name else { continue }
            let name = Derivation.targetName(prefix: prefix.value, rack: rack.value, volume: own.value)
            owned.append((volume.label, volume.target?.value ?? name, volume.target?.position ?? own.position))
        }
        for client in declared.clients {
            guard let own = client.name else { continue }
            let name = Derivation.initiatorName(prefix: prefix.value, rack: rack.value, client: own.value)
            owned.append((client.label, client.initiator?.value ?? name, client.initiator?.position ?? own.position))
        }
        for initiator in declared.initiators {
            guard let name = initiator.initiator else { continue }
            owned.append((initiator.label, name.value, name.position))
        }
        for use in owned {
            if let first = names.note(use.name, use.label, use.position), first.label != use.label {
                problems.error(
                    use.position, "\(use.label): the iSCSI name \(use.name) is \(first.label)'s, on line \(first.line)",
                    "write a name of its own, or remove it and let it be derived")
            }
        }
    }

    // MARK: - Shared helpers

    mutating func checkDistinctNames(_ names: [(label: String, name: Located<String>?)]) {
        var uses = FirstUses<String>()
        for (label, name) in names {
            guard let name, let first = uses.note(name.value, label, name.position) else { continue }
            problems.error(
                name.position, "\(label): the name is taken, on line \(first.line)", "write another name")
        }
    }

    /// True when nothing of a list could be used and something is reported already: then what refers to it may be right.
    func isUnreadable(_ names: [String]) -> Bool { names.isEmpty && problems.hasErrors }

    func choice(_ word: String, of known: [String]) -> String {
        Reader(problems: problems).choice(word, of: known)
    }
}

/// Remembers who used a value first.
struct FirstUses<Value: Hashable> {
    private var uses: [Value: (label: String, line: Int)] = [:]

    /// The earlier user of the value; nil for the first.
    mutating func note(_ value: Value, _ label: String, _ position: Position) -> (label: String, line: Int)? {
        if let first = uses[value] { return first }
        uses[value] = (label, position.line)
        return nil
    }
}
