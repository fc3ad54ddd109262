/// Whether a connection carries CRC32C digests (RFC 7143 section 13.1).
public enum DigestMethod: String, Sendable, CaseIterable {
    /// No digest.
    case none = "None"
    /// CRC32C.
    case crc32c = "CRC32C"
}

/// What a session is for (RFC 7143 section 13.21).
public enum SessionType: String, Sendable, CaseIterable {
    /// SCSI commands to one target.
    case normal = "Normal"
    /// SendTargets only.
    case discovery = "Discovery"
}

/// What the two sides of a connection agreed on (RFC 7143 section 13). A fresh value holds the standard's defaults, which
/// stand for every key that nobody offered.
public struct OperationalParameters: Sendable, Equatable {
    /// HeaderDigest (section 13.1).
    public var headerDigest = DigestMethod.none
    /// DataDigest (section 13.1).
    public var dataDigest = DigestMethod.none
    /// MaxConnections (section 13.2).
    public var maxConnections = 1
    /// InitialR2T (section 13.10): true means that no Data-Out comes without an R2T.
    public var initialR2T = true
    /// ImmediateData (section 13.11): true means that a command may carry data.
    public var immediateData = true
    /// The most data bytes of one PDU to the initiator: its MaxRecvDataSegmentLength (section 13.12).
    public var initiatorMaxRecvDataSegmentLength = 8192
    /// The most data bytes of one PDU to the target: its MaxRecvDataSegmentLength (section 13.12).
    public var targetMaxRecvDataSegmentLength = 8192
    /// MaxBurstLength in bytes (section 13.13): of one Data-In sequence, or of the answer to one R2T.
    public var maxBurstLength = 262_144
    /// FirstBurstLength in bytes (section 13.14): of all unsolicited data of one command, immediate data included.
    /// Never above `maxBurstLength` once the login is over.
    public var firstBurstLength = 65_536
    /// DefaultTime2Wait in seconds (section 13.15).
    public var defaultTime2WaitSeconds = 2
    /// DefaultTime2Retain in seconds (section 13.16).
    public var defaultTime2RetainSeconds = 20
    /// MaxOutstandingR2T, for one task (section 13.17).
    public var maxOutstandingR2T = 1
    /// DataPDUInOrder (section 13.18).
    public var dataPDUInOrder = true
    /// DataSequenceInOrder (section 13.19).
    public var dataSequenceInOrder = true
    /// ErrorRecoveryLevel (section 13.20).
    public var errorRecoveryLevel = 0
    /// iSCSIProtocolLevel (section 13.24): 1 is RFC 7143, 2 is RFC 7144.
    public var protocolLevel = 1

    /// The defaults of the standard.
    public init() {}

    /// The bounds of MaxRecvDataSegmentLength, MaxBurstLength and FirstBurstLength in bytes.
    public static let segmentLengthBytes = 512...16_777_215
}

/// How a side chooses among the digests that the other one lists (RFC 7143 sections 6.2.1 and 13.1).
public enum DigestPreference: Sendable, Equatable {
    /// The first of the list that is known, which is the offering side's preference: the rule of the standard.
    case offeredOrder
    /// CRC32C wherever it is listed, in any place.
    case preferCRC32C
    /// CRC32C, or the login fails.
    case requireCRC32C
    /// No digest.
    case noneOnly

    /// The value that answers `offered`, or nil where none of it is admissible.
    public func choose(from offered: [String]) -> DigestMethod? {
        let known = offered.compactMap(DigestMethod.init(rawValue:))
        switch self {
        case .offeredOrder: return known.first
        case .preferCRC32C: return known.contains(.crc32c) ? .crc32c : known.first
        case .requireCRC32C: return known.contains(.crc32c) ? .crc32c : nil
        case .noneOnly: return known.contains(.none) ? DigestMethod.none : nil
        }
    }

    /// The list that a side with this preference offers.
    var offer: String {
        switch self {
        case .offeredOrder: "None,CRC32C"
        case .preferCRC32C: "CRC32C,None"
        case .requireCRC32C: "CRC32C"
        case .noneOnly: "None"
        }
    }
}

/// What one side wants of a session; the other side's wishes and the result functions of RFC 7143 section 13 make
/// `OperationalParameters` of it. The defaults are a target's: every value that lets an initiator move much data with few
/// PDUs.
///
/// A key that the initiator never offers keeps the standard's default, so a target must cope with a MaxBurstLength of
/// 262,144 and a FirstBurstLength of 65,536 even where it wants less.
public struct OperationalPreferences: Sendable, Equatable {
    /// HeaderDigest.
    public var headerDigest = DigestPreference.offeredOrder
    /// DataDigest.
    public var dataDigest = DigestPreference.offeredOrder
    /// The most connections of a session. The result is the smaller number.
    public var maxConnections = 1
    /// InitialR2T. The result is Yes when one side wants it.
    public var initialR2T = false
    /// ImmediateData. The result is Yes when both sides want it.
    public var immediateData = true
    /// The most data bytes that this side takes in one PDU.
    public var maxRecvDataSegmentLength = 262_144
    /// MaxBurstLength in bytes. The result is the smaller number.
    public var maxBurstLength = 1_048_576
    /// FirstBurstLength in bytes. The result is the smaller number.
    public var firstBurstLength = 262_144
    /// DefaultTime2Wait in seconds. The result is the larger number.
    public var defaultTime2WaitSeconds = 2
    /// DefaultTime2Retain in seconds. The result is the smaller number.
    public var defaultTime2RetainSeconds = 0
    /// MaxOutstandingR2T. The result is the smaller number.
    public var maxOutstandingR2T = 1
    /// DataPDUInOrder. The result is Yes when one side wants it.
    public var dataPDUInOrder = true
    /// DataSequenceInOrder. The result is Yes when one side wants it.
    public var dataSequenceInOrder = true
    /// ErrorRecoveryLevel. The result is the smaller number.
    public var errorRecoveryLevel = 0
    /// iSCSIProtocolLevel. The result is the smaller number.
    public var protocolLevel = 1

    /// A target's defaults.
    public init() {}
}
