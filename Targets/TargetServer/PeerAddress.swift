import Glibc

/// The other end of a TCP connection.
package struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// IPv4 or IPv6 literal.
    var address: String
    var port: UInt16

    package var description: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }

    /// Whose failed logins count together: an IPv4 address, or the /64 of an IPv6 one, of which a host can have as many
    /// addresses as it likes. A link-local address stands for itself: its /64 is the whole link.
    package var network: String {
        guard address.contains(":"), !address.hasPrefix("fe80:") else { return address }
        var bytes = in6_addr()
        guard unsafe inet_pton(AF_INET6, address, &bytes) == 1 else { return address }
        let high = unsafe withUnsafeBytes(of: bytes) { unsafe Array($0.prefix(8)) }
        let groups = stride(from: 0, to: 8, by: 2).map {
            String(UInt16(high[$0]) << 8 | UInt16(high[$0 + 1]), radix: 16)
        }
        return groups.joined(separator: ":") + "::/64"
    }

    /// An address as the kernel gives it.
    package init(address: String, port: UInt16) {
        self.address = address
        self.port = port
    }

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
