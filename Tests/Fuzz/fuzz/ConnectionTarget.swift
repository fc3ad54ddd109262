import BlockStore
import Glibc
import ISCSI
import Logging
import TargetServer

/// A whole connection against the real server: accept, login (its own or the fuzzer's), commands, data, task management,
/// text and logout, in pieces of any length, while a second session of another initiator does the same. What holds: the
/// server stays; every connection ends when its initiator has; all payload memory comes back; a good session works
/// afterwards.
enum ConnectionTarget {
    private static let host = FuzzHost()

    static func run(_ input: inout Input) {
        // What one input leaves behind in the unit (mode pages, reservations, port states) the next ones must not meet for
        // ever: a new unit now and then.
        host.begin()
        let first = FuzzSession(host.port, 1, &input)
        let second = FuzzSession(host.port, 2, &input)
        while !input.isEmpty {
            if input.byte() & 7 == 7 { second.step(&input) } else { first.step(&input) }
        }
        first.end()
        second.end()
        host.checkMemory()
    }
}

/// The server: two volumes of 1 MiB in memory behind one portal.
private final class FuzzHost: @unchecked Sendable {
    let server: TargetServer
    private var configuration: ServerConfiguration
    private let folder: String
    private var generation = 0
    private var inputs = 0

    var port: UInt16 { configuration.portals[0].port }
    static func target(_ number: Int) -> String { "iqn.2026-01.net.example:mpath\(number)" }

    init() {
        var template = Array("/dev/shm/storaged-fuzz.XXXXXX".utf8CString)
        folder = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let made = unsafe mkdtemp(buffer.baseAddress!) else { fatalError("mkdtemp: errno \(errno)") }
            return unsafe String(cString: made)
        }
        var limits = ServerLimits()
        limits.reactors = 1
        limits.payloadBytesPerReactor = 4 << 20
        limits.commandsPerSession = 16
        configuration = ServerConfiguration(
            hostName: "storage0", portals: [Self.freePortal()], targets: [], limits: limits)
        do {
            let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
            server = try TargetServer(configuration: configuration, logger: logger)
            try server.start()
        } catch {
            fatalError("the server does not start: \(error)")
        }
    }

    /// Before an input: new units now and then.
    func begin() {
        inputs += 1
        guard inputs % 128 == 1 else { return }
        renew()
        checkGoodSession()
    }

    /// New units, over new files.
    private func renew() {
        generation += 1
        var new = configuration
        do {
            new.targets = []
            _ = try server.apply(new)
            for target in configuration.targets { unsafe unlink(target.store.path) }
            for number in 0..<2 {
                let store = try BlockStore.open(
                    path: "\(folder)/\(generation)-\(number).img", sizeBytes: 1 << 20, blockLengthBytes: 512,
                    readOnly: false)
                new.targets.append(
                    TargetConfiguration(
                        name: Self.target(number), volumeName: "mpath\(number)",
                        wwid: 0x3001_0203_0405_0607 + UInt64(number),
                        portalGroups: [PortalGroupConfiguration(portal: new.portals[0], tag: 1)], store: store,
                        blockLengthBytes: 512, isReadOnly: false))
            }
            _ = try server.apply(new)
        } catch {
            fatalError("broken: a new unit cannot be had: \(error)")
        }
        configuration = new
    }

    /// Nothing of a connection that is over is still held. In-flight requests may take a moment.
    func checkMemory() {
        for _ in 0..<20_000 {
            if server.snapshot().payloadBytesInUse == 0 { return }
            usleep(500)
        }
        fatalError("broken: \(server.snapshot().payloadBytesInUse) bytes of payload memory are lost")
    }

    private func checkGoodSession() {
        var nothing = unsafe Input(UnsafeRawBufferPointer(start: nil, count: 0))
        let session = FuzzSession(port, 3, &nothing)
        hold(session.testUnitReady(), "a good session is not served")
        session.end()
    }

    private static func freePortal() -> PortalAddress {
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
}

