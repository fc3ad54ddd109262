import SCSI
import Testing

@Suite struct UnitAttentionTests {
    static let testUnitReady = "00 00 00 00 00 00"

    @Test func firstContactIsTold() {
        var unit = LogicalUnit(identity: Fixture.identity, geometry: Fixture.geometry)
        #expect(!unit.requiresInspection)
        unit.nexusEstablished(Fixture.first, Fixture.information("client0"))
        #expect(unit.requiresInspection)
        #expect(unit.run(Self.testUnitReady).sense == Sense(.unitAttention, additionalSenseCode: 0x2900))
        #expect(unit.run(Self.testUnitReady) == .good)
        #expect(!unit.requiresInspection)
    }

    @Test func mediaCommandsReportAndClear() {
        var unit = Fixture.unit()
        unit.raise(.capacityDataChanged)
        #expect(unit.run("28 00 00 00 00 00 00 00 01 00").sense == UnitAttention.capacityDataChanged.sense)
        let read = MediaOperation.read(BlockRange(firstBlock: 0, blockCount: 1), [])
        #expect(unit.run("28 00 00 00 00 00 00 00 01 00") == .media(read))
        #expect(unit.requiresInspection)  // the other nexus has not been told
        #expect(!unit.requiresInspection(of: Fixture.first))
        #expect(unit.requiresInspection(of: Fixture.second))
        #expect(unit.flags(of: Fixture.first) == [])
        #expect(unit.flags == .requiresInspection)
    }

    @Test func inquiryAndReportLUNsNeitherReportNorClear() {
        var unit = Fixture.unit()
        unit.raise(.logicalUnitReset)
        #expect(unit.data("12 00 00 00 24 00")?.count == 36)
        #expect(unit.data("A0 00 00 00 00 00 00 00 00 10 00 00")?.count == 16)
        #expect(unit.attention(for: Fixture.first) == .logicalUnitReset)
    }

    @Test func reportLUNsClearsWhatItAnswers() {
        var unit = Fixture.unit()
        unit.raise(.reportedLUNsDataChanged)
        unit.raise(.modeParametersChanged)
        #expect(unit.data("A0 00 00 00 00 00 00 00 00 10 00 00") != nil)
        #expect(unit.attention(for: Fixture.first) == .modeParametersChanged)
        #expect(unit.attention(for: Fixture.second) == .reportedLUNsDataChanged)
        // A refused one clears nothing.
        #expect(unit.run("A0 00 55 00 00 00 00 00 10 00 00 00", from: Fixture.second).sense != nil)
        #expect(unit.attention(for: Fixture.second) == .reportedLUNsDataChanged)
    }

