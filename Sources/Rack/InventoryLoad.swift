import Glibc

extension Inventory {
    /// No inventory comes near this many bytes.
    public static let fileSizeLimitBytes = 4 << 20

    /// Reads and checks a rack.yaml. Never throws: whatever is wrong, also with the file itself, is in `problems`.
    public static func load(path: String) -> InventoryLoad {
        switch readFile(path) {
        case .success(let bytes): load(bytes: bytes, fileName: path)
        case .failure(let failure): refusal(fileName: path, failure.message, failure.advice)
        }
    }

    /// Reads and checks the bytes of a rack.yaml; `fileName` is what problems call it.
    public static func load(bytes: [UInt8], fileName: String) -> InventoryLoad {
        guard bytes.count <= fileSizeLimitBytes else {
            return refusal(
                fileName: fileName, "the file is larger than \(ByteSize(bytes: UInt64(fileSizeLimitBytes)))",
                "give the path of an inventory")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            var problems = ProblemList(file: fileName)
            problems.error(firstInvalidByte(bytes), "the text is not UTF-8 here", "write the file as text in UTF-8")
            return InventoryLoad(inventory: nil, problems: problems.sorted(lineCount: 1))
        }
        return load(text: text, fileName: fileName)
    }

    /// Reads and checks the text of a rack.yaml; `fileName` is what problems call it.
    public static func load(text: String, fileName: String) -> InventoryLoad {
        guard text.utf8.count <= fileSizeLimitBytes else {
            return refusal(
                fileName: fileName, "the file is larger than \(ByteSize(bytes: UInt64(fileSizeLimitBytes)))",
                "give the path of an inventory")
        }
        var problems = ProblemList(file: fileName)
        var document = Document(text, problems: &problems)
        let root = document.parse(problems: &problems)
        let lineCount = document.lineCount
        guard let root else {
            if !problems.hasErrors {
                return refusal(
                    fileName: fileName, "the file is empty",
                    "write an inventory that begins with rack: NAME, in the form README shows")
            }
            return InventoryLoad(inventory: nil, problems: problems.sorted(lineCount: lineCount))
        }
        var reader = Reader(problems: problems)
        guard let declared = reader.declarations(root) else {
            return InventoryLoad(inventory: nil, problems: reader.problems.sorted(lineCount: lineCount))
        }
        var checks = Checks(declared, problems: reader.problems)
        checks.run()
        let sorted = checks.problems.sorted(lineCount: lineCount)
        guard !checks.problems.hasErrors else { return InventoryLoad(inventory: nil, problems: sorted) }
        return InventoryLoad(inventory: Inventory(declared), problems: sorted)
    }

    private static func refusal(fileName: String, _ message: String, _ advice: String) -> InventoryLoad {
        let problem = Problem(
            severity: .error, file: fileName, line: 0, column: 0, message: message, advice: advice)
        return InventoryLoad(inventory: nil, problems: [problem])
    }

    private static func firstInvalidByte(_ bytes: [UInt8]) -> Position {
        var position = Position(line: 1, column: 1)
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            if scalar == "\n" {
                position = Position(line: position.line + 1, column: 1)
            } else {
                position.column += 1
            }
        }
        return position
    }

    private struct ReadFailure: Error {
        let message: String
        let advice: String
    }

    private static func readFile(_ path: String) -> Result<[UInt8], ReadFailure> {
        // Not blocking, so that a FIFO without a writer is refused in place of waited for.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return .failure(failure(errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return .failure(failure(errno)) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR:
            return .failure(ReadFailure(message: "this is a directory", advice: "give the path of a rack.yaml in it"))
        default:
            return .failure(
                ReadFailure(message: "this is no regular file", advice: "give the path of a rack.yaml"))
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        // A byte beyond the limit shows that there is one.
        while bytes.count <= fileSizeLimitBytes {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(failure(errno))
            }
            bytes.append(contentsOf: chunk[..<count])
        }
        return .success(bytes)
    }

    private static func failure(_ number: CInt) -> ReadFailure {
        switch number {
        case ENOENT, ENOTDIR:
            ReadFailure(message: "there is no such file", advice: "give the path of a rack.yaml")
        case EACCES, EPERM:
            ReadFailure(
                message: "the file may not be read", advice: "run as root, or give yourself the right to read it")
        default:
            ReadFailure(
                message: "the file cannot be read: \(unsafe String(cString: strerror(number)))",
                advice: "look at the file and its disk")
        }
    }
}

