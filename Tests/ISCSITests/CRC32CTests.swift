import ISCSI
import Testing

@Suite("CRC32C")
struct CRC32CTests {
    /// The examples of RFC 7143 appendix A.4: bytes, and the digest as it stands on the wire.
    static let examples: [(bytes: [UInt8], digest: [UInt8])] = [
        ([UInt8](repeating: 0, count: 32), hex("aa 36 91 8a")),
        ([UInt8](repeating: 0xff, count: 32), hex("43 ab a8 62")),
        ((0..<32).map { UInt8($0) }, hex("4e 79 dd 46")),
        ((0..<32).map { UInt8(31 - $0) }, hex("5c db 3f 11")),
        (
            hex(
                """
                01 c0 00 00 00 00 00 00   # SCSI READ (10) Command PDU
                00 00 00 00 00 00 00 00
                14 00 00 00 00 00 04 00
                00 00 00 14 00 00 00 18
                28 00 00 00 00 00 00 00
                02 00 00 00 00 00 00 00
                """), hex("56 3a 96 d9")
        ),
    ]

    @Test("the standard's examples, byte for byte on the wire")
    func standard() {
        for (bytes, digest) in Self.examples {
            let checksum = bytes.raw { CRC32C<SoftwareCRC32C>.checksum(of: $0) }
            var wire = [UInt8](repeating: 0xee, count: 6)
            var span = wire.mutableSpan
            var raw = unsafe span.mutableBytes
            PDUDigest.store(checksum, into: &raw, at: 1)
            #expect(wire == [0xee] + digest + [0xee])
            #expect(wire.raw { PDUDigest.load(from: $0, at: 1) } == checksum)
            #expect(digest.raw { PDUDigest.load(from: $0, at: 1) } == nil)
        }
    }

    @Test("a PDU with both digests: the command of the standard's example with 5 bytes of data and their padding")
    func wholePDU() {
        let golden = hex(
            """
            01 81 00 00                                      # opcode 01, F, ATTR SIMPLE
            00 00 00 05                                      # TotalAHSLength, DataSegmentLength 5
            00 00 00 00 00 00 00 00                          # LUN
            14 00 00 00                                      # Initiator Task Tag
            00 00 00 05                                      # Expected Data Transfer Length
            00 00 00 14                                      # CmdSN
            00 00 00 18                                      # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # CDB
            19 f0 76 46                                      # header digest
            68 65 6c 6c 6f                                   # data: hello
            00 00 00                                         # padding
            b3 ed 03 90                                      # data digest, over the padding too
            """)
        let layout = PDULayout(BasicHeaderSegment(golden: golden), headerDigest: true, dataDigest: true)
        #expect(layout.totalLength == golden.count)
        golden.raw { bytes in
            let header = CRC32C<SoftwareCRC32C>.checksum(of: bytes.extracting(0..<layout.headerLength))
            #expect(header == PDUDigest.load(from: bytes, at: layout.headerLength))
            var data = CRC32C<SoftwareCRC32C>()
            data.update(bytes.extracting(layout.dataOffset..<layout.dataOffset + layout.dataLength))
            data.updatePadding(afterDataLength: layout.dataLength)
            #expect(data.value == PDUDigest.load(from: bytes, at: layout.paddedDataEnd))
        }
    }

    @Test("agrees with the bit-by-bit definition at every length and cut")
    func definition() {
        withSeed("CRC32C") { generator in
            for count in 0...70 {
                let bytes = generator.bytes(count)
                var register: UInt32 = 0xffff_ffff
                for byte in bytes {
                    register ^= UInt32(byte)
                    for _ in 0..<8 { register = register & 1 == 0 ? register >> 1 : register >> 1 ^ 0x82f6_3b78 }
                }
                #expect(bytes.raw { CRC32C<SoftwareCRC32C>.checksum(of: $0) } == ~register)
                for cut in 0...count {
                    bytes.raw { span in
                        var crc = CRC32C<SoftwareCRC32C>()
                        crc.update(span.extracting(0..<cut))
                        crc.update(span.extracting(cut..<count))
                        #expect(crc.value == ~register)
                    }
                }
            }
        }
    }
}
