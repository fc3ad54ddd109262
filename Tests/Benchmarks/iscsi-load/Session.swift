import Glibc
import ISCSI

/// A session of one connection: login, the commands before and after the load, and logout, one PDU at a time. The load
/// itself is `LoadLoop`.
struct Session: ~Copyable {
    /// The answer to a command outside the load.
    struct Answer {
        let status: UInt8
        /// Data-In, or the data segment of the response (sense data with its length before it).
        let data: [UInt8]
    }

    /// What a target may say about its unit in READ CAPACITY.
    struct Capacity {
        let blockBytes: Int
        let blocks: Int
    }

    let socket: TCPSocket
    let lun: LogicalUnitNumber
    let parameters: OperationalParameters
    var cmdSN: SerialNumber
    var maxCmdSN: SerialNumber
    var expStatSN: SerialNumber

    /// Connects to `portal` and logs in to `target`, offering what open-iscsi offers, without digests.
    init(portal: PortalAddress, target: ISCSIName, initiator: ISCSIName, lun: LogicalUnitNumber) throws(LoadFailure) {
        let socket = try TCPSocket(portal)
        let qualifier = UInt16(truncatingIfNeeded: getpid())
        var configuration = InitiatorLogin.Configuration(
            initiatorName: initiator, targetName: target,
            isid: ISID(format: .random, a: 0x12, b: 0x3456, c: 0x78, d: qualifier))
        configuration.preferences.headerDigest = .noneOnly
        configuration.preferences.dataDigest = .noneOnly
        configuration.preferences.maxBurstLength = 16_776_192
        configuration.preferences.firstBurstLength = 262_144
        let result = try Self.login(configuration, on: socket, of: portal)
        parameters = result.parameters
        cmdSN = result.cmdSN
        maxCmdSN = result.maxCmdSN
        expStatSN = result.expStatSN
        self.socket = socket
        self.lun = lun
    }

    private static func login(
        _ configuration: InitiatorLogin.Configuration, on socket: borrowing TCPSocket, of portal: PortalAddress
    ) throws(LoadFailure) -> InitiatorLogin.Result {
        var login = InitiatorLogin(configuration)
        var step = login.start()
        while true {
            switch step {
            case .send(let request, let text):
                try send(request.header, text, on: socket)
                let (header, data) = try receive(on: socket)
                step = unsafe login.receive(header, data: data.span.bytes)
            case .established(let result): return result
            case .failed(_, let cause): throw LoadFailure("login at \(portal.text): \(cause)")
            }
        }
    }

    /// Waits for the unit to be ready, past the unit attentions that a new session begins with, and asks for its size.
    mutating func prepare() throws(LoadFailure) -> Capacity {
        var answer = try execute([0x00, 0, 0, 0, 0, 0], expectedBytes: 0)
        for _ in 0..<8 where answer.status != 0 { answer = try execute([0x00, 0, 0, 0, 0, 0], expectedBytes: 0) }
        guard answer.status == 0 else { throw LoadFailure("the unit is not ready: \(Self.describe(answer))") }
        let capacity = try execute([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], expectedBytes: 8)
        guard capacity.status == 0, capacity.data.count == 8 else {
            throw LoadFailure("READ CAPACITY(10) failed: \(Self.describe(capacity))")
        }
        func number(_ offset: Int) -> Int { capacity.data[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } }
        return Capacity(blockBytes: number(4), blocks: number(0) + 1)
    }

    /// Logs out and waits for the target's consent.
    mutating func logout() throws(LoadFailure) {
        let request = LogoutRequest(
            reason: .closeSession, initiatorTaskTag: InitiatorTaskTag(1), cmdSN: cmdSN, expStatSN: expStatSN)
        try Self.send(request.header, [], on: socket)
        while true {
            let (header, _) = try Self.receive(on: socket)
            guard let response = LogoutResponse(checking: header) else {
                try takeUnasked(header)
                continue
            }
            guard response.result == .success else {
                throw LoadFailure("the target answered the logout with \(header[.response])")
            }
            return
        }
    }

    /// Does nothing but answer the target's pings.
    mutating func idle(seconds: Double) throws(LoadFailure) {
        let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
        while true {
            let now = monotonicNanoseconds()
            guard now < end else { return }
            if try socket.wait(orRoom: false, milliseconds: Int32(clamping: (end - now) / 1_000_000 + 1)) {
                try takeUnasked(try Self.receive(on: socket).header)
            }
        }
    }

