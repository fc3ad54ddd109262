import SCSI

/// A logical unit with three nexuses, and a server that does what it says on no medium at all: what a command is given
/// leave to do has to stay inside the unit.
struct FuzzUnit {
    static let nexuses = [1, 2, 3, 99].map { NexusHandle(rawValue: $0) }
    var unit: LogicalUnit
    private let geometry: BlockGeometry

    /// Made once: the names alone take longer than many a command.
    private static let units = (0..<32).map { FuzzUnit(flags: $0) }

    init(_ input: inout Input) { self = Self.units[Int(input.byte() & 31)] }

    private init(flags: UInt8) {
        geometry =
            [
                BlockGeometry(blockLengthBytes: 512, blockCount: 0x20_0000),
                BlockGeometry(blockLengthBytes: 4096, blockCount: 1),
                BlockGeometry(blockLengthBytes: 512, blockCount: 1 << 41, isThin: false),
                BlockGeometry(blockLengthBytes: 4096, blockCount: 3000, isReadOnly: true),
                BlockGeometry(blockLengthBytes: 512, blockCount: UInt64(Int64.max) / 512),
            ][Int(flags & 7) % 5]
        unit = LogicalUnit(
            identity: LogicalUnitIdentity(
                naaIdentifier: Self.naaIdentifier, serialNumber: "SN0123", vendor: "RACK", product: "storaged",
                revision: "1.0", targetName: FuzzPolicy.volume,
                ports: [
                    TargetPort(relativeIdentifier: 1, groupIdentifier: 1),
                    TargetPort(relativeIdentifier: 42, groupIdentifier: 7),
                ]),
            geometry: geometry)
        unit.keepsReservations = flags & 8 == 0
        for (number, nexus) in Self.nexuses.dropLast().enumerated() {
            unit.nexusEstablished(nexus, Self.information(number))
            if flags & 16 == 0 {
                _ = unit.begin(CommandDescriptorBlock([0, 0, 0, 0, 0, 0]), from: nexus, expecting: .none)
            }
        }
    }

    static let naaIdentifier: UInt64 = 0x3001_0203_0405_0607

    static func information(_ number: Int) -> NexusInformation {
        NexusInformation(
            initiatorPortName: "iqn.2026-01.net.example:client\(number),i,0x00023d000001",
            relativeTargetPort: number == 2 ? 42 : 1)
    }

    /// A command with its parameter list, all the way.
    mutating func run(
        _ block: CommandDescriptorBlock, _ list: [UInt8], from nexus: NexusHandle, expecting: ExpectedTransfer
    ) {
        if case .operation(let operation) = MediaOperation.decode(block, unit.geometry) {
            check(.media(operation), block)
        }
        var execution = unit.begin(block, from: nexus, expecting: expecting)
        check(execution, block)
        if case .needsParameterList(let length, let continuation) = execution {
            execution = unit.finish(continuation, parameterList: Array(list.prefix(length)), from: nexus)
            check(execution, block)
            if case .needsParameterList = execution { fatalError("broken: finish asks for more") }
        }
        carryOut(execution, from: nexus)
        hold(unit.reservations.isConsistent, "reservations contradict themselves: \(unit.reservations)")
    }

    /// What the server does, without a medium.
    mutating func carryOut(_ execution: Execution, from nexus: NexusHandle) {
        switch execution {
        case .persistentReserveOut(let request):
            if case .change(let change) = unit.reservationOutcome(of: request, from: nexus) {
                hold(change.state.isConsistent, "\(request.name) made \(change.state)")
                _ = unit.commit(change)
            }
        case .setTargetPortGroups(let changes):
            var access: [UInt16: TargetPortGroupAccess] = [:]
            for group in [UInt16(1), 7] { access[group] = unit.access(ofGroup: group) }
            for change in changes { access[change.group] = TargetPortGroupAccess(change.state, .alteredByInitiator) }
            unit.changeAccess(access, from: nexus)
        case .workOnMedium: unit.mediumWorkEnded(failed: nexus.rawValue == 3)
        case .extendedCopy(let copy): fuzzCopy(copy, from: nexus)
        default: break
        }
    }

