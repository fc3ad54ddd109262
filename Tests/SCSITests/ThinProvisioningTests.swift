import SCSI
import Testing

/// Thresholds: what the file system below has left, and how initiators hear of it.
@Suite struct ThinProvisioningTests {
    private static let mebibyte: UInt64 = 1 << 20

    private static func resources(available: UInt64, used: UInt64 = 7, threshold: UInt64 = 100) -> ProvisioningResources
    {
        ProvisioningResources(
            availableBytes: available * mebibyte, usedBytes: used * mebibyte, thresholdBytes: threshold * mebibyte)
    }

    private static func update(
        _ unit: inout LogicalUnit, _ resources: ProvisioningResources?, isFullyMapped: Bool = false
    ) -> Bool {
        unit.updateResources(resources, isFullyMapped: isFullyMapped)
    }

    @Test func logPages() {
        var unit = Fixture.unit()
        #expect(unit.data("4D 00 00 00 00 00 00 00 FF 00") == bytes("00 00 0001  00"))
        #expect(unit.run("4D 00 0C 00 00 00 00 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 5))
        _ = unit.updateResources(Self.resources(available: 0x1234), isFullyMapped: false)
        #expect(unit.data("4D 00 40 00 00 00 00 00 FF 00") == bytes("00 00 0002  00 0C"))
        #expect(unit.data("4D 00 40 FF 00 00 00 00 FF 00") == bytes("40 FF 0006  0000 00FF 0C00"))
        let page = bytes(
            """
            8C 00 0018   // DS 1, page 0Ch; PAGE LENGTH
            0001 03 08   // Available LBA Mapping Resource Count; FORMAT AND LINKING 11b
            00001234     // in threshold sets of 1 MiB
            02 000000    // SCOPE: others may take of it too
            0002 03 08   // Used LBA Mapping Resource Count
            00000007
            01 000000    // SCOPE: of this unit
            """)
        #expect(unit.data("4D 00 4C 00 00 00 00 00 FF 00") == page)
        #expect(unit.data("4D 00 4C 00 00 00 00 00 06 00") == Array(page.prefix(6)))
        // PARAMETER POINTER
        #expect(unit.data("4D 00 4C 00 00 00 02 00 FF 00") == bytes("8C 00 000C") + page.suffix(12))
        #expect(unit.run("4D 00 4C 00 00 00 03 00 FF 00").sense == .invalidFieldInCDB(byte: 5, bit: 7))
        // SP, and what is not there.
        #expect(unit.run("4D 01 4C 00 00 00 00 00 FF 00").sense == .invalidFieldInCDB(byte: 1, bit: 0))
        #expect(unit.run("4D 00 4C 01 00 00 00 00 FF 00").sense == .invalidFieldInCDB(byte: 3, bit: 7))
        #expect(unit.run("4D 00 4D 00 00 00 00 00 FF 00").sense == .invalidFieldInCDB(byte: 2, bit: 5))
    }

