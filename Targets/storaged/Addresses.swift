import Glibc
import Rack

/// Turning what people write for an address into the literals that a socket binds to.
enum Addresses {
    /// The literal of an inventory's portal: its address, or what its host name resolves to.
    static func literal(_ address: String) throws(CommandFailure) -> String {
        switch try? NetworkAddress(parsing: address) {
        case .ipv4, .ipv6: return address
        case .hostName, nil: break
        }
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_ADDRCONFIG
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let error = unsafe getaddrinfo(address, nil, &hints, &list)
        guard error == 0, let first = unsafe list else {
            throw CommandFailure(
                .missing,
                unsafe "portal \(address): \(String(cString: gai_strerror(error))); write its address, or add the name to /etc/hosts"
            )
        }
        defer { unsafe freeaddrinfo(list) }
        guard let text = unsafe text(first.pointee.ai_addr) else {
            throw CommandFailure(.missing, "portal \(address): no IPv4 or IPv6 address; write one")
        }
        return text
    }

    /// This machine's own addresses that another machine may reach: those of interfaces that are up, without loopback and
    /// link-local ones. Where there are none, loopback's.
    static func ofThisMachine(includeIPv4: Bool, includeIPv6: Bool) -> [String] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var found: [String] = []
        var next = unsafe list
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            guard let address = unsafe entry.pointee.ifa_addr, unsafe entry.pointee.ifa_flags & UInt32(IFF_UP) != 0
            else { continue }
            let family = unsafe Int32(address.pointee.sa_family)
            guard family == AF_INET && includeIPv4 || family == AF_INET6 && includeIPv6,
                let text = unsafe text(address), !found.contains(text)
            else { continue }
            if text.hasPrefix("127.") || text == "::1" || text.hasPrefix("169.254.")
                || text.lowercased().hasPrefix("fe80:")
            {
                continue
            }
            found.append(text)
        }
        if found.isEmpty { return includeIPv4 ? ["127.0.0.1"] : ["::1"] }
        return found
    }

    private static func text(_ address: UnsafeMutablePointer<sockaddr>) -> String? {
        let length: socklen_t
        switch unsafe Int32(address.pointee.sa_family) {
        case AF_INET: length = socklen_t(MemoryLayout<sockaddr_in>.size)
        case AF_INET6: length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        default: return nil
        }
        var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard
            unsafe getnameinfo(address, length, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
