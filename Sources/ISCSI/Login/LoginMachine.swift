/// The target's side of a login (RFC 7143 sections 6.3 and 11.12), from the first byte of a connection to the full feature
/// phase: a value that takes one request at a time and gives one response. It owns no socket and no clock.
///
/// Each request passes the same gates in the same order: form of the header, place in the conversation, text, identity
/// (once), authentication, operational keys, change of stage. What an initiator may cost before it is authenticated is
/// bounded by `LoginLimits` and `TextLimits`; nothing is remembered outside this value.
///
/// Requests in which the initiator goes straight to the operational stage are as welcome as those that start with
/// security, and operational keys may come in any request where no authentication is due. Not checked is what real
/// initiators do against the letter of the standard: libiscsi repeats InitiatorName, TargetName and SessionType in every
/// stage.
public struct LoginMachine<Policy: LoginPolicy>: Sendable {
    /// Where the login stands.
    public enum State: Sendable, Equatable {
        /// No request yet.
        case start
        /// SecurityNegotiation.
        case securityNegotiation
        /// LoginOperationalNegotiation.
        case operationalNegotiation
        /// The full feature phase has begun.
        case established
        /// It was refused.
        case failed
    }

    /// Where the login stands.
    public private(set) var state = State.start

    /// What the first request fixed for the whole login.
    private struct Opening {
        let isid: ISID
        let cid: UInt16
        let tag: InitiatorTaskTag
        let expCmdSN: SerialNumber
    }

    /// What is known once the first complete text was judged.
    private struct Admitted {
        let identity: LoginIdentity
        let targetPortalGroupTag: UInt16
        let targetAlias: String?
    }

    /// How the proof of identity stands.
    private enum Proof {
        case notNeeded
        /// AuthMethod is not agreed yet.
        case unproven(Policy.Authenticator)
        case inProgress(Policy.Authenticator)
        case proven(LoginProof)
    }

    private let policy: Policy
    private let limits: LoginLimits
    private var opening: Opening?
    private var admitted: Admitted?
    private var proof = Proof.notNeeded
    private var negotiation: ParameterNegotiation
    private var incoming = TextAccumulator()
    private var outgoing = TextChunks()
    private var statSN = SerialNumber(0)
    private var requests = 0
    private var textLengthBytes = 0
    private var hasDeclaredIdentity = false
    private var hasDeclaredSegmentLength = false
    // As they came, for the log line of a login that fails early.
    private var claimedInitiator: String?
    private var claimedTarget: String?

    /// A login that has not begun.
    public init(policy: Policy, limits: LoginLimits = LoginLimits()) {
        self.policy = policy
        self.limits = limits
        negotiation = ParameterNegotiation(preferences: policy.preferences)
    }

    /// Takes one PDU of a connection that is not in the full feature phase: its header, its additional header segments'
    /// length being in it, and its data segment without padding.
    public mutating func receive(_ header: BasicHeaderSegment, data: RawSpan) -> LoginStep {
        guard state != .established, state != .failed else { return close("a PDU came after the login was over") }
        guard let request = LoginRequest(checking: header) else {
            let name = header.opcode.map { "\($0)" } ?? "opcode 0x" + hexadecimal(UInt64(header[.opcode]), digits: 2)
            // Whoever does not begin with a login gets no answer (section 6.3).
            guard state != .start else { return close("the first PDU is no Login Request (\(name))") }
            return fail(LoginRefusal(.invalidDuringLogin, "\(name) came during login"), header)
        }
        do throws(LoginRefusal) {
            return try step(request, data)
        } catch {
            return fail(error, header)
        }
    }

    // MARK: One request

