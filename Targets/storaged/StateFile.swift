import CLinux
import Glibc
import TargetServer

/// A small file that has to outlive the daemon. A change is written to a file beside it, synced, and renamed over it, and
/// the folder is synced: after a crash the old or the new one is there, never half of one. Mode 0600.
struct StateFile: Sendable {
    let folder: String
    let path: String

    init(folder: String, name: String) {
        self.folder = folder
        path = "\(folder)/\(name)"
    }

    /// Its bytes, nil where there is no such file; one that is longer than `limitBytes` is not read.
    func read(limitBytes: Int) -> Result<[UInt8]?, StateFileError> {
        let descriptor = unsafe rack_open(path, O_RDONLY)
        if descriptor == -ENOENT || descriptor == -ENOTDIR { return .success(nil) }
        guard descriptor >= 0 else { return .failure(StateFileError(description: systemText(-descriptor))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limitBytes {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return .failure(StateFileError(description: systemText(errno))) }
            if count == 0 { return .success(bytes) }
            bytes += chunk[..<count]
        }
        return .failure(StateFileError(description: "it is too large"))
    }

    /// Puts bytes on stable storage.
    func write(_ bytes: [UInt8]) throws(ServerError) {
        if unsafe mkdir(folder, 0o700) != 0, errno != EEXIST { throw unwritable(errno) }
        let temporary = path + ".new"
        // Left by a daemon that was killed.
        if unsafe unlink(temporary) != 0, errno != ENOENT { throw unwritable(errno) }
        let descriptor = unsafe rack_create(temporary)
        guard descriptor >= 0 else { throw unwritable(-descriptor) }
        var error: Int32 = fchmod(descriptor, 0o600) == 0 ? 0 : errno
        var written = 0
        while error == 0, written < bytes.count {
            let count = unsafe bytes[written...].withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 { written += count } else if count == 0 || errno != EINTR { error = count == 0 ? EIO : errno }
        }
        if error == 0, fsync(descriptor) != 0 { error = errno }
        close(descriptor)
        if error == 0, unsafe rename(temporary, path) != 0 { error = errno }
        guard error == 0 else {
            unsafe unlink(temporary)
            throw unwritable(error)
        }
        let directory = unsafe rack_open(folder, O_RDONLY | O_DIRECTORY)
        guard directory >= 0 else { throw unwritable(-directory) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw unwritable(errno) }
    }

    /// Removes it, on stable storage too; one that is not there is removed already.
    func remove() throws(ServerError) {
        if unsafe unlink(path) != 0 {
            if errno == ENOENT { return }
            throw unwritable(errno)
        }
        let directory = unsafe rack_open(folder, O_RDONLY | O_DIRECTORY)
        guard directory >= 0 else { throw unwritable(-directory) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw unwritable(errno) }
    }

    private func unwritable(_ errorNumber: Int32) -> ServerError {
        ServerError(
            operation: "keep", object: path, cause: systemText(errorNumber),
            advice: "nothing was changed; give storaged a state directory it can write (--state-directory)")
    }
}

/// Why a state file cannot be read.
struct StateFileError: Error, CustomStringConvertible {
    let description: String
}
