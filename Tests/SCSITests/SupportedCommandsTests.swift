import SCSI
import Testing

@Suite struct SupportedCommandsTests {
    struct Entry: Hashable {
        var code: UInt8
        var action: UInt16?
        var lengthBytes: Int
    }

    static func entries(_ unit: inout LogicalUnit) -> [Entry] {
        let data = unit.data("A3 0C 00 00 00 00 00 00 FF FF 00 00")!
        #expect(Int(data[2]) << 8 | Int(data[3]) == data.count - 4)
        return stride(from: 4, to: data.count, by: 8).map { offset in
            let action = UInt16(data[offset + 2]) << 8 | UInt16(data[offset + 3])
            let hasAction = data[offset + 5] & 0x01 != 0
            #expect(hasAction || action == 0)
            #expect(data[offset + 5] & 0x02 == 0)  // CTDP without RCTD
            return Entry(
                code: data[offset], action: hasAction ? action : nil,
                lengthBytes: Int(data[offset + 6]) << 8 | Int(data[offset + 7]))
        }
    }

    static func block(_ options: UInt8, _ code: UInt8, _ action: UInt16 = 0) -> CommandDescriptorBlock {
        CommandDescriptorBlock(
            [0xA3, 0x0C, options, code, UInt8(action >> 8), UInt8(action & 0xFF), 0, 0, 0xFF, 0xFF, 0, 0])
    }

