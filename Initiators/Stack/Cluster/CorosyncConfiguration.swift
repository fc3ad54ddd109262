import Rack

/// Who is in a cluster: what has to be the same on every client, whoever wrote the configuration.
package struct ClusterIdentity: Sendable, Equatable {
    /// corosync's `totem.cluster_name`.
    package var clusterName: String
    /// Addresses by node id.
    package var addresses: [Int: String]

    /// The identity that the inventory asks for.
    package init(_ inventory: Inventory) throws(StackError) {
        clusterName = try ClusterScope.clusterName(inventory)
        addresses = Dictionary(
            inventory.clients.map { ($0.nodeID, $0.address) }, uniquingKeysWith: { first, _ in first })
    }

    /// From the keys of a configuration (`totem.cluster_name`, `nodelist.node.0.nodeid`, ...).
    package init(keys: [String: String]) {
        clusterName = keys["totem.cluster_name"] ?? ""
        addresses = [:]
        for index in 0..<1024 {
            guard let address = keys["nodelist.node.\(index).ring0_addr"] else { break }
            // corosync derives a missing node id from an IPv4 address; no cluster of ours leaves it out.
            addresses[keys["nodelist.node.\(index).nodeid"].flatMap(Int.init) ?? -1 - index] = address
        }
    }

    /// From the text of a corosync.conf.
    package init(configuration text: String) { self.init(keys: CorosyncConfiguration.keys(ofConfiguration: text)) }

    /// From what `corosync-cmapctl` prints of a running corosync.
    package init(runningMap text: String) { self.init(keys: CorosyncConfiguration.keys(ofMap: text)) }

    /// What of `self` is not as `wanted`, one phrase each; empty when they agree.
    package func differences(from wanted: ClusterIdentity) -> [String] {
        var found: [String] = []
        if clusterName != wanted.clusterName {
            found.append(
                "cluster_name is \(clusterName.isEmpty ? "not set" : clusterName), wanted \(wanted.clusterName)")
        }
        for (node, address) in wanted.addresses.sorted(by: { $0.key < $1.key }) where addresses[node] != address {
            let present = addresses[node].map { "has address \($0)" } ?? "is missing"
            found.append("node \(node) \(present), wanted \(address)")
        }
        for (node, address) in addresses.sorted(by: { $0.key < $1.key }) where wanted.addresses[node] == nil {
            found.append("node \(node) (\(address)) is no client of the inventory")
        }
        return found
    }
}

/// corosync.conf(5) for the clients of an inventory.
///
/// - `transport: udpu`, unicast over UDP: quorum in 2 s where knet took 7 (its links come up only after several pings), and
///   knet's gains, several links and encryption, need things that the inventory does not have.
/// - `wait_for_all`: a client that starts alone gets no quorum until it has seen all others once. So two clients that
///   cannot see each other never start two clusters over one volume, which also makes fencing at start unnecessary.
/// - `two_node` (two clients): the survivor keeps quorum when the other leaves; without it the last one to go down
///   would be left without. With three clients and more the last one loses quorum, which hurts nothing: lockspaces that run
///   go on and can be left (tried with three).
/// - token 5 s and consensus 6 s: a lost client is noticed in 11 s, and a host that is busy for a few seconds is not.
package enum CorosyncConfiguration {
    package static let tokenMilliseconds = 5000
    package static let consensusMilliseconds = 6000

    /// The file's body, without the marker.
    package static func text(_ inventory: Inventory) throws(StackError) -> String {
        let identity = try ClusterIdentity(inventory)
        var lines = [
            "totem {",
            "    version: 2",
            "    cluster_name: \(identity.clusterName)",
            "    transport: udpu",
            "    token: \(tokenMilliseconds)",
            "    consensus: \(consensusMilliseconds)",
            "    crypto_cipher: none",
            "    crypto_hash: none",
            "}",
            "",
            "quorum {",
            "    provider: corosync_votequorum",
        ]
        lines += inventory.clients.count == 2 ? ["    two_node: 1"] : []
        lines += ["    wait_for_all: 1", "}", "", "nodelist {"]
        for client in inventory.clients {
            lines += [
                "    node {",
                "        name: \(client.name)",
                "        nodeid: \(client.nodeID)",
                "        ring0_addr: \(client.address)",
                "    }",
            ]
        }
        lines += [
            "}",
            "",
            "logging {",
            "    to_stderr: no",
            "    to_syslog: yes",
            "    to_logfile: yes",
            "    logfile: /var/log/corosync/corosync.log",
            "    timestamp: on",
            "}",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    /// The keys of a configuration file, with their sections before them: `nodelist.node.1.nodeid` for the second node.
    package static func keys(ofConfiguration text: String) -> [String: String] {
        var keys: [String: String] = [:]
        var sections: [String] = []
        var nodes = 0
        for line in text.split(whereSeparator: \.isNewline).map({ $0.trimmingBlanks() }) {
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasSuffix("{") {
                let name = line.dropLast().trimmingBlanks()
                if sections == ["nodelist"], name == "node" {
                    sections.append("node.\(nodes)")
                    nodes += 1
                } else {
                    sections.append(name)
                }
            } else if line == "}" {
                _ = sections.popLast()
            } else if let colon = line.firstIndex(of: ":") {
                let key = (sections + [line[..<colon].trimmingBlanks()]).joined(separator: ".")
                keys[key] = line[line.index(after: colon)...].trimmingBlanks()
            }
        }
        return keys
    }

    /// The keys of corosync-cmapctl's lines: `totem.cluster_name (str) = client`.
    package static func keys(ofMap text: String) -> [String: String] {
        var keys: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            guard let bracket = line.range(of: " ("), let equals = line.range(of: ") = ") else { continue }
            keys[String(line[..<bracket.lowerBound])] = line[equals.upperBound...].trimmingBlanks()
        }
        return keys
    }

    /// Whether this is the example that Debian's package installs: one node, 127.0.0.1. It makes no cluster of hosts.
    package static func isPackagedExample(_ text: String) -> Bool {
        let identity = ClusterIdentity(configuration: text)
        return identity.clusterName == "debian" && identity.addresses == [1: "127.0.0.1"]
    }
}

extension StringProtocol {
    /// Where `text` occurs first; the standard library has this only in Foundation.
    func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}

/// What `corosync-quorumtool -s` prints.
package struct QuorumStatus: Sendable, Equatable {
    /// Whether this node may act.
    package var isQuorate: Bool
    /// Node ids of the members now.
    package var members: [Int]
    /// Flags such as `2Node`, `WaitForAll`.
    package var flags: [String]

    /// Parses the output; nil when it is not one (corosync does not answer).
    package init?(parsing text: String) {
        var quorate: Bool?
        members = []
        flags = []
        var inTable = false
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            if inTable {
                if let first = words.first, let node = Int(first) { members.append(node) }
            } else if words.first == "Quorate:" {
                quorate = words.dropFirst().first == "Yes"
            } else if words.first == "Flags:" {
                flags = words.dropFirst().map(String.init)
            } else if words.first == "Nodeid" {
                inTable = true
            }
        }
        guard let quorate else { return nil }
        isQuorate = quorate
    }

    /// The inventory's clients that are not members, for people.
    package func missing(_ inventory: Inventory) -> [String] {
        inventory.clients.filter { !members.contains($0.nodeID) }
            .map { ClusterScope.describe(nodeID: $0.nodeID, inventory) }
    }
}