    /// Whether segments would be let at the medium: only those inside.
    private mutating func fuzzCopy(_ copy: ExtendedCopy, from nexus: NexusHandle) {
        hold(copy.units.count <= 16 && copy.segments.count <= 64, "more descriptors than are announced")
        for segment in copy.segments {
            hold(max(segment.source, segment.destination) < copy.units.count, "a segment without a unit")
            for (range, writes) in [(segment.from, false), (segment.to, true)] {
                let fault = unit.copyFault(
                    range, writes: writes, initiatorName: "iqn.2026-01.net.example:client0", nexus: nexus)
                let isInside = geometry.contains(first: range.firstBlock, count: range.blockCount)
                hold(fault != nil || isInside && !(writes && geometry.isReadOnly), "a copy outside the unit: \(range)")
            }
        }
        if let identifier = copy.listIdentifier {
            unit.copyProgressed(
                CopyStatus(listIdentifier: identifier, state: .endedWell, segments: 1, kibibytes: 1), for: nexus)
        }
    }

    private func check(_ execution: Execution, _ block: CommandDescriptorBlock) {
        func inside(_ range: BlockRange) {
            hold(geometry.contains(first: range.firstBlock, count: range.blockCount), "\(block) touches \(range)")
        }
        switch execution {
        case .media(let operation):
            inside(operation.range)
            hold(!(operation.isWrite && geometry.isReadOnly), "\(block) writes to what is read-only")
            hold(operation.dataOutLengthBytes(geometry) <= 8 << 20, "\(block): Data-Out without bound")
            hold(operation.dataInLengthBytes(geometry) <= 8 << 20, "\(block): Data-In without bound")
        case .parameterData(let data): hold(data.count <= 0x1_0000, "\(block): \(data.count) bytes of parameter data")
        case .needsParameterList(let length, _): hold((1...65535).contains(length), "\(block) asks for \(length)")
        case .unmap(let ranges):
            hold(!geometry.isReadOnly && ranges.count <= 256, "\(block) unmaps \(ranges.count) ranges")
            hold(ranges.reduce(0) { $0 + $1.blockCount } <= 1 << 20, "\(block) unmaps without bound")
            for range in ranges { inside(range) }
        case .workOnMedium(let work):
            hold(!geometry.isReadOnly, "\(block) works on what is read-only")
            if case .overwrite(let pattern, let count, _) = work.effect {
                hold((1...31).contains(count) && pattern.count <= Int(geometry.blockLengthBytes), "\(block) overwrites")
            }
        case .reportLBAStatus(let first, let length):
            hold(first < geometry.blockCount, "\(block) asks for the status of block \(first)")
            let extent = LBAStatus.Extent(
                range: BlockRange(firstBlock: first, blockCount: geometry.blockCount - first), provisioning: .mapped)
            let data = LBAStatus.parameterData(extents: [extent], allocationLength: length)
            hold(data.count <= Int(length), "more than ALLOCATION LENGTH")
        case .status(let status, let sense):
            hold((status == .checkCondition) == (sense != nil), "\(block): \(status) with sense \(sense != nil)")
            if let sense {
                hold(sense.encode(descriptorFormat: false).count <= Sense.maximumLengthBytes, "long sense")
                hold(sense.encode(descriptorFormat: true).count <= Sense.maximumLengthBytes, "long sense")
            }
        case .persistentReserveOut, .setTargetPortGroups, .extendedCopy: break
        }
    }
}

extension ExpectedTransfer {
    static let none = ExpectedTransfer(dataOutLengthBytes: 0, dataInLengthBytes: 0)
    static let anything = ExpectedTransfer(dataOutLengthBytes: .max, dataInLengthBytes: .max)
}
