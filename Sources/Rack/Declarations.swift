/// What the file says, with places, before anything is checked across objects. A value that is missing or was refused
/// is nil; the report has it already.
struct Declarations {
    struct Portal {
        let position: Position
        let network: Located<String>?
        let address: Located<NetworkAddress>?
        let port: UInt16
        let tag: Located<UInt64>?
        let group: Located<String>?
    }

    struct Host {
        let label: String
        let name: Located<String>?
        let rack: String?
        let row: String?
        let portals: [Portal]
    }

    struct Client {
        let label: String
        let position: Position
        let name: Located<String>?
        let address: Located<NetworkAddress>?
        let nodeID: Located<UInt64>?
        let initiator: Located<String>?
        let isid: Located<UInt64>?
        let key: Located<UInt64>?
    }

    struct Initiator {
        let label: String
        let name: Located<String>?
        let initiator: Located<String>?
    }

    struct Authentication {
        let position: Position
        /// Nil for `method: none`.
        let settings: Rack.Authentication?
    }

    struct Volume {
        let label: String
        let position: Position
        let name: Located<String>?
        let size: Located<UInt64>?
        let path: Located<String>?
        let hosts: Located<[Located<String>]>?
        let target: Located<String>?
        let wwid: Located<UInt64>?
        let blockSizeBytes: Int
        let isReadOnly: Bool
        let multipath: MultipathSettings
        let clients: Located<[Located<String>]>?
    }

    struct LogicalVolume {
        let label: String
        let position: Position
        let name: Located<String>?
        let size: Located<Rack.LogicalVolume.Size>?
    }

    struct VolumeGroup {
        let label: String
        let position: Position
        let name: Located<String>?
        let volumes: Located<[Located<String>]>?
        let extentSizeBytes: UInt64?
        let logicalVolumes: [LogicalVolume]
    }

    struct Filesystem {
        let label: String
        let position: Position
        let name: Located<String>?
        let kind: Rack.Filesystem.Kind?
        let cluster: Located<String>?
        let volume: Located<(group: String, logicalVolume: String)>?
        let journals: Located<UInt64>?
        let mount: Located<String>?
        let options: [String]
    }

    let name: Located<String>?
    let iqnPrefix: Located<String>?
    /// Nil when the file has no list of networks, so that portals may name any.
    let networks: [(name: Located<String>?, description: String?)]?
    let hosts: [Host]
    let clients: [Client]
    let initiators: [Initiator]
    let authentication: Authentication?
    let volumes: [Volume]
    let volumeGroups: [VolumeGroup]
    let filesystems: [Filesystem]
    let timeouts: Timeouts
    let limits: DaemonLimits
    let allowsFaultInjection: Bool
}

extension Reader {
    /// The whole file; nil when it is no mapping.
    mutating func declarations(_ root: Tree) -> Declarations? {
        let known = [
            "rack", "iqn", "networks", "hosts", "clients", "initiators", "authentication", "volumes", "volumeGroups",
            "filesystems", "timeouts", "limits", "faultInjection",
        ]
        guard let fields = fields(root, "the inventory", known: known) else { return nil }
        let name = name(fields, "rack", .iscsiPart, example: "rack: NAME, the rack's name")
        let prefix = text(fields, "iqn", example: "iqn: iqn.2026-01.net.example, a date and a domain of yours reversed")
        if let prefix, let objection = ISCSIName.prefixObjection(prefix.value) {
            problems.error(prefix.position, "iqn: \(objection)", "write one such as iqn.2026-01.net.example")
        }
        let networks: [(name: Located<String>?, description: String?)]?
        if case .sequence = fields.entries["networks"]?.value.content {
            networks = objects(fields, "networks", kind: "network", example: nil).map { network($0.tree, $0.label) }
        } else {
            _ = list(fields, "networks", example: nil)
            networks = nil
        }
        let hosts = objects(
            fields, "hosts", kind: "host", example: "hosts: and a list of storage hosts, each with a name and portals"
        ).compactMap { host($0.tree, $0.label) }
        let volumes = objects(
            fields, "volumes", kind: "volume", example: "volumes: and a list, each with name, size, path and hosts"
        ).compactMap { volume($0.tree, $0.label) }
        return Declarations(
            name: name, iqnPrefix: prefix, networks: networks, hosts: hosts,
            clients: objects(fields, "clients", kind: "client", example: nil).compactMap { client($0.tree, $0.label) },
            initiators: objects(fields, "initiators", kind: "initiator", example: nil)
                .compactMap { initiator($0.tree, $0.label) },
            authentication: authentication(fields),
            volumes: volumes,
            volumeGroups: objects(fields, "volumeGroups", kind: "volume group", example: nil)
                .compactMap { volumeGroup($0.tree, $0.label) },
            filesystems: objects(fields, "filesystems", kind: "filesystem", example: nil)
                .compactMap { filesystem($0.tree, $0.label) },
            timeouts: timeouts(fields), limits: limits(fields),
            allowsFaultInjection: flag(fields, "faultInjection")?.value ?? false)
    }

