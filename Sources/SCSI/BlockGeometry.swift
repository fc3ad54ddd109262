/// A run of logical blocks.
public struct BlockRange: BitwiseCopyable, Sendable, Equatable {
    /// LOGICAL BLOCK ADDRESS of the first one.
    public var firstBlock: UInt64
    /// How many. 64 bits, because SYNCHRONIZE CACHE and PRE-FETCH name "up to the end" of units beyond 2^32 blocks.
    public var blockCount: UInt64

    /// Names the run.
    public init(firstBlock: UInt64, blockCount: UInt64) {
        self.firstBlock = firstBlock
        self.blockCount = blockCount
    }

    /// The block after the last one. A range made by this module lies inside its unit, so this cannot overflow there.
    public var endBlock: UInt64 { firstBlock + blockCount }

    /// No block at all.
    public var isEmpty: Bool { blockCount == 0 }
}

/// Size, block length and limits of a logical unit: what READ CAPACITY, MODE SENSE and the VPD pages B0h and B2h
/// report, and what every media command is checked against.
///
/// It is a plain value: a connection keeps a copy for the data path. `LogicalUnit.begin` works with the unit's own.
public struct BlockGeometry: BitwiseCopyable, Sendable, Equatable {
    /// Bytes in a logical block: 512 or 4096.
    public var blockLengthBytes: UInt32
    /// Logical blocks in the unit.
    public var blockCount: UInt64
    /// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT. 0: a physical block is what can be damaged as a whole when one logical
    /// block of it is written, and a file has none that is larger than a logical block. What is quick to write is
    /// `optimalTransferGranularityBlocks`.
    public var physicalBlockExponent: UInt8
    /// The unit takes no writes (WP, and DATA PROTECT to those who try).
    public var isReadOnly: Bool
    /// Thin provisioned: LBPME, LBPRZ, UNMAP and WRITE SAME with UNMAP are there, and unmapped blocks read as zeros.
    public var isThin: Bool
    /// Thin provisioned out of a file system that tells what it has left: thresholds are served (ThinProvisioning.swift).
    public var reportsResources: Bool
    /// MAXIMUM TRANSFER LENGTH in blocks, of READ, WRITE, VERIFY and WRITE AND VERIFY. 0: no limit.
    public var maximumTransferBlocks: UInt32
    /// MAXIMUM UNMAP LBA COUNT: blocks one UNMAP command may name in all.
    public var maximumUnmapBlocks: UInt32
    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
    public var maximumUnmapDescriptors: UInt32
    /// OPTIMAL UNMAP GRANULARITY in blocks: what the backing file's page or cluster holds. 0: not reported.
    public var unmapGranularityBlocks: UInt32
    /// MAXIMUM WRITE SAME LENGTH in blocks. It bounds how long one WRITE SAME keeps the store busy.
    public var maximumWriteSameBlocks: UInt64

    /// MAXIMUM ATOMIC TRANSFER LENGTH in blocks; 0: no WRITE ATOMIC.
    public var maximumAtomicBlocks: UInt32 = 0

    /// MAXIMUM COMPARE AND WRITE LENGTH in blocks: both halves of its Data-Out fit one payload buffer of 256 KiB.
    public var maximumCompareAndWriteBlocks: UInt32 { min(255, (128 << 10) / blockLengthBytes) }
    /// OPTIMAL TRANSFER LENGTH GRANULARITY in blocks: a page of 4096 bytes, or a physical block where that is more. Initiators
    /// align file systems by it (Linux: `minimum_io_size`), so that no write has to read the rest of its page.
    public var optimalTransferGranularityBlocks: UInt16 {
        max(UInt16(4096 / blockLengthBytes), 1 << UInt16(physicalBlockExponent & 0x0F))
    }
    /// Blocks of one ORWRITE, which no VPD page reports: its Data-Out fits one payload buffer of 256 KiB.
    public var maximumORWriteBlocks: UInt32 { (256 << 10) / blockLengthBytes }

    /// A unit of `blockCount` blocks with the house's limits: 8 MiB a transfer, 16 MiB a WRITE SAME, 2^20 blocks and
    /// 256 descriptors an UNMAP, 4096 bytes of unmap granularity.
    public init(
        blockLengthBytes: UInt32, blockCount: UInt64, physicalBlockExponent: UInt8 = 0,
        isReadOnly: Bool = false, isThin: Bool = true, reportsResources: Bool = true
    ) {
        precondition(blockLengthBytes == 512 || blockLengthBytes == 4096, "blocks are of 512 or 4096 bytes")
        precondition(blockCount > 0 && blockCount <= UInt64(Int64.max) / UInt64(blockLengthBytes), "0 < size < 2^63")
        self.blockLengthBytes = blockLengthBytes
        self.blockCount = blockCount
        self.physicalBlockExponent = physicalBlockExponent
        self.isReadOnly = isReadOnly
        self.isThin = isThin
        self.reportsResources = isThin && reportsResources
        maximumTransferBlocks = (8 << 20) / blockLengthBytes
        maximumUnmapBlocks = 1 << 20
        maximumUnmapDescriptors = 256
        unmapGranularityBlocks = 4096 / blockLengthBytes
        maximumWriteSameBlocks = (16 << 20) / UInt64(blockLengthBytes)
    }

    /// Whether `count` blocks from `first` on all exist. Nothing at the very end is inside; beyond it is not.
    public func contains(first: UInt64, count: UInt64) -> Bool {
        first <= blockCount && count <= blockCount - first
    }
}
