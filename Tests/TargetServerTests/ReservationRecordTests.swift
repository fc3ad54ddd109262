import ISCSI
import SCSI
import TargetServer
import Testing

/// What is taken from stable storage is what was put there.
@Suite("Server: the record of reservations")
struct ReservationRecordTests {
    private static let lines = [
        "storaged.reservations/1", "unit 336132d69e465b57d", "boot 6f1c2a9e", "generation 12", "aptpl 1",
        "registration 0000000000000abc 9385 iqn.2026-01.net.example:client0,i,0x00023d000001",
        "registration 0000000000000abd 9386 iqn.2026-01.net.example:client1,i,0x00023d000001",
        "reservation 5 9385 iqn.2026-01.net.example:client0,i,0x00023d000001",
    ]

    /// The bytes of a record with these lines, its checksum right.
    private func record(_ lines: [String]) -> [UInt8] {
        let body = Array((lines.joined(separator: "\n") + "\n").utf8)
        let digits = String(unsafe CRC32C<SoftwareCRC32C>.checksum(of: body.span.bytes), radix: 16)
        return body + Array("crc32c \(String(repeating: "0", count: 8 - digits.count))\(digits)\n".utf8)
    }

    @Test("a record reads back as what was written")
    func whole() throws {
        let bytes = record(Self.lines)
        let read = try ReservationRecord(decoding: bytes)
        #expect(read.encoded == bytes)
        #expect(read.state.registrations.count == 2 && read.state.generation == 12)
    }

    /// Found by the fuzzer: a record without its boot was taken, and after a restart counted as one of another boot, which
    /// without APTPL forgets all reservations.
    @Test("a record that lacks a line, or has one twice or in another form, is refused")
    func changed() throws {
        for line in 1..<5 {
            var lines = Self.lines
            lines.remove(at: line)
            #expect(throws: ReservationRecord.Flaw.self, "without \(Self.lines[line])") {
                try ReservationRecord(decoding: record(lines))
            }
        }
        for line in 1..<Self.lines.count {
            var lines = Self.lines
            lines.insert(lines[line], at: line)
            #expect(throws: ReservationRecord.Flaw.self, "twice \(Self.lines[line])") {
                try ReservationRecord(decoding: record(lines))
            }
        }
        for (from, to) in [("generation 12", "generation +12"), ("aptpl 1", "aptpl  1"), (" 9385 ", " 09385 ")] {
            let lines = Self.lines.map { line in
                line.contains(from)
                    ? line.split(separator: from, omittingEmptySubsequences: false).joined(separator: to) : line
            }
            #expect(throws: ReservationRecord.Flaw.self, "\(to)") { try ReservationRecord(decoding: record(lines)) }
        }
    }

    @Test("a record cut at any byte is refused")
    func cut() {
        let bytes = record(Self.lines)
        for count in bytes.indices {
            #expect(throws: ReservationRecord.Flaw.self) { try ReservationRecord(decoding: Array(bytes[..<count])) }
        }
    }
}
