/// The initiator's side of a login (RFC 7143 section 6.3): for the load generator and for tests that let both sides talk to
/// each other. It owns no socket and no clock.
public struct InitiatorLogin: Sendable {
    /// Who logs in, where, and with what wishes.
    public struct Configuration: Sendable {
        /// InitiatorName.
        public var initiatorName: ISCSIName
        /// InitiatorAlias, where there is one.
        public var initiatorAlias: String?
        /// TargetName; nil for a discovery session.
        public var targetName: ISCSIName?
        /// The initiator's part of the session identifier.
        public var isid: ISID
        /// The connection's identifier.
        public var cid: UInt16 = 0
        /// The task tag of all Login Requests.
        public var initiatorTaskTag = InitiatorTaskTag(0)
        /// The CmdSN of the first command.
        public var cmdSN = SerialNumber(1)
        /// Whether to begin with the security stage (offering AuthMethod=None) instead of the operational one.
        public var startsWithSecurity = false
        /// Whether to offer CHAP, and nothing else; it makes the login begin with the security stage.
        public var chap: ChapInitiator?
        /// What to offer. Of each digest preference the list that it stands for is offered.
        public var preferences = OperationalPreferences()
        /// Further pairs for the operational stage, as they are.
        public var additionalPairs: [TextPair] = []

        /// A login to `targetName`, or a discovery session with nil.
        public init(initiatorName: ISCSIName, targetName: ISCSIName?, isid: ISID) {
            self.initiatorName = initiatorName
            self.targetName = targetName
            self.isid = isid
        }
    }

    /// What a completed login leaves behind.
    public struct Result: Sendable, Equatable {
        /// What was agreed.
        public let parameters: OperationalParameters
        /// The session's identifier, from the target.
        public let tsih: UInt16
        /// The portal group, where the target told it.
        public let targetPortalGroupTag: UInt16?
        /// The CmdSN of the first command.
        public let cmdSN: SerialNumber
        /// The last CmdSN that the target has room for.
        public let maxCmdSN: SerialNumber
        /// The StatSN that is expected next.
        public let expStatSN: SerialNumber
    }

    /// What to do next.
    public enum Step: Sendable, Equatable {
        /// Send this request with `text` as its data segment and wait for the response.
        case send(LoginRequest, text: [UInt8])
        /// The full feature phase has begun.
        case established(Result)
        /// Close. `status` is the target's, or nil where the target broke the rules; `cause` is one line.
        case failed(LoginStatus?, cause: String)
    }

    private let configuration: Configuration
    private var stage: LoginStage
    private var expStatSN = SerialNumber(0)
    private var hasResponse = false
    private var incoming = TextAccumulator()
    private var outgoing = TextChunks()
    private var parameters = OperationalParameters()
    private var targetPortalGroupTag: UInt16?
    private var exchanges = 0
    /// CHAP, while it is under way.
    private var chap: ChapInitiator?

    /// A login that has not begun.
    public init(_ configuration: Configuration) {
        self.configuration = configuration
        chap = configuration.chap
        stage =
            configuration.startsWithSecurity || chap != nil ? .securityNegotiation : .operationalNegotiation
        parameters.initiatorMaxRecvDataSegmentLength = configuration.preferences.maxRecvDataSegmentLength
    }

    /// The first request.
    public mutating func start() -> Step {
        var pairs = [TextPair(ISCSIKey.initiatorName, configuration.initiatorName.text)]
        if let alias = configuration.initiatorAlias { pairs.append(TextPair(ISCSIKey.initiatorAlias, alias)) }
        if let target = configuration.targetName { pairs.append(TextPair(ISCSIKey.targetName, target.text)) }
        pairs.append(TextPair(ISCSIKey.sessionType, sessionType.rawValue))
        if stage == .securityNegotiation {
            pairs.append(
                TextPair(ISCSIKey.authMethod, chap == nil ? TextConstant.none : ChapAuthenticator.methodName))
        } else {
            pairs += offers
        }
        return send(pairs)
    }

