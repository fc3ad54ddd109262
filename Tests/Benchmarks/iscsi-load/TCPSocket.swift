import Glibc

/// Why a run ended: one line for the user.
struct LoadFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A numeric address and a port: `10.77.0.21:3260` or `[fd00::21]:3260`; 3260 where no port is given.
struct PortalAddress {
    /// The address without brackets.
    let host: String
    let port: UInt16

    /// Nil where the text is neither form. That the address is numeric shows at connecting.
    init?(_ text: String) {
        var host = text[...]
        var port = "3260"[...]
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":") else { return nil }
                port = rest.dropFirst()
            }
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard !host.isEmpty, let number = UInt16(port), number > 0 else { return nil }
        self.host = String(host)
        self.port = number
    }

    /// As it was written, with the port.
    var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// A connected TCP socket. It closes with the value.
struct TCPSocket: ~Copyable {
    /// What one call on the socket came to.
    enum Outcome {
        /// So many bytes, at least one.
        case moved(Int)
        /// The socket is full or empty, and the call was told not to wait.
        case wouldBlock
    }

    /// The longest that the peer may be silent while something is expected of it.
    static let silenceSeconds = 10

    let descriptor: Int32

    /// Connects to `portal`.
    init(_ portal: PortalAddress) throws(LoadFailure) { descriptor = try Self.connected(to: portal) }

    private static func connected(to portal: PortalAddress) throws(LoadFailure) -> Int32 {
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(portal.host, String(portal.port), &hints, &list) == 0, let first = unsafe list else {
            throw LoadFailure("\(portal.host) is no numeric address")
        }
        defer { unsafe freeaddrinfo(first) }
        let descriptor = unsafe socket(first.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(O_CLOEXEC), 0)
        guard descriptor >= 0 else { throw LoadFailure("no socket: \(Self.lastError)") }
        var on: Int32 = 1
        var limit = timeval(tv_sec: Self.silenceSeconds, tv_usec: 0)
        let limitLength = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, limitLength)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, limitLength)
        guard unsafe connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            let cause = Self.lastError
            close(descriptor)
            throw LoadFailure("\(portal.text) cannot be reached: \(cause)")
        }
        return descriptor
    }

    deinit { close(descriptor) }

    /// The text of `errno`.
    static var lastError: String { unsafe String(cString: strerror(errno)) }

    /// Receives what is there into `buffer` from `offset` on.
    func receive(into buffer: inout [UInt8], from offset: Int, waiting: Bool) throws(LoadFailure) -> Outcome {
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes {
                unsafe recv(descriptor, $0.baseAddress! + offset, $0.count - offset, waiting ? 0 : Int32(MSG_DONTWAIT))
            }
            if count > 0 { return .moved(count) }
            if count == 0 { throw LoadFailure("the target closed the connection") }
            switch errno {
            case EINTR: continue
            case EAGAIN where !waiting: return .wouldBlock
            case EAGAIN: throw LoadFailure("the target has been silent for \(Self.silenceSeconds) s")
            default: throw LoadFailure("receiving failed: \(Self.lastError)")
            }
        }
    }

    /// Receives exactly `count` bytes.
    func receive(exactly count: Int) throws(LoadFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            if case .moved(let more) = try receive(into: &bytes, from: filled, waiting: true) { filled += more }
        }
        return bytes
    }

    /// Sends all of `bytes`.
    func send(_ bytes: [UInt8]) throws(LoadFailure) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno != EINTR {
                throw LoadFailure("sending failed: \(Self.lastError)")
            }
        }
    }

    /// Waits until something came or, with `orRoom`, until the socket takes data again. False where the time passed.
    func wait(orRoom: Bool, milliseconds: Int32) throws(LoadFailure) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(orRoom ? POLLIN | POLLOUT : POLLIN), revents: 0)
        let count = unsafe poll(&polled, 1, milliseconds)
        guard count >= 0 || errno == EINTR else { throw LoadFailure("waiting failed: \(Self.lastError)") }
        return count > 0
    }
}
