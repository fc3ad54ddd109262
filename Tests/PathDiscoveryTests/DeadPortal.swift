import Glibc

/// A portal that swallows connections without an answer, on loopback: a listener that accepts nothing, with its backlog
/// filled. The kernel then drops further SYNs, which is what a dead host looks like.
final class DeadPortal {
    let port: Int
    private let listener: Int32
    private var fillers: [Int32] = []

    init?() {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = self.listener
        let bound = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 0) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard bound else { return nil }
        for _ in 0..<8 {
            let filler = socket(
                AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
            fillers.append(filler)
            _ = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(filler, $0, length) }
            }
            var poller = pollfd(fd: filler, events: Int16(POLLOUT), revents: 0)
            if unsafe poll(&poller, 1, 100) == 0 { return }
        }
        return nil
    }

    deinit {
        for filler in fillers { close(filler) }
        close(listener)
    }
}