extension Inventory {
    /// From declarations that passed every check.
    init?(_ declared: Declarations) {
        guard let name = declared.name?.value, let prefix = declared.iqnPrefix?.value else { return nil }
        self.name = name
        iqnPrefix = prefix
        networks = (declared.networks ?? []).compactMap { network in
            network.name.map { Network(name: $0.value, description: network.description) }
        }
        hosts = declared.hosts.compactMap { StorageHost($0, rack: name) }
        clients = declared.clients.compactMap { Client($0, rack: name, prefix: prefix) }
        initiators = declared.initiators.compactMap { declared in
            guard let name = declared.name?.value, let initiator = declared.initiator?.value else { return nil }
            return Initiator(name: name, initiatorName: initiator)
        }
        authentication = declared.authentication?.settings
        volumes = declared.volumes.compactMap { Volume($0, rack: name, prefix: prefix) }
        volumeGroups = declared.volumeGroups.compactMap { VolumeGroup($0) }
        filesystems = declared.filesystems.compactMap { Filesystem($0) }
        timeouts = declared.timeouts
        limits = declared.limits
        allowsFaultInjection = declared.allowsFaultInjection
    }
}

extension StorageHost {
    fileprivate init?(_ declared: Declarations.Host, rack: String) {
        guard let name = declared.name?.value else { return nil }
        self.name = name
        failureDomain = FailureDomain(rack: declared.rack, row: declared.row)
        portals = declared.portals.compactMap { portal in
            guard let address = portal.address?.value.description else { return nil }
            return Portal(
                rack: rack, host: name, network: portal.network?.value, address: address, port: portal.port,
                tagByHand: portal.tag.map { UInt16($0.value) }, groupName: portal.group?.value)
        }
    }
}

extension Portal {
    init(
        rack: String, host: String, network: String?, address: String, port: UInt16, tagByHand: UInt16?,
        groupName: String? = nil
    ) {
        self.network = network
        self.address = address
        self.port = port
        let tag =
            tagByHand
            ?? Derivation.tag(rack: rack, host: host, endpoint: Self.endpoint(address: address, port: port))
        self.tag = tag
        tagIsSetByHand = tagByHand != nil
        self.groupName = groupName
        groupIdentifier = groupName.map { Derivation.portGroup(rack: rack, host: host, group: $0) } ?? tag
    }
}

extension Client {
    fileprivate init?(_ declared: Declarations.Client, rack: String, prefix: String) {
        guard let name = declared.name?.value, let address = declared.address?.value,
            let nodeID = declared.nodeID?.value
        else { return nil }
        self.name = name
        self.address = address.description
        self.nodeID = Int(nodeID)
        initiatorName =
            declared.initiator?.value ?? Derivation.initiatorName(prefix: prefix, rack: rack, client: name)
        initiatorNameIsSetByHand = declared.initiator != nil
        isidBase = declared.isid?.value ?? Derivation.isidBase(rack: rack, client: name)
        isidBaseIsSetByHand = declared.isid != nil
        reservationKey = declared.key?.value ?? Derivation.reservationKey(rack: rack, client: name)
        reservationKeyIsSetByHand = declared.key != nil
    }
}

extension Volume {
    fileprivate init?(_ declared: Declarations.Volume, rack: String, prefix: String) {
        guard let name = declared.name?.value, let path = declared.path?.value, let hosts = declared.hosts?.value
        else { return nil }
        self.name = name
        sizeBytes = declared.size?.value
        self.path = path
        hostNames = hosts.map(\.value)
        targetName = declared.target?.value ?? Derivation.targetName(prefix: prefix, rack: rack, volume: name)
        targetNameIsSetByHand = declared.target != nil
        wwid = declared.wwid?.value ?? Derivation.wwid(rack: rack, volume: name)
        wwidIsSetByHand = declared.wwid != nil
        blockSizeBytes = declared.blockSizeBytes
        isReadOnly = declared.isReadOnly
        multipath = declared.multipath
        clientNames = declared.clients.map { $0.value.map(\.value) }
    }
}

extension VolumeGroup {
    fileprivate init?(_ declared: Declarations.VolumeGroup) {
        guard let name = declared.name?.value, let volumes = declared.volumes?.value,
            let extentSize = declared.extentSizeBytes
        else { return nil }
        self.name = name
        volumeNames = volumes.map(\.value)
        extentSizeBytes = extentSize
        logicalVolumes = declared.logicalVolumes.compactMap { volume in
            guard let name = volume.name?.value, let size = volume.size?.value else { return nil }
            return LogicalVolume(name: name, size: size)
        }
    }
}

extension Filesystem {
    fileprivate init?(_ declared: Declarations.Filesystem) {
        guard let name = declared.name?.value, let kind = declared.kind, let cluster = declared.cluster?.value,
            let volume = declared.volume?.value, let journals = declared.journals?.value,
            let mount = declared.mount?.value
        else { return nil }
        self.name = name
        self.kind = kind
        clusterName = cluster
        volumeGroupName = volume.group
        logicalVolumeName = volume.logicalVolume
        journalCount = Int(journals)
        mountPoint = mount
        options = declared.options
    }
}
