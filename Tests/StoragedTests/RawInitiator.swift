import Glibc
import Testing

/// A PDU as bytes: what the tests send and get, independent of the module that storaged is made of.
struct RawPDU {
    /// The 48 bytes of the basic header segment (RFC 7143, 11.2.1).
    var header = [UInt8](repeating: 0, count: 48)
    /// The data segment without padding.
    var data: [UInt8] = []
    /// Additional header segments, whole words.
    var additional: [UInt8] = []

    init(opcode: UInt8, flags: UInt8 = 0x80) {
        header[0] = opcode
        header[1] = flags
    }

    init(header: [UInt8], data: [UInt8]) {
        self.header = header
        self.data = data
    }

    /// Opcode without the immediate bit.
    var opcode: UInt8 { header[0] & 0x3f }

    /// A big-endian field of the header.
    subscript(offset: Int, width: Int) -> UInt64 {
        get { header[offset..<(offset + width)].reduce(0) { $0 << 8 | UInt64($1) } }
        set {
            for index in 0..<width {
                header[offset + width - 1 - index] = UInt8(truncatingIfNeeded: newValue >> (8 * index))
            }
        }
    }

    /// The bytes on the wire; lengths are those of the parts unless told otherwise.
    func bytes(dataLength: Int? = nil, additionalWords: Int? = nil, digests: Digests = Digests()) -> [UInt8] {
        var pdu = self
        pdu[5, 3] = UInt64(dataLength ?? data.count)
        pdu.header[4] = UInt8(truncatingIfNeeded: additionalWords ?? additional.count / 4)
        let head = pdu.header + additional
        var all = head
        if digests.header { all += crc32c(head, spoiled: digests.spoilHeader) }
        let padded = data + [UInt8](repeating: 0, count: (4 - data.count % 4) % 4)
        all += padded
        if digests.data && !data.isEmpty { all += crc32c(padded, spoiled: digests.spoilData) }
        return all
    }
}

/// Which digests a connection uses, and which are to be sent wrong.
struct Digests {
    var header = false
    var data = false
    var spoilHeader = false
    var spoilData = false
}

/// CRC32C (RFC 7143, 13.1) in the order of bytes on the wire.
func crc32c(_ bytes: [UInt8], spoiled: Bool = false) -> [UInt8] {
    var crc: UInt32 = 0xffff_ffff
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0x82f6_3b78 }
    }
    crc = ~crc ^ (spoiled ? 0x10 : 0)
    return (0..<4).map { UInt8(truncatingIfNeeded: crc >> (8 * UInt32($0))) }
}

/// A TCP connection to storaged.
final class RawConnection {
    let descriptor: Int32
    var digests = Digests()
    private var isOpen = true

    /// Connects to `127.0.0.1:port`, from a loopback address of choice (limits are counted by it).
    init(port: UInt16, from source: String = "127.0.0.1", receiveBufferBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        try #require(descriptor >= 0)
        if var receiveBufferBytes {
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBufferBytes, 4)
        }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var on: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        func with(_ host: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>) -> Int32) -> Int32 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = unsafe inet_addr(host)
            return unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
            }
        }
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe with(source, 0) { unsafe bind(descriptor, $0, length) }
        let connected = bound == 0 ? unsafe with("127.0.0.1", port) { unsafe connect(descriptor, $0, length) } : -1
        guard connected == 0 else {
            close(descriptor)
            isOpen = false
            throw SceneError()
        }
    }

    deinit { disconnect() }

    /// Closes our end.
    func disconnect() {
        if isOpen { close(descriptor) }
        isOpen = false
    }

    /// Sends as much as the peer takes; false when it has closed.
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
    func send(_ pdu: RawPDU) -> Bool { send(pdu.bytes(digests: digests)) }

    /// So many bytes, or nil when the connection ends or nothing comes for 20 s.
    func receive(_ count: Int) -> [UInt8]? {
        var all = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = unsafe all.withUnsafeMutableBytes { buffer in
                unsafe recv(descriptor, buffer.baseAddress! + filled, count - filled, 0)
            }
            guard got > 0 else { return nil }
            filled += got
        }
        return all
    }

    /// The next PDU, with its digests checked; nil when the connection ends.
    func receive() -> RawPDU? {
        guard let header = receive(48) else { return nil }
        #expect(header[4] == 0, "storaged sends no additional header segments")
        if digests.header { #expect(receive(4) == crc32c(header)) }
        let length = Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7])
        guard length > 0 else { return RawPDU(header: header, data: []) }
        guard let padded = receive((length + 3) & ~3) else { return nil }
        if digests.data { #expect(receive(4) == crc32c(padded)) }
        return RawPDU(header: header, data: Array(padded[..<length]))
    }

    /// Whether the peer ends the connection in time; what it sends before that is dropped.
    func closes(withinSeconds seconds: Double) -> Bool {
        let end = now() + seconds
        var chunk = [UInt8](repeating: 0, count: 65536)
        while now() < end {
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&polled, 1, Int32(max(1, (end - now()) * 1000))) > 0 else { continue }
            let count = unsafe recv(descriptor, &chunk, chunk.count, Int32(MSG_DONTWAIT))
            // The end of the stream sets no errno, so one that is left from before says nothing.
            if count == 0 || count < 0 && errno != EAGAIN { return true }
        }
        return false
    }
}