    /// Takes the target's answer.
    public mutating func receive(_ header: BasicHeaderSegment, data: RawSpan) -> Step {
        guard let response = LoginResponse(checking: header) else {
            return .failed(nil, cause: "the target answered a Login Request with opcode \(header[.opcode])")
        }
        exchanges += 1
        guard exchanges <= LoginLimits().requests else {
            return .failed(nil, cause: "the login takes more than \(LoginLimits().requests) requests")
        }
        guard response.status == .success else {
            return .failed(response.status, cause: "the target refused the login: \(response.status)")
        }
        guard response.initiatorTaskTag == configuration.initiatorTaskTag, response.isid == configuration.isid,
            response.currentStage == stage
        else { return .failed(nil, cause: "the Login Response belongs to another request") }
        guard !hasResponse || response.statSN == expStatSN else {
            return .failed(nil, cause: "StatSN \(response.statSN) came, \(expStatSN) was due")
        }
        hasResponse = true
        expStatSN = response.statSN.next
        do throws(TextFault) {
            try incoming.append(data)
        } catch {
            return .failed(nil, cause: error.description)
        }
        // The rest of a long response is fetched with empty requests, a long request is sent on.
        if response.continues || !outgoing.isEmpty { return sendNext() }
        do throws(TextFault) {
            let keys = try TextKeys(incoming.take())
            for pair in keys.pairs {
                if let cause = apply(pair) { return .failed(nil, cause: cause) }
            }
            if let step = authenticate(keys, response) { return step }
        } catch {
            return .failed(nil, cause: error.description)
        }
        guard response.transits else { return sendNext() }
        switch response.nextStage {
        case .operationalNegotiation where stage == .securityNegotiation:
            stage = .operationalNegotiation
            return send(offers)
        case .fullFeaturePhase:
            guard response.tsih != 0 else { return .failed(nil, cause: "the target gave the session no TSIH") }
            let wishes = [
                (configuration.preferences.headerDigest, parameters.headerDigest),
                (configuration.preferences.dataDigest, parameters.dataDigest),
            ]
            guard wishes.allSatisfy({ $0 != .requireCRC32C || $1 == .crc32c }) else {
                return .failed(nil, cause: "the target does not agree to the digest that is required")
            }
            parameters.firstBurstLength = min(parameters.firstBurstLength, parameters.maxBurstLength)
            return .established(
                Result(
                    parameters: parameters, tsih: response.tsih, targetPortalGroupTag: targetPortalGroupTag,
                    cmdSN: configuration.cmdSN, maxCmdSN: response.maxCmdSN, expStatSN: expStatSN))
        default: return .failed(nil, cause: "the target leads the login back to an earlier stage")
        }
    }

    /// CHAP's next step; nil once the login may go on.
    private mutating func authenticate(_ keys: TextKeys, _ response: LoginResponse) -> Step? {
        guard stage == .securityNegotiation, var chap else { return nil }
        if let method = keys[ISCSIKey.authMethod] {
            guard method == ChapAuthenticator.methodName, !response.transits else {
                return .failed(nil, cause: "the target does not agree to CHAP")
            }
            let pairs = chap.start()
            self.chap = chap
            return send(pairs)
        }
        let step = chap.receive(keys)
        let isComplete = chap.isComplete
        self.chap = chap
        switch step {
        case .failed(let cause): return .failed(nil, cause: cause)
        case .send(let pairs):
            guard !response.transits else { return .failed(nil, cause: "the target goes on without the proof") }
            return send(pairs)
        case .complete: return isComplete ? nil : .failed(nil, cause: "the target goes on without its proof")
        }
    }

    private var sessionType: SessionType { configuration.targetName == nil ? .discovery : .normal }

