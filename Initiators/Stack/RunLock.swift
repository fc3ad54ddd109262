import Glibc

/// The lock that one run of attach at a time holds on a host: a kernel lock on a file, so it goes with the process
/// however that ends, and the file's text says who holds it.
public final class RunLock: Sendable {
    /// Who holds a lock, as its file says.
    public struct Holder: Sendable, Equatable {
        /// Process id.
        public var pid: Int32
        /// What it does: `up`, `down`, `monitor`.
        public var purpose: String

        /// Makes a holder.
        public init(pid: Int32, purpose: String) {
            self.pid = pid
            self.purpose = purpose
        }
    }

    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    /// Takes the lock.
    ///
    /// - Throws: `.locked` when another process holds it; `.failed` when the file cannot be made.
    public static func take(path: String, purpose: String) throws(StackError) -> RunLock {
        if let slash = path.lastIndex(of: "/") { try makeFolder(String(path[..<slash])) }
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw StackError(
                .failed, object: path, cause: "the lock could not be opened: \(errorText(errno))",
                advice: "check the filesystem it is on")
        }
        // Somebody who looks whether the lock is held (`holder`) holds a shared one for an instant: try a few times.
        for attempt in 1... {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { break }
            if attempt < 10 {
                usleep(20_000)
                continue
            }
            let holder = readHolder(path)
            close(descriptor)
            let who = holder.map { "attach \($0.purpose) (pid \($0.pid))" } ?? "another run of attach"
            throw StackError(
                .locked, object: path, cause: "\(who) is under way on this host",
                advice: "wait for it to end, then run this again")
        }
        ftruncate(descriptor, 0)
        _ = writeAll(descriptor, Array("\(getpid()) \(purpose)\n".utf8))
        return RunLock(descriptor: descriptor)
    }

    deinit {
        ftruncate(descriptor, 0)
        close(descriptor)
    }

    /// Who holds the lock at `path` now; nil when nobody does.
    public static func holder(path: String) -> Holder? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // A shared lock is granted when nobody holds the exclusive one; it goes when the descriptor is closed.
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
        return readHolder(path)
    }

    private static func readHolder(_ path: String) -> Holder? {
        let words = (readTextFile(path) ?? "").split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let pid = Int32(words[0]) else { return nil }
        return Holder(pid: pid, purpose: String(words[1]))
    }
}
