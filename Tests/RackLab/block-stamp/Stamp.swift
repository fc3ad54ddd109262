/// What every block carries: who wrote it, where it belongs, which write it was, and a check over the whole block. A
/// block that is read back tells by itself which write reached it last.
struct Stamp: Equatable {
    /// Bytes of a block.
    static let blockBytes = 4096
    private static let magic: UInt64 = 0x5354_414d_5042_4c4b

    /// Number of the writer.
    var client: UInt64
    /// Number of the block on the device.
    var block: UInt64
    /// Number of the write to this block, from 1 on; a block that was never written has none.
    var sequence: UInt64

    /// Fills a block: five words of header, then words that follow from them.
    func fill(_ words: UnsafeMutableBufferPointer<UInt64>) {
        unsafe words[0] = Self.magic
        unsafe words[1] = client
        unsafe words[2] = block
        unsafe words[3] = sequence
        for index in 5..<words.count {
            unsafe words[index] = (sequence &* 0x9e37_79b9_7f4a_7c15) ^ (block << 20) ^ UInt64(index)
        }
        unsafe words[4] = Self.check(UnsafeBufferPointer(words))
    }

    enum Reading: Equatable {
        /// All zeros: never written.
        case blank
        case stamped(Stamp)
        /// Neither: torn, or somebody else's.
        case broken
    }

    static func read(_ words: UnsafeBufferPointer<UInt64>) -> Reading {
        if unsafe words.allSatisfy({ $0 == 0 }) { return .blank }
        guard unsafe words[0] == magic, unsafe words[4] == check(words) else { return .broken }
        return unsafe .stamped(Stamp(client: words[1], block: words[2], sequence: words[3]))
    }

    private static func check(_ words: UnsafeBufferPointer<UInt64>) -> UInt64 {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in words.indices where index != 4 {
            sum = unsafe (sum ^ words[index]) &* 0x0000_0100_0000_01b3
        }
        return sum
    }
}
