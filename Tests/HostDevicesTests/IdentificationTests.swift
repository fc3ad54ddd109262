import HostDevices
import Testing

@Suite("Device Identification and path checks")
struct IdentificationTests {
    private static func page(_ descriptors: [UInt8]...) -> [UInt8] {
        let body = descriptors.flatMap { $0 }
        return [0, 0x83, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }
    private static func naa(_ hex: UInt64, association: UInt8 = 0) -> [UInt8] {
        [0x01, association << 4 | 3, 0, 8] + (0..<8).map { UInt8(truncatingIfNeeded: hex >> (56 - 8 * $0)) }
    }

    @Test("The rack's own identifier: NAA 3 as scsi_id writes it") func locallyAssigned() {
        let page = Self.page(Self.naa(0x3012_3456_789A_BCDE))
        #expect(DeviceIdentification(page: page)?.wwid == "33012" + "3456789abcde")
    }

    @Test("The best one is taken: NAA 6 before 5 before others before EUI-64 before T10") func order() {
        let naa6: [UInt8] = [0x01, 3, 0, 16, 0x60] + [UInt8](repeating: 0xAB, count: 15)
        let naa5 = Self.naa(0x5000_0000_0000_0001)
        let naa3 = Self.naa(0x3000_0000_0000_0001)
        let eui: [UInt8] = [0x01, 2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        let t10: [UInt8] = [0x02, 1, 0, 12] + Array("RACK    x  y".utf8)
        func wwid(_ parts: [UInt8]...) -> String? {
            DeviceIdentification(page: Self.page(parts.flatMap { $0 }))?.wwid
        }
        #expect(wwid(t10, eui, naa3, naa5, naa6) == "360" + String(repeating: "ab", count: 15))
        #expect(wwid(t10, eui, naa3, naa5) == "35000000000000001")
        #expect(wwid(t10, eui, naa3) == "33000000000000001")
        #expect(wwid(t10, eui) == "20102030405060708")
        #expect(wwid(t10) == "1RACK_x_y")
        #expect(wwid() == nil)
    }

    @Test("Identifiers of ports and of the device are not the unit's") func associations() {
        let page = Self.page(
            Self.naa(0x5000_0000_0000_0001, association: 1), Self.naa(0x5000_0000_0000_0002, association: 2),
            Self.naa(0x3000_0000_0000_0003))
        #expect(DeviceIdentification(page: page)?.wwid == "33000000000000003")
    }

    @Test("Cut at every byte, a page never traps and never invents an identifier") func truncation() {
        let whole = SyntheticHost.page83
        for length in 0...whole.count {
            let parsed = DeviceIdentification(page: Array(whole[..<length]))
            #expect((parsed == nil) == (length < 4))
            if let wwid = parsed?.wwid { #expect(["1RACK_a000", "3300000000000a001"].contains(wwid)) }
        }
        #expect(DeviceIdentification(page: [0, 0x80, 0, 0]) == nil)
        #expect(DeviceIdentification(page: [0, 0x83, 0xFF, 0xFF, 1, 3, 0, 0xFF, 0x30])?.designators.isEmpty == true)
    }

    @Test("Unit serial numbers") func serial() {
        #expect(DeviceIdentification.unitSerialNumber(page: [0, 0x80, 0, 4] + Array(" a 1".utf8)) == "a_1")
        #expect(DeviceIdentification.unitSerialNumber(page: [0, 0x80, 0xFF, 0xFF, 0x41]) == "A")
        #expect(DeviceIdentification.unitSerialNumber(page: [0, 0x83, 0, 0]) == nil)
    }

    private static func outcome(
        _ status: UInt8, host: UInt16 = 0, sense: [UInt8] = []
    ) -> SCSIPassThrough.Outcome {
        SCSIPassThrough.Outcome(status: status, hostStatus: host, driverStatus: 0, sense: sense, data: [])
    }

    private static func fixed(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8) -> [UInt8] {
        [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
    }

    @Test("What TEST UNIT READY's answers mean for a path") func judging() {
        #expect(PathChecker.judge(Self.outcome(0)) == .up)
        #expect(PathChecker.judge(Self.outcome(0x18)) == .up)
        #expect(PathChecker.judge(Self.outcome(0, host: 1)) == .down("no connection"))
        #expect(PathChecker.judge(Self.outcome(0, host: 14)) == .down("transport disrupted"))
        #expect(PathChecker.judge(Self.outcome(2, sense: Self.fixed(6, 0x29, 0))) == nil)
        #expect(PathChecker.judge(Self.outcome(2, sense: Self.fixed(2, 4, 0x0B))) == .standby("ALUA standby"))
        #expect(
            PathChecker.judge(Self.outcome(2, sense: [0x72, 2, 4, 0x0C, 0, 0, 0, 0])) == .unavailable)
        #expect(PathChecker.judge(Self.outcome(2, sense: Self.fixed(2, 0x3A, 0))) == .down("sense 2/3a/0"))
        #expect(PathChecker.judge(Self.outcome(2, sense: Self.fixed(5, 0x25, 0)))?.description.contains("unit") == true)
        for sense in [[], [0x70], [0x70, 0], [0x72, 1], [0x01, 2, 3]] as [[UInt8]] {
            #expect(PathChecker.judge(Self.outcome(2, sense: sense)) == .down("CHECK CONDITION without sense data"))
        }
    }

    @Test("A check of what is not there says so") func missingNode() async {
        for method in [PathChecker.Method.testUnitReady, .directRead] {
            let result = await PathChecker(node: "/dev/no-such-disk", method: method).check(deadlineSeconds: 5)
            #expect(result == .down("No such file or directory"))
        }
    }
}
