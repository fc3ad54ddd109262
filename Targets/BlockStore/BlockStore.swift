import CLinux
import Glibc
import Synchronization

/// A regular file or block device served as numbered blocks: opened, locked, its size checked, its abilities known.
///
/// The engine reads, writes, syncs and punches holes through `fileDescriptor` itself, over io_uring; this class owns the
/// descriptor and the lock, answers where data and holes are, and remembers that an fsync failed.
///
/// What this gains: everything that can be wrong with a backing file is found before a portal opens, as one line that says
/// what to do. What it costs: the page cache is in the way (the descriptor is buffered, so a `kill -9` loses nothing that
/// was acknowledged, and a power cut loses what was not flushed, as a disk with its write cache on does). O_DIRECT was
/// turned down: it aligns every transfer to the device's blocks and loses the cache that a target serves most reads from.
public final class BlockStore: Sendable {
    /// The descriptor: O_RDWR or O_RDONLY, buffered, blocking, close-on-exec. It closes when the store goes away.
    public let fileDescriptor: Int32
    /// The path it was opened by.
    public let path: String
    /// Whether it is open for reading only; `becomeWritable` ends that.
    public var isReadOnly: Bool { readOnly.load(ordering: .acquiring) }
    /// Whether it is a block device, or else a regular file.
    public let isBlockDevice: Bool
    /// Whether this call to `open` made the file.
    public let wasCreated: Bool
    /// Whether `fallocate` can deallocate a range so that it reads as zeros.
    public var canPunchHoles: Bool { punchesHoles.load(ordering: .acquiring) }
    /// Whether `fallocate` can zero a range that stays allocated.
    public var canZeroRange: Bool { zeroesRanges.load(ordering: .acquiring) }
    /// Device and inode, by which two paths to one file are known to be one.
    public let identity: StoreIdentity

    private let length: Atomic<UInt64>
    private let readOnly: Atomic<Bool>
    private let punchesHoles: Atomic<Bool>
    private let zeroesRanges: Atomic<Bool>
    private let failed = Atomic<Bool>(false)

    /// Size in bytes, whole blocks; `grow` makes it larger.
    public var lengthBytes: UInt64 { length.load(ordering: .acquiring) }

    /// Whether an fsync has failed since the store was opened. The kernel then may have dropped dirty pages and called
    /// them clean, so a later fsync that succeeds proves nothing: the store stays failed until it is opened again.
    public var hasFailed: Bool { failed.load(ordering: .acquiring) }

    init(
        fileDescriptor: Int32, path: String, lengthBytes: UInt64, isReadOnly: Bool, isBlockDevice: Bool,
        wasCreated: Bool, canPunchHoles: Bool, canZeroRange: Bool, identity: StoreIdentity
    ) {
        self.fileDescriptor = fileDescriptor
        self.path = path
        readOnly = Atomic(isReadOnly)
        self.isBlockDevice = isBlockDevice
        self.wasCreated = wasCreated
        punchesHoles = Atomic(canPunchHoles)
        zeroesRanges = Atomic(canZeroRange)
        self.identity = identity
        length = Atomic(lengthBytes)
    }

    deinit { close(fileDescriptor) }

    /// Takes over what opening it again for writing found.
    func tookWriting(_ abilities: StoreAbilities) {
        punchesHoles.store(abilities.canPunchHoles, ordering: .releasing)
        zeroesRanges.store(abilities.canZeroRange, ordering: .releasing)
        readOnly.store(false, ordering: .releasing)
    }

    /// Remembers that a sync of this store failed, whoever issued it.
    public func markFailed() { failed.store(true, ordering: .releasing) }

    /// Puts everything written so far on stable storage (fdatasync). A store that failed once fails every time.
    public func flush() throws(StoreError) {
        if isReadOnly { return }
        guard !hasFailed else {
            throw StoreError(
                kind: .ioError, path: path, cause: "an earlier sync failed, so what was written since is in doubt",
                advice: "look at the kernel's log for the device, then start again and check the data",
                errorNumber: EIO)
        }
        while fdatasync(fileDescriptor) != 0 {
            let error = errno
            if error == EINTR { continue }
            markFailed()
            throw .system(error, path: path, doing: "cannot be synced")
        }
    }

    /// Makes the store larger and syncs the new size; a smaller size is refused, the same one is nothing to do.
    ///
    /// A block device is not changed: its own size must have grown to `bytes` already.
    public func grow(toBytes bytes: UInt64, blockLengthBytes: Int) throws(StoreError) {
        let blockLength = UInt64(blockLengthBytes)
        guard bytes % blockLength == 0 else {
            throw .notWholeBlocks(path: path, bytes: bytes, blockLengthBytes: blockLengthBytes)
        }
        guard bytes >= lengthBytes else {
            throw StoreError(
                kind: .sizeMismatch, path: path,
                cause: "serves \(sizeText(lengthBytes)) and never shrinks to \(sizeText(bytes))",
                advice: "declare at least the size that it has")
        }
        if bytes == lengthBytes { return }
        if isBlockDevice {
            var deviceBytes: UInt64 = 0
            let error = unsafe rack_device_size(fileDescriptor, &deviceBytes)
            guard error == 0 else { throw .system(error, path: path, doing: "does not tell its size") }
            guard deviceBytes >= bytes else {
                throw StoreError(
                    kind: .sizeMismatch, path: path,
                    cause: "the device has \(sizeText(deviceBytes)), \(sizeText(bytes)) are declared",
                    advice: "extend the device first")
            }
        } else {
            guard !isReadOnly else {
                throw StoreError(
                    kind: .readOnlyFileSystem, path: path, cause: "is served read-only and cannot grow",
                    advice: "serve it for writing, or leave its size")
            }
            guard case .success(let status) = fileStatus(fileDescriptor) else {
                throw .system(errno, path: path, doing: "cannot be examined")
            }
            // Somebody may have extended the file already, as the error for a declared size that differs advises.
            if UInt64(status.st_size) < bytes {
                guard ftruncate(fileDescriptor, off_t(bytes)) == 0 else {
                    throw .system(errno, path: path, doing: "cannot grow to \(sizeText(bytes))")
                }
            }
            guard fsync(fileDescriptor) == 0 else { throw .system(errno, path: path, doing: "cannot be synced") }
        }
        length.store(bytes, ordering: .releasing)
    }
}

/// Which file it is, whatever path leads to it.
public struct StoreIdentity: Sendable, Hashable {
    /// The file system's device number, or the device's own number for a block device.
    public var device: UInt64
    /// The inode number; 0 for a block device.
    public var inode: UInt64
}
