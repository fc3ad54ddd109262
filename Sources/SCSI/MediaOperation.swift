/// DPO and FUA of a media command (SBC-3 4.15).
public struct CacheControl: OptionSet, BitwiseCopyable, Sendable {
    /// The bits below.
    public var rawValue: UInt8
    /// From bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// DPO: these blocks will not be wanted again soon. Advice only.
    public static let disablePageOut = Self(rawValue: 1)
    /// FUA: read from, or acknowledged only when on, stable storage. `LogicalUnit.begin` also sets it on every write
    /// while an initiator has the write cache switched off (WCE 0).
    public static let forceUnitAccess = Self(rawValue: 2)
}

/// What VERIFY and WRITE AND VERIFY compare: BYTCHK (SBC-3 5.27).
public enum ByteCheck: UInt8, BitwiseCopyable, Sendable {
    /// 00b: the blocks can be read; no data is compared. VERIFY then has no Data-Out.
    case medium = 0
    /// 01b: the Data-Out holds every block, each is compared.
    case compare = 1
    /// 11b: the Data-Out holds one block, every block of the range is compared with it. VERIFY only.
    case compareOneBlock = 3
}

/// Flags of WRITE SAME (SBC-3 5.40).
public struct WriteSameOptions: OptionSet, BitwiseCopyable, Sendable {
    /// The bits below.
    public var rawValue: UInt8
    /// From bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// UNMAP: the blocks may be deallocated, if the block sent is all zeros (LBPRZ is 1: unmapped blocks read as
    /// zeros). If it is not, it has to be written (SBC-3 4.7.3.4.3).
    public static let unmap = Self(rawValue: 1)
    /// NDOB: no Data-Out, the block is all zeros.
    public static let noDataOut = Self(rawValue: 2)
    /// On stable storage before the answer. WRITE SAME has no FUA bit; set by `LogicalUnit.begin` while WCE is 0.
    public static let forceUnitAccess = Self(rawValue: 4)
}

/// A command that only moves or checks blocks, decoded: everything the store needs, and nothing else.
///
/// This is the data path. Decoding allocates nothing and needs no unit state: only the descriptor block and a copy of
/// the geometry. While `LogicalUnit.requiresInspection` is true commands go through `LogicalUnit.begin` instead, which
/// puts unit attentions, write protection and the like first and then decodes here too.
public enum MediaOperation: BitwiseCopyable, Sendable, Equatable {
    /// READ (6), (10), (12), (16).
    case read(BlockRange, CacheControl)
    /// WRITE (6), (10), (12), (16).
    case write(BlockRange, CacheControl)
    /// WRITE AND VERIFY (10), (12), (16): written, on stable storage, and read back; with `.compare` also compared.
    case writeAndVerify(BlockRange, ByteCheck, CacheControl)
    /// VERIFY (10), (12), (16).
    case verify(BlockRange, ByteCheck, CacheControl)
    /// WRITE SAME (10), (16): one block's worth of data into every block of the range.
    case writeSame(BlockRange, WriteSameOptions)
    /// COMPARE AND WRITE: the blocks are read and compared with the first half of the Data-Out; when they are equal the
    /// second half is written. No other command on the unit comes in between (SBC-3 5.2).
    case compareAndWrite(BlockRange, CacheControl)
    /// ORWRITE (16): the blocks are read, the Data-Out is or'ed into them, they are written back; no other command on
    /// the unit comes in between (SBC-3 5.7).
    case orWrite(BlockRange, CacheControl)
    /// WRITE ATOMIC (16): after whatever failure all of the blocks hold the new data, or none does; and no other command sees
    /// some of both (SBC-4 4.28).
    case writeAtomic(BlockRange, CacheControl)
    /// SYNCHRONIZE CACHE (10), (16), and what START STOP UNIT flushes. `immediate`: answer GOOD at once, errors later.
    case synchronizeCache(BlockRange, immediate: Bool)
    /// PRE-FETCH (10), (16): advice. `immediate`: answer at once.
    case prefetch(BlockRange, immediate: Bool)

    /// The blocks concerned, always inside the unit whose geometry decoded them.
    public var range: BlockRange {
        switch self {
        case .read(let range, _), .write(let range, _), .writeAndVerify(let range, _, _), .verify(let range, _, _),
            .writeSame(let range, _), .compareAndWrite(let range, _), .orWrite(let range, _),
            .writeAtomic(let range, _), .synchronizeCache(let range, _), .prefetch(let range, _):
            range
        }
    }

    /// Whether the medium changes.
    public var isWrite: Bool {
        switch self {
        case .write, .writeAndVerify, .writeSame, .compareAndWrite, .orWrite, .writeAtomic: true
        case .read, .verify, .synchronizeCache, .prefetch: false
        }
    }

