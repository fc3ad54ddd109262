import ISCSI
import SCSI
import TargetServer

/// The file that reservations are kept in. What holds: nothing traps; what is taken is exactly what would be written.
enum RecordTarget {
    static func run(_ input: inout Input) {
        let isWhole = input.byte() & 1 == 0
        var bytes = input.rest
        if isWhole {
            // The checksum put right, which chance does not find.
            bytes += Array("crc32c \(checksum(bytes))\n".utf8)
        }
        guard let record = try? ReservationRecord(decoding: bytes) else { return }
        hold(record.state.isConsistent, "a state that contradicts itself was taken")
        guard let again = try? ReservationRecord(decoding: record.encoded) else { fatalError("broken: not taken back") }
        hold(again == record, "read back as another")
        hold(record.state(atBoot: record.boot) == record.state, "another state in the same boot")
        hold(record.state(atBoot: record.boot + "x").isConsistent, "a state that contradicts itself after a boot")
    }

    private static func checksum(_ bytes: [UInt8]) -> String {
        let digits = String(withSpan(bytes) { CRC32C<SoftwareCRC32C>.checksum(of: $0) }, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