/// A login request's parts.
struct RawLogin {
    var currentStage: UInt8 = 1
    var nextStage: UInt8 = 3
    var transit = true
    var continues = false
    var isid: [UInt8] = [0x80, 0x12, 0x34, 0x56, 0x00, 0x01]
    var tsih: UInt16 = 0
    var tag: UInt32 = 1
    var commandNumber: UInt32 = 1
    var keys: [String] = []

    var pdu: RawPDU {
        var pdu = RawPDU(
            opcode: 0x43, flags: (transit ? 0x80 : 0) | (continues ? 0x40 : 0) | currentStage << 2 | nextStage)
        pdu.header.replaceSubrange(8..<14, with: isid)
        pdu[14, 2] = UInt64(tsih)
        pdu[16, 4] = UInt64(tag)
        pdu[24, 4] = UInt64(commandNumber)
        pdu.data = keys.flatMap { Array($0.utf8) + [0] }
        return pdu
    }
}

/// What a command came to.
struct RawResult {
    var status: UInt8
    var data: [UInt8]
    /// Sense data without the length before it.
    var sense: [UInt8]
    var senseKey: UInt8 { sense.count > 2 ? sense[2] & 0x0f : 0 }
    var additionalSense: UInt16 { sense.count > 13 ? UInt16(sense[12]) << 8 | UInt16(sense[13]) : 0 }
}

/// A session of one connection that does as the standard says.
final class RawSession {
    let connection: RawConnection
    private(set) var commandNumber: UInt32 = 1
    private(set) var statusNumber: UInt32 = 0
    private(set) var tag: UInt32 = 100
    /// PDUs that came without being asked for: NOP-In, asynchronous messages.
    private(set) var unasked: [RawPDU] = []

    init(
        port: UInt16, targetName: String, initiatorName: String, from source: String = "127.0.0.1",
        isid: [UInt8] = [0x80, 0x12, 0x34, 0x56, 0x00, 0x01], digests: Digests = Digests(),
        receiveBufferBytes: Int32? = nil
    ) throws {
        connection = try RawConnection(port: port, from: source, receiveBufferBytes: receiveBufferBytes)
        var login = RawLogin(isid: isid)
        login.keys = [
            "InitiatorName=\(initiatorName)", "TargetName=\(targetName)", "SessionType=Normal",
            "HeaderDigest=\(digests.header ? "CRC32C" : "None")", "DataDigest=\(digests.data ? "CRC32C" : "None")",
            "InitialR2T=No", "ImmediateData=Yes", "MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144",
            "FirstBurstLength=65536",
        ]
        connection.send(login.pdu)
        guard let answer = connection.receive(), answer.opcode == 0x23, answer[36, 2] == 0,
            answer.header[1] & 0x83 == 0x83
        else {
            Issue.record("login was refused")
            throw SceneError()
        }
        statusNumber = UInt32(answer[24, 4]) &+ 1
        connection.digests = digests
    }

