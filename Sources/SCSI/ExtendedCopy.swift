/// So that a `Result` can say why a list is refused.
extension Sense: Error {}

/// An EXTENDED COPY (LID1) (SPC-4 6.4) as its parameter list has it: what to copy from which unit to which.
public struct ExtendedCopy: Sendable, Equatable {
    /// One segment (block device to block device, SPC-4 6.4.6.3).
    public struct Segment: Sendable, Equatable {
        /// Places in `units` of source and destination.
        public var source: Int
        /// See `source`.
        public var destination: Int
        /// Blocks of the source.
        public var from: BlockRange
        /// As many of the destination.
        public var to: BlockRange
    }

    /// NAA identifiers of the units that the target descriptors name; nil for a designator that no unit here has.
    public var units: [UInt64?]
    /// In order.
    public var segments: [Segment]
    /// LIST IDENTIFIER under which RECEIVE COPY RESULTS finds the outcome; nil when the initiator does not want it kept.
    public var listIdentifier: UInt8?

    /// MAXIMUM TARGET DESCRIPTOR COUNT.
    static let maximumTargets = 16
    /// MAXIMUM SEGMENT DESCRIPTOR COUNT.
    static let maximumSegments = 64
    /// MAXIMUM DESCRIPTOR LIST LENGTH in bytes.
    static let maximumListBytes = maximumTargets * targetBytes + maximumSegments * segmentBytes
    /// MAXIMUM SEGMENT LENGTH in bytes; NUMBER OF BLOCKS has 16 bits, so it does not bound blocks of 512 bytes.
    static let maximumSegmentBytes: UInt32 = 256 << 20
    static let headerBytes = 16
    private static let targetBytes = 32
    private static let segmentBytes = 28

    /// Reads a parameter list. Everything is checked before anything is copied.
    static func parse(_ list: RawSpan) -> Result<ExtendedCopy, Sense> {
        guard list.byteCount >= headerBytes else { return .failure(.parameterListLengthError) }
        let targets = Int(list.bigEndian(UInt16.self, at: 2))
        let segments = Int(list.bigEndian(UInt32.self, at: 8))
        guard targets + segments <= maximumListBytes, headerBytes + targets + segments <= list.byteCount else {
            return .failure(.parameterListLengthError)
        }
        if list.bigEndian(UInt32.self, at: 12) != 0 { return .failure(.inlineDataLengthExceeded) }
        guard targets % targetBytes == 0 else { return .failure(.invalidFieldInParameterList(byte: 2)) }
        guard targets / targetBytes <= maximumTargets else { return .failure(.tooManyTargetDescriptors) }
        // LIST ID USAGE: 0 keeps the outcome; 2 has an identifier and keeps nothing; 3 has none.
        let usage = list.byte(1) >> 3 & 3
        if usage == 1 { return .failure(.invalidFieldInParameterList(byte: 1, bit: 4)) }
        var copy = ExtendedCopy(units: [], segments: [], listIdentifier: usage == 0 ? list.byte(0) : nil)
        for index in 0..<targets / targetBytes {
            let offset = headerBytes + index * targetBytes
            guard list.byte(offset) == 0xE4 else { return .failure(.unsupportedTargetDescriptorType(byte: offset)) }
            copy.units.append(identifier(list, at: offset))
        }
        return copy.readSegments(list, from: headerBytes + targets, lengthBytes: segments).map { copy }
    }

    /// The NAA identifier of an identification descriptor target descriptor (SPC-4 6.4.5.2); LU ID TYPE and NUL are
    /// obsolete and not looked at.
    private static func identifier(_ list: RawSpan, at offset: Int) -> UInt64? {
        let isBinary = list.byte(offset + 4) & 0x0F == 1
        let isUnitNAA = list.byte(offset + 5) & 0x3F == 0x03
        let isDisk = list.byte(offset + 1) & 0x1F == 0
        guard isBinary, isUnitNAA, isDisk, list.byte(offset + 7) == 8 else { return nil }
        return list.bigEndian(UInt64.self, at: offset + 8)
    }