    @Test func firstAndLastDescriptors() {
        var unit = Fixture.unit()
        let data = unit.data("A3 0C 00 00 00 00 00 00 FF FF 00 00")!
        #expect(
            Array(data.prefix(12))
                == bytes(
                    """
                    00000218     // COMMAND DATA LENGTH: 67 commands
                    00 00        // TEST UNIT READY
                    0000         // SERVICE ACTION
                    00 00        // CTDP, SERVACTV 0
                    0006         // CDB LENGTH
                    """))
        #expect(Array(data.suffix(8)) == bytes("B7 00 0000 00 00 000C  // READ DEFECT DATA (12)"))
    }

    /// Whatever is listed is served, and what is not listed is refused: over every operation code and service action.
    @Test(arguments: [true, false]) func listAndBehaviourAgree(_ isThin: Bool) {
        var unit = Fixture.unit(BlockGeometry(blockLengthBytes: 512, blockCount: 1 << 20, isThin: isThin))
        let listed = Self.entries(&unit)
        #expect(Set(listed).count == listed.count)
        #expect(listed.count == (isThin ? 67 : 62))
        for code in UInt8.min...UInt8.max {
            for action: UInt8 in 0..<32 {
                let known = listed.contains { $0.code == code && ($0.action == nil || $0.action == UInt16(action)) }
                let answer = unit.begin(
                    // The service action of a variable length block is elsewhere.
                    CommandDescriptorBlock(code == 0x7F ? [code, 0, 0, 0, 0, 0, 0, 0x18, 0, action] : [code, action]),
                    from: Fixture.first, expecting: Fixture.anything)
                // A service action of SANITIZE or the reservation commands that is not there is a wrong field of theirs.
                let isTheirs = code == 0x5E || code == 0x5F || code == 0x48 && isThin
                let refused = answer.sense?.additionalSenseCode == (isTheirs && !known ? 0x2400 : 0x2000)
                unit.mediumWorkEnded(failed: false)
                // WRITE SAME (32) is served, and listed on request only.
                let isUnlisted = code == 0x7F && action == 0x0D
                #expect(refused != (known || isUnlisted), "operation code \(code), service action \(action)")
            }
        }
    }

    /// The 32-byte commands are of type 2 protection; without it WRITE SAME (32) is served in a manner of our own.
    @Test func writeSame32IsListedOnRequest() {
        var unit = Fixture.unit()
        #expect(!Self.entries(&unit).contains { $0.code == 0x7F })
        let data = unit.data("A3 0C 02 7F 00 0D 00 00 FF FF 00 00")!
        #expect(Array(data.prefix(6)) == bytes("00 05 0020  7F 04  // SUPPORT 5; CDB LENGTH 32"))
        #expect(data.count == 36)
    }

    /// Where the server can keep its promise.
    @Test func writeAtomic() {
        var geometry = Fixture.geometry
        geometry.maximumAtomicBlocks = 512
        var unit = Fixture.unit(geometry)
        #expect(unit.data("A3 0C 01 9C 00 00 00 00 FF FF 00 00")?.prefix(5) == bytes("00 03 0010 9C")[...])
        #expect(unit.data("12 01 B0 00 FF 00")?[44..<64] == (bytes("00000200") + zeros(16))[...])
        let range = BlockRange(firstBlock: 0x1234, blockCount: 0x200)
        #expect(
            unit.run("9C 08 00 00 00 00 00 00 12 34 00 00 02 00 00 00") == .media(.writeAtomic(range, .forceUnitAccess))
        )
        #expect(unit.run("9C 00 00 00 00 00 00 00 12 34 00 00 02 01 00 00").sense == .invalidFieldInCDB(byte: 12))
        #expect(unit.run("9C 00 00 00 00 00 00 00 12 34 00 08 00 08 00 00").sense == .invalidFieldInCDB(byte: 10))
        #expect(
            unit.run("9C 20 00 00 00 00 00 00 12 34 00 00 00 08 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 7))
        #expect(
            unit.run("9C 00 00 00 00 00 00 1F FF F9 00 00 00 08 00 00").sense
                == .logicalBlockAddressOutOfRange(0x1F_FFF9))
        let operation = MediaOperation.writeAtomic(range, [])
        #expect(operation.isWrite && operation.forcesUnitAccess && operation.dataOutLengthBytes(geometry) == 0x40000)
        #expect(operation.expectedDataOutFault(0x3FE00, geometry) == .invalidFieldInCommandInformationUnit)
    }

    @Test func oneCommandForEachListed() {
        var unit = Fixture.unit()
        for entry in Self.entries(&unit) {
            let hasAction = entry.action != nil
            let wrong = unit.begin(
                Self.block(hasAction ? 1 : 2, entry.code, entry.action ?? 0), from: Fixture.first,
                expecting: Fixture.anything)
            #expect(wrong.sense == .invalidFieldInCDB(byte: 2, bit: 2))
            for options: UInt8 in [hasAction ? 2 : 1, 3] {
                let right = unit.begin(
                    Self.block(options, entry.code, entry.action ?? 0), from: Fixture.first, expecting: Fixture.anything
                )
                guard case .parameterData(let data) = right else { Issue.record("\(entry): no data"); continue }
                #expect(data[1] == 0x03)
                #expect(Int(data[3]) == entry.lengthBytes)
                #expect(data.count == 4 + entry.lengthBytes)
                #expect(data[4] == entry.code)
                // A variable length block has CONTROL in byte 1, its length in byte 7, the service action in 8 and 9.
                let isVariable = entry.code == 0x7F
                if let action = entry.action {
                    #expect(UInt16(isVariable ? data[13] : data[5] & 0x1F) == action)
                }
                #expect((isVariable ? data[5] : data.last) == 0x04)  // of CONTROL only NACA is looked at
                let block = CommandDescriptorBlock(isVariable ? [0x7F, 0, 0, 0, 0, 0, 0, 0x18] : [entry.code])
                #expect(entry.lengthBytes == block.lengthBytes)
            }
        }
    }

    @Test func usageOfREAD10() {
        var unit = Fixture.unit()
        #expect(
            unit.data("A3 0C 01 28 00 00 00 00 FF FF 00 00")
                == bytes(
                    """
                    00 03 000A   // CTDP 0, SUPPORT 3, CDB SIZE
                    28
                    F8           // RDPROTECT, DPO, FUA
                    FFFFFFFF     // LOGICAL BLOCK ADDRESS
                    00           // GROUP NUMBER is not looked at
                    FFFF         // TRANSFER LENGTH
                    04           // CONTROL: NACA
                    """))
        #expect(
            unit.data("A3 0C 82 9E 00 10 00 00 FF FF 00 00")
                == bytes(
                    """
                    00 83 0010   // CTDP 1
                    9E 10        // the service action itself
                    0000000000000000 FFFFFFFF 00 04
                    000A 00 00 00000001 0000001E  // timeouts: nominal 1 s, recommended 30 s
                    """))
    }

    @Test func notSupportedIsAnAnswer() {
        var unit = Fixture.unit()
        #expect(unit.data("A3 0C 01 8D 00 00 00 00 FF FF 00 00") == bytes("00 01 0000  // SUPPORT 1: not supported"))
        #expect(unit.data("A3 0C 02 9E 00 11 00 00 FF FF 00 00") == bytes("00 01 0000"))
        #expect(unit.data("A3 0C 02 8D 00 00 00 00 FF FF 00 00") == bytes("00 01 0000"))
        #expect(unit.data("A3 0C 03 28 00 05 00 00 FF FF 00 00") == bytes("00 01 0000"))
        #expect(unit.run("A3 0C 04 28 00 00 00 00 FF FF 00 00").sense == .invalidFieldInCDB(byte: 2, bit: 2))
    }

    @Test func timeoutsOnRequest() {
        var unit = Fixture.unit()
        let data = unit.data("A3 0C 80 00 00 00 00 00 FF FF 00 00")!
        #expect(data.count == 4 + 67 * 20)
        for offset in stride(from: 4, to: data.count, by: 20) {
            #expect(data[offset + 5] & 0x02 != 0)
            #expect(Array(data[(offset + 8)..<(offset + 10)]) == bytes("000A"))
        }
    }

    @Test func taskManagementFunctions() {
        var unit = Fixture.unit()
        #expect(
            unit.data("A3 0D 00 00 00 00 00 00 00 FF 00 00")
                == bytes("D8 00 00 00  // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET"))
        #expect(unit.data("A3 0D 80 00 00 00 00 00 00 FF 00 00") == bytes("D8 00 00 0C") + zeros(12))
        #expect(unit.data("A3 0D 00 00 00 00 00 00 00 02 00 00") == bytes("D8 00"))
    }
}
