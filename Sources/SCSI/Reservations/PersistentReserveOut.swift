/// A PERSISTENT RESERVE OUT (SPC-4 6.16) whose CDB and parameter list passed every check that needs no state.
public struct PersistentReserveOut: Sendable, Equatable {
    enum Action: Equatable {
        case register(ignoringKey: Bool, Registering)
        case reserve(ReservationType)
        case release(UInt8)
        case clear
        /// The type is looked at only where a reservation is made.
        case preempt(UInt8, aborts: Bool)
        case registerAndMove(port: String, relativeTargetPort: UInt16, unregisters: Bool, persists: Bool)
    }

    struct Registering: Equatable {
        /// SPEC_I_PT: who else is to be registered.
        var others: [TransportID]
        /// ALL_TG_PT.
        var allTargetPorts: Bool
        /// APTPL.
        var persists: Bool
    }

    let action: Action
    /// RESERVATION KEY.
    let key: UInt64
    /// SERVICE ACTION RESERVATION KEY.
    let serviceActionKey: UInt64

    /// In words, for the log.
    public var name: String {
        switch action {
        case .register(ignoringKey: false, _): "REGISTER"
        case .register(ignoringKey: true, _): "REGISTER AND IGNORE EXISTING KEY"
        case .reserve: "RESERVE"
        case .release: "RELEASE"
        case .clear: "CLEAR"
        case .preempt(_, aborts: false): "PREEMPT"
        case .preempt(_, aborts: true): "PREEMPT AND ABORT"
        case .registerAndMove: "REGISTER AND MOVE"
        }
    }
}

/// Service actions of PERSISTENT RESERVE OUT (SPC-4 table 214).
enum ReserveOutAction {
    static let register: UInt16 = 0
    static let reserve: UInt16 = 1
    static let release: UInt16 = 2
    static let clear: UInt16 = 3
    static let preempt: UInt16 = 4
    static let preemptAndAbort: UInt16 = 5
    static let registerAndIgnore: UInt16 = 6
    static let registerAndMove: UInt16 = 7
}

extension LogicalUnit {
    /// The longest parameter list that is taken: room for more TransportIDs than may be registered would be room for an
    /// attack.
    static let maximumReserveOutListBytes: UInt32 = 16_384

