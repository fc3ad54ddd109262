import SCSI
import Testing

/// COMPARE AND WRITE and ORWRITE, one test per descriptor block and condition.
@Suite struct AtomicDecodeTests {
    private static let range = BlockRange(firstBlock: 0x1_2345, blockCount: 2)

    @Test func fields() {
        #expect(
            MediaDecodeTests.decode("89 00 00 00 00 00 00 01 23 45 00 00 00 02 00 00")
                == .operation(.compareAndWrite(Self.range, [])))
        #expect(
            MediaDecodeTests.decode("89 18 00 00 00 00 00 01 23 45 00 00 00 02 00 00")
                == .operation(.compareAndWrite(Self.range, [.disablePageOut, .forceUnitAccess])))
        #expect(
            MediaDecodeTests.decode("8B 08 00 00 00 00 00 01 23 45 00 00 00 02 00 00")
                == .operation(.orWrite(Self.range, .forceUnitAccess)))
        // Bytes 10 to 12 of COMPARE AND WRITE are reserved.
        #expect(
            MediaDecodeTests.decode("89 00 00 00 00 00 00 01 23 45 FF FF FF 02 00 00")
                == .operation(.compareAndWrite(Self.range, [])))
    }

    @Test(arguments: ["89", "8B"]) func refusals(_ code: String) {
        let (decode, readOnly) = (MediaDecodeTests.self, MediaDecodeTests.readOnly)
        let rest = "00 00 00 00 00 00 00 00 00 00 00 01 00 00"
        #expect(decode.decode("\(code) 20 \(rest)") == .failed(.invalidFieldInCDB(byte: 1, bit: 7)))
        #expect(decode.decode("\(code) 00 \(rest)", readOnly) == .failed(.writeProtected))
        #expect(
            decode.decode("\(code) 00 00 00 00 00 00 1F FF FF 00 00 00 02 00 00")
                == .failed(.logicalBlockAddressOutOfRange(0x1F_FFFF)))
        #expect(
            decode.decode("\(code) 00 00 00 00 00 00 20 00 01 00 00 00 00 00 00")
                == .failed(.logicalBlockAddressOutOfRange(0x20_0001)))
        #expect(
            decode.decode("\(code) 00 00 00 00 00 00 00 00 00 00 00 00 01 00 04")
                == .failed(.invalidFieldInCDB(byte: 15, bit: 2)))
    }

    @Test func lengthsAreBounded() {
        let large = BlockGeometry(blockLengthBytes: 4096, blockCount: 1 << 20)
        #expect(
            MediaDecodeTests.decode("89 00 00 00 00 00 00 00 00 00 00 00 00 20 00 00", large)
                == .operation(.compareAndWrite(BlockRange(firstBlock: 0, blockCount: 32), [])))
        #expect(
            MediaDecodeTests.decode("89 00 00 00 00 00 00 00 00 00 00 00 00 21 00 00", large)
                == .failed(.invalidFieldInCDB(byte: 13)))
        #expect(
            MediaDecodeTests.decode("8B 00 00 00 00 00 00 00 00 00 00 00 02 01 00 00")
                == .failed(.invalidFieldInCDB(byte: 10)))
    }

    @Test func dataOutIsTwoHalvesOrOnce() {
        let compare = MediaOperation.compareAndWrite(Self.range, [])
        #expect(compare.dataOutLengthBytes(Fixture.geometry) == 2048)
        #expect(compare.expectedDataOutFault(2048, Fixture.geometry) == nil)
        for length: UInt32 in [0, 512, 1024, 2047, 2049, 4096] {
            #expect(
                compare.expectedDataOutFault(length, Fixture.geometry) == .invalidFieldInCDB(byte: 13))
        }
        let or = MediaOperation.orWrite(Self.range, [])
        #expect(or.dataOutLengthBytes(Fixture.geometry) == 1024)
        #expect(or.expectedDataOutFault(512, Fixture.geometry) == .invalidFieldInCommandInformationUnit)
        #expect(compare.isWrite && or.isWrite)
        #expect(compare.writingThrough.forcesUnitAccess && or.writingThrough.forcesUnitAccess)
        #expect(!compare.forcesUnitAccess && !or.forcesUnitAccess)
    }

    @Test func softwareWriteProtectStopsThem() {
        var unit = Fixture.unit()
        let protect = ModeTests.select6(ModeTests.page(ModeTests.control, [4: 0x08]))
        #expect(unit.run("15 10 00 00 10 00", parameterList: protect) == .good)
        for code in ["89", "8B"] {
            #expect(
                unit.run("\(code) 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00").sense == .softwareWriteProtected)
        }
    }
}

