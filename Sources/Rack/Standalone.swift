/// A file or block device to export without an inventory.
public struct ExportedFile: Sendable, Equatable {
    /// Absolute path, with symbolic links resolved by the caller: the WWID is derived from it.
    public let path: String
    /// Size of a file that is to be made; nil to take the size of the one that is there.
    public let sizeBytes: UInt64?
    /// Logical block length in bytes, 512 or 4096.
    public let blockSizeBytes: Int
    /// True when writes are to be refused.
    public let isReadOnly: Bool

    /// A file to export.
    public init(path: String, sizeBytes: UInt64? = nil, blockSizeBytes: Int = 512, isReadOnly: Bool = false) {
        self.path = path
        self.sizeBytes = sizeBytes
        self.blockSizeBytes = blockSizeBytes
        self.isReadOnly = isReadOnly
    }
}

/// Why files cannot be exported together; says what to do.
public struct StandaloneError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One line that names the object and what to do.
    public let description: String
}

extension Inventory {
    /// The prefix of names that have no inventory: `.invalid` belongs to nobody (RFC 2606).
    public static let standaloneIQNPrefix = "iqn.2026-01.invalid.standalone"

    /// A rack of one host, so that `storaged export` and `storaged run` are one thing.
    ///
    /// The rack and the host are named after the machine; a volume after its file's name without `.img` or `.raw`, in lower
    /// case, with a part of the path's digest when two files come to one name. A WWID depends on the machine's name and the
    /// file's whole path alone, so it is the same at the next export, whatever else is exported.
    ///
    /// - Parameters:
    ///   - files: what to export, at least one, each once.
    ///   - portals: where to listen, at least one, each once; a wildcard address is allowed.
    ///   - hostName: the machine's name; what is not allowed in an iSCSI name is replaced.
    ///   - iqnPrefix: what target names begin with.
    ///   - initiatorNames: the iSCSI names of those that see the volumes; empty for anybody. Each is called by its iSCSI
    ///     name.
    ///   - authentication: what they have to prove; with `initiatorNames` only.
    public static func standalone(
        files: [ExportedFile], portals: [PortalAddress], hostName: String,
        iqnPrefix: String = Inventory.standaloneIQNPrefix, initiatorNames: [String] = [],
        authentication: Authentication? = nil
    ) throws(StandaloneError) -> Inventory {
        guard !files.isEmpty else { throw StandaloneError(description: "no file to export; name at least one") }
        guard !portals.isEmpty else { throw StandaloneError(description: "no portal; name an address to listen on") }
        if let objection = ISCSIName.prefixObjection(iqnPrefix) {
            throw StandaloneError(description: "IQN prefix: \(objection); write one such as iqn.2026-01.net.example")
        }
        for (index, name) in initiatorNames.enumerated() {
            if let objection = ISCSIName.objection(name) {
                throw StandaloneError(description: "initiator: \(objection); write its name as it logs in with it")
            }
            guard !initiatorNames[..<index].contains(name) else {
                throw StandaloneError(description: "initiator \(quoted(name)) is given twice; name each once")
            }
        }
        guard authentication == nil || !initiatorNames.isEmpty else {
            throw StandaloneError(description: "there is nobody to authenticate; name at least one initiator")
        }
        let host = safeName(hostName, fallback: "localhost")
        var seen: Set<String> = []
        for file in files {
            guard file.path.hasPrefix("/"), file.path.utf8.count > 1 else {
                throw StandaloneError(description: "\(quoted(file.path)) is no absolute path; give one")
            }
            guard seen.insert(file.path).inserted else {
                throw StandaloneError(description: "\(quoted(file.path)) is given twice; name each file once")
            }
            guard file.blockSizeBytes == 512 || file.blockSizeBytes == 4096 else {
                throw StandaloneError(
                    description: "a block of \(file.blockSizeBytes) bytes is not offered; use 512 or 4096")
            }
            if let size = file.sizeBytes, size == 0 || size % UInt64(file.blockSizeBytes) != 0 {
                throw StandaloneError(
                    description: "\(size) bytes are no whole number of \(file.blockSizeBytes)-byte blocks; "
                        + "give a multiple, such as 1GiB")
            }
        }
        var tags: [UInt16: PortalAddress] = [:]
        let listening = try portals.map { portal throws(StandaloneError) in
            let made = Portal(
                rack: host, host: host, network: nil, address: portal.address.description, port: portal.port,
                tagByHand: nil)
            if let other = tags[made.tag] {
                throw StandaloneError(
                    description: other == portal
                        ? "portal \(portal) is given twice; name each once"
                        : "portals \(other) and \(portal) come to one tag; choose another port for one of them")
            }
            tags[made.tag] = portal
            return made
        }
        let plainNames = files.map { safeName(baseName($0.path), fallback: "disk") }
        var counts: [String: Int] = [:]
        for name in plainNames { counts[name, default: 0] += 1 }
        let volumes = zip(files, plainNames).map { file, plain in
            let wwid = Derivation.wwid(rack: host, exportedPath: file.path)
            let name = counts[plain] == 1 ? plain : "\(plain)-\(hexadecimal(wwid & 0xffff_ffff, digits: 8))"
            return Volume(
                name: name, sizeBytes: file.sizeBytes, path: file.path, hostNames: [host],
                targetName: Derivation.targetName(prefix: iqnPrefix, rack: host, volume: name),
                targetNameIsSetByHand: false, wwid: wwid, wwidIsSetByHand: false, blockSizeBytes: file.blockSizeBytes,
                isReadOnly: file.isReadOnly, multipath: .standard, clientNames: nil)
        }
        guard Set(volumes.map(\.name)).count == volumes.count, Set(volumes.map(\.wwid)).count == volumes.count else {
            throw StandaloneError(description: "two of these files come to one name; export them apart, or rename one")
        }
        return Inventory(
            name: host, iqnPrefix: iqnPrefix, networks: [],
            hosts: [
                StorageHost(name: host, failureDomain: FailureDomain(rack: nil, row: nil), portals: listening)
            ], clients: [], initiators: initiatorNames.map { Initiator(name: $0, initiatorName: $0) },
            authentication: authentication, volumes: volumes, volumeGroups: [], filesystems: [], timeouts: .standard,
            limits: DaemonLimits(), allowsFaultInjection: false)
    }

    private static func baseName(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        for suffix in [".img", ".raw"] where name.lowercased().hasSuffix(suffix) && name.utf8.count > 4 {
            return String(name.dropLast(suffix.count))
        }
        return name
    }

    /// A name that `NameRule.iscsiPart` allows: lower case, other characters become hyphens, at most 48 bytes.
    private static func safeName(_ text: String, fallback: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.lowercased().utf8 {
            switch byte {
            case 0x61...0x7a, 0x30...0x39, 0x2e: bytes.append(byte)
            default: if bytes.last != 0x2d { bytes.append(0x2d) }
            }
        }
        let isMark = { (byte: UInt8) in byte == 0x2d || byte == 0x2e }
        bytes = Array(bytes.drop(while: isMark).prefix(48))
        while let last = bytes.last, isMark(last) { bytes.removeLast() }
        let name = String(decoding: bytes, as: UTF8.self)
        // "control" is device-mapper's own node in /dev/mapper.
        return name.isEmpty || name == "control" ? fallback : name
    }
}