    /// Whether the answer has to wait for stable storage.
    public var forcesUnitAccess: Bool {
        switch self {
        case .read(_, let control), .write(_, let control), .verify(_, _, let control),
            .compareAndWrite(_, let control), .orWrite(_, let control):
            control.contains(.forceUnitAccess)
        case .writeAndVerify, .writeAtomic: true
        case .writeSame(_, let options): options.contains(.forceUnitAccess)
        case .synchronizeCache(_, let immediate): !immediate
        case .prefetch: false
        }
    }

    /// Bytes of Data-Out the command takes from the initiator.
    public func dataOutLengthBytes(_ geometry: BlockGeometry) -> UInt64 {
        let blockLength = UInt64(geometry.blockLengthBytes)
        return switch self {
        case .write(let range, _), .writeAndVerify(let range, _, _), .verify(let range, .compare, _),
            .orWrite(let range, _), .writeAtomic(let range, _):
            range.blockCount * blockLength
        case .compareAndWrite(let range, _): 2 * range.blockCount * blockLength
        case .verify(let range, .compareOneBlock, _): range.isEmpty ? 0 : blockLength
        case .writeSame(_, let options): options.contains(.noDataOut) ? 0 : blockLength
        case .read, .verify, .synchronizeCache, .prefetch: 0
        }
    }

    /// Bytes of Data-In the command sends to the initiator.
    public func dataInLengthBytes(_ geometry: BlockGeometry) -> UInt64 {
        if case .read(let range, _) = self { range.blockCount * UInt64(geometry.blockLengthBytes) } else { 0 }
    }

    /// What is wrong with the initiator's expected Data-Out length, if anything. More than the command takes is fine
    /// (the rest is residual underflow); so is less for WRITE and WRITE AND VERIFY, if it is whole blocks: see
    /// `truncated`.
    ///
    /// Refused, with INVALID FIELD IN COMMAND INFORMATION UNIT and nothing written: half a block; a VERIFY or ORWRITE with
    /// less data than it takes; a WRITE SAME with anything but one block, which says that initiator and unit disagree
    /// about the block length (SBC-3 5.40). A COMPARE AND WRITE with anything but two halves is refused with INVALID FIELD
    /// IN CDB: NUMBER OF LOGICAL BLOCKS has one byte, in which 256 has become 0.
    public func expectedDataOutFault(_ expectedLengthBytes: UInt32, _ geometry: BlockGeometry) -> Sense? {
        let expected = UInt64(expectedLengthBytes)
        let needed = dataOutLengthBytes(geometry)
        if expected == needed { return nil }
        return switch self {
        case .write, .writeAndVerify:
            expected > needed || expected % UInt64(geometry.blockLengthBytes) == 0
                ? nil : .invalidFieldInCommandInformationUnit
        case .writeSame: .invalidFieldInCommandInformationUnit
        case .compareAndWrite: .invalidFieldInCDB(byte: 13)
        case .verify, .orWrite, .writeAtomic: expected > needed ? nil : .invalidFieldInCommandInformationUnit
        case .read, .synchronizeCache, .prefetch: nil
        }
    }

    /// The operation for an initiator that sends less than the command takes: the blocks it does send and no others.
    /// The rest of the command is residual overflow, `dataOutLengthBytes` of the whole operation less what was
    /// expected.
    public func truncated(toDataOutLengthBytes expectedLengthBytes: UInt32, _ geometry: BlockGeometry) -> Self {
        let blocks = UInt64(expectedLengthBytes / geometry.blockLengthBytes)
        guard blocks < range.blockCount else { return self }
        let sent = BlockRange(firstBlock: range.firstBlock, blockCount: blocks)
        return switch self {
        case .write(_, let control): .write(sent, control)
        case .writeAndVerify(_, let check, let control): .writeAndVerify(sent, check, control)
        case .read, .verify, .writeSame, .compareAndWrite, .orWrite, .writeAtomic, .synchronizeCache, .prefetch: self
        }
    }

    /// The same operation, with writes made durable before they are acknowledged.
    public var writingThrough: Self {
        switch self {
        case .write(let range, let control): .write(range, control.union(.forceUnitAccess))
        case .writeAndVerify(let range, let check, let control):
            .writeAndVerify(range, check, control.union(.forceUnitAccess))
        case .writeSame(let range, let options): .writeSame(range, options.union(.forceUnitAccess))
        case .compareAndWrite(let range, let control): .compareAndWrite(range, control.union(.forceUnitAccess))
        case .orWrite(let range, let control): .orWrite(range, control.union(.forceUnitAccess))
        case .read, .verify, .writeAtomic, .synchronizeCache, .prefetch: self
        }
    }
}

/// What `MediaOperation.decode` found.
public enum MediaDecode: BitwiseCopyable, Sendable, Equatable {
    /// A media command that may run.
    case operation(MediaOperation)
    /// Some other command: `LogicalUnit.begin` knows.
    case notMediaCommand
    /// A media command that ends in CHECK CONDITION with this sense.
    case failed(Sense)
}
