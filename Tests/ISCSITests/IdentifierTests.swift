import ISCSI
import Testing

@Suite("Serial numbers and identifiers")
struct IdentifierTests {
    @Test("serial numbers go round, and 2^31 apart there is no order (RFC 1982 section 3.2)")
    func serialNumbers() {
        let last = SerialNumber(0xffff_ffff)
        #expect(last < SerialNumber(0))
        #expect(SerialNumber(0) > last)
        #expect(last.next == SerialNumber(0))
        #expect(SerialNumber(0).distance(from: last) == 1)
        #expect(SerialNumber(5) + 0xffff_ffff == SerialNumber(4))
        #expect(SerialNumber(5) - 6 == last)
        let far = SerialNumber(0x8000_0000)
        #expect(!(SerialNumber(0) < far) && !(far < SerialNumber(0)))
        #expect(!(SerialNumber(0) > far) && !(far > SerialNumber(0)))
        #expect(!(SerialNumber(0) <= far) && !(SerialNumber(0) >= far))
        var counter = last
        let taken = counter.take()
        #expect(taken == last)
        #expect(counter == SerialNumber(0))
    }

    @Test("order follows addition, wherever it starts")
    func order() {
        withSeed("serial numbers") { generator in
            for _ in 0..<2000 {
                let start = SerialNumber(UInt32.random(in: 0...UInt32.max, using: &generator))
                let step = UInt32.random(in: 1...0x7fff_ffff, using: &generator)
                #expect(start < start + step && start + step > start)
                #expect(!(start + step < start) && start <= start + step)
                #expect((start + step).distance(from: start) == Int32(step))
            }
        }
    }

    @Test("a window holds what lies in it; a closed one holds nothing")
    func window() {
        let first = SerialNumber(0xffff_fffe)
        #expect(first.isWithin(first, through: first + 3))
        #expect(SerialNumber(1).isWithin(first, through: first + 3))
        #expect(!SerialNumber(2).isWithin(first, through: first + 3))
        #expect(!(first - 1).isWithin(first, through: first + 3))
        #expect(!first.isWithin(first, through: first - 1))
    }

    @Test("LUNs: peripheral and flat addressing, single level only")
    func logicalUnits() {
        for index in stride(from: 0, to: 16384, by: 7) {
            let lun = LogicalUnitNumber(index: index)
            #expect(lun?.index == index)
        }
        #expect(LogicalUnitNumber(index: 16384) == nil)
        #expect(LogicalUnitNumber(index: -1) == nil)
        #expect(LogicalUnitNumber(index: 1)?.rawValue == 0x0001_0000_0000_0000)
        #expect(LogicalUnitNumber(index: 255)?.rawValue == 0x00ff_0000_0000_0000)
        #expect(LogicalUnitNumber(index: 256)?.rawValue == 0x4100_0000_0000_0000)
        // Linux and libiscsi may send flat addressing below 256 as well.
        #expect(LogicalUnitNumber(rawValue: 0x4001_0000_0000_0000).index == 1)
        #expect(LogicalUnitNumber(rawValue: 0x0001_0002_0000_0000).index == nil)
        #expect(LogicalUnitNumber(rawValue: 0x0101_0000_0000_0000).index == nil)
        #expect(LogicalUnitNumber(rawValue: 0xc101_0000_0000_0000).index == nil)
        #expect(LogicalUnitNumber(rawValue: 0x8001_0000_0000_0000).index == nil)
        #expect(LogicalUnitNumber(rawValue: 0xc101_0000_0000_0000).description == "0xc101000000000000")
        #expect(LogicalUnitNumber.zero.description == "0")
    }

    @Test("ISIDs: fields and text")
    func isid() {
        let openISCSI = ISID(rawValue: 0x0002_3d01_0000)
        #expect(openISCSI.format == .organizationallyUnique)
        #expect(openISCSI.b == 0x023d && openISCSI.c == 1 && openISCSI.d == 0)
        #expect(openISCSI.description == "00023d010000")
        let random = ISID(format: .random, a: 0xff, b: 0x878c, c: 0x6a, d: 2)
        #expect(random.description == "bf878c6a0002")
        #expect(random.a == 0x3f)
        #expect(ISID(text: "0xBF878C6A0002") == random)
        #expect(ISID(text: "bf878c6a0002") == random)
        for bad in ["", "0x", "bf878c6a000", "bf878c6a00022", "bf878c6a000g", "+f878c6a0002", "0x0xbf878c6a0002"] {
            #expect(ISID(text: bad) == nil, "\(bad)")
        }
        #expect(ISID(rawValue: UInt64.max).rawValue == 0xffff_ffff_ffff)
    }

    @Test("names: the three formats, in lower case")
    func names() throws {
        for good in [
            "iqn.2026-01.net.example:mpath0", "iqn.1993-08.org.debian:01:abcdef",
            "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-ls",
            "eui.02004567a425678d", "naa.52004567ba64678d", "naa.62004567ba64678d0123456789abcdef", "iqn.2026-12.a",
        ] {
            #expect(try ISCSIName(good).text == good)
        }
        #expect(try ISCSIName("IQN.2026-01.NET.Example:Mpath0") == volume)
        #expect(throws: ISCSIName.Fault.empty) { try ISCSIName("") }
        #expect(throws: ISCSIName.Fault.tooLong(224)) {
            try ISCSIName("iqn.2026-01." + String(repeating: "a", count: 212))
        }
        #expect(try ISCSIName("iqn.2026-01." + String(repeating: "a", count: 211)).text.utf8.count == 223)
        for (bad, fault) in [
            ("iqn.2026-1.net", .malformedIQN), ("iqn.2026-13.net", .malformedIQN), ("iqn.2026-00.net", .malformedIQN),
            ("iqn.2026-01.", .malformedIQN), ("iqn.2026-01.:x", .malformedIQN), ("iqn.", .malformedIQN),
            ("eui.02004567a425678", .malformedEUI), ("eui.02004567a425678g", .malformedEUI),
            ("naa.52004567ba64678d0", .malformedNAA), ("foo.bar", .unknownFormat), ("iqn", .unknownFormat),
            ("iqn.2026-01.net.example:a b", .illegalByte(0x20)), ("iqn.2026-01.net.example:a\0b", .illegalByte(0)),
            ("iqn.2026-01.net.example:ä", .illegalByte(0xc3)), ("iqn.2026-01.net.example:a_b", .illegalByte(0x5f)),
        ] as [(String, ISCSIName.Fault)] {
            #expect(throws: fault, "\(bad)") { try ISCSIName(bad) }
            #expect(!fault.description.isEmpty)
        }
    }
}
