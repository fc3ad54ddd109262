import Glibc

// The edge to the file system: who may have written a secrets file, and who may read it.
extension Authentication {
    /// A secrets file is a few lines.
    static let secretsFileLimitBytes = 64 << 10

    /// Reads the secrets of these clients and initiators, each from `FOLDER/NAME`.
    ///
    /// Folder and files have to belong to root, to the caller's user, or to the user given. The folder may be written by its owner alone, and a
    /// file may be read by its owner alone; a file that is reached through a symbolic link, or is no regular file, is
    /// refused. Judged is the open file, so nothing can be swapped between the look and the reading.
    ///
    /// - Parameters:
    ///   - names: names of clients or initiators; attach gives its own alone.
    ///   - userID: the daemon's user, for a check that root makes in its place.
    public func loadSecrets(of names: [String], readBy userID: UInt32? = nil) -> SecretsLoad {
        let folder: CInt
        let owners: Set<uid_t> = [0, geteuid(), userID ?? 0]
        switch Self.openFolder(secretsFolder, owners: owners) {
        case .success(let descriptor): folder = descriptor
        case .failure(let refusal):
            return SecretsLoad(files: [
                (name: "", path: secretsFolder, result: (nil, [refusal.problem(file: secretsFolder)]))
            ])
        }
        defer { close(folder) }
        return SecretsLoad(
            files: names.map { name in
                let path = "\(secretsFolder)/\(name)"
                switch Self.readFile(name, in: folder, owners: owners) {
                case .success(let bytes):
                    return (name, path, ChapSecrets.parse(bytes: bytes, fileName: path, isMutual: isMutual))
                case .failure(let refusal): return (name, path, (nil, [refusal.problem(file: path)]))
                }
            })
    }

    /// Writes `FOLDER/NAME` with mode 0600, whole or not at all: a temporary file is filled, brought to stable storage and
    /// given the name. The folder is made with mode 0700 where it is missing. Written by root, the file belongs to the
    /// folder's owner: a daemon with a user of its own reads it as that one.
    ///
    /// - Parameter replacing: whether a file that is there is replaced.
    /// - Returns: false when there is one and it stays.
    public func write(_ secrets: ChapSecrets, of name: String, replacing: Bool) throws(Problem) -> Bool {
        let path = "\(secretsFolder)/\(name)"
        if unsafe mkdir(secretsFolder, 0o700) != 0, errno != EEXIST {
            throw FileRefusal.system("the folder cannot be made", errno).problem(file: secretsFolder)
        }
        let folder: CInt
        switch Self.openFolder(secretsFolder, owners: geteuid() == 0 ? nil : [0, geteuid()]) {
        case .success(let descriptor): folder = descriptor
        case .failure(let refusal): throw refusal.problem(file: secretsFolder)
        }
        defer { close(folder) }
        switch Self.write(secrets.fileText, name: name, in: folder, replacing: replacing) {
        case .success(let isWritten): return isWritten
        case .failure(let refusal): throw refusal.problem(file: path)
        }
    }

