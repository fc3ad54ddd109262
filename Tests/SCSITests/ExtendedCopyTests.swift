import SCSI
import Testing

/// EXTENDED COPY (LID1), RECEIVE COPY RESULTS, and what the pages say of them.
@Suite struct ExtendedCopyTests {
    /// An identification descriptor with the NAA identifier of the walk-through's unit.
    static let target = bytes(
        """
        E4 00 0000           // DESCRIPTOR TYPE CODE, PERIPHERAL DEVICE TYPE 0, RELATIVE INITIATOR PORT
        01 03 00 08          // CODE SET binary, logical unit's NAA, DESIGNATOR LENGTH
        3001020304050607 000000000000000000000000
        00 000200            // PAD 0, DISK BLOCK LENGTH 512
        """)

    static func segment(_ source: UInt8, _ destination: UInt8, _ count: UInt8, _ from: UInt8, _ to: UInt8) -> [UInt8] {
        [
            0x02, 0, 0, 0x18, 0, source, 0, destination, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0, from, 0, 0, 0, 0, 0, 0, 0,
            to,
        ]
    }

    static func list(_ targets: [[UInt8]], _ segments: [[UInt8]], identifier: UInt8 = 7, usage: UInt8 = 0) -> [UInt8] {
        let (targets, segments) = (targets.flatMap { $0 }, segments.flatMap { $0 })
        return [identifier, usage << 3, UInt8(targets.count >> 8), UInt8(targets.count & 0xFF), 0, 0, 0, 0, 0, 0]
            + [UInt8(segments.count >> 8), UInt8(segments.count & 0xFF), 0, 0, 0, 0] + targets + segments
    }

    static func run(_ unit: inout LogicalUnit, _ list: [UInt8]) -> Execution {
        unit.run(
            CommandDescriptorBlock(
                [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(list.count >> 8), UInt8(list.count & 0xFF), 0, 0]),
            parameterList: list)
    }

    private static func status(_ unit: inout LogicalUnit, _ identifier: String) -> Execution {
        unit.run("84 00 \(identifier) 00 00 00 00 00 00 00 00 00 00 20 00 00")
    }

    @Test func aCopy() {
        var unit = Fixture.unit()
        let execution = Self.run(&unit, Self.list([Self.target], [Self.segment(0, 0, 5, 16, 32)]))
        guard case .extendedCopy(let copy) = execution else { Issue.record("\(execution)"); return }
        #expect(copy.units == [0x3001_0203_0405_0607] && copy.listIdentifier == 7)
        #expect(copy.segments.count == 1 && copy.segments[0].source == 0 && copy.segments[0].destination == 0)
        #expect(copy.segments[0].from == BlockRange(firstBlock: 16, blockCount: 5))
        #expect(copy.segments[0].to == BlockRange(firstBlock: 32, blockCount: 5))
    }

    @Test func noListIsNothingToDo() {
        var unit = Fixture.unit()
        #expect(Self.run(&unit, []) == .good)
    }

    @Test func lengthsThatDoNotFit() {
        var unit = Fixture.unit()
        let whole = Self.list([Self.target], [Self.segment(0, 0, 1, 0, 8)])
        for count in [1, 15, 16, 47, whole.count - 1] {
            #expect(Self.run(&unit, Array(whole.prefix(count))).sense == .parameterListLengthError, "\(count)")
        }
        #expect(unit.run("83 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00").sense == .parameterListLengthError)
        var odd = whole
        odd[3] = 31
        #expect(Self.run(&unit, odd).sense == .invalidFieldInParameterList(byte: 2))
        var inline = whole
        inline[15] = 1
        #expect(Self.run(&unit, inline).sense == .inlineDataLengthExceeded)
        var short = whole
        short[16 + 32 + 3] = 0x14
        #expect(Self.run(&unit, short).sense == .invalidFieldInParameterList(byte: 50))
    }

    @Test func tooManyDescriptors() {
        var unit = Fixture.unit()
        let segment = Self.segment(0, 0, 1, 0, 8)
        let targets = [[UInt8]](repeating: Self.target, count: 17)
        #expect(Self.run(&unit, Self.list(targets, [segment])).sense == .tooManyTargetDescriptors)
        let segments = [[UInt8]](repeating: segment, count: 65)
        #expect(Self.run(&unit, Self.list([Self.target], segments)).sense == .tooManySegmentDescriptors)
        #expect(Self.run(&unit, Self.list(targets, segments)).sense == .parameterListLengthError)
        guard case .extendedCopy = Self.run(&unit, Self.list(targets.dropLast(), segments.dropLast())) else {
            Issue.record("the limits themselves are refused")
            return
        }
    }

