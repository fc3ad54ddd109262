import Glibc
import Synchronization

/// The text of an error number.
func errorText(_ code: Int32) -> String {
    unsafe String(cString: strerror(code))
}

/// The bytes of a small file (sysfs, procfs, our own records), at most `limitBytes`; nil when it cannot be read.
func readSmallFile(_ path: String, limitBytes: Int = 1 << 20) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65536)
    while content.count < limitBytes {
        let count = unsafe block.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { return nil }
        if count == 0 { break }
        content.append(contentsOf: block[0..<count])
    }
    return content
}

/// The text of a small file; nil when it cannot be read.
func readTextFile(_ path: String) -> String? {
    readSmallFile(path).map { String(decoding: $0, as: UTF8.self) }
}

/// The entries of a folder without `.` and `..`, sorted; empty when it cannot be read.
func listFolder(_ path: String) -> [String] {
    guard let folder = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
            unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// Whether there is anything at that path.
func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

/// Makes a folder and those above it.
func makeFolder(_ path: String, mode: mode_t = 0o755) throws(StackError) {
    var made = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
        made += "/" + part
        if unsafe mkdir(made, mode) != 0, errno != EEXIST {
            throw StackError(
                .failed, object: made, cause: "the folder could not be made: \(errorText(errno))",
                advice: "check the filesystem it is on")
        }
    }
}

/// Writes a file by way of a temporary one beside it, so that a reader or a crash never sees half of it.
func writeFileAtomically(_ path: String, _ text: String, mode: mode_t = 0o644) throws(StackError) {
    let temporary = "\(path).\(getpid()).new"
    func fail(_ operation: String) -> StackError {
        let cause = "\(operation): \(errorText(errno))"
        _ = unsafe unlink(temporary)
        return StackError(.failed, object: path, cause: cause, advice: "check the filesystem it is on")
    }
    let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw fail("could not be created") }
    let written = writeAll(descriptor, Array(text.utf8)) && fsync(descriptor) == 0
    let error = errno
    close(descriptor)
    errno = error
    guard written else { throw fail("could not be written") }
    guard unsafe rename(temporary, path) == 0 else { throw fail("could not be replaced") }
}

/// Writes all bytes; false with `errno` set when that failed.
func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
    var done = 0
    while done < bytes.count {
        let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + done, $0.count - done) }
        if count < 0 {
            if errno == EINTR { continue }
            return false
        }
        done += count
    }
    return true
}

/// Removes a file; true when it was there.
@discardableResult
func removeFile(_ path: String) -> Bool { unsafe unlink(path) == 0 }

/// An anonymous file in memory: where a command's output goes, or its input comes from.
final class MemoryFile: Sendable {
    let descriptor: Int32

    /// A file for output that the kernel keeps from growing past `limitBytes`.
    init(limitBytes: Int) throws(StackError) {
        descriptor = try Self.create()
        // Sealed at its full size: the pages appear as they are written, and a write past the end fails.
        ftruncate(descriptor, limitBytes)
        let addSeals: Int32 = 1033
        let sealShrinkAndGrow: Int32 = 0x2 | 0x4
        _ = fcntl(descriptor, addSeals, sealShrinkAndGrow)
    }

    /// A file to read from.
    init(content: String) throws(StackError) {
        descriptor = try Self.create()
        _ = writeAll(descriptor, Array(content.utf8))
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

    /// What was written. The file's offset is shared with the command, so it tells how much that is.
    func text() -> String {
        let length = max(0, Int(lseek(descriptor, 0, SEEK_CUR)))
        var content = [UInt8](repeating: 0, count: length)
        let count = unsafe content.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        return String(decoding: content[0..<max(0, count)], as: UTF8.self)
    }

    private static func create() throws(StackError) -> Int32 {
        // glibc's header shows memfd_create to GNU C only, which the Glibc module is not; so the symbol is looked up.
        typealias MemfdCreate = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
        let closeOnExecAndAllowSealing: UInt32 = 0x1 | 0x2
        guard let symbol = unsafe dlsym(nil, "memfd_create") else {
            throw StackError(
                .missing, object: "memfd_create", cause: "the C library has none", advice: "use glibc 2.27 or newer")
        }
        let create = unsafe unsafeBitCast(symbol, to: MemfdCreate.self)
        let descriptor = unsafe create("attach", closeOnExecAndAllowSealing)
        guard descriptor >= 0 else {
            throw StackError(
                .failed, object: "memfd_create", cause: errorText(errno), advice: "free memory or file descriptors")
        }
        return descriptor
    }
}

/// A value that one task waits for and any of several may bring; the first one counts.
final class Gate<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiter: CheckedContinuation<Value, Never>?
    }

    private let state = Mutex(State())

    /// Brings the value; later ones are dropped.
    func open(_ value: Value) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: value)
    }

    /// Waits for the value, without end: whoever makes a gate sees to it that it opens.
    func value() async -> Value {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> Value? in
                if state.value == nil { state.waiter = continuation }
                return state.value
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }
}
