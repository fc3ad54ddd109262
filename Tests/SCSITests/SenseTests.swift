import SCSI
import Testing

@Suite struct SenseTests {
    @Test func fixedFormatWithFieldPointer() {
        #expect(
            Sense.invalidFieldInCDB(byte: 1, bit: 7).encode(descriptorFormat: false)
                == bytes(
                    """
                    70           // VALID 0, RESPONSE CODE 70h: current, fixed
                    00           // obsolete
                    05           // SENSE KEY: ILLEGAL REQUEST
                    00 00 00 00  // INFORMATION
                    0A           // ADDITIONAL SENSE LENGTH
                    00 00 00 00  // COMMAND-SPECIFIC INFORMATION
                    24 00        // INVALID FIELD IN CDB
                    00           // FIELD REPLACEABLE UNIT CODE
                    CF           // SKSV 1, C/D 1, BPV 1, BIT POINTER 7
                    00 01        // FIELD POINTER
                    """))
    }

    @Test func fixedFormatWithInformation() {
        #expect(
            Sense.mediumErrorUnrecoveredRead(0x0102_0304).encode(descriptorFormat: false)
                == bytes(
                    """
                    F0           // VALID 1, RESPONSE CODE 70h
                    00
                    03           // SENSE KEY: MEDIUM ERROR
                    01 02 03 04  // INFORMATION: the block
                    0A
                    00 00 00 00
                    11 00        // UNRECOVERED READ ERROR
                    00
                    00 00 00     // SKSV 0
                    """))
    }

    @Test func fixedFormatLeavesOutWhatDoesNotFit() {
        let encoded = Sense.logicalBlockAddressOutOfRange(1 << 32).encode(descriptorFormat: false)
        #expect(encoded[0] == 0x70)
        #expect(Array(encoded[3..<7]) == zeros(4))
        let fits = Sense.logicalBlockAddressOutOfRange((1 << 32) - 1).encode(descriptorFormat: false)
        #expect(fits[0] == 0xF0)
        #expect(Array(fits[3..<7]) == bytes("FF FF FF FF"))
    }

    @Test func descriptorFormatWithBothDescriptors() {
        let sense = Sense(
            .illegalRequest, additionalSenseCode: 0x2600, information: 0x0102_0304_0506_0708,
            pointer: .parameterField(byte: 0x0010, bit: nil))
        #expect(
            sense.encode(descriptorFormat: true)
                == bytes(
                    """
                    72           // RESPONSE CODE 72h: current, descriptor
                    05           // SENSE KEY
                    26 00        // INVALID FIELD IN PARAMETER LIST
                    00 00 00
                    14           // ADDITIONAL SENSE LENGTH: 20
                    00 0A 80 00  // information descriptor: type 0, length 10, VALID
                    01 02 03 04 05 06 07 08
                    02 06 00 00  // sense key specific descriptor: type 2, length 6
                    80           // SKSV 1, C/D 0, BPV 0
                    00 10        // FIELD POINTER
                    00
                    """))
        #expect(sense.encode(descriptorFormat: true).count == Sense.maximumLengthBytes)
    }

    @Test func descriptorFormatWithoutDescriptors() {
        #expect(Sense.writeProtected.encode(descriptorFormat: true) == bytes("72 07 27 00 00 00 00 00"))
        #expect(Sense.noSense.encode(descriptorFormat: true) == bytes("72 00 00 00 00 00 00 00"))
    }

    /// Key and code of each value in the catalogue, as SPC-4 annex F numbers them.
    @Test(
        arguments: [
            (Sense.noSense, 0x0, 0x0000), (.invalidOperationCode, 0x5, 0x2000), (.invalidServiceAction, 0x5, 0x2000),
            (.invalidFieldInCDB(byte: 0), 0x5, 0x2400), (.invalidFieldInParameterList(byte: 0), 0x5, 0x2600),
            (.parameterListLengthError, 0x5, 0x1A00), (.logicalBlockAddressOutOfRange(0), 0x5, 0x2100),
            (.logicalUnitNotSupported, 0x5, 0x2500), (.invalidFieldInCommandInformationUnit, 0x5, 0x0E03),
            (.savingParametersNotSupported, 0x5, 0x3900), (.writeProtected, 0x7, 0x2700),
            (.softwareWriteProtected, 0x7, 0x2702), (.spaceAllocationFailedWriteProtect, 0x7, 0x2707),
            (.notReady, 0x2, 0x0400), (.becomingReady, 0x2, 0x0401), (.manualInterventionRequired, 0x2, 0x0403),
            (.mediumErrorUnrecoveredRead(0), 0x3, 0x1100), (.mediumErrorWrite(0), 0x3, 0x0C00),
            (.mediumErrorSynchronize, 0x3, 0x0C00), (.internalTargetFailure, 0x4, 0x4400),
            (.miscompare(offset: 0), 0xE, 0x1D00), (.abortedCommand, 0xB, 0x0000),
            (.commandTimeoutDuringProcessing, 0xB, 0x2E02), (.abortedInternalTargetFailure, 0xB, 0x4400),
            (.dataPhaseError, 0xB, 0x4B00), (.notEnoughUnsolicitedData, 0xB, 0x0C0D),
            (.unexpectedUnsolicitedData, 0xB, 0x0C0C), (.protocolServiceCRCError, 0xB, 0x4705),
            (.commandsClearedByAnotherInitiator, 0x6, 0x2F00),
        ] as [(Sense, UInt8, UInt16)])
    func catalogue(_ sense: Sense, _ key: UInt8, _ code: UInt16) {
        for format in [false, true] {
            let encoded = sense.encode(descriptorFormat: format)
            #expect(encoded[format ? 1 : 2] & 0x0F == key)
            #expect(encoded[format ? 2 : 12] == UInt8(code >> 8))
            #expect(encoded[format ? 3 : 13] == UInt8(code & 0xFF))
            #expect(Int(encoded[7]) == encoded.count - 8)
            #expect(encoded.count <= Sense.maximumLengthBytes)
        }
    }

    @Test func statusCodes() {
        #expect(SCSIStatus.good.rawValue == 0x00)
        #expect(SCSIStatus.checkCondition.rawValue == 0x02)
        #expect(SCSIStatus.busy.rawValue == 0x08)
        #expect(SCSIStatus.reservationConflict.rawValue == 0x18)
        #expect(SCSIStatus.taskSetFull.rawValue == 0x28)
        #expect(SCSIStatus.taskAborted.rawValue == 0x40)
    }
}
