import SCSI
import Testing

/// UNMAP and its parameter list.
@Suite struct UnmapTests {
    static func list(_ descriptors: [(UInt64, UInt32)], dataLength: Int? = nil) -> [UInt8] {
        let length = dataLength ?? descriptors.count * 16
        var list: [UInt8] = []
        for value in [6 + length, length] { list += [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
        list += zeros(4)
        for (first, count) in descriptors {
            list += (0..<8).map { UInt8(truncatingIfNeeded: first >> (56 - 8 * $0)) }
            list += (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + zeros(4)
        }
        return list
    }

    static func run(_ list: [UInt8], _ geometry: BlockGeometry = Fixture.geometry) -> Execution {
        var unit = Fixture.unit(geometry)
        let block = [0x42, 0, 0, 0, 0, 0, 0, UInt8(list.count >> 8), UInt8(list.count & 0xFF), 0]
        return unit.run(CommandDescriptorBlock(block), parameterList: list)
    }

    @Test func rangesInOrder() {
        let ranges = [BlockRange(firstBlock: 0, blockCount: 8), BlockRange(firstBlock: 0x1F_FFFF, blockCount: 1)]
        #expect(Self.run(Self.list([(0, 8), (0x1F_FFFF, 1)])) == .unmap(ranges))
        // Empty descriptors are not worth the store's time, at the very end of the unit neither.
        #expect(Self.run(Self.list([(5, 0), (0, 8), (0x20_0000, 0), (0x1F_FFFF, 1)])) == .unmap(ranges))
    }

    @Test func goldenParameterList() {
        let list = bytes(
            """
            0016              // UNMAP DATA LENGTH 22
            0010              // UNMAP BLOCK DESCRIPTOR DATA LENGTH 16
            00000000
            0000000000000102  // UNMAP LOGICAL BLOCK ADDRESS
            00000003          // NUMBER OF LOGICAL BLOCKS
            00000000
            """)
        #expect(Self.run(list) == .unmap([BlockRange(firstBlock: 0x102, blockCount: 3)]))
    }

    @Test func nothingToDo() {
        #expect(Self.run(Self.list([])) == .good)
        #expect(Self.run(Self.list([(0, 0), (9, 0)])) == .good)
        var unit = Fixture.unit()
        #expect(unit.run("42 00 00 00 00 00 00 00 00 00") == .good)  // PARAMETER LIST LENGTH 0
    }

    @Test func tooShort() {
        for length in 1..<8 {
            #expect(Self.run(zeros(length)).sense == .parameterListLengthError)
        }
        var unit = Fixture.unit()
        let short = ExpectedTransfer(dataOutLengthBytes: 8, dataInLengthBytes: 0)
        #expect(unit.run("42 00 00 00 00 00 00 00 18 00", expecting: short).sense == .parameterListLengthError)
    }

    @Test func descriptorsCutOffAreIgnored() {
        let whole = Self.list([(0, 8), (16, 8)])
        let first = Execution.unmap([BlockRange(firstBlock: 0, blockCount: 8)])
        for length in 24..<40 { #expect(Self.run(Array(whole.prefix(length))) == first, "cut at \(length)") }
        for length in 16..<32 { #expect(Self.run(Self.list([(0, 8), (16, 8)], dataLength: length)) == first) }
        for length in 0..<16 { #expect(Self.run(Self.list([(0, 8)], dataLength: length)) == .good) }
        #expect(Self.run(Self.list([(0, 8)], dataLength: 0xFFF0)) == first)  // claims more than there is
    }

    @Test func limits() {
        let many = (0..<257).map { (UInt64($0), UInt32(1)) }
        guard case .unmap(let ranges) = Self.run(Self.list(Array(many.prefix(256)))) else {
            Issue.record("256 descriptors are allowed")
            return
        }
        #expect(ranges.count == 256)
        #expect(Self.run(Self.list(many)).sense == .invalidFieldInParameterList(byte: 2))
        let large = BlockGeometry(blockLengthBytes: 512, blockCount: 1 << 40)
        #expect(Self.run(Self.list([(0, 1 << 20)]), large) == .unmap([BlockRange(firstBlock: 0, blockCount: 1 << 20)]))
        #expect(Self.run(Self.list([(0, 1 << 20), (0, 1)]), large).sense == .invalidFieldInParameterList(byte: 32))
        #expect(Self.run(Self.list([(0, .max), (0, .max)]), large).sense == .invalidFieldInParameterList(byte: 16))
    }

    @Test func outOfRange() {
        for (first, count): (UInt64, UInt32) in [
            (0x20_0000, 1), (0x1F_FFFF, 2), (0x20_0001, 0), (.max, 1), (.max, .max), (UInt64.max - 0xFFFF_FFFE, .max),
        ] {
            #expect(Self.run(Self.list([(0, 1), (first, count)])).sense == .logicalBlockAddressOutOfRange(first))
        }
    }

    @Test func refused() {
        var unit = Fixture.unit()
        #expect(unit.run("42 01 00 00 00 00 00 00 18 00").sense == .invalidFieldInCDB(byte: 1, bit: 0))  // ANCHOR
        var readOnly = Fixture.geometry
        readOnly.isReadOnly = true
        #expect(Self.run(Self.list([(0, 1)]), readOnly).sense == .writeProtected)
        let thick = BlockGeometry(blockLengthBytes: 512, blockCount: 1024, isThin: false)
        #expect(Self.run(Self.list([(0, 1)]), thick).sense == .invalidOperationCode)
    }

    @Test func fewerBytesThanAskedForDoNothing() {
        var unit = Fixture.unit()
        guard case .needsParameterList(40, let continuation) = unit.run("42 00 00 00 00 00 00 00 28 00") else {
            Issue.record("no parameter list asked for")
            return
        }
        let list = Self.list([(0, 1), (8, 1)])
        for length in 0..<40 {
            let answer = unit.finish(continuation, parameterList: Array(list.prefix(length)), from: Fixture.first)
            #expect(answer.sense == .parameterListLengthError)
        }
        // More are not looked at.
        let both = [0, 8].map { BlockRange(firstBlock: $0, blockCount: 1) }
        #expect(unit.finish(continuation, parameterList: list + zeros(9), from: Fixture.first) == .unmap(both))
    }

    /// The unit became read-only while the parameter list was on its way.
    @Test func stateIsCheckedAgainWhenTheListArrives() {
        var unit = Fixture.unit()
        guard case .needsParameterList(24, let continuation) = unit.run("42 00 00 00 00 00 00 00 18 00") else {
            Issue.record("no parameter list asked for")
            return
        }
        var readOnly = Fixture.geometry
        readOnly.isReadOnly = true
        unit.changeGeometry(readOnly)
        #expect(
            unit.finish(continuation, parameterList: Self.list([(0, 1)]), from: Fixture.first).sense == .writeProtected)
    }
}

/// The commands that fit in a few lines.
@Suite struct SmallCommandTests {
    @Test func testUnitReady() {
        var unit = Fixture.unit()
        #expect(unit.run("00 00 00 00 00 00") == .good)
        #expect(unit.run("00 00 00 00 00 04").sense == .invalidFieldInCDB(byte: 5, bit: 2))
    }

    @Test func startStopUnit() {
        var unit = Fixture.unit()
        let whole = BlockRange(firstBlock: 0, blockCount: 0x20_0000)
        #expect(unit.run("1B 00 00 00 01 00") == .good)  // START
        #expect(unit.run("1B 00 00 00 00 00") == .media(.synchronizeCache(whole, immediate: false)))  // stop flushes
        #expect(unit.run("1B 01 00 00 00 00") == .media(.synchronizeCache(whole, immediate: true)))  // IMMED
        #expect(unit.run("1B 00 00 00 04 00") == .good)  // NO_FLUSH
        #expect(unit.run("1B 00 00 00 02 00").sense == .invalidFieldInCDB(byte: 4, bit: 1))  // LOEJ
        for condition: UInt8 in 0...15 where condition != 0 {
            let answer = unit.begin(
                CommandDescriptorBlock([0x1B, 0, 0, 0, condition << 4, 0]), from: Fixture.first,
                expecting: Fixture.anything)
            let known = [1, 2, 3, 7, 10, 11].contains(condition)
            #expect(answer == (known ? .good : .checkCondition(.invalidFieldInCDB(byte: 4, bit: 7))))
        }
        #expect(unit.run("00 00 00 00 00 00") == .good)  // and it is still there for everybody
    }

    @Test func sendDiagnostic() {
        var unit = Fixture.unit()
        #expect(unit.run("1D 04 00 00 00 00") == .good)  // SELFTEST
        #expect(unit.run("1D 00 00 00 00 00") == .good)
        #expect(unit.run("1D 20 00 00 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 7))  // SELF-TEST CODE 1
        #expect(unit.run("1D 10 00 00 08 00").sense == .invalidFieldInCDB(byte: 3))  // a parameter list
    }

    /// What this device type has not, and what is not served: INVALID COMMAND OPERATION CODE.
    @Test(arguments: [
        "4C 00 00 00 00 00 00 00 00 00",  // LOG SELECT
        "9C 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",  // WRITE ATOMIC (16)
        "C1 00 00 00 00 00 00 00 00 00", "FF 00 00 00 00 00",
        "46 00 00 00 00 00 00 00 18 00",  // GET CONFIGURATION
    ])
    func unknownOperationCodes(_ text: String) {
        var unit = Fixture.unit()
        #expect(unit.run(text).sense == .invalidOperationCode)
    }

    @Test(arguments: [
        "9E 00 00 00 00 00 00 00 00 00 00 00 00 20 00 00", "9E 11 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
        "A3 05 00 00 00 00 00 00 00 FF 00 00",
    ])
    func unknownServiceActions(_ text: String) {
        var unit = Fixture.unit()
        #expect(unit.run(text).sense == .invalidServiceAction)
    }

    @Test func failedUnit() {
        var unit = Fixture.unit()
        unit.fail(.mediumErrorSynchronize)
        #expect(unit.requiresInspection)
        for text in [
            "00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "2A 00 00 00 00 00 00 00 01 00",
            "35 00 00 00 00 00 00 00 00 00", "1B 00 00 00 00 00", "1D 04 00 00 00 00",
            "9E 12 00 00 00 00 00 00 00 00 00 00 00 18 00 00", "42 00 00 00 00 00 00 00 18 00",
        ] {
            #expect(unit.run(text).sense == .mediumErrorSynchronize, "\(text)")
        }
        #expect(unit.data("12 00 00 00 FF 00")?.count == 96)
        #expect(unit.data("25 00 00 00 00 00 00 00 00 00")?.count == 8)
        #expect(unit.data("03 01 00 00 FF 00") == bytes("72 03 0C00 000000 00"))
        unit.recover()
        #expect(unit.run("00 00 00 00 00 00") == .good)
        #expect(!unit.requiresInspection)
    }

    @Test func writeWithHalfABlockWritesNothing() {
        var unit = Fixture.unit()
        let short = ExpectedTransfer(dataOutLengthBytes: 511, dataInLengthBytes: 0)
        #expect(
            unit.run("2A 00 00 00 00 00 00 00 01 00", expecting: short).sense == .invalidFieldInCommandInformationUnit)
    }
}

@Suite struct AbsentUnitTests {
    static let units = [LogicalUnitNumber(0)]

    static func respond(_ text: String) -> Execution { AbsentUnit.respond(cdb(text), visibleUnits: units) }

    @Test func inquiry() {
        let expected =
            bytes("7F 00 06 12 1F 00 00 00  // PERIPHERAL QUALIFIER 3, DEVICE TYPE 1Fh")
            + [UInt8](repeating: 0x20, count: 28)
        #expect(Self.respond("12 00 00 00 FF 00") == .parameterData(expected))
        #expect(Self.respond("12 00 00 00 05 00") == .parameterData(Array(expected.prefix(5))))
        #expect(Self.respond("12 01 00 00 FF 00") == .parameterData(bytes("7F 00 0001 00")))
        #expect(Self.respond("12 01 83 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))
        #expect(Self.respond("12 00 83 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))
    }

    @Test func reportLUNsAndRequestSense() {
        #expect(
            Self.respond("A0 00 00 00 00 00 00 00 FF 00 00 00") == .parameterData(bytes("00000008 00000000") + zeros(8))
        )
        #expect(
            Self.respond("03 00 00 00 FF 00")
                == .parameterData(bytes("70 00 05 00000000 0A 00000000 2500 00 000000  // LOGICAL UNIT NOT SUPPORTED")))
        #expect(Self.respond("03 00 00 00 FF 04").sense == .invalidFieldInCDB(byte: 5, bit: 2))
    }

    @Test func everythingElse() {
        for code in UInt8.min...UInt8.max where ![0x03, 0x12, 0xA0].contains(code) {
            #expect(
                AbsentUnit.respond(CommandDescriptorBlock([code]), visibleUnits: Self.units).sense
                    == .logicalUnitNotSupported)
        }
    }
}
