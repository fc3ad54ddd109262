/// Big-endian stores and loads for parameter data. Off the data path: these may allocate.
extension [UInt8] {
    /// Appends `value` with its most significant byte first.
    package mutating func append<Value: FixedWidthInteger>(bigEndian value: Value) {
        var shift = Value.bitWidth - 8
        while shift >= 0 {
            append(UInt8(truncatingIfNeeded: value >> Value(shift)))
            shift -= 8
        }
    }

    /// Overwrites the bytes from `offset` on with `value`, most significant byte first.
    package mutating func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        var shift = Value.bitWidth - 8
        var index = offset
        while shift >= 0 {
            self[index] = UInt8(truncatingIfNeeded: value >> Value(shift))
            shift -= 8
            index += 1
        }
    }

    /// Appends printable ASCII, cut or padded with spaces to `count` bytes (SPC-4 4.3.1). Anything else becomes `?`.
    package mutating func append(ascii text: String, paddedTo count: Int) {
        let start = self.count
        for byte in text.utf8.prefix(count) { append(byte >= 0x20 && byte <= 0x7E ? byte : 0x3F) }
        append(contentsOf: repeatElement(0x20, count: start + count - self.count))
    }

    /// The first `count` bytes, or all of them when there are fewer: how an ALLOCATION LENGTH cuts (SPC-4 4.2.5.6).
    package func cut(to count: Int) -> [UInt8] {
        self.count <= count ? self : [UInt8](prefix(count))
    }
}

extension RawSpan {
    /// `Value.bitWidth / 8` bytes from `offset` on, most significant first. The caller has checked the bounds.
    package func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type, at offset: Int) -> Value {
        precondition(offset >= 0 && offset + MemoryLayout<Value>.size <= byteCount)
        return Value(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// The byte at `offset`. The caller has checked the bounds.
    package func byte(_ offset: Int) -> UInt8 { bigEndian(UInt8.self, at: offset) }
}
