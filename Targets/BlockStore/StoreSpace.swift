import Glibc

/// Space in the file system below a store, in bytes.
public struct StoreSpace: Sendable, Hashable {
    /// What is left for this process.
    public var availableBytes: UInt64
    /// The whole of the file system.
    public var totalBytes: UInt64
    /// What the file takes up.
    public var usedBytes: UInt64
}

extension BlockStore {
    /// The space below; nil for a block device, or where the file system does not say. One that hangs may not answer: never
    /// ask on a thread that serves I/O.
    public func space() -> StoreSpace? {
        if isBlockDevice { return nil }
        var space = statvfs()
        guard unsafe fstatvfs(fileDescriptor, &space) == 0, space.f_frsize > 0,
            case .success(let status) = fileStatus(fileDescriptor)
        else { return nil }
        let unit = UInt64(space.f_frsize)
        return StoreSpace(
            availableBytes: UInt64(space.f_bavail) * unit, totalBytes: UInt64(space.f_blocks) * unit,
            usedBytes: UInt64(max(0, status.st_blocks)) * 512)
    }
}
