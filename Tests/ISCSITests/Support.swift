import Glibc
import ISCSI
import Testing

/// Bytes from commented hexadecimal: one line a field, `#` begins a comment.
func hex(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for line in text.split(separator: "\n") {
        let code = line.prefix { $0 != "#" }
        for word in code.split(separator: " ") {
            var rest = word
            while !rest.isEmpty {
                bytes.append(UInt8(rest.prefix(2), radix: 16)!)
                rest = rest.dropFirst(2)
            }
        }
    }
    return bytes
}

/// `key=value` lines as they stand in a data segment.
func text(_ lines: String...) -> [UInt8] { lines.flatMap { Array($0.utf8) + [0] } }

/// The pairs of a data segment, as lines.
func lines(_ bytes: [UInt8]) -> [String] {
    bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
}

/// A generator that gives the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// Runs `body` with a seed of its own, which is printed; `ISCSI_TEST_SEED` sets it to run a failure again.
func withSeed(_ name: String, _ body: (inout SeededGenerator) throws -> Void) rethrows {
    var seed = UInt64.random(in: 0...UInt64.max)
    if let wanted = unsafe getenv("ISCSI_TEST_SEED"), let value = UInt64(unsafe String(cString: wanted)) {
        seed = value
    }
    print("\(name): ISCSI_TEST_SEED=\(seed)")
    var generator = SeededGenerator(seed: seed)
    try body(&generator)
}

extension [UInt8] {
    /// Runs `body` with the bytes as machines take them.
    func raw<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        try body(unsafe span.bytes)
    }
}

extension BasicHeaderSegment {
    /// The header in `bytes`, which has 48 at least.
    init(golden bytes: [UInt8]) { self = bytes.raw { BasicHeaderSegment($0)! } }
}

let initiator = try! ISCSIName("iqn.2026-01.net.example:client0")
let volume = try! ISCSIName("iqn.2026-01.net.example:mpath0")
