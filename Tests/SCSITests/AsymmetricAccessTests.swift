import SCSI
import Testing

/// Target port groups (SPC-4 5.15): which command each state serves, and the two commands that read and set the states.
@Suite("Asymmetric logical unit access")
struct AsymmetricAccessTests {
    private struct Row: Sendable, CustomStringConvertible {
        var name: String
        var cdb: String
        /// The states beside the two active ones in which it is served.
        var servedIn: Set<AsymmetricAccessState>
        var description: String { name }
    }

    private static let everywhere = Set(AsymmetricAccessState.allCases)
    private static let standby: Set<AsymmetricAccessState> = [.standby]
    private static let rows: [Row] = [
        Row(name: "TEST UNIT READY", cdb: "00 00 00 00 00 00", servedIn: []),
        Row(name: "REQUEST SENSE", cdb: "03 00 00 00 FF 00", servedIn: everywhere),
        Row(name: "READ (6)", cdb: "08 00 00 00 01 00", servedIn: []),
        Row(name: "WRITE (6)", cdb: "0A 00 00 00 01 00", servedIn: []),
        Row(name: "INQUIRY", cdb: "12 00 00 00 FF 00", servedIn: everywhere),
        Row(name: "INQUIRY, VPD 83h", cdb: "12 01 83 00 FF 00", servedIn: everywhere),
        Row(name: "MODE SELECT (6)", cdb: "15 10 00 00 00 00", servedIn: standby),
        Row(name: "MODE SENSE (6)", cdb: "1A 00 3F 00 FF 00", servedIn: standby),
        Row(name: "START STOP UNIT", cdb: "1B 00 00 00 01 00", servedIn: []),
        Row(name: "SEND DIAGNOSTIC", cdb: "1D 04 00 00 00 00", servedIn: standby),
        Row(name: "READ CAPACITY (10)", cdb: "25 00 00 00 00 00 00 00 00 00", servedIn: standby),
        Row(name: "READ (10)", cdb: "28 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "WRITE (10)", cdb: "2A 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "WRITE AND VERIFY (10)", cdb: "2E 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "VERIFY (10)", cdb: "2F 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "PRE-FETCH (10)", cdb: "34 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "SYNCHRONIZE CACHE (10)", cdb: "35 00 00 00 00 00 00 00 00 00", servedIn: []),
        Row(name: "WRITE SAME (10)", cdb: "41 00 00 00 00 00 00 00 01 00", servedIn: []),
        Row(name: "UNMAP", cdb: "42 00 00 00 00 00 00 00 18 00", servedIn: []),
        Row(name: "MODE SELECT (10)", cdb: "55 10 00 00 00 00 00 00 00 00", servedIn: standby),
        Row(name: "MODE SENSE (10)", cdb: "5A 00 3F 00 00 00 00 00 FF 00", servedIn: standby),
        Row(name: "READ (16)", cdb: "88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", servedIn: []),
        Row(name: "WRITE (16)", cdb: "8A 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", servedIn: []),
        Row(name: "WRITE SAME (16)", cdb: "93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", servedIn: []),
        Row(name: "READ CAPACITY (16)", cdb: "9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", servedIn: standby),
        Row(name: "GET LBA STATUS", cdb: "9E 12 00 00 00 00 00 00 00 00 00 00 00 20 00 00", servedIn: []),
        Row(name: "REPORT LUNS", cdb: "A0 00 00 00 00 00 00 00 00 FF 00 00", servedIn: everywhere),
        Row(name: "REPORT TARGET PORT GROUPS", cdb: "A3 0A 00 00 00 00 00 00 00 FF 00 00", servedIn: everywhere),
        Row(
            name: "REPORT SUPPORTED OPERATION CODES", cdb: "A3 0C 00 00 00 00 00 00 00 FF 00 00", servedIn: []),
        Row(
            name: "SET TARGET PORT GROUPS", cdb: "A4 0A 00 00 00 00 00 00 00 00 00 00",
            servedIn: [.standby, .unavailable, .offline]),
        Row(name: "READ (12)", cdb: "A8 00 00 00 00 00 00 00 00 01 00 00", servedIn: []),
        Row(name: "WRITE (12)", cdb: "AA 00 00 00 00 00 00 00 00 01 00 00", servedIn: []),
    ]

    private static let additionalSense: [AsymmetricAccessState: UInt16] = [
        .standby: 0x040B, .unavailable: 0x040C, .offline: 0x040C, .transitioning: 0x040A,
    ]

    /// A unit whose group 1 (first nexus) is in `state`; its unit attentions have been heard.
    private func unit(_ state: AsymmetricAccessState) -> LogicalUnit {
        var unit = Fixture.unit()
        unit.changeAccess([1: TargetPortGroupAccess(state, .alteredImplicitly)])
        for nexus in [Fixture.first, Fixture.second] {
            while unit.attention(for: nexus) != nil { _ = unit.run("00 00 00 00 00 00", from: nexus) }
        }
        return unit
    }

    @Test("every command in every state", arguments: AsymmetricAccessState.allCases)
    func access(_ state: AsymmetricAccessState) {
        for row in Self.rows {
            var restricted = unit(state)
            var active = Fixture.unit()
            let wanted = active.run(row.cdb)
            let answer = restricted.run(row.cdb)
            if state.isActive || row.servedIn.contains(state) {
                #expect(answer.sense == wanted.sense, "\(row) in \(state): \(answer)")
            } else {
                #expect(
                    answer.sense.map { ($0.key == .notReady, $0.additionalSenseCode) }
                        ?? (false, 0) == (true, Self.additionalSense[state] ?? 0), "\(row) in \(state): \(answer)")
            }
            // The nexus of the other group meets none of it.
            #expect(restricted.run(row.cdb, from: Fixture.second).sense == wanted.sense, "\(row), other port")
        }
    }

