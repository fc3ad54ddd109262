import SCSI
import Testing

/// SANITIZE and FORMAT UNIT: descriptor blocks, parameter lists, and what others hear meanwhile and afterwards.
@Suite struct MediumWorkTests {
    private static func erase(_ immediate: Bool = false, exit: Bool = false) -> Execution {
        .workOnMedium(
            MediumWork(effect: .erase, answersAtOnce: immediate, isSanitize: true, allowsExitOfFailure: exit))
    }

    private static let format = MediumWork(
        effect: .erase, answersAtOnce: false, isSanitize: false, allowsExitOfFailure: false)

    /// OVERWRITE with a parameter list of its length.
    private static func overwrite(_ unit: inout LogicalUnit, _ list: [UInt8], flags: String = "01") -> Execution {
        let length = String(list.count, radix: 16)
        let text = String(repeating: "0", count: 4 - length.count) + length
        return unit.run("48 \(flags) 00 00 00 00 00 \(text) 00", parameterList: list)
    }

    // MARK: Fields

    @Test func blockErase() {
        var unit = Fixture.unit()
        #expect(unit.run("48 02 00 00 00 00 00 00 00 00") == Self.erase())
        unit.mediumWorkEnded(failed: false)
        #expect(unit.run("48 A2 00 00 00 00 00 00 00 00") == Self.erase(true, exit: true))
        #expect(unit.requiresInspection)
    }

    @Test(arguments: ["42", "01"]) func reservedBitOfByte1(_ action: String) {
        var unit = Fixture.unit()
        let flags = action == "42" ? "42" : "41"
        #expect(unit.run("48 \(flags) 00 00 00 00 00 00 08 00").sense == .invalidFieldInCDB(byte: 1, bit: 6))
    }

    @Test func reservedBytesAndLengths() {
        var unit = Fixture.unit()
        for byte in 2..<7 {
            var block = bytes("48 02 00 00 00 00 00 00 00 00")
            block[byte] = 1
            let answer = unit.begin(CommandDescriptorBlock(block), from: Fixture.first, expecting: Fixture.anything)
            #expect(answer.sense == .invalidFieldInCDB(byte: UInt16(byte)))
        }
        #expect(unit.run("48 02 00 00 00 00 00 00 08 00").sense == .invalidFieldInCDB(byte: 7))
        #expect(unit.run("48 1F 00 00 00 00 00 00 08 00").sense == .invalidFieldInCDB(byte: 7))
        for length in ["0000", "0001", "0004", "0205"] {
            #expect(unit.run("48 01 00 00 00 00 00 \(length) 00").sense == .invalidFieldInCDB(byte: 7))
        }
        // CRYPTOGRAPHIC ERASE and what the standard reserves.
        for action in ["03", "00", "1E"] {
            #expect(unit.run("48 \(action) 00 00 00 00 00 00 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 4))
        }
        #expect(!unit.requiresInspection)
    }

