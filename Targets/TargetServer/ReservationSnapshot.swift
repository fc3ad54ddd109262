import SCSI

extension ReservationSnapshot {
    /// What `status` says of a state.
    init(_ state: ReservationState) {
        generation = state.generation
        type = state.reservation?.type.words
        holder = state.reservation?.holder?.initiatorPortName
        registrations = state.registrations.map { registration in
            let digits = String(registration.key, radix: 16)
            return RegistrationSnapshot(
                initiatorPort: registration.nexus.initiatorPortName,
                targetPort: registration.nexus.relativeTargetPort,
                key: "0x" + String(repeating: "0", count: 16 - digits.count) + digits)
        }
    }
}

extension ReservationType {
    fileprivate var words: String {
        switch self {
        case .writeExclusive: "write exclusive"
        case .exclusiveAccess: "exclusive access"
        case .writeExclusiveRegistrantsOnly: "write exclusive, registrants only"
        case .exclusiveAccessRegistrantsOnly: "exclusive access, registrants only"
        case .writeExclusiveAllRegistrants: "write exclusive, all registrants"
        case .exclusiveAccessAllRegistrants: "exclusive access, all registrants"
        }
    }
}
