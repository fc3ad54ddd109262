import ISCSI
import Reactor
import SCSI

/// What the device server does for one task, beside what `FullFeatureConnection` knows of it.
struct Job: BitwiseCopyable {
    enum Work: UInt8 {
        /// Answered without block requests.
        case none
        /// Data-In from the medium.
        case read
        /// Data-Out to the medium, a burst at a time.
        case write
        /// The same, each burst read back and compared.
        case writeAndVerify
        /// The medium is read, nothing is sent (VERIFY, BYTCHK 00b).
        case verifyMedium
        /// Data-Out is compared with the medium, a burst at a time (VERIFY, BYTCHK 01b).
        case verifyData
        /// One block of Data-Out is compared with every block of the range (VERIFY, BYTCHK 11b).
        case verifyBlock
        /// One block is written over the whole range (WRITE SAME).
        case fill
        /// Data-Out is compared with the medium and written there, nothing in between (COMPARE AND WRITE).
        case compareAndWrite
        /// Data-Out is or'ed with the medium and written there, nothing in between (ORWRITE).
        case orWrite
        /// Data-Out is written as a whole or not at all (WRITE ATOMIC).
        case writeAtomic
        /// Ranges are unmapped.
        case unmap
        /// The cache is flushed.
        case synchronize
        /// Data-Out is a parameter list.
        case parameterList
    }

    var work = Work.none
    /// Block requests in flight.
    var inFlight: Int32 = 0
    /// A block request was submitted: the rest need not wait for a gate that is closing.
    var hasBegun = false
    /// Collects Data-Out; for `fill` and `verifyBlock` later the pattern, for `fill` a whole slot of it.
    var slot = PayloadSlot.none
    /// Where in the task's data the slot begins.
    var slotBase = 0
    /// Where in the file the task's data begins.
    var fileOffset: UInt64 = 0
    /// Bytes of the medium that the command covers (a read: what is sent).
    var totalBytes: UInt64 = 0
    /// Bytes of them that block requests were made for.
    var issuedBytes: UInt64 = 0
    /// Complete only on stable storage.
    var toStableStorage = false
    /// WRITE SAME with UNMAP: a hole will do where the pattern is zeros.
    var mayPunch = false
    /// A burst is wanted, as soon as a block request ends or memory comes back.
    var awaitsBurst = false
    /// A fault rule holds its block requests back: for so long from the first of them, 0 for not at all.
    var delayMilliseconds: UInt32 = 0
    /// The rule.
    var delayRule: Int32 = 0
    /// Until when; 0 before the first block request.
    var delayedUntil: Int64 = 0
    /// What deallocated or zeroed blocks, which is no write that could be durable by itself, has been put on stable storage.
    var isFlushed = false
    /// What went wrong first.
    var sense: Sense?
    /// Memory ran out in the middle: the command ends with BUSY once nothing of it is in flight.
    var lacksMemory = false
    /// Nothing more is begun for it.
    var hasFailed: Bool { sense != nil || lacksMemory }
    /// Bytes of the pattern in `slot` (one block, or as many as the slot holds).
    var patternBytes = 0

    /// Whether all Data-Out goes into one slot before anything is done with it.
    var collectsWhole: Bool { work == .parameterList || work == .fill || work == .verifyBlock || isAtomic }
    /// Whether no other command of the unit may come in between.
    var isAtomic: Bool { work == .compareAndWrite || work == .orWrite || work == .writeAtomic }
}
