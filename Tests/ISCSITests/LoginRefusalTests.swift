import ISCSI
import Testing

@Suite("Login: refusals")
struct LoginRefusalTests {
    /// Sends one request to a fresh machine.
    private func refusal(
        _ request: LoginRequest, _ keys: [UInt8], policy: TestPolicy = TestPolicy()
    ) -> LoginFailure? {
        var machine = LoginMachine(policy: policy)
        let step = machine.receive(request, keys)
        if let failure = step.failure {
            #expect(machine.state == .failed)
            #expect(step.response?.status == failure.status)
            #expect(step.response?.tsih == 0 && step.response?.transits == false && step.text.isEmpty)
            #expect(step.response?.initiatorTaskTag == request.initiatorTaskTag)
        }
        return step.failure
    }

    @Test("identity: missing, malformed, unknown, forbidden")
    func identity() {
        let name = "InitiatorName=iqn.2026-01.net.example:client0"
        let target = "TargetName=iqn.2026-01.net.example:mpath0"
        for (keys, status, words) in [
            (text(target), 0x0207, "InitiatorName is missing"),
            (text(name), 0x0207, "TargetName is missing"),
            ([], 0x0207, "InitiatorName is missing"),
            (text("InitiatorName=nonsense", target), 0x0200, "starts with none of"),
            (text("InitiatorName=", target), 0x0200, "empty"),
            (text(name, "TargetName=iqn.2026-01.net.example:other"), 0x0203, "no such target"),
            (text(name, "TargetName=what?"), 0x0203, "TargetName:"),
            (text("InitiatorName=iqn.2026-01.net.example:stranger", target), 0x0202, "access list"),
            (text(name, target, "SessionType=Quick"), 0x0209, "SessionType=Quick"),
            (text(name, target, name), 0x0200, "came twice"),
        ] as [([UInt8], UInt16, String)] {
            let failure = refusal(request(), keys)
            #expect(failure?.status.rawValue == status, "\(words)")
            #expect(failure?.description.contains(words) == true, "\(failure?.description ?? "accepted")")
        }
        let line = refusal(request(), text(name, "TargetName=iqn.2026-01.net.example:other"))?.description
        #expect(
            line == "login of iqn.2026-01.net.example:client0 to iqn.2026-01.net.example:other refused: "
                + "no such target at this portal (0203 target not found)")
    }

    @Test("a name from the wire cannot write to the operator's terminal")
    func logInjection() {
        let line = refusal(request(), text("InitiatorName=iqn.x\u{1b}[2J\nforged", "TargetName=\u{7}"))?.description
        #expect(line?.contains("iqn.x?[2J?forged to ? refused") == true)
        #expect(line?.utf8.allSatisfy { (0x20...0x7e).contains($0) } == true)
    }

    @Test("header fields: version, TSIH, stages, T and C, I")
    func header() {
        func changed(_ change: (inout LoginRequest) -> Void) -> LoginRequest {
            var result = request()
            change(&result)
            return result
        }
        let changes: [((inout LoginRequest) -> Void, UInt16)] = [
            ({ $0.versionMin = 1 }, 0x0205),
            ({ $0.tsih = 5 }, 0x020a),
            ({ $0.isImmediate = false }, 0x0200),
            ({ $0.continues = true }, 0x0200),
            ({ $0.header[.currentStage] = 3 }, 0x0200),
            ({ $0.header[.currentStage] = 2 }, 0x0200),
            ({ $0.header[.nextStage] = 2 }, 0x0200),
            ({ $0.header[.nextStage] = 1 }, 0x0200),
            ({ $0.header[.nextStage] = 0 }, 0x0200),
            ({ $0.header.totalAHSLengthBytes = 4 }, 0x0200),
        ]
        // The changes, not the changed requests, are kept: 6.3.1's optimiser loses them in an array of tuples.
        for (change, status) in changes {
            #expect(refusal(changed(change), identityKeys)?.status.rawValue == status)
        }
        #expect(
            refusal(changed { $0.tsih = 5 }, identityKeys, policy: TestPolicy(session: 5))?.status.rawValue == 0x0206)
        #expect(refusal(changed { $0.versionMax = 9 }, identityKeys) == nil)
    }

    @Test("nothing of the opening may change on the way")
    func constancy() {
        let changes: [(inout LoginRequest) -> Void] = [
            { $0.isid = ISID(rawValue: 1) }, { $0.cid = 1 }, { $0.initiatorTaskTag = InitiatorTaskTag(1) },
            { $0.tsih = 1 }, { $0.header[.currentStage] = 0 },
        ]
        for change in changes {
            var machine = LoginMachine(policy: TestPolicy())
            #expect(machine.receive(request(to: nil), identityKeys).outcome == .continues)
            var second = request()
            change(&second)
            #expect(machine.receive(second, []).failure?.status == .initiatorError)
        }
        for line in [
            "InitiatorName=iqn.2026-01.net.example:client1", "TargetName=iqn.2026-01.net.example:other",
            "SessionType=Discovery", "InitiatorName=",
        ] {
            var machine = LoginMachine(policy: TestPolicy())
            #expect(machine.receive(request(to: nil), identityKeys).outcome == .continues)
            #expect(
                machine.receive(request(), text(line)).failure?.description.contains("changed during login") == true)
        }
    }

    @Test("keys: unknown ones are not understood, those of other phases rejected, repeated ones end the login")
    func keys() {
        var machine = LoginMachine(policy: TestPolicy())
        let step = machine.receive(
            request(to: nil),
            identityKeys
                + text(
                    "X-com.example.a=1", "Nonsense=2", "SendTargets=All", "TargetAddress=1.2.3.4",
                    "TaskReporting=FastAbort",
                    "OFMarkInt=1~2", "IFMarkInt=1~2", "IFMarker=Yes", "MaxBurstLength=511", "FirstBurstLength=0x1000",
                    "InitialR2T=maybe", "ErrorRecoveryLevel=2", "MaxConnections=0", "HeaderDigest=CRC64",
                    "DefaultTime2Wait=3601", "iSCSIProtocolLevel=2", "Other=NotUnderstood",
                    "MaxRecvDataSegmentLength=16777216"))
        #expect(
            lines(step.text) == [
                "TaskReporting=Reject", "OFMarkInt=Reject", "IFMarkInt=Reject", "IFMarker=No", "MaxBurstLength=Reject",
                "FirstBurstLength=4096", "InitialR2T=Reject", "ErrorRecoveryLevel=0", "MaxConnections=Reject",
                "HeaderDigest=Reject", "DefaultTime2Wait=Reject", "iSCSIProtocolLevel=1",
                "MaxRecvDataSegmentLength=Reject", "X-com.example.a=NotUnderstood", "Nonsense=NotUnderstood",
                "SendTargets=Reject", "TargetAddress=Reject", "TargetPortalGroupTag=3",
                "MaxRecvDataSegmentLength=262144",
            ])
        let again = machine.receive(request(), text("FirstBurstLength=4096"))
        #expect(again.failure?.description.contains("FirstBurstLength came a second time") == true)
        #expect(refusal(request(), identityKeys + text("AuthMethod=None"))?.status == .initiatorError)
        #expect(refusal(request(), identityKeys + text("A"))?.status == .initiatorError)
        #expect(refusal(request(), identityKeys + Array("A=b".utf8))?.status == .initiatorError)
    }

    @Test("authentication: demanded, passed, failed, passed over")
    func authentication() throws {
        let policy = TestPolicy(needsAuthentication: true)
        let security = request(.securityNegotiation, to: .operationalNegotiation)
        #expect(refusal(request(), identityKeys, policy: policy)?.status == .authenticationFailure)
        #expect(refusal(security, identityKeys, policy: policy)?.status == .authenticationFailure)
        let none = identityKeys + text("AuthMethod=None")
        #expect(refusal(security, none, policy: policy)?.status == .authenticationFailure)
        let chap = identityKeys + text("AuthMethod=CHAP,None")
        #expect(
            refusal(security, chap + text("MaxBurstLength=512"), policy: policy)?.description.contains(
                "before the initiator was authenticated") == true)
        // Without a need, an initiator that insists cannot be served.
        #expect(refusal(security, identityKeys + text("AuthMethod=CHAP"))?.status == .authenticationFailure)
        #expect(refusal(security, identityKeys + text("CHAP_A=7"))?.status == .initiatorError)

        for (answer, isRight) in [("CHAP_R=0x600d", true), ("CHAP_R=0xbad", false)] {
            var machine = LoginMachine(policy: policy)
            let first = machine.receive(security, chap)
            #expect(lines(first.text) == ["AuthMethod=CHAP", "TargetPortalGroupTag=3"])
            #expect(first.response?.transits == false)
            let second = machine.receive(request(.securityNegotiation, to: nil), text("CHAP_A=7,5"))
            #expect(lines(second.text) == ["CHAP_A=7", "CHAP_I=1", "CHAP_C=0xabcd"])
            let third = machine.receive(security, text("CHAP_N=client0", answer))
            guard isRight else {
                #expect(third.failure?.status == .authenticationFailure)
                #expect(third.failure?.description.contains("0xbad") == false)
                continue
            }
            #expect(lines(third.text) == ["CHAP_N=target"])
            #expect(third.response?.transits == true)
            let fourth = machine.receive(request(), text("MaxBurstLength=512"))
            #expect(try #require(fourth.result).isAuthenticated)
        }
    }

    @Test("a digest that is required must be offered")
    func requiredDigest() {
        var policy = TestPolicy()
        policy.preferences.headerDigest = .requireCRC32C
        for keys in [[], text("HeaderDigest=None"), text("HeaderDigest=,")] {
            #expect(refusal(request(), identityKeys + keys, policy: policy)?.description.contains("CRC32C") == true)
        }
        #expect(refusal(request(), identityKeys + text("HeaderDigest=None,CRC32C"), policy: policy) == nil)
    }

    @Test("a login may not go on for ever, nor carry without end")
    func bounds() {
        var machine = LoginMachine(policy: TestPolicy())
        var steps = 0
        var step = machine.receive(request(to: nil), identityKeys)
        while step.failure == nil, steps < 1000 {
            steps += 1
            step = machine.receive(request(to: nil), [])
        }
        #expect(steps == 64)
        #expect(step.failure?.status == .initiatorError)
        machine = LoginMachine(policy: TestPolicy())
        let piece = [UInt8](repeating: 0x41, count: 8192)
        #expect(machine.receive(request(to: nil, continues: true), piece).outcome == .continues)
        #expect(machine.receive(request(to: nil, continues: true), piece).outcome == .continues)
        #expect(machine.receive(request(to: nil, continues: true), piece).failure != nil)
        machine = LoginMachine(policy: TestPolicy())
        #expect(machine.receive(request(), [UInt8](repeating: 0, count: 8193)).failure != nil)
    }

    @Test("a server without room turns the last step into a refusal")
    func noRoom() {
        var machine = LoginMachine(policy: TestPolicy())
        var step = machine.receive(request(), identityKeys)
        step.refuse(.outOfResources, cause: "1,024 sessions are the most")
        #expect(step.response?.status == .outOfResources)
        #expect(step.response?.transits == false && step.response?.dataSegmentLength == 0 && step.text.isEmpty)
        #expect(step.failure?.description.contains("1,024 sessions are the most (0302 out of resources)") == true)
    }
}
