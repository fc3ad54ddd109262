import CLinux
import Glibc

/// What `BlockStore.open` would find: for checking without making, locking or changing anything.
public struct StorePreview: Sendable, Hashable {
    /// The size it has, or would be made with.
    public var lengthBytes: UInt64
    /// Whether it is a block device.
    public var isBlockDevice: Bool
    /// Whether it is missing and would be made.
    public var willBeMade: Bool
    /// Bytes that are allocated already; 0 for a block device.
    public var allocatedBytes: UInt64
    /// Bytes that the file system has left for this process; nil for a block device, or where it does not say.
    public var freeBytes: UInt64?

    /// Whether filling the file would fill its file system: a sparse file promises more than is there.
    public var isOvercommitted: Bool {
        guard let freeBytes, lengthBytes > allocatedBytes else { return false }
        return lengthBytes - allocatedBytes > freeBytes
    }
}

extension BlockStore {
    /// Checks all that `open` checks except the lock, which a daemon that serves the file now would hold.
    ///
    /// - Parameters: as those of `open`.
    /// - Throws: the error that `open` would throw.
    public static func preview(
        path: String, sizeBytes: UInt64?, blockLengthBytes: Int, readOnly: Bool
    ) throws(StoreError) -> StorePreview {
        try checkRequest(path: path, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes)
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            let error = errno
            guard error == ENOENT else { throw .opening(error, path: path, readOnly: readOnly) }
            try checkThatItMayBeMade(path: path, sizeBytes: sizeBytes, readOnly: readOnly)
            let folder = parentFolder(of: path)
            guard unsafe access(folder, W_OK | X_OK) == 0 else {
                throw .system(errno, path: path, doing: "cannot be made")
            }
            return StorePreview(
                lengthBytes: sizeBytes ?? 0, isBlockDevice: false, willBeMade: true, allocatedBytes: 0,
                freeBytes: freeBytes(folder))
        }
        try checkKind(status, path: path)
        let isDevice = status.st_mode & S_IFMT == S_IFBLK
        // A device is not opened for writing just to look: closing it would make udev probe it again.
        let flags = (readOnly || isDevice ? O_RDONLY : O_RDWR) | O_NONBLOCK
        let descriptor = unsafe rack_open(path, flags)
        guard descriptor >= 0 else { throw .opening(-descriptor, path: path, readOnly: readOnly) }
        defer { close(descriptor) }
        let bytes =
            isDevice
            ? try DeviceFacts.sizeBytes(
                descriptor, path: path, blockLengthBytes: blockLengthBytes, readOnly: readOnly)
            : UInt64(max(0, status.st_size))
        try checkSize(bytes, declared: sizeBytes, path: path, blockLengthBytes: blockLengthBytes, isDevice: isDevice)
        return StorePreview(
            lengthBytes: bytes, isBlockDevice: isDevice, willBeMade: false,
            allocatedBytes: isDevice ? 0 : UInt64(max(0, status.st_blocks)) * 512,
            freeBytes: isDevice ? nil : freeBytes(path))
    }

    /// Removes the file again if this store made it: for a start that fails after some files were made. The store must not
    /// have been written to, and is of no use afterwards.
    public func discardIfCreated() {
        guard wasCreated, case .success(let own) = fileStatus(fileDescriptor) else { return }
        var named = stat()
        guard unsafe stat(path, &named) == 0, named.st_ino == own.st_ino, named.st_dev == own.st_dev,
            own.st_blocks == 0
        else { return }
        unsafe unlink(path)
    }

    private static func freeBytes(_ path: String) -> UInt64? {
        var space = statvfs()
        guard unsafe statvfs(path, &space) == 0, space.f_frsize > 0 else { return nil }
        return UInt64(space.f_bavail) * UInt64(space.f_frsize)
    }
}