    @Test func overwritePatterns() {
        var unit = Fixture.unit()
        #expect(
            Self.overwrite(&unit, bytes("83 00 0002 AA55"))
                == .workOnMedium(
                    MediumWork(
                        effect: .overwrite(pattern: [0xAA, 0x55], count: 3, inverts: true), answersAtOnce: false,
                        isSanitize: true, allowsExitOfFailure: false)))
        unit.mediumWorkEnded(failed: false)
        #expect(Self.overwrite(&unit, bytes("00 00 0002 AA55")).sense == .invalidFieldInParameterList(byte: 0, bit: 4))
        #expect(Self.overwrite(&unit, bytes("21 00 0002 AA55")).sense == .invalidFieldInParameterList(byte: 0, bit: 6))
        for length in ["0000", "0003", "0201"] {
            #expect(
                Self.overwrite(&unit, bytes("01 00 \(length) AA55")).sense == .invalidFieldInParameterList(byte: 2))
        }
        #expect(!unit.requiresInspection)
    }

    @Test func protectedUnitsAreLeftAlone() {
        var readOnly = Fixture.unit(MediaDecodeTests.readOnly)
        for block in ["48 02 00 00 00 00 00 00 00 00", "48 01 00 00 00 00 00 00 08 00", "04 00 00 00 00 00"] {
            #expect(readOnly.run(block).sense == .writeProtected)
        }
        var thick = Fixture.unit(BlockGeometry(blockLengthBytes: 512, blockCount: 1024, isThin: false))
        #expect(thick.run("04 00 00 00 00 00").sense == .invalidOperationCode)
    }

    @Test func formatUnit() {
        var unit = Fixture.unit()
        #expect(unit.run("04 00 00 00 00 00") == .workOnMedium(Self.format))
        unit.mediumWorkEnded(failed: false)
        var immediate = Self.format
        immediate.answersAtOnce = true
        #expect(unit.run("04 10 00 00 00 00", parameterList: bytes("00 02 0000")) == .workOnMedium(immediate))
        unit.mediumWorkEnded(failed: false)
        #expect(
            unit.run("04 30 00 00 00 00", parameterList: bytes("00 00 00 00 00000000")) == .workOnMedium(Self.format))
        unit.mediumWorkEnded(failed: false)
        #expect(unit.run("04 40 00 00 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 7))
        #expect(
            unit.run("04 10 00 00 00 00", parameterList: bytes("00 08 0000")).sense
                == .invalidFieldInParameterList(byte: 1, bit: 3))
        #expect(
            unit.run("04 10 00 00 00 00", parameterList: bytes("00 00 0008")).sense
                == .invalidFieldInParameterList(byte: 2))
        #expect(
            unit.run("04 10 00 00 00 00", parameterList: bytes("01 00 0000")).sense
                == .invalidFieldInParameterList(byte: 0, bit: 2))
        #expect(!unit.requiresInspection)
    }

    // MARK: Meanwhile

    @Test func othersHearThatItIsInProgress() {
        var unit = Fixture.unit()
        #expect(unit.run("48 02 00 00 00 00 00 00 00 00") == Self.erase())
        unit.mediumWorkProgressed(to: 0x4000)
        for block in [
            "00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "2A 00 00 00 00 00 00 00 01 00",
            "1B 00 00 00 01 00", "48 02 00 00 00 00 00 00 00 00", "04 00 00 00 00 00", "42 00 00 00 00 00 00 00 18 00",
            "25 00 00 00 00 00 00 00 00 00", "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
        ] {
            let sense = unit.run(block, from: Fixture.second).sense
            #expect(sense?.key == .notReady && sense?.additionalSenseCode == 0x041B, "\(block)")
        }
        #expect(
            unit.data("03 00 00 00 FF 00", from: Fixture.second)
                == bytes("70 00 02 00000000 0A 00000000 04 1B 00 80 4000  // SKSV, a quarter is done"))
        #expect(unit.data("12 00 00 00 24 00", from: Fixture.second) != nil)
        #expect(unit.data("A0 00 00 00 00 00 00 00 01 00 00 00", from: Fixture.second) != nil)
        // Neither a reset nor the loss of the one who asked ends it.
        unit.logicalUnitReset()
        unit.nexusLost(Fixture.first)
        _ = unit.run("00 00 00 00 00 00", from: Fixture.second)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second).sense?.additionalSenseCode == 0x041B)
        unit.mediumWorkEnded(failed: false)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second) == .good)
        #expect(!unit.requiresInspection)
    }

    @Test func formatInProgress() {
        var unit = Fixture.unit()
        #expect(unit.run("04 00 00 00 00 00") == .workOnMedium(Self.format))
        #expect(unit.run("00 00 00 00 00 00").sense?.additionalSenseCode == 0x0404)
    }

    /// Two whose parameter lists arrive at once: the second one has to wait.
    @Test func theSecondOneIsRefused() {
        var unit = Fixture.unit()
        let begun = unit.run("48 01 00 00 00 00 00 00 08 00")
        guard case .needsParameterList(_, let continuation) = begun else { Issue.record("\(begun)"); return }
        #expect(unit.run("48 02 00 00 00 00 00 00 00 00", from: Fixture.second) == Self.erase())
        let answer = unit.finish(continuation, parameterList: bytes("01 00 0004 AAAAAAAA"), from: Fixture.first)
        #expect(answer.sense?.additionalSenseCode == 0x041B)
    }

    // MARK: Failure

    @Test func failedSanitizeKeepsTheMediumOutOfReach() {
        var unit = Fixture.unit()
        #expect(unit.run("48 02 00 00 00 00 00 00 00 00") == Self.erase())
        unit.mediumWorkEnded(failed: true)
        #expect(unit.run("28 00 00 00 00 00 00 00 01 00").sense == .sanitizeCommandFailed)
        #expect(unit.run("48 1F 00 00 00 00 00 00 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 4))
        #expect(unit.run("04 00 00 00 00 00").sense == .sanitizeCommandFailed)
        #expect(unit.run("48 02 00 00 00 00 00 00 00 00") == Self.erase())
        unit.mediumWorkEnded(failed: false)
        #expect(unit.run("00 00 00 00 00 00") == .good)
    }

    @Test func exitFailureModeWhereItWasAllowed() {
        var unit = Fixture.unit()
        #expect(unit.run("48 1F 00 00 00 00 00 00 00 00") == .good)
        #expect(unit.run("48 22 00 00 00 00 00 00 00 00") == Self.erase(exit: true))
        unit.mediumWorkEnded(failed: true)
        #expect(unit.run("00 00 00 00 00 00").sense == .sanitizeCommandFailed)
        #expect(unit.run("48 1F 00 00 00 00 00 00 00 00") == .good)
        #expect(unit.run("00 00 00 00 00 00") == .good)
    }

    @Test func failedFormatIsMendedByAnother() {
        var unit = Fixture.unit()
        #expect(unit.run("04 00 00 00 00 00") == .workOnMedium(Self.format))
        unit.mediumWorkEnded(failed: true)
        #expect(unit.run("00 00 00 00 00 00").sense == .mediumFormatCorrupted)
        #expect(unit.run("04 00 00 00 00 00") == .workOnMedium(Self.format))
    }
}