    /// PERSISTENT RESERVE OUT, the part before its parameter list.
    func beginPersistentReserveOut(_ cdb: CommandDescriptorBlock, expecting expected: ExpectedTransfer) -> Execution {
        let action = cdb.serviceAction
        guard action <= ReserveOutAction.registerAndMove else {
            return .checkCondition(.invalidFieldInCDB(byte: 1, bit: 4))
        }
        let needsType = [
            ReserveOutAction.reserve, ReserveOutAction.release, ReserveOutAction.preempt,
            ReserveOutAction.preemptAndAbort,
        ].contains(action)
        // SCOPE: the unit, nothing else.
        if needsType, cdb.byte(2) >> 4 != 0 { return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 7)) }
        if action == ReserveOutAction.reserve, ReservationType(rawValue: cdb.byte(2) & 0x0F) == nil {
            return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 3))
        }
        let length = cdb.uint32(at: 5)
        guard length >= 24, length <= Self.maximumReserveOutListBytes, expected.dataOutLengthBytes >= length else {
            return .checkCondition(.parameterListLengthError)
        }
        return parameterList(cdb, length: UInt16(length), expecting: expected)
    }

    /// Its parameter list.
    func persistentReserveOut(_ cdb: CommandDescriptorBlock, parameterList list: RawSpan) -> Execution {
        guard list.byteCount >= 24 else { return .checkCondition(.parameterListLengthError) }
        let key = list.bigEndian(UInt64.self, at: 0)
        let serviceActionKey = list.bigEndian(UInt64.self, at: 8)
        let type = cdb.byte(2) & 0x0F
        let action: PersistentReserveOut.Action
        switch cdb.serviceAction {
        case ReserveOutAction.registerAndMove:
            switch moving(list) {
            case .success(let found): action = found
            case .failure(let fault): return .checkCondition(fault.sense)
            }
        case ReserveOutAction.register, ReserveOutAction.registerAndIgnore:
            let ignores = cdb.serviceAction == ReserveOutAction.registerAndIgnore
            switch registering(list, mayNameOthers: !ignores) {
            case .success(let found): action = .register(ignoringKey: ignores, found)
            case .failure(let fault): return .checkCondition(fault.sense)
            }
        default:
            // SPEC_I_PT belongs to REGISTER; without it the list has 24 bytes (SPC-4 6.16.2).
            guard list.byteCount == 24 else { return .checkCondition(.parameterListLengthError) }
            if list.byte(20) & 0x08 != 0 { return .checkCondition(.invalidFieldInParameterList(byte: 20, bit: 3)) }
            switch cdb.serviceAction {
            case ReserveOutAction.reserve:
                guard let type = ReservationType(rawValue: type) else {
                    return .checkCondition(.invalidFieldInCDB(byte: 2, bit: 3))
                }
                action = .reserve(type)
            case ReserveOutAction.release: action = .release(type)
            case ReserveOutAction.clear: action = .clear
            default: action = .preempt(type, aborts: cdb.serviceAction == ReserveOutAction.preemptAndAbort)
            }
        }
        return .persistentReserveOut(
            PersistentReserveOut(action: action, key: key, serviceActionKey: serviceActionKey))
    }

    private struct Fault: Error { var sense: Sense }

    private func registering(
        _ list: RawSpan, mayNameOthers: Bool
    ) -> Result<PersistentReserveOut.Registering, Fault> {
        let flags = list.byte(20)
        let persists = flags & 0x01 != 0
        if persists, !keepsReservations {
            return .failure(Fault(sense: .invalidFieldInParameterList(byte: 20, bit: 0)))
        }
        var others: [TransportID] = []
        if flags & 0x08 != 0 {
            guard mayNameOthers else { return .failure(Fault(sense: .invalidFieldInParameterList(byte: 20, bit: 3))) }
            guard list.byteCount >= 28 else { return .failure(Fault(sense: .parameterListLengthError)) }
            let length = Int(clamping: list.bigEndian(UInt32.self, at: 24))
            guard length == list.byteCount - 28 else { return .failure(Fault(sense: .parameterListLengthError)) }
            var offset = 28
            while offset < list.byteCount {
                guard let (id, lengthBytes) = TransportID.read(list, at: offset) else {
                    return .failure(Fault(sense: .invalidFieldInParameterList(byte: UInt16(offset))))
                }
                others.append(id)
                offset += lengthBytes
            }
        } else if list.byteCount != 24 {
            return .failure(Fault(sense: .parameterListLengthError))
        }
        return .success(
            PersistentReserveOut.Registering(
                others: others, allTargetPorts: flags & 0x04 != 0, persists: persists))
    }

    /// The parameter list of REGISTER AND MOVE (SPC-4 6.16.4).
    private func moving(_ list: RawSpan) -> Result<PersistentReserveOut.Action, Fault> {
        guard list.byteCount >= 48 else { return .failure(Fault(sense: .parameterListLengthError)) }
        let flags = list.byte(17)
        if flags & 0x01 != 0, !keepsReservations {
            return .failure(Fault(sense: .invalidFieldInParameterList(byte: 17, bit: 0)))
        }
        let length = Int(clamping: list.bigEndian(UInt32.self, at: 20))
        guard length == list.byteCount - 24 else { return .failure(Fault(sense: .parameterListLengthError)) }
        let port = list.bigEndian(UInt16.self, at: 18)
        guard identity.ports.contains(where: { $0.relativeIdentifier == port }) else {
            return .failure(Fault(sense: .invalidFieldInParameterList(byte: 18)))
        }
        guard case .initiatorPort(let name)? = TransportID.read(list, at: 24)?.id else {
            return .failure(Fault(sense: .invalidFieldInParameterList(byte: 24)))
        }
        return .success(
            .registerAndMove(
                port: name, relativeTargetPort: port, unregisters: flags & 0x02 != 0, persists: flags & 0x01 != 0))
    }
}
