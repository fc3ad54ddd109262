import ISCSI
import Testing

@Suite("Text")
struct TextTests {
    @Test("pairs are read in order")
    func pairs() throws {
        let keys = try TextKeys(text("InitiatorName=iqn.2026-01.net.example:a", "X-a.b=", "HeaderDigest=CRC32C,None"))
        #expect(keys.pairs.count == 3)
        #expect(keys["X-a.b"] == "")
        #expect(keys["HeaderDigest"] == "CRC32C,None")
        #expect(keys["headerdigest"] == nil)
        #expect(try TextKeys([]).pairs.isEmpty)
        #expect(try TextKeys([0, 0, 0]).pairs.isEmpty)
        #expect(try TextKeys(text("A=b=c")).pairs == [TextPair("A", "b=c")])
    }

    @Test("faults are told apart")
    func faults() {
        #expect(throws: TextFault.notTerminated) { try TextKeys(Array("A=b".utf8)) }
        #expect(throws: TextFault.noEqualsSign("Ab")) { try TextKeys(text("Ab")) }
        #expect(throws: TextFault.badKey("")) { try TextKeys(text("=b")) }
        #expect(throws: TextFault.badKey("A b")) { try TextKeys(text("A b=c")) }
        #expect(throws: TextFault.duplicateKey("A")) { try TextKeys(text("A=b", "B=c", "A=b")) }
        #expect(throws: TextFault.notUTF8("A")) { try TextKeys([0x41, 0x3d, 0xff, 0]) }
        let long = String(repeating: "k", count: 64)
        #expect(throws: TextFault.badKey(String(long.dropLast()))) { try TextKeys(text(long + "=v")) }
        #expect(try! TextKeys(text(long.dropLast() + "=v")).pairs.count == 1)
        #expect(throws: TextFault.valueTooLong("A")) { try TextKeys(text("A=" + String(repeating: "v", count: 8193))) }
        #expect(try! TextKeys(text("A=" + String(repeating: "v", count: 8192))).pairs.count == 1)
        let many = (0..<65).flatMap { text("K\($0)=v") }
        #expect(throws: TextFault.tooManyPairs) { try TextKeys(many) }
        #expect(throws: TextFault.textTooLong) { try TextKeys([UInt8](repeating: 0, count: 16385)) }
        #expect(TextFault.badKey("a\u{1b}[2J\n").description == "'a?[2J?' is no key name")
    }

    @Test("every truncation and random bytes end in pairs or a fault")
    func hostile() {
        let good = text("InitiatorName=iqn.2026-01.net.example:a", "SessionType=Normal", "HeaderDigest=CRC32C,None")
        for count in 0...good.count {
            let keys = try? TextKeys(Array(good.prefix(count)))
            #expect((keys == nil) == (count != 0 && good[count - 1] != 0))
        }
        withSeed("random text") { generator in
            let alphabet: [UInt8] = Array("AB=,~09xb\0\0=-".utf8) + [0xff, 0x80]
            for _ in 0..<5000 {
                let count = Int.random(in: 0...60, using: &generator)
                let bytes = (0..<count).map { _ in alphabet.randomElement(using: &generator)! }
                if let keys = try? TextKeys(bytes) {
                    var writer = TextWriter(limitBytes: 100)
                    for pair in keys.pairs where !writer.append(pair.key, pair.value) { Issue.record("no room") }
                    #expect(try! TextKeys(writer.bytes) == keys)
                }
            }
        }
    }

