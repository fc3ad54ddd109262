import CLinux
import Glibc

/// A folder of a test's own, removed with everything in it when the test lets go of it.
final class TestFolder {
    let path: String
    private var children: [pid_t] = []
    private var mounts: [String] = []
    private var loopDevices: [String] = []

    init() {
        var template = Array("/tmp/blockstore.XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let made = unsafe mkdtemp(buffer.baseAddress!) else { fatalError("mkdtemp: errno \(errno)") }
            return unsafe String(cString: made)
        }
    }

    deinit {
        for child in children { stop(child) }
        for device in loopDevices { _ = run(["/usr/sbin/losetup", "-d", device]) }
        for mount in mounts { _ = run(["/usr/bin/umount", mount]) }
        _ = run(["/usr/bin/chattr", "-R", "-i", path])
        _ = run(["/usr/bin/rm", "-rf", path])
    }

    /// A path inside.
    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a file of this size, with `text` at its start.
    @discardableResult
    func file(_ name: String, bytes: Int, text: String = "") -> String {
        let descriptor = unsafe open(self(name), O_RDWR | O_CREAT, 0o644)
        precondition(descriptor >= 0 && ftruncate(descriptor, off_t(bytes)) == 0)
        let content = Array(text.utf8)
        precondition(unsafe pwrite(descriptor, content, content.count, 0) == content.count)
        close(descriptor)
        return self(name)
    }

    func folder(_ name: String) -> String {
        precondition(unsafe mkdir(self(name), 0o755) == 0)
        return self(name)
    }

    /// A tmpfs of its own, or nil where mounting is not allowed.
    func tmpfs(_ name: String, options: String) -> String? {
        let place = folder(name)
        guard run(["/usr/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", place]) == 0 else { return nil }
        mounts.append(place)
        return place
    }

    /// A loop device over a file, or nil where there is none to be had.
    func loopDevice(over file: String, options: [String] = []) -> String? {
        let note = self("losetup.out")
        let status = run(["/usr/sbin/losetup", "-f", "--show"] + options + [file], outputTo: note)
        guard status == 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 64)
        let descriptor = unsafe open(note, O_RDONLY)
        defer { close(descriptor) }
        let count = unsafe read(descriptor, &bytes, bytes.count)
        guard count > 1 else { return nil }
        let device = String(decoding: bytes[..<(count - 1)], as: UTF8.self)
        loopDevices.append(device)
        return device
    }

    /// A process that goes on until it is stopped.
    func start(_ arguments: [String]) -> pid_t {
        let child = spawn(arguments, outputTo: nil)
        children.append(child)
        return child
    }

    /// Kills a process of `start` and waits for its end.
    func stop(_ child: pid_t) {
        children.removeAll { $0 == child }
        kill(child, SIGKILL)
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    }

    /// Runs a program to its end; its exit code, or -1.
    func run(_ arguments: [String], outputTo file: String? = nil) -> Int32 {
        let child = spawn(arguments, outputTo: file)
        guard child > 0 else { return -1 }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : -1
    }

    private func spawn(_ arguments: [String], outputTo file: String?) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, file ?? "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        var child: pid_t = 0
        var vector: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe vector.indices { unsafe free(vector[index]) } }
        let error = unsafe posix_spawn(&child, arguments[0], &actions, nil, &vector, environ)
        return error == 0 ? child : -1
    }
}

/// Whether this process is root, which some checks need (mounts) and others must not have (permissions).
let isRoot = geteuid() == 0

/// What a file holds at an offset, as text.
func text(of path: String, at offset: Int, count: Int) -> String {
    var bytes = [UInt8](repeating: 0, count: count)
    let descriptor = unsafe open(path, O_RDONLY)
    defer { close(descriptor) }
    let got = unsafe pread(descriptor, &bytes, count, off_t(offset))
    return String(decoding: bytes[..<max(0, got)], as: UTF8.self)
}

/// lstat's answer, or nil when there is nothing.
func status(of path: String) -> stat? {
    var found = stat()
    return unsafe lstat(path, &found) == 0 ? found : nil
}
