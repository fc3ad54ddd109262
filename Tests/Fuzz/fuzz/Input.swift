/// The fuzzer's bytes, read from the front. Beyond the end everything is zero, so that no target needs a case for it.
struct Input {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ buffer: UnsafeRawBufferPointer) { bytes = unsafe [UInt8](buffer) }

    var isEmpty: Bool { offset >= bytes.count }
    /// All that is left.
    var rest: [UInt8] { Array(bytes[offset...]) }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// Big-endian.
    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number {
        var value: Number = 0
        for _ in 0..<MemoryLayout<Number>.size { value = value << 8 | Number(truncatingIfNeeded: byte()) }
        return value
    }

    /// At most `count` bytes.
    mutating func take(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, offset + count)
        defer { offset = end }
        return Array(bytes[offset..<end])
    }

    /// Exactly `count` bytes, with zeros where there are no more.
    mutating func padded(_ count: Int) -> [UInt8] {
        let taken = take(count)
        return taken + [UInt8](repeating: 0, count: count - taken.count)
    }

    /// One of a few values.
    mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(byte()) % values.count] }
}

/// A property. What breaks it ends the process, and libFuzzer keeps the input.
@inline(__always)
func hold(_ condition: Bool, _ property: @autoclosure () -> String) {
    if !condition { fatalError("broken: \(property())") }
}

/// Bytes as the state machines take them.
func withSpan<Result>(_ bytes: [UInt8], _ body: (RawSpan) -> Result) -> Result { body(unsafe bytes.span.bytes) }
