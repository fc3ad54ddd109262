/// The target's side of text negotiation in the full feature phase (RFC 7143 sections 7.4 and 11.10), for one connection:
/// SendTargets, a new MaxRecvDataSegmentLength of the initiator, and refusals for the rest. One negotiation at a time;
/// a request that begins another one drops the first.
public struct TextNegotiation: Sendable {
    /// What one request led to.
    public enum Outcome: Sendable, Equatable {
        /// Send the response, whose sequence numbers (`sequence`) the connection sets, with `text` as its data segment.
        case respond(TextResponse, text: [UInt8])
        /// Send a Reject; `cause` is one phrase for the log. The negotiation is dropped, the connection stays.
        case reject(RejectReason, cause: String)
    }

    /// The most text of one answer in bytes: some 10,000 targets.
    public static let answerLimitBytes = 1 << 20
    /// The most requests of one negotiation, before its answer goes out.
    public static let requestLimit = 16

    private let sessionType: SessionType
    private let initiatorName: ISCSIName
    private let targetName: ISCSIName?
    private var incoming = TextAccumulator()
    private var outgoing = TextChunks()
    private var pending: Pending?
    private var lastTag = TargetTransferTag(0)

    /// The negotiation that is not over yet.
    private struct Pending: Sendable {
        let initiatorTaskTag: InitiatorTaskTag
        let targetTransferTag: TargetTransferTag
        var requests: Int
        /// What the answers so far have agreed on: it holds once the last one goes out.
        var initiatorMaxRecvDataSegmentLength: Int?
    }

    /// No negotiation yet, on a connection of the session that `login` began.
    public init(login: LoginResult) {
        self.init(
            sessionType: login.identity.sessionType, initiatorName: login.identity.initiatorName,
            targetName: login.identity.targetName)
    }

    /// No negotiation yet.
    public init(sessionType: SessionType, initiatorName: ISCSIName, targetName: ISCSIName?) {
        self.sessionType = sessionType
        self.initiatorName = initiatorName
        self.targetName = targetName
    }

    /// Takes one Text Request with its data segment, without padding. `parameters` change when a negotiation ends that
    /// renewed MaxRecvDataSegmentLength.
    public mutating func receive(
        _ request: TextRequest, data: RawSpan, parameters: inout OperationalParameters,
        directory: some TargetDirectory
    ) -> Outcome {
        if request.targetTransferTag.isReserved {
            // Section 11.10.4: a request without the tag begins anew.
            reset()
        } else {
            guard let pending, pending.targetTransferTag == request.targetTransferTag,
                pending.initiatorTaskTag == request.initiatorTaskTag
            else { return refuse(.protocolError, "a Text Request with a tag that no response carried") }
        }
        guard !request.isFinal || !request.continues else {
            return refuse(.protocolError, "a Text Request with both F and C")
        }
        var current =
            pending
            ?? Pending(
                initiatorTaskTag: request.initiatorTaskTag, targetTransferTag: nextTag(), requests: 0,
                initiatorMaxRecvDataSegmentLength: nil)
        if !outgoing.isEmpty {
            guard data.byteCount == 0, !request.continues else {
                return refuse(.protocolError, "text came before the whole response was fetched")
            }
            return respond(request, current, &parameters)
        }
        current.requests += 1
        guard current.requests <= Self.requestLimit else {
            return refuse(.protocolError, "a text negotiation of more than \(Self.requestLimit) requests")
        }
        do throws(TextFault) {
            try incoming.append(data)
            if !request.continues {
                answer(try TextKeys(incoming.take()), &current, directory)
            }
        } catch {
            return refuse(.protocolError, error.description)
        }
        return respond(request, current, &parameters)
    }

    /// Drops a negotiation that is under way.
    public mutating func reset() {
        incoming = TextAccumulator()
        outgoing.removeAll()
        pending = nil
    }

    private mutating func refuse(_ reason: RejectReason, _ cause: String) -> Outcome {
        reset()
        return .reject(reason, cause: cause)
    }

