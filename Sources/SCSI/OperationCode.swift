/// An operation code (SPC-4 annex E, SBC-3 table 12). A struct and not an enum: any byte can arrive.
public struct OperationCode: RawRepresentable, BitwiseCopyable, Sendable, Hashable {
    /// Byte 0 of the command descriptor block.
    public var rawValue: UInt8
    /// Names any byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// TEST UNIT READY (SPC-4 6.47).
    public static let testUnitReady = Self(rawValue: 0x00)
    /// REQUEST SENSE (SPC-4 6.39).
    public static let requestSense = Self(rawValue: 0x03)
    /// FORMAT UNIT (SBC-3 5.4).
    public static let formatUnit = Self(rawValue: 0x04)
    /// READ (6) (SBC-3 5.10).
    public static let read6 = Self(rawValue: 0x08)
    /// WRITE (6) (SBC-3 5.31).
    public static let write6 = Self(rawValue: 0x0A)
    /// RESERVE (6) (SPC-2 7.21).
    public static let reserve6 = Self(rawValue: 0x16)
    /// RELEASE (6) (SPC-2 7.17).
    public static let release6 = Self(rawValue: 0x17)
    /// RESERVE (10) (SPC-2 7.22).
    public static let reserve10 = Self(rawValue: 0x56)
    /// RELEASE (10) (SPC-2 7.18).
    public static let release10 = Self(rawValue: 0x57)
    /// INQUIRY (SPC-4 6.6).
    public static let inquiry = Self(rawValue: 0x12)
    /// MODE SELECT (6) (SPC-4 6.12).
    public static let modeSelect6 = Self(rawValue: 0x15)
    /// MODE SENSE (6) (SPC-4 6.14).
    public static let modeSense6 = Self(rawValue: 0x1A)
    /// START STOP UNIT (SBC-3 5.25).
    public static let startStopUnit = Self(rawValue: 0x1B)
    /// SEND DIAGNOSTIC (SPC-4 6.42).
    public static let sendDiagnostic = Self(rawValue: 0x1D)
    /// PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.17).
    public static let preventAllowMediumRemoval = Self(rawValue: 0x1E)
    /// READ CAPACITY (10) (SBC-3 5.15).
    public static let readCapacity10 = Self(rawValue: 0x25)
    /// READ (10) (SBC-3 5.11).
    public static let read10 = Self(rawValue: 0x28)
    /// WRITE (10) (SBC-3 5.32).
    public static let write10 = Self(rawValue: 0x2A)
    /// WRITE AND VERIFY (10) (SBC-3 5.36).
    public static let writeAndVerify10 = Self(rawValue: 0x2E)
    /// VERIFY (10) (SBC-3 5.27).
    public static let verify10 = Self(rawValue: 0x2F)
    /// PRE-FETCH (10) (SBC-3 5.8).
    public static let prefetch10 = Self(rawValue: 0x34)
    /// SYNCHRONIZE CACHE (10) (SBC-3 5.22).
    public static let synchronizeCache10 = Self(rawValue: 0x35)
    /// READ DEFECT DATA (10) (SBC-3 5.17).
    public static let readDefectData10 = Self(rawValue: 0x37)
    /// WRITE SAME (10) (SBC-3 5.40).
    public static let writeSame10 = Self(rawValue: 0x41)
    /// UNMAP (SBC-3 5.26).
    public static let unmap = Self(rawValue: 0x42)
    /// SANITIZE (SBC-3 5.24).
    public static let sanitize = Self(rawValue: 0x48)
    /// MODE SELECT (10) (SPC-4 6.13).
    public static let modeSelect10 = Self(rawValue: 0x55)
    /// MODE SENSE (10) (SPC-4 6.15).
    public static let modeSense10 = Self(rawValue: 0x5A)
    /// Variable length command descriptor blocks (SPC-4 4.2.3).
    public static let variableLength = Self(rawValue: 0x7F)
    /// EXTENDED COPY (SPC-4 6.4); LID1 is its service action 0.
    public static let extendedCopy = Self(rawValue: 0x83)
    /// RECEIVE COPY RESULTS (SPC-4 6.22, 6.23).
    public static let receiveCopyResults = Self(rawValue: 0x84)
    /// READ (16) (SBC-3 5.13).
    public static let read16 = Self(rawValue: 0x88)
    /// COMPARE AND WRITE (SBC-3 5.2).
    public static let compareAndWrite = Self(rawValue: 0x89)
    /// ORWRITE (16) (SBC-3 5.7).
    public static let orWrite16 = Self(rawValue: 0x8B)
    /// WRITE (16) (SBC-3 5.34).
    public static let write16 = Self(rawValue: 0x8A)
    /// WRITE AND VERIFY (16) (SBC-3 5.38).
    public static let writeAndVerify16 = Self(rawValue: 0x8E)
    /// VERIFY (16) (SBC-3 5.29).
    public static let verify16 = Self(rawValue: 0x8F)
    /// PRE-FETCH (16) (SBC-3 5.9).
    public static let prefetch16 = Self(rawValue: 0x90)
    /// SYNCHRONIZE CACHE (16) (SBC-3 5.23).
    public static let synchronizeCache16 = Self(rawValue: 0x91)
    /// WRITE SAME (16) (SBC-3 5.41).
    public static let writeSame16 = Self(rawValue: 0x93)
    /// WRITE ATOMIC (16) (SBC-4 5.48).
    public static let writeAtomic16 = Self(rawValue: 0x9C)
    /// RECEIVE DIAGNOSTIC RESULTS (SPC-4 6.31).
    public static let receiveDiagnosticResults = Self(rawValue: 0x1C)
    /// LOG SELECT (SPC-4 6.7).
    public static let logSelect = Self(rawValue: 0x4C)
    /// LOG SENSE (SPC-4 6.8).
    public static let logSense = Self(rawValue: 0x4D)
    /// PERSISTENT RESERVE IN (SPC-4 6.15).
    public static let persistentReserveIn = Self(rawValue: 0x5E)
    /// PERSISTENT RESERVE OUT (SPC-4 6.16).
    public static let persistentReserveOut = Self(rawValue: 0x5F)
    /// SERVICE ACTION IN (16) (SPC-4 6.41): READ CAPACITY (16) and GET LBA STATUS.
    public static let serviceActionIn16 = Self(rawValue: 0x9E)
    /// REPORT LUNS (SPC-4 6.33).
    public static let reportLUNs = Self(rawValue: 0xA0)
    /// MAINTENANCE IN (SPC-4 6.9): REPORT SUPPORTED OPERATION CODES and ... TASK MANAGEMENT FUNCTIONS.
    public static let maintenanceIn = Self(rawValue: 0xA3)
    /// MAINTENANCE OUT (SPC-4 6.10): SET TARGET PORT GROUPS.
    public static let maintenanceOut = Self(rawValue: 0xA4)
    /// READ (12) (SBC-3 5.12).
    public static let read12 = Self(rawValue: 0xA8)
    /// WRITE (12) (SBC-3 5.33).
    public static let write12 = Self(rawValue: 0xAA)
    /// WRITE AND VERIFY (12) (SBC-3 5.37).
    public static let writeAndVerify12 = Self(rawValue: 0xAE)
    /// VERIFY (12) (SBC-3 5.28).
    public static let verify12 = Self(rawValue: 0xAF)
    /// READ DEFECT DATA (12) (SBC-3 5.18).
    public static let readDefectData12 = Self(rawValue: 0xB7)
}

