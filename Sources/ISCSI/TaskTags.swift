/// The Initiator Task Tag: the initiator's name for a task, unique in its session (RFC 7143 section 11.2.1.8).
@frozen
public struct InitiatorTaskTag: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The tag in host byte order. Targets give it back and read nothing into it.
    public var rawValue: UInt32

    /// A tag with the given value.
    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// 0xffffffff: no task (a NOP-Out that wants no answer, a NOP-In of the target's own, Reject, Async Message).
    @inlinable
    public static var reserved: InitiatorTaskTag { InitiatorTaskTag(0xffff_ffff) }

    /// Whether the tag stands for no task.
    @inlinable
    public var isReserved: Bool { rawValue == 0xffff_ffff }

    /// The tag in hexadecimal.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// The Target Transfer Tag: the target's name for a transfer, a text negotiation or a ping
/// (RFC 7143 sections 11.7.4, 11.10.4, 11.18.1).
@frozen
public struct TargetTransferTag: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The tag in host byte order. Initiators give it back and read nothing into it.
    public var rawValue: UInt32

    /// A tag with the given value.
    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// 0xffffffff: no tag (unsolicited data, the start of a text negotiation, a ping that wants no answer).
    @inlinable
    public static var reserved: TargetTransferTag { TargetTransferTag(0xffff_ffff) }

    /// Whether the tag is the reserved value.
    @inlinable
    public var isReserved: Bool { rawValue == 0xffff_ffff }

    /// The tag in hexadecimal.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}
