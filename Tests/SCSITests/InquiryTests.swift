import SCSI
import Testing

@Suite struct InquiryTests {
    @Test func standardData() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 00 00 00 FF 00")
                == bytes(
                    """
                    00           // PERIPHERAL QUALIFIER 0, PERIPHERAL DEVICE TYPE 00h
                    00           // RMB 0
                    06           // VERSION: SPC-4
                    12           // NORMACA 0, HISUP 1, RESPONSE DATA FORMAT 2
                    5B           // ADDITIONAL LENGTH 91
                    38           // SCCS 0, TPGS 3: implicit and explicit; 3PC 1, PROTECT 0
                    10           // MULTIP 1
                    02           // CMDQUE 1
                    5241434B20202020                  // T10 VENDOR IDENTIFICATION "RACK    "
                    73746F72616765642020202020202020  // PRODUCT IDENTIFICATION "storaged        "
                    312E3020                          // PRODUCT REVISION LEVEL "1.0 "
                    """)
                + zeros(20)  // vendor specific
                + zeros(2)  // CLOCKING, QAS, IUS; reserved
                + bytes(
                    """
                    00A0         // VERSION DESCRIPTOR 1: SAM-5
                    0960         // VERSION DESCRIPTOR 2: iSCSI
                    0460         // VERSION DESCRIPTOR 3: SPC-4
                    04C0         // VERSION DESCRIPTOR 4: SBC-3
                    """)
                + zeros(30))
    }

    @Test func onePortIsNotMultiport() {
        var identity = Fixture.identity
        identity.ports = [identity.ports[0]]
        var unit = LogicalUnit(identity: identity, geometry: Fixture.geometry)
        #expect(unit.data("12 00 00 00 FF 00")?[6] == 0x00)
    }

    @Test func allocationLengthCuts() {
        var unit = Fixture.unit()
        let whole = unit.data("12 00 00 02 00 00")
        #expect(whole?.count == 96)
        #expect(unit.data("12 00 00 01 FF 00") == whole)
        for length in 0...255 {
            let cut = unit.begin(
                CommandDescriptorBlock([0x12, 0, 0, 0, UInt8(length), 0]), from: Fixture.first,
                expecting: Fixture.anything)
            #expect(cut == .parameterData([UInt8](whole!.prefix(length))))
        }
    }

    @Test func fieldErrors() {
        var unit = Fixture.unit()
        #expect(unit.run("12 00 01 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))  // PAGE CODE without EVPD
        #expect(unit.run("12 02 00 00 FF 00").sense == .invalidFieldInCDB(byte: 1, bit: 1))  // CMDDT
        #expect(unit.run("12 01 B3 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))  // a page not served
        #expect(unit.run("12 00 00 00 FF 04").sense == .invalidFieldInCDB(byte: 5, bit: 2))  // NACA
    }

    @Test func supportedPagesAllAnswer() {
        var unit = Fixture.unit()
        let pages = unit.data("12 01 00 00 FF 00")
        #expect(
            pages
                == bytes(
                    """
                    00 00 0008           // type, page 00h, PAGE LENGTH
                    00 80 83 86 8F B0 B1 B2
                    """))
        for page in pages!.dropFirst(4) {
            let block = CommandDescriptorBlock([0x12, 0x01, page, 0x00, 0xFF, 0x00])
            guard case .parameterData(let data) = unit.begin(block, from: Fixture.first, expecting: Fixture.anything)
            else {
                Issue.record("page \(page) is listed but not served")
                continue
            }
            #expect(data[1] == page)
            #expect(Int(data[2]) << 8 | Int(data[3]) == data.count - 4)
        }
    }

    @Test func unitSerialNumber() {
        var unit = Fixture.unit()
        #expect(unit.data("12 01 80 00 FF 00") == bytes("00 80 0006 534E30313233  // SN0123"))
    }

    @Test func deviceIdentification() {
        var unit = Fixture.unit()
        // "iqn.2026-01.net.example:mpath0" is 30 bytes; with ",t,0x002a" 39.
        let name = [UInt8](Fixture.identity.targetName.utf8)
        let expected =
            bytes(
                """
                01 03 00 08      // binary; logical unit, NAA; 8 bytes
                3001020304050607
                02 01 00 1E      // ASCII; logical unit, T10 vendor id; 30 bytes
                5241434B20202020 73746F72616765642020202020202020 534E30313233
                51 94 00 04      // iSCSI, binary; PIV, target port, relative target port identifier
                0000 002A
                51 95 00 04      // iSCSI, binary; PIV, target port, target port group
                0000 0007
                53 98 00 28      // iSCSI, UTF-8; PIV, target port, SCSI name string; 40 bytes
                """) + name + [UInt8](",t,0x002a".utf8) + zeros(1)
            + bytes("53 A8 00 20  // iSCSI, UTF-8; PIV, target device, SCSI name string; 32 bytes") + name + zeros(2)
        #expect(
            unit.data("12 01 83 01 00 00", from: Fixture.second)
                == [0x00, 0x83, 0x00, UInt8(expected.count)] + expected)
    }

    @Test func deviceIdentificationIsThePortsOwnElseTheSame() {
        var unit = Fixture.unit()
        let one = unit.data("12 01 83 01 00 00", from: Fixture.first)!
        let two = unit.data("12 01 83 01 00 00", from: Fixture.second)!
        #expect(one.count == two.count)
        #expect(one.prefix(50) == two.prefix(50))  // the unit's own designators, which multipath compares
        #expect(one != two)
        // A nexus nobody announced: the unit and the device, but no port.
        let none = unit.data("12 01 83 01 00 00", from: Fixture.stranger)!
        #expect(none.count == one.count - 8 - 8 - 44)
    }

    @Test func nameStringsAreNullTerminatedAndPadded() {
        for length in 1...223 {
            var identity = Fixture.identity
            identity.targetName = String(repeating: "a", count: length)
            var unit = LogicalUnit(identity: identity, geometry: Fixture.geometry)
            unit.nexusEstablished(Fixture.first, Fixture.information("client0"))
            let page = unit.data("12 01 83 FF FF 00")!
            var offset = 4
            while offset < page.count {
                let count = Int(page[offset + 3])
                if page[offset + 1] & 0x0F == 8 {
                    #expect(count % 4 == 0)
                    #expect(page[offset + 3 + count] == 0)
                }
                offset += 4 + count
            }
            #expect(offset == page.count)
        }
    }

    @Test func extendedInquiry() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 01 86 00 FF 00")
                == bytes(
                    """
                    00 86 003C
                    00           // ACTIVATE MICROCODE, SPT, GRD_CHK, APP_CHK, REF_CHK 0
                    01           // UASK_SUP, GROUP_SUP, PRIOR_SUP, HEADSUP, ORDSUP 0, SIMPSUP 1
                    01           // WU_SUP, CRD_SUP, NV_SUP 0, V_SUP 1
                    01           // P_I_I_SUP 0, LUICLR 1
                    00 00        // R_SUP, CBCS; MULTI I_T NEXUS MICROCODE DOWNLOAD
                    0000         // EXTENDED SELF-TEST COMPLETION MINUTES
                    00           // POA_SUP, HRA_SUP, VSA_SUP
                    1C           // MAXIMUM SUPPORTED SENSE DATA LENGTH 28
                    """) + zeros(50))
    }

    @Test func blockLimits() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 01 B0 00 FF 00")
                == bytes(
                    """
                    00 B0 003C
                    01                // WSNZ 1
                    FF                // MAXIMUM COMPARE AND WRITE LENGTH
                    0008              // OPTIMAL TRANSFER LENGTH GRANULARITY: a page of 4096 bytes
                    00004000          // MAXIMUM TRANSFER LENGTH: 8 MiB
                    00000000          // OPTIMAL TRANSFER LENGTH: not reported
                    00000000          // MAXIMUM PREFETCH LENGTH: no limit
                    00100000          // MAXIMUM UNMAP LBA COUNT
                    00000100          // MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
                    00000008          // OPTIMAL UNMAP GRANULARITY: 4096 bytes
                    80000000          // UGAVALID 1, UNMAP GRANULARITY ALIGNMENT 0
                    0000000000008000  // MAXIMUM WRITE SAME LENGTH: 16 MiB
                    """) + zeros(20))
    }

    @Test func blockLimitsWithoutProvisioning() {
        var unit = Fixture.unit(BlockGeometry(blockLengthBytes: 4096, blockCount: 1024, isThin: false))
        let page = unit.data("12 01 B0 00 FF 00")!
        #expect(Array(page[20..<36]) == zeros(16))
        #expect(Array(page[6..<12]) == bytes("0001 00000800"))
        #expect(unit.data("12 01 B2 00 FF 00") == bytes("00 B2 0004 00 00 00 00"))
    }

    @Test func blockDeviceCharacteristics() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 01 B1 00 FF 00")
                == bytes("00 B1 003C 0001 00 40  // MEDIUM ROTATION RATE: non-rotating; WABEREQ 1") + zeros(56))
    }

    @Test func logicalBlockProvisioning() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 01 B2 00 FF 00")
                == bytes(
                    """
                    00 B2 0004
                    0B           // THRESHOLD EXPONENT: 2^11 blocks of 512 bytes are 1 MiB
                    E4           // LBPU, LBPWS, LBPWS10 1; LBPRZ 1; ANC_SUP, DP 0
                    02           // PROVISIONING TYPE: thin
                    00           // THRESHOLD PERCENTAGE
                    """))
        for (blockLength, exponent): (UInt32, UInt8) in [(512, 11), (4096, 8)] {
            var file = Fixture.unit(BlockGeometry(blockLengthBytes: blockLength, blockCount: 1024))
            #expect(file.data("12 01 B2 00 FF 00")?[4] == exponent)
            // A device with discard does not tell what it has left: no thresholds.
            var device = Fixture.unit(
                BlockGeometry(blockLengthBytes: blockLength, blockCount: 1024, reportsResources: false))
            #expect(device.data("12 01 B2 00 FF 00")?[4] == 0)
        }
    }

    @Test func longTextIsCutAndCleaned() {
        var identity = Fixture.identity
        identity.vendor = "VENDOR-TOO-LONG"
        identity.product = "\u{7}\u{e9}"
        identity.serialNumber = String(repeating: "9", count: 400)
        var unit = LogicalUnit(identity: identity, geometry: Fixture.geometry)
        let standard = unit.data("12 00 00 00 FF 00")!
        #expect(Array(standard[8..<16]) == [UInt8]("VENDOR-T".utf8))
        #expect(Array(standard[16..<32]) == [UInt8]("???             ".utf8))
        #expect(unit.data("12 01 80 FF FF 00")?.count == 256)
        #expect(unit.data("12 01 83 FF FF 00")?[4 + 12 + 3] == 244)
    }
}
