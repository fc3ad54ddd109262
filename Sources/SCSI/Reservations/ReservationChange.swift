/// What a PERSISTENT RESERVE OUT does, before it is done: the server puts `state` on stable storage, gives the change to
/// `LogicalUnit.commit`, ends the tasks of `victims`, and then answers GOOD.
public struct ReservationChange: Sendable, Equatable {
    /// What holds afterwards.
    public let state: ReservationState
    /// Nexuses whose tasks end before the answer (PREEMPT AND ABORT). None of their writes may come after it.
    public internal(set) var victims: Set<NexusInformation>
    /// Who is told what.
    let attentions: [Attention]

    struct Attention: Equatable {
        var nexus: NexusInformation
        var attention: UnitAttention
    }
}

/// What comes of a PERSISTENT RESERVE OUT.
public enum ReservationOutcome: Sendable, Equatable {
    /// Answer this; nothing changes.
    case status(SCSIStatus, Sense?)
    /// Change the state.
    case change(ReservationChange)

    static let good = Self.status(.good, nil)
    static let conflict = Self.status(.reservationConflict, nil)
    static func checkCondition(_ sense: Sense) -> Self { .status(.checkCondition, sense) }
}

/// Works out a change against a copy of the state.
struct ReservationEditor {
    private let old: ReservationState
    private var state: ReservationState
    private var attentions: [ReservationChange.Attention] = []
    private var victims: Set<NexusInformation> = []
    let nexus: NexusInformation
    /// Every port of the unit, for ALL_TG_PT.
    let ports: [UInt16]
    /// Initiator ports that are logged in, for TransportIDs that name an initiator as a whole.
    let knownPorts: Set<String>

    init(_ state: ReservationState, nexus: NexusInformation, ports: [UInt16], knownPorts: Set<String>) {
        old = state
        self.state = state
        self.nexus = nexus
        self.ports = ports
        self.knownPorts = knownPorts
    }

    private var ownKey: UInt64? { old.key(of: nexus) }

    mutating func outcome(of request: PersistentReserveOut) -> ReservationOutcome {
        switch request.action {
        case .register(let ignoringKey, let registering):
            return register(request, ignoringKey: ignoringKey, registering)
        case .reserve, .release, .clear, .preempt, .registerAndMove:
            // Every other action needs a registration, and its key (SPC-4 5.13.8 and following).
            guard let ownKey, ownKey == request.key else { return .conflict }
        }
        switch request.action {
        case .register: return .good
        case .reserve(let type): return reserve(type)
        case .release(let type): return release(type)
        case .clear: return clear()
        case .preempt(let type, let aborts): return preempt(request, type, aborts: aborts)
        case .registerAndMove(let port, let target, let unregisters, let persists):
            let destination = NexusInformation(initiatorPortName: port, relativeTargetPort: target)
            return move(request, to: destination, unregisters: unregisters, persists: persists)
        }
    }

    // MARK: Registrations