    private mutating func network(_ tree: Tree, _ label: String) -> (name: Located<String>?, description: String?) {
        guard let fields = fields(tree, label, known: ["name", "description"]) else { return (nil, nil) }
        return (
            name(fields, "name", .label, example: "name: san0"), text(fields, "description", example: nil)?.value
        )
    }

    private mutating func host(_ tree: Tree, _ label: String) -> Declarations.Host? {
        guard let fields = fields(tree, label, known: ["name", "rack", "row", "portals"]) else { return nil }
        let name = name(fields, "name", .iscsiPart, example: "name: storage0")
        let example = "portals: [{network: san0, address: 10.77.0.21}]"
        let portals = objects(fields, "portals", kind: "portal", example: example)
        if case .sequence(let elements) = fields.entries["portals"]?.value.content, elements.isEmpty {
            problems.error(fields.position(of: "portals"), "\(label) has no portal", "write \(example)")
        }
        if portals.count > 64 {
            problems.error(
                fields.position(of: "portals"), "\(label) has \(portals.count) portals", "write at most 64")
        }
        return Declarations.Host(
            label: label, name: name, rack: self.name(fields, "rack", .label, example: nil)?.value,
            row: self.name(fields, "row", .label, example: nil)?.value,
            portals: portals.compactMap { portal($0.tree, "\(label), \($0.label)") })
    }

    private mutating func portal(_ tree: Tree, _ label: String) -> Declarations.Portal? {
        let known = ["network", "address", "port", "tag", "group"]
        guard let fields = fields(tree, label, known: known) else { return nil }
        let port = integer(fields, "port", 1...65535, example: nil)
        return Declarations.Portal(
            position: fields.position, network: name(fields, "network", .label, example: "network: san0"),
            address: address(fields, "address", example: "address: 10.77.0.21"),
            port: port.map { UInt16($0.value) } ?? Rack.Portal.defaultPort,
            tag: integer(fields, "tag", 1...65535, example: nil),
            group: name(fields, "group", .label, example: nil))
    }

    private mutating func client(_ tree: Tree, _ label: String) -> Declarations.Client? {
        let known = ["name", "address", "nodeID", "initiator", "isid", "key"]
        guard let fields = fields(tree, label, known: known) else { return nil }
        return Declarations.Client(
            label: label, position: fields.position, name: name(fields, "name", .iscsiPart, example: "name: client0"),
            address: address(fields, "address", example: "address: 10.77.9.11, for cluster traffic"),
            nodeID: integer(fields, "nodeID", 1...2_147_483_647, example: "nodeID: 1"),
            initiator: iscsiName(fields, "initiator"), isid: isid(fields), key: reservationKey(fields))
    }

