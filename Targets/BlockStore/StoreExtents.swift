import CLinux
import Glibc

/// A run of bytes that is allocated, or a hole that reads as zeros.
public struct StoreExtent: Sendable, Hashable {
    /// Where it starts.
    public var offsetBytes: UInt64
    /// How long it is; never 0.
    public var lengthBytes: UInt64
    /// Whether the file system holds blocks for it.
    public var isAllocated: Bool

    /// Makes an extent.
    public init(offsetBytes: UInt64, lengthBytes: UInt64, isAllocated: Bool) {
        self.offsetBytes = offsetBytes
        self.lengthBytes = lengthBytes
        self.isAllocated = isAllocated
    }
}

extension BlockStore {
    /// The extents that cover `lengthBytes` from `offset`, cut to that range and to the store, neighbours of one kind
    /// merged, at most `maximum` of them (the caller goes on where the last one ends).
    ///
    /// Where the file system cannot say (a block device, a file system without SEEK_HOLE, an I/O error), everything is
    /// allocated: that is never wrong, and only tells an initiator less. Two system calls an extent; not for every read.
    public func extents(from offset: UInt64, lengthBytes: UInt64, maximum: Int) -> [StoreExtent] {
        let storeEnd = self.lengthBytes
        guard offset < storeEnd, lengthBytes > 0, maximum > 0 else { return [] }
        let end = lengthBytes > storeEnd - offset ? storeEnd : offset + lengthBytes
        if isBlockDevice { return [StoreExtent(offsetBytes: offset, lengthBytes: end - offset, isAllocated: true)] }

        var found: [StoreExtent] = []
        var position = offset
        while position < end {
            let (isAllocated, next) = extentEnd(at: position, limit: end)
            if let last = found.last, last.isAllocated == isAllocated {
                found[found.count - 1].lengthBytes += next - position
            } else {
                if found.count == maximum { break }
                found.append(
                    StoreExtent(offsetBytes: position, lengthBytes: next - position, isAllocated: isAllocated))
            }
            position = next
        }
        return found
    }

    /// Whether any byte of the range is allocated.
    public func isAllocated(from offset: UInt64, lengthBytes: UInt64) -> Bool {
        extents(from: offset, lengthBytes: lengthBytes, maximum: 2).contains { $0.isAllocated }
    }

    /// What is at `position`, and where that ends, which is after `position` and not after `limit`.
    private func extentEnd(at position: UInt64, limit: UInt64) -> (isAllocated: Bool, end: UInt64) {
        let data = rack_seek_data(fileDescriptor, Int64(position))
        if data == -Int64(ENXIO) { return (false, limit) }
        guard data >= 0 else { return (true, limit) }
        if UInt64(data) > position { return (false, min(UInt64(data), limit)) }
        let hole = rack_seek_hole(fileDescriptor, Int64(position))
        // A hole at `position` itself means that the file changed between the two calls: one block at a time then.
        guard hole > Int64(position) else { return (true, hole < 0 ? limit : min(position + 512, limit)) }
        return (true, min(UInt64(hole), limit))
    }
}
