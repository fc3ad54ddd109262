import ISCSI
import Testing

@Suite("Basic header segment")
struct HeaderTests {
    @Test("is 48 bytes, in memory as on the wire")
    func size() {
        #expect(MemoryLayout<BasicHeaderSegment>.size == 48)
        #expect(MemoryLayout<BasicHeaderSegment>.stride == 48)
        #expect(MemoryLayout<SCSICommand>.size == 48)
        #expect(MemoryLayout<SCSIDataIn>.size == 48)
        #expect(BasicHeaderSegment.lengthBytes == 48)
        let bytes = (0..<48).map { UInt8($0) }
        #expect(BasicHeaderSegment(golden: bytes).bytes == bytes)
    }

    @Test("is not read from fewer bytes, at any offset")
    func short() {
        let bytes = [UInt8](repeating: 0xff, count: 100)
        for count in 0...100 {
            for offset in -2...102 {
                let header = bytes.raw { BasicHeaderSegment($0.extracting(first: count), at: offset) }
                #expect((header != nil) == (offset >= 0 && offset + 48 <= count))
            }
        }
        #expect(bytes.raw { BasicHeaderSegment($0, at: Int.max) } == nil)
        #expect(bytes.raw { BasicHeaderSegment($0, at: Int.min) } == nil)
    }

    @Test("is stored where it is asked to be, and nowhere else")
    func store() {
        var bytes = [UInt8](repeating: 0xee, count: 60)
        let header = BasicHeaderSegment(golden: (0..<48).map { UInt8($0) })
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        header.store(into: &raw, at: 7)
        #expect(Array(bytes[0..<7]) == [UInt8](repeating: 0xee, count: 7))
        #expect(Array(bytes[7..<55]) == (0..<48).map { UInt8($0) })
        #expect(Array(bytes[55...]) == [UInt8](repeating: 0xee, count: 5))
    }

    @Test("random bytes into every view: nothing traps, a field written is a field read, its neighbours stay")
    func randomBytes() {
        withSeed("random headers") { generator in
            for _ in 0..<300 {
                let bytes = generator.bytes(48)
                let header = BasicHeaderSegment(golden: bytes)
                #expect(header.bytes == bytes)
                readEverything(header)
                rewriteEverything(header, &generator)
            }
        }
    }

    @Test("a PDU's parts lie where section 11.1 puts them")
    func layout() {
        var header = BasicHeaderSegment(opcode: .scsiCommand)
        header.dataSegmentLength = 5
        header.totalAHSLengthBytes = 20
        let plain = PDULayout(header, headerDigest: false, dataDigest: false)
        #expect(plain.headerLength == 68)
        #expect(plain.dataOffset == 68)
        #expect(plain.dataLength == 5)
        #expect(plain.paddedDataEnd == 76)
        #expect(plain.totalLength == 76)
        let digests = PDULayout(header, headerDigest: true, dataDigest: true)
        #expect(digests.dataOffset == 72)
        #expect(digests.paddedDataEnd == 80)
        #expect(digests.totalLength == 84)
        header.dataSegmentLength = 0
        #expect(PDULayout(header, headerDigest: true, dataDigest: true).totalLength == 72)
        header.dataSegmentLength = 0xff_ffff
        header.totalAHSLengthBytes = 1020
        #expect(PDULayout(header, headerDigest: true, dataDigest: true).totalLength == 48 + 1020 + 4 + 0x100_0000 + 4)
        for length in 0...9 {
            #expect(BasicHeaderSegment.padded(length) == length + BasicHeaderSegment.padding(length))
            #expect(BasicHeaderSegment.padded(length) % 4 == 0)
            #expect(BasicHeaderSegment.padding(length) < 4)
        }
    }

    @Test("a residual replaces the one before, count and bits")
    func residual() {
        var response = SCSIResponse(
            initiatorTaskTag: InitiatorTaskTag(1), status: 0, residual: .underflow(512), sequence: .zero)
        response.residual = .overflow(7)
        #expect(response.residualOverflow && !response.residualUnderflow && response.residualCount == 7)
        response.residual = .none
        #expect(!response.residualOverflow && !response.residualUnderflow && response.residualCount == 0)
        #expect(Residual(expected: 10, available: 4) == .underflow(6))
        #expect(Residual(expected: 4, available: 10) == .overflow(6))
        #expect(Residual(expected: 4, available: 4) == .none)
        #expect(Residual(expected: 0, available: Int.max) == .overflow(UInt32.max))
    }

