import SCSI
import Testing

/// One test per descriptor block and condition.
@Suite struct MediaDecodeTests {
    static let geometry = Fixture.geometry  // 200000h blocks of 512 bytes, 4000h blocks a transfer

    static func decode(_ text: String, _ geometry: BlockGeometry = geometry) -> MediaDecode {
        MediaOperation.decode(cdb(text), geometry)
    }

    static func range(_ first: UInt64, _ count: UInt64) -> BlockRange {
        BlockRange(firstBlock: first, blockCount: count)
    }

    static let readOnly: BlockGeometry = {
        var geometry = Fixture.geometry
        geometry.isReadOnly = true
        return geometry
    }()

    @Test func readInAllLengths() {
        let expected = MediaDecode.operation(.read(Self.range(0x1_2345, 0x10), []))
        #expect(Self.decode("08 01 23 45 10 00") == expected)
        #expect(Self.decode("28 00 00 01 23 45 00 00 10 00") == expected)
        #expect(Self.decode("A8 00 00 01 23 45 00 00 00 10 00 00") == expected)
        #expect(Self.decode("88 00 00 00 00 00 00 01 23 45 00 00 00 10 00 00") == expected)
    }

    @Test func writeInAllLengths() {
        let expected = MediaDecode.operation(.write(Self.range(0x1_2345, 0x10), []))
        #expect(Self.decode("0A 01 23 45 10 00") == expected)
        #expect(Self.decode("2A 00 00 01 23 45 00 00 10 00") == expected)
        #expect(Self.decode("AA 00 00 01 23 45 00 00 00 10 00 00") == expected)
        #expect(Self.decode("8A 00 00 00 00 00 00 01 23 45 00 00 00 10 00 00") == expected)
    }

    @Test func sixByteLengthZeroMeans256AndTheOldLUNIsIgnored() {
        #expect(Self.decode("08 00 00 00 00 00") == .operation(.read(Self.range(0, 256), [])))
        #expect(Self.decode("08 E0 00 00 01 00") == .operation(.read(Self.range(0, 1), [])))
        #expect(Self.decode("0A 1F FF 01 00 00") == .failed(.logicalBlockAddressOutOfRange(0x1F_FF01)))
        #expect(Self.decode("0A 1F FF 00 00 00") == .operation(.write(Self.range(0x1F_FF00, 256), [])))
    }