    private mutating func volume(_ tree: Tree, _ label: String) -> Declarations.Volume? {
        let known = [
            "name", "size", "path", "hosts", "clients", "wwid", "target", "blockSize", "readOnly", "multipath",
        ]
        guard let fields = fields(tree, label, known: known) else { return nil }
        let name = name(fields, "name", .iscsiPart, example: "name: mpath0")
        if let name, name.value == "control" {
            problems.error(
                name.position, "\(label): /dev/mapper/control is device-mapper's own node", "write another name")
        }
        let blockSize = integer(fields, "blockSize", 512...4096, example: nil)
        if let blockSize, blockSize.value != 512, blockSize.value != 4096 {
            problems.error(
                blockSize.position, "\(label): a block of \(blockSize.value) bytes is not offered", "write 512 or 4096")
        }
        let size = size(fields, "size", example: "size: 1GiB")
        let block = blockSize?.value ?? 512
        if let size, block == 512 || block == 4096, size.value % block != 0 {
            let down = size.value / block * block
            problems.error(
                size.position, "\(label): \(size.value) bytes are no whole number of \(block)-byte blocks",
                "write \(down > 0 ? "\(down) or " : "")\(down + block)")
        }
        let path = path(fields, "path", example: "path: /srv/storage/\(name?.value ?? "mpath0").img")
        if let path, path.value == "/" || path.value == "/dev" {
            problems.error(
                path.position, "\(label): path \(path.value) is a folder", "write the path of a file or device")
        }
        return Declarations.Volume(
            label: label, position: fields.position, name: name, size: size, path: path,
            hosts: texts(fields, "hosts", example: "hosts: [storage0]"), target: iscsiName(fields, "target"),
            wwid: wwid(fields), blockSizeBytes: block == 4096 ? 4096 : 512,
            isReadOnly: flag(fields, "readOnly")?.value ?? false, multipath: multipath(fields),
            clients: texts(fields, "clients", example: nil))
    }

    private mutating func multipath(_ volume: Fields) -> MultipathSettings {
        let standard = MultipathSettings.standard
        let label = "\(volume.label), multipath"
        guard let entry = volume.entries["multipath"],
            let fields = fields(entry.value, label, known: ["grouping", "selector", "queueSeconds"])
        else { return standard }
        let grouping = word(fields, "grouping", example: nil, among: MultipathSettings.Grouping.self)
        let selector = word(fields, "selector", example: nil, among: MultipathSettings.Selector.self) { text in
            text.hasSuffix(" 0") ? String(text.dropLast(2)) : text
        }
        let queue = integer(fields, "queueSeconds", 0...86400, example: nil)
        return MultipathSettings(
            grouping: grouping?.value ?? standard.grouping, selector: selector?.value ?? standard.selector,
            queueSeconds: queue.map { Int($0.value) } ?? standard.queueSeconds)
    }

    private mutating func volumeGroup(_ tree: Tree, _ label: String) -> Declarations.VolumeGroup? {
        let known = ["name", "volumes", "extentSize", "logicalVolumes"]
        guard let fields = fields(tree, label, known: known) else { return nil }
        let name = name(fields, "name", .volumeGroup, example: "name: VG0")
        let volumes = texts(fields, "volumes", example: "volumes: [mpath0]")
        if let volumes, volumes.value.isEmpty, case .sequence = fields.entries["volumes"]?.value.content {
            problems.error(volumes.position, "\(label) is made of no volume", "write volumes: [mpath0]")
        }
        var extentSize: UInt64? = 4 << 20
        if fields.entries["extentSize"] != nil {
            extentSize = size(fields, "extentSize", example: nil)?.value
            if let bytes = extentSize, bytes & (bytes - 1) != 0 || bytes < 128 << 10 || bytes > 16 << 30 {
                problems.error(
                    fields.position(of: "extentSize"), "\(label): extentSize is no power of two from 128KiB to 16GiB",
                    "write extentSize: 4MiB")
                extentSize = nil
            }
        }
        let logicalVolumes = objects(fields, "logicalVolumes", kind: "logical volume", example: nil).compactMap {
            logicalVolume($0.tree, $0.label, extentSizeBytes: extentSize)
        }
        return Declarations.VolumeGroup(
            label: label, position: fields.position, name: name, volumes: volumes, extentSizeBytes: extentSize,
            logicalVolumes: logicalVolumes)
    }

