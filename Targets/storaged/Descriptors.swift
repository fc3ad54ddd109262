import Glibc
import Logging

/// File descriptors of the process: a connection takes one, and a socket that cannot be accepted for want of one leaves its
/// initiator waiting.
enum Descriptors {
    /// Besides connections: backing files, listening sockets, rings, the control socket, the log.
    private static let others = 256

    /// Raises the process's limit so far that `connections` fit in; a hard limit that is lower is logged.
    static func allow(connections: Int, logger: Logger) {
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        let wanted = rlim_t(connections + others)
        guard unsafe getrlimit(kind, &limit) == 0, limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(wanted, limit.rlim_max)
        unsafe setrlimit(kind, &limit)
        if limit.rlim_max < wanted {
            let advice = "set LimitNOFILE=\(wanted) in the unit, or limits: connections in the inventory"
            logger.warning(
                "\(connections) connections are allowed, and \(limit.rlim_max) file descriptors; \(advice)")
        }
    }
}
