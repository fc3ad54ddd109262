import SCSI
import Testing

@Suite struct ModeTests {
    static let errorRecovery = bytes("01 0A") + zeros(10)
    static let caching = bytes("08 12 04  // WCE 1, RCD 0") + zeros(17)
    static let control = bytes(
        """
        0A 0A
        00           // TST, TMF_ONLY, DPICZ, D_SENSE, GLTSD, RLEC 0
        10           // QUEUE ALGORITHM MODIFIER 1, NUAR, QERR 0
        00           // VS, RAC, UA_INTLCK_CTRL, SWP 0
        40           // ATO 0, TAS 1, ATMPE, RWWP, AUTOLOAD MODE 0
        0000
        012C         // BUSY TIMEOUT PERIOD 30 s
        0000         // EXTENDED SELF-TEST COMPLETION TIME
        """)
    static let controlExtension = bytes("4A 01 001C  00 00 1C  // MAXIMUM SENSE DATA LENGTH 28") + zeros(25)
    static let exceptions = bytes("1C 0A 08  // DEXCPT 1") + zeros(9)
    static let shortDescriptor = bytes("00200000 00 000200  // blocks; reserved; block length")

    @Test func allPagesSixBytes() {
        var unit = Fixture.unit()
        let pages = Self.errorRecovery + Self.caching + Self.control + Self.exceptions
        let expected =
            bytes(
                """
                43           // MODE DATA LENGTH 67
                00           // MEDIUM TYPE
                10           // WP 0, DPOFUA 1
                08           // BLOCK DESCRIPTOR LENGTH
                """) + Self.shortDescriptor + pages
        #expect(unit.data("1A 00 3F 00 FF 00") == expected)
        #expect(unit.data("1A 00 3F 00 04 00") == Array(expected.prefix(4)))
        #expect(unit.data("1A 00 3F 00 00 00") == [])
    }