    private mutating func logicalVolume(
        _ tree: Tree, _ label: String, extentSizeBytes: UInt64?
    ) -> Declarations.LogicalVolume? {
        guard let fields = fields(tree, label, known: ["name", "extents", "size"]) else { return nil }
        let name = name(fields, "name", .logicalVolume, example: "name: LV0")
        var size: Located<LogicalVolume.Size>?
        switch (fields.entries["extents"], fields.entries["size"]) {
        case (nil, nil):
            problems.error(fields.position, "\(label) has no size", "write extents: 510, or size: 2GiB, or size: 100%")
        case (.some, .some(let entry)):
            problems.error(entry.key.position, "\(label) has both extents and size", "keep one of them")
        case (.some, nil):
            size = integer(fields, "extents", 1...4_294_967_295, example: nil).map {
                Located(value: .extents($0.value), position: $0.position)
            }
        case (nil, .some):
            size = logicalVolumeSize(fields, extentSizeBytes: extentSizeBytes)
        }
        return Declarations.LogicalVolume(label: label, position: fields.position, name: name, size: size)
    }

    private mutating func logicalVolumeSize(
        _ fields: Fields, extentSizeBytes: UInt64?
    ) -> Located<LogicalVolume.Size>? {
        guard let text = text(fields, "size", example: nil) else { return nil }
        if text.value.hasSuffix("%") {
            let number = text.value.dropLast()
            guard number.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let percent = Int(number),
                (1...100).contains(percent)
            else {
                problems.error(
                    text.position, "\(fields.label): size \(quoted(text.value)) is no share of the group",
                    "write 1% to 100%")
                return nil
            }
            return Located(value: .percentOfGroup(percent), position: text.position)
        }
        guard let bytes = size(text, "\(fields.label): size") else { return nil }
        if let extent = extentSizeBytes, bytes.value % extent != 0 {
            let down = bytes.value / extent
            problems.error(
                text.position,
                "\(fields.label): \(quoted(text.value)) is no whole number of \(ByteSize(bytes: extent)) extents",
                "write extents: \(down + 1)\(down > 0 ? " or extents: \(down)" : "")")
            return nil
        }
        return Located(value: .bytes(bytes.value), position: text.position)
    }

    private mutating func filesystem(_ tree: Tree, _ label: String) -> Declarations.Filesystem? {
        let known = ["name", "type", "cluster", "volume", "journals", "mount", "options"]
        guard let fields = fields(tree, label, known: known) else { return nil }
        let mount = path(fields, "mount", example: "mount: /mnt")
        if let mount, mount.value == "/" || mount.value.contains(where: \.isWhitespace) {
            problems.error(
                mount.position, "\(label): \(quoted(mount.value)) is no place to mount on",
                "write a folder's absolute path without spaces, such as /mnt")
        }
        return Declarations.Filesystem(
            label: label, position: fields.position, name: name(fields, "name", .filesystem, example: "name: gfs2"),
            kind: word(fields, "type", example: "type: gfs2", among: Filesystem.Kind.self)?.value,
            cluster: name(fields, "cluster", .cluster, example: "cluster: client"),
            volume: logicalVolumeReference(fields),
            journals: integer(fields, "journals", 1...128, example: "journals: 4, at least one for each client"),
            mount: mount, options: mountOptions(fields))
    }

    private mutating func logicalVolumeReference(
        _ fields: Fields
    ) -> Located<(group: String, logicalVolume: String)>? {
        guard let text = text(fields, "volume", example: "volume: VG0/LV0, a volume group and a logical volume")
        else { return nil }
        let parts = text.value.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            problems.error(
                text.position, "\(fields.label): volume \(quoted(text.value)) is not of the form GROUP/VOLUME",
                "write one such as VG0/LV0")
            return nil
        }
        return Located(value: (parts[0], parts[1]), position: text.position)
    }

    private mutating func mountOptions(_ fields: Fields) -> [String] {
        guard let options = texts(fields, "options", example: nil) else { return [] }
        for option in options.value {
            let isSafe = option.value.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x2f, 0x3a, 0x3d, 0x5f: true
                default: false
                }
            }
            if option.value.isEmpty || !isSafe {
                problems.error(
                    option.position, "\(fields.label): \(quoted(option.value)) is no mount option",
                    "write each option as an element of its own: [noatime, nodiratime]")
            } else if option.value.hasPrefix("lockproto=") || option.value.hasPrefix("locktable=") {
                problems.error(
                    option.position, "\(fields.label): \(quoted(option.value)) is derived from cluster and name",
                    "remove it")
            }
        }
        return options.value.map(\.value)
    }

    private mutating func timeouts(_ root: Fields) -> Timeouts {
        let standard = Timeouts.standard
        let known = ["nopInterval", "nopTimeout", "recovery", "pathCheck"]
        guard let entry = root.entries["timeouts"], let fields = fields(entry.value, "timeouts", known: known)
        else { return standard }
        let seconds = known.map { integer(fields, $0, 1...3600, example: nil).map { Int($0.value) } }
        return Timeouts(
            nopIntervalSeconds: seconds[0] ?? standard.nopIntervalSeconds,
            nopTimeoutSeconds: seconds[1] ?? standard.nopTimeoutSeconds,
            recoverySeconds: seconds[2] ?? standard.recoverySeconds,
            pathCheckSeconds: seconds[3] ?? standard.pathCheckSeconds)
    }
}

