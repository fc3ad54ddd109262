import BlockStore
import SCSI

extension LBAStatus {
    /// The parameter data of GET LBA STATUS, out of what the file system says of the store.
    static func parameterData(
        of store: BlockStore, _ geometry: BlockGeometry, from startingBlock: UInt64, _ allocationLength: UInt32
    ) -> [UInt8] {
        let blockBytes = UInt64(geometry.blockLengthBytes)
        let extents = store.extents(
            from: startingBlock * blockBytes, lengthBytes: (geometry.blockCount - startingBlock) * blockBytes,
            // One more than asked for: the first may be a hole that ends inside its block.
            maximum: maximumExtents(allocationLength: allocationLength) + 1)
        let described = blocks(
            extents.map { ($0.offsetBytes, $0.lengthBytes, $0.isAllocated) }, blockLengthBytes: blockBytes)
        return parameterData(extents: described, allocationLength: allocationLength)
    }
}