    private mutating func step(_ request: LoginRequest, _ data: RawSpan) throws(LoginRefusal) -> LoginStep {
        try checkForm(request, data)
        let stage = try checkPlace(request)
        if !outgoing.isEmpty {
            // The rest of a long response was asked for with an empty request (section 6.2).
            guard data.byteCount == 0, !request.continues else {
                throw LoginRefusal(.initiatorError, "text came before the whole response was fetched")
            }
            return try respond(to: request, in: stage)
        }
        do throws(TextFault) { try incoming.append(data) } catch {
            throw LoginRefusal(.initiatorError, error.description)
        }
        if request.continues { return reply(to: request, in: stage, nextStage: nil, text: []) }
        let keys: TextKeys
        do throws(TextFault) {
            keys = try TextKeys(incoming.take())
        } catch {
            throw LoginRefusal(.initiatorError, error.description)
        }
        try identify(keys, request)
        var answers: [TextPair] = []
        try authenticate(keys, request, stage, &answers)
        try negotiate(keys, &answers)
        declare(request, stage, &answers)
        var writer = TextWriter(limitBytes: TextLimits.textLengthBytes)
        for pair in answers {
            guard writer.append(pair.key, pair.value) else {
                throw LoginRefusal(.targetError, "the answer is longer than \(TextLimits.textLengthBytes) bytes")
            }
        }
        outgoing.append(writer.bytes)
        return try respond(to: request, in: stage)
    }

    /// The form of the header, and what it may not change in the course of a login.
    private mutating func checkForm(_ request: LoginRequest, _ data: RawSpan) throws(LoginRefusal) {
        requests += 1
        textLengthBytes += data.byteCount
        guard requests <= limits.requests else {
            throw LoginRefusal(.initiatorError, "the login took more than \(limits.requests) requests")
        }
        guard data.byteCount <= limits.segmentLengthBytes, data.byteCount == request.dataSegmentLength else {
            throw LoginRefusal(
                .initiatorError,
                "a data segment of \(request.dataSegmentLength) bytes; \(limits.segmentLengthBytes) is "
                    + "the most during login")
        }
        guard textLengthBytes <= limits.textLengthBytes else {
            throw LoginRefusal(.initiatorError, "the login took more than \(limits.textLengthBytes) bytes of text")
        }
        guard request.header.totalAHSLengthBytes == 0 else {
            throw LoginRefusal(.initiatorError, "a Login Request with additional header segments")
        }
        guard request.isImmediate else { throw LoginRefusal(.initiatorError, "a Login Request that is not immediate") }
        guard let opening else { return try open(request) }
        guard request.isid == opening.isid, request.cid == opening.cid, request.initiatorTaskTag == opening.tag,
            request.tsih == 0
        else { throw LoginRefusal(.initiatorError, "ISID, TSIH, CID or Initiator Task Tag changed during login") }
    }

    private mutating func open(_ request: LoginRequest) throws(LoginRefusal) {
        opening = Opening(
            isid: request.isid, cid: request.cid, tag: request.initiatorTaskTag, expCmdSN: request.cmdSN)
        // The target may start anywhere; starting where the initiator counts suits a connection that is taken up again.
        statSN = request.expStatSN
        guard request.versionMin == 0 else {
            throw LoginRefusal(
                .unsupportedVersion,
                "protocol versions \(request.versionMin) to \(request.versionMax); 0 is spoken here")
        }
        guard request.tsih == 0 else {
            let known = policy.hasSession(tsih: request.tsih, isid: request.isid)
            throw known
                ? LoginRefusal(.tooManyConnections, "a second connection for session \(request.tsih); one is the most")
                : LoginRefusal(.sessionDoesNotExist, "session \(request.tsih) does not exist")
        }
    }

    /// The stage fields (section 11.12.3): the stage must be the login's, and a change must lead forward.
    private mutating func checkPlace(_ request: LoginRequest) throws(LoginRefusal) -> LoginStage {
        guard let stage = request.currentStage, stage != .fullFeaturePhase else {
            throw LoginRefusal(.initiatorError, "stage \(request.header[.currentStage]) is no stage of a login")
        }
        switch (state, stage) {
        case (.start, .securityNegotiation): state = .securityNegotiation
        case (.start, _): state = .operationalNegotiation
        case (.securityNegotiation, .securityNegotiation), (.operationalNegotiation, .operationalNegotiation): break
        default: throw LoginRefusal(.initiatorError, "a request for stage \(stage) in \(state)")
        }
        guard request.transits else { return stage }
        guard !request.continues else { throw LoginRefusal(.initiatorError, "both T and C are set") }
        guard let next = request.nextStage, next.rawValue > stage.rawValue else {
            throw LoginRefusal(.initiatorError, "no way from stage \(stage.rawValue) to \(request.header[.nextStage])")
        }
        return stage
    }