    @Test("only nexuses of a port that is not active leave the fast path")
    func fastPath() {
        for state in AsymmetricAccessState.allCases {
            let unit = unit(state)
            #expect(unit.requiresInspection(of: Fixture.first) == !state.isActive)
            #expect(!unit.requiresInspection(of: Fixture.second))
            #expect(!unit.flags.contains(.requiresInspection))
            #expect(unit.flags.contains(.restrictsAccess) == !state.isActive)
            #expect(unit.accessState(of: Fixture.first) == state)
            #expect(unit.accessState(of: Fixture.second) == .activeOptimized)
            #expect(unit.accessState(of: Fixture.stranger) == .activeOptimized)
        }
    }

    @Test("INQUIRY says so when no unit is to be reached by the port")
    func peripheralQualifier() throws {
        for state in AsymmetricAccessState.allCases {
            var unit = unit(state)
            let qualifier: UInt8 = state == .unavailable || state == .offline ? 0x20 : 0x00
            #expect(unit.data("12 00 00 00 FF 00")?.first == qualifier)
            #expect(unit.data("12 01 83 00 FF 00")?.first == qualifier)
            #expect(unit.data("12 00 00 00 FF 00", from: Fixture.second)?.first == 0x00)
        }
    }

    // MARK: REPORT TARGET PORT GROUPS

    private static let twoGroups = """
        00           // ASYMMETRIC ACCESS STATE 0h: active/optimized, PREF 0
        CF           // T_SUP, O_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP
        0001         // TARGET PORT GROUP
        00 00 00     // reserved, STATUS CODE 0, vendor specific
        01           // TARGET PORT COUNT
        0000 0001    // RELATIVE TARGET PORT IDENTIFIER
        02           // standby
        CF
        0007
        00 02 00     // STATUS CODE 2: implicit
        01
        0000 002A
        """

