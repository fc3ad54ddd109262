import CISAL

/// CRC32C as iSCSI uses it (RFC 7143 section 13.1), by ISA-L.
struct RunningDigest: BitwiseCopyable {
    private var value: UInt32 = 0xffff_ffff

    @inline(__always)
    mutating func update(_ bytes: UnsafeRawPointer, _ count: Int) {
        value = unsafe cisal_crc32c_update(value, bytes, count)
    }

    /// The digest as it stands on the wire, read as a little-endian word.
    @inline(__always)
    var final: UInt32 { ~value }
}
