import ISCSI

/// A session that got in, and what it asks for.
struct RogueSession: ~Copyable {
    private let wire: Wire
    private var cmdSN: SerialNumber
    private var expStatSN: SerialNumber

    init(_ wire: consuming Wire, _ result: InitiatorLogin.Result) {
        self.wire = wire
        cmdSN = result.cmdSN
        expStatSN = result.expStatSN
    }

    /// SendTargets=All: a line a target.
    mutating func printTargets() throws {
        let text = Array("SendTargets=All".utf8) + [0]
        let request = TextRequest(
            initiatorTaskTag: InitiatorTaskTag(7), cmdSN: cmdSN.take(), expStatSN: expStatSN,
            dataSegmentLength: text.count)
        try wire.send(request.header, text)
        guard let (header, data) = try wire.receive() else {
            print("SendTargets: closed")
            return
        }
        guard header.opcode == .textResponse else {
            print("SendTargets: opcode \(header[.opcode])")
            return
        }
        expStatSN = header[.statSN].next
        for line in data.split(separator: 0) { print(String(decoding: line, as: UTF8.self)) }
    }

    /// REPORT LUNS: the units.
    mutating func printUnits() throws {
        let (status, data) = try execute([0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0], unit: 0, bytes: 4096)
        let count = data.count >= 4 ? (Int(data[2]) << 8 | Int(data[3])) / 8 : 0
        let units = (0..<count).filter { 8 + 8 * $0 + 1 < data.count }.map { "\(data[8 + 8 * $0 + 1])" }
        print("units, status \(status): \(units.joined(separator: " "))")
    }

    /// READ(10) of one block.
    mutating func printRead(_ unit: Int) throws {
        // Past the unit attention that a new session begins with.
        _ = try execute([0, 0, 0, 0, 0, 0], unit: unit, bytes: 0)
        let (status, data) = try execute([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], unit: unit, bytes: 512)
        if status == 2, data.count >= 16 {
            print("unit \(unit): sense \(data[4] & 0x0f)/\(String(data[14], radix: 16))")
        } else {
            print("unit \(unit): status \(status), \(data.count) bytes")
        }
    }

    private mutating func execute(_ cdb: [UInt8], unit: Int, bytes: Int) throws -> (status: UInt8, data: [UInt8]) {
        guard let lun = LogicalUnitNumber(index: unit) else { throw RogueError("no unit \(unit)") }
        var block = InlineArray<16, UInt8>(repeating: 0)
        for index in cdb.indices { block[index] = cdb[index] }
        let command = SCSICommand(
            initiatorTaskTag: InitiatorTaskTag(cmdSN.rawValue), lun: lun, cdb: block, reads: bytes > 0,
            expectedDataTransferLength: UInt32(bytes), cmdSN: cmdSN.take(), expStatSN: expStatSN)
        try wire.send(command.header)
        var received: [UInt8] = []
        while let (header, data) = try wire.receive() {
            switch header.opcode {
            case .scsiDataIn:
                received += data
                guard SCSIDataIn(header: header).hasStatus else { continue }
                expStatSN = header[.statSN].next
                return (header[.status], received)
            case .scsiResponse:
                expStatSN = header[.statSN].next
                return (header[.status], header[.status] == 0 ? received : data)
            default: continue
            }
        }
        throw RogueError("the target closed the connection")
    }
}