    @Test("REPORT TARGET PORT GROUPS, both formats, byte by byte")
    func report() {
        var unit = Fixture.unit()
        unit.changeAccess([7: TargetPortGroupAccess(.standby, .alteredImplicitly)])
        _ = unit.run("00 00 00 00 00 00")
        #expect(
            unit.data("A3 0A 00 00 00 00 00 00 00 FF 00 00")
                == bytes(
                    """
                    00000018     // RETURN DATA LENGTH
                    \(Self.twoGroups)
                    """))
        #expect(
            unit.data("A3 2A 00 00 00 00 00 00 00 FF 00 00")
                == bytes(
                    """
                    0000001C     // RETURN DATA LENGTH
                    10           // FORMAT TYPE 001b
                    0A           // IMPLICIT TRANSITION TIME: 10 s
                    0000
                    \(Self.twoGroups)
                    """))
        // The length stays that of the whole, whatever the ALLOCATION LENGTH cuts.
        #expect(unit.data("A3 0A 00 00 00 00 00 00 00 06 00 00") == bytes("00000018 00 CF"))
        #expect(unit.data("A3 0A 00 00 00 00 00 00 00 00 00 00") == [])
        #expect(
            unit.run("A3 4A 00 00 00 00 00 00 00 FF 00 00").sense == .invalidFieldInCDB(byte: 1, bit: 7))
    }

    @Test("two ports of one group stand in one descriptor")
    func sharedGroup() {
        var identity = Fixture.identity
        identity.ports = [
            TargetPort(relativeIdentifier: 1, groupIdentifier: 9),
            TargetPort(relativeIdentifier: 2, groupIdentifier: 9),
        ]
        var unit = LogicalUnit(identity: identity, geometry: Fixture.geometry)
        unit.nexusEstablished(Fixture.first, Fixture.information("client0", port: 2))
        _ = unit.run("00 00 00 00 00 00")
        #expect(
            unit.data("A3 0A 00 00 00 00 00 00 00 FF 00 00")
                == bytes("00000010 00 CF 0009 00 00 00 02 0000 0001 0000 0002"))
        unit.changeAccess([9: TargetPortGroupAccess(.unavailable, .alteredImplicitly)])
        #expect(unit.accessState(of: Fixture.first) == .unavailable)
    }

    // MARK: SET TARGET PORT GROUPS

    private func set(_ list: String, length: UInt8? = nil, in unit: inout LogicalUnit) -> Execution {
        let list = bytes(list)
        return unit.run(
            CommandDescriptorBlock(bytes("A4 0A 00 00 00 00 00 00 00") + [length ?? UInt8(list.count), 0, 0]),
            parameterList: list)
    }

    @Test("SET TARGET PORT GROUPS asks for the states it names", arguments: AsymmetricAccessState.allCases)
    func setStates(_ state: AsymmetricAccessState) {
        var unit = Fixture.unit()
        let digit = String(state.rawValue, radix: 16)
        let answer = set("00000000 0\(digit) 00 0007", in: &unit)
        if state.canBeSetByInitiators {
            #expect(answer == .setTargetPortGroups([TargetPortGroupChange(group: 7, state: state)]))
        } else {
            #expect(answer.sense == .invalidFieldInParameterList(byte: 4, bit: 3))
        }
        // Nothing has changed before the server has kept it.
        #expect(unit.accessState(of: Fixture.second) == .activeOptimized)
    }

    @Test("SET TARGET PORT GROUPS with wrong parameters changes nothing")
    func setConditions() {
        var unit = Fixture.unit()
        let cases: [(list: String, length: UInt8?, sense: Sense)] = [
            ("00000000 02 00 0003", nil, .invalidFieldInParameterList(byte: 6, bit: 7)),  // no such group
            ("00000000 02 00 0001 03 00 0001", nil, .invalidFieldInParameterList(byte: 10, bit: 7)),  // twice
            ("00000000 02 00 0001 05 00 0007", nil, .invalidFieldInParameterList(byte: 8, bit: 3)),  // reserved state
            ("00000000 04 00 0001", nil, .invalidFieldInParameterList(byte: 4, bit: 3)),  // block dependent
            ("00000000 02 00 00", nil, .parameterListLengthError),  // half a descriptor
            ("0000", nil, .parameterListLengthError),
            ("00000000 02 00 0001", 12, .parameterListLengthError),  // less sent than announced
        ]
        for (list, length, sense) in cases {
            #expect(set(list, length: length, in: &unit).sense == sense, "\(list)")
        }
        #expect(
            unit.run("A4 0A 00 00 00 00 00 01 00 00 00 00").sense == .invalidFieldInCDB(byte: 6, bit: 7))
        #expect(unit.run("A4 0B 00 00 00 00 00 00 00 00 00 00").sense == .invalidServiceAction)
        // No list, or one without descriptors, asks for nothing and is no error.
        #expect(unit.run("A4 0A 00 00 00 00 00 00 00 00 00 00") == .good)
        #expect(set("00000000", in: &unit) == .good)
        #expect(unit.attention(for: Fixture.second) == nil)
    }

    @Test("a change is told to every nexus but the one that asked for it, and no change to nobody")
    func attentions() {
        var unit = Fixture.unit()
        unit.changeAccess([7: TargetPortGroupAccess(.standby, .alteredByInitiator)], from: Fixture.first)
        #expect(unit.attention(for: Fixture.first) == nil)
        #expect(unit.attention(for: Fixture.second) == .asymmetricAccessStateChanged)
        #expect(UnitAttention.asymmetricAccessStateChanged.sense.additionalSenseCode == 0x2A06)
        #expect(UnitAttention.implicitTransitionFailed.sense.additionalSenseCode == 0x2A07)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second).sense?.additionalSenseCode == 0x2A06)
        #expect(unit.run("00 00 00 00 00 00", from: Fixture.second).sense?.additionalSenseCode == 0x040B)
        // The state is the same, its reason is not: nothing to tell.
        unit.changeAccess([7: TargetPortGroupAccess(.standby, .alteredImplicitly)])
        #expect(unit.attention(for: Fixture.first) == nil && unit.attention(for: Fixture.second) == nil)
        unit.changeAccess([:])
        #expect(unit.attention(for: Fixture.first) == .asymmetricAccessStateChanged)
    }

    @Test("a transition that began meanwhile ends SET TARGET PORT GROUPS")
    func transitionMeanwhile() {
        var unit = Fixture.unit()
        let begun = unit.run("A4 0A 00 00 00 00 00 00 00 08 00 00")
        guard case .needsParameterList(8, let continuation) = begun else {
            Issue.record("\(begun)")
            return
        }
        unit.changeAccess([1: TargetPortGroupAccess(.transitioning, .alteredImplicitly)])
        let answer = unit.finish(
            continuation, parameterList: bytes("00000000 02 00 0007"), from: Fixture.first)
        #expect(answer.sense == .asymmetricAccessStateTransition)
    }
}
