import SCSI
import Testing

/// Two initiators, the first with two paths, and what they do to one unit.
struct ReservationBench {
    var unit = LogicalUnit(identity: Fixture.identity, geometry: Fixture.geometry)
    /// client0 through port 1, client1 through port 2Ah, client0 through port 2Ah.
    static let a = NexusHandle(rawValue: 1)
    static let b = NexusHandle(rawValue: 2)
    static let a2 = NexusHandle(rawValue: 3)
    var victims: Set<NexusHandle> = []

    init() {
        unit.keepsReservations = true
        unit.nexusEstablished(Self.a, Fixture.information("client0"))
        unit.nexusEstablished(Self.b, Fixture.information("client1", port: 0x2A))
        unit.nexusEstablished(Self.a2, Fixture.information("client0", port: 0x2A))
        settle()
    }

    mutating func settle() {
        for nexus in [Self.a, Self.b, Self.a2] {
            while case .status(.checkCondition, _) = unit.begin(
                cdb("00 00 00 00 00 00"), from: nexus, expecting: Fixture.anything)
            {}
        }
    }

    /// The 24 bytes that every service action but REGISTER AND MOVE takes.
    static func list(key: UInt64, action: UInt64 = 0, flags: UInt8 = 0, more: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: key >> shift)) }
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: action >> shift)) }
        return bytes + [0, 0, 0, 0, flags, 0, 0, 0] + more
    }

    /// PERSISTENT RESERVE OUT to its end; nil stands for GOOD.
    @discardableResult
    mutating func out(
        _ action: UInt8, type: UInt8 = 0, from nexus: NexusHandle, _ list: [UInt8]
    ) -> SCSIStatus? {
        result(action, type: type, from: nexus, list).status
    }

    mutating func result(
        _ action: UInt8, type: UInt8 = 0, from nexus: NexusHandle, _ list: [UInt8]
    ) -> (status: SCSIStatus?, sense: Sense?) {
        let length = UInt8(truncatingIfNeeded: list.count)
        let block = CommandDescriptorBlock([
            0x5F, action, type, 0, 0, 0, 0, UInt8(list.count >> 8), length, 0,
        ])
        let begun = unit.begin(block, from: nexus, expecting: Fixture.anything)
        guard case .needsParameterList(_, let continuation) = begun else { return Self.parts(begun) }
        let finished = unit.finish(continuation, parameterList: list, from: nexus)
        guard case .persistentReserveOut(let request) = finished else { return Self.parts(finished) }
        switch unit.reservationOutcome(of: request, from: nexus) {
        case .status(let status, let sense): return (status == .good ? nil : status, sense)
        case .change(let change):
            #expect(change.state.isConsistent)
            victims = unit.commit(change)
            return (nil, nil)
        }
    }

    static func parts(_ execution: Execution) -> (status: SCSIStatus?, sense: Sense?) {
        if case .status(let status, let sense) = execution { return (status == .good ? nil : status, sense) }
        return (nil, nil)
    }

    mutating func register(_ nexus: NexusHandle, _ key: UInt64, flags: UInt8 = 0) {
        #expect(out(0, from: nexus, Self.list(key: 0, action: key, flags: flags)) == nil)
    }

    /// Status of a command without data; nil is GOOD or something to be carried out.
    mutating func status(_ text: String, from nexus: NexusHandle) -> SCSIStatus? {
        Self.parts(unit.begin(cdb(text), from: nexus, expecting: Fixture.anything)).status
    }

    mutating func inData(_ action: UInt8) -> [UInt8] {
        let block = CommandDescriptorBlock([0x5E, action, 0, 0, 0, 0, 0, 0x10, 0x00, 0])
        guard case .parameterData(let data) = unit.begin(block, from: Self.a, expecting: Fixture.anything) else {
            return []
        }
        return data
    }
}

@Suite struct ReservationTests {
    typealias Bench = ReservationBench
    static let read = "28 00 00 00 00 00 00 00 01 00"
    static let write = "2A 00 00 00 00 00 00 00 01 00"