    @Test("a view is made only of its own opcode")
    func checking() {
        for opcode in Opcode.allCases {
            var header = BasicHeaderSegment(opcode: opcode)
            header[.immediate] = true
            #expect(header.opcode == opcode)
            #expect((LoginRequest(checking: header) != nil) == (opcode == .loginRequest))
            #expect((SCSIDataIn(checking: header) != nil) == (opcode == .scsiDataIn))
            #expect(opcode.isFromInitiator == (opcode.rawValue < 0x20))
        }
        var unknown = BasicHeaderSegment()
        unknown[.opcode] = 0x1c
        #expect(unknown.opcode == nil)
    }

    /// Every getter of every view.
    private func readEverything(_ header: BasicHeaderSegment) {
        #expect((0...0xff_ffff).contains(header.dataSegmentLength))
        #expect((0...1020).contains(header.totalAHSLengthBytes))
        let command = SCSICommand(header: header)
        let cdb = command.cdb
        #expect((0..<16).map { cdb[$0] } == Array(header.bytes[32...]))
        #expect(command.attribute.map(\.rawValue) == (command.attributes <= 4 ? command.attributes : nil))
        _ = (TaskManagementRequest(header: header).function, TaskManagementResponse(header: header).result)
        _ = (LogoutRequest(header: header).reason, LogoutResponse(header: header).result)
        _ = (SNACKRequest(header: header).type, Reject(header: header).reason, AsyncMessage(header: header).event)
        _ = (LoginRequest(header: header).currentStage, LoginResponse(header: header).status)
        _ = (SCSIResponse(header: header).residual, SCSIDataIn(header: header).residual)
        _ = (R2T(header: header).desiredDataTransferLength, SCSIDataOut(header: header).bufferOffset)
        _ = (NOPOut(header: header).lun.index, NOPIn(header: header).sequence)
        _ = (TextRequest(header: header).continues, TextResponse(header: header).continues)
        _ = PDULayout(header, headerDigest: true, dataDigest: true)
    }

    /// Writes random values into fields and looks that exactly the field's bits changed.
    private func rewriteEverything(_ header: BasicHeaderSegment, _ generator: inout SeededGenerator) {
        func check<Value: HeaderFieldValue & Equatable>(
            _ field: HeaderField<Value>, bytes range: Range<Int>, mask: UInt8 = 0xff, _ value: Value
        ) {
            var copy = header
            copy[field] = value
            #expect(copy[field] == value)
            let strayed = zip(header.bytes, copy.bytes).enumerated().first { index, pair in
                (pair.0 ^ pair.1) & ~(range.contains(index) ? mask : 0) != 0
            }
            #expect(strayed == nil, "byte \(strayed?.offset ?? -1) changed")
            copy[field] = header[field]
            #expect(copy == header)
        }
        let word = UInt32.random(in: 0...UInt32.max, using: &generator)
        let flag = Bool.random(using: &generator)
        check(.opcode, bytes: 0..<1, mask: 0x3f, UInt8(word & 0x3f))
        check(.immediate, bytes: 0..<1, mask: 0x40, flag)
        check(.final, bytes: 1..<2, mask: 0x80, flag)
        check(.read, bytes: 1..<2, mask: 0x40, flag)
        check(.write, bytes: 1..<2, mask: 0x20, flag)
        check(.attributes, bytes: 1..<2, mask: 0x07, UInt8(word & 7))
        check(.currentStage, bytes: 1..<2, mask: 0x0c, UInt8(word & 3))
        check(.nextStage, bytes: 1..<2, mask: 0x03, UInt8(word & 3))
        check(.hasStatus, bytes: 1..<2, mask: 0x01, flag)
        check(.response, bytes: 2..<3, UInt8(word & 0xff))
        check(.status, bytes: 3..<4, UInt8(word & 0xff))
        check(.totalAHSLength, bytes: 4..<5, UInt8(word & 0xff))
        check(.dataSegmentLength, bytes: 5..<8, word & 0xff_ffff)
        check(.lun, bytes: 8..<16, LogicalUnitNumber(rawValue: UInt64(word) << 32 | 7))
        check(.isid, bytes: 8..<14, ISID(rawValue: UInt64(word) << 16 | 9))
        check(.tsih, bytes: 14..<16, UInt16(word & 0xffff))
        check(.initiatorTaskTag, bytes: 16..<20, InitiatorTaskTag(word))
        check(.targetTransferTag, bytes: 20..<24, TargetTransferTag(word))
        check(.expectedDataTransferLength, bytes: 20..<24, word)
        check(.cid, bytes: 20..<22, UInt16(word & 0xffff))
        check(.cmdSN, bytes: 24..<28, SerialNumber(word))
        check(.statSN, bytes: 24..<28, SerialNumber(word))
        check(.expStatSN, bytes: 28..<32, SerialNumber(word))
        check(.expCmdSN, bytes: 28..<32, SerialNumber(word))
        check(.maxCmdSN, bytes: 32..<36, SerialNumber(word))
        check(.dataSN, bytes: 36..<40, word)
        check(.statusClass, bytes: 36..<37, UInt8(word & 0xff))
        check(.asyncParameter1, bytes: 38..<40, UInt16(word & 0xffff))
        check(.bufferOffset, bytes: 40..<44, word)
        check(.time2Retain, bytes: 42..<44, UInt16(word & 0xffff))
        check(.residualCount, bytes: 44..<48, word)
    }
}