/// An initiator that does what the fuzzer says.
private final class FuzzSession {
    private let descriptor: Int32
    private var headerDigest = false
    private var dataDigest = false
    private var cmdSN = SerialNumber(1)
    private var nextTag: UInt32 = 1
    private var lastR2T: BasicHeaderSegment?
    private var received: [UInt8] = []
    private var unsent: [UInt8] = []

    init(_ port: UInt16, _ number: UInt64, _ input: inout Input) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        var on: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        // The port is the kernel's again at once: thousands of connections a minute.
        var linger = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        hold(result == 0, "the portal takes no connection: errno \(errno)")
        let shape = input.byte()
        if shape & 0xc0 != 0xc0 { logIn(number, shape) }
    }

    /// The initiator's own login machine; `shape` says what it wishes.
    private func logIn(_ number: UInt64, _ shape: UInt8) {
        guard let name = try? ISCSIName("iqn.2026-01.net.example:client\(number)"),
            let target = try? ISCSIName(FuzzHost.target(shape & 0x20 == 0 ? 0 : 1))
        else { fatalError("names") }
        var configuration = InitiatorLogin.Configuration(
            initiatorName: name, targetName: shape & 0xe0 == 0x80 ? nil : target, isid: ISID(rawValue: number))
        configuration.preferences.initialR2T = shape & 1 != 0
        configuration.preferences.immediateData = shape & 2 == 0
        configuration.preferences.headerDigest = shape & 4 == 0 ? .noneOnly : .requireCRC32C
        configuration.preferences.dataDigest = shape & 8 == 0 ? .noneOnly : .requireCRC32C
        if shape & 16 != 0 {
            configuration.preferences.maxRecvDataSegmentLength = 512
            configuration.preferences.maxBurstLength = 1024
            configuration.preferences.firstBurstLength = 512
        }
        var login = InitiatorLogin(configuration)
        var step = login.start()
        while case .send(let request, let text) = step {
            var header = request.header
            header.dataSegmentLength = text.count
            send(header.bytes + text + [UInt8](repeating: 0, count: BasicHeaderSegment.padding(text.count)))
            flush()
            guard let (answer, data) = next(waits: true) else { return }
            step = withSpan(data) { login.receive(answer, data: $0) }
        }
        guard case .established(let result) = step else { return }
        headerDigest = result.parameters.headerDigest == .crc32c
        dataDigest = result.parameters.dataDigest == .crc32c
        cmdSN = result.cmdSN
    }

    // MARK: What the fuzzer says

    func step(_ input: inout Input) {
        let operation = input.byte()
        switch operation & 15 {
        case 0: send(input.take(Int(input.byte())))
        case 1: flush()
        case 2, 3:
            flush()
            look()
        case 4: header(input.padded(48), input.take(Int(input.byte())), operation, &input)
        case 5: answerR2T(&input)
        case 6: manage(operation, &input)
        case 7: other(operation, &input)
        default: command(operation, &input)
        }
    }

    private func command(_ operation: UInt8, _ input: inout Input) {
        let shape = input.byte()
        let cdb = operation & 16 == 0 ? input.padded(16) : Self.usual(&input)
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        for index in 0..<16 { bytes[index] = cdb[index] }
        let expected = shape & 4 == 0 ? UInt32(input.byte()) * 512 : UInt32(input.number(UInt16.self))
        let data = shape & 2 != 0 && shape & 8 != 0 ? data(Int(expected), &input) : []
        var view = SCSICommand(
            initiatorTaskTag: InitiatorTaskTag(nextTag), lun: .zero, cdb: bytes, reads: shape & 1 != 0,
            writes: shape & 2 != 0, expectedDataTransferLength: expected, cmdSN: takeCmdSN(shape & 16 != 0),
            expStatSN: SerialNumber(0), immediate: shape & 16 != 0)
        view.isFinal = shape & 32 == 0
        if shape & 64 == 0 { nextTag = nextTag % 20 + 1 }
        send(PDU(view.header, data), spoils: shape & 0xc0 == 0xc0)
    }

    /// Commands that reach deep, with small fields from the input.
    private static func usual(_ input: inout Input) -> [UInt8] {
        let code: UInt8 = input.pick([
            0x88, 0x8a, 0x28, 0x2a, 0x89, 0x8b, 0x8f, 0x8e, 0x93, 0x91, 0x42, 0x5f, 0x5e, 0x83, 0x84, 0x48, 0x04, 0x55,
            0x15,
            0x9e, 0xa4, 0xa3, 0x12, 0xa0, 0x16, 0x17, 0x1b, 0x35,
        ])
        var cdb = [UInt8](repeating: 0, count: 16)
        cdb[0] = code
        cdb[1] = input.byte()
        switch code {
        case 0x28, 0x2a: (cdb[5], cdb[8]) = (input.byte(), input.byte())
        case 0x42, 0x48, 0x5e, 0x55: cdb[8] = input.byte()
        case 0x5f: (cdb[2], cdb[8]) = (input.byte() & 0x0f, 24)
        case 0x12, 0x15: (cdb[2], cdb[4]) = (input.byte(), input.byte())
        case 0xa3, 0xa4, 0xa0: (cdb[2], cdb[9]) = (input.byte(), input.byte())
        default: (cdb[9], cdb[13]) = (input.byte(), input.byte())
        }
        return cdb
    }

    /// Data of a length, from a few bytes of the input.
    private func data(_ length: Int, _ input: inout Input) -> [UInt8] {
        let head = input.take(min(length, Int(input.byte())))
        return head + [UInt8](repeating: head.last ?? 0, count: min(length, 40_000) - min(head.count, 40_000))
    }

    private func header(_ bytes: [UInt8], _ data: [UInt8], _ operation: UInt8, _ input: inout Input) {
        var header = withSpan(bytes) { BasicHeaderSegment($0)! }
        if operation & 16 != 0 { header[.cmdSN] = takeCmdSN(header[.immediate]) }
        if operation & 32 != 0 {
            send(PDU(header, data), spoils: operation & 64 != 0)
        } else {
            send(header.bytes + input.take(header.totalAHSLengthBytes) + data)
        }
    }

    private func answerR2T(_ input: inout Input) {
        let shape = input.byte()
        guard let r2t = lastR2T else { return flush() }
        let wanted = Int(r2t[.desiredDataTransferLength])
        let count = shape & 1 == 0 ? min(wanted, 40_000) : min(wanted, Int(input.byte()))
        let view = SCSIDataOut(
            initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t[.targetTransferTag],
            dataSN: shape & 2 == 0 ? 0 : 1, bufferOffset: r2t[.bufferOffset] + (shape & 4 == 0 ? 0 : 1),
            final: shape & 8 == 0, expStatSN: SerialNumber(0), dataSegmentLength: count)
        send(PDU(view.header, [UInt8](repeating: shape, count: count)), spoils: shape & 16 != 0)
        if shape & 32 == 0 { lastR2T = nil }
    }

    private func manage(_ operation: UInt8, _ input: inout Input) {
        let function = input.pick(TaskManagementFunction.allCases)
        let view = TaskManagementRequest(
            function: function, initiatorTaskTag: InitiatorTaskTag(100),
            referencedTaskTag: InitiatorTaskTag(UInt32(input.byte())),
            refCmdSN: cmdSN - 1, cmdSN: takeCmdSN(operation & 16 == 0), expStatSN: SerialNumber(0),
            immediate: operation & 16 == 0)
        send(PDU(view.header, []))
    }

    private func other(_ operation: UInt8, _ input: inout Input) {
        let isImmediate = operation & 16 == 0
        let data = input.take(Int(input.byte()))
        switch operation >> 5 & 3 {
        case 0:
            let view = NOPOut(
                initiatorTaskTag: InitiatorTaskTag(101), immediate: isImmediate, cmdSN: takeCmdSN(isImmediate),
                expStatSN: SerialNumber(0), dataSegmentLength: data.count)
            send(PDU(view.header, data))
        case 1:
            let view = TextRequest(
                initiatorTaskTag: InitiatorTaskTag(102), final: data.count & 1 == 0, immediate: isImmediate,
                cmdSN: takeCmdSN(isImmediate), expStatSN: SerialNumber(0), dataSegmentLength: data.count)
            send(PDU(view.header, data))
        case 2:
            send(
                PDU(
                    TextRequest(
                        initiatorTaskTag: InitiatorTaskTag(102), immediate: isImmediate, cmdSN: takeCmdSN(isImmediate),
                        expStatSN: SerialNumber(0), dataSegmentLength: 16
                    ).header, Array("SendTargets=All\0".utf8)))
        default:
            let view = LogoutRequest(
                reason: .closeSession, initiatorTaskTag: InitiatorTaskTag(103), cmdSN: takeCmdSN(isImmediate),
                expStatSN: SerialNumber(0), immediate: isImmediate)
            send(PDU(view.header, []))
        }
    }

    func testUnitReady() -> Bool {
        let view = SCSICommand(
            initiatorTaskTag: InitiatorTaskTag(1), lun: .zero, cdb: InlineArray(repeating: 0),
            cmdSN: takeCmdSN(false), expStatSN: SerialNumber(0))
        send(PDU(view.header, []))
        flush()
        while let (header, _) = next(waits: true) { if header.opcode == .scsiResponse { return true } }
        return false
    }

    // MARK: The wire

    private struct PDU {
        var header: BasicHeaderSegment
        var data: [UInt8]
        init(_ header: BasicHeaderSegment, _ data: [UInt8]) { (self.header, self.data) = (header, data) }
    }

    private func takeCmdSN(_ isImmediate: Bool) -> SerialNumber { isImmediate ? cmdSN : cmdSN.take() }

    private func send(_ pdu: PDU, spoils: Bool = false) {
        var header = pdu.header
        header.dataSegmentLength = pdu.data.count
        header.totalAHSLengthBytes = 0
        var bytes = header.bytes
        if headerDigest { bytes += digest(bytes, spoils) }
        if !pdu.data.isEmpty {
            let padded = pdu.data + [UInt8](repeating: 0, count: BasicHeaderSegment.padding(pdu.data.count))
            bytes += padded
            if dataDigest { bytes += digest(padded, spoils) }
        }
        send(bytes)
    }

    private func digest(_ bytes: [UInt8], _ spoils: Bool) -> [UInt8] {
        let value = withSpan(bytes) { CRC32C<SoftwareCRC32C>.checksum(of: $0) } ^ (spoils ? 1 : 0)
        return (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    private func send(_ bytes: [UInt8]) {
        unsent += bytes
        if unsent.count > 60_000 { flush() }
    }

    /// Sends what is to be sent, as far as the server reads it.
    private func flush() {
        var sent = 0
        while sent < unsent.count {
            let count = unsafe unsent[sent...].withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 { sent += count } else if count < 0, errno == EAGAIN { read(waits: false) } else { break }
        }
        unsent = []
    }

    /// Takes what the server has sent, waiting a moment for it.
    private func look() {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&polled, 1, 2)
        while let (header, _) = next(waits: false) {
            if header.opcode == .r2t { lastR2T = header }
        }
    }

    /// One PDU of the server's; nil when there is none (yet), or the connection is over.
    private func next(waits: Bool) -> (BasicHeaderSegment, [UInt8])? {
        while true {
            if received.count >= 48 {
                let header = withSpan(received) { BasicHeaderSegment($0)! }
                let layout = PDULayout(header, headerDigest: headerDigest, dataDigest: dataDigest)
                hold(header.opcode?.isFromInitiator == false, "the server sent opcode \(header[.opcode])")
                if received.count >= layout.totalLength {
                    let data = Array(received[layout.dataOffset..<layout.dataOffset + layout.dataLength])
                    received.removeFirst(layout.totalLength)
                    return (header, data)
                }
            }
            if !read(waits: waits) { return nil }
        }
    }

    @discardableResult
    private func read(waits: Bool) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe recv(descriptor, &chunk, chunk.count, waits ? 0 : Int32(MSG_DONTWAIT))
        guard count > 0 else { return false }
        received += chunk[..<count]
        return true
    }

    /// Sends the rest, says that nothing more comes, and waits for the server to close.
    func end() {
        flush()
        shutdown(descriptor, Int32(SHUT_WR))
        while next(waits: true) != nil {}
        close(descriptor)
    }
}