    private mutating func register(
        _ request: PersistentReserveOut, ignoringKey: Bool, _ registering: PersistentReserveOut.Registering
    ) -> ReservationOutcome {
        if let ownKey {
            if !ignoringKey, ownKey != request.key { return .conflict }
            // A nexus that is registered registers no others (SPC-4 table 211).
            if !registering.others.isEmpty { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4)) }
        } else {
            if !ignoringKey, request.key != 0 { return .conflict }
            if request.serviceActionKey == 0 { return .good }
        }
        state.persistsThroughPowerLoss = registering.persists
        var named = [nexus.initiatorPortName]
        for other in registering.others {
            switch other {
            case .initiatorPort(let port): named.append(port)
            case .initiator(let name):
                named += knownPorts.filter { TransportID.initiatorName(ofPort: $0) == name }.sorted()
            }
        }
        let through = registering.allTargetPorts ? ports : [nexus.relativeTargetPort]
        for port in named {
            for target in through {
                let each = NexusInformation(initiatorPortName: port, relativeTargetPort: target)
                if request.serviceActionKey == 0 {
                    unregister(each)
                } else if each == nexus || registering.allTargetPorts && port == nexus.initiatorPortName
                    || state.key(of: each) == nil
                {
                    // One that is registered already keeps its key: only its own initiator changes it.
                    set(request.serviceActionKey, of: each)
                }
            }
        }
        guard state.registrations.count <= ReservationState.maximumRegistrations else {
            return .checkCondition(.insufficientRegistrationResources)
        }
        return changed(counts: true)
    }

    private mutating func set(_ key: UInt64, of nexus: NexusInformation) {
        if let index = state.registrations.firstIndex(where: { $0.nexus == nexus }) {
            state.registrations[index].key = key
        } else {
            state.registrations.append(Registration(nexus: nexus, key: key))
        }
    }

    /// SPC-4 5.13.11.2.3: the holder's reservation goes with its registration; one that all hold goes with the last.
    private mutating func unregister(_ each: NexusInformation) {
        guard state.key(of: each) != nil else { return }
        state.registrations.removeAll { $0.nexus == each }
        guard let reservation = state.reservation else { return }
        if reservation.type.isHeldByAll {
            if state.registrations.isEmpty { state.reservation = nil }
        } else if reservation.holder == each {
            state.reservation = nil
            if reservation.type.includesRegistrants { tellRegistrants(.reservationsReleased) }
        }
    }

    // MARK: The reservation

    private mutating func reserve(_ type: ReservationType) -> ReservationOutcome {
        if let reservation = old.reservation {
            return old.isHolder(nexus) && reservation.type == type ? .good : .conflict
        }
        state.reservation = PersistentReservation(type: type, holder: type.isHeldByAll ? nil : nexus)
        return changed(counts: false)
    }

    private mutating func release(_ type: UInt8) -> ReservationOutcome {
        guard let reservation = old.reservation, old.isHolder(nexus) else { return .good }
        guard reservation.type.rawValue == type else {
            return .checkCondition(.invalidReleaseOfPersistentReservation)
        }
        state.reservation = nil
        if type != ReservationType.writeExclusive.rawValue, type != ReservationType.exclusiveAccess.rawValue {
            tellRegistrants(.reservationsReleased)
        }
        return changed(counts: false)
    }

    private mutating func clear() -> ReservationOutcome {
        tellRegistrants(.reservationsPreempted)
        state.reservation = nil
        state.registrations = []
        return changed(counts: true)
    }

    private mutating func move(
        _ request: PersistentReserveOut, to destination: NexusInformation, unregisters: Bool, persists: Bool
    ) -> ReservationOutcome {
        guard let reservation = old.reservation else { return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4)) }
        if reservation.type.isHeldByAll || reservation.holder != nexus { return .conflict }
        if request.serviceActionKey == 0 { return .checkCondition(.invalidFieldInParameterList(byte: 8)) }
        if destination == nexus { return .checkCondition(.invalidFieldInParameterList(byte: 24)) }
        set(request.serviceActionKey, of: destination)
        if unregisters { state.registrations.removeAll { $0.nexus == nexus } }
        state.reservation?.holder = destination
        state.persistsThroughPowerLoss = persists
        guard state.registrations.count <= ReservationState.maximumRegistrations else {
            return .checkCondition(.insufficientRegistrationResources)
        }
        return changed(counts: true)
    }

    // MARK: PREEMPT

    private mutating func preempt(_ request: PersistentReserveOut, _ type: UInt8, aborts: Bool) -> ReservationOutcome {
        let wanted = request.serviceActionKey
        let removed: [NexusInformation]
        let takesOver: Bool
        if let reservation = old.reservation, reservation.type.isHeldByAll {
            takesOver = wanted == 0
            removed = old.registrations.filter { wanted == 0 ? $0.nexus != nexus : $0.key == wanted }.map(\.nexus)
        } else {
            if wanted == 0 { return .checkCondition(.invalidFieldInParameterList(byte: 8)) }
            takesOver = old.reservation?.holder.flatMap { old.key(of: $0) } == wanted
            removed = old.registrations
                .filter { $0.key == wanted && !(takesOver && $0.nexus == nexus) }.map(\.nexus)
        }
        if removed.isEmpty, !takesOver { return .conflict }
        var replacement: PersistentReservation?
        if takesOver {
            guard let type = ReservationType(rawValue: type) else {
                return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 3))
            }
            replacement = PersistentReservation(type: type, holder: type.isHeldByAll ? nil : nexus)
        }
        for each in removed {
            state.registrations.removeAll { $0.nexus == each }
            if each != nexus { tell(each, .registrationsPreempted) }
        }
        // Where all registrants hold it, one may preempt itself: nobody else has cleared its commands.
        if aborts { victims = Set(removed.filter { $0 != nexus }) }
        if let replacement {
            // Registrants that stay learn that the type has changed, whatever it was (SPC-4 5.13.11.2.4.3 f).
            if let former = old.reservation, former.type != replacement.type {
                tellRegistrants(.reservationsReleased)
            }
            state.reservation = replacement
        } else if let reservation = state.reservation, reservation.type.isHeldByAll, state.registrations.isEmpty {
            state.reservation = nil
        }
        return changed(counts: true)
    }

    // MARK: Ends

    private mutating func tell(_ nexus: NexusInformation, _ attention: UnitAttention) {
        attentions.append(ReservationChange.Attention(nexus: nexus, attention: attention))
    }

    private mutating func tellRegistrants(_ attention: UnitAttention) {
        for registration in state.registrations where registration.nexus != nexus {
            tell(registration.nexus, attention)
        }
    }

    private mutating func changed(counts: Bool) -> ReservationOutcome {
        if counts { state.generation &+= 1 }
        if state == old { return .good }
        return .change(ReservationChange(state: state, victims: victims, attentions: attentions))
    }
}

extension LogicalUnit {
    /// What a PERSISTENT RESERVE OUT would do to the state as it is now. The server asks for one change of a unit at a time.
    public func reservationOutcome(of request: PersistentReserveOut, from handle: NexusHandle) -> ReservationOutcome {
        guard let nexus = nexuses[handle]?.information else { return .conflict }
        if legacyHolder != nil { return .conflict }
        var editor = ReservationEditor(
            reservations, nexus: nexus, ports: identity.ports.map(\.relativeIdentifier),
            knownPorts: Set(nexuses.values.map(\.information.initiatorPortName)))
        return editor.outcome(of: request)
    }

    /// Does what `reservationOutcome` said, once it is on stable storage.
    ///
    /// - Returns: The nexuses whose tasks the server has to end before it answers.
    public mutating func commit(_ change: ReservationChange) -> Set<NexusHandle> {
        reservations = change.state
        restrictionVersion &+= 1
        for each in change.attentions {
            for (handle, nexus) in nexuses where nexus.information == each.nexus { raise(each.attention, for: handle) }
        }
        let victims = nexuses.filter { change.victims.contains($0.value.information) }
        for handle in victims.keys { raise(.commandsClearedByAnotherInitiator, for: handle) }
        return Set(victims.keys)
    }

    /// The state from stable storage, before the first command.
    public mutating func restore(_ state: ReservationState) {
        reservations = state
        restrictionVersion &+= 1
    }
}
