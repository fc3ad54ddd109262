/// A PDU of one kind: a basic header segment read with that kind's field names. The view costs nothing: it is the
/// header, and every 48 bytes are a value of every view.
public protocol HeaderView: Sendable, BitwiseCopyable, Equatable {
    /// The opcode of this kind of PDU.
    static var opcode: Opcode { get }
    /// The header behind the view.
    var header: BasicHeaderSegment { get set }
    /// The view of `header`, whose opcode is not looked at: who calls this has switched on it.
    init(header: BasicHeaderSegment)
}

extension HeaderView {
    /// The view of `header` when its opcode is the right one.
    @inlinable
    public init?(checking header: BasicHeaderSegment) {
        guard header[.opcode] == Self.opcode.rawValue else { return nil }
        self.init(header: header)
    }

    /// The Initiator Task Tag (section 11.2.1.8).
    @inlinable
    public var initiatorTaskTag: InitiatorTaskTag {
        get { header[.initiatorTaskTag] }
        set { header[.initiatorTaskTag] = newValue }
    }

    /// The length of the data segment in bytes, without padding (section 11.2.1.6).
    @inlinable
    public var dataSegmentLength: Int {
        get { header.dataSegmentLength }
        set { header.dataSegmentLength = newValue }
    }

    /// The F bit (section 11.2.1.3).
    @inlinable
    public var isFinal: Bool {
        get { header[.final] }
        set { header[.final] = newValue }
    }

    /// A header with the opcode, the F bit and the Initiator Task Tag set.
    @inlinable
    static func blank(_ tag: InitiatorTaskTag, final: Bool = true, immediate: Bool = false) -> BasicHeaderSegment {
        var header = BasicHeaderSegment(opcode: opcode)
        header[.final] = final
        header[.immediate] = immediate
        header[.initiatorTaskTag] = tag
        return header
    }
}

/// A PDU that takes a place in the command order, unless it is immediate (RFC 7143 section 4.2.2.1).
public protocol RequestView: HeaderView {}

extension RequestView {
    /// The I bit: delivered at once, outside the window.
    @inlinable
    public var isImmediate: Bool {
        get { header[.immediate] }
        set { header[.immediate] = newValue }
    }

    /// The request's place in the command order.
    @inlinable
    public var cmdSN: SerialNumber {
        get { header[.cmdSN] }
        set { header[.cmdSN] = newValue }
    }

    /// The StatSN that the initiator expects next: everything before it is acknowledged.
    @inlinable
    public var expStatSN: SerialNumber {
        get { header[.expStatSN] }
        set { header[.expStatSN] = newValue }
    }
}

/// The three numbers that every PDU from a target carries (RFC 7143 section 4.2.2).
@frozen
public struct TargetSequence: Sendable, BitwiseCopyable, Equatable {
    /// The status's number on its connection. In R2T, and in Data-In without status, the next one to be given.
    public var statSN: SerialNumber
    /// The next CmdSN that the target expects.
    public var expCmdSN: SerialNumber
    /// The last CmdSN that the target has room for.
    public var maxCmdSN: SerialNumber

    /// All three 0: for a response whose numbers are set when it is sent.
    @inlinable
    public static var zero: TargetSequence {
        TargetSequence(statSN: SerialNumber(0), expCmdSN: SerialNumber(0), maxCmdSN: SerialNumber(0))
    }

    /// The three numbers.
    @inlinable
    public init(statSN: SerialNumber, expCmdSN: SerialNumber, maxCmdSN: SerialNumber) {
        self.statSN = statSN
        self.expCmdSN = expCmdSN
        self.maxCmdSN = maxCmdSN
    }
}

/// A PDU from a target.
public protocol TargetView: HeaderView {}

extension TargetView {
    /// StatSN, ExpCmdSN and MaxCmdSN together. A queued response takes them when it is sent, so that the window it
    /// opens is the newest one.
    @inlinable
    public var sequence: TargetSequence {
        get { TargetSequence(statSN: header[.statSN], expCmdSN: header[.expCmdSN], maxCmdSN: header[.maxCmdSN]) }
        set {
            header[.statSN] = newValue.statSN
            header[.expCmdSN] = newValue.expCmdSN
            header[.maxCmdSN] = newValue.maxCmdSN
        }
    }

    /// The status's number on its connection.
    @inlinable
    public var statSN: SerialNumber {
        get { header[.statSN] }
        set { header[.statSN] = newValue }
    }

    /// The next CmdSN that the target expects.
    @inlinable
    public var expCmdSN: SerialNumber {
        get { header[.expCmdSN] }
        set { header[.expCmdSN] = newValue }
    }

    /// The last CmdSN that the target has room for.
    @inlinable
    public var maxCmdSN: SerialNumber {
        get { header[.maxCmdSN] }
        set { header[.maxCmdSN] = newValue }
    }
}

extension BasicHeaderSegment {
    /// Sets StatSN, ExpCmdSN and MaxCmdSN of a header from a target, whatever its opcode.
    @inlinable
    public mutating func setSequence(_ sequence: TargetSequence) {
        self[.statSN] = sequence.statSN
        self[.expCmdSN] = sequence.expCmdSN
        self[.maxCmdSN] = sequence.maxCmdSN
    }
}
