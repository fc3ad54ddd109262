import BlockStore
import Glibc
import Logging
import TargetServer

/// A storage host of one test: a server on loopback over files in a folder of its own. Both go with it.
final class Host {
    let server: TargetServer
    private(set) var configuration: ServerConfiguration
    private let folder: String
    /// Whether the server has been ended already.
    var isShutDown = false

    var port: UInt16 { configuration.portals[0].port }
    var target: String { configuration.targets[0].name }

    /// One volume of `sizeBytes` for each of `volumes` behind each of `portals` portals.
    init(
        volumes: Int = 1, portals: Int = 1, sizeBytes: UInt64 = 64 << 20, readOnly: Bool = false,
        _ change: (inout ServerLimits) -> Void = { _ in }
    ) throws {
        var template = Array("/tmp/targetserver.XXXXXX".utf8CString)
        folder = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else {
                fatalError("mkdtemp: errno \(errno)")
            }
            return unsafe String(cString: made)
        }
        var limits = ServerLimits()
        limits.reactors = 2
        limits.drainSeconds = 5
        change(&limits)
        let addresses = (0..<portals).map { _ in Self.freePortal() }
        configuration = ServerConfiguration(hostName: "storage0", portals: addresses, targets: [], limits: limits)
        for number in 0..<volumes {
            configuration.targets.append(
                try Self.volume(number, folder: folder, portals: addresses, sizeBytes: sizeBytes, readOnly: readOnly))
        }
        server = try TargetServer(configuration: configuration, logger: Self.silent)
        try server.start()
    }

    deinit {
        if !isShutDown { server.shutDown() }
        for target in configuration.targets { unsafe unlink(target.store.path) }
        unsafe rmdir(folder)
    }

    func shutDown() {
        isShutDown = true
        server.shutDown()
    }

    /// Applies a changed configuration; what the server says it changed.
    func apply(_ change: (inout ServerConfiguration) throws -> Void) throws -> [String] {
        var new = configuration
        try change(&new)
        let changes = try server.apply(new)
        configuration = new
        return changes
    }

    /// Another volume, not served yet.
    func newVolume(_ number: Int, sizeBytes: UInt64 = 64 << 20) throws -> TargetConfiguration {
        try Self.volume(number, folder: folder, portals: configuration.portals, sizeBytes: sizeBytes, readOnly: false)
    }

    /// Bytes of payload memory that the server has given out.
    var payloadBytes: Int { server.snapshot().payloadBytesInUse }

    var sessionCount: Int { server.snapshot().targets.reduce(0) { $0 + $1.sessions.count } }

    private static func volume(
        _ number: Int, folder: String, portals: [PortalAddress], sizeBytes: UInt64, readOnly: Bool
    ) throws -> TargetConfiguration {
        let path = "\(folder)/mpath\(number).img"
        if readOnly {
            let descriptor = unsafe open(path, O_RDWR | O_CREAT, 0o600)
            ftruncate(descriptor, off_t(sizeBytes))
            close(descriptor)
        }
        return TargetConfiguration(
            name: "iqn.2026-01.net.example:mpath\(number)", volumeName: "mpath\(number)",
            wwid: 0x3000_0000_0000_0001 + UInt64(number),
            portalGroups: portals.enumerated().map { PortalGroupConfiguration(portal: $1, tag: UInt16($0 + 1)) },
            store: try BlockStore.open(path: path, sizeBytes: sizeBytes, blockLengthBytes: 512, readOnly: readOnly),
            blockLengthBytes: 512, isReadOnly: readOnly)
    }

    /// A loopback address and a port that nobody listens on.
    static func freePortal() -> PortalAddress {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = unsafe bind(descriptor, $0, length)
                _ = unsafe getsockname(descriptor, $0, &length)
            }
        }
        return PortalAddress(address: "127.0.0.1", port: UInt16(bigEndian: address.sin_port))
    }

    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