@Suite struct WriteSame32Tests {
    /// Flags, address and length in the places of the 32-byte block.
    private static func block(
        _ flags: String, _ address: String = "00 00 00 00 00 01 23 45", _ count: String = "00 00 00 10"
    ) -> String { "7F 00 00 00 00 00 00 18 00 0D \(flags) 00 \(address) 00 00 00 00 00 00 00 00 \(count)" }

    private static let range = BlockRange(firstBlock: 0x1_2345, blockCount: 0x10)

    @Test func fields() {
        #expect(MediaDecodeTests.decode(Self.block("00")) == .operation(.writeSame(Self.range, [])))
        #expect(MediaDecodeTests.decode(Self.block("08")) == .operation(.writeSame(Self.range, .unmap)))
        #expect(MediaDecodeTests.decode(Self.block("09")) == .operation(.writeSame(Self.range, [.unmap, .noDataOut])))
        #expect(
            MediaDecodeTests.decode(Self.block("00", "00 00 00 00 00 1F FF F0", "00 00 00 00"))
                == .failed(.invalidFieldInCDB(byte: 28)))
    }

    @Test func refusals() {
        #expect(MediaDecodeTests.decode(Self.block("20")) == .failed(.invalidFieldInCDB(byte: 10, bit: 7)))
        #expect(MediaDecodeTests.decode(Self.block("10")) == .failed(.invalidFieldInCDB(byte: 10, bit: 4)))
        #expect(MediaDecodeTests.decode(Self.block("04")) == .failed(.invalidFieldInCDB(byte: 10, bit: 2)))
        #expect(MediaDecodeTests.decode(Self.block("00"), MediaDecodeTests.readOnly) == .failed(.writeProtected))
        #expect(
            MediaDecodeTests.decode(Self.block("00", "00 00 00 00 00 00 00 00", "00 01 00 00"))
                == .failed(.invalidFieldInCDB(byte: 28)))
        #expect(
            MediaDecodeTests.decode("7F 04" + Self.block("00").dropFirst(5))
                == .failed(.invalidFieldInCDB(byte: 1, bit: 2)))
    }

    /// Without its length field a block would say "to the end of the unit".
    @Test func aBlockCutShortIsRefused() {
        let whole = bytes(Self.block("00", "00 00 00 00 00 1F FF F0"))
        for count in 10..<32 {
            #expect(
                MediaOperation.decode(CommandDescriptorBlock(Array(whole.prefix(count))), Fixture.geometry)
                    == .failed(.invalidFieldInCDB(byte: 7)), "\(count) bytes")
        }
        #expect(
            MediaDecodeTests.decode(Self.block("00").replacingByte(7, with: "1C"))
                == .failed(.invalidFieldInCDB(byte: 7)))
    }

    @Test func otherServiceActionsAreNotServed() {
        var unit = Fixture.unit()
        #expect(unit.run(Self.block("00").replacingByte(9, with: "09")).sense == .invalidServiceAction)
    }
}

extension String {
    /// Hexadecimal pairs with one of them replaced.
    fileprivate func replacingByte(_ index: Int, with pair: String) -> String {
        var pairs = split(separator: " ").map(String.init)
        pairs[index] = pair
        return pairs.joined(separator: " ")
    }
}

@Suite struct MediumCommandTests {
    @Test func preventAllowMediumRemoval() {
        var unit = Fixture.unit()
        #expect(unit.run("1E 00 00 00 00 00") == .good)
        #expect(unit.run("1E 00 00 00 01 00") == .good)
        #expect(unit.run("1E 00 00 00 02 00").sense == .invalidFieldInCDB(byte: 4, bit: 1))
        #expect(unit.run("1E 00 00 00 03 00").sense == .invalidFieldInCDB(byte: 4, bit: 1))
        #expect(unit.run("1E 00 00 00 01 04").sense == .invalidFieldInCDB(byte: 5, bit: 2))
    }

    @Test func defectListsAreEmpty() {
        var unit = Fixture.unit()
        #expect(unit.data("37 00 18 00 00 00 00 00 20 00") == bytes("00 18 0000"))
        #expect(unit.data("37 00 0D 00 00 00 00 00 03 00") == bytes("00 0D 00"))
        #expect(unit.data("B7 1B 00 00 00 00 00 00 00 20 00 00") == bytes("00 1B 0000 00000000"))
        #expect(unit.data("B7 00 00 00 00 00 00 00 00 02 00 00") == bytes("00 00"))
        #expect(unit.run("37 00 06 00 00 00 00 00 20 00").sense == .invalidFieldInCDB(byte: 2, bit: 2))
        #expect(unit.run("B7 07 00 00 00 00 00 00 00 20 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 2))
        unit.fail(.internalTargetFailure)
        #expect(unit.run("37 00 00 00 00 00 00 00 20 00").sense == .internalTargetFailure)
    }
}
