import CLinux
import Glibc

/// What a store can do besides reading and writing.
struct StoreAbilities {
    var canPunchHoles = false
    var canZeroRange = false
}

/// Making a backing file, and what its file system can do.
enum StoreCreation {
    /// Makes a sparse file, locked and on stable storage with its folder.
    ///
    /// It is made without a name (O_TMPFILE), sized, locked and synced, and then given its name, so that a crash leaves the
    /// whole file or none. Where the file system has no such files, it is made under its name and removed again if
    /// sizing it fails.
    /// - Returns: The descriptor, or nil when the name was taken in the meantime.
    static func make(path: String, sizeBytes: UInt64) throws(StoreError) -> Int32? {
        let folder = parentFolder(of: path)
        let unnamed = unsafe rack_create_unnamed(folder)
        if unnamed >= 0 {
            do throws(StoreError) {
                try prepare(unnamed, path: path, sizeBytes: sizeBytes)
            } catch {
                close(unnamed)
                throw error
            }
            let error = unsafe rack_name_file(unnamed, path)
            switch error {
            case 0:
                try syncFolder(folder, path: path)
                return unnamed
            case EEXIST:
                close(unnamed)
                return nil
            // No /proc here, or no such links on this file system: the plain way.
            case ENOENT, EPERM, EOPNOTSUPP, EXDEV:
                close(unnamed)
            default:
                close(unnamed)
                throw .system(error, path: path, doing: "cannot be made")
            }
        }
        // EISDIR, EOPNOTSUPP, EINVAL: no unnamed files here. Other errors come back from the plain way with its words.
        let named = unsafe rack_create(path)
        guard named >= 0 else {
            if named == -EEXIST { return nil }
            throw .system(-named, path: path, doing: "cannot be made")
        }
        do throws(StoreError) {
            try prepare(named, path: path, sizeBytes: sizeBytes)
            try syncFolder(folder, path: path)
            return named
        } catch {
            unsafe unlink(path)
            close(named)
            throw error
        }
    }

    private static func prepare(_ descriptor: Int32, path: String, sizeBytes: UInt64) throws(StoreError) {
        // The umask may have taken the owner's own access away.
        guard fchmod(descriptor, 0o600) == 0 else { throw .system(errno, path: path, doing: "cannot be made") }
        try StoreLock.take(descriptor, path: path, isReadOnly: false)
        guard ftruncate(descriptor, off_t(sizeBytes)) == 0 else {
            throw .system(errno, path: path, doing: "cannot be made with \(sizeText(sizeBytes))")
        }
        guard fsync(descriptor) == 0 else { throw .system(errno, path: path, doing: "cannot be synced") }
    }

    /// Puts the new name on stable storage.
    private static func syncFolder(_ folder: String, path: String) throws(StoreError) {
        let descriptor = unsafe rack_open(folder, O_RDONLY | O_DIRECTORY)
        // A folder that may be written but not read cannot be synced; the name is there all the same.
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw .system(errno, path: path, doing: "its folder cannot be synced")
        }
    }

    /// Asks the file system without touching data.
    ///
    /// Punching is tried beyond the end of the file, where there is nothing to lose and nothing is allocated. Zeroing
    /// allocates, so it is tried on a nameless file in the same folder; where no such file can be made (an old file system,
    /// a folder this process may not write), the answer is no, and zeros are written instead. A full disk answers ENOSPC,
    /// which is still a yes.
    static func abilities(_ descriptor: Int32, path: String, sizeBytes: UInt64, readOnly: Bool) -> StoreAbilities {
        guard !readOnly else { return StoreAbilities() }
        let probeBytes: Int64 = 1 << 16
        // Whole blocks of any file system, past the end.
        let offset = (Int64(sizeBytes) / probeBytes + 1) &* probeBytes
        guard offset > 0, offset <= Int64.max - probeBytes else { return StoreAbilities() }
        func answers(_ file: Int32, _ mode: Int32, _ offset: Int64) -> Bool {
            let error = rack_fallocate(file, mode, offset, probeBytes)
            return error == 0 || error == ENOSPC || error == EDQUOT
        }
        var abilities = StoreAbilities()
        abilities.canPunchHoles = answers(descriptor, rack_punch_hole_mode, offset)
        let unnamed = unsafe rack_create_unnamed(parentFolder(of: path))
        if unnamed >= 0 {
            // A symbolic link may have led to another file system.
            if case .success(let probe) = fileStatus(unnamed), case .success(let own) = fileStatus(descriptor),
                probe.st_dev == own.st_dev
            {
                abilities.canZeroRange = answers(unnamed, rack_zero_range_mode, 0)
            }
            close(unnamed)
        }
        return abilities
    }
}