    /// A tag that is not the last one and not reserved.
    private mutating func nextTag() -> TargetTransferTag {
        lastTag = TargetTransferTag((lastTag.rawValue &+ 1) & 0x7fff_ffff)
        return lastTag
    }

    private mutating func answer(_ keys: TextKeys, _ current: inout Pending, _ directory: some TargetDirectory) {
        var writer = TextWriter(limitBytes: Self.answerLimitBytes)
        for pair in keys.pairs {
            var value: String?
            switch pair.key {
            case ISCSIKey.sendTargets:
                guard let targets = targets(pair.value, directory) else {
                    value = TextConstant.reject
                    break
                }
                Self.write(targets, to: &writer)
            case OperationalKey.maxRecvDataSegmentLength.rawValue:
                if let length = TextValue.number(pair.value, in: OperationalParameters.segmentLengthBytes) {
                    current.initiatorMaxRecvDataSegmentLength = length
                } else {
                    value = TextConstant.reject
                }
            case ISCSIKey.initiatorAlias: break
            case ISCSIKey.initiatorName, ISCSIKey.sessionType, ISCSIKey.targetName, ISCSIKey.targetAlias,
                ISCSIKey.targetAddress, ISCSIKey.targetPortalGroupTag:
                value = TextConstant.reject
            default:
                if OperationalKey(rawValue: pair.key) != nil || ISCSIKey.isSecurity(pair.key) {
                    // Login only.
                    value = TextConstant.reject
                } else if !TextConstant.isAnswer(pair.value) {
                    value = TextConstant.notUnderstood
                }
            }
            // Requests are far shorter than the limit, and a refusal is hardly longer than its offer: it fits, unless
            // SendTargets filled the buffer, and then the initiator learns of the refusal by its silence.
            if let value { _ = writer.append(pair.key, value) }
        }
        outgoing.append(writer.bytes)
    }

    /// The targets that SendTargets asks for (appendix C), or nil where the session may not ask that.
    private func targets(_ value: String, _ directory: some TargetDirectory) -> [DiscoveredTarget]? {
        switch value {
        case "All":
            guard sessionType == .discovery else { return nil }
            return directory.targets(.all, visibleTo: initiatorName)
        case "":
            guard let targetName else { return nil }
            return directory.targets(.named(targetName), visibleTo: initiatorName)
        default:
            // A normal session may only ask for its own target.
            guard let name = try? ISCSIName(value), sessionType == .discovery || name == targetName else { return nil }
            return directory.targets(.named(name), visibleTo: initiatorName)
        }
    }

    /// Writes whole targets only: one that does not fit is left out with all that follow.
    private static func write(_ targets: [DiscoveredTarget], to writer: inout TextWriter) {
        for target in targets {
            var record = TextWriter(limitBytes: writer.limitBytes - writer.bytes.count)
            guard record.append(ISCSIKey.targetName, target.name.text) else { return }
            for address in target.addresses {
                let value = "\(address.text),\(address.targetPortalGroupTag)"
                guard record.append(ISCSIKey.targetAddress, value) else { return }
            }
            writer.append(record)
        }
    }

    private mutating func respond(
        _ request: TextRequest, _ current: Pending, _ parameters: inout OperationalParameters
    ) -> Outcome {
        let text = outgoing.next(limit: parameters.initiatorMaxRecvDataSegmentLength)
        let isFinal = request.isFinal && outgoing.isEmpty
        if isFinal {
            if let length = current.initiatorMaxRecvDataSegmentLength {
                parameters.initiatorMaxRecvDataSegmentLength = length
            }
            reset()
        } else {
            pending = current
        }
        let response = TextResponse(
            initiatorTaskTag: request.initiatorTaskTag,
            targetTransferTag: isFinal ? .reserved : current.targetTransferTag, lun: request.lun, final: isFinal,
            continues: !outgoing.isEmpty, sequence: .zero, dataSegmentLength: text.count)
        return .respond(response, text: text)
    }
}
