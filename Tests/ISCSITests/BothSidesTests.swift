import ISCSI
import Testing

/// The initiator's machine and the target's machine, talking to each other.
@Suite("Login: both sides against each other")
struct BothSidesTests {
    /// Carries PDUs to and fro until one side is done.
    private func converse(
        _ configuration: InitiatorLogin.Configuration, _ policy: TestPolicy
    ) -> (initiator: InitiatorLogin.Step, target: LoginStep?) {
        var login = InitiatorLogin(configuration)
        var machine = LoginMachine(policy: policy)
        var step = login.start()
        var answer: LoginStep?
        while case .send(let request, let bytes) = step {
            var reply = machine.receive(request.header, bytes)
            if reply.result != nil { reply.assign(tsih: 77) }
            answer = reply
            guard let response = reply.response else { break }
            step = login.receive(response.header, reply.text)
        }
        return (step, answer)
    }

    private func configuration(_ target: ISCSIName? = volume) -> InitiatorLogin.Configuration {
        InitiatorLogin.Configuration(
            initiatorName: initiator, targetName: target, isid: ISID(rawValue: 0x8000_0000_0001))
    }

    @Test("both end with the same parameters and numbers, whatever they wish")
    func agreement() {
        withSeed("both sides") { generator in
            for _ in 0..<500 {
                var wishes = configuration()
                wishes.preferences = preferences(&generator)
                wishes.startsWithSecurity = Bool.random(using: &generator)
                wishes.cmdSN = SerialNumber(UInt32.random(in: 0...UInt32.max, using: &generator))
                if Bool.random(using: &generator) {
                    // Long enough for several requests.
                    wishes.additionalPairs = (0..<4).map { TextPair("X-pad\($0)", String(repeating: "p", count: 3000)) }
                }
                var policy = TestPolicy()
                policy.preferences = preferences(&generator)
                let (step, answer) = converse(wishes, policy)
                guard case .established(let ours) = step, let theirs = answer?.result else {
                    // Only a digest that one side demands and the other refuses may part them.
                    #expect(
                        incompatible(wishes.preferences.headerDigest, policy.preferences.headerDigest)
                            || incompatible(wishes.preferences.dataDigest, policy.preferences.dataDigest))
                    continue
                }
                #expect(!incompatible(wishes.preferences.headerDigest, policy.preferences.headerDigest))
                #expect(!incompatible(wishes.preferences.dataDigest, policy.preferences.dataDigest))
                #expect(ours.parameters == theirs.parameters)
                #expect(ours.tsih == 77 && ours.targetPortalGroupTag == 3)
                #expect(ours.cmdSN == theirs.expCmdSN && ours.expStatSN == theirs.statSN)
                #expect(ours.maxCmdSN == ours.cmdSN + 31)
                check(theirs.parameters, wishes.preferences, policy.preferences)
            }
        }
    }

    /// Whether no digest satisfies both sides' preference.
    private func incompatible(_ one: DigestPreference, _ other: DigestPreference) -> Bool {
        one == .requireCRC32C && other == .noneOnly || one == .noneOnly && other == .requireCRC32C
    }

    /// The result functions of RFC 7143 section 13.
    private func check(
        _ result: OperationalParameters, _ one: OperationalPreferences, _ other: OperationalPreferences
    ) {
        #expect(result.initialR2T == (one.initialR2T || other.initialR2T))
        #expect(result.immediateData == (one.immediateData && other.immediateData))
        #expect(result.dataPDUInOrder == (one.dataPDUInOrder || other.dataPDUInOrder))
        #expect(result.maxBurstLength == min(one.maxBurstLength, other.maxBurstLength))
        #expect(
            result.firstBurstLength == min(one.firstBurstLength, other.firstBurstLength, result.maxBurstLength))
        #expect(result.maxOutstandingR2T == min(one.maxOutstandingR2T, other.maxOutstandingR2T))
        #expect(result.maxConnections == min(one.maxConnections, other.maxConnections))
        #expect(result.errorRecoveryLevel == min(one.errorRecoveryLevel, other.errorRecoveryLevel))
        #expect(result.defaultTime2WaitSeconds == max(one.defaultTime2WaitSeconds, other.defaultTime2WaitSeconds))
        #expect(result.defaultTime2RetainSeconds == min(one.defaultTime2RetainSeconds, other.defaultTime2RetainSeconds))
        #expect(result.initiatorMaxRecvDataSegmentLength == one.maxRecvDataSegmentLength)
        #expect(result.targetMaxRecvDataSegmentLength == other.maxRecvDataSegmentLength)
    }

    private func preferences(_ generator: inout SeededGenerator) -> OperationalPreferences {
        var result = OperationalPreferences()
        let digests: [DigestPreference] = [.offeredOrder, .preferCRC32C, .noneOnly, .requireCRC32C]
        result.headerDigest = digests.randomElement(using: &generator)!
        result.dataDigest = digests.randomElement(using: &generator)!
        result.initialR2T = Bool.random(using: &generator)
        result.immediateData = Bool.random(using: &generator)
        result.dataPDUInOrder = Bool.random(using: &generator)
        result.dataSequenceInOrder = Bool.random(using: &generator)
        result.maxRecvDataSegmentLength = Int.random(in: 512...16_777_215, using: &generator)
        result.maxBurstLength = Int.random(in: 512...16_777_215, using: &generator)
        result.firstBurstLength = Int.random(in: 512...16_777_215, using: &generator)
        result.defaultTime2WaitSeconds = Int.random(in: 0...3600, using: &generator)
        result.defaultTime2RetainSeconds = Int.random(in: 0...3600, using: &generator)
        result.maxOutstandingR2T = Int.random(in: 1...65535, using: &generator)
        result.maxConnections = Int.random(in: 1...65535, using: &generator)
        result.errorRecoveryLevel = Int.random(in: 0...2, using: &generator)
        return result
    }

    @Test("digests: what each preference makes of each offer")
    func digests() {
        for (preference, offer, result) in [
            (.offeredOrder, "CRC32C,None", .crc32c), (.offeredOrder, "None,CRC32C", DigestMethod.none),
            (.preferCRC32C, "None,CRC32C", .crc32c), (.preferCRC32C, "None", DigestMethod.none),
            (.noneOnly, "CRC32C,None", DigestMethod.none), (.noneOnly, "CRC32C", nil),
            (.requireCRC32C, "None,CRC32C", .crc32c), (.requireCRC32C, "None", nil),
            (.offeredOrder, "X-md5,CRC32C", .crc32c), (.offeredOrder, "X-md5", nil),
        ] as [(DigestPreference, String, DigestMethod?)] {
            #expect(preference.choose(from: TextValue.list(offer)!) == result, "\(preference) of \(offer)")
        }
    }

    @Test("a discovery session and a refusal, seen from the initiator")
    func otherEnds() {
        guard case .established(let result) = converse(configuration(nil), TestPolicy()).initiator else {
            Issue.record("no discovery session")
            return
        }
        #expect(result.targetPortalGroupTag == nil && result.parameters.targetMaxRecvDataSegmentLength == 262_144)
        let other = try! ISCSIName("iqn.2026-01.net.example:other")
        #expect(
            converse(configuration(other), TestPolicy()).initiator
                == .failed(.targetNotFound, cause: "the target refused the login: target not found"))
        var secured = configuration()
        secured.startsWithSecurity = true
        guard
            case .failed(.authenticationFailure?, _) = converse(secured, TestPolicy(needsAuthentication: true))
                .initiator
        else {
            Issue.record("let in without authentication")
            return
        }
    }

    @Test("an initiator takes random responses from a hostile target without a trap or an endless talk")
    func hostileTarget() {
        withSeed("hostile target") { generator in
            for _ in 0..<2000 {
                var login = InitiatorLogin(configuration())
                var step = login.start()
                var rounds = 0
                while case .send(let request, _) = step {
                    rounds += 1
                    var response = LoginResponse(header: BasicHeaderSegment(golden: generator.bytes(48)))
                    response.header[.opcode] = Opcode.loginResponse.rawValue
                    if Int.random(in: 0..<8, using: &generator) > 0 {
                        response.status = .success
                        response.initiatorTaskTag = request.initiatorTaskTag
                        response.isid = request.isid
                        response.header[.currentStage] = request.header[.currentStage]
                    }
                    let noise = generator.bytes(Int.random(in: 0...20, using: &generator))
                    step = login.receive(response.header, Bool.random(using: &generator) ? [] : noise)
                }
                #expect(rounds <= 65)
            }
        }
        // A target that always wants one more request.
        var login = InitiatorLogin(configuration())
        var step = login.start()
        var statSN = SerialNumber(1)
        var rounds = 0
        while case .send(let request, _) = step {
            rounds += 1
            let response = LoginResponse(
                initiatorTaskTag: request.initiatorTaskTag, isid: request.isid, currentStage: .operationalNegotiation,
                nextStage: nil,
                sequence: TargetSequence(
                    statSN: statSN.take(), expCmdSN: request.cmdSN, maxCmdSN: request.cmdSN))
            step = login.receive(response.header, [])
        }
        #expect(rounds == 65)
    }
}
