import ISCSI

/// A login of several PDUs whose headers are nearly right and whose text is the fuzzer's, against the target's login
/// machine with a method of authentication in the shape of CHAP, and then text requests of the full feature phase. What
/// holds: nothing traps; a login ends within its bounds of requests and text; no response is longer than a login segment;
/// nobody gets in who was to be authenticated and was not; the log line has no control characters.
enum LoginTarget {
    static func run(_ input: inout Input) {
        let flags = input.byte()
        var policy = FuzzPolicy()
        policy.needsAuthentication = flags & 1 != 0
        var machine = LoginMachine(policy: policy)
        var expStatSN = SerialNumber(7)
        for number in 0..<80 where !input.isEmpty {
            let text = text(&input)
            var header = request(&input, expStatSN)
            if flags & 2 == 0 { header.dataSegmentLength = text.count }
            let step = withSpan(text) { machine.receive(header, data: $0) }
            hold(step.text.count <= LoginLimits().segmentLengthBytes, "a response of \(step.text.count) bytes")
            if let response = step.response {
                hold(response.header.dataSegmentLength == step.text.count, "the response's length")
                expStatSN = response.header[.statSN] + 1
            }
            switch step.outcome {
            case .continues: hold(number < LoginLimits().requests, "a login without end")
            case .failed(let failure):
                hold(failure.description.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }, "log line")
                return again(&machine, header)
            case .established(let result):
                hold(!policy.needsAuthentication || result.isAuthenticated, "in without authentication")
                hold(result.parameters.firstBurstLength <= result.parameters.maxBurstLength, "bursts")
                again(&machine, header)
                return negotiate(result, &input)
            }
        }
    }

    /// Whatever comes after the end is refused.
    private static func again(_ machine: inout LoginMachine<FuzzPolicy>, _ header: BasicHeaderSegment) {
        guard case .failed = withSpan([], { machine.receive(header, data: $0) }).outcome else {
            fatalError("a login after the login")
        }
    }

    private static func request(_ input: inout Input, _ expStatSN: SerialNumber) -> BasicHeaderSegment {
        let shape = input.byte()
        if shape & 0xc0 == 0xc0 { return withSpan(input.padded(48)) { BasicHeaderSegment($0)! } }
        let stage: LoginStage = shape & 1 == 0 ? .operationalNegotiation : .securityNegotiation
        let next: [LoginStage?] = [nil, .operationalNegotiation, .fullFeaturePhase, .fullFeaturePhase]
        var view = LoginRequest(
            initiatorTaskTag: InitiatorTaskTag(9), isid: ISID(rawValue: 0x0002_3d01_0000), currentStage: stage,
            nextStage: next[Int(shape >> 1 & 3)], continues: shape & 8 != 0, cmdSN: SerialNumber(100),
            expStatSN: expStatSN)
        if shape & 16 != 0 {
            // One field of the header is something else.
            let place = Int(input.byte()) % 48
            var bytes = view.header.bytes
            bytes[place] = input.byte()
            view = withSpan(bytes) { LoginRequest(header: BasicHeaderSegment($0)!) }
        }
        return view.header
    }

    /// Keys that matter by a number, anything else as it comes; every pair ends with a byte of its length's own.
    private static func text(_ input: inout Input) -> [UInt8] {
        var text: [UInt8] = []
        for _ in 0..<Int(input.byte() & 15) {
            let code = Int(input.byte())
            if code < keys.count { text += Array(keys[code].utf8) } else { text += input.take(code & 31) }
            if code & 0x80 == 0 { text += input.take(Int(input.byte() & 0x3f)) }
            text.append(code == 0xff ? 1 : 0)
        }
        // A long value, from a few bytes of input.
        if input.byte() & 0xf0 == 0xf0 {
            text +=
                Array("X-long=".utf8) + [UInt8](repeating: input.byte(), count: Int(input.number(UInt16.self)) & 0x3fff)
            text.append(0)
        }
        return text
    }

    private static let keys =
        [
            "InitiatorName=iqn.2026-01.net.example:client0\0TargetName=\(FuzzPolicy.volume)\0SessionType=Normal",
            "InitiatorName=iqn.2026-01.net.example:client0\0SessionType=Discovery", "InitiatorName=iqn.2026-01.a:",
            "TargetName=", "SessionType=", "AuthMethod=CHAP,None", "AuthMethod=", "CHAP_A=7", "CHAP_A=",
            "CHAP_N=client",
            "CHAP_R=0x600d", "CHAP_R=0x", "CHAP_R=0b", "CHAP_I=", "CHAP_C=0x", "SendTargets=All", "SendTargets=",
            "InitiatorAlias=", "X-private=", "TargetPortalGroupTag=",
        ]
        + [
            "HeaderDigest", "DataDigest", "MaxConnections", "InitialR2T", "ImmediateData", "MaxRecvDataSegmentLength",
            "MaxBurstLength", "FirstBurstLength", "DefaultTime2Wait", "DefaultTime2Retain", "MaxOutstandingR2T",
            "DataPDUInOrder", "DataSequenceInOrder", "ErrorRecoveryLevel", "iSCSIProtocolLevel", "OFMarker", "IFMarker",
        ].flatMap { ["\($0)=", "\($0)=Yes", "\($0)=CRC32C,None", "\($0)=1", "\($0)=65536"] }

    /// Text requests of a connection that is in.
    private static func negotiate(_ result: LoginResult, _ input: inout Input) {
        var negotiation = TextNegotiation(login: result)
        var parameters = result.parameters
        var tag = TargetTransferTag.reserved
        for _ in 0..<40 where !input.isEmpty {
            let shape = input.byte()
            let text = text(&input)
            let request = TextRequest(
                initiatorTaskTag: InitiatorTaskTag(5), targetTransferTag: shape & 1 == 0 ? .reserved : tag,
                final: shape & 2 == 0, continues: shape & 4 != 0, cmdSN: SerialNumber(1), expStatSN: SerialNumber(1),
                dataSegmentLength: text.count)
            let limit = parameters.initiatorMaxRecvDataSegmentLength
            let outcome = withSpan(text) {
                negotiation.receive(request, data: $0, parameters: &parameters, directory: FuzzDirectory())
            }
            if case .respond(let response, let text) = outcome {
                hold(text.count <= limit, "an answer of \(text.count) bytes, \(limit) are allowed")
                tag = response.targetTransferTag
                if case .discovery = result.identity.sessionType { _ = try? DiscoveredTarget.parse(text) }
            }
            hold(
                OperationalParameters.segmentLengthBytes.contains(parameters.initiatorMaxRecvDataSegmentLength),
                "MaxRecvDataSegmentLength \(parameters.initiatorMaxRecvDataSegmentLength)")
        }
    }
}

