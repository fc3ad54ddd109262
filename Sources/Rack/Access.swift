/// Somebody that logs in without being a client of the cluster: another hypervisor, a backup host.
public struct Initiator: Sendable, Equatable {
    /// Its name, which volumes' `clients` and the secrets folder know.
    public let name: String
    /// iSCSI initiator name.
    public let initiatorName: String
}

/// How initiators and targets prove who they are: `authentication` of the inventory, with method chap (RFC 7143, 12.1.3).
public struct Authentication: Sendable, Equatable {
    /// What CHAP hashes with (RFC 7143, 12.1.3.1, and IANA's registry of PPP authentication algorithms).
    public enum Algorithm: String, Sendable, CaseIterable {
        /// 8 in CHAP_A.
        case sha3With256Bits = "sha3-256"
        /// 7 in CHAP_A.
        case sha256 = "sha-256"
        /// 6 in CHAP_A.
        case sha1 = "sha-1"
        /// 5 in CHAP_A.
        case md5

        /// The number that CHAP_A has for it.
        public var number: UInt8 {
            switch self {
            case .md5: 5
            case .sha1: 6
            case .sha256: 7
            case .sha3With256Bits: 8
            }
        }
    }

    /// Whether targets prove who they are to an initiator that asks; true unless given. CHAP leaves the asking to the
    /// initiator: attach asks whenever this is true, other initiators have to be told to.
    public let isMutual: Bool
    /// Whether a discovery session has to prove who it is too; true unless given.
    public let coversDiscovery: Bool
    /// What may be used, at least one, best first; SHA3-256 and SHA-256 unless given.
    public let algorithms: [Algorithm]
    /// Absolute path of the folder with a file of secrets for each client and initiator, named after it;
    /// `/etc/rack/secrets` unless given.
    public let secretsFolder: String

    /// Where secrets are unless the file says otherwise.
    public static let standardSecretsFolder = "/etc/rack/secrets"
    /// What may be used unless the file says otherwise.
    public static let standardAlgorithms: [Algorithm] = [.sha3With256Bits, .sha256]

    /// Settings that `storaged export` takes from its arguments.
    public init(
        isMutual: Bool = true, coversDiscovery: Bool = true, algorithms: [Algorithm] = standardAlgorithms,
        secretsFolder: String = standardSecretsFolder
    ) {
        self.isMutual = isMutual
        self.coversDiscovery = coversDiscovery
        self.algorithms = algorithms
        self.secretsFolder = secretsFolder
    }
}

private enum AuthenticationMethod: String, CaseIterable {
    case none
    case chap
}

extension Reader {
    mutating func initiator(_ tree: Tree, _ label: String) -> Declarations.Initiator? {
        guard let fields = fields(tree, label, known: ["name", "initiator"]) else { return nil }
        return Declarations.Initiator(
            label: label, name: name(fields, "name", .iscsiPart, example: "name: esx1"),
            initiator: iscsiName(
                fields, "initiator", example: "initiator: iqn.1998-01.com.example:esx1, its iSCSI name"))
    }

    /// The `authentication` of the inventory; nil when there is none.
    mutating func authentication(_ root: Fields) -> Declarations.Authentication? {
        let known = ["method", "mutual", "discovery", "algorithms", "secrets"]
        guard let entry = root.entries["authentication"],
            let fields = fields(entry.value, "authentication", known: known)
        else { return nil }
        let method = word(fields, "method", example: nil, among: AuthenticationMethod.self)?.value ?? .chap
        let settings = Authentication(
            isMutual: flag(fields, "mutual")?.value ?? true, coversDiscovery: flag(fields, "discovery")?.value ?? true,
            algorithms: algorithms(fields),
            secretsFolder: secretsFolder(fields))
        return Declarations.Authentication(position: entry.key.position, settings: method == .chap ? settings : nil)
    }

    private mutating func secretsFolder(_ fields: Fields) -> String {
        let standard = Authentication.standardSecretsFolder
        guard fields.entries["secrets"] != nil else { return standard }
        return path(fields, "secrets", example: "secrets: \(standard)")?.value ?? standard
    }

    private mutating func algorithms(_ fields: Fields) -> [Authentication.Algorithm] {
        let example = "algorithms: [sha3-256, sha-256]"
        guard fields.entries["algorithms"] != nil, let words = texts(fields, "algorithms", example: example)
        else { return Authentication.standardAlgorithms }
        var result: [Authentication.Algorithm] = []
        for word in words.value {
            guard let algorithm = Authentication.Algorithm(rawValue: word.value.lowercased()) else {
                problems.error(
                    word.position, "\(fields.label): unknown algorithm \(quoted(word.value))",
                    choice(word.value, of: Authentication.Algorithm.allCases.map(\.rawValue)))
                continue
            }
            guard !result.contains(algorithm) else {
                problems.error(
                    word.position, "\(fields.label): algorithm \(algorithm.rawValue) is listed twice",
                    "keep one of them")
                continue
            }
            result.append(algorithm)
        }
        if words.value.isEmpty {
            problems.error(words.position, "\(fields.label): algorithms is empty", "write \(example)")
        }
        return result
    }
}

// Who sees what.
extension Checks {
    mutating func checkAccess() {
        let names = declared.clients.compactMap { $0.name?.value } + declared.initiators.compactMap { $0.name?.value }
        if let authentication = declared.authentication, authentication.settings != nil, declared.clients.isEmpty,
            declared.initiators.isEmpty
        {
            problems.error(
                authentication.position, "authentication: there is no client and no initiator that could log in",
                "declare clients or initiators, or write authentication: {method: none}")
        }
        let known = Set(names)
        for volume in declared.volumes {
            guard let clients = volume.clients else { continue }
            if clients.value.isEmpty {
                problems.error(
                    clients.position, "\(volume.label) is seen by nobody",
                    "write clients: [\(names.first ?? "client0")], or remove the key for all that are declared")
            }
            var seen: Set<String> = []
            for client in clients.value {
                if !known.contains(client.value) {
                    if isUnreadable(names) { continue }
                    problems.error(
                        client.position, "\(volume.label): no client or initiator \(quoted(client.value)) is declared",
                        choice(client.value, of: names))
                } else if !seen.insert(client.value).inserted {
                    problems.error(
                        client.position, "\(volume.label): client \(client.value) is listed twice", "keep one of them")
                }
            }
        }
    }

    /// Every client mounts every filesystem, so each has to see all volumes below it.
    mutating func checkAccess(to group: Declarations.VolumeGroup, members: [Declarations.Volume]) {
        let hasFilesystem = declared.filesystems.contains { $0.volume?.value.group == group.name?.value }
        for volume in members {
            guard let clients = volume.clients, !clients.value.isEmpty else { continue }
            let seeing = Set(clients.value.map(\.value))
            let missing = declared.clients.compactMap { $0.name?.value }.filter { !seeing.contains($0) }
            guard let first = missing.first else { continue }
            let others = missing.count == 1 ? "" : " (and \(missing.count - 1) more)"
            if hasFilesystem {
                problems.error(
                    clients.position,
                    "\(volume.label): client \(first)\(others) mounts what lies on \(group.label) and may not see it",
                    "add \(first) to the list, or remove the key for all that are declared")
            } else {
                problems.warning(
                    clients.position,
                    "\(volume.label): client \(first)\(others) shares \(group.label) and may not see it",
                    "add \(first) to the list, unless it never uses that group")
            }
        }
    }
}