    @Test func registeringTakesTheRightKey() {
        var bench = Bench()
        // Not registered: any key but 0 conflicts; a new key of 0 asks for nothing.
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 5, action: 7)) == .reservationConflict)
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 0, action: 0)) == nil)
        #expect(bench.unit.reservations.generation == 0)
        bench.register(Bench.a, 0xA)
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 0xB, action: 0xC)) == .reservationConflict)
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 0xA, action: 0xC)) == nil)
        // REGISTER AND IGNORE EXISTING KEY.
        #expect(bench.out(6, from: Bench.a, Bench.list(key: 0xFF, action: 0xD)) == nil)
        #expect(
            bench.inData(0) == bytes("00000003 00000008 000000000000000D  // three changes, one key"))
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 0xD, action: 0)) == nil)
        #expect(bench.inData(0) == bytes("00000004 00000000"))
    }

    @Test func everyActionNeedsARegistration() {
        for action in [1, 2, 3, 4, 5] as [UInt8] {
            var bench = Bench()
            bench.register(Bench.b, 0xB)
            #expect(bench.out(action, type: 1, from: Bench.a, Bench.list(key: 0, action: 0xB)) == .reservationConflict)
            #expect(
                bench.out(action, type: 1, from: Bench.b, Bench.list(key: 0xC, action: 0xB)) == .reservationConflict)
        }
    }

    @Test func listsAndFieldsThatAreWrong() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        let list = Bench.list(key: 0xA)
        #expect(bench.result(1, type: 1, from: Bench.a, list + [0]).sense == .parameterListLengthError)
        #expect(bench.result(1, type: 1, from: Bench.a, Array(list.dropLast())).sense == .parameterListLengthError)
        #expect(bench.result(1, type: 2, from: Bench.a, list).sense == .invalidFieldInCDB(byte: 2, bit: 3))
        #expect(bench.result(1, type: 0x11, from: Bench.a, list).sense == .invalidFieldInCDB(byte: 2, bit: 7))
        #expect(bench.result(8, from: Bench.a, list).sense == .invalidFieldInCDB(byte: 1, bit: 4))
        #expect(
            bench.result(6, from: Bench.a, Bench.list(key: 0, action: 1, flags: 8)).sense
                == .invalidFieldInParameterList(byte: 20, bit: 3))
        for action in 4..<32 as Range<UInt8> {
            let block = CommandDescriptorBlock([0x5E, action, 0, 0, 0, 0, 0, 0, 0xFF, 0])
            #expect(
                Bench.parts(bench.unit.begin(block, from: Bench.a, expecting: Fixture.anything)).sense
                    == .invalidFieldInCDB(byte: 1, bit: 4))
        }
        bench.unit.keepsReservations = false
        #expect(
            bench.result(6, from: Bench.a, Bench.list(key: 0, action: 1, flags: 1)).sense
                == .invalidFieldInParameterList(byte: 20, bit: 0))
        #expect(bench.inData(2) == bytes("0008 1C 80 EA01 0000"))
        bench.unit.keepsReservations = true
        #expect(bench.out(6, from: Bench.a, Bench.list(key: 0, action: 1, flags: 1)) == nil)
        #expect(bench.inData(2) == bytes("0008 1D 81 EA01 0000  // CRH SIP_C ATP_C PTPL_C; TMV PTPL_A; all six types"))
    }

    /// Type, whether others may read, whether registrants may do everything, whether all hold it.
    static let types: [(UInt8, Bool, Bool, Bool)] = [
        (1, true, false, false), (3, false, false, false), (5, true, true, false), (6, false, true, false),
        (7, true, true, true), (8, false, true, true),
    ]

    @Test(arguments: types) func whoMayDoWhat(_ type: UInt8, reads: Bool, shares: Bool, all: Bool) {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        #expect(bench.out(1, type: type, from: Bench.a, Bench.list(key: 0xA)) == nil)
        // The holder; a registrant; another port of the holder's initiator, which is a nexus of its own.
        #expect(bench.status(Self.read, from: Bench.a) == nil)
        #expect(bench.status(Self.write, from: Bench.a) == nil)
        #expect(bench.status(Self.read, from: Bench.b) == (reads || shares ? nil : .reservationConflict))
        #expect(bench.status(Self.write, from: Bench.b) == (shares ? nil : .reservationConflict))
        #expect(bench.status(Self.read, from: Bench.a2) == (reads ? nil : .reservationConflict))
        #expect(bench.status(Self.write, from: Bench.a2) == .reservationConflict)
        #expect(bench.unit.isRestricted(Bench.a) == false)
        #expect(bench.unit.isRestricted(Bench.b) == !shares)
        #expect(bench.unit.isRestricted(Bench.a2))
        #expect(bench.unit.flags.contains(.restrictsAccess))
        // The same once more is no change; another type, or another nexus, conflicts.
        #expect(bench.out(1, type: type, from: Bench.a, Bench.list(key: 0xA)) == nil)
        #expect(bench.out(1, type: type == 1 ? 3 : 1, from: Bench.a, Bench.list(key: 0xA)) == .reservationConflict)
        #expect(bench.out(1, type: type, from: Bench.b, Bench.list(key: 0xB)) == (all ? nil : .reservationConflict))
        var expected = bytes("00000002 00000010")
        expected += all ? zeros(8) : bytes("00 00 00 00 00 00 00 0A")
        #expect(bench.inData(1) == expected + [0, 0, 0, 0, 0, type, 0, 0])
        // Another type released is an error, and only of the holder.
        #expect(
            bench.result(2, type: type == 1 ? 3 : 1, from: Bench.a, Bench.list(key: 0xA)).sense
                == .invalidReleaseOfPersistentReservation)
        if !all { #expect(bench.out(2, type: type, from: Bench.b, Bench.list(key: 0xB)) == nil) }
        #expect(bench.unit.reservations.reservation != nil)
        #expect(bench.out(2, type: type, from: Bench.a, Bench.list(key: 0xA)) == nil)
        #expect(bench.unit.reservations.reservation == nil)
        #expect(bench.unit.attention(for: Bench.b) == (shares ? .reservationsReleased : nil))
        #expect(bench.unit.attention(for: Bench.a) == nil)
        #expect(!bench.unit.flags.contains(.restrictsAccess))
    }

    @Test func theConflictTable() {
        // SPC-4 table 65 and SBC-3 table 13: command, conflict with write exclusive, with exclusive access.
        let table: [(String, Bool, Bool)] = [
            ("00 00 00 00 00 00", false, false),  // TEST UNIT READY
            ("03 00 00 00 12 00", false, false),  // REQUEST SENSE
            ("12 00 00 00 24 00", false, false),  // INQUIRY
            ("25 00 00 00 00 00 00 00 00 00", false, false),  // READ CAPACITY (10)
            ("9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", false, false),  // READ CAPACITY (16)
            ("A0 00 00 00 00 00 00 00 00 10 00 00", false, false),  // REPORT LUNS
            ("A3 0A 00 00 00 00 00 00 00 FF 00 00", false, false),  // REPORT TARGET PORT GROUPS
            ("5E 00 00 00 00 00 00 00 FF 00", false, false),  // PERSISTENT RESERVE IN
            ("1B 00 00 00 01 00", false, false),  // START STOP UNIT, START
            ("28 00 00 00 00 00 00 00 01 00", false, true),  // READ (10)
            ("2F 00 00 00 00 00 00 00 01 00", false, true),  // VERIFY (10)
            ("34 00 00 00 00 00 00 00 01 00", false, true),  // PRE-FETCH (10)
            ("1A 00 3F 00 FF 00", false, true),  // MODE SENSE (6)
            ("5A 00 3F 00 00 00 00 00 FF 00", false, true),  // MODE SENSE (10)
            ("9E 12 00 00 00 00 00 00 00 00 00 00 00 20 00 00", false, true),  // GET LBA STATUS
            ("A3 0C 00 00 00 00 00 00 00 FF 00 00", false, true),  // REPORT SUPPORTED OPERATION CODES
            ("0A 00 00 00 01 00", true, true),  // WRITE (6)
            ("2A 00 00 00 00 00 00 00 01 00", true, true),  // WRITE (10)
            ("2E 00 00 00 00 00 00 00 01 00", true, true),  // WRITE AND VERIFY (10)
            ("35 00 00 00 00 00 00 00 00 00", true, true),  // SYNCHRONIZE CACHE (10)
            ("41 00 00 00 00 00 00 00 01 00", true, true),  // WRITE SAME (10)
            ("42 00 00 00 00 00 00 00 18 00", true, true),  // UNMAP
            ("15 10 00 00 18 00", true, true),  // MODE SELECT (6)
            ("1B 00 00 00 00 00", true, true),  // START STOP UNIT, STOP
            ("1D 04 00 00 00 00", true, true),  // SEND DIAGNOSTIC
            ("A4 0A 00 00 00 00 00 00 00 08 00 00", true, true),  // SET TARGET PORT GROUPS
            ("89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", true, true),  // COMPARE AND WRITE
            ("83 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00", true, true),  // EXTENDED COPY
            ("48 02 00 00 00 00 00 00 00 00", true, true),  // SANITIZE
            ("04 00 00 00 00 00", true, true),  // FORMAT UNIT
        ]
        for (text, writeExclusive, exclusiveAccess) in table {
            for (type, conflicts) in [(1 as UInt8, writeExclusive), (3, exclusiveAccess)] {
                var bench = Bench()
                bench.register(Bench.a, 0xA)
                bench.out(1, type: type, from: Bench.a, Bench.list(key: 0xA))
                let status = bench.status(text, from: Bench.b)
                #expect(
                    (status == .reservationConflict) == conflicts,
                    "\(text), type \(type): \(String(describing: status))")
                #expect(bench.status(text, from: Bench.a) != .reservationConflict, "\(text) of the holder")
            }
        }
    }

    @Test func aRegistrationThatGoesTakesItsReservation() {
        for (type, tells) in [(1 as UInt8, false), (3, false), (5, true), (6, true)] {
            var bench = Bench()
            bench.register(Bench.a, 0xA)
            bench.register(Bench.b, 0xB)
            bench.out(1, type: type, from: Bench.a, Bench.list(key: 0xA))
            #expect(bench.out(0, from: Bench.a, Bench.list(key: 0xA, action: 0)) == nil)
            #expect(bench.unit.reservations.reservation == nil)
            #expect(bench.unit.attention(for: Bench.b) == (tells ? .reservationsReleased : nil), "type \(type)")
        }
        for type in [7, 8] as [UInt8] {
            var bench = Bench()
            bench.register(Bench.a, 0xA)
            bench.register(Bench.b, 0xB)
            bench.out(1, type: type, from: Bench.a, Bench.list(key: 0xA))
            bench.out(0, from: Bench.a, Bench.list(key: 0xA, action: 0))
            #expect(bench.unit.reservations.reservation != nil, "the other registrant holds it still")
            bench.out(0, from: Bench.b, Bench.list(key: 0xB, action: 0))
            #expect(bench.unit.reservations.reservation == nil)
        }
    }

    @Test func clearing() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        bench.out(1, type: 5, from: Bench.a, Bench.list(key: 0xA))
        #expect(bench.out(3, from: Bench.b, Bench.list(key: 0xB)) == nil)
        #expect(bench.unit.reservations.registrations.isEmpty)
        #expect(bench.unit.reservations.reservation == nil)
        #expect(bench.unit.attention(for: Bench.a) == .reservationsPreempted)
        #expect(bench.unit.attention(for: Bench.b) == nil)
        #expect(bench.unit.reservations.generation == 3)
    }

    @Test func preemptingTheHolder() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        bench.register(Bench.a2, 0xA)
        bench.out(1, type: 5, from: Bench.a, Bench.list(key: 0xA))
        #expect(bench.out(4, type: 6, from: Bench.b, Bench.list(key: 0xB, action: 0xA)) == nil)
        #expect(
            bench.unit.reservations.registrations == [
                Registration(nexus: Fixture.information("client1", port: 0x2A), key: 0xB)
            ])
        #expect(bench.unit.reservations.reservation?.type == .exclusiveAccessRegistrantsOnly)
        #expect(bench.unit.reservations.isHolder(Fixture.information("client1", port: 0x2A)))
        #expect(bench.unit.attention(for: Bench.a) == .registrationsPreempted)
        #expect(bench.unit.attention(for: Bench.a2) == .registrationsPreempted)
        #expect(bench.victims.isEmpty, "PREEMPT aborts nothing")
        bench.settle()
        #expect(bench.status(Self.write, from: Bench.a) == .reservationConflict)
    }

    @Test func preemptingAndAborting() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        bench.register(Bench.a2, 0xA)
        bench.out(1, type: 5, from: Bench.a, Bench.list(key: 0xA))
        #expect(bench.out(5, type: 5, from: Bench.b, Bench.list(key: 0xB, action: 0xA)) == nil)
        #expect(bench.victims == [Bench.a, Bench.a2])
        #expect(bench.unit.attention(for: Bench.a) == .commandsClearedByAnotherInitiator)
    }

    /// Found by simulation: whoever preempted itself was told that another initiator had cleared its commands.
    @Test func preemptingOneself() {
        for action in [4, 5] as [UInt8] {
            var bench = Bench()
            bench.register(Bench.a, 0xA)
            bench.register(Bench.b, 0xA)
            bench.out(1, type: 7, from: Bench.a, Bench.list(key: 0xA))
            #expect(bench.out(action, type: 7, from: Bench.a, Bench.list(key: 0xA, action: 0xA)) == nil)
            #expect(bench.unit.reservations.registrations.isEmpty && bench.unit.reservations.reservation == nil)
            #expect(bench.unit.attention(for: Bench.a) == nil)
            #expect(bench.victims == (action == 5 ? [Bench.b] : []))
        }
    }

    @Test func preemptingOthers() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        bench.out(1, type: 5, from: Bench.a, Bench.list(key: 0xA))
        // A key that nobody has; a key of 0 where not all hold it.
        #expect(bench.out(4, type: 5, from: Bench.a, Bench.list(key: 0xA, action: 0xC)) == .reservationConflict)
        #expect(
            bench.result(4, type: 5, from: Bench.a, Bench.list(key: 0xA, action: 0)).sense
                == .invalidFieldInParameterList(byte: 8))
        #expect(bench.out(4, type: 1, from: Bench.a, Bench.list(key: 0xA, action: 0xB)) == nil)
        // The reservation is what it was: only registrations went.
        #expect(bench.unit.reservations.reservation?.type == .writeExclusiveRegistrantsOnly)
        #expect(bench.unit.attention(for: Bench.b) == .registrationsPreempted)
    }

    /// Found by writing the simulation's model from the standard: it was told for some types only.
    @Test func aChangeOfTypeIsToldToThoseWhoStay() {
        for (before, after) in [(1, 3), (3, 1), (1, 6), (5, 1), (7, 3), (1, 1), (5, 5)] as [(UInt8, UInt8)] {
            var bench = Bench()
            bench.register(Bench.a, 0xA)
            bench.register(Bench.b, 0xB)
            bench.register(Bench.a2, 0xC)
            bench.out(1, type: before, from: Bench.a, Bench.list(key: 0xA))
            // Where all hold it, a key of 0 takes everybody else's place.
            let wanted: UInt64 = before == 7 ? 0 : 0xA
            #expect(bench.out(4, type: after, from: Bench.b, Bench.list(key: 0xB, action: wanted)) == nil)
            #expect(bench.unit.attention(for: Bench.a) == .registrationsPreempted)
            let told: UnitAttention? =
                before == 7 ? .registrationsPreempted : before == after ? nil : .reservationsReleased
            #expect(bench.unit.attention(for: Bench.a2) == told, "type \(before), then \(after)")
            #expect(bench.unit.attention(for: Bench.b) == nil)
        }
    }

    @Test func preemptingAllRegistrants() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.register(Bench.b, 0xB)
        bench.register(Bench.a2, 0xC)
        bench.out(1, type: 7, from: Bench.a, Bench.list(key: 0xA))
        #expect(bench.out(4, type: 3, from: Bench.b, Bench.list(key: 0xB, action: 0xC)) == nil)
        #expect(bench.unit.reservations.reservation?.type == .writeExclusiveAllRegistrants)
        #expect(bench.out(4, type: 3, from: Bench.b, Bench.list(key: 0xB, action: 0)) == nil)
        #expect(bench.unit.reservations.reservation?.type == .exclusiveAccess)
        #expect(bench.unit.reservations.registrations.map(\.key) == [0xB])
    }

    @Test func registeringForOthers() {
        var bench = Bench()
        // SPEC_I_PT with one port, by name and ISID; ALL_TG_PT.
        let text = Array("iqn.2026-01.net.example:client1,i,0x00023D000001".utf8)
        let transport = [0x45, 0, 0, 52] + text + [UInt8](repeating: 0, count: 52 - text.count)
        let more = [0, 0, 0, UInt8(transport.count)] + transport
        #expect(bench.out(0, from: Bench.a, Bench.list(key: 0, action: 0xA, flags: 0x0C, more: more)) == nil)
        #expect(bench.unit.reservations.registrations.count == 4)
        #expect(bench.unit.reservations.key(of: Fixture.information("client1", port: 0x2A)) == 0xA)
        #expect(bench.unit.reservations.generation == 1)
        // Whoever is registered registers no others; a list that is cut is an error.
        #expect(
            bench.result(0, from: Bench.a, Bench.list(key: 0xA, action: 0xB, flags: 0x08, more: more)).sense
                == .invalidFieldInCDB(byte: 1, bit: 4))
        for count in 0..<more.count {
            var bench = Bench()
            let result = bench.result(
                0, from: Bench.a, Bench.list(key: 0, action: 0xA, flags: 0x08, more: Array(more[..<count])))
            #expect(result.sense != nil, "cut after \(count) bytes")
            #expect(bench.unit.reservations == ReservationState())
        }
    }

    @Test func fullStatus() {
        var bench = Bench()
        bench.register(Bench.b, 0xB)
        bench.out(1, type: 5, from: Bench.b, Bench.list(key: 0xB))
        #expect(
            bench.inData(3)
                == bytes(
                    """
                    00000001 00000050  // PRGENERATION, 80 bytes
                    000000000000000B 00000000  // key, reserved
                    01 05 00000000  // R_HOLDER; scope 0, write exclusive - registrants only; reserved
                    002A 00000038  // relative target port, 56 bytes of TransportID
                    45 00 0034  // format 01b, iSCSI; 52 bytes
                    """) + Array("iqn.2026-01.net.example:client1,i,0x00023d000001".utf8) + zeros(4))
    }

    @Test func moving() {
        var bench = Bench()
        func list(key: UInt64, action: UInt64, flags: UInt8, port: UInt16, name: String) -> [UInt8] {
            let text = Array(name.utf8)
            let length = (text.count + 4) / 4 * 4
            var bytes = Array(Bench.list(key: key, action: action)[..<16])
            bytes += [0, flags, UInt8(port >> 8), UInt8(port & 0xFF), 0, 0, 0, UInt8(length + 4)]
            return bytes + [0x45, 0, 0, UInt8(length)] + text + zeros(length - text.count)
        }
        let name = "iqn.2026-01.net.example:client1,i,0x00023d000001"
        let there = list(key: 0xA, action: 0xB, flags: 2, port: 0x2A, name: name)
        bench.register(Bench.a, 0xA)
        #expect(bench.result(7, from: Bench.a, there).sense == .invalidFieldInCDB(byte: 1, bit: 4), "nothing to move")
        bench.out(1, type: 1, from: Bench.a, Bench.list(key: 0xA))
        #expect(
            bench.result(7, from: Bench.a, list(key: 0xA, action: 0, flags: 0, port: 0x2A, name: name)).sense
                == .invalidFieldInParameterList(byte: 8))
        #expect(
            bench.result(7, from: Bench.a, list(key: 0xA, action: 1, flags: 0, port: 0x2B, name: name)).sense
                == .invalidFieldInParameterList(byte: 18))
        #expect(bench.out(7, from: Bench.a, there) == nil)
        #expect(bench.unit.reservations.isHolder(Fixture.information("client1", port: 0x2A)))
        #expect(bench.unit.reservations.registrations.map(\.key) == [0xB], "UNREG")
        #expect(bench.status(Self.write, from: Bench.a) == .reservationConflict)
        #expect(bench.status(Self.write, from: Bench.b) == nil)
    }

    @Test func reserveAndRelease() {
        for (reserve, release) in [
            ("16 00 00 00 00 00", "17 00 00 00 00 00"),
            ("56 00 00 00 00 00 00 00 00 00", "57 00 00 00 00 00 00 00 00 00"),
        ] {
            var bench = Bench()
            #expect(bench.status(reserve, from: Bench.a) == nil)
            #expect(bench.status(reserve, from: Bench.a) == nil)
            #expect(bench.status(reserve, from: Bench.b) == .reservationConflict)
            #expect(bench.status(Self.read, from: Bench.b) == .reservationConflict)
            #expect(bench.status("00 00 00 00 00 00", from: Bench.b) == .reservationConflict)
            #expect(bench.status("12 00 00 00 24 00", from: Bench.b) == nil)
            #expect(bench.status("5E 00 00 00 00 00 00 00 FF 00", from: Bench.a) == .reservationConflict)
            // RELEASE of somebody else is GOOD and does nothing.
            #expect(bench.status(release, from: Bench.b) == nil)
            #expect(bench.status(Self.read, from: Bench.b) == .reservationConflict)
            #expect(bench.status(release, from: Bench.a) == nil)
            #expect(bench.status(Self.read, from: Bench.b) == nil)
            // It goes with its nexus, and with a reset.
            _ = bench.status(reserve, from: Bench.a)
            bench.unit.nexusLost(Bench.a)
            #expect(bench.status(Self.read, from: Bench.b) == nil)
            _ = bench.status(reserve, from: Bench.b)
            bench.unit.logicalUnitReset()
            bench.settle()
            #expect(bench.status(Self.read, from: Bench.a2) == nil)
            // Beside registrations it does nothing, for those who have what they ask for (CRH).
            bench.register(Bench.b, 0xB)
            #expect(bench.status(reserve, from: Bench.b) == .reservationConflict)
            bench.out(1, type: 5, from: Bench.b, Bench.list(key: 0xB))
            #expect(bench.status(reserve, from: Bench.b) == nil)
            #expect(bench.status(release, from: Bench.b) == nil)
            #expect(bench.status(reserve, from: Bench.a2) == .reservationConflict)
        }
    }

    @Test func registrationsOutliveTheirNexus() {
        var bench = Bench()
        bench.register(Bench.a, 0xA)
        bench.out(1, type: 1, from: Bench.a, Bench.list(key: 0xA))
        bench.unit.nexusLost(Bench.a)
        #expect(bench.status(Self.write, from: Bench.b) == .reservationConflict)
        let again = NexusHandle(rawValue: 77)
        bench.unit.nexusEstablished(again, Fixture.information("client0"))
        _ = bench.status("00 00 00 00 00 00", from: again)
        #expect(bench.status(Self.write, from: again) == nil)
    }

    @Test func registrationsAreBounded() {
        var bench = Bench()
        var state = ReservationState()
        for number in 0..<ReservationState.maximumRegistrations {
            state.registrations.append(Registration(nexus: Fixture.information("x\(number)"), key: 1))
        }
        bench.unit.restore(state)
        #expect(
            bench.result(0, from: Bench.a, Bench.list(key: 0, action: 1)).sense == .insufficientRegistrationResources)
        #expect(bench.unit.reservations == state)
    }

    /// Whatever the parameter list says: no trap, a state that fits, nothing beyond the bounds.
    @Test func anyParameterList() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            var bench = Bench()
            bench.register(Bench.a, 0xA)
            if Bool.random(using: &generator) { bench.out(1, type: 5, from: Bench.a, Bench.list(key: 0xA)) }
            var list = Bench.list(
                key: Bool.random(using: &generator) ? 0xA : 0, action: UInt64.random(in: 0...0xB, using: &generator),
                flags: UInt8.random(in: 0...15, using: &generator))
            for _ in 0..<Int.random(in: 0...120, using: &generator) {
                list.append(
                    Int.random(in: 0..<3, using: &generator) == 0 ? UInt8.random(in: 0...255, using: &generator) : 0)
            }
            if list.count > 31, Bool.random(using: &generator) {
                list[24...27] = [0, 0, 0, UInt8(truncatingIfNeeded: list.count - 28)]
                list[28] = 0x45
            }
            let action = UInt8.random(in: 0...8, using: &generator)
            let type = UInt8.random(in: 0...9, using: &generator)
            let nexus = Bool.random(using: &generator) ? Bench.a : Bench.b
            _ = bench.result(action, type: type, from: nexus, list)
            #expect(bench.unit.reservations.isConsistent, "seed \(seed)")
        }
    }
}