    private mutating func readSegments(_ list: RawSpan, from start: Int, lengthBytes: Int) -> Result<Void, Sense> {
        var offset = start
        let end = start + lengthBytes
        while offset < end {
            guard segments.count < Self.maximumSegments else { return .failure(.tooManySegmentDescriptors) }
            guard list.byte(offset) == 0x02 else { return .failure(.unsupportedSegmentDescriptorType(byte: offset)) }
            guard offset + Self.segmentBytes <= end, list.bigEndian(UInt16.self, at: offset + 2) == 0x18 else {
                return .failure(.invalidFieldInParameterList(byte: UInt16(offset + 2)))
            }
            let count = UInt64(list.bigEndian(UInt16.self, at: offset + 10))
            segments.append(
                Segment(
                    source: Int(list.bigEndian(UInt16.self, at: offset + 4)),
                    destination: Int(list.bigEndian(UInt16.self, at: offset + 6)),
                    from: BlockRange(firstBlock: list.bigEndian(UInt64.self, at: offset + 12), blockCount: count),
                    to: BlockRange(firstBlock: list.bigEndian(UInt64.self, at: offset + 20), blockCount: count)))
            offset += Self.segmentBytes
        }
        for segment in segments where segment.source >= units.count || segment.destination >= units.count {
            return .failure(.copyTargetDeviceNotReachable)
        }
        return .success(())
    }
}

/// What RECEIVE COPY RESULTS tells of a copy (SPC-4 6.22).
public struct CopyStatus: BitwiseCopyable, Sendable, Equatable {
    /// COPY MANAGER STATUS.
    public enum State: UInt8, BitwiseCopyable, Sendable {
        /// It goes on.
        case inProgress = 0
        /// All segments are copied.
        case endedWell = 1
        /// It stopped.
        case endedWithErrors = 2
    }

    /// LIST IDENTIFIER.
    public var listIdentifier: UInt8
    /// How it stands.
    public var state: State
    /// SEGMENTS PROCESSED.
    public var segments: UInt16
    /// TRANSFER COUNT, in KiB.
    public var kibibytes: UInt32

    /// Describes a copy.
    public init(listIdentifier: UInt8, state: State, segments: UInt16, kibibytes: UInt32) {
        self.listIdentifier = listIdentifier
        self.state = state
        self.segments = segments
        self.kibibytes = kibibytes
    }
}

extension LogicalUnit {
    /// Outcomes kept for one I_T nexus; older ones are forgotten.
    private static var maximumCopyStatuses: Int { 8 }

    /// EXTENDED COPY, up to its parameter list. No list is nothing to do.
    func beginExtendedCopy(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        if let failure { return .checkCondition(failure) }
        guard let length = UInt16(exactly: cdb.uint32(at: 10)) else {
            return .checkCondition(.parameterListLengthError)
        }
        return parameterList(cdb, length: length, expecting: expected)
    }

    /// The parameter list of EXTENDED COPY.
    mutating func extendedCopy(parameterList: RawSpan, from nexus: NexusHandle) -> Execution {
        switch ExtendedCopy.parse(parameterList) {
        case .failure(let sense): return .checkCondition(sense)
        case .success(let copy):
            if let identifier = copy.listIdentifier {
                let kept = nexuses[nexus]?.copies ?? []
                guard !kept.contains(where: { $0.listIdentifier == identifier && $0.state == .inProgress }) else {
                    return .checkCondition(.operationInProgress)
                }
                copyProgressed(
                    CopyStatus(listIdentifier: identifier, state: .inProgress, segments: 0, kibibytes: 0), for: nexus)
            }
            return .extendedCopy(copy)
        }
    }

    /// Records how a copy stands, for RECEIVE COPY RESULTS of the same I_T nexus.
    public mutating func copyProgressed(_ status: CopyStatus, for nexus: NexusHandle) {
        guard var kept = nexuses[nexus]?.copies else { return }
        kept.removeAll { $0.listIdentifier == status.listIdentifier }
        if kept.count == Self.maximumCopyStatuses { kept.removeFirst() }
        kept.append(status)
        nexuses[nexus]?.copies = kept
    }

    /// RECEIVE COPY RESULTS: COPY STATUS (SPC-4 6.22) and OPERATING PARAMETERS (6.23). What COPY STATUS tells of a copy
    /// that has ended is forgotten with it.
    mutating func receiveCopyResults(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        let bytes: [UInt8]
        if cdb.serviceAction == ServiceAction.operatingParameters {
            bytes = Self.copyOperatingParameters
        } else {
            let identifier = cdb.byte(2)
            let kept = nexuses[nexus]?.copies ?? []
            guard let status = kept.first(where: { $0.listIdentifier == identifier }) else {
                return .checkCondition(.invalidFieldInCDB(byte: 2))
            }
            var data: [UInt8] = [0, 0, 0, 8, status.state.rawValue]
            data.append(bigEndian: status.segments)
            data.append(0x01)  // TRANSFER COUNT UNITS: KiB
            data.append(bigEndian: status.kibibytes)
            bytes = data
            if status.state != .inProgress {
                nexuses[nexus]?.copies = kept.filter { $0.listIdentifier != identifier }
            }
        }
        return .parameterData(bytes.cut(to: Int(cdb.uint32(at: 10))))
    }

