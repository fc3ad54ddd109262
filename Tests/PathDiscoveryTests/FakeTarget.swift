import Glibc
import Synchronization

/// A target made of a function, for what no real target does: refuse in every way, lie, send garbage, fall silent.
///
/// Listens on 127.0.0.1 and serves each connection on a thread. `answer` gets a PDU's 48-byte header and its data and
/// returns the bytes to send; nil closes the connection.
final class FakeTarget: Sendable {
    typealias Answer = @Sendable (_ header: [UInt8], _ data: [UInt8], _ port: Int) -> [UInt8]?

    let port: Int
    private let listener: Int32
    private let accepted = Atomic<Int>(0)

    /// How many connections came.
    var connectionCount: Int { accepted.load(ordering: .relaxed) }

    init?(_ answer: @escaping Answer) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard listener >= 0 else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound else {
            close(listener)
            return nil
        }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        let port = self.port
        Self.thread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                self?.accepted.add(1, ordering: .relaxed)
                Self.thread { Self.serve(connection, port, answer) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func serve(_ connection: Int32, _ port: Int, _ answer: Answer) {
        defer { close(connection) }
        while let header = receive(connection, 48) {
            let length = Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7])
            guard let data = receive(connection, (length + 3) & ~3), let reply = answer(header, data, port) else {
                return
            }
            var sent = 0
            while sent < reply.count {
                let count = unsafe reply.withUnsafeBytes { bytes in
                    unsafe send(
                        connection, bytes.baseAddress.map { unsafe $0 + sent }, bytes.count - sent,
                        Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                sent += count
            }
        }
    }

    private static func receive(_ connection: Int32, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let more = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe recv(connection, buffer.baseAddress.map { unsafe $0 + got }, count - got, 0)
            }
            guard more > 0 else { return nil }
            got += more
        }
        return bytes
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private static func thread(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let body = unsafe Unmanaged.passRetained(Body(run))
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                    body.run()
                }
                return nil
            }, body.toOpaque())
        if code == 0 { pthread_detach(thread) } else { unsafe body.release() }
    }

    // MARK: - Answers (RFC 7143, 11)

    /// A header with opcode and flags, the request's task tag, and the data behind it, padded.
    static func pdu(
        _ opcode: UInt8, _ flags: UInt8, to request: [UInt8], data: [UInt8] = [],
        _ edit: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 48)
        header[0] = opcode
        header[1] = flags
        header[5] = UInt8(data.count >> 16 & 0xFF)
        header[6] = UInt8(data.count >> 8 & 0xFF)
        header[7] = UInt8(data.count & 0xFF)
        header[16...19] = request[16...19]
        header[27] = 1  // StatSN
        // ExpCmdSN and MaxCmdSN: a window of 64 after the request's CmdSN, which immediate requests do not use up.
        let number = request[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let used: UInt32 = request[0] & 0x40 == 0 ? 1 : 0
        for byte in 0..<4 {
            header[28 + byte] = UInt8(truncatingIfNeeded: (number &+ used) >> UInt32(24 - 8 * byte))
            header[32 + byte] = UInt8(truncatingIfNeeded: (number &+ 64) >> UInt32(24 - 8 * byte))
        }
        edit(&header)
        return header + data + [UInt8](repeating: 0, count: (4 - data.count % 4) % 4)
    }

    /// A login response; status 0 goes where the initiator wants to go. The digest key is answered because libiscsi
    /// takes silence for a digest.
    static func login(_ request: [UInt8], status: UInt16 = 0) -> [UInt8] {
        let keys = status == 0 ? Array("HeaderDigest=None\0".utf8) : []
        return pdu(0x23, status == 0 ? request[1] & 0x8F : 0, to: request, data: keys) {
            $0[8...13] = request[8...13]
            $0[15] = 1  // TSIH
            $0[36] = UInt8(status >> 8)
            $0[37] = UInt8(status & 0xFF)
        }
    }

    /// The answer to SendTargets.
    static func text(_ request: [UInt8], _ pairs: [String], flags: UInt8 = 0x80) -> [UInt8] {
        pdu(0x24, flags, to: request, data: pairs.flatMap { Array($0.utf8) + [0] }) {
            $0[20...23] = [0xFF, 0xFF, 0xFF, 0xFF]
        }
    }

    /// Data-In with status GOOD behind it.
    static func dataIn(_ request: [UInt8], _ data: [UInt8], expected: Int) -> [UInt8] {
        let kept = Array(data.prefix(expected))
        let short = expected - kept.count
        return pdu(0x25, short > 0 ? 0x83 : 0x81, to: request, data: kept) {
            $0[20...23] = [0xFF, 0xFF, 0xFF, 0xFF]
            for byte in 0..<4 { $0[44 + byte] = UInt8(short >> (24 - 8 * byte) & 0xFF) }
        }
    }

    /// A SCSI response with fixed sense data.
    static func checkCondition(_ request: [UInt8], key: UInt8, code: UInt8, qualifier: UInt8 = 0) -> [UInt8] {
        let sense: [UInt8] = [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
        return pdu(0x21, 0x80, to: request, data: [0, 18] + sense) { $0[3] = 2 }
    }
}