    @Test(arguments: [
        "28 10 00 00 00 00 00 00 01 00", "A8 10 00 00 00 00 00 00 00 01 00 00",
        "88 10 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
    ])
    func disablePageOutAndForceUnitAccess(_ text: String) {
        var block = bytes(text)
        let range = Self.range(0, 1)
        #expect(
            MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                == .operation(.read(range, .disablePageOut)))
        block[1] = 0x08
        #expect(
            MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                == .operation(.read(range, .forceUnitAccess)))
        block[1] = 0x18
        block[0] |= 0x02  // the WRITE of the same length
        #expect(
            MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                == .operation(.write(range, [.disablePageOut, .forceUnitAccess])))
    }

    /// RDPROTECT, WRPROTECT and VRPROTECT other than 0 (PROTECT is 0): INVALID FIELD IN CDB that points at them.
    @Test(
        arguments: [
            0x28, 0x2A, 0x2E, 0x2F, 0x41, 0x88, 0x8A, 0x8E, 0x8F, 0x93, 0xA8, 0xAA, 0xAE, 0xAF,
        ] as [UInt8])
    func protectionInformation(_ code: UInt8) {
        for protect: UInt8 in 1...7 {
            var block = zeros(16)
            block[0] = code
            block[1] = protect << 5
            #expect(
                MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                    == .failed(.invalidFieldInCDB(byte: 1, bit: 7)))
        }
    }

    /// Every media command with NACA set.
    @Test(
        arguments: [
            0x08, 0x0A, 0x28, 0x2A, 0x2E, 0x2F, 0x34, 0x35, 0x41, 0x88, 0x8A, 0x8E, 0x8F, 0x90, 0x91, 0x93, 0xA8, 0xAA,
            0xAE,
            0xAF,
        ] as [UInt8])
    func normalACA(_ code: UInt8) {
        var block = zeros(16)
        block[0] = code
        let last = CommandDescriptorBlock(block).lengthBytes - 1
        block[last] = 0x04
        #expect(
            MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                == .failed(.invalidFieldInCDB(byte: UInt16(last), bit: 2)))
    }

    /// The first block of the range beyond the end; one block of it; far out; and where adding would wrap round.
    @Test(arguments: [0x28, 0x2A, 0x2E, 0x2F, 0x34, 0x35, 0x41] as [UInt8])
    func outOfRange10(_ code: UInt8) {
        for (first, count): (UInt32, UInt16) in [
            (0x20_0000, 1), (0x1F_FFFF, 2), (0x1F_FF00, 0x101), (0x20_0001, 0), (0x8000_0000, 0), (0x8000_0000, 1),
            (UInt32.max, 0), (UInt32.max, 0xFFFF),
        ] {
            let block =
                [code, 0] + (0..<4).map { UInt8(truncatingIfNeeded: first >> (24 - 8 * $0)) }
                + [0, UInt8(count >> 8), UInt8(count & 0xFF), 0]
            #expect(
                MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                    == .failed(.logicalBlockAddressOutOfRange(UInt64(first))))
        }
    }

    /// The same for 16-byte blocks, where only the checked arithmetic keeps 2^64 - 1 out.
    @Test(arguments: [0x88, 0x8A, 0x8E, 0x8F, 0x90, 0x91, 0x93] as [UInt8])
    func outOfRange16(_ code: UInt8) {
        for (first, count): (UInt64, UInt32) in [
            (0x20_0000, 1), (0x1F_FFFF, 2), (0x20_0001, 0), (1 << 63, 0), (UInt64.max, 0), (UInt64.max, 1),
            (UInt64.max - 0xFFFF_FFFE, .max), (UInt64.max, .max),
        ] {
            let block =
                [code, 0] + (0..<8).map { UInt8(truncatingIfNeeded: first >> (56 - 8 * $0)) }
                + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + [0, 0]
            #expect(
                MediaOperation.decode(CommandDescriptorBlock(block), Self.geometry)
                    == .failed(.logicalBlockAddressOutOfRange(first)))
        }
    }

    @Test func lengthZeroTransfersNothing() {
        #expect(Self.decode("28 00 00 00 00 05 00 00 00 00") == .operation(.read(Self.range(5, 0), [])))
        #expect(Self.decode("2A 00 00 20 00 00 00 00 00 00") == .operation(.write(Self.range(0x20_0000, 0), [])))
        #expect(Self.decode("2F 02 00 00 00 00 00 00 00 00") == .operation(.verify(Self.range(0, 0), .compare, [])))
    }

    /// MAXIMUM TRANSFER LENGTH is 8 MiB, 4000h blocks; the field pointer shows the length field.
    @Test(
        arguments: [
            ("A8 00 00 00 00 00 00 00 40 01 00 00", 6), ("AA 00 00 00 00 00 00 00 40 01 00 00", 6),
            ("28 00 00 00 00 00 00 40 01 00", 7), ("2A 00 00 00 00 00 00 40 01 00", 7),
            ("2E 00 00 00 00 00 00 40 01 00", 7), ("2F 00 00 00 00 00 00 40 01 00", 7),
            ("88 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00", 10),
            ("8A 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00", 10),
        ] as [(String, UInt16)])
    func aboveMaximumTransferLength(_ text: String, _ field: UInt16) {
        #expect(Self.decode(text) == .failed(.invalidFieldInCDB(byte: field)))
        var unlimited = Self.geometry
        unlimited.maximumTransferBlocks = 0
        guard case .operation = Self.decode(text, unlimited) else { Issue.record("no limit, yet refused"); return }
    }

    @Test func exactlyMaximumTransferLength() {
        #expect(Self.decode("28 00 00 00 00 00 00 40 00 00") == .operation(.read(Self.range(0, 0x4000), [])))
    }

    /// Whatever would change a read-only medium, length 0 included.
    @Test(arguments: [
        "0A 00 00 00 01 00", "2A 00 00 00 00 00 00 00 01 00", "2A 00 00 00 00 00 00 00 00 00",
        "AA 00 00 00 00 00 00 00 00 01 00 00", "8A 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
        "2E 02 00 00 00 00 00 00 01 00", "AE 02 00 00 00 00 00 00 00 01 00 00",
        "8E 02 00 00 00 00 00 00 00 00 00 00 00 01 00 00", "41 00 00 00 00 00 00 00 01 00",
        "41 08 00 00 00 00 00 00 01 00", "93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
        "93 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
    ])
    func readOnlyUnit(_ text: String) {
        #expect(Self.decode(text, Self.readOnly) == .failed(.writeProtected))
    }

    @Test func readOnlyUnitReads() {
        #expect(Self.decode("28 00 00 00 00 00 00 00 01 00", Self.readOnly) == .operation(.read(Self.range(0, 1), [])))
        #expect(
            Self.decode("2F 02 00 00 00 00 00 00 01 00", Self.readOnly)
                == .operation(.verify(Self.range(0, 1), .compare, [])))
        #expect(
            Self.decode("35 00 00 00 00 00 00 00 00 00", Self.readOnly)
                == .operation(.synchronizeCache(Self.range(0, 0x20_0000), immediate: false)))
    }

    @Test func verifyByteCheck() {
        for (flags, check): (String, ByteCheck) in [("00", .medium), ("02", .compare), ("06", .compareOneBlock)] {
            let operation = MediaOperation.verify(Self.range(2, 3), check, [])
            #expect(Self.decode("2F \(flags) 00 00 00 02 00 00 03 00") == .operation(operation))
            #expect(Self.decode("AF \(flags) 00 00 00 02 00 00 00 03 00 00") == .operation(operation))
            #expect(Self.decode("8F \(flags) 00 00 00 00 00 00 00 02 00 00 00 03 00 00") == .operation(operation))
        }
        #expect(Self.decode("2F 04 00 00 00 02 00 00 03 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 2)))
        #expect(
            Self.decode("2F 12 00 00 00 02 00 00 03 00")
                == .operation(.verify(Self.range(2, 3), .compare, .disablePageOut)))
    }

    @Test func writeAndVerifyByteCheck() {
        for (flags, check): (String, ByteCheck) in [("00", .medium), ("02", .compare)] {
            let operation = MediaOperation.writeAndVerify(Self.range(2, 3), check, .forceUnitAccess)
            #expect(Self.decode("2E \(flags) 00 00 00 02 00 00 03 00") == .operation(operation))
            #expect(Self.decode("AE \(flags) 00 00 00 02 00 00 00 03 00 00") == .operation(operation))
            #expect(Self.decode("8E \(flags) 00 00 00 00 00 00 00 02 00 00 00 03 00 00") == .operation(operation))
        }
        for reserved in ["04", "06"] {
            #expect(
                Self.decode("2E \(reserved) 00 00 00 02 00 00 03 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 2)))
        }
    }

    @Test func writeSameFlags() {
        let range = Self.range(8, 16)
        #expect(Self.decode("41 00 00 00 00 08 00 00 10 00") == .operation(.writeSame(range, [])))
        #expect(Self.decode("41 08 00 00 00 08 00 00 10 00") == .operation(.writeSame(range, .unmap)))
        #expect(Self.decode("93 00 00 00 00 00 00 00 00 08 00 00 00 10 00 00") == .operation(.writeSame(range, [])))
        #expect(
            Self.decode("93 09 00 00 00 00 00 00 00 08 00 00 00 10 00 00")
                == .operation(.writeSame(range, [.unmap, .noDataOut])))
        // ANCHOR, with and without UNMAP (ANC_SUP is 0).
        #expect(Self.decode("41 10 00 00 00 08 00 00 10 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 4)))
        #expect(Self.decode("41 18 00 00 00 08 00 00 10 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 4)))
        // LBDATA, PBDATA: obsolete, and they would change what is written. NDOB is not there in WRITE SAME (10).
        #expect(Self.decode("41 02 00 00 00 08 00 00 10 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 1)))
        #expect(
            Self.decode("93 04 00 00 00 00 00 00 00 08 00 00 00 10 00 00")
                == .failed(.invalidFieldInCDB(byte: 1, bit: 2)))
        #expect(Self.decode("41 01 00 00 00 08 00 00 10 00") == .failed(.invalidFieldInCDB(byte: 1, bit: 0)))
    }

    @Test func writeSameUnmapNeedsAThinUnit() {
        let thick = BlockGeometry(blockLengthBytes: 512, blockCount: 1024, isThin: false)
        #expect(Self.decode("41 08 00 00 00 00 00 00 01 00", thick) == .failed(.invalidFieldInCDB(byte: 1, bit: 3)))
        #expect(Self.decode("41 00 00 00 00 00 00 00 01 00", thick) == .operation(.writeSame(Self.range(0, 1), [])))
    }

    /// MAXIMUM WRITE SAME LENGTH is 16 MiB, 8000h blocks; length 0 is refused wherever it begins (WSNZ 1).
    @Test func writeSameLengthLimit() {
        let limit: UInt64 = 0x8000
        #expect(
            Self.decode("93 00 00 00 00 00 00 00 00 00 00 00 80 00 00 00")
                == .operation(.writeSame(Self.range(0, limit), [])))
        #expect(Self.decode("93 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00") == .failed(.invalidFieldInCDB(byte: 10)))
        #expect(Self.decode("93 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00") == .failed(.invalidFieldInCDB(byte: 10)))
        #expect(Self.decode("41 00 00 00 00 00 00 00 00 00") == .failed(.invalidFieldInCDB(byte: 7)))
        #expect(Self.decode("41 00 00 1F FF FF 00 00 00 00") == .failed(.invalidFieldInCDB(byte: 7)))
        #expect(Self.decode("41 08 00 1F FF FF 00 00 00 00") == .failed(.invalidFieldInCDB(byte: 7)))
    }

    @Test func synchronizeCacheAndPrefetch() {
        let range = Self.range(4, 2)
        let rest = Self.range(4, 0x20_0000 - 4)
        for (flags, immediate) in [("00", false), ("02", true)] {
            #expect(
                Self.decode("35 \(flags) 00 00 00 04 00 00 02 00")
                    == .operation(.synchronizeCache(range, immediate: immediate)))
            #expect(
                Self.decode("91 \(flags) 00 00 00 00 00 00 00 04 00 00 00 00 00 00")
                    == .operation(.synchronizeCache(rest, immediate: immediate)))
            #expect(
                Self.decode("34 \(flags) 00 00 00 04 03 00 02 00") == .operation(.prefetch(range, immediate: immediate))
            )
            #expect(
                Self.decode("90 \(flags) 00 00 00 00 00 00 00 04 00 00 00 00 00 00")
                    == .operation(.prefetch(rest, immediate: immediate)))
        }
    }

    @Test func toTheEndOfAUnitBeyond32Bits() {
        let large = BlockGeometry(blockLengthBytes: 512, blockCount: 0x2_0000_0000)
        #expect(
            Self.decode("91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", large)
                == .operation(.synchronizeCache(Self.range(0, 0x2_0000_0000), immediate: false)))
        #expect(
            Self.decode("88 00 00 00 00 01 FF FF FF FF 00 00 00 01 00 00", large)
                == .operation(.read(Self.range(0x1_FFFF_FFFF, 1), [])))
    }

    @Test func groupNumberIsIgnored() {
        #expect(Self.decode("28 00 00 00 00 00 1F 00 01 00") == .operation(.read(Self.range(0, 1), [])))
    }

    @Test(arguments: [0x00, 0x03, 0x12, 0x25, 0x42, 0x7F, 0x83, 0x9C, 0x9E, 0xA3, 0xFF] as [UInt8])
    func notAMediaCommand(_ code: UInt8) {
        #expect(MediaOperation.decode(CommandDescriptorBlock([code]), Self.geometry) == .notMediaCommand)
    }
}