    @Test("an accumulator joins pieces and has a bound")
    func accumulator() throws {
        var accumulator = TextAccumulator()
        let whole = text("A=b", "C=d")
        for byte in whole { try [byte].raw { (span) throws(TextFault) in try accumulator.append(span) } }
        #expect(accumulator.lengthBytes == whole.count)
        let taken = [accumulator.take(), accumulator.take()]
        #expect(taken == [whole, []])
        let piece = [UInt8](repeating: 0x41, count: 8192)
        try piece.raw { (span) throws(TextFault) in try accumulator.append(span) }
        try piece.raw { (span) throws(TextFault) in try accumulator.append(span) }
        #expect(throws: TextFault.textTooLong) {
            try [UInt8](repeating: 0x41, count: 1).raw { (span) throws(TextFault) in try accumulator.append(span) }
        }
        #expect(accumulator.lengthBytes == 16384)
    }

    @Test("a writer stops at its bound and takes no NUL")
    func writer() {
        var writer = TextWriter(limitBytes: 10)
        let taken = [("A", "b"), ("Long", "value"), ("A", "\0"), ("Key", "v"), ("A", "")].map {
            writer.append($0.0, $0.1)
        }
        #expect(taken == [true, false, false, true, false])
        #expect(writer.bytes == text("A=b", "Key=v"))
    }

    @Test("chunks give all bytes in order, none longer than the limit")
    func chunks() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        for limit in [1, 7, 512, 999, 1000, 1001, 8192] {
            var chunks = TextChunks()
            #expect(chunks.isEmpty)
            let nothing = chunks.next(limit: limit)
            #expect(nothing.isEmpty)
            chunks.append(bytes)
            var result: [UInt8] = []
            while !chunks.isEmpty {
                let piece = chunks.next(limit: limit)
                #expect(!piece.isEmpty && piece.count <= limit)
                result += piece
            }
            #expect(result == bytes)
        }
    }

    @Test("numbers: decimal and hexadecimal, up to 64 bits")
    func numbers() {
        for (text, value) in [
            ("0", 0), ("1", 1), ("262144", 262_144), ("0x0", 0), ("0x40000", 262_144), ("0XfF", 255),
            ("18446744073709551615", UInt64.max), ("0xffffffffffffffff", UInt64.max), ("0x0000000000000000001", 1),
        ] as [(String, UInt64)] {
            #expect(TextValue.number(text) == value, "\(text)")
        }
        for bad in [
            "", "00", "01", "-1", "+1", " 1", "1 ", "1a", "0x", "0xg", "x", "18446744073709551616",
            "0x10000000000000000", "99999999999999999999", String(repeating: "1", count: 100), "١",
        ] {
            #expect(TextValue.number(bad) == nil, "\(bad)")
        }
        #expect(TextValue.number("512", in: 512...1024) == 512)
        #expect(TextValue.number("511", in: 512...1024) == nil)
        #expect(TextValue.number("18446744073709551615", in: 0...Int.max) == nil)
        #expect(TextValue.range("1~0x10") == 1...16)
        for bad in ["1", "~", "1~", "~1", "2~1", "1~2~3"] { #expect(TextValue.range(bad) == nil, "\(bad)") }
    }

    @Test("lists and booleans")
    func listsAndBooleans() {
        #expect(TextValue.list("CRC32C,None") == ["CRC32C", "None"])
        #expect(TextValue.list("None") == ["None"])
        for bad in ["", ",", "a,", ",a", "a,,b"] { #expect(TextValue.list(bad) == nil, "\(bad)") }
        #expect(TextValue.list((0..<64).map { "\($0)" }.joined(separator: ","))?.count == 64)
        #expect(TextValue.list((0..<65).map { "\($0)" }.joined(separator: ",")) == nil)
        #expect(TextValue.list(String(repeating: ",", count: 8192)) == nil)
        #expect(TextValue.boolean("Yes") == true && TextValue.boolean("No") == false)
        for bad in ["yes", "NO", "", "1", "Yes "] { #expect(TextValue.boolean(bad) == nil, "\(bad)") }
    }

    @Test("binary values: hexadecimal and base64, never longer than allowed")
    func binary() {
        #expect(TextValue.binary("0x00ff10", maximumLengthBytes: 3) == [0, 255, 16])
        #expect(TextValue.binary("0xfff", maximumLengthBytes: 2) == [0x0f, 0xff])
        #expect(TextValue.binary("0b" + "aGVsbG8=", maximumLengthBytes: 5) == Array("hello".utf8))
        #expect(TextValue.binary("0BaGVsbA==", maximumLengthBytes: 4) == Array("hell".utf8))
        #expect(TextValue.binary("0x00ff10", maximumLengthBytes: 2) == nil)
        #expect(TextValue.binary("0baGVsbG8=", maximumLengthBytes: 4) == nil)
        for bad in [
            "", "0", "0x", "0b", "00ff", "1x00", "0x0g", "0baGVsbG8", "0b====", "0ba===", "0bab=c", "0baGVsbA=",
            "0bYR==",
            "0b aGV", "0bYWJj=", "0x00 ",
        ] {
            #expect(TextValue.binary(bad, maximumLengthBytes: 100) == nil, "\(bad)")
        }
        #expect(TextValue.text(hexadecimal: [0, 0xab]) == "0x00ab")
    }

    @Test("binary values of every length: decoded whole or refused")
    func binaryLengths() {
        for digits in 0...2200 {
            let value = TextValue.binary("0x" + String(repeating: "f", count: digits), maximumLengthBytes: 1024)
            #expect((value?.count ?? 0) == (digits == 0 || digits > 2048 ? 0 : (digits + 1) / 2))
        }
        for characters in 0...1500 {
            let value = TextValue.binary("0b" + String(repeating: "A", count: characters), maximumLengthBytes: 1024)
            let whole = characters / 4 * 3
            #expect(value?.count == (characters == 0 || characters % 4 != 0 || whole > 1024 ? nil : whole))
        }
        let longest = String(repeating: "A", count: 100_000)
        #expect(TextValue.binary("0b" + longest, maximumLengthBytes: 1024) == nil)
        #expect(TextValue.binary("0x" + longest, maximumLengthBytes: 1_000_000) == nil)
        withSeed("random binary values") { generator in
            for _ in 0..<5000 {
                let bytes = generator.bytes(Int.random(in: 1...40, using: &generator))
                #expect(TextValue.binary(TextValue.text(hexadecimal: bytes), maximumLengthBytes: 40) == bytes)
                let noise = String(decoding: generator.bytes(20), as: UTF8.self)
                _ = TextValue.binary("0b" + noise, maximumLengthBytes: 40)
                _ = TextValue.binary("0x" + noise, maximumLengthBytes: 40)
                _ = (TextValue.number(noise), TextValue.range(noise), TextValue.list(noise))
            }
        }
    }
}