/// What the kernel says about a block device.
enum DeviceFacts {
    /// Its size, after checking that it can be served as asked.
    static func sizeBytes(
        _ descriptor: Int32, path: String, blockLengthBytes: Int, readOnly: Bool
    ) throws(StoreError) -> UInt64 {
        var bytes: UInt64 = 0
        var error = unsafe rack_device_size(descriptor, &bytes)
        guard error == 0 else { throw .system(error, path: path, doing: "does not tell its size") }
        var logicalBlock: Int32 = 0
        error = unsafe rack_device_logical_block(descriptor, &logicalBlock)
        guard error == 0 else { throw .system(error, path: path, doing: "does not tell its block length") }
        guard logicalBlock > 0, blockLengthBytes % Int(logicalBlock) == 0 else {
            throw StoreError(
                kind: .blockLength, path: path,
                cause: "the device's blocks have \(logicalBlock) bytes, \(blockLengthBytes) are to be served",
                advice: "serve it with a block length of \(logicalBlock)")
        }
        var isReadOnly: Int32 = 0
        if !readOnly, unsafe rack_device_read_only(descriptor, &isReadOnly) == 0, isReadOnly != 0 {
            throw StoreError(
                kind: .readOnlyFileSystem, path: path, cause: "the device is write-protected",
                advice: "take the protection off (blockdev --setrw \(path)), or serve it read-only")
        }
        return bytes
    }

    /// Zeroing always works on a block device (the kernel writes zeros where the device cannot); deallocating needs a
    /// device that discards and whose discarded blocks are zeroed by WRITE ZEROES.
    static func abilities(_ status: stat, readOnly: Bool) -> StoreAbilities {
        guard !readOnly else { return StoreAbilities() }
        return StoreAbilities(
            canPunchHoles: queueLimit("discard_max_bytes", of: status) > 0
                && queueLimit("write_zeroes_max_bytes", of: status) > 0,
            canZeroRange: true)
    }

    /// A figure of the device's queue; a partition's is in the folder of its disk.
    private static func queueLimit(_ name: String, of status: stat) -> UInt64 {
        let device = sysfs(status)
        for folder in ["\(device)/queue", "\(device)/../queue"] {
            if let text = smallFile("\(folder)/\(name)", limitBytes: 64) {
                return UInt64(text.prefix { $0.isNumber }) ?? 0
            }
        }
        return 0
    }

    private static func sysfs(_ status: stat) -> String {
        let device = UInt64(status.st_rdev)
        return "/sys/dev/block/\(rack_major(device)):\(rack_minor(device))"
    }

    /// The error for a device that somebody claimed: its holders and mounts, as far as they can be told.
    static func busy(path: String, status: stat) -> StoreError {
        let device = UInt64(status.st_rdev)
        let number = "\(rack_major(device)):\(rack_minor(device))"
        if let mounts = smallFile("/proc/self/mountinfo", limitBytes: 1 << 20) {
            for line in mounts.split(separator: "\n") {
                let fields = line.split(separator: " ")
                if fields.count > 4, fields[2] == number {
                    return StoreError(
                        kind: .locked, path: path, cause: "is mounted on \(fields[4])",
                        advice: "unmount it: umount \(fields[4])", errorNumber: EBUSY)
                }
            }
        }
        return StoreError(
            kind: .locked, path: path, cause: "is in use (mounted, or part of another device, or served already)",
            advice: "see who has it: lsblk \(path); fuser -v \(path)", errorNumber: EBUSY)
    }
}
