/// The data lengths the initiator announced with the command (EXPECTED DATA TRANSFER LENGTH, RFC 7143 11.3.4), in
/// bytes.
public struct ExpectedTransfer: BitwiseCopyable, Sendable, Equatable {
    /// To the target; 0 when the W bit is clear.
    public var dataOutLengthBytes: UInt32
    /// To the initiator; 0 when the R bit is clear.
    public var dataInLengthBytes: UInt32

    /// Both lengths.
    public init(dataOutLengthBytes: UInt32, dataInLengthBytes: UInt32) {
        self.dataOutLengthBytes = dataOutLengthBytes
        self.dataInLengthBytes = dataInLengthBytes
    }
}

/// A command that waits for its parameter list. Hand it back to `LogicalUnit.finish` with the bytes.
public struct ParameterListContinuation: BitwiseCopyable, Sendable, Equatable {
    let cdb: CommandDescriptorBlock
    let lengthBytes: UInt16
}

/// What the server has to do for a command.
public enum Execution: Sendable, Equatable {
    /// Move or check blocks; the status follows from the store's answer. The operation is the whole one: where the
    /// initiator sends less, `MediaOperation.truncated` is what may be done.
    case media(MediaOperation)
    /// Answer now.
    case status(SCSIStatus, Sense?)
    /// Send these bytes and GOOD. Already cut to the ALLOCATION LENGTH.
    case parameterData([UInt8])
    /// Collect exactly this many bytes of Data-Out (1 to 65535) and call `LogicalUnit.finish`.
    case needsParameterList(lengthBytes: Int, ParameterListContinuation)
    /// Deallocate these ranges, then answer GOOD. Inside the unit, at most `maximumUnmapDescriptors`; they may overlap.
    case unmap([BlockRange])
    /// Ask the store what is allocated from this block on, then send `LBAStatus.parameterData` and GOOD.
    case reportLBAStatus(startingBlock: UInt64, allocationLength: UInt32)

    /// Do this to the whole medium, with no other command on it meanwhile; report with `LogicalUnit.mediumWorkProgressed`
    /// and end with `mediumWorkEnded`, whatever becomes of the command. Then, or at once if `answersAtOnce`, GOOD.
    case workOnMedium(MediumWork)

    /// Copy these segments, in order, then GOOD. Every unit that is named has to be one that the initiator may log in
    /// to, and `LogicalUnit.copyFault` of both has to allow it. What becomes of it goes to `LogicalUnit.copyProgressed`.
    case extendedCopy(ExtendedCopy)

    /// Keep these states on stable storage, give them to the unit by `LogicalUnit.changeAccess`, then answer GOOD; where
    /// that cannot be, `Sense.setTargetPortGroupsCommandFailed`.
    case setTargetPortGroups([TargetPortGroupChange])

    /// Ask `LogicalUnit.reservationOutcome` when no other change of the unit's reservations is under way; keep a change on
    /// stable storage, give it to `commit`, end the tasks of its victims, then answer.
    case persistentReserveOut(PersistentReserveOut)

    /// GOOD, without data.
    public static let good = Execution.status(.good, nil)

    /// CHECK CONDITION with `sense`.
    public static func checkCondition(_ sense: Sense) -> Execution { .status(.checkCondition, sense) }
}