    @Test func requestSenseReturnsAndClears() {
        var unit = Fixture.unit()
        unit.raise(.capacityDataChanged)
        #expect(
            unit.data("03 00 00 00 FF 00")
                == bytes("70 00 06 00000000 0A 00000000 2A09 00 000000  // CAPACITY DATA HAS CHANGED, fixed format"))
        #expect(unit.data("03 00 00 00 FF 00") == bytes("70 00 00 00000000 0A 00000000 0000 00 000000"))
        unit.raise(.capacityDataChanged)
        #expect(unit.data("03 01 00 00 FF 00") == bytes("72 06 2A09 000000 00  // DESC 1: descriptor format"))
        #expect(unit.data("03 01 00 00 02 00") == bytes("72 00"))
    }

    @Test func prioritiesAndSupersession() {
        var unit = Fixture.unit()
        unit.raise(.modeParametersChanged)
        unit.raise(.capacityDataChanged)
        unit.raise(.nexusLoss)
        unit.raise(.logicalUnitReset)  // outranks the nexus loss, which has nothing to add
        unit.raise(.nexusLoss)
        unit.raise(.commandsClearedByAnotherInitiator)
        unit.raise(.commandsClearedByAnotherInitiator)
        var told: [Sense] = []
        while let sense = unit.run(Self.testUnitReady).sense { told.append(sense) }
        #expect(
            told
                == [
                    .logicalUnitReset, .commandsClearedByAnotherInitiator, .capacityDataChanged, .modeParametersChanged,
                ].map { (attention: UnitAttention) in attention.sense })
    }

    @Test func everyConditionHasItsCode() {
        let codes = UnitAttention.allCases.map { $0.sense.additionalSenseCode }
        #expect(
            codes == [
                0x2900, 0x2901, 0x2902, 0x2903, 0x2904, 0x2907, 0x2F00, 0x2F02, 0x3F0E, 0x3F03, 0x2A09, 0x2A01,
                0x2A03, 0x2A05, 0x2A04, 0x2A06, 0x2A07, 0x3807,
            ])
        #expect(UnitAttention.allCases.allSatisfy { $0.sense.key == .unitAttention })
    }

    @Test func exceptAndUnknownNexuses() {
        var unit = Fixture.unit()
        unit.raise(.modeParametersChanged, except: Fixture.first)
        unit.raise(.modeParametersChanged, for: Fixture.stranger)
        #expect(unit.attention(for: Fixture.first) == nil)
        #expect(unit.attention(for: Fixture.second) == .modeParametersChanged)
        #expect(unit.attention(for: Fixture.stranger) == nil)
        #expect(unit.run(Self.testUnitReady, from: Fixture.stranger) == .good)
        unit.nexusLost(Fixture.stranger)
        unit.nexusLost(Fixture.second)  // with something pending: it must not stay counted
        #expect(!unit.requiresInspection)
    }

    @Test func returningNexusHearsOfItsLoss() {
        var unit = Fixture.unit()
        unit.nexusLost(Fixture.first)
        unit.nexusEstablished(NexusHandle(rawValue: 3), Fixture.information("client0"))
        #expect(unit.attention(for: NexusHandle(rawValue: 3)) == .nexusLoss)
        // By another port it is another nexus.
        unit.nexusEstablished(NexusHandle(rawValue: 4), Fixture.information("client0", port: 0x2A))
        #expect(unit.attention(for: NexusHandle(rawValue: 4)) == .powerOnOrReset)
        // The same handle again, without a loss in between, counts as one.
        unit.nexusEstablished(NexusHandle(rawValue: 4), Fixture.information("client0", port: 0x2A))
        #expect(unit.attention(for: NexusHandle(rawValue: 4)) == .nexusLoss)
    }

    @Test func departedNexusesAreBounded() {
        var unit = Fixture.unit()
        for number in 0..<(LogicalUnit.maximumLostNexuses * 2) {
            let handle = NexusHandle(rawValue: 1000 + UInt64(number))
            unit.nexusEstablished(handle, Fixture.information("c\(number)"))
            unit.nexusLost(handle)
        }
        let back = NexusHandle(rawValue: 5)
        unit.nexusEstablished(back, Fixture.information("c0"))
        #expect(unit.attention(for: back) == .powerOnOrReset)  // forgotten
        unit.nexusEstablished(
            NexusHandle(rawValue: 6), Fixture.information("c\(LogicalUnit.maximumLostNexuses * 2 - 1)"))
        #expect(unit.attention(for: NexusHandle(rawValue: 6)) == .nexusLoss)
    }

    @Test func logicalUnitResetTellsEverybody() {
        var unit = Fixture.unit()
        unit.logicalUnitReset()
        for nexus in [Fixture.first, Fixture.second] {
            #expect(
                unit.run(Self.testUnitReady, from: nexus).sense == Sense(.unitAttention, additionalSenseCode: 0x2903))
            #expect(unit.run(Self.testUnitReady, from: nexus) == .good)
        }
        unit.reset(.busReset)
        #expect(unit.attention(for: Fixture.first) == .busReset)
    }

    @Test func geometryChangesAreTold() {
        var unit = Fixture.unit()
        unit.changeGeometry(Fixture.geometry)
        #expect(!unit.requiresInspection)
        unit.changeGeometry(BlockGeometry(blockLengthBytes: 512, blockCount: 0x40_0000))
        #expect(unit.run(Self.testUnitReady).sense == UnitAttention.capacityDataChanged.sense)
        #expect(unit.run(Self.testUnitReady) == .good)
        #expect(unit.data("25 00 00 00 00 00 00 00 00 00") == bytes("003FFFFF 00000200"))
        var readOnly = unit.geometry
        readOnly.isReadOnly = true
        unit.changeGeometry(readOnly)
        #expect(unit.run(Self.testUnitReady).sense == UnitAttention.modeParametersChanged.sense)
        var limited = readOnly
        limited.maximumTransferBlocks = 8
        unit.changeGeometry(limited)
        #expect(unit.run(Self.testUnitReady).sense == UnitAttention.inquiryDataChanged.sense)
        #expect(unit.run(Self.testUnitReady) == .good)
    }

    /// Random raising, telling and losing against a plain model; the seed is printed when it fails.
    @Test(arguments: 0..<20) func countsStayRight(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var unit = LogicalUnit(identity: Fixture.identity, geometry: Fixture.geometry)
        for _ in 0..<500 {
            let handle = NexusHandle(rawValue: UInt64.random(in: 0..<6, using: &generator))
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: unit.nexusEstablished(handle, Fixture.information("c\(handle.rawValue)"))
            case 1: unit.nexusLost(handle)
            case 2: unit.raise(UnitAttention.allCases.randomElement(using: &generator)!, except: handle)
            case 3: unit.raise(UnitAttention.allCases.randomElement(using: &generator)!, for: handle)
            default: _ = unit.run(Self.testUnitReady, from: handle)
            }
            let pending = (0..<6).contains { unit.attention(for: NexusHandle(rawValue: $0)) != nil }
            #expect(unit.requiresInspection == pending, "seed \(seed)")
        }
    }
}
