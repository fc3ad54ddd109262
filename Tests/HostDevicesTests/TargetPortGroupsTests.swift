import HostDevices
import Testing

@Suite struct TargetPortGroupsTests {
    /// Two groups as storaged reports them: 1 active/optimized with port 1, 7 unavailable with ports 2Ah and 2Bh.
    private static let data: [UInt8] = [
        0x00, 0x00, 0x00, 0x1C,  // RETURN DATA LENGTH
        0x00, 0xCF, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01,  // group 1, one port
        0x00, 0x00, 0x00, 0x01,  // port 1
        0x83, 0xCF, 0x00, 0x07, 0x00, 0x02, 0x00, 0x02,  // PREF, unavailable; group 7, two ports
        0x00, 0x00, 0x00, 0x2A, 0x00, 0x00, 0x00, 0x2B,
    ]

    @Test func aPortHasTheStateOfItsGroup() {
        #expect(TargetPortGroups.state(ofPort: 1, in: Self.data) == 0x0)
        #expect(TargetPortGroups.state(ofPort: 0x2A, in: Self.data) == 0x3)
        #expect(TargetPortGroups.state(ofPort: 0x2B, in: Self.data) == 0x3)
        #expect(TargetPortGroups.state(ofPort: 7, in: Self.data) == nil)
    }

    @Test func whatIsCutShortIsNoAnswer() {
        for count in Self.data.indices {
            let cut = Array(Self.data[..<count])
            #expect(TargetPortGroups.state(ofPort: 0x2B, in: cut) == nil, "\(count) bytes")
        }
        // A length of less than the bytes ends the list.
        var short = Self.data
        short[3] = 12
        #expect(TargetPortGroups.state(ofPort: 1, in: short) == 0x0)
        #expect(TargetPortGroups.state(ofPort: 0x2A, in: short) == nil)
    }

    @Test func whatAStateMeansForAPath() {
        #expect(PathChecker.judge(accessState: nil) == .up)
        #expect(PathChecker.judge(accessState: 0x0) == .up)
        #expect(PathChecker.judge(accessState: 0x1) == .nonOptimized)
        #expect(PathChecker.judge(accessState: 0x2) == .standby("ALUA standby"))
        #expect(PathChecker.judge(accessState: 0x3) == .unavailable)
        #expect(PathChecker.judge(accessState: 0xE) == .standby("ALUA offline"))
        #expect(PathChecker.judge(accessState: 0xF) == .standby("ALUA transition"))
    }
}
