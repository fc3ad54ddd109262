import CLinux
import Glibc

extension BlockStore {
    /// Opens, checks and locks a backing file or block device; makes the file where it is missing.
    ///
    /// - A regular file that is missing is made sparse at `sizeBytes`, mode 0600, in a folder that exists, and appears
    ///   under its name complete or not at all. One that is there is never truncated or overwritten.
    /// - Its size must be `sizeBytes`; where that is nil, its own size counts, which must be whole blocks and not 0.
    /// - A block device is claimed (O_EXCL), so that one that is mounted or part of another device is refused.
    ///
    /// - Parameters:
    ///   - path: The file or device; symbolic links are followed.
    ///   - sizeBytes: The size declared for it, or nil to take the size that it has.
    ///   - blockLengthBytes: The logical block length that will be served: 512 or 4096.
    ///   - readOnly: Open for reading only. A missing file is then not made.
    /// - Returns: The store, holding the lock until it is released.
    public static func open(
        path: String, sizeBytes: UInt64?, blockLengthBytes: Int, readOnly: Bool
    ) throws(StoreError) -> BlockStore {
        try checkRequest(path: path, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes)
        var status = stat()
        if unsafe stat(path, &status) == 0 {
            return try openExisting(
                path: path, status: status, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes,
                readOnly: readOnly, created: nil)
        }
        let error = errno
        guard error == ENOENT else { throw .opening(error, path: path, readOnly: readOnly) }
        try checkThatItMayBeMade(path: path, sizeBytes: sizeBytes, readOnly: readOnly)
        guard let sizeBytes else { throw .opening(error, path: path, readOnly: readOnly) }
        guard let descriptor = try StoreCreation.make(path: path, sizeBytes: sizeBytes) else {
            // Somebody made it in the meantime: what is there now counts.
            guard unsafe stat(path, &status) == 0 else { throw .opening(errno, path: path, readOnly: readOnly) }
            return try openExisting(
                path: path, status: status, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes,
                readOnly: readOnly, created: nil)
        }
        return try openExisting(
            path: path, status: status, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes, readOnly: readOnly,
            created: descriptor)
    }

    /// What is wrong with the request itself.
    static func checkRequest(path: String, sizeBytes: UInt64?, blockLengthBytes: Int) throws(StoreError) {
        guard blockLengthBytes == 512 || blockLengthBytes == 4096 else {
            throw StoreError(
                kind: .blockLength, path: path, cause: "a block length of \(blockLengthBytes) bytes is not served",
                advice: "use 512 or 4096")
        }
        if let sizeBytes {
            guard sizeBytes > 0 else {
                throw StoreError(
                    kind: .sizeMismatch, path: path, cause: "a size of 0 bytes cannot be served",
                    advice: "declare a size of at least one block")
            }
            guard sizeBytes % UInt64(blockLengthBytes) == 0 else {
                throw .notWholeBlocks(path: path, bytes: sizeBytes, blockLengthBytes: blockLengthBytes)
            }
            guard sizeBytes <= UInt64(Int64.max) else {
                throw StoreError(
                    kind: .sizeMismatch, path: path, cause: "\(sizeBytes) bytes are more than a file can have",
                    advice: "declare a smaller size")
            }
        }
    }

    /// A missing file: says why it is not made, where it isn't.
    static func checkThatItMayBeMade(path: String, sizeBytes: UInt64?, readOnly: Bool) throws(StoreError) {
        var link = stat()
        if unsafe lstat(path, &link) == 0 {
            throw StoreError(
                kind: .wrongKind, path: path, cause: "is a symbolic link to a file that is missing",
                advice: "remove the link, or make its destination", errorNumber: ENOENT)
        }
        let folder = parentFolder(of: path)
        var status = stat()
        guard unsafe stat(folder, &status) == 0 else {
            guard errno == ENOENT else { throw .opening(errno, path: path, readOnly: readOnly) }
            throw StoreError(
                kind: .missing, path: path, cause: "its folder \(folder) does not exist",
                advice: "mount or make it: mkdir -p \(folder)", errorNumber: ENOENT)
        }
        if readOnly {
            throw StoreError(
                kind: .missing, path: path, cause: "does not exist, and a read-only volume is not made",
                advice: "put the file there, or serve it for writing", errorNumber: ENOENT)
        }
        guard sizeBytes != nil else {
            throw StoreError(
                kind: .missing, path: path, cause: "does not exist, and no size is given to make it",
                advice: "correct the path, or give a size: --size 1GiB", errorNumber: ENOENT)
        }
    }