    /// Who is there: once, from the first complete text.
    private mutating func identify(_ keys: TextKeys, _ request: LoginRequest) throws(LoginRefusal) {
        if let admitted { return try checkSame(keys, admitted.identity) }
        claimedInitiator = keys[ISCSIKey.initiatorName]
        claimedTarget = keys[ISCSIKey.targetName]
        guard let name = claimedInitiator else { throw LoginRefusal(.missingParameter, "InitiatorName is missing") }
        let initiator: ISCSIName
        do throws(ISCSIName.Fault) {
            initiator = try ISCSIName(name)
        } catch {
            throw LoginRefusal(.initiatorError, "InitiatorName: \(error)")
        }
        guard let sessionType = SessionType(rawValue: keys[ISCSIKey.sessionType] ?? SessionType.normal.rawValue) else {
            throw LoginRefusal(
                .sessionTypeNotSupported, "SessionType=\(printable(keys[ISCSIKey.sessionType] ?? "")) is not known")
        }
        var target: ISCSIName?
        if sessionType == .normal {
            guard let name = claimedTarget else { throw LoginRefusal(.missingParameter, "TargetName is missing") }
            do throws(ISCSIName.Fault) {
                target = try ISCSIName(name)
            } catch {
                throw LoginRefusal(.targetNotFound, "TargetName: \(error)")
            }
        }
        let identity = LoginIdentity(
            sessionType: sessionType, initiatorName: initiator,
            initiatorAlias: keys[ISCSIKey.initiatorAlias].map(printable), targetName: target, isid: request.isid,
            cid: request.cid)
        switch policy.admit(identity) {
        case .refused(let status, let cause): throw LoginRefusal(status, cause)
        case .admitted(let tag, let alias, let authenticator):
            admitted = Admitted(identity: identity, targetPortalGroupTag: tag, targetAlias: alias)
            if let authenticator { proof = .unproven(authenticator) }
        }
    }

    /// libiscsi says again in every stage who it is; it may not become somebody else.
    private func checkSame(_ keys: TextKeys, _ identity: LoginIdentity) throws(LoginRefusal) {
        if let name = keys[ISCSIKey.initiatorName], (try? ISCSIName(name)) != identity.initiatorName {
            throw LoginRefusal(.initiatorError, "InitiatorName changed during login")
        }
        if let name = keys[ISCSIKey.targetName], let target = identity.targetName, (try? ISCSIName(name)) != target {
            throw LoginRefusal(.initiatorError, "TargetName changed during login")
        }
        if let type = keys[ISCSIKey.sessionType], SessionType(rawValue: type) != identity.sessionType {
            throw LoginRefusal(.initiatorError, "SessionType changed during login")
        }
    }

    /// AuthMethod and the keys of the method (section 12).
    private mutating func authenticate(
        _ keys: TextKeys, _ request: LoginRequest, _ stage: LoginStage, _ answers: inout [TextPair]
    ) throws(LoginRefusal) {
        let security = keys.pairs.filter { ISCSIKey.isSecurity($0.key) && $0.key != ISCSIKey.authMethod }
        let offered = keys[ISCSIKey.authMethod]
        guard stage == .securityNegotiation else {
            if case .unproven = proof {
                throw LoginRefusal(
                    .authenticationFailure, "the initiator passed over authentication, which is required")
            }
            guard offered == nil, security.isEmpty else {
                throw LoginRefusal(.initiatorError, "security keys in the operational stage")
            }
            return
        }
        let methods = try offered.map { value throws(LoginRefusal) in
            guard let list = TextValue.list(value) else {
                throw LoginRefusal(.initiatorError, "AuthMethod=\(printable(value)) is no list")
            }
            return list
        }
        switch proof {
        case .notNeeded, .proven:
            guard security.isEmpty else {
                throw LoginRefusal(.initiatorError, "\(security[0].key) came, though no method is agreed on")
            }
            guard let methods else { return }
            guard methods.contains(TextConstant.none) else {
                let names = printable(methods.joined(separator: ","))
                throw LoginRefusal(
                    .authenticationFailure, "the initiator insists on \(names), and no authentication is set up for it")
            }
            answers.append(TextPair(ISCSIKey.authMethod, TextConstant.none))
        case .unproven(let authenticator):
            guard security.isEmpty else {
                throw LoginRefusal(.initiatorError, "\(security[0].key) came, though no method is agreed on")
            }
            guard let methods else {
                guard !request.transits else {
                    throw LoginRefusal(
                        .authenticationFailure, "the initiator passed over authentication, which is required")
                }
                return
            }
            guard methods.contains(Policy.Authenticator.methodName) else {
                let names = printable(methods.joined(separator: ","))
                throw LoginRefusal(
                    .authenticationFailure,
                    "\(Policy.Authenticator.methodName) is required, the initiator offers \(names)")
            }
            proof = .inProgress(authenticator)
            answers.append(TextPair(ISCSIKey.authMethod, Policy.Authenticator.methodName))
        case .inProgress(var authenticator):
            guard methods == nil else { throw LoginRefusal(.initiatorError, "AuthMethod came a second time") }
            switch authenticator.receive(security) {
            case .reply(let pairs):
                answers += pairs
                proof = .inProgress(authenticator)
            case .complete(let pairs):
                answers += pairs
                proof = .proven(authenticator.proof)
            case .failed(let status, let cause): throw LoginRefusal(status, cause)
            }
        }
    }