    /// The offers of the operational stage, in the order in which open-iscsi makes them.
    private var offers: [TextPair] {
        let wish = configuration.preferences
        var pairs: [TextPair] = []
        func offer(_ key: OperationalKey, _ value: String) { pairs.append(TextPair(key.rawValue, value)) }
        offer(.headerDigest, wish.headerDigest.offer)
        offer(.dataDigest, wish.dataDigest.offer)
        offer(.defaultTime2Wait, String(wish.defaultTime2WaitSeconds))
        offer(.defaultTime2Retain, String(wish.defaultTime2RetainSeconds))
        offer(.errorRecoveryLevel, String(wish.errorRecoveryLevel))
        if sessionType == .normal {
            offer(.initialR2T, TextValue.text(wish.initialR2T))
            offer(.immediateData, TextValue.text(wish.immediateData))
            offer(.maxBurstLength, String(wish.maxBurstLength))
            offer(.firstBurstLength, String(wish.firstBurstLength))
            offer(.maxOutstandingR2T, String(wish.maxOutstandingR2T))
            offer(.maxConnections, String(wish.maxConnections))
            offer(.dataPDUInOrder, TextValue.text(wish.dataPDUInOrder))
            offer(.dataSequenceInOrder, TextValue.text(wish.dataSequenceInOrder))
        }
        offer(.maxRecvDataSegmentLength, String(wish.maxRecvDataSegmentLength))
        return pairs + configuration.additionalPairs
    }

    /// Takes one pair of the target's; what is wrong with it, or nil.
    private mutating func apply(_ pair: TextPair) -> String? {
        if pair.key == ISCSIKey.targetPortalGroupTag {
            guard let tag = TextValue.number(pair.value, in: 0...65535) else { return "the target sent \(pair)" }
            targetPortalGroupTag = UInt16(tag)
            return nil
        }
        // A refused key keeps its default, and keys that are no parameter do not matter here.
        guard let key = OperationalKey(rawValue: pair.key), !TextConstant.isAnswer(pair.value) else { return nil }
        switch key {
        case .headerDigest, .dataDigest:
            guard let method = DigestMethod(rawValue: pair.value) else { return "the target sent \(pair)" }
            if key == .headerDigest { parameters.headerDigest = method } else { parameters.dataDigest = method }
        case .initialR2T, .immediateData, .dataPDUInOrder, .dataSequenceInOrder:
            guard let value = TextValue.boolean(pair.value) else { return "the target sent \(pair)" }
            apply(key, value)
        default:
            guard let bounds = key.bounds else { return nil }
            guard let value = TextValue.number(pair.value, in: bounds) else { return "the target sent \(pair)" }
            apply(key, value)
        }
        return nil
    }

    private mutating func apply(_ key: OperationalKey, _ value: Bool) {
        switch key {
        case .initialR2T: parameters.initialR2T = value
        case .immediateData: parameters.immediateData = value
        case .dataPDUInOrder: parameters.dataPDUInOrder = value
        default: parameters.dataSequenceInOrder = value
        }
    }

    private mutating func apply(_ key: OperationalKey, _ value: Int) {
        switch key {
        case .maxConnections: parameters.maxConnections = value
        case .maxRecvDataSegmentLength: parameters.targetMaxRecvDataSegmentLength = value
        case .maxBurstLength: parameters.maxBurstLength = value
        case .firstBurstLength: parameters.firstBurstLength = value
        case .defaultTime2Wait: parameters.defaultTime2WaitSeconds = value
        case .defaultTime2Retain: parameters.defaultTime2RetainSeconds = value
        case .maxOutstandingR2T: parameters.maxOutstandingR2T = value
        case .errorRecoveryLevel: parameters.errorRecoveryLevel = value
        default: parameters.protocolLevel = value
        }
    }

    private mutating func send(_ pairs: [TextPair]) -> Step {
        var writer = TextWriter(limitBytes: TextLimits.textLengthBytes)
        for pair in pairs {
            guard writer.append(pair.key, pair.value) else {
                return .failed(nil, cause: "the offers are longer than \(TextLimits.textLengthBytes) bytes")
            }
        }
        outgoing.append(writer.bytes)
        return sendNext()
    }

    private mutating func sendNext() -> Step {
        let text = outgoing.next(limit: LoginLimits().segmentLengthBytes)
        let next: LoginStage = stage == .securityNegotiation ? .operationalNegotiation : .fullFeaturePhase
        let request = LoginRequest(
            initiatorTaskTag: configuration.initiatorTaskTag, isid: configuration.isid, cid: configuration.cid,
            currentStage: stage, nextStage: outgoing.isEmpty ? next : nil, continues: !outgoing.isEmpty,
            cmdSN: configuration.cmdSN, expStatSN: expStatSN, dataSegmentLength: text.count)
        return .send(request, text: text)
    }
}
