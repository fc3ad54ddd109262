import Glibc
import ISCSI

/// Why something could not be tried: one line for the terminal.
struct RogueError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A TCP connection that carries PDUs without digests. It closes with the value.
struct Wire: ~Copyable {
    /// The longest that the other end may be silent.
    static let silenceSeconds = 15

    private let descriptor: Int32

    /// Connects to `ADDRESS[:PORT]`, an IPv4 address.
    init(to portal: String) throws {
        let parts = portal.split(separator: ":").map(String.init)
        guard let host = parts.first, parts.count <= 2, let port = UInt16(parts.count == 2 ? parts[1] : "3260") else {
            throw RogueError("\(portal) is no ADDRESS:PORT")
        }
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(O_CLOEXEC), 0)
        guard descriptor >= 0 else { throw RogueError("no socket: \(Self.lastError)") }
        let code = unsafe Self.withAddress(host, port) { unsafe connect(descriptor, $0, $1) }
        guard code == 0 else {
            let cause = Self.lastError
            close(descriptor)
            throw RogueError("\(portal) cannot be reached: \(cause)")
        }
        self.init(descriptor)
    }

    /// Takes a connected socket.
    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var on: Int32 = 1
        var limit = timeval(tv_sec: Self.silenceSeconds, tv_usec: 0)
        let length = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, length)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, length)
    }

    deinit { close(descriptor) }

    /// A socket that listens on all addresses.
    static func listener(port: UInt16) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(O_CLOEXEC), 0)
        var on: Int32 = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        let code = unsafe withAddress("0.0.0.0", port) { unsafe bind(descriptor, $0, $1) }
        guard descriptor >= 0, code == 0, listen(descriptor, 16) == 0 else {
            throw RogueError("port \(port) cannot be listened on: \(lastError)")
        }
        return descriptor
    }

    /// Sends a PDU.
    func send(_ header: BasicHeaderSegment, _ data: [UInt8] = []) throws {
        let bytes = header.bytes + data + [UInt8](repeating: 0, count: BasicHeaderSegment.padding(data.count))
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno != EINTR {
                throw RogueError("the other end takes nothing: \(Self.lastError)")
            }
        }
    }

    /// The next PDU; nil when the other end has closed.
    func receive() throws -> (header: BasicHeaderSegment, data: [UInt8])? {
        guard let bytes = try receive(exactly: BasicHeaderSegment.lengthBytes),
            let header = unsafe BasicHeaderSegment(bytes.span.bytes)
        else { return nil }
        let skipped = header.totalAHSLengthBytes
        guard let rest = try receive(exactly: skipped + header.paddedDataSegmentLength) else { return nil }
        return (header, Array(rest[skipped..<skipped + header.dataSegmentLength]))
    }

    private func receive(exactly count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let more = unsafe bytes.withUnsafeMutableBytes {
                unsafe recv(descriptor, $0.baseAddress! + filled, count - filled, 0)
            }
            if more > 0 {
                filled += more
            } else if more == 0 || errno == ECONNRESET {
                return nil
            } else if errno != EINTR {
                throw RogueError("nothing came for \(Self.silenceSeconds) s: \(Self.lastError)")
            }
        }
        return bytes
    }

    private static func withAddress(
        _ host: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        unsafe inet_pton(AF_INET, host, &address.sin_addr)
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static var lastError: String { unsafe String(cString: strerror(errno)) }
}
