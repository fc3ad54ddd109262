import SCSI
import Testing

/// Random bytes against the whole module. A failure prints its seed; the seeds are fixed, so a run can be repeated.
@Suite struct PropertyTests {
    static let geometries = [
        Fixture.geometry, BlockGeometry(blockLengthBytes: 4096, blockCount: 1),
        BlockGeometry(blockLengthBytes: 512, blockCount: 1 << 41, isThin: false),
        BlockGeometry(blockLengthBytes: 4096, blockCount: 3000, isReadOnly: true),
    ]

    /// A block that is more likely to get past the first checks than plain noise: known codes, mostly small fields.
    static func randomBlock(_ generator: inout SeededGenerator) -> CommandDescriptorBlock {
        let length = Int.random(in: 0...32, using: &generator)
        var block = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
        if length > 1, Bool.random(using: &generator) {
            block[0] =
                [
                    0x00, 0x03, 0x08, 0x0A, 0x12, 0x15, 0x1A, 0x1B, 0x1D, 0x25, 0x28, 0x2A, 0x2E, 0x2F, 0x34, 0x35,
                    0x41, 0x42, 0x04, 0x1E, 0x37, 0x48, 0x83, 0x84, 0x89, 0x8B, 0xB7,
                    0x55, 0x5A, 0x7F, 0x88, 0x8A, 0x8E, 0x8F, 0x90, 0x91, 0x93, 0x9E, 0xA0, 0xA3, 0xA8, 0xAA, 0xAE,
                    0xAF,
                ].randomElement(using: &generator)!
            if Bool.random(using: &generator) { block[1] &= 0x1F }
            for index in 2..<max(2, length) where Int.random(in: 0..<4, using: &generator) > 0 { block[index] = 0 }
        }
        return CommandDescriptorBlock(block)
    }

    /// ALLOCATION LENGTH where the command has one.
    static func allocationLength(_ block: CommandDescriptorBlock) -> Int? {
        switch block.operationCode {
        case .inquiry: Int(block.uint16(at: 3))
        case .requestSense, .modeSense6: Int(block.byte(4))
        case .modeSense10, .persistentReserveIn, .readDefectData10: Int(block.uint16(at: 7))
        case .serviceActionIn16, .receiveCopyResults: Int(block.uint32(at: 10))
        case .readDefectData12: Int(block.uint32(at: 6))
        case .reportLUNs, .maintenanceIn: Int(block.uint32(at: 6))
        default: nil
        }
    }

    static func check(
        _ execution: Execution, _ block: CommandDescriptorBlock, _ geometry: BlockGeometry,
        _ label: @autoclosure () -> String
    ) {
        switch execution {
        case .media(let operation):
            #expect(
                geometry.contains(first: operation.range.firstBlock, count: operation.range.blockCount), "\(label())")
            #expect(operation.dataOutLengthBytes(geometry) <= 8 << 20, "\(label())")
            #expect(operation.dataInLengthBytes(geometry) <= 8 << 20, "\(label())")
            #expect(!(operation.isWrite && geometry.isReadOnly), "\(label())")
        case .parameterData(let data):
            #expect(data.count <= allocationLength(block) ?? 8, "\(label())")
        case .needsParameterList(let length, _):
            #expect((1...65535).contains(length), "\(label())")
        case .unmap(let ranges):
            #expect(ranges.count <= Int(geometry.maximumUnmapDescriptors), "\(label())")
            #expect(ranges.reduce(0) { $0 + $1.blockCount } <= UInt64(geometry.maximumUnmapBlocks), "\(label())")
            for range in ranges {
                #expect(geometry.contains(first: range.firstBlock, count: range.blockCount), "\(label())")
            }
            #expect(!geometry.isReadOnly, "\(label())")
        case .extendedCopy(let copy):
            #expect(copy.segments.allSatisfy { max($0.source, $0.destination) < copy.units.count }, "\(label())")
        case .workOnMedium(let work):
            #expect(!geometry.isReadOnly && geometry.isThin, "\(label())")
            if case .overwrite(let pattern, let count, _) = work.effect {
                #expect((1...31).contains(count), "\(label())")
                #expect(!pattern.isEmpty && pattern.count <= Int(geometry.blockLengthBytes), "\(label())")
            }
        case .reportLBAStatus(let first, _):
            #expect(first < geometry.blockCount, "\(label())")
        case .persistentReserveOut: #expect(block.operationCode == .persistentReserveOut, "\(label())")
        case .setTargetPortGroups(let changes):
            #expect(!changes.isEmpty && Set(changes.map(\.group)).count == changes.count, "\(label())")
            #expect(changes.allSatisfy { $0.state.canBeSetByInitiators && [1, 7].contains($0.group) }, "\(label())")
        case .status(let status, let sense):
            #expect((status == .checkCondition) == (sense != nil), "\(label())")
            for format in [false, true] {
                if let sense { #expect(sense.encode(descriptorFormat: format).count <= Sense.maximumLengthBytes) }
            }
        }
    }

