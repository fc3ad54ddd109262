import SCSI

/// PERSISTENT RESERVE OUT with parameter lists of every kind, TransportIDs among them, and PERSISTENT RESERVE IN after
/// each. What holds: the state never contradicts itself; PRGENERATION moves only with registrations; what IN tells is what
/// the state is; nothing changes that was not answered GOOD.
enum ReservationTarget {
    static func run(_ input: inout Input) {
        var unit = FuzzUnit(&input)
        for _ in 0..<48 where !input.isEmpty {
            let shape = input.byte()
            if shape == 0xff {
                CommandTarget.disturb(&unit.unit, &input)
                continue
            }
            let before = unit.unit.reservations
            let list = list(&input)
            let length = shape & 4 == 0 ? UInt32(list.count) : input.number(UInt32.self)
            var block: [UInt8] = [0x5f, input.byte(), input.byte(), 0, 0]
            block += (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) } + [0]
            let nexus = FuzzUnit.nexuses[Int(shape & 3)]
            unit.run(CommandDescriptorBlock(block), list, from: nexus, expecting: .anything)
            compare(before, unit.unit.reservations, action: block[1] & 0x1f)
            report(&unit.unit)
        }
    }

    private static func compare(_ before: ReservationState, _ after: ReservationState, action: UInt8) {
        if before.registrations != after.registrations {
            hold(after.generation == before.generation &+ 1, "PRGENERATION \(before.generation), \(after.generation)")
        }
        // RESERVE and RELEASE leave registrations and PRGENERATION alone (SPC-4 5.13.7).
        if action == 1 || action == 2 {
            hold(before.registrations == after.registrations && before.generation == after.generation, "\(after)")
        }
    }

    /// READ KEYS, READ RESERVATION, READ FULL STATUS.
    private static func report(_ unit: inout LogicalUnit) {
        let state = unit.reservations
        guard let keys = data(0, &unit), let reservation = data(1, &unit), let full = data(3, &unit) else { return }
        hold(keys.count == 8 + 8 * state.registrations.count, "READ KEYS: \(keys.count) bytes")
        hold(reservation.count == (state.reservation == nil ? 8 : 24), "READ RESERVATION: \(reservation.count) bytes")
        var offset = 8
        for registration in state.registrations {
            guard offset + 24 <= full.count else { fatalError("broken: READ FULL STATUS ends early") }
            let key = full[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
            hold(key == registration.key, "READ FULL STATUS: key \(key)")
            offset += 24 + Int(full[offset + 22]) << 8 + Int(full[offset + 23])
        }
        hold(offset == full.count, "READ FULL STATUS: \(full.count) bytes")
    }

    private static func data(_ action: UInt8, _ unit: inout LogicalUnit) -> [UInt8]? {
        let block = CommandDescriptorBlock([0x5e, action, 0, 0, 0, 0, 0, 0xff, 0xff, 0])
        guard case .parameterData(let data) = unit.begin(block, from: FuzzUnit.nexuses[1], expecting: .anything)
        else { return nil }
        return data
    }

    /// Keys of a small set, so that they meet; flags; TransportIDs nearly right.
    private static func list(_ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        if shape & 0x80 != 0 { return input.take(Int(input.byte())) }
        func key(_ code: UInt8) -> [UInt8] { [0, 0, 0, 0, 0, 0, 0, code & 7] }
        var list = key(shape) + key(shape >> 3)
        guard shape & 0x40 != 0 else { return list + [0, 0, 0, 0, input.byte(), 0, 0, 0] }
        let flags = input.byte()
        var identifiers: [UInt8] = []
        for _ in 0..<Int(flags >> 4 & 3) { identifiers += transport(&input) }
        func length(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
        if flags & 0x80 == 0 {
            list += [0, 0, 0, 0, flags & 0x0f, 0, 0, 0] + length(identifiers.count + Int(flags >> 6 & 1))
        } else {
            // REGISTER AND MOVE: UNREG and APTPL, relative target port, length.
            list += [0, flags & 0x03, 0, flags & 0x04 == 0 ? 1 : 42] + length(identifiers.count)
        }
        return list + identifiers
    }

    private static func transport(_ input: inout Input) -> [UInt8] {
        let shape = input.byte()
        var text = Array("iqn.2026-01.net.example:client\(shape & 3)".utf8)
        if shape & 4 == 0 { text += Array(",i,0x00023d000001".utf8) }
        if shape & 8 != 0 { text += input.take(Int(input.byte() & 31)) }
        text.append(0)
        while text.count < 20 || text.count % 4 != 0 { text.append(0) }
        let count = text.count + (shape & 16 != 0 ? Int(input.byte()) : 0)
        return [
            shape & 4 == 0 ? 0x45 : 0x05, 0, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count),
        ]
            + text
    }
}
