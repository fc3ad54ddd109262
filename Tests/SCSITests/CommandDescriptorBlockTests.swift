import SCSI
import Testing

@Suite struct CommandDescriptorBlockTests {
    static let counting = CommandDescriptorBlock((0..<32).map { UInt8($0) })

    @Test func readsBigEndianAtEveryOffset() {
        for offset in 0..<40 {
            let byte = { (index: Int) -> UInt64 in index < 32 ? UInt64(index) : 0 }
            let join = { (count: Int) in (0..<count).reduce(UInt64(0)) { $0 << 8 | byte(offset + $1) } }
            #expect(UInt64(Self.counting.byte(offset)) == join(1), "byte \(offset)")
            #expect(UInt64(Self.counting.uint16(at: offset)) == join(2), "uint16 \(offset)")
            #expect(UInt64(Self.counting.uint24(at: offset)) == join(3), "uint24 \(offset)")
            #expect(UInt64(Self.counting.uint32(at: offset)) == join(4), "uint32 \(offset)")
            #expect(Self.counting.uint64(at: offset) == join(8), "uint64 \(offset)")
        }
    }

    @Test func shortSpansArePaddedWithZeros() {
        for count in 0...40 {
            let block = CommandDescriptorBlock([UInt8](repeating: 0xA5, count: count))
            #expect(Int(block.receivedLengthBytes) == min(count, 32))
            for offset in 0..<32 { #expect(block.byte(offset) == (offset < count ? 0xA5 : 0)) }
        }
    }

    @Test func additionalHeaderSegmentFollowsTheSixteenBytes() {
        let basic = [UInt8](repeating: 0x11, count: 16)
        for count in 0...20 {
            let rest = (0..<count).map { UInt8(0x80 + $0) }
            let block = unsafe CommandDescriptorBlock(basic.span.bytes, extension: rest.span.bytes)
            #expect(block.receivedLengthBytes == 16 + UInt8(min(count, 16)))
            #expect(block.uint64(at: 8) == 0x1111_1111_1111_1111)
            for offset in 16..<32 { #expect(block.byte(offset) == (offset - 16 < count ? rest[offset - 16] : 0)) }
        }
    }

    @Test func lengthFollowsTheGroupCode() {
        for (code, length): (UInt8, Int) in [
            (0x00, 6), (0x1F, 6), (0x25, 10), (0x42, 10), (0x5A, 10), (0x88, 16), (0x9F, 16), (0xA0, 12), (0xBF, 12),
        ] {
            #expect(CommandDescriptorBlock([code]).lengthBytes == length, "operation code \(code)")
        }
        // Variable length: ADDITIONAL CDB LENGTH 18h in byte 7, SERVICE ACTION in bytes 8 and 9, CONTROL in byte 1.
        let variable = cdb("7F 04 00 00 00 00 00 18 00 0D")
        #expect(variable.lengthBytes == 32)
        #expect(variable.serviceAction == 0x0D)
        #expect(variable.control == 0x04)
        #expect(variable.controlFault == .invalidFieldInCDB(byte: 1, bit: 2))
    }

    @Test func controlIsTheLastByte() {
        #expect(cdb("00 00 00 00 00 04").controlFault == .invalidFieldInCDB(byte: 5, bit: 2))
        #expect(cdb("28 00 00 00 00 00 00 00 00 04").controlFault == .invalidFieldInCDB(byte: 9, bit: 2))
        #expect(cdb("A8 00 00 00 00 00 00 00 00 00 00 04").controlFault == .invalidFieldInCDB(byte: 11, bit: 2))
        #expect(
            cdb("88 00 00 00 00 00 00 00 00 00 00 00 00 00 00 04").controlFault == .invalidFieldInCDB(byte: 15, bit: 2))
        #expect(cdb("00 00 00 00 00 C0").controlFault == nil)  // the vendor specific bits mean nothing here
    }

    @Test func logicalUnitNumbersInBothForms() {
        #expect(LogicalUnitNumber(0).encoded == 0)
        #expect(LogicalUnitNumber(255).encoded == 0x00FF_0000_0000_0000)
        #expect(LogicalUnitNumber(256).encoded == 0x4100_0000_0000_0000)
        for number: UInt16 in [0, 1, 255, 256, 257, 0x3FFF] {
            #expect(LogicalUnitNumber(encoded: LogicalUnitNumber(number).encoded) == LogicalUnitNumber(number))
        }
        #expect(LogicalUnitNumber(encoded: 0x4001_0000_0000_0000) == LogicalUnitNumber(1))  // flat addressing of LUN 1
        #expect(LogicalUnitNumber(encoded: 0x0100_0000_0000_0000) == nil)  // bus 1
        #expect(LogicalUnitNumber(encoded: 0x0000_0001_0000_0000) == nil)  // a second level
        #expect(LogicalUnitNumber(encoded: 0xC101_0000_0000_0000) == nil)  // well known REPORT LUNS unit
    }

    @Test func valuesOfTheDataPathStaySmall() {
        // They travel by value through every command: growing one is a decision, not an accident.
        #expect(MemoryLayout<CommandDescriptorBlock>.size == 33)
        #expect(MemoryLayout<BlockRange>.size == 16)
        #expect(MemoryLayout<MediaOperation>.size <= 24)
        #expect(MemoryLayout<Sense>.size <= 32)
        #expect(MemoryLayout<MediaDecode>.size <= 33)
    }
}