@Suite struct MediaOperationTests {
    static let range = BlockRange(firstBlock: 1, blockCount: 8)

    @Test func transferLengths() {
        for geometry in [Fixture.geometry, BlockGeometry(blockLengthBytes: 4096, blockCount: 1024)] {
            let block = UInt64(geometry.blockLengthBytes)
            for (operation, out, into): (MediaOperation, UInt64, UInt64) in [
                (.read(Self.range, []), 0, 8 * block), (.write(Self.range, []), 8 * block, 0),
                (.writeAndVerify(Self.range, .medium, []), 8 * block, 0), (.verify(Self.range, .medium, []), 0, 0),
                (.verify(Self.range, .compare, []), 8 * block, 0),
                (.verify(Self.range, .compareOneBlock, []), block, 0),
                (.writeSame(Self.range, []), block, 0), (.writeSame(Self.range, .noDataOut), 0, 0),
                (.synchronizeCache(Self.range, immediate: false), 0, 0), (.prefetch(Self.range, immediate: true), 0, 0),
            ] {
                #expect(operation.dataOutLengthBytes(geometry) == out, "\(operation)")
                #expect(operation.dataInLengthBytes(geometry) == into, "\(operation)")
                #expect(operation.range == Self.range)
                #expect(operation.isWrite == (operation.writingThrough != operation))
            }
        }
    }