    /// What it is when the initiator leaves now, in the middle of its authentication or right after it: with mutual
    /// authentication that is all there is to see of one that does not believe the target. Nil where it is no news.
    public var failureByLeaving: LoginFailure? {
        switch (state, proof) {
        case (.established, _), (.failed, _), (_, .notNeeded), (_, .unproven): return nil
        case (_, .inProgress), (_, .proven):
            let who = claimedInitiator.map(printable) ?? "an unnamed initiator"
            let target = claimedTarget.map { " to " + printable($0) } ?? ""
            let method = Policy.Authenticator.methodName
            return LoginFailure(
                status: .authenticationFailure,
                description: "login of \(who)\(target) was left by the initiator in the middle of \(method): it may "
                    + "have found the target's proof wrong; compare the secrets on both sides")
        }
    }

    private var mustProve: Bool {
        switch proof {
        case .notNeeded, .proven: false
        case .unproven, .inProgress: true
        }
    }

    /// Operational keys, and all that is left.
    private mutating func negotiate(_ keys: TextKeys, _ answers: inout [TextPair]) throws(LoginRefusal) {
        guard let admitted else { return }
        if mustProve, let key = keys.pairs.first(where: { OperationalKey(rawValue: $0.key) != nil })?.key {
            throw LoginRefusal(.initiatorError, "\(key) came before the initiator was authenticated")
        }
        do throws(ParameterNegotiation.Fault) {
            answers += try negotiation.answer(keys.pairs, sessionType: admitted.identity.sessionType)
        } catch {
            throw LoginRefusal(.initiatorError, error.description)
        }
        for pair in keys.pairs where OperationalKey(rawValue: pair.key) == nil && !ISCSIKey.isSecurity(pair.key) {
            switch pair.key {
            case ISCSIKey.initiatorName, ISCSIKey.initiatorAlias, ISCSIKey.targetName, ISCSIKey.sessionType: break
            case ISCSIKey.sendTargets, ISCSIKey.targetAlias, ISCSIKey.targetAddress, ISCSIKey.targetPortalGroupTag:
                // Keys of the full feature phase, or of targets only.
                answers.append(TextPair(pair.key, TextConstant.reject))
            default:
                // An answer to a key that was never offered must not start a game of answers.
                guard !TextConstant.isAnswer(pair.value) else { break }
                answers.append(TextPair(pair.key, TextConstant.notUnderstood))
            }
        }
    }

