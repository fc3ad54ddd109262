import SCSI

/// Golden bytes: hexadecimal pairs, and after `//` what the field is.
func bytes(_ text: String) -> [UInt8] {
    text.split(separator: "\n").flatMap { line in
        let data = line.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)[0]
        return data.split(separator: " ").flatMap { word -> [UInt8] in
            let digits = Array(word)
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
        }
    }
}

/// `count` zeros.
func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

/// A descriptor block from its bytes.
func cdb(_ text: String) -> CommandDescriptorBlock { CommandDescriptorBlock(bytes(text)) }

/// A seeded generator (SplitMix64), so that what failed can be run again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// The unit of the walk-through: 1 GiB, two ports.
enum Fixture {
    static let identity = LogicalUnitIdentity(
        naaIdentifier: 0x3001_0203_0405_0607, serialNumber: "SN0123", vendor: "RACK", product: "storaged",
        revision: "1.0", targetName: "iqn.2026-01.net.example:mpath0",
        ports: [
            TargetPort(relativeIdentifier: 1, groupIdentifier: 1),
            TargetPort(relativeIdentifier: 0x2A, groupIdentifier: 7),
        ])

    static let geometry = BlockGeometry(blockLengthBytes: 512, blockCount: 0x20_0000)

    static let first = NexusHandle(rawValue: 1)
    static let second = NexusHandle(rawValue: 2)
    static let stranger = NexusHandle(rawValue: 99)

    static func information(_ name: String, port: UInt16 = 1) -> NexusInformation {
        NexusInformation(
            initiatorPortName: "iqn.2026-01.net.example:\(name),i,0x00023d000001", relativeTargetPort: port)
    }

    static let anything = ExpectedTransfer(dataOutLengthBytes: .max, dataInLengthBytes: .max)

    /// A unit with nexus 1 on port 1 and nexus 2 on port 2Ah, whose first unit attentions have been taken.
    static func unit(_ geometry: BlockGeometry = Fixture.geometry) -> LogicalUnit {
        var unit = LogicalUnit(identity: identity, geometry: geometry)
        unit.nexusEstablished(first, information("client0"))
        unit.nexusEstablished(second, information("client1", port: 0x2A))
        _ = unit.run("00 00 00 00 00 00", from: first)
        _ = unit.run("00 00 00 00 00 00", from: second)
        return unit
    }
}

extension LogicalUnit {
    /// One command from `nexus`, up to its parameter list.
    mutating func run(
        _ text: String, from nexus: NexusHandle = Fixture.first, expecting: ExpectedTransfer = Fixture.anything
    ) -> Execution {
        begin(cdb(text), from: nexus, expecting: expecting)
    }

    /// One command with its parameter list.
    mutating func run(
        _ text: String, parameterList: [UInt8], from nexus: NexusHandle = Fixture.first
    ) -> Execution {
        run(cdb(text), parameterList: parameterList, from: nexus)
    }

    /// The same with the block ready made.
    mutating func run(
        _ block: CommandDescriptorBlock, parameterList: [UInt8], from nexus: NexusHandle = Fixture.first
    ) -> Execution {
        let expected = ExpectedTransfer(dataOutLengthBytes: UInt32(parameterList.count), dataInLengthBytes: 0)
        let answer = begin(block, from: nexus, expecting: expected)
        guard case .needsParameterList(let length, let continuation) = answer else { return answer }
        return finish(continuation, parameterList: [UInt8](parameterList.prefix(length)), from: nexus)
    }

    /// The parameter data of a command that has to have some.
    mutating func data(_ text: String, from nexus: NexusHandle = Fixture.first) -> [UInt8]? {
        if case .parameterData(let bytes) = run(text, from: nexus) { bytes } else { nil }
    }
}

extension Execution {
    /// The sense of a CHECK CONDITION.
    var sense: Sense? {
        if case .status(.checkCondition, let sense) = self { sense } else { nil }
    }
}