    @Test func expectedDataOutOfWrites() {
        for write in [MediaOperation.write(Self.range, []), .writeAndVerify(Self.range, .compare, .forceUnitAccess)] {
            for length: UInt32 in [0, 512, 3584, 4096, 4097, 8192, .max] {
                #expect(write.expectedDataOutFault(length, Fixture.geometry) == nil)
            }
            for length: UInt32 in [1, 200, 511, 513, 4095] {
                #expect(write.expectedDataOutFault(length, Fixture.geometry) == .invalidFieldInCommandInformationUnit)
            }
        }
    }

    @Test func expectedDataOutOfTheOthers() {
        let same = MediaOperation.writeSame(Self.range, .unmap)
        let verify = MediaOperation.verify(Self.range, .compare, [])
        #expect(same.expectedDataOutFault(512, Fixture.geometry) == nil)
        for length: UInt32 in [0, 256, 1024] {
            #expect(same.expectedDataOutFault(length, Fixture.geometry) == .invalidFieldInCommandInformationUnit)
        }
        #expect(MediaOperation.writeSame(Self.range, .noDataOut).expectedDataOutFault(0, Fixture.geometry) == nil)
        #expect(verify.expectedDataOutFault(4096, Fixture.geometry) == nil)
        #expect(verify.expectedDataOutFault(8192, Fixture.geometry) == nil)
        #expect(verify.expectedDataOutFault(3584, Fixture.geometry) == .invalidFieldInCommandInformationUnit)
        // libiscsi sends data with BYTCHK 0: it is not looked at.
        let medium = MediaOperation.verify(Self.range, .medium, [])
        #expect(medium.expectedDataOutFault(4096, Fixture.geometry) == nil)
        #expect(MediaOperation.read(Self.range, []).expectedDataOutFault(0, Fixture.geometry) == nil)
    }