    @Test func descriptorsOfOtherKinds() {
        var unit = Fixture.unit()
        let segment = Self.segment(0, 0, 1, 0, 8)
        #expect(
            Self.run(&unit, Self.list([[0xE0] + Self.target.dropFirst()], [segment])).sense
                == .unsupportedTargetDescriptorType(byte: 16))
        #expect(
            Self.run(&unit, Self.list([Self.target], [[0x03] + segment.dropFirst()])).sense
                == .unsupportedSegmentDescriptorType(byte: 48))
        for index: UInt8 in [1, 255] {
            #expect(
                Self.run(&unit, Self.list([Self.target], [Self.segment(0, index, 1, 0, 8)])).sense
                    == .copyTargetDeviceNotReachable)
        }
        #expect(
            Self.run(&unit, Self.list([Self.target], [segment], usage: 1)).sense
                == .invalidFieldInParameterList(byte: 1, bit: 4))
    }

    /// Names that no unit here has: another code set, a port's name, another length, another device type.
    @Test(arguments: [(4, 2), (5, 0x13), (5, 0x01), (7, 16), (1, 1)] as [(Int, UInt8)])
    func otherDesignatorsNameNoUnit(_ offset: Int, _ value: UInt8) {
        var unit = Fixture.unit()
        var target = Self.target
        target[offset] = value
        guard case .extendedCopy(let copy) = Self.run(&unit, Self.list([target], [Self.segment(0, 0, 1, 0, 8)])) else {
            Issue.record("refused")
            return
        }
        #expect(copy.units == [nil])
    }

    // MARK: Results

    @Test func copyStatus() {
        var unit = Fixture.unit()
        #expect(Self.status(&unit, "07").sense == .invalidFieldInCDB(byte: 2))
        let list = Self.list([Self.target], [Self.segment(0, 0, 5, 16, 32)])
        _ = Self.run(&unit, list)
        #expect(Self.status(&unit, "07") == .parameterData(bytes("00000008 00 0000 01 00000000  // in progress")))
        #expect(Self.run(&unit, list).sense == .operationInProgress)
        unit.copyProgressed(
            CopyStatus(listIdentifier: 7, state: .endedWell, segments: 1, kibibytes: 0x1234), for: Fixture.first)
        // Another nexus has none of that name.
        #expect(
            unit.run("84 00 07 00 00 00 00 00 00 00 00 00 00 20 00 00", from: Fixture.second).sense
                == .invalidFieldInCDB(byte: 2))
        #expect(Self.status(&unit, "07") == .parameterData(bytes("00000008 01 0001 01 00001234")))
        #expect(Self.status(&unit, "07").sense == .invalidFieldInCDB(byte: 2))
        // LIST ID USAGE 3: nothing is kept.
        _ = Self.run(&unit, Self.list([Self.target], [Self.segment(0, 0, 5, 16, 32)], usage: 3))
        #expect(Self.status(&unit, "07").sense == .invalidFieldInCDB(byte: 2))
    }

    @Test func operatingParameters() {
        var unit = Fixture.unit()
        #expect(
            unit.data("84 03 00 00 00 00 00 00 00 00 00 00 00 FF 00 00")
                == bytes(
                    """
                    0000002A             // AVAILABLE DATA
                    01 000000            // SNLID
                    0010 0040            // MAXIMUM TARGET and SEGMENT DESCRIPTOR COUNT
                    00000900 10000000    // MAXIMUM DESCRIPTOR LIST and SEGMENT LENGTH
                    00000000 00000000 00000000  // no inline data, no held data, no streams
                    0000 0008 08         // TOTAL and MAXIMUM CONCURRENT COPIES
                    09 00 00 000000      // DATA SEGMENT GRANULARITY
                    02 02E4              // IMPLEMENTED DESCRIPTOR LIST
                    """))
    }

    @Test func thirdPartyCopyPage() {
        var unit = Fixture.unit()
        #expect(
            unit.data("12 01 8F 01 00 00")
                == bytes(
                    """
                    00 8F 0058
                    0001 0008 07 83 01 00 84 02 00 03   // EXTENDED COPY (LID1); COPY STATUS, OPERATING PARAMETERS
                    0004 001C 00000000 0010 0040 00000900 00000000 000000000000000000000000
                    0008 0004 02 02 E4 00
                    8001 0020 00000008 00000008 10000000 09 00 0000 00000000 00000000 00000000 00000000
                    """))
    }

    // MARK: What may be copied

    @Test func aCopyMayDoWhatItsInitiatorMay() {
        var unit = Fixture.unit()
        let range = BlockRange(firstBlock: 0, blockCount: 100)
        func fault(_ range: BlockRange, writes: Bool, _ nexus: NexusHandle = Fixture.first) -> Sense? {
            unit.copyFault(range, writes: writes, initiatorName: "iqn.2026-01.net.example:client0", nexus: nexus)
        }
        #expect(fault(range, writes: true) == nil && fault(range, writes: false) == nil)
        #expect(fault(range, writes: true, Fixture.stranger) == nil)
        #expect(fault(BlockRange(firstBlock: 0x1F_FFFF, blockCount: 2), writes: false) == .copyAborted)
        // A unit attention is not taken by it.
        unit.raise(.capacityDataChanged)
        #expect(fault(range, writes: true) == nil)
        #expect(unit.attention(for: Fixture.first) == .capacityDataChanged)
        _ = unit.run("00 00 00 00 00 00")
        _ = unit.run("48 02 00 00 00 00 00 00 00 00")
        #expect(fault(range, writes: false) == .thirdPartyDeviceFailure)
        unit.mediumWorkEnded(failed: false)
        var readOnly = Fixture.geometry
        readOnly.isReadOnly = true
        unit.changeGeometry(readOnly)
        #expect(fault(range, writes: true) == .thirdPartyDeviceFailure && fault(range, writes: false) == nil)
    }
}
