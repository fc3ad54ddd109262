import Glibc

/// Opens listening sockets.
enum Listener {
    /// A socket that listens on `portal`. The address must be this host's; a literal, never looked up.
    static func open(_ portal: PortalAddress) throws(ServerError) -> Int32 {
        func failure(_ errorNumber: Int32) -> ServerError {
            let advice =
                switch errorNumber {
                case EADDRINUSE: "another program listens there; find it with: ss -ltnp 'sport = :\(portal.port)'"
                case EADDRNOTAVAIL:
                    "this host has no such address; bring it up (ip address show) or correct the inventory"
                case EACCES: "ports below 1024 need root"
                default: "check the portal's address and port"
                }
            return ServerError(
                operation: "listen on", object: portal.description,
                cause: unsafe String(cString: strerror(errorNumber)), advice: advice)
        }
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(portal.address, String(portal.port), &hints, &list) == 0, let first = unsafe list
        else {
            throw ServerError(
                operation: "listen on", object: portal.description, cause: "not an IPv4 or IPv6 address",
                advice: "write the portal's address as a literal")
        }
        defer { unsafe freeaddrinfo(list) }
        let descriptor = unsafe socket(first.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        guard descriptor >= 0 else { throw failure(errno) }
        var on: Int32 = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if unsafe first.pointee.ai_family == AF_INET6 {
            unsafe setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4)
        }
        var attempt = 1
        while true {
            if unsafe bind(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0,
                listen(descriptor, 512) == 0
            {
                return descriptor
            }
            let errorNumber = errno
            if errorNumber == EADDRINUSE, attempt < Self.attempts {
                usleep(Self.pauseMicroseconds)
                attempt += 1
                continue
            }
            close(descriptor)
            throw failure(errorNumber)
        }
    }

    // The kernel takes an io_uring of a killed process apart in the background, and the listening socket in its accept
    // stays until then: a daemon that is started again at once finds its own predecessor there.
    private static let attempts = 40
    private static let pauseMicroseconds: UInt32 = 50_000
}