@Suite("Additional header segments")
struct AdditionalHeaderTests {
    private func next(
        _ cursor: inout AdditionalHeaderCursor, _ bytes: [UInt8]
    ) throws(AdditionalHeaderFault) -> AdditionalHeaderSegment? {
        try cursor.next(in: unsafe bytes.span.bytes)
    }

    @Test("an extended CDB and a bidirectional read length are read back")
    func wellFormed() throws {
        let bytes = hex(
            """
            00 11          # AHSLength: 16 bytes of CDB and the reserved byte
            01             # AHSType: extended CDB
            00             # reserved
            10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f  # CDB bytes 16 to 31
            00 05          # AHSLength: 4 bytes and the reserved byte
            02             # AHSType: Bidirectional Expected Read-Data Length
            00             # reserved
            00 01 00 00    # 65,536
            """)
        #expect(bytes.count == 28)
        var cursor = AdditionalHeaderCursor()
        let first = try #require(try next(&cursor, bytes))
        #expect(first.kind == .extendedCDB)
        #expect(bytes.raw(first.content(in:)) == (0x10...0x1f).map { UInt8($0) })
        #expect(bytes.raw(first.bidirectionalReadLength(in:)) == nil)
        let second = try #require(try next(&cursor, bytes))
        #expect(second.kind == .bidirectionalReadLength)
        #expect(bytes.raw(second.bidirectionalReadLength(in:)) == 65536)
        #expect(try next(&cursor, bytes) == nil)
        let encoded =
            AdditionalHeaderCursor.encode(.extendedCDB, content: (0x10...0x1f).map { UInt8($0) })
            + AdditionalHeaderCursor.encode(.bidirectionalReadLength, content: [0, 1, 0, 0])
        #expect(encoded == bytes)
    }

    @Test("a length of 0, one beyond the end, and every truncation are faults")
    func malformed() {
        for bytes in [hex("00 00 01 00"), hex("00 02 01 00"), hex("ff ff 01 00 00 00 00 00")] {
            var cursor = AdditionalHeaderCursor()
            #expect(throws: AdditionalHeaderFault.badLength(at: 0)) { _ = try next(&cursor, bytes) }
        }
        for bytes in [hex("00"), hex("00 01"), hex("00 01 01")] {
            var cursor = AdditionalHeaderCursor()
            #expect(throws: AdditionalHeaderFault.truncated(at: 0)) { _ = try next(&cursor, bytes) }
        }
    }

    @Test("random bytes of every length end in a bounded number of steps")
    func randomBytes() {
        withSeed("random AHS") { generator in
            for count in 0...1020 {
                var bytes = generator.bytes(count)
                // Small lengths, so that the walk goes further than one step.
                for index in stride(from: 0, to: count, by: 4) where Bool.random(using: &generator) { bytes[index] = 0 }
                var cursor = AdditionalHeaderCursor()
                var steps = 0
                while let segment = try? next(&cursor, bytes) {
                    steps += 1
                    #expect(segment.contentOffset + segment.contentLength <= count)
                    _ = bytes.raw(segment.content(in:))
                    _ = bytes.raw(segment.bidirectionalReadLength(in:))
                    guard steps <= count / 4 + 1 else { break }
                }
                #expect(steps <= count / 4 + 1)
            }
        }
    }
}
