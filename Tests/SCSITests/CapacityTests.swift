import SCSI
import Testing

@Suite struct CapacityTests {
    @Test func readCapacity10() {
        var unit = Fixture.unit()
        #expect(unit.data("25 00 00 00 00 00 00 00 00 00") == bytes("001FFFFF 00000200  // last block; block length"))
        // FFFFFFFFh as soon as READ CAPACITY (16) is needed.
        for (blocks, last): (UInt64, String) in [
            (0xFFFF_FFFF, "FFFFFFFE"), (0x1_0000_0000, "FFFFFFFF"), (0x1_0000_0001, "FFFFFFFF"),
        ] {
            var large = Fixture.unit(BlockGeometry(blockLengthBytes: 4096, blockCount: blocks))
            #expect(large.data("25 00 00 00 00 00 00 00 00 00") == bytes("\(last) 00001000"))
        }
    }

    @Test func readCapacity16() {
        var unit = Fixture.unit()
        let expected =
            bytes(
                """
                00000000001FFFFF  // RETURNED LOGICAL BLOCK ADDRESS
                00000200          // LOGICAL BLOCK LENGTH
                00                // P_TYPE, PROT_EN 0
                00                // LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT
                C000              // LBPME 1, LBPRZ 1, LOWEST ALIGNED LOGICAL BLOCK ADDRESS 0
                """) + zeros(16)
        for length in 0...40 {
            let data = unit.data(
                "9E 10 00 00 00 00 00 00 00 00 00 00 00 \(String(length + 0x100, radix: 16).dropFirst()) 00 00")
            #expect(data == Array(expected.prefix(length)))
        }
        var thick = Fixture.unit(BlockGeometry(blockLengthBytes: 4096, blockCount: 1024, isThin: false))
        #expect(thick.data("9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00")?[12..<16] == bytes("00 00 0000")[...])
    }

    @Test func getLBAStatus() {
        var unit = Fixture.unit()
        #expect(
            unit.run("9E 12 00 00 00 00 00 1F FF FF 00 00 00 18 00 00")
                == .reportLBAStatus(startingBlock: 0x1F_FFFF, allocationLength: 24))
        #expect(
            unit.run("9E 12 00 00 00 00 00 20 00 00 00 00 00 18 00 00").sense
                == .logicalBlockAddressOutOfRange(0x20_0000))
        #expect(
            unit.run("9E 12 FF FF FF FF FF FF FF FF 00 00 00 18 00 00").sense == .logicalBlockAddressOutOfRange(.max))
    }

    static func extent(_ first: UInt64, _ count: UInt64, _ provisioning: LBAStatus.Provisioning) -> LBAStatus.Extent {
        LBAStatus.Extent(range: BlockRange(firstBlock: first, blockCount: count), provisioning: provisioning)
    }

    @Test func lbaStatusParameterData() {
        let extents = [
            Self.extent(8, 4, .mapped), Self.extent(12, 4, .mapped), Self.extent(16, 0, .deallocated),
            Self.extent(16, 8, .deallocated),
        ]
        let expected = bytes(
            """
            00000024             // PARAMETER DATA LENGTH 36
            00000000
            0000000000000008     // LBA STATUS LOGICAL BLOCK ADDRESS
            00000008             // NUMBER OF LOGICAL BLOCKS: neighbours joined
            00 000000            // PROVISIONING STATUS: mapped
            0000000000000010
            00000008
            01 000000            // deallocated
            """)
        #expect(LBAStatus.parameterData(extents: extents, allocationLength: 4096) == expected)
        for length in 0..<40 {
            let cut = LBAStatus.parameterData(extents: extents, allocationLength: UInt32(length))
            // One descriptor at least, and no half one after it.
            #expect(cut.count == min(length, 24))
            #expect(Array(cut.dropFirst(4)) == Array(expected.prefix(cut.count).dropFirst(4)))
        }
    }

    @Test func lbaStatusSplitsLongExtentsAndIsBounded() {
        let long = LBAStatus.parameterData(extents: [Self.extent(0, 0x1_0000_0001, .deallocated)], allocationLength: 64)
        #expect(Array(long[8..<24]) == bytes("0000000000000000 FFFFFFFF 01000000"))
        #expect(Array(long[24..<40]) == bytes("00000000FFFFFFFF 00000002 01000000"))
        let many = (0..<5000).map { Self.extent(UInt64($0), 1, $0 % 2 == 0 ? .mapped : .deallocated) }
        #expect(LBAStatus.parameterData(extents: many, allocationLength: .max).count == 8 + 1024 * 16)
        #expect(LBAStatus.maximumExtents(allocationLength: 0) == 1)
        #expect(LBAStatus.maximumExtents(allocationLength: 24) == 1)
        #expect(LBAStatus.maximumExtents(allocationLength: 40) == 2)
        #expect(LBAStatus.maximumExtents(allocationLength: .max) == 1024)
    }

    @Test func reportLUNs() {
        var unit = Fixture.unit()
        unit.visibleUnits = [LogicalUnitNumber(0), LogicalUnitNumber(1), LogicalUnitNumber(256)]
        let expected = bytes(
            """
            00000018          // LUN LIST LENGTH 24
            00000000
            0000000000000000
            0001000000000000  // peripheral device addressing
            4100000000000000  // flat space addressing
            """)
        #expect(unit.data("A0 00 00 00 00 00 00 00 00 10 00 00") == Array(expected.prefix(16)))
        #expect(unit.data("A0 00 00 00 00 00 00 00 00 01 00 00") == Array(expected.prefix(1)))
        #expect(unit.data("A0 00 00 00 00 00 00 01 00 00 00 00") == expected)
        #expect(unit.data("A0 00 02 00 00 00 00 01 00 00 00 00") == expected)
        #expect(unit.data("A0 00 01 00 00 00 00 01 00 00 00 00") == zeros(8))  // well known units: none
        #expect(unit.run("A0 00 03 00 00 00 00 01 00 00 00 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))
        #expect(unit.run("A0 00 10 00 00 00 00 01 00 00 00 00").sense == .invalidFieldInCDB(byte: 2, bit: 7))
    }
}