/// Service actions of the operation codes that have them.
enum ServiceAction {
    /// LID1, of EXTENDED COPY (SPC-4 6.4).
    static let extendedCopyLID1: UInt16 = 0x00
    /// COPY STATUS (LID1), of RECEIVE COPY RESULTS (SPC-4 6.22).
    static let copyStatus: UInt16 = 0x00
    /// OPERATING PARAMETERS, of RECEIVE COPY RESULTS (SPC-4 6.23).
    static let operatingParameters: UInt16 = 0x03
    /// OVERWRITE, of SANITIZE (SBC-3 5.24.2.2).
    static let sanitizeOverwrite: UInt16 = 0x01
    /// BLOCK ERASE, of SANITIZE (SBC-3 5.24.2.3).
    static let sanitizeBlockErase: UInt16 = 0x02
    /// EXIT FAILURE MODE, of SANITIZE (SBC-3 5.24.2.5).
    static let sanitizeExitFailureMode: UInt16 = 0x1F
    /// WRITE SAME (32), of a variable length block (SBC-3 5.42).
    static let writeSame32: UInt16 = 0x0D
    /// READ CAPACITY (16), of SERVICE ACTION IN (16) (SBC-3 5.16).
    static let readCapacity16: UInt16 = 0x10
    /// GET LBA STATUS, of SERVICE ACTION IN (16) (SBC-3 5.5).
    static let getLBAStatus: UInt16 = 0x12
    /// REPORT TARGET PORT GROUPS, of MAINTENANCE IN (SPC-4 6.37).
    static let reportTargetPortGroups: UInt16 = 0x0A
    /// SET TARGET PORT GROUPS, of MAINTENANCE OUT (SPC-4 6.45).
    static let setTargetPortGroups: UInt16 = 0x0A
    /// REPORT SUPPORTED OPERATION CODES, of MAINTENANCE IN (SPC-4 6.35).
    static let reportSupportedOperationCodes: UInt16 = 0x0C
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, of MAINTENANCE IN (SPC-4 6.36).
    static let reportSupportedTaskManagementFunctions: UInt16 = 0x0D
}
