/// A status code (SAM-5 5.3.1), as it goes into byte 3 of an iSCSI SCSI Response.
public enum SCSIStatus: UInt8, BitwiseCopyable, Sendable {
    /// The command ended without error.
    case good = 0x00
    /// Sense data says what happened.
    case checkCondition = 0x02
    /// PRE-FETCH: all blocks fit in the cache. Not sent here: the page cache promises nothing.
    case conditionMet = 0x04
    /// Come again later; nothing was done.
    case busy = 0x08
    /// The I_T nexus may not do this under the present reservation.
    case reservationConflict = 0x18
    /// The task set has no room for another command of this I_T nexus.
    case taskSetFull = 0x28
    /// Another I_T nexus aborted the command (the Control mode page reports TAS 1).
    case taskAborted = 0x40
}