    /// What the target has to say by itself: its portal group and alias in the first response (section 13.9), and its
    /// MaxRecvDataSegmentLength in the first one outside the security stage.
    private mutating func declare(_ request: LoginRequest, _ stage: LoginStage, _ answers: inout [TextPair]) {
        guard let admitted else { return }
        if !hasDeclaredIdentity, admitted.identity.sessionType == .normal {
            if let alias = admitted.targetAlias { answers.append(TextPair(ISCSIKey.targetAlias, alias)) }
            answers.append(TextPair(ISCSIKey.targetPortalGroupTag, String(admitted.targetPortalGroupTag)))
        }
        hasDeclaredIdentity = true
        let leaves = request.transits && request.nextStage == .fullFeaturePhase && !mustProve
        if !hasDeclaredSegmentLength, stage == .operationalNegotiation || leaves {
            let length = String(negotiation.declaredMaxRecvDataSegmentLength)
            answers.append(TextPair(OperationalKey.maxRecvDataSegmentLength.rawValue, length))
            hasDeclaredSegmentLength = true
        }
    }

    // MARK: Responses

    /// Sends the next piece of text, and changes the stage with the last one where the initiator asks for it.
    private mutating func respond(to request: LoginRequest, in stage: LoginStage) throws(LoginRefusal) -> LoginStep {
        let text = outgoing.next(limit: limits.segmentLengthBytes)
        guard outgoing.isEmpty, request.transits, !mustProve, let next = request.nextStage, let opening, let admitted
        else { return reply(to: request, in: stage, nextStage: nil, continues: !outgoing.isEmpty, text: text) }
        guard next == .fullFeaturePhase else {
            state = .operationalNegotiation
            return reply(to: request, in: stage, nextStage: next, text: text)
        }
        let parameters: OperationalParameters
        do throws(ParameterNegotiation.Fault) {
            parameters = try negotiation.finish()
        } catch {
            throw LoginRefusal(.initiatorError, error.description)
        }
        state = .established
        var step = reply(to: request, in: stage, nextStage: next, text: text)
        var proved: LoginProof?
        if case .proven(let how) = proof { proved = how }
        step.outcome = .established(
            LoginResult(
                identity: admitted.identity, proof: proved,
                targetPortalGroupTag: admitted.targetPortalGroupTag, parameters: parameters,
                expCmdSN: opening.expCmdSN, statSN: statSN))
        return step
    }

    private mutating func reply(
        to request: LoginRequest, in stage: LoginStage, nextStage: LoginStage?, continues: Bool = false, text: [UInt8]
    ) -> LoginStep {
        let response = LoginResponse(
            initiatorTaskTag: request.initiatorTaskTag, isid: request.isid, currentStage: stage, nextStage: nextStage,
            continues: continues, sequence: takeSequence(), dataSegmentLength: text.count)
        return LoginStep(response: response, text: text, outcome: .continues)
    }

    private mutating func takeSequence() -> TargetSequence {
        let expected = opening?.expCmdSN ?? SerialNumber(0)
        return TargetSequence(
            statSN: statSN.take(), expCmdSN: expected, maxCmdSN: expected + (max(1, policy.commandWindow) - 1))
    }

    private mutating func fail(_ refusal: LoginRefusal, _ header: BasicHeaderSegment) -> LoginStep {
        let stage: LoginStage = state == .operationalNegotiation ? .operationalNegotiation : .securityNegotiation
        state = .failed
        outgoing.removeAll()
        let isid = opening?.isid ?? header[.isid]
        let tag = opening?.tag ?? header.initiatorTaskTag
        let response = LoginResponse(
            initiatorTaskTag: tag, isid: isid, currentStage: stage, nextStage: nil, status: refusal.status,
            sequence: takeSequence())
        return LoginStep(response: response, text: [], outcome: .failed(failure(refusal.status, refusal.cause)))
    }

    private mutating func close(_ cause: String) -> LoginStep {
        state = .failed
        return LoginStep(response: nil, text: [], outcome: .failed(failure(.invalidDuringLogin, cause)))
    }

    private func failure(_ status: LoginStatus, _ cause: String) -> LoginFailure {
        let line = LoginFailure.line(initiator: claimedInitiator, target: claimedTarget, status, cause)
        return LoginFailure(status: status, description: line)
    }
}

/// A cause to refuse the login. Not inside the machine: the 6.3 optimiser fails on errors nested in a generic type.
private struct LoginRefusal: Error {
    let status: LoginStatus
    let cause: String

    init(_ status: LoginStatus, _ cause: String) {
        self.status = status
        self.cause = cause
    }
}
