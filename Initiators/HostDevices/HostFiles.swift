import CUdev
import Glibc

/// The kernel's file trees (/sys, /proc, /dev, /lib/modules) below a root folder.
///
/// The root is `/` on a host and a made-up tree in a test. Paths given and returned are absolute and without the root.
/// Reading is total: what is missing or unreadable is nil or empty, because in sysfs a thing may go between two reads.
/// Writing throws.
public struct HostFiles: Sendable, Hashable {
    /// The root folder, without a slash at its end.
    public let root: String

    /// The tree below `root`.
    public init(root: String = "/") {
        self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
    }

    /// The path with the root before it.
    public func path(_ path: String) -> String { root + path }

    /// A file's text without blanks and newlines at its end; nil when it cannot be read.
    public func text(_ path: String, limitBytes: Int = 1 << 20) -> String? {
        guard let bytes = bytes(path, limitBytes: limitBytes) else { return nil }
        var text = Substring(String(decoding: bytes, as: UTF8.self))
        while let last = text.last, last.isWhitespace || last == "\0" { text.removeLast() }
        return String(text)
    }

    /// A file's bytes, at most `limitBytes`; nil when it cannot be read.
    public func bytes(_ path: String, limitBytes: Int = 1 << 20) -> [UInt8]? {
        let descriptor = unsafe rack_open_existing(self.path(path), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while content.count < limitBytes {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            if count == 0 { break }
            content += chunk[..<min(count, limitBytes - content.count)]
        }
        return content
    }

    /// A file's plain decimal number; nil when it is missing or something else.
    public func number(_ path: String) -> UInt64? { text(path).flatMap { Decimal.unsigned($0) } }

    /// The names in a folder, sorted; empty when it cannot be read.
    public func entries(_ folder: String) -> [String] {
        guard let stream = unsafe opendir(path(folder)) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether a file or folder is there.
    public func exists(_ path: String) -> Bool { unsafe access(self.path(path), F_OK) == 0 }

    /// What a symbolic link says, unresolved; nil when it is none.
    public func linkText(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { (buffer: UnsafeMutableRawBufferPointer) -> Int in
            guard let start = buffer.baseAddress else { return 0 }
            return unsafe readlink(self.path(path), start.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard count > 0 else { return nil }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// A path with its links resolved; nil when it leads nowhere or out of the root.
    public func resolved(_ path: String) -> String? {
        guard let real = Self.realPath(self.path(path)) else { return nil }
        guard !root.isEmpty else { return real }
        guard let base = Self.realPath(root), real.hasPrefix(base + "/") else { return nil }
        return String(real.dropFirst(base.count))
    }

    private static func realPath(_ path: String) -> String? {
        guard let real = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }

    /// Writes to an existing file in one write, as sysfs wants it.
    public func write(_ path: String, _ text: String) throws(HostDeviceError) {
        let descriptor = unsafe rack_open_existing(self.path(path), O_WRONLY | O_TRUNC | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw HostDeviceError(operation: "write '\(text)' to", object: path, code: errno)
        }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count != bytes.count {
            throw HostDeviceError(
                operation: "write '\(text)' to", object: path, code: count < 0 ? errno : EIO)
        }
    }
}

/// The last component of a path.
func lastComponent(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? ""
}