    /// 46 bytes. One descriptor type of each kind: E4h and 02h. No inline data, no held data, no streams.
    private static let copyOperatingParameters: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 44)
        bytes.store(UInt32(42), at: 0)  // AVAILABLE DATA
        bytes[4] = 0x01  // SNLID: LIST ID USAGE 3 is served
        bytes.store(UInt16(ExtendedCopy.maximumTargets), at: 8)
        bytes.store(UInt16(ExtendedCopy.maximumSegments), at: 10)
        bytes.store(UInt32(ExtendedCopy.maximumListBytes), at: 12)
        bytes.store(ExtendedCopy.maximumSegmentBytes, at: 16)
        bytes.store(UInt16(maximumCopies), at: 34)  // TOTAL CONCURRENT COPIES
        bytes[36] = UInt8(maximumCopies)  // MAXIMUM CONCURRENT COPIES
        bytes[37] = 9  // DATA SEGMENT GRANULARITY: 512 bytes
        bytes[43] = 2
        return bytes + [0x02, 0xE4]
    }()

    /// Copies at once, of the whole daemon; the server sees to it.
    public static let maximumCopies = 8

    /// Whether a copy may read or write these blocks: nil, or why not. It is asked as a READ or WRITE of the I_T nexus
    /// itself, or where that belongs to another unit, of a session that the initiator of that name has with this one, or
    /// of a stranger. Nothing of the unit changes; unit attentions stay for those whom they are meant for.
    public func copyFault(_ range: BlockRange, writes: Bool, initiatorName: String, nexus: NexusHandle) -> Sense? {
        guard geometry.contains(first: range.firstBlock, count: range.blockCount) else { return .copyAborted }
        var block = [UInt8](repeating: 0, count: 16)
        block[0] = writes ? OperationCode.write16.rawValue : OperationCode.read16.rawValue
        block.store(range.firstBlock, at: 2)
        block.store(UInt32(min(range.blockCount, UInt64(geometry.maximumTransferBlocks))), at: 10)
        let present = nexuses.first { $0.value.information.initiatorPortName.hasPrefix(initiatorName + ",i,0x") }?.key
        let asking = nexuses[nexus] != nil ? nexus : present ?? nexus
        // The very same decisions as for a command, on a copy of the unit.
        var probe = self
        while probe.takeAttention(for: asking) != nil {}
        let expected = ExpectedTransfer(dataOutLengthBytes: .max, dataInLengthBytes: .max)
        if case .media = probe.begin(CommandDescriptorBlock(block), from: asking, expecting: expected) { return nil }
        return .thirdPartyDeviceFailure
    }
}

extension VitalProductData {
    /// 8Fh, Third-party Copy (SPC-4 7.8.17): the commands, their limits, the descriptors.
    static let thirdPartyCopyContents: [UInt8] = {
        // Supported Commands: EXTENDED COPY (LID1); RECEIVE COPY RESULTS with COPY STATUS and OPERATING PARAMETERS.
        var bytes: [UInt8] = [0x00, 0x01, 0x00, 0x08, 7, 0x83, 1, 0x00, 0x84, 2, 0x00, 0x03]
        // Parameter Data.
        var parameters = [UInt8](repeating: 0, count: 32)
        parameters.store(UInt32(0x0004_001C), at: 0)
        parameters.store(UInt16(ExtendedCopy.maximumTargets), at: 8)
        parameters.store(UInt16(ExtendedCopy.maximumSegments), at: 10)
        parameters.store(UInt32(ExtendedCopy.maximumListBytes), at: 12)
        bytes += parameters
        // Supported Descriptors.
        bytes += [0x00, 0x08, 0x00, 0x04, 2, 0x02, 0xE4, 0x00]
        // General Copy Operations.
        var general = [UInt8](repeating: 0, count: 36)
        general.store(UInt32(0x8001_0020), at: 0)
        general.store(UInt32(LogicalUnit.maximumCopies), at: 4)
        general.store(UInt32(LogicalUnit.maximumCopies), at: 8)
        general.store(ExtendedCopy.maximumSegmentBytes, at: 12)
        general[16] = 9
        return bytes + general
    }()
}
