import SCSI

/// Descriptor blocks and parameter lists as they come, from four nexuses of which one was never announced. What holds:
/// see `FuzzUnit`; run it with a limit on one allocation (`-malloc_limit_mb`).
enum CommandTarget {
    static func run(_ input: inout Input) {
        var unit = FuzzUnit(&input)
        for _ in 0..<64 where !input.isEmpty {
            let shape = input.byte()
            if shape == 0xff {
                disturb(&unit.unit, &input)
                continue
            }
            let nexus = FuzzUnit.nexuses[Int(shape & 3)]
            // The header's 16 bytes, and for the long commands an additional header segment.
            let bytes = input.padded(shape & 4 == 0 ? 16 : 10)
            let block =
                shape & 8 == 0
                ? withSpan(bytes) { CommandDescriptorBlock($0) }
                : withSpan(bytes) { head in
                    withSpan(input.take(16)) { CommandDescriptorBlock(head, extension: $0) }
                }
            let length = shape & 16 == 0 ? .max : UInt32(input.number(UInt16.self))
            let expected = ExpectedTransfer(dataOutLengthBytes: length, dataInLengthBytes: length)
            let list = shape & 32 == 0 ? [] : input.padded(Int(input.byte()))
            unit.run(block, list, from: nexus, expecting: expected)
            let absent = AbsentUnit.respond(block, visibleUnits: unit.unit.visibleUnits)
            switch absent {
            case .status, .parameterData: break
            default: fatalError("broken: a unit that is not there does something: \(absent)")
            }
        }
    }

    /// What happens to a unit between commands.
    static func disturb(_ unit: inout LogicalUnit, _ input: inout Input) {
        switch input.byte() & 7 {
        case 0: unit.raise(input.pick(UnitAttention.allCases))
        case 1: unit.logicalUnitReset()
        case 2: unit.nexusLost(FuzzUnit.nexuses[0])
        case 3: unit.nexusEstablished(FuzzUnit.nexuses[0], FuzzUnit.information(0))
        case 4: unit.fail(.mediumErrorSynchronize)
        case 5: unit.recover()
        case 6:
            let state = input.pick(AsymmetricAccessState.allCases)
            unit.changeAccess([1: TargetPortGroupAccess(state, .alteredImplicitly)])
        default: unit.mediumWorkEnded(failed: input.byte() & 1 != 0)
        }
    }
}
