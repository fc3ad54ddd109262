import Glibc

/// The other end of a TCP connection.
struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// IPv4 or IPv6 literal.
    var address: String
    var port: UInt16

    var description: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }

    /// The peer of a connected socket; nil when it has already gone.
    init?(of descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getpeername(descriptor, $0, &length)
            }
        }
        guard result == 0 else { return nil }
        (address, port) = Self.text(storage)
    }

    static func text(_ storage: sockaddr_storage) -> (String, UInt16) {
        var storage = storage
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let port: UInt16 = unsafe withUnsafePointer(to: &storage) { pointer in
            if Int32(unsafe pointer.pointee.ss_family) == AF_INET {
                return unsafe pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { inet in
                    var address = unsafe inet.pointee.sin_addr
                    unsafe inet_ntop(AF_INET, &address, &buffer, socklen_t(buffer.count))
                    return unsafe UInt16(bigEndian: inet.pointee.sin_port)
                }
            }
            return unsafe pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { inet in
                var address = unsafe inet.pointee.sin6_addr
                unsafe inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count))
                return unsafe UInt16(bigEndian: inet.pointee.sin6_port)
            }
        }
        let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // An IPv4 peer of an IPv6 socket.
        return (text.hasPrefix("::ffff:") && text.contains(".") ? String(text.dropFirst(7)) : text, port)
    }
}

extension PortalAddress {
    /// The local end of a connected socket.
    init?(localOf descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        guard result == 0 else { return nil }
        let (address, port) = PeerAddress.text(storage)
        self.init(address: address, port: port)
    }
}
