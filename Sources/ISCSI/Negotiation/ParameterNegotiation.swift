/// The operational negotiation of one login, from the side that answers (RFC 7143 sections 6.2 and 13): it takes the
/// initiator's offers in any number of requests and gives the answers and, in the end, the parameters.
public struct ParameterNegotiation: Sendable {
    /// What is agreed so far.
    public private(set) var parameters = OperationalParameters()
    /// The keys that the initiator offered so far: each may come once (section 6.2).
    public private(set) var offered: Set<OperationalKey> = []

    private let preferences: OperationalPreferences

    /// A negotiation in which nothing was offered. `preferences` are the target's.
    public init(preferences: OperationalPreferences) { self.preferences = preferences }

    /// Why the login must end.
    public enum Fault: Error, Sendable, Equatable, CustomStringConvertible {
        /// A key that was negotiated in an earlier request came again.
        case repeated(OperationalKey)
        /// The initiator offers no digest that the target is told to insist on.
        case digestRequired(OperationalKey)

        /// One phrase for a log line.
        public var description: String {
            switch self {
            case .repeated(let key): "\(key.rawValue) came a second time"
            case .digestRequired(let key): "this target requires \(key.rawValue)=CRC32C, which was not offered"
            }
        }
    }

    /// Answers the operational keys among `pairs`, in their order; other keys are passed over.
    public mutating func answer(_ pairs: [TextPair], sessionType: SessionType) throws(Fault) -> [TextPair] {
        var answers: [OperationalKey: String] = [:]
        var order: [OperationalKey] = []
        // FirstBurstLength is bounded by MaxBurstLength, which may stand behind it in the same request.
        let offers = pairs.compactMap { pair in OperationalKey(rawValue: pair.key).map { ($0, pair.value) } }
        for (key, _) in offers {
            guard offered.insert(key).inserted else { throw .repeated(key) }
            order.append(key)
        }
        for (key, value) in offers where key != .firstBurstLength {
            answers[key] = try answer(key, value, sessionType)
        }
        for (key, value) in offers where key == .firstBurstLength {
            answers[key] = try answer(key, value, sessionType)
        }
        return order.compactMap { key in answers[key].map { TextPair(key.rawValue, $0) } }
    }

    /// Ends the negotiation: what must hold between keys holds afterwards.
    public mutating func finish() throws(Fault) -> OperationalParameters {
        if preferences.headerDigest == .requireCRC32C, parameters.headerDigest == .none {
            throw .digestRequired(.headerDigest)
        }
        if preferences.dataDigest == .requireCRC32C, parameters.dataDigest == .none {
            throw .digestRequired(.dataDigest)
        }
        parameters.targetMaxRecvDataSegmentLength = declaredMaxRecvDataSegmentLength
        // The default FirstBurstLength may be above a MaxBurstLength that was negotiated down (section 13.14).
        parameters.firstBurstLength = min(parameters.firstBurstLength, parameters.maxBurstLength)
        return parameters
    }

    /// The MaxRecvDataSegmentLength that the target declares, in bytes.
    public var declaredMaxRecvDataSegmentLength: Int {
        let bounds = OperationalParameters.segmentLengthBytes
        return min(max(preferences.maxRecvDataSegmentLength, bounds.lowerBound), bounds.upperBound)
    }

    /// The answer to one key, or nil where none is due (a declaration).
    private mutating func answer(
        _ key: OperationalKey, _ value: String, _ sessionType: SessionType
    ) throws(Fault) -> String? {
        if sessionType == .discovery, key.isIrrelevantInDiscovery { return TextConstant.irrelevant }
        switch key {
        case .headerDigest, .dataDigest: return try answerDigest(key, value)
        case .initialR2T, .dataPDUInOrder, .dataSequenceInOrder, .immediateData:
            guard let wanted = TextValue.boolean(value) else { return TextConstant.reject }
            return TextValue.text(agree(key, wanted))
        case .taskReporting:
            // Only the reporting of RFC 3720 is spoken, and it is the default.
            guard let list = TextValue.list(value), list.contains("RFC3720") else { return TextConstant.reject }
            return "RFC3720"
        case .ifMarker, .ofMarker:
            // Section 13.25 lets a target say No or Reject; open-iscsi and libiscsi offer No and read No back.
            return TextValue.boolean(value) == nil ? TextConstant.reject : TextValue.text(false)
        case .ifMarkInt, .ofMarkInt: return TextConstant.reject
        default:
            guard let bounds = key.bounds, let wanted = TextValue.number(value, in: bounds) else {
                return TextConstant.reject
            }
            return agree(key, wanted, bounds).map { String($0) }
        }
    }

    private mutating func answerDigest(_ key: OperationalKey, _ value: String) throws(Fault) -> String {
        let preference = key == .headerDigest ? preferences.headerDigest : preferences.dataDigest
        guard let list = TextValue.list(value), let method = preference.choose(from: list) else {
            if preference == .requireCRC32C { throw .digestRequired(key) }
            return TextConstant.reject
        }
        if key == .headerDigest { parameters.headerDigest = method } else { parameters.dataDigest = method }
        return method.rawValue
    }

    private mutating func agree(_ key: OperationalKey, _ wanted: Bool) -> Bool {
        switch key {
        case .initialR2T:
            parameters.initialR2T = wanted || preferences.initialR2T
            return parameters.initialR2T
        case .immediateData:
            parameters.immediateData = wanted && preferences.immediateData
            return parameters.immediateData
        case .dataPDUInOrder:
            parameters.dataPDUInOrder = wanted || preferences.dataPDUInOrder
            return parameters.dataPDUInOrder
        default:
            parameters.dataSequenceInOrder = wanted || preferences.dataSequenceInOrder
            return parameters.dataSequenceInOrder
        }
    }

    private mutating func agree(_ key: OperationalKey, _ wanted: Int, _ bounds: ClosedRange<Int>) -> Int? {
        /// The smaller number, never outside the bounds whatever the preference says.
        func smaller(_ own: Int) -> Int { min(wanted, max(own, bounds.lowerBound)) }
        switch key {
        case .maxRecvDataSegmentLength:
            parameters.initiatorMaxRecvDataSegmentLength = wanted
            return nil
        case .maxConnections:
            parameters.maxConnections = smaller(preferences.maxConnections)
            return parameters.maxConnections
        case .maxBurstLength:
            parameters.maxBurstLength = smaller(preferences.maxBurstLength)
            return parameters.maxBurstLength
        case .firstBurstLength:
            parameters.firstBurstLength = min(smaller(preferences.firstBurstLength), parameters.maxBurstLength)
            return parameters.firstBurstLength
        case .defaultTime2Wait:
            parameters.defaultTime2WaitSeconds = max(
                wanted, min(preferences.defaultTime2WaitSeconds, bounds.upperBound))
            return parameters.defaultTime2WaitSeconds
        case .defaultTime2Retain:
            parameters.defaultTime2RetainSeconds = smaller(preferences.defaultTime2RetainSeconds)
            return parameters.defaultTime2RetainSeconds
        case .maxOutstandingR2T:
            parameters.maxOutstandingR2T = smaller(preferences.maxOutstandingR2T)
            return parameters.maxOutstandingR2T
        case .errorRecoveryLevel:
            parameters.errorRecoveryLevel = smaller(preferences.errorRecoveryLevel)
            return parameters.errorRecoveryLevel
        default:
            parameters.protocolLevel = smaller(preferences.protocolLevel)
            return parameters.protocolLevel
        }
    }
}
