/// By how much a transfer missed the Expected Data Transfer Length (RFC 7143 section 11.4.5).
@frozen
public enum Residual: Sendable, Equatable, BitwiseCopyable {
    /// Exactly as many bytes as expected.
    case none
    /// The device had this many bytes more than the initiator expected: O.
    case overflow(UInt32)
    /// This many bytes fewer moved than the initiator expected: U.
    case underflow(UInt32)

    /// The residual of a transfer: `available` is what the device has or wants, `expected` is the Expected Data
    /// Transfer Length, both in bytes.
    @inlinable
    public init(expected: Int, available: Int) {
        if available > expected {
            self = .overflow(UInt32(clamping: available - expected))
        } else if available < expected {
            self = .underflow(UInt32(clamping: expected - available))
        } else {
            self = .none
        }
    }

    /// What the header of a SCSI Response or Data-In says. With both bits set, which the standard forbids, O counts.
    @inlinable
    init(_ header: BasicHeaderSegment) {
        if header[.residualOverflow] {
            self = .overflow(header[.residualCount])
        } else if header[.residualUnderflow] {
            self = .underflow(header[.residualCount])
        } else {
            self = .none
        }
    }

    /// Sets O, U and the count.
    @inlinable
    func write(to header: inout BasicHeaderSegment) {
        header[.residualOverflow] = false
        header[.residualUnderflow] = false
        header[.residualCount] = 0
        switch self {
        case .none: break
        case .overflow(let count):
            header[.residualOverflow] = true
            header[.residualCount] = count
        case .underflow(let count):
            header[.residualUnderflow] = true
            header[.residualCount] = count
        }
    }
}