extension MultipathSettings {
    /// What holds where the file says nothing.
    public static let standard = MultipathSettings(grouping: .groupByHost, selector: .serviceTime, queueSeconds: 60)
}

// Identifiers that are set by hand.
extension Reader {
    /// Required where there is an example; derived otherwise.
    mutating func iscsiName(_ fields: Fields, _ key: String, example: String? = nil) -> Located<String>? {
        guard let text = text(fields, key, example: example) else { return nil }
        if let objection = ISCSIName.objection(text.value) {
            problems.error(
                text.position, "\(fields.label): \(key) \(objection)",
                "write one such as iqn.2026-01.net.example:disk0"
                    + (example == nil ? ", or remove the key and let it be derived" : ""))
            return nil
        }
        return text
    }

    private mutating func wwid(_ fields: Fields) -> Located<UInt64>? {
        guard let text = text(fields, "wwid", example: nil) else { return nil }
        var digits = text.value.lowercased()
        if digits.hasPrefix("0x") { digits.removeFirst(2) }
        // As scsi_id and multipath print it, with the designator's type in front.
        if digits.utf8.count == 17, digits.hasPrefix("33") { digits.removeFirst() }
        guard digits.utf8.count == 16, digits.hasPrefix("3"), let number = hexadecimalNumber(digits) else {
            problems.error(
                text.position, "\(fields.label): wwid \(quoted(text.value)) is no locally assigned NAA identifier",
                "write 16 hexadecimal digits of which the first is 3")
            return nil
        }
        return Located(value: number, position: text.position)
    }

    private mutating func isid(_ fields: Fields) -> Located<UInt64>? {
        guard let text = text(fields, "isid", example: nil) else { return nil }
        var digits = text.value.lowercased()
        if digits.hasPrefix("0x") { digits.removeFirst(2) }
        digits.removeAll { $0 == ":" }
        // The two highest bits say how the rest is made; 11b is reserved (RFC 7143, 11.12.5).
        guard digits.utf8.count == 12, let number = hexadecimalNumber(digits), number & 0xffff == 0, number >> 46 != 3
        else {
            problems.error(
                text.position, "\(fields.label): isid \(quoted(text.value)) is no base of initiator session ids",
                "write 12 hexadecimal digits such as 80a1b2c30000: the first two at most bf, the last four 0")
            return nil
        }
        return Located(value: number, position: text.position)
    }

    private mutating func reservationKey(_ fields: Fields) -> Located<UInt64>? {
        guard let text = text(fields, "key", example: nil) else { return nil }
        var digits = text.value.lowercased()
        if digits.hasPrefix("0x") { digits.removeFirst(2) }
        guard (1...16).contains(digits.utf8.count), let number = hexadecimalNumber(digits), number != 0 else {
            problems.error(
                text.position, "\(fields.label): key \(quoted(text.value)) is no reservation key",
                "write 0x and 1 to 16 hexadecimal digits, not all of them 0")
            return nil
        }
        return Located(value: number, position: text.position)
    }

    private func hexadecimalNumber(_ digits: String) -> UInt64? {
        digits.utf8.allSatisfy(ISCSIName.isHexadecimal) ? UInt64(digits, radix: 16) : nil
    }
}
