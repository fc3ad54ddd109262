import PathDiscovery
import Testing

@Suite("What units answer")
struct UnitPagesTests {
    @Test("INQUIRY") func inquiry() throws {
        let data: [UInt8] = [0x00, 0, 6, 2, 91, 0x30, 0, 2] + Array("RACK    mpath0          0001".utf8)
        let inquiry = try #require(UnitPages.StandardInquiry(data))
        #expect(inquiry.vendor == "RACK" && inquiry.product == "mpath0" && inquiry.revision == "0001")
        #expect(inquiry.deviceType == 0 && inquiry.peripheralQualifier == 0 && inquiry.targetPortGroupSupport == 3)
        #expect(UnitPages.StandardInquiry(Array(data.dropLast())) == nil)
    }

    @Test("A hostile vendor name brings no control characters") func hostileText() throws {
        let data: [UInt8] =
            [0x7F, 0, 6, 2, 91, 0, 0, 2] + [0x1B, 0x5B, 0x32, 0x4A] + [UInt8](repeating: 0xFF, count: 24)
        let inquiry = try #require(UnitPages.StandardInquiry(data))
        #expect(inquiry.vendor == "[2J" && inquiry.product == "" && inquiry.peripheralQualifier == 3)
    }

    /// The same page as HostDevices' test reads: both must make the same WWID of it.
    static let page83: [UInt8] =
        [0x00, 0x83, 0x00, 44]
        + [0x02, 0x01, 0x00, 12] + Array("RACK    a000".utf8)
        + [0x01, 0x03, 0x00, 8, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0xA0, 0x01]
        + [0x01, 0x14, 0x00, 4, 0, 0, 0, 2]
        + [0x01, 0x15, 0x00, 4, 0, 0, 0, 3]

    @Test("Device Identification, whole and cut at every byte") func identification() throws {
        let page = try #require(UnitPages.Identification(Self.page83))
        #expect(page.wwid == "3300000000000a001")
        #expect(page.relativeTargetPort == 2 && page.targetPortGroup == 3)
        for length in 0..<Self.page83.count {
            let cut = UnitPages.Identification(Array(Self.page83[..<length]))
            #expect((cut == nil) == (length < 4))
            if let wwid = cut?.wwid { #expect(["1RACK_a000", "3300000000000a001"].contains(wwid)) }
        }
    }

    @Test("The best identifier wins, wherever it stands") func order() {
        let naa3: [UInt8] = [0x01, 3, 0, 8, 0x30, 0, 0, 0, 0, 0, 0, 1]
        let naa5: [UInt8] = [0x01, 3, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 1]
        let naa6: [UInt8] = [0x01, 3, 0, 16, 0x60] + [UInt8](repeating: 0xAB, count: 15)
        let portNAA6: [UInt8] = [0x01, 0x13, 0, 16, 0x60] + [UInt8](repeating: 0xCD, count: 15)
        let eui: [UInt8] = [0x01, 2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        func wwid(_ parts: [UInt8]...) -> String? {
            let body = parts.flatMap { $0 }
            return UnitPages.Identification([0, 0x83, 0, UInt8(body.count)] + body)?.wwid
        }
        #expect(wwid(portNAA6, naa3, naa6, naa5, eui) == "360" + String(repeating: "ab", count: 15))
        #expect(wwid(eui, naa3, naa5) == "35000000000000001")
        #expect(wwid(eui, naa3) == "33000000000000001")
        #expect(wwid(eui, portNAA6) == "20102030405060708")
        #expect(wwid(portNAA6) == nil)
    }

    @Test("Sizes") func capacity() {
        var data = [UInt8](repeating: 0, count: 32)
        data[5] = 0x1F
        data[6] = 0xFF
        data[7] = 0xFF
        data[10] = 2
        #expect(UnitPages.capacity16(data).map { $0.sizeBytes } == 1 << 30)
        #expect(UnitPages.capacity16(data)?.blockBytes == 512)
        #expect(UnitPages.capacity16([UInt8](repeating: 0xFF, count: 32)) == nil, "2^64 blocks")
        data[0] = 0xFF
        #expect(UnitPages.capacity16(data) == nil, "more than 2^64 bytes")
        #expect(UnitPages.capacity16([UInt8](repeating: 0, count: 32)) == nil, "blocks of no bytes")
        #expect(UnitPages.capacity16([1, 2, 3]) == nil && UnitPages.capacity10([1, 2, 3]) == nil)
        #expect(UnitPages.capacity10([0, 0, 0, 7, 0, 0, 0x10, 0]).map { $0.sizeBytes } == 32768)
    }

    @Test("Units: peripheral and flat numbers; others, and more than the bound, left out") func luns() {
        func list(_ entries: [UInt8]..., length: Int? = nil) -> [UInt8] {
            let body = entries.flatMap { $0 + [UInt8](repeating: 0, count: 8 - $0.count) }
            let said = length ?? body.count
            return [
                UInt8(said >> 24 & 0xFF), UInt8(said >> 16 & 0xFF), UInt8(said >> 8 & 0xFF), UInt8(said & 0xFF), 0, 0,
                0, 0,
            ]
                + body
        }
        let all = list([0, 0], [0, 255], [0x41, 0x02], [0xC1, 0x01], [0, 1, 0, 1], [0x80, 0])
        #expect(UnitPages.luns(all, limit: 10) == [0, 255, 258])
        #expect(UnitPages.luns(all, limit: 2) == [0, 255])
        #expect(UnitPages.luns(list([0, 3], length: 0x7FFF_FFFF), limit: 10) == [3])
        #expect(UnitPages.luns(list([0, 3], length: 4), limit: 10) == [])
        #expect(UnitPages.luns([0, 0, 0], limit: 10) == [])
    }

    @Test("Access states, and descriptors that lie about their length") func accessStates() {
        let two: [UInt8] =
            [0, 0, 0, 24, 0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] + [0x82, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]
        #expect(UnitPages.accessStates(two) == [1: .activeOptimized, 2: .standby])
        #expect(
            UnitPages.accessStates([0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 9, 0, 0, 0, 0xFF]) == [9: .activeNonOptimized])
        #expect(UnitPages.accessStates([0, 0, 0]) == [:])
    }

    @Test("Any bytes at all: nothing traps") func noise() {
        var state: UInt64 = 20_081_122
        func next() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        for round in 0..<5000 {
            var data = (0..<(round % 64)).map { _ in next() }
            if data.count > 1, round % 2 == 0 { data[1] = round % 4 == 0 ? 0x83 : 0x80 }
            _ = UnitPages.StandardInquiry(data)
            _ = UnitPages.Identification(data)
            _ = UnitPages.unitSerialNumber(data)
            _ = UnitPages.capacity16(data)
            _ = UnitPages.capacity10(data)
            #expect(UnitPages.luns(data, limit: 4).count <= 4)
            _ = UnitPages.accessStates(data)
        }
    }
}
