import SCSI

/// EXTENDED COPY (LID1) parameter lists and RECEIVE COPY RESULTS. What holds: see `FuzzUnit`.
enum CopyTarget {
    static func run(_ input: inout Input) {
        var unit = FuzzUnit(&input)
        for _ in 0..<16 where !input.isEmpty {
            let shape = input.byte()
            let nexus = FuzzUnit.nexuses[Int(shape & 3)]
            if shape & 4 != 0 {
                let block: [UInt8] = [0x84, input.byte(), input.byte(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]
                unit.run(CommandDescriptorBlock(block), [], from: nexus, expecting: .anything)
                continue
            }
            let list = shape & 8 == 0 ? list(&input) : input.take(Int(input.number(UInt16.self)) & 0xfff)
            let length = UInt32(list.count + (shape & 16 == 0 ? 0 : Int(input.byte())))
            var block: [UInt8] = [0x83, shape & 0xe0 == 0 ? 0 : input.byte(), 0, 0, 0, 0, 0, 0, 0, 0]
            block += (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + [0, 0]
            unit.run(CommandDescriptorBlock(block), list, from: nexus, expecting: .anything)
        }
    }

    private static func list(_ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        func number(_ value: Int, _ count: Int) -> [UInt8] {
            (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        var targets: [UInt8] = []
        for _ in 0..<Int(shape & 3) {
            targets += [0xe4, 0, 0, 0, 1, 3, 0, 8] + number(Int(FuzzUnit.naaIdentifier), 8) + input.padded(16)
        }
        var segments: [UInt8] = []
        for _ in 0..<Int(shape >> 2 & 7) {
            let kind = input.byte()
            segments += [0x02, kind & 3] + number(kind & 4 == 0 ? 0x18 : Int(kind), 2)
            segments += number(Int(kind >> 3 & 3), 2) + number(Int(kind >> 5 & 3), 2) + [0, 0]
            segments += input.padded(2) + input.padded(8) + input.padded(8)
        }
        var list = [input.byte(), input.byte()] + number(targets.count, 2) + [0, 0, 0, 0]
        list += number(segments.count, 4) + number(shape & 0x80 == 0 ? 0 : Int(input.byte()), 4) + targets + segments
        if shape & 0x40 != 0, !list.isEmpty { list[Int(input.byte()) % list.count] ^= input.byte() }
        if shape & 0x20 != 0 { list.removeLast(min(list.count, Int(input.byte()))) }
        return list
    }
}