    /// A SCSI command PDU, numbered.
    func command(_ cdb: [UInt8], reads: Int = 0, writes: Int = 0, immediate: [UInt8] = []) -> RawPDU {
        var pdu = RawPDU(opcode: 0x01, flags: 0x81 | (reads > 0 ? 0x40 : 0) | (writes > 0 ? 0x20 : 0))
        tag += 1
        pdu[16, 4] = UInt64(tag)
        pdu[20, 4] = UInt64(max(reads, writes))
        pdu[24, 4] = UInt64(commandNumber)
        pdu[28, 4] = UInt64(statusNumber)
        commandNumber &+= 1
        pdu.header.replaceSubrange(32..<(32 + cdb.count), with: cdb)
        pdu.data = immediate
        return pdu
    }

    /// Sends a command and waits for what it comes to; nil when the connection ends.
    func execute(_ cdb: [UInt8], reads: Int = 0, writing data: [UInt8] = []) -> RawResult? {
        let pdu = command(cdb, reads: reads, writes: data.count, immediate: data)
        guard connection.send(pdu) else { return nil }
        return result(of: UInt32(pdu[16, 4]))
    }

    /// Waits for the end of a task.
    func result(of tag: UInt32) -> RawResult? {
        var data: [UInt8] = []
        while let pdu = connection.receive() {
            switch pdu.opcode {
            case 0x25 where pdu[16, 4] == UInt64(tag):
                data += pdu.data
                if pdu.header[1] & 0x01 != 0 {
                    statusNumber = UInt32(pdu[24, 4]) &+ 1
                    return RawResult(status: pdu.header[3], data: data, sense: [])
                }
            case 0x21 where pdu[16, 4] == UInt64(tag):
                statusNumber = UInt32(pdu[24, 4]) &+ 1
                return RawResult(status: pdu.header[3], data: data, sense: Array(pdu.data.dropFirst(2)))
            default:
                unasked.append(pdu)
                answerPing(pdu)
            }
        }
        return nil
    }

    /// NOP-In with a transfer tag wants a NOP-Out.
    func answerPing(_ pdu: RawPDU) {
        guard pdu.opcode == 0x20, pdu[20, 4] != 0xffff_ffff else { return }
        var answer = RawPDU(opcode: 0x40)
        answer[16, 4] = 0xffff_ffff
        answer[20, 4] = pdu[20, 4]
        answer.header.replaceSubrange(8..<16, with: pdu.header[8..<16])
        answer[24, 4] = UInt64(commandNumber)
        connection.send(answer)
    }

    /// Clears the unit attention that a new nexus begins with.
    func settle() {
        for _ in 0..<4 {
            guard let result = execute([0x00, 0, 0, 0, 0, 0]), result.status != 0 else { return }
        }
    }

    func read(lba: UInt32, blocks: UInt16) -> RawResult? {
        execute(Self.cdb(0x28, lba, blocks), reads: Int(blocks) * 512)
    }

    func write(lba: UInt32, _ data: [UInt8]) -> RawResult? {
        execute(Self.cdb(0x2a, lba, UInt16(data.count / 512)), writing: data)
    }

    static func cdb(_ operation: UInt8, _ lba: UInt32, _ blocks: UInt16) -> [UInt8] {
        [
            operation, 0, UInt8(lba >> 24), UInt8(lba >> 16 & 0xff), UInt8(lba >> 8 & 0xff), UInt8(lba & 0xff), 0,
            UInt8(blocks >> 8), UInt8(blocks & 0xff), 0,
        ]
    }

    /// Writes a pattern and reads it back: whether the session still works, and in what time.
    func works(seed: UInt64 = 1, sourceLocation: SourceLocation = #_sourceLocation) {
        var numbers = SeededNumbers(seed: seed)
        let data = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &numbers) }
        let lba = UInt32.random(in: 0..<1000, using: &numbers) * 8
        let start = now()
        let written = write(lba: lba, data)
        #expect(written?.status == 0, "write: \(String(describing: written))", sourceLocation: sourceLocation)
        let got = read(lba: lba, blocks: 8)
        #expect(got?.status == 0 && got?.data == data, "read differs", sourceLocation: sourceLocation)
        let seconds = now() - start
        #expect(seconds < 2, "a write and a read took \(seconds) s", sourceLocation: sourceLocation)
    }
}
