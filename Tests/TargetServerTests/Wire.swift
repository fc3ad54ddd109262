import Glibc
import ISCSI
import Testing

/// A PDU as the test initiator sends and gets it.
struct PDU {
    var header: BasicHeaderSegment
    var data: [UInt8] = []

    /// The bytes on the wire, with the digests of the connection; `spoiling` makes one of them wrong.
    func bytes(headerDigest: Bool = false, dataDigest: Bool = false, spoiling: Spoiled = .nothing) -> [UInt8] {
        var header = header
        header.dataSegmentLength = data.count
        var all = header.bytes
        if headerDigest { all += digest(all, spoiled: spoiling == .headerDigest) }
        guard !data.isEmpty else { return all }
        let padded = data + [UInt8](repeating: 0, count: BasicHeaderSegment.padding(data.count))
        all += padded
        if dataDigest { all += digest(padded, spoiled: spoiling == .dataDigest) }
        return all
    }

    enum Spoiled { case nothing, headerDigest, dataDigest }
}

/// CRC32C in the order of bytes on the wire.
private func digest(_ bytes: [UInt8], spoiled: Bool) -> [UInt8] {
    let value = unsafe CRC32C<SoftwareCRC32C>.checksum(of: bytes.span.bytes) ^ (spoiled ? 0x10 : 0)
    return (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
}

/// A TCP connection of the test initiator. Waits end after a minute, so that a fault is a failure and never a hang.
final class Wire {
    let descriptor: Int32
    var headerDigest = false
    var dataDigest = false
    private var isOpen = true

    struct Refused: Error {}

    init(port: UInt16, receiveBufferBytes: Int32 = 0) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        try #require(descriptor >= 0)
        var size = receiveBufferBytes
        if size > 0 { unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var on: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            isOpen = false
            throw Refused()
        }
    }

    deinit { disconnect() }

    func disconnect() {
        if isOpen { close(descriptor) }
        isOpen = false
    }

    /// False when the peer has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    @discardableResult
    func send(_ pdu: PDU, spoiling: PDU.Spoiled = .nothing) -> Bool {
        send(pdu.bytes(headerDigest: headerDigest, dataDigest: dataDigest, spoiling: spoiling))
    }

    /// So many bytes, or nil when the connection ends.
    func receive(_ count: Int) -> [UInt8]? {
        var all = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = unsafe all.withUnsafeMutableBytes { buffer in
                unsafe recv(descriptor, buffer.baseAddress.map { unsafe $0 + filled }, count - filled, 0)
            }
            guard got > 0 else { return nil }
            filled += got
        }
        return all
    }

    /// The next PDU with its digests checked, or nil when the connection ends.
    func receive() -> PDU? {
        guard let bytes = receive(48), let header = unsafe BasicHeaderSegment(bytes.span.bytes) else { return nil }
        #expect(header.totalAHSLengthBytes == 0)
        if headerDigest { #expect(receive(4) == digest(bytes, spoiled: false)) }
        guard header.dataSegmentLength > 0 else { return PDU(header: header) }
        guard let padded = receive(header.paddedDataSegmentLength) else { return nil }
        if dataDigest { #expect(receive(4) == digest(padded, spoiled: false)) }
        return PDU(header: header, data: Array(padded[..<header.dataSegmentLength]))
    }

    /// Whether the peer ends the connection within a minute; what it sends before is dropped.
    func closes() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = unsafe recv(descriptor, &chunk, chunk.count, 0)
            if got > 0 { continue }
            return got == 0 || errno != EAGAIN
        }
    }
}

/// Looks again and again, for up to a minute, whether something has become true.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<6000 {
        if condition() { return true }
        usleep(10_000)
    }
    return condition()
}