/// Two rounds, as CHAP has them.
struct FuzzAuthenticator: LoginAuthenticator {
    static let methodName = "CHAP"
    private var hasChallenged = false

    mutating func receive(_ keys: [TextPair]) -> AuthenticationStep {
        guard hasChallenged else {
            guard keys.contains(where: { $0.key == "CHAP_A" }) else {
                return .failed(.authenticationFailure, cause: "no algorithm was offered")
            }
            hasChallenged = true
            return .reply([TextPair("CHAP_A", "7"), TextPair("CHAP_I", "1"), TextPair("CHAP_C", "0xabcd")])
        }
        guard let response = keys.first(where: { $0.key == "CHAP_R" }),
            TextValue.binary(response.value, maximumLengthBytes: 32) == [0x60, 0x0d]
        else { return .failed(.authenticationFailure, cause: "the response is wrong") }
        return .complete([TextPair("CHAP_N", "target")])
    }
}

/// One target that everybody may use.
struct FuzzPolicy: LoginPolicy {
    static let volume = "iqn.2026-01.net.example:mpath0"
    var preferences = OperationalPreferences()
    var commandWindow: UInt32 = 8
    var needsAuthentication = false

    func admit(_ identity: LoginIdentity) -> LoginAdmission<FuzzAuthenticator> {
        if let target = identity.targetName, target.text != Self.volume {
            return .refused(.targetNotFound, cause: "no such target at this portal")
        }
        return .admitted(
            targetPortalGroupTag: 1, targetAlias: nil, authenticator: needsAuthentication ? FuzzAuthenticator() : nil)
    }
}

/// More targets than one answer of the smallest segment holds.
struct FuzzDirectory: TargetDirectory {
    func targets(_ selection: TargetSelection, visibleTo initiator: ISCSIName) -> [DiscoveredTarget] {
        (0..<20).compactMap { number in
            guard let name = try? ISCSIName("\(FuzzPolicy.volume)-\(number)") else { return nil }
            if case .named(let wanted) = selection, wanted != name { return nil }
            return DiscoveredTarget(
                name: name, addresses: [DiscoveredTarget.Address(text: "192.0.2.1:3260", targetPortalGroupTag: 1)])
        }
    }
}