    @Test func truncationKeepsTheBlocksSent() {
        let write = MediaOperation.write(Self.range, .forceUnitAccess)
        for blocks: UInt64 in 0...10 {
            let sent = BlockRange(firstBlock: 1, blockCount: min(blocks, 8))
            let length = UInt32(blocks * 512)
            let truncated = write.truncated(toDataOutLengthBytes: length, Fixture.geometry)
            #expect(truncated == .write(sent, .forceUnitAccess))
            let verified = MediaOperation.writeAndVerify(Self.range, .compare, .forceUnitAccess)
            #expect(
                verified.truncated(toDataOutLengthBytes: length, Fixture.geometry)
                    == .writeAndVerify(sent, .compare, .forceUnitAccess))
        }
        let read = MediaOperation.read(Self.range, [])
        #expect(read.truncated(toDataOutLengthBytes: 0, Fixture.geometry) == read)
        let same = MediaOperation.writeSame(Self.range, [])
        #expect(same.truncated(toDataOutLengthBytes: 512, Fixture.geometry) == same)
    }

    @Test func forcedUnitAccess() {
        #expect(!MediaOperation.write(Self.range, []).forcesUnitAccess)
        #expect(MediaOperation.write(Self.range, []).writingThrough.forcesUnitAccess)
        #expect(
            MediaOperation.writeSame(Self.range, .unmap).writingThrough
                == .writeSame(Self.range, [.unmap, .forceUnitAccess]))
        #expect(MediaOperation.read(Self.range, []).writingThrough == .read(Self.range, []))
        #expect(MediaOperation.writeAndVerify(Self.range, .medium, []).forcesUnitAccess)
        #expect(!MediaOperation.synchronizeCache(Self.range, immediate: true).forcesUnitAccess)
    }
}