    @Test func allPagesAndSubpagesTenBytes() {
        var unit = Fixture.unit()
        let pages = Self.errorRecovery + Self.caching + Self.control + Self.controlExtension + Self.exceptions
        #expect(
            unit.data("5A 08 3F FF 00 00 00 01 00 00")
                == bytes(
                    """
                    005E         // MODE DATA LENGTH 94
                    00           // MEDIUM TYPE
                    10           // WP 0, DPOFUA 1
                    00 00        // LONGLBA 0
                    0000         // BLOCK DESCRIPTOR LENGTH: DBD 1
                    """) + pages)
    }

    @Test func longBlockDescriptor() {
        var unit = Fixture.unit(BlockGeometry(blockLengthBytes: 4096, blockCount: 0x1_0000_0001))
        #expect(
            unit.data("5A 10 08 00 00 00 00 01 00 00")
                == bytes(
                    """
                    002A 00 10
                    01 00                                // LONGLBA 1
                    0010
                    0000000100000001 00000000 00001000   // blocks; reserved; block length
                    """) + Self.caching)
        // The short form cannot hold that many.
        #expect(unit.data("1A 00 08 00 FF 00")?[4..<12] == bytes("FFFFFFFF 00 001000")[...])
    }

    @Test func onePageAndItsSubpages() {
        var unit = Fixture.unit()
        #expect(unit.data("1A 08 0A 00 FF 00") == bytes("0F 00 10 00") + Self.control)
        #expect(unit.data("1A 08 0A 01 FF 00") == bytes("23 00 10 00") + Self.controlExtension)
        #expect(unit.data("1A 08 0A FF FF 00") == bytes("2F 00 10 00") + Self.control + Self.controlExtension)
    }

    @Test func pageErrors() {
        var unit = Fixture.unit()
        #expect(unit.run("1A 00 02 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 5))  // no such page
        #expect(unit.run("1A 00 08 01 FF 00").sense == .invalidFieldInCDB(byte: 3, bit: 7))  // no such subpage
        #expect(unit.run("1A 00 3F 01 FF 00").sense == .invalidFieldInCDB(byte: 3, bit: 7))
        #expect(unit.run("1A 00 C8 00 FF 00").sense == .savingParametersNotSupported)
        #expect(unit.run("5A 00 FF 00 00 00 00 01 00 00").sense == .savingParametersNotSupported)
    }

    @Test func changeableAndDefaultValues() {
        var unit = Fixture.unit()
        #expect(unit.data("1A 08 48 00 FF 00") == bytes("17 00 10 00 08 12 04") + zeros(17))
        #expect(unit.data("1A 08 4A 00 FF 00") == bytes("0F 00 10 00 0A 0A 04 00 08") + zeros(7))
        #expect(unit.data("1A 08 41 00 FF 00") == bytes("0F 00 10 00 01 0A") + zeros(10))
        unit.clearWriteCache()
        #expect(unit.data("1A 08 08 00 FF 00")?[6] == 0x00)
        #expect(unit.data("1A 08 88 00 FF 00")?[6] == 0x04)
    }

    @Test func writeProtectBit() {
        var geometry = Fixture.geometry
        geometry.isReadOnly = true
        var unit = Fixture.unit(geometry)
        #expect(unit.data("1A 08 3F 00 FF 00")?[2] == 0x90)
    }

    // MARK: MODE SELECT

    static func select6(_ pages: [UInt8], descriptor: [UInt8] = []) -> [UInt8] {
        [0, 0, 0, UInt8(descriptor.count)] + descriptor + pages
    }

    static func page(_ page: [UInt8], _ changes: [Int: UInt8]) -> [UInt8] {
        var page = page
        for (offset, value) in changes { page[offset] = value }
        return page
    }

    @Test func writeCacheOffWritesThrough() {
        var unit = Fixture.unit()
        #expect(!unit.requiresInspection)
        #expect(unit.run("15 10 00 00 18 00", parameterList: Self.select6(Self.page(Self.caching, [2: 0]))) == .good)
        #expect(unit.requiresInspection)
        let range = BlockRange(firstBlock: 0, blockCount: 1)
        #expect(unit.run("2A 00 00 00 00 00 00 00 01 00") == .media(.write(range, .forceUnitAccess)))
        #expect(unit.run("28 00 00 00 00 00 00 00 01 00") == .media(.read(range, [])))
        #expect(unit.run("15 10 00 00 18 00", parameterList: Self.select6(Self.caching)) == .good)
        #expect(unit.run("2A 00 00 00 00 00 00 00 01 00") == .media(.write(range, [])))
    }

    @Test func softwareWriteProtect() {
        var unit = Fixture.unit()
        let list = Self.select6(Self.page(Self.control, [4: 0x08]), descriptor: Self.shortDescriptor)
        #expect(unit.run("15 10 00 00 18 00", parameterList: list) == .good)
        #expect(unit.requiresInspection)
        #expect(unit.effectiveGeometry.isReadOnly)
        #expect(unit.run("2A 00 00 00 00 00 00 00 01 00").sense == .softwareWriteProtected)
        #expect(unit.run("42 00 00 00 00 00 00 00 18 00").sense == .softwareWriteProtected)
        #expect(
            unit.run("28 00 00 00 00 00 00 00 01 00") == .media(.read(BlockRange(firstBlock: 0, blockCount: 1), [])))
        #expect(unit.data("1A 08 0A 00 FF 00")?[2] == 0x90)
        #expect(unit.data("1A 08 0A 00 FF 00")?[8] == 0x08)
    }

    @Test func descriptorSense() {
        var unit = Fixture.unit()
        #expect(unit.flags == [])
        let list = zeros(8) + Self.page(Self.control, [2: 0x04])
        #expect(unit.run("55 10 00 00 00 00 00 00 14 00", parameterList: list) == .good)
        #expect(unit.usesDescriptorSense)
        #expect(unit.flags(of: Fixture.first) == .descriptorSense)
    }

    @Test func changesAreToldToTheOthersOnce() {
        var unit = Fixture.unit()
        #expect(unit.run("15 10 00 00 18 00", parameterList: Self.select6(Self.caching)) == .good)  // changes nothing
        #expect(unit.attention(for: Fixture.second) == nil)
        unit.clearWriteCache()
        #expect(unit.attention(for: Fixture.first) == nil)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second).sense == UnitAttention.modeParametersChanged.sense)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second) == .good)
    }

    @Test func severalPagesAllOrNothing() {
        var unit = Fixture.unit()
        let both = Self.page(Self.caching, [2: 0]) + Self.page(Self.control, [4: 0x08])
        // The third page asks for what cannot be: the first two do not take effect either.
        let bad = Self.select6(both + Self.page(Self.exceptions, [2: 0]))
        #expect(
            unit.run("15 10 00 00 30 00", parameterList: bad).sense == .invalidFieldInParameterList(byte: 38, bit: 3))
        #expect(!unit.requiresInspection)
        #expect(unit.run("15 10 00 00 24 00", parameterList: Self.select6(both)) == .good)
        #expect(unit.effectiveGeometry.isReadOnly)
        #expect(unit.run("2A 00 00 00 00 00 00 00 01 00").sense == .softwareWriteProtected)
    }

    @Test func everyFixedBitIsRefused() {
        for page in [Self.errorRecovery, Self.caching, Self.control, Self.controlExtension, Self.exceptions] {
            let header = page[0] & 0x40 == 0 ? 2 : 4
            for offset in header..<page.count {
                for bit in 0..<8 {
                    let changeable =
                        (page[0], offset, bit) == (0x08, 2, 2) || (page[0], offset, bit) == (0x0A, 2, 2)
                        || (page[0], offset, bit) == (0x0A, 4, 3)
                    var unit = Fixture.unit()
                    let list = Self.select6(Self.page(page, [offset: page[offset] ^ 1 << UInt8(bit)]))
                    let answer = unit.run("15 10 00 00 FF 00".replacingLength(list.count), parameterList: list)
                    let pointer = Sense.invalidFieldInParameterList(byte: UInt16(4 + offset), bit: UInt8(bit))
                    #expect(
                        answer == (changeable ? .good : .checkCondition(pointer)), "page \(page[0]) \(offset) \(bit)")
                }
            }
        }
    }

    @Test func commandErrors() {
        var unit = Fixture.unit()
        let list = Self.select6(Self.caching)
        // SP, RTD, PF 0.
        #expect(unit.run("15 11 00 00 18 00", parameterList: list).sense == .invalidFieldInCDB(byte: 1, bit: 0))
        #expect(unit.run("15 12 00 00 18 00", parameterList: list).sense == .invalidFieldInCDB(byte: 1, bit: 1))
        #expect(unit.run("15 00 00 00 18 00", parameterList: list).sense == .invalidFieldInCDB(byte: 1, bit: 4))
        #expect(unit.run("15 10 00 00 00 00") == .good)  // no parameter list
        // The initiator announces fewer bytes than the command says.
        let short = ExpectedTransfer(dataOutLengthBytes: 0x17, dataInLengthBytes: 0)
        #expect(unit.run("15 10 00 00 18 00", expecting: short).sense == .parameterListLengthError)
    }

    @Test func parameterListErrors() {
        var unit = Fixture.unit()
        let list = Self.select6(Self.caching)
        for length in 1..<list.count where length != 4 {
            let text = "15 10 00 00 FF 00".replacingLength(length)
            let answer = unit.run(text, parameterList: Array(list.prefix(length)))
            #expect(answer.sense == .parameterListLengthError, "cut at \(length)")
        }
        #expect(unit.run("15 10 00 00 04 00", parameterList: zeros(4)) == .good)  // header alone
        // BLOCK DESCRIPTOR LENGTH that is neither 0 nor 8.
        #expect(
            unit.run("15 10 00 00 08 00", parameterList: bytes("00 00 00 04 00 00 00 00")).sense
                == .invalidFieldInParameterList(byte: 3))
        // Another block length; another number of blocks.
        #expect(
            unit.run("15 10 00 00 0C 00", parameterList: Self.select6([], descriptor: bytes("00000000 00 001000")))
                .sense
                == .invalidFieldInParameterList(byte: 10))
        #expect(
            unit.run("15 10 00 00 0C 00", parameterList: Self.select6([], descriptor: bytes("00000001 00 000200")))
                .sense
                == .invalidFieldInParameterList(byte: 4))
        // All blocks (FFFFFFFFh), or what is.
        for count in ["00000000", "FFFFFFFF", "00200000"] {
            let descriptor = bytes("\(count) 00 000200")
            #expect(unit.run("15 10 00 00 0C 00", parameterList: Self.select6([], descriptor: descriptor)) == .good)
        }
        // A page that is not there; one with another PAGE LENGTH; page_0 format for a subpage.
        #expect(
            unit.run("15 10 00 00 06 00", parameterList: bytes("00000000 02 00")).sense
                == .invalidFieldInParameterList(byte: 4, bit: 5))
        #expect(
            unit.run("15 10 00 00 18 00", parameterList: Self.select6(Self.page(Self.caching, [1: 0x0A]))).sense
                == .invalidFieldInParameterList(byte: 5))
        #expect(
            unit.run("15 10 00 00 18 00", parameterList: bytes("00000000 48 00 0012") + zeros(16)).sense
                == .invalidFieldInParameterList(byte: 4, bit: 5))
    }

    @Test func pagesSavableBitIsIgnored() {
        var unit = Fixture.unit()
        #expect(
            unit.run("15 10 00 00 18 00", parameterList: Self.select6(Self.page(Self.caching, [0: 0x88, 2: 0])))
                == .good)
        #expect(unit.requiresInspection)
    }

    @Test func resetBringsTheDefaultsBack() {
        var unit = Fixture.unit()
        unit.clearWriteCache()
        unit.logicalUnitReset()
        #expect(unit.data("1A 08 08 00 FF 00") == nil)  // the unit attention first
        #expect(unit.data("1A 08 08 00 FF 00")?[6] == 0x04)
    }
}

extension LogicalUnit {
    /// MODE SELECT (6) of nexus 1: WCE 0.
    mutating func clearWriteCache() {
        let list = ModeTests.select6(ModeTests.page(ModeTests.caching, [2: 0]))
        #expect(run("15 10 00 00 18 00", parameterList: list) == .good)
    }
}

extension String {
    /// The six-byte block with another PARAMETER LIST LENGTH.
    func replacingLength(_ length: Int) -> String {
        var words = split(separator: " ").map(String.init)
        words[4] = String(length, radix: 16).count == 1 ? "0" + String(length, radix: 16) : String(length, radix: 16)
        return words.joined(separator: " ")
    }
}