    /// Opens what is there, or goes on with the descriptor of a file just made.
    private static func openExisting(
        path: String, status: stat, sizeBytes: UInt64?, blockLengthBytes: Int, readOnly: Bool, created: Int32?
    ) throws(StoreError) -> BlockStore {
        // Looked at before it is opened: opening a pipe waits for its writer, and opening a device may do things.
        if created == nil { try checkKind(status, path: path) }
        let descriptor: Int32
        if let created {
            descriptor = created
        } else {
            descriptor = try openDescriptor(path: path, status: status, readOnly: readOnly)
        }
        do throws(StoreError) {
            return try examine(
                descriptor, path: path, sizeBytes: sizeBytes, blockLengthBytes: blockLengthBytes, readOnly: readOnly,
                wasCreated: created != nil)
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func openDescriptor(path: String, status: stat, readOnly: Bool) throws(StoreError) -> Int32 {
        let isDevice = status.st_mode & S_IFMT == S_IFBLK
        // O_NONBLOCK in case something else took the name since stat; O_EXCL claims a block device as a mount does.
        let flags = (readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK | (isDevice ? O_EXCL : 0)
        var attempts = 0
        while true {
            let descriptor = unsafe rack_open(path, flags)
            if descriptor >= 0 { return descriptor }
            let error = -descriptor
            if error == EINTR { continue }
            // udev claims a device for a moment while it reads the partition table.
            if error == EBUSY && isDevice {
                attempts += 1
                if attempts <= 10 {
                    usleep(30_000)
                    continue
                }
                throw DeviceFacts.busy(path: path, status: status)
            }
            throw .opening(error, path: path, readOnly: readOnly)
        }
    }

    private static func examine(
        _ descriptor: Int32, path: String, sizeBytes: UInt64?, blockLengthBytes: Int, readOnly: Bool, wasCreated: Bool
    ) throws(StoreError) -> BlockStore {
        let status: stat
        switch fileStatus(descriptor) {
        case .success(let found): status = found
        case .failure(let failure): throw .system(failure.errorNumber, path: path, doing: "cannot be examined")
        }
        try checkKind(status, path: path)
        // io_uring answers EAGAIN on a descriptor that does not block.
        let error = rack_set_blocking(descriptor)
        guard error == 0 else { throw .system(error, path: path, doing: "cannot be set up") }
        if !wasCreated { try StoreLock.take(descriptor, path: path, isReadOnly: readOnly) }

        let isDevice = status.st_mode & S_IFMT == S_IFBLK
        let bytes: UInt64
        if isDevice {
            bytes = try DeviceFacts.sizeBytes(
                descriptor, path: path, blockLengthBytes: blockLengthBytes, readOnly: readOnly)
        } else {
            bytes = UInt64(max(0, status.st_size))
        }
        try checkSize(bytes, declared: sizeBytes, path: path, blockLengthBytes: blockLengthBytes, isDevice: isDevice)

        let abilities =
            isDevice
            ? DeviceFacts.abilities(status, readOnly: readOnly)
            : StoreCreation.abilities(descriptor, path: path, sizeBytes: bytes, readOnly: readOnly)
        return BlockStore(
            fileDescriptor: descriptor, path: path, lengthBytes: bytes, isReadOnly: readOnly, isBlockDevice: isDevice,
            wasCreated: wasCreated, canPunchHoles: abilities.canPunchHoles, canZeroRange: abilities.canZeroRange,
            identity: isDevice
                ? StoreIdentity(device: UInt64(status.st_rdev), inode: 0)
                : StoreIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
    }

    static func checkKind(_ status: stat, path: String) throws(StoreError) {
        let kind: String
        switch status.st_mode & S_IFMT {
        case S_IFREG, S_IFBLK: return
        case S_IFDIR: kind = "a folder"
        case S_IFIFO: kind = "a pipe"
        case S_IFSOCK: kind = "a socket"
        case S_IFCHR: kind = "a character device"
        default: kind = "no file"
        }
        throw StoreError(
            kind: .wrongKind, path: path, cause: "is \(kind)", advice: "name a regular file or a block device")
    }

    static func checkSize(
        _ bytes: UInt64, declared: UInt64?, path: String, blockLengthBytes: Int, isDevice: Bool
    ) throws(StoreError) {
        if let declared {
            if bytes == declared { return }
            let cause = "has \(sizeText(bytes)), but \(sizeText(declared)) are declared"
            let advice: String
            if bytes > declared {
                advice = "declare \(bytes) bytes, or name another file; it is never cut"
            } else if isDevice {
                advice = "declare \(bytes) bytes, or extend the device"
            } else {
                advice = "declare \(bytes) bytes, or extend it: truncate -s \(declared) \(path)"
            }
            throw StoreError(kind: .sizeMismatch, path: path, cause: cause, advice: advice)
        }
        guard bytes > 0 else {
            throw StoreError(
                kind: .sizeMismatch, path: path, cause: "is empty",
                advice: isDevice ? "put a medium in, or name another device" : "extend it: truncate -s 1G \(path)")
        }
        guard bytes % UInt64(blockLengthBytes) == 0 else {
            throw .notWholeBlocks(path: path, bytes: bytes, blockLengthBytes: blockLengthBytes)
        }
    }
}

extension StoreError {
    /// Any errno without a kind of its own at the place where it came up.
    static func system(_ errorNumber: Int32, path: String, doing: String) -> StoreError {
        switch errorNumber {
        case ENOSPC, EDQUOT:
            return StoreError(
                kind: .noSpace, path: path, cause: "\(doing): \(systemMessage(errorNumber))",
                advice: "free space or inodes there: df -h \(parentFolder(of: path)); df -i \(parentFolder(of: path))",
                errorNumber: errorNumber)
        case EFBIG:
            return StoreError(
                kind: .noSpace, path: path, cause: "\(doing): \(systemMessage(errorNumber))",
                advice: "the file system or a limit (ulimit -f) allows no file of that size; declare a smaller one",
                errorNumber: errorNumber)
        case EROFS:
            return StoreError(
                kind: .readOnlyFileSystem, path: path, cause: "\(doing): the file system is mounted read-only",
                advice: "remount it for writing, or serve the volume read-only", errorNumber: errorNumber)
        case EACCES, EPERM:
            return StoreError(
                kind: .permissionDenied, path: path,
                cause: "\(doing): \(systemMessage(errorNumber)) (as user id \(geteuid()))",
                advice: "give that user access: ls -ld \(parentFolder(of: path)) \(path)", errorNumber: errorNumber)
        default:
            return StoreError(
                kind: .ioError, path: path, cause: "\(doing): \(systemMessage(errorNumber))",
                advice: "look at the kernel's log: dmesg | tail", errorNumber: errorNumber)
        }
    }

    /// An errno of stat or open.
    static func opening(_ errorNumber: Int32, path: String, readOnly: Bool) -> StoreError {
        switch errorNumber {
        case ENOENT:
            return StoreError(
                kind: .missing, path: path, cause: "does not exist", advice: "correct the path, or make the file",
                errorNumber: errorNumber)
        case ENOTDIR:
            return StoreError(
                kind: .missing, path: path, cause: "a part of the path is no folder", advice: "correct the path",
                errorNumber: errorNumber)
        case ELOOP:
            return StoreError(
                kind: .wrongKind, path: path, cause: "its symbolic links lead in a circle",
                advice: "name the file itself", errorNumber: errorNumber)
        case ENAMETOOLONG:
            return StoreError(
                kind: .wrongKind, path: path, cause: "the path is too long", advice: "name the file by a shorter path",
                errorNumber: errorNumber)
        case ENXIO, ENODEV, ENOMEDIUM:
            return StoreError(
                kind: .missing, path: path, cause: "the device is not there", advice: "look for it with: lsblk",
                errorNumber: errorNumber)
        case ETXTBSY:
            return StoreError(
                kind: .locked, path: path, cause: "is in use as swap space or as a running program",
                advice: "name another file", errorNumber: errorNumber)
        case EMFILE, ENFILE:
            return StoreError(
                kind: .ioError, path: path, cause: systemMessage(errorNumber),
                advice: "raise the limit of open files (LimitNOFILE=, ulimit -n)", errorNumber: errorNumber)
        default:
            return .system(errorNumber, path: path, doing: readOnly ? "cannot be read" : "cannot be opened for writing")
        }
    }

    /// A size that is not a multiple of the block length.
    static func notWholeBlocks(path: String, bytes: UInt64, blockLengthBytes: Int) -> StoreError {
        let block = UInt64(blockLengthBytes)
        let below = bytes / block * block
        let choice = below > 0 ? "\(below) or \(below + block)" : "\(below + block)"
        return StoreError(
            kind: .sizeMismatch, path: path, cause: "\(bytes) bytes are not whole blocks of \(blockLengthBytes)",
            advice: "make it \(choice) bytes")
    }
}
