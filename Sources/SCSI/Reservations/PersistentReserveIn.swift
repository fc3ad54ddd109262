/// PERSISTENT RESERVE IN (SPC-4 6.15).
extension LogicalUnit {
    private enum Action {
        static let readKeys: UInt16 = 0
        static let readReservation: UInt16 = 1
        static let reportCapabilities: UInt16 = 2
        static let readFullStatus: UInt16 = 3
    }

    func persistentReserveIn(_ cdb: CommandDescriptorBlock) -> Execution {
        let bytes: [UInt8]
        switch cdb.serviceAction {
        case Action.readKeys: bytes = keys
        case Action.readReservation: bytes = currentReservation
        case Action.reportCapabilities: bytes = capabilities
        case Action.readFullStatus: bytes = fullStatus
        default: return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4))
        }
        return .parameterData(bytes.cut(to: Int(cdb.uint16(at: 7))))
    }

    private func withHeader(_ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: reservations.generation)
        bytes.append(bigEndian: UInt32(content.count))
        return bytes + content
    }

    private var keys: [UInt8] {
        var content: [UInt8] = []
        for registration in reservations.registrations { content.append(bigEndian: registration.key) }
        return withHeader(content)
    }

    private var currentReservation: [UInt8] {
        guard let reservation = reservations.reservation else { return withHeader([]) }
        var content: [UInt8] = []
        // Where all registrants hold it there is no one key (SPC-4 6.15.3.3).
        content.append(bigEndian: reservation.holder.flatMap { reservations.key(of: $0) } ?? 0)
        content.append(contentsOf: [0, 0, 0, 0, 0, reservation.type.rawValue, 0, 0])
        return withHeader(content)
    }

    /// REPORT CAPABILITIES (SPC-4 6.15.4): CRH, SIP_C, ATP_C, PTPL_C; TMV with all six types; PTPL_A.
    private var capabilities: [UInt8] {
        [
            0x00, 0x08, 0x1C | (keepsReservations ? 0x01 : 0x00),
            0x80 | (reservations.persistsThroughPowerLoss ? 0x01 : 0x00), 0xEA, 0x01, 0x00, 0x00,
        ]
    }

    /// READ FULL STATUS (SPC-4 6.15.5): a descriptor for each registered nexus.
    private var fullStatus: [UInt8] {
        var content: [UInt8] = []
        for registration in reservations.registrations {
            let isHolder = reservations.isHolder(registration.nexus)
            content.append(bigEndian: registration.key)
            content.append(contentsOf: [0, 0, 0, 0, isHolder ? 0x01 : 0x00])
            content.append(isHolder ? reservations.reservation?.type.rawValue ?? 0 : 0)
            content.append(contentsOf: [0, 0, 0, 0])
            content.append(bigEndian: registration.nexus.relativeTargetPort)
            let transport = TransportID.bytes(initiatorPort: registration.nexus.initiatorPortName)
            content.append(bigEndian: UInt32(transport.count))
            content += transport
        }
        return withHeader(content)
    }
}