    private static func write(
        _ bytes: [UInt8], name: String, in folder: CInt, replacing: Bool
    ) -> Result<Bool, FileRefusal> {
        let temporary = ".\(name).\(getpid())"
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
        var descriptor = unsafe openat(folder, temporary, flags, 0o600)
        if descriptor < 0, errno == EEXIST {
            // Left behind by a run that was killed and had this process's number.
            _ = unsafe unlinkat(folder, temporary, 0)
            descriptor = unsafe openat(folder, temporary, flags, 0o600)
        }
        guard descriptor >= 0 else { return .failure(.system("the file cannot be made", errno)) }
        var refusal: FileRefusal?
        var isTaken = false
        // The umask may have taken bits from 0600; a mode that its owner cannot read would be found at the next start.
        var owner = stat()
        if geteuid() == 0, unsafe fstat(folder, &owner) != 0 || fchown(descriptor, owner.st_uid, owner.st_gid) != 0 {
            refusal = .system("the file cannot be given to the folder's owner", errno)
        }
        if fchmod(descriptor, 0o600) != 0 { refusal = .system("the file's mode cannot be set", errno) }
        var written = 0
        while refusal == nil, written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress.map { unsafe $0 + written }, buffer.count - written)
            }
            if count < 0, errno != EINTR { refusal = .system("the file cannot be written", errno) }
            written += max(0, count)
        }
        if refusal == nil, fsync(descriptor) != 0 { refusal = .system("the file cannot be written", errno) }
        close(descriptor)
        if refusal == nil {
            // RENAME_NOREPLACE would do both checks at once, but not every file system has it; link refuses a taken name too.
            if replacing {
                if unsafe renameat(folder, temporary, folder, name) != 0 {
                    refusal = .system("the file cannot be given its name", errno)
                }
            } else if unsafe linkat(folder, temporary, folder, name, 0) != 0 {
                isTaken = errno == EEXIST
                if !isTaken { refusal = .system("the file cannot be given its name", errno) }
            }
        }
        _ = unsafe unlinkat(folder, temporary, 0)
        if refusal == nil, fsync(folder) != 0 { refusal = .system("the folder cannot be written", errno) }
        return refusal.map { .failure($0) } ?? .success(!isTaken)
    }

    /// - Parameter owners: whose it may be; nil for anybody's.
    private static func openFolder(_ path: String, owners: Set<uid_t>?) -> Result<CInt, FileRefusal> {
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT {
                return .failure(
                    FileRefusal(
                        message: "there is no such folder", advice: "make it and its files with storaged secret"))
            }
            return .failure(.system("the folder of secrets cannot be opened", errno))
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            close(descriptor)
            return .failure(.system("the folder of secrets cannot be looked at", errno))
        }
        if let refusal = objection(to: status, owners: owners, bits: 0o022, "the folder", "chmod 0700") {
            close(descriptor)
            return .failure(refusal)
        }
        return .success(descriptor)
    }

    private static func readFile(
        _ name: String, in folder: CInt, owners: Set<uid_t>
    ) -> Result<[UInt8], FileRefusal> {
        // Not blocking, so that a FIFO without a writer is refused in place of waited for.
        let descriptor = unsafe openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT:
                return .failure(
                    FileRefusal(
                        message: "there is no file with the secrets of \(name)",
                        advice: "make it with storaged secret \(name), and copy it to the hosts that need it"))
            case ELOOP:
                return .failure(
                    FileRefusal(message: "this is a symbolic link", advice: "put the file itself there"))
            default: return .failure(.system("the file cannot be opened", errno))
            }
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return .failure(.system("the file cannot be read", errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            return .failure(FileRefusal(message: "this is no regular file", advice: "put a file of secrets there"))
        }
        if let refusal = objection(to: status, owners: owners, bits: 0o077, "the file", "chmod 0600") {
            return .failure(refusal)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= secretsFileLimitBytes {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return .success(bytes) }
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(.system("the file cannot be read", errno))
            }
            bytes += chunk[..<count]
        }
        return .failure(
            FileRefusal(
                message: "the file is larger than \(ByteSize(bytes: UInt64(secretsFileLimitBytes)))",
                advice: "put a file of secrets there"))
    }

    /// What is wrong with an owner or a mode.
    private static func objection(
        to status: stat, owners: Set<uid_t>?, bits: mode_t, _ what: String, _ repair: String
    ) -> FileRefusal? {
        if let owners, !owners.contains(status.st_uid) {
            return FileRefusal(
                message: "\(what) belongs to user \(status.st_uid), who could change it",
                advice: "give it to root or to user \(geteuid()), who reads it")
        }
        guard status.st_mode & bits == 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            return FileRefusal(
                message:
                    "\(what) has mode 0\(mode), so that others may \(bits == 0o022 ? "write" : "read or write") it",
                advice: bits == 0o022 ? repair : "\(repair), and make new secrets if others could have read it")
        }
        return nil
    }
}

/// Why a file or folder is not used.
private struct FileRefusal: Error {
    let message: String
    let advice: String

    static func system(_ what: String, _ number: CInt) -> FileRefusal {
        let text = unsafe String(cString: strerror(number))
        let advice =
            number == EACCES || number == EPERM
            ? "run as the user that owns it, or as root" : "look at the path and its disk"
        return FileRefusal(message: "\(what): \(text)", advice: advice)
    }

    func problem(file: String) -> Problem {
        Problem(severity: .error, file: file, line: 0, column: 0, message: message, advice: advice)
    }
}
