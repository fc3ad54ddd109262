/// The keys of RFC 7143 section 13 that are not about identity or security.
public enum OperationalKey: String, Sendable, CaseIterable {
    /// HeaderDigest (section 13.1).
    case headerDigest = "HeaderDigest"
    /// DataDigest (section 13.1).
    case dataDigest = "DataDigest"
    /// MaxConnections (section 13.2).
    case maxConnections = "MaxConnections"
    /// InitialR2T (section 13.10).
    case initialR2T = "InitialR2T"
    /// ImmediateData (section 13.11).
    case immediateData = "ImmediateData"
    /// MaxRecvDataSegmentLength (section 13.12).
    case maxRecvDataSegmentLength = "MaxRecvDataSegmentLength"
    /// MaxBurstLength (section 13.13).
    case maxBurstLength = "MaxBurstLength"
    /// FirstBurstLength (section 13.14).
    case firstBurstLength = "FirstBurstLength"
    /// DefaultTime2Wait (section 13.15).
    case defaultTime2Wait = "DefaultTime2Wait"
    /// DefaultTime2Retain (section 13.16).
    case defaultTime2Retain = "DefaultTime2Retain"
    /// MaxOutstandingR2T (section 13.17).
    case maxOutstandingR2T = "MaxOutstandingR2T"
    /// DataPDUInOrder (section 13.18).
    case dataPDUInOrder = "DataPDUInOrder"
    /// DataSequenceInOrder (section 13.19).
    case dataSequenceInOrder = "DataSequenceInOrder"
    /// ErrorRecoveryLevel (section 13.20).
    case errorRecoveryLevel = "ErrorRecoveryLevel"
    /// TaskReporting (section 13.23).
    case taskReporting = "TaskReporting"
    /// iSCSIProtocolLevel (section 13.24).
    case protocolLevel = "iSCSIProtocolLevel"
    /// IFMarker (section 13.25, obsolete).
    case ifMarker = "IFMarker"
    /// OFMarker (section 13.25, obsolete).
    case ofMarker = "OFMarker"
    /// IFMarkInt (section 13.25, obsolete).
    case ifMarkInt = "IFMarkInt"
    /// OFMarkInt (section 13.25, obsolete).
    case ofMarkInt = "OFMarkInt"

    /// Whether the standard calls the key irrelevant in a discovery session.
    public var isIrrelevantInDiscovery: Bool {
        switch self {
        case .maxConnections, .initialR2T, .immediateData, .maxBurstLength, .firstBurstLength, .maxOutstandingR2T,
            .dataPDUInOrder, .dataSequenceInOrder, .taskReporting, .protocolLevel:
            true
        default: false
        }
    }

    /// The bounds of a number, or nil for a key of another kind.
    public var bounds: ClosedRange<Int>? {
        switch self {
        case .maxConnections, .maxOutstandingR2T: 1...65535
        case .maxRecvDataSegmentLength, .maxBurstLength, .firstBurstLength: OperationalParameters.segmentLengthBytes
        case .defaultTime2Wait, .defaultTime2Retain: 0...3600
        case .errorRecoveryLevel: 0...2
        case .protocolLevel: 0...31
        default: nil
        }
    }
}

/// The other keys of RFC 7143 by name.
public enum ISCSIKey {
    /// InitiatorName (section 13.5).
    public static let initiatorName = "InitiatorName"
    /// InitiatorAlias (section 13.7).
    public static let initiatorAlias = "InitiatorAlias"
    /// TargetName (section 13.4).
    public static let targetName = "TargetName"
    /// TargetAlias (section 13.6).
    public static let targetAlias = "TargetAlias"
    /// TargetAddress (section 13.8).
    public static let targetAddress = "TargetAddress"
    /// TargetPortalGroupTag (section 13.9).
    public static let targetPortalGroupTag = "TargetPortalGroupTag"
    /// SessionType (section 13.21).
    public static let sessionType = "SessionType"
    /// SendTargets (section 13.3).
    public static let sendTargets = "SendTargets"
    /// AuthMethod (section 12.1).
    public static let authMethod = "AuthMethod"

    /// Whether `key` belongs to the security negotiation alone (sections 12.1.1 to 12.1.3).
    static func isSecurity(_ key: String) -> Bool {
        key == authMethod || key.hasPrefix("CHAP_") || key.hasPrefix("SRP_") || key.hasPrefix("KRB_")
    }
}
