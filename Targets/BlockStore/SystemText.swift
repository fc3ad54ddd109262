import CLinux
import Glibc

/// The system's words for an errno: `No space left on device`.
func systemMessage(_ errorNumber: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress, unsafe strerror_r(errorNumber, base, buffer.count) == 0 else {
            return "error \(errorNumber)"
        }
        return unsafe String(cString: base)
    }
}

/// A size for people and for copying: `1 GiB (1073741824 bytes)`, or the bytes alone where no unit divides them.
func sizeText(_ bytes: UInt64) -> String {
    let units: [(String, UInt64)] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    for (name, unit) in units where bytes >= unit && bytes % unit == 0 {
        return "\(bytes / unit) \(name) (\(bytes) bytes)"
    }
    return "\(bytes) bytes"
}

/// The folder part of a path: `/srv` of `/srv/a.img`, `.` of `a.img`.
func parentFolder(of path: String) -> String {
    var bytes = Array(path.utf8)
    while bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self)
}

/// The first `limitBytes` of a small file of /proc or /sys, or nil when it cannot be read.
func smallFile(_ path: String, limitBytes: Int = 1 << 16) -> String? {
    let descriptor = unsafe path.withCString { unsafe rack_open($0, O_RDONLY) }
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limitBytes)
    var filled = 0
    while filled < limitBytes {
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe read(descriptor, buffer.baseAddress! + filled, limitBytes - filled)
        }
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { break }
        filled += count
    }
    return String(decoding: bytes[..<filled], as: UTF8.self)
}

/// stat(2) of an open descriptor.
func fileStatus(_ descriptor: Int32) -> Result<stat, SystemFailure> {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 ? .success(status) : .failure(SystemFailure(errorNumber: errno))
}

/// An errno on its way to becoming a `StoreError`.
struct SystemFailure: Error {
    var errorNumber: Int32
}
