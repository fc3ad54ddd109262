import CLinux
import Glibc

extension BlockStore {
    /// Opens a regular file that was opened for reading only for writing, too, under the same descriptor: reads in flight
    /// go on, and whoever knows the number need not be told. Nothing to do for one that may write already.
    ///
    /// The lock goes with the old opening and is taken anew a moment later. Where somebody else is faster, the store stays
    /// read-only and the error says so. A block device is claimed by its opening and cannot be opened a second time.
    public func becomeWritable() throws(StoreError) {
        guard isReadOnly else { return }
        guard !isBlockDevice else {
            throw StoreError(
                kind: .readOnlyFileSystem, path: path, cause: "the device was opened read-only, and is claimed as such",
                advice: "restart storaged to serve it for writing")
        }
        let descriptor = unsafe rack_open(path, O_RDWR | O_NONBLOCK)
        guard descriptor >= 0 else { throw .opening(-descriptor, path: path, readOnly: false) }
        defer { close(descriptor) }
        guard case .success(let status) = fileStatus(descriptor) else {
            throw .system(errno, path: path, doing: "cannot be examined")
        }
        guard StoreIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) == identity else {
            throw StoreError(
                kind: .wrongKind, path: path, cause: "is another file than the one that is served",
                advice: "put that one back, or restart storaged")
        }
        let error = rack_set_blocking(descriptor)
        guard error == 0 else { throw .system(error, path: path, doing: "cannot be set up") }
        guard dup2(descriptor, fileDescriptor) >= 0, fcntl(fileDescriptor, F_SETFD, FD_CLOEXEC) == 0 else {
            throw .system(errno, path: path, doing: "cannot be opened for writing")
        }
        try StoreLock.take(fileDescriptor, path: path, isReadOnly: false)
        tookWriting(StoreCreation.abilities(fileDescriptor, path: path, sizeBytes: lengthBytes, readOnly: false))
    }
}