    @Test func modePage() {
        var unit = Fixture.unit()
        #expect(unit.run("1A 08 1C 02 FF 00").sense == .invalidFieldInCDB(byte: 3, bit: 7))
        _ = unit.updateResources(Self.resources(available: 500, threshold: 0x123), isFullyMapped: false)
        let page =
            bytes("5C 02 0014  00  // SITUA 0") + zeros(11)
            + bytes(
                """
                80           // ENABLED 1, THRESHOLD TYPE 0, THRESHOLD ARMING 0: a decreasing count
                01           // THRESHOLD RESOURCE: available LBA mapping resources
                0000
                00000123     // THRESHOLD COUNT, in threshold sets
                """)
        #expect(unit.data("1A 08 1C 02 FF 00") == bytes("1B 00 10 00") + page)
        #expect(unit.data("1A 08 3F FF FF 00")?.suffix(24) == page[...])
        // Nothing of it can be changed; sending it back as it is changes nothing.
        #expect(unit.data("1A 08 5C 02 FF 00") == bytes("1B 00 10 00 5C 02 0014") + zeros(20))
        #expect(unit.run("15 10 00 00 1C 00", parameterList: zeros(4) + page) == .good)
        var other = page
        other[16] = 0
        #expect(
            unit.run("15 10 00 00 1C 00", parameterList: zeros(4) + other).sense
                == .invalidFieldInParameterList(byte: 20, bit: 7))
    }

    @Test func everyNexusIsToldOncePerCrossing() {
        var unit = Fixture.unit()
        /// Whether the threshold was passed, in either direction.
        func low(_ available: UInt64) -> Bool { Self.update(&unit, Self.resources(available: available)) }
        func told(_ nexus: NexusHandle) -> UInt16? {
            unit.run("00 00 00 00 00 00", from: nexus).sense?.additionalSenseCode
        }
        #expect(!low(101) && !unit.hasReachedThreshold)
        #expect(!low(100) && told(Fixture.first) == nil)
        #expect(low(99) && unit.hasReachedThreshold)
        #expect(unit.requiresInspection(of: Fixture.first) && unit.requiresInspection(of: Fixture.second))
        #expect(told(Fixture.first) == 0x3807 && told(Fixture.second) == 0x3807)
        #expect(told(Fixture.first) == nil && told(Fixture.second) == nil)
        // To and fro around it is the same crossing; an eighth above it is not.
        #expect(!low(105) && !low(112) && !low(20) && told(Fixture.first) == nil)
        #expect(low(113) && !unit.hasReachedThreshold && told(Fixture.first) == nil)
        #expect(low(99) && told(Fixture.second) == 0x3807)
    }

    @Test func whoNeedNotBeTold() {
        // A unit that takes no more space; one without a threshold; one that is not thin; one that nothing is known of.
        var unit = Fixture.unit()
        #expect(!Self.update(&unit, Self.resources(available: 1), isFullyMapped: true))
        #expect(!Self.update(&unit, Self.resources(available: 0, threshold: 0)))
        #expect(unit.data("1A 08 1C 02 FF 00")?[20] == 0, "ENABLED 0")
        #expect(!Self.update(&unit, nil))
        var thick = Fixture.unit(BlockGeometry(blockLengthBytes: 512, blockCount: 1024, isThin: false))
        #expect(!Self.update(&thick, Self.resources(available: 1)))
        #expect(thick.resources == nil && !thick.requiresInspection)
    }

    /// LOG SENSE is no use of the medium: a reservation of somebody else's does not keep anybody from it.
    @Test func logSenseBesideReservations() {
        var unit = Fixture.unit()
        #expect(unit.run("16 00 00 00 00 00", from: Fixture.second) == .good)
        #expect(unit.data("4D 00 00 00 00 00 00 00 FF 00") == bytes("00 00 0001  00"))
    }

    /// A block is mapped when any byte of it is, where the file system's blocks are smaller than the unit's.
    @Test func blocksOfBytes() {
        func blocks(_ bytes: [(UInt64, UInt64, Bool)]) -> [LBAStatus.Extent] {
            LBAStatus.blocks(bytes.map { ($0.0, $0.1, $0.2) }, blockLengthBytes: 4096)
        }
        let (mapped, hole) = (LBAStatus.Provisioning.mapped, LBAStatus.Provisioning.deallocated)
        #expect(blocks([]) == [])
        #expect(blocks([(8192, 4096, true)]) == [CapacityTests.extent(2, 1, mapped)])
        // A hole that begins and ends inside blocks.
        #expect(
            blocks([(0, 1024, true), (1024, 9216, false), (10240, 2048, true)])
                == [
                    CapacityTests.extent(0, 1, mapped), CapacityTests.extent(1, 1, hole),
                    CapacityTests.extent(2, 1, mapped),
                ])
        // One that leaves no whole block.
        #expect(
            blocks([(0, 1024, true), (1024, 2048, false), (3072, 5120, true)])
                == [CapacityTests.extent(0, 1, mapped), CapacityTests.extent(1, 1, mapped)])
        // A hole at the beginning of a block that has data further on.
        #expect(blocks([(0, 1024, false), (1024, 3072, true)]) == [CapacityTests.extent(0, 1, mapped)])
    }
}
