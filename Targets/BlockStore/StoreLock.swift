import CLinux
import Glibc

/// The exclusive lock on a backing file, and who holds it when it is taken.
///
/// Two locks are taken, both released by the kernel when the last descriptor closes, however the process ends:
/// - `flock`, which `/proc/locks` lists with a process id, and which also works on a descriptor opened for reading;
/// - an open file description lock on the whole range, which QEMU's tools and NFS servers respect.
///
/// Both belong to the inode, so another name, a bind mount or another network namespace makes no difference. Neither
/// crosses from one kernel to another: a virtual machine that shares the folder is not kept out.
enum StoreLock {
    /// Locks, or says who has it.
    static func take(_ descriptor: Int32, path: String, isReadOnly: Bool) throws(StoreError) {
        // udev holds a shared lock on a block device for the moment it probes it, so the first refusal is not the last.
        var attempts = 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let error = errno
            if error == EINTR { continue }
            // NFS wants a descriptor that may write for an exclusive lock; a shared one still keeps writers out.
            if error == EBADF && isReadOnly && flock(descriptor, LOCK_SH | LOCK_NB) == 0 { break }
            guard error == EWOULDBLOCK || error == EBADF else {
                throw .system(error, path: path, doing: "cannot be locked")
            }
            attempts += 1
            if attempts > 10 { throw taken(descriptor, path: path) }
            usleep(30_000)
        }
        let error = rack_ofd_lock(descriptor, isReadOnly ? 0 : 1)
        switch error {
        case 0: return
        case EAGAIN, EACCES: throw taken(descriptor, path: path)
        // A file system without byte-range locks: flock alone has to do.
        case EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP: return
        default: throw .system(error, path: path, doing: "cannot be locked")
        }
    }

    /// The error for a file that somebody else has.
    private static func taken(_ descriptor: Int32, path: String) -> StoreError {
        guard case .success(let status) = fileStatus(descriptor) else { return locked(path: path, holder: nil) }
        return locked(path: path, holder: holder(of: status))
    }

    /// The error for a file or device that somebody else has.
    static func locked(path: String, holder: Holder?) -> StoreError {
        guard let holder else {
            return StoreError(
                kind: .locked, path: path, cause: "another process holds it",
                advice: "find it with: fuser -v \(path)", errorNumber: EWOULDBLOCK)
        }
        if holder.processID == getpid() {
            return StoreError(
                kind: .locked, path: path, cause: "this process has it open already",
                advice: "give each volume a file of its own", errorNumber: EWOULDBLOCK)
        }
        return StoreError(
            kind: .locked, path: path, cause: "held by \(holder.command) (pid \(holder.processID))",
            advice: "stop that process, or name another file", errorNumber: EWOULDBLOCK)
    }

    /// A process that has a file.
    struct Holder {
        var processID: Int32
        var command: String

        init(processID: Int32) {
            self.processID = processID
            let name = smallFile("/proc/\(processID)/comm", limitBytes: 64) ?? "a process"
            command = String(name.prefix { $0 != "\n" })
        }
    }

    /// Who holds a lock on an inode: first what `/proc/locks` says, which names no process for open file description
    /// locks; then whoever has the file open, as far as this process may look.
    static func holder(of status: stat) -> Holder? {
        if let pid = lockHolder(of: status) { return Holder(processID: pid) }
        return openHolder(of: status).map(Holder.init(processID:))
    }

    /// `7: FLOCK  ADVISORY  WRITE 1234 fe:00:131 0 EOF`; the device numbers are hexadecimal.
    private static func lockHolder(of status: stat) -> Int32? {
        guard let text = smallFile("/proc/locks", limitBytes: 1 << 20) else { return nil }
        let major = rack_major(UInt64(status.st_dev))
        let minor = rack_minor(UInt64(status.st_dev))
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            // A waiter's line has "->" as its second field and is no holder.
            guard fields.count >= 6, fields[1] != "->", let pid = Int32(fields[4]), pid > 0 else { continue }
            let place = fields[5].split(separator: ":")
            guard place.count == 3, UInt64(place[2]) == UInt64(status.st_ino), UInt32(place[0], radix: 16) == major,
                UInt32(place[1], radix: 16) == minor
            else { continue }
            return pid
        }
        return nil
    }

    /// Looks through `/proc/PID/fd` for the inode.
    private static func openHolder(of status: stat) -> Int32? {
        let own = getpid()
        for name in folderEntries("/proc") {
            guard let pid = Int32(name), pid != own else { continue }
            for descriptor in folderEntries("/proc/\(pid)/fd") {
                var found = stat()
                guard unsafe stat("/proc/\(pid)/fd/\(descriptor)", &found) == 0 else { continue }
                if found.st_ino == status.st_ino && found.st_dev == status.st_dev { return pid }
            }
        }
        return nil
    }

    /// Names in a folder, without `.` and `..`; none when it cannot be read.
    private static func folderEntries(_ path: String) -> [String] {
        guard let folder = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