    /// The NOP-Out that a NOP-In asks for; nil where it asks for none.
    func pong(_ header: BasicHeaderSegment) -> BasicHeaderSegment? {
        let ping = NOPIn(header: header)
        guard !ping.targetTransferTag.isReserved else { return nil }
        return NOPOut(
            initiatorTaskTag: .reserved, targetTransferTag: ping.targetTransferTag, lun: ping.lun, cmdSN: cmdSN,
            expStatSN: expStatSN
        ).header
    }

    /// Status and sense of an answer that is not GOOD, for one line.
    static func describe(_ answer: Answer) -> String {
        let sense = answer.data.dropFirst(2)
        guard answer.status == 2, sense.count >= 14 else { return "status \(answer.status)" }
        let first = sense.startIndex
        return "status 2, sense \(sense[first + 2] & 0x0f)/\(sense[first + 12])/\(sense[first + 13])"
    }

    private mutating func execute(_ cdb: [UInt8], expectedBytes: Int) throws(LoadFailure) -> Answer {
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        for index in cdb.indices { bytes[index] = cdb[index] }
        let tag = InitiatorTaskTag(cmdSN.rawValue)
        let command = SCSICommand(
            initiatorTaskTag: tag, lun: lun, cdb: bytes, reads: expectedBytes > 0,
            expectedDataTransferLength: UInt32(expectedBytes), cmdSN: cmdSN.take(), expStatSN: expStatSN)
        try Self.send(command.header, [], on: socket)
        var received: [UInt8] = []
        while true {
            let (header, data) = try Self.receive(on: socket)
            switch header.opcode {
            case .scsiDataIn where header.initiatorTaskTag == tag:
                received += data
                guard SCSIDataIn(header: header).hasStatus else { continue }
                try takeStatus(header)
                return Answer(status: header[.status], data: received)
            case .scsiResponse where header.initiatorTaskTag == tag:
                try takeStatus(header)
                return Answer(status: header[.status], data: header[.status] == 0 ? received : data)
            default: try takeUnasked(header)
            }
        }
    }

    /// Checks and counts the StatSN of a response, and takes the window.
    @inline(__always)
    mutating func takeStatus(_ header: BasicHeaderSegment) throws(LoadFailure) {
        let statSN = header[.statSN]
        guard statSN == expStatSN else { throw LoadFailure("StatSN \(statSN) came, \(expStatSN) was due") }
        expStatSN = statSN.next
        takeWindow(header)
    }

    /// Takes MaxCmdSN, which never goes back (RFC 7143 section 4.2.2.1).
    @inline(__always)
    mutating func takeWindow(_ header: BasicHeaderSegment) {
        let last = header[.maxCmdSN]
        if last > maxCmdSN { maxCmdSN = last }
    }

    private mutating func takeUnasked(_ header: BasicHeaderSegment) throws(LoadFailure) {
        guard header.opcode == .nopIn else { throw Self.unexpected(header) }
        takeWindow(header)
        if let answer = pong(header) { try Self.send(answer, [], on: socket) }
    }

    /// What to say of a PDU that has no place here.
    static func unexpected(_ header: BasicHeaderSegment) -> LoadFailure {
        switch header.opcode {
        case .reject: LoadFailure("the target rejected a PDU, reason \(header[.response])")
        case .asyncMessage: LoadFailure("the target sent asynchronous event \(header[.asyncEvent])")
        default: LoadFailure("PDU with opcode \(header[.opcode]), tag \(header.initiatorTaskTag) was not expected")
        }
    }

    private static func send(
        _ header: BasicHeaderSegment, _ data: [UInt8], on socket: borrowing TCPSocket
    ) throws(LoadFailure) {
        try socket.send(
            header.bytes + data + [UInt8](repeating: 0, count: BasicHeaderSegment.padding(data.count)))
    }

    private static func receive(
        on socket: borrowing TCPSocket
    ) throws(LoadFailure) -> (header: BasicHeaderSegment, data: [UInt8]) {
        let bytes = try socket.receive(exactly: BasicHeaderSegment.lengthBytes)
        guard let header = unsafe BasicHeaderSegment(bytes.span.bytes) else {
            throw LoadFailure("a header is too short")
        }
        let length = header.dataSegmentLength
        let padded = try socket.receive(exactly: header.totalAHSLengthBytes + header.paddedDataSegmentLength)
        return (header, Array(padded[header.totalAHSLengthBytes..<header.totalAHSLengthBytes + length]))
    }
}
