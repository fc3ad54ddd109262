/// What is left, and used, of the space that a thin unit's blocks come from (SBC-3 4.7.3): the LBA mapping resources.
public struct ProvisioningResources: BitwiseCopyable, Sendable, Equatable {
    /// Bytes that the file system below has left; other units of it may take them too.
    public var availableBytes: UInt64
    /// Bytes that the unit takes up there.
    public var usedBytes: UInt64
    /// With fewer left than this the unit tells its initiators; 0 for never.
    public var thresholdBytes: UInt64

    /// Names all three.
    public init(availableBytes: UInt64, usedBytes: UInt64, thresholdBytes: UInt64) {
        self.availableBytes = availableBytes
        self.usedBytes = usedBytes
        self.thresholdBytes = thresholdBytes
    }

    /// Counts are in threshold sets of this many bytes.
    static let thresholdSetBytes: UInt64 = 1 << 20

    /// THRESHOLD EXPONENT: a threshold set is 2 to this power logical blocks.
    static func thresholdExponent(_ geometry: BlockGeometry) -> UInt8 {
        UInt8((thresholdSetBytes / UInt64(geometry.blockLengthBytes)).trailingZeroBitCount)
    }

    static func sets(_ bytes: UInt64) -> UInt32 { UInt32(clamping: bytes / thresholdSetBytes) }

    /// Bytes from which on, once the threshold has been reached, it counts as left behind: an eighth above it, so that what
    /// goes to and fro around it is told once.
    var rearmingBytes: UInt64 { thresholdBytes + thresholdBytes / 8 }
}

extension LogicalUnit {
    /// Whether as little is left as the threshold says.
    public var hasReachedThreshold: Bool { thresholdIsReached }

    /// Takes what the file system below now says; nil where it says nothing, or the unit is not thin. When the threshold is
    /// crossed downwards every nexus present is told THIN PROVISIONING SOFT THRESHOLD REACHED, once (SBC-3 4.7.3.8).
    ///
    /// - Parameter isFullyMapped: The unit takes no more space whatever is written to it: nothing to be told of.
    /// - Returns: Whether `hasReachedThreshold` is another than before.
    public mutating func updateResources(_ new: ProvisioningResources?, isFullyMapped: Bool) -> Bool {
        resources = geometry.isThin ? new : nil
        let before = thresholdIsReached
        if let resources, resources.thresholdBytes > 0, !isFullyMapped {
            thresholdIsReached =
                resources.availableBytes < (before ? resources.rearmingBytes : resources.thresholdBytes)
        } else {
            thresholdIsReached = false
        }
        if thresholdIsReached, !before { raise(.thinProvisioningSoftThresholdReached) }
        return thresholdIsReached != before
    }

    /// The mode pages of this unit: thresholds only where there is something to have one.
    var modePages: [ModePage] {
        resources == nil ? ModePage.all.filter { $0 != .logicalBlockProvisioning } : ModePage.all
    }

    /// THRESHOLD COUNT of the Logical Block Provisioning mode page.
    var thresholdSets: UInt32 { resources.map { ProvisioningResources.sets($0.thresholdBytes) } ?? 0 }

    // MARK: LOG SENSE

    private enum LogPage {
        static let supportedPages: UInt8 = 0x00
        static let logicalBlockProvisioning: UInt8 = 0x0C
    }

    /// LOG SENSE (SPC-4 6.8): the lists of pages, and the Logical Block Provisioning page. Nothing is saved, so PC only
    /// matters to counters that are not here.
    func logSense(_ cdb: CommandDescriptorBlock) -> Execution {
        // SP: the parameters cannot be saved.
        if cdb.byte(1) & 0x01 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 0)) }
        let code = cdb.byte(2) & 0x3F
        let subpage = cdb.byte(3)
        let codes = [LogPage.supportedPages] + (resources == nil ? [] : [LogPage.logicalBlockProvisioning])
        guard codes.contains(code) else { return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 5)) }
        var contents: [UInt8] = []
        var largest: UInt16 = 0
        switch (code, subpage) {
        case (LogPage.supportedPages, 0): contents = codes
        // Supported Log Pages and Subpages: code and subpage code of each, this list itself too.
        case (LogPage.supportedPages, 0xFF):
            contents = [0x00, 0x00, 0x00, 0xFF] + codes.dropFirst().flatMap { [$0, 0] }
        case (LogPage.logicalBlockProvisioning, 0):
            let first = cdb.uint16(at: 5)
            let parameters = provisioningParameters
            largest = parameters.map(\.code).max() ?? 0
            for parameter in parameters where parameter.code >= first { contents += parameter.bytes }
        default: return .checkCondition(.invalidFieldInCDB(byte: 3, bit: 7))
        }
        if cdb.uint16(at: 5) > largest { return .checkCondition(.invalidFieldInCDB(byte: 5, bit: 7)) }
        // DS 1 where there are parameters: they are not saved. SPF where there is a subpage code.
        let flags: UInt8 = (largest > 0 ? 0x80 : 0) | (subpage == 0 ? 0 : 0x40)
        var bytes: [UInt8] = [flags | code, subpage]
        bytes.append(bigEndian: UInt16(contents.count))
        return .parameterData((bytes + contents).cut(to: Int(cdb.uint16(at: 7))))
    }

    /// Available and Used LBA Mapping Resource Count (SBC-3 6.3.4): 12 bytes each.
    private var provisioningParameters: [(code: UInt16, bytes: [UInt8])] {
        guard let resources else { return [] }
        // SCOPE 2: others may take of what is available; 1: what is used is this unit's alone.
        let counts: [(UInt16, UInt64, UInt8)] = [(1, resources.availableBytes, 2), (2, resources.usedBytes, 1)]
        return counts.map { code, count, scope in
            var bytes: [UInt8] = []
            bytes.append(bigEndian: code)
            bytes += [0x03, 8]  // FORMAT AND LINKING 11b, a binary list; PARAMETER LENGTH
            bytes.append(bigEndian: ProvisioningResources.sets(count))
            return (code, bytes + [scope, 0, 0, 0])
        }
    }
}
