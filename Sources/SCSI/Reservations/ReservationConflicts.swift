/// What a command is to a reservation of somebody else (SPC-4 table 65, SBC-3 table 13).
private enum Demand {
    /// Allowed whatever is reserved.
    case nothing
    /// Looks at the medium, or at what the holder may want for itself: conflicts with exclusive access.
    case reads
    /// Changes the medium or the unit: conflicts with every reservation.
    case writes
    /// Judged by its own rules.
    case reservation
}

extension CommandDescriptorBlock {
    fileprivate var demand: Demand {
        switch operationCode {
        case .inquiry, .reportLUNs, .requestSense, .testUnitReady, .readCapacity10, .logSense: .nothing
        case .persistentReserveIn, .persistentReserveOut, .reserve6, .reserve10, .release6, .release10: .reservation
        case .read6, .read10, .read12, .read16, .verify10, .verify12, .verify16, .prefetch10, .prefetch16,
            .modeSense6, .modeSense10, .receiveDiagnosticResults, .readDefectData10, .readDefectData12:
            .reads
        case .serviceActionIn16: serviceAction == ServiceAction.readCapacity16 ? .nothing : .reads
        case .maintenanceIn:
            // REPORT TARGET PORT GROUPS is what an initiator finds its way back by.
            serviceAction == ServiceAction.reportTargetPortGroups ? .nothing : .reads
        // START with the power condition that is meant by nothing; STOP is the holder's.
        case .startStopUnit: byte(4) & 0xF1 == 0x01 ? .nothing : .writes
        case .preventAllowMediumRemoval: byte(4) & 0x03 == 0 ? .nothing : .writes
        // Whatever else there is, changes something or might.
        default: .writes
        }
    }
}

extension LogicalUnit {
    /// Whether a command of a nexus conflicts with a reservation (SPC-4 5.13.1): it ends with RESERVATION CONFLICT.
    func hasReservationConflict(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Bool {
        if let legacyHolder { return legacyConflict(cdb, isHolder: legacyHolder == nexus) }
        guard let reservation = reservations.reservation else { return false }
        switch cdb.demand {
        case .nothing, .reservation: return false
        case .reads: return !reservation.type.allowsReading && !isUnrestricted(nexus)
        case .writes: return !isUnrestricted(nexus)
        }
    }

    /// A reservation by RESERVE is the older kind (SPC-2 5.5.1): it leaves others little more than INQUIRY.
    private func legacyConflict(_ cdb: CommandDescriptorBlock, isHolder: Bool) -> Bool {
        switch cdb.operationCode {
        // As long as it stands, the newer kind is refused to everybody (SPC-3 5.6.3).
        case .persistentReserveIn, .persistentReserveOut: return true
        case .inquiry, .reportLUNs, .requestSense, .logSense, .release6, .release10, .readCapacity10: return false
        case .preventAllowMediumRemoval: return !isHolder && cdb.byte(4) & 0x03 != 0
        default: return !isHolder
        }
    }

    /// Whether no reservation keeps the nexus from anything.
    func isUnrestricted(_ nexus: NexusHandle) -> Bool {
        if let legacyHolder { return legacyHolder == nexus }
        guard let reservation = reservations.reservation else { return true }
        guard let information = nexuses[nexus]?.information else { return false }
        if reservation.type.includesRegistrants { return reservations.key(of: information) != nil }
        return reservation.holder == information
    }

    /// Whether anybody is kept from anything.
    var isReserved: Bool { legacyHolder != nil || reservations.reservation != nil }

    // MARK: RESERVE and RELEASE

    /// RESERVE (6), RESERVE (10) (SPC-2 7.21, 7.22): the whole unit, for this nexus, until it releases it or goes.
    mutating func reserve(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        if let fault = legacyFault(cdb) { return .checkCondition(fault) }
        if !reservations.registrations.isEmpty { return besideRegistrations(nexus) }
        if legacyHolder != nexus {
            legacyHolder = nexus
            restrictionVersion &+= 1
        }
        return .good
    }

    /// RELEASE (6), RELEASE (10) (SPC-2 7.17, 7.18). One of somebody who holds nothing does nothing.
    mutating func release(_ cdb: CommandDescriptorBlock, from nexus: NexusHandle) -> Execution {
        if let fault = legacyFault(cdb) { return .checkCondition(fault) }
        if !reservations.registrations.isEmpty { return besideRegistrations(nexus) }
        if legacyHolder == nexus { releaseLegacyReservation() }
        return .good
    }

    mutating func releaseLegacyReservation() {
        legacyHolder = nil
        restrictionVersion &+= 1
    }

    /// Compatible reservation handling (CRH, SPC-4 5.13.3): beside registrations both are answered and do nothing, to
    /// those who have what they ask for.
    private func besideRegistrations(_ nexus: NexusHandle) -> Execution {
        guard let information = nexuses[nexus]?.information else { return .status(.reservationConflict, nil) }
        let isRegistered = reservations.key(of: information) != nil
        let holds = reservations.isHolder(information)
        let shares = isRegistered && (reservations.reservation?.type.includesRegistrants ?? false)
        return holds || shares ? .good : .status(.reservationConflict, nil)
    }

    /// Extents and third parties are obsolete; the 10-byte commands can name a third party, the 6-byte ones too.
    private func legacyFault(_ cdb: CommandDescriptorBlock) -> Sense? {
        if cdb.byte(1) & 0x1F != 0 { return .invalidFieldInCDB(byte: 1, bit: 4) }
        return nil
    }
}