    @Test(arguments: 0..<24) func randomCommandsNeverTrapAndStayInside(_ seed: UInt64) {
        var generator = SeededGenerator(seed: 0x5C51_0000 + seed)
        let geometry = Self.geometries[Int(seed) % Self.geometries.count]
        var unit = Fixture.unit(geometry)
        for step in 0..<5_000 {
            let block = Self.randomBlock(&generator)
            let label = { "seed \(seed), step \(step), \(block)" }
            let nexus = [Fixture.first, Fixture.second, Fixture.stranger].randomElement(using: &generator)!
            if Int.random(in: 0..<50, using: &generator) == 0 {
                unit.raise(UnitAttention.allCases.randomElement(using: &generator)!)
            }
            switch MediaOperation.decode(block, geometry) {
            case .operation(let operation): Self.check(.media(operation), block, geometry, label())
            case .failed(let sense): #expect(sense.key == .illegalRequest || sense.key == .dataProtect, "\(label())")
            case .notMediaCommand: break
            }
            let expected = ExpectedTransfer(
                dataOutLengthBytes: Bool.random(using: &generator) ? .max : .random(in: 0...70_000, using: &generator),
                dataInLengthBytes: 0)
            var execution = unit.begin(block, from: nexus, expecting: expected)
            Self.check(execution, block, geometry, label())
            if case .needsParameterList(let length, let continuation) = execution {
                let count = Bool.random(using: &generator) ? length : Int.random(in: 0...length, using: &generator)
                let list = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
                execution = unit.finish(continuation, parameterList: list, from: nexus)
                Self.check(execution, block, geometry, label())
                if case .needsParameterList = execution { Issue.record("finish asked for more: \(label())") }
            }
            unit.mediumWorkEnded(failed: false)
            Self.check(AbsentUnit.respond(block, visibleUnits: unit.visibleUnits), block, geometry, label())
        }
    }

    /// Parameter lists that start well and go wrong somewhere: every one ends in a status, none traps.
    @Test(arguments: 0..<24) func damagedParameterLists(_ seed: UInt64) {
        var generator = SeededGenerator(seed: 0x9A7A_0000 + seed)
        let geometry = Fixture.geometry
        let pages = [
            ModeTests.errorRecovery, ModeTests.caching, ModeTests.control, ModeTests.controlExtension,
            ModeTests.exceptions,
        ]
        for step in 0..<500 {
            var unit = Fixture.unit(geometry)
            let isUnmap = Bool.random(using: &generator)
            var list: [UInt8]
            if isUnmap {
                list = UnmapTests.list(
                    (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                        (
                            UInt64.random(in: 0...0x20_0010, using: &generator),
                            UInt32.random(in: 0...64, using: &generator)
                        )
                    })
            } else {
                list = ModeTests.select6(pages.shuffled(using: &generator).prefix(3).flatMap { $0 })
            }
            for _ in 0..<Int.random(in: 0...3, using: &generator) where !list.isEmpty {
                list[Int.random(in: 0..<list.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0...7, using: &generator)
            }
            list.removeLast(Int.random(in: 0...min(3, list.count), using: &generator))
            let length = UInt8(min(list.count, 255))
            let block = CommandDescriptorBlock(
                isUnmap ? [0x42, 0, 0, 0, 0, 0, 0, 0, length, 0] : [0x15, 0x10, 0, 0, length, 0])
            let label = { "seed \(seed), step \(step)" }
            let execution = unit.begin(block, from: Fixture.first, expecting: Fixture.anything)
            guard case .needsParameterList(let count, let continuation) = execution else {
                #expect(length == 0 && execution == .good, "\(label())")
                continue
            }
            let answer = unit.finish(continuation, parameterList: Array(list.prefix(count)), from: Fixture.first)
            Self.check(answer, block, geometry, label())
        }
    }

    /// The fast path and the slow path agree wherever the fast path is allowed.
    @Test(arguments: 0..<8) func decodeAndBeginAgree(_ seed: UInt64) {
        var generator = SeededGenerator(seed: 0xFA57_0000 + seed)
        var unit = Fixture.unit()
        for step in 0..<5_000 {
            let block = Self.randomBlock(&generator)
            guard !unit.requiresInspection else { Issue.record("seed \(seed), step \(step)"); return }
            switch MediaOperation.decode(block, unit.geometry) {
            case .operation(let operation):
                #expect(
                    unit.begin(
                        block, from: Fixture.first,
                        expecting: ExpectedTransfer(
                            dataOutLengthBytes: UInt32(operation.dataOutLengthBytes(unit.geometry)),
                            dataInLengthBytes: 0))
                        == .media(operation), "seed \(seed), step \(step)")
            case .failed(let sense):
                #expect(
                    unit.begin(block, from: Fixture.first, expecting: Fixture.anything) == .checkCondition(sense),
                    "seed \(seed), step \(step)")
            case .notMediaCommand: break
            }
        }
    }
}
