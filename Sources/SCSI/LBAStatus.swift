/// GET LBA STATUS parameter data (SBC-3 5.5.2).
public enum LBAStatus {
    /// PROVISIONING STATUS.
    public enum Provisioning: UInt8, BitwiseCopyable, Sendable {
        /// Data is there.
        case mapped = 0
        /// A hole; reads as zeros.
        case deallocated = 1
    }

    /// Blocks of one status, next to each other.
    public struct Extent: BitwiseCopyable, Sendable, Equatable {
        /// The blocks.
        public var range: BlockRange
        /// Their status.
        public var provisioning: Provisioning

        /// Names an extent.
        public init(range: BlockRange, provisioning: Provisioning) {
            self.range = range
            self.provisioning = provisioning
        }
    }

    /// Extents of bytes, next to each other, as extents of blocks: a block counts as mapped when any byte of it is, where
    /// the file system's own blocks are smaller.
    public static func blocks(
        _ bytes: [(offset: UInt64, length: UInt64, isAllocated: Bool)], blockLengthBytes blockBytes: UInt64
    ) -> [Extent] {
        var found: [Extent] = []
        var next = bytes.first.map { $0.offset / blockBytes } ?? 0
        for extent in bytes {
            let end = extent.offset + extent.length
            // What is allocated takes in the block that it ends in; a hole leaves that to the next extent.
            let endBlock = extent.isAllocated ? (end + blockBytes - 1) / blockBytes : end / blockBytes
            guard endBlock > next else { continue }
            found.append(
                Extent(
                    range: BlockRange(firstBlock: next, blockCount: endBlock - next),
                    provisioning: extent.isAllocated ? .mapped : .deallocated))
            next = endBlock
        }
        return found
    }

    /// How many descriptors fit into `allocationLength`, at least 1 and at most 1024: no answer needs more extents from
    /// the store than this.
    public static func maximumExtents(allocationLength: UInt32) -> Int {
        max(1, min(1024, (Int(allocationLength) - 8) / 16))
    }

    /// The parameter data, cut to `allocationLength`. `extents` start at the block the command named and follow each
    /// other; neighbours of equal status are joined, one longer than 2^32 - 1 blocks is split. An empty one is left
    /// out.
    public static func parameterData(extents: [Extent], allocationLength: UInt32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8)
        let limit = maximumExtents(allocationLength: allocationLength)
        var descriptors = 0
        for extent in joined(extents) {
            var first = extent.range.firstBlock
            var left = extent.range.blockCount
            while left > 0 && descriptors < limit {
                let count = UInt32(min(left, UInt64(UInt32.max)))
                bytes.append(bigEndian: first)
                bytes.append(bigEndian: count)
                bytes.append(contentsOf: [extent.provisioning.rawValue, 0, 0, 0])
                first += UInt64(count)
                left -= UInt64(count)
                descriptors += 1
            }
        }
        bytes.store(UInt32(bytes.count - 4), at: 0)
        return bytes.cut(to: Int(allocationLength))
    }

    private static func joined(_ extents: [Extent]) -> [Extent] {
        var result: [Extent] = []
        for extent in extents where !extent.range.isEmpty {
            if let last = result.last, last.provisioning == extent.provisioning,
                last.range.endBlock == extent.range.firstBlock
            {
                result[result.count - 1].range.blockCount += extent.range.blockCount
            } else {
                result.append(extent)
            }
        }
        return result
    }
}
