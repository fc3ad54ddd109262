import ISCSI
import Testing

/// What real initiators send, and what they must be told.
@Suite("Login: conversations of real initiators")
struct LoginConversationTests {
    /// The operational keys of libiscsi 1.19, recorded from `iscsi-inq`.
    static let libiscsiKeys = text(
        "HeaderDigest=None,CRC32C", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes", "MaxBurstLength=262144",
        "FirstBurstLength=262144", "DefaultTime2Wait=2", "DefaultTime2Retain=0", "MaxOutstandingR2T=1",
        "ErrorRecoveryLevel=0", "IFMarker=No", "OFMarker=No", "MaxConnections=1", "MaxRecvDataSegmentLength=262144",
        "DataPDUInOrder=Yes", "DataSequenceInOrder=Yes")

    static let libiscsiAnswers = [
        "HeaderDigest=None", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes", "MaxBurstLength=262144",
        "FirstBurstLength=262144", "DefaultTime2Wait=2", "DefaultTime2Retain=0", "MaxOutstandingR2T=1",
        "ErrorRecoveryLevel=0", "IFMarker=No", "OFMarker=No", "MaxConnections=1", "DataPDUInOrder=Yes",
        "DataSequenceInOrder=Yes",
    ]

    static let libiscsiIdentity = text(
        "InitiatorName=iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq", "TargetName=iqn.2026-01.net.example:mpath0",
        "SessionType=Normal")

    @Test("libiscsi begins in the operational stage: one request, one answer")
    func libiscsi() throws {
        let header = hex(
            """
            43                       # I, opcode 03
            87                       # T, CSG operational, NSG full feature
            00 00                    # Version-max, Version-min
            00 00 01 ba              # TotalAHSLength, DataSegmentLength 442
            80 43 0e e7 00 00        # ISID, random format
            00 00                    # TSIH
            54 72 20 f5              # Initiator Task Tag
            00 00 00 00              # CID
            44 0b a7 36              # CmdSN
            00 00 00 01              # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            """)
        let keys = Self.libiscsiIdentity + Self.libiscsiKeys
        #expect(keys.count == 0x1ba)
        var machine = LoginMachine(policy: TestPolicy())
        var step = machine.receive(BasicHeaderSegment(golden: header), keys)
        let result = try #require(step.result)
        #expect(machine.state == .established)
        step.assign(tsih: 42)
        let response = try #require(step.response)
        #expect(
            response.header.bytes
                == hex(
                    """
                    23                       # opcode 23
                    87                       # T, CSG operational, NSG full feature
                    00 00                    # Version-max, Version-active
                    00 00 01 4c              # TotalAHSLength, DataSegmentLength 332
                    80 43 0e e7 00 00        # ISID
                    00 2a                    # TSIH
                    54 72 20 f5              # Initiator Task Tag
                    00 00 00 00              # reserved
                    00 00 00 01              # StatSN
                    44 0b a7 36              # ExpCmdSN: the login is immediate and takes no CmdSN
                    44 0b a7 55              # MaxCmdSN: a window of 32
                    00 00                    # Status-Class, Status-Detail
                    00 00 00 00 00 00 00 00 00 00
                    """))
        #expect(
            lines(step.text)
                == Self.libiscsiAnswers + ["TargetPortalGroupTag=3", "MaxRecvDataSegmentLength=262144"])
        #expect(result.identity.initiatorName.text == "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq")
        #expect(result.identity.targetName == volume)
        #expect(result.identity.isid.format == .random)
        #expect(result.targetPortalGroupTag == 3)
        #expect(!result.isAuthenticated)
        #expect(result.expCmdSN == SerialNumber(0x440b_a736))
        #expect(result.statSN == SerialNumber(2))
        #expect(result.parameters.initiatorMaxRecvDataSegmentLength == 262_144)
        #expect(result.parameters.targetMaxRecvDataSegmentLength == 262_144)
        #expect(!result.parameters.initialR2T && result.parameters.immediateData)
        #expect(result.parameters.firstBurstLength == 262_144)
    }

    @Test("libiscsi with a user name begins with security, and says again who it is")
    func libiscsiSecurity() throws {
        var machine = LoginMachine(policy: TestPolicy())
        let first = machine.receive(
            request(.securityNegotiation, to: .operationalNegotiation),
            Self.libiscsiIdentity + text("AuthMethod=CHAP,None"))
        #expect(lines(first.text) == ["AuthMethod=None", "TargetPortalGroupTag=3"])
        #expect(first.outcome == .continues)
        let response = try #require(first.response)
        #expect(response.transits && response.nextStage == .operationalNegotiation)
        #expect(response.statSN == SerialNumber(7) && response.tsih == 0)
        let second = machine.receive(request(), Self.libiscsiIdentity + Self.libiscsiKeys)
        #expect(lines(second.text) == Self.libiscsiAnswers + ["MaxRecvDataSegmentLength=262144"])
        #expect(second.response?.statSN == SerialNumber(8))
        #expect(second.result?.statSN == SerialNumber(9))
    }

    @Test("libiscsi's discovery session: what has no meaning there is irrelevant")
    func libiscsiDiscovery() throws {
        var machine = LoginMachine(policy: TestPolicy())
        let step = machine.receive(
            request(), text("InitiatorName=\(initiator)", "SessionType=Discovery") + Self.libiscsiKeys)
        #expect(
            lines(step.text) == [
                "HeaderDigest=None", "DataDigest=None", "InitialR2T=Irrelevant", "ImmediateData=Irrelevant",
                "MaxBurstLength=Irrelevant", "FirstBurstLength=Irrelevant", "DefaultTime2Wait=2",
                "DefaultTime2Retain=0", "MaxOutstandingR2T=Irrelevant", "ErrorRecoveryLevel=0", "IFMarker=No",
                "OFMarker=No", "MaxConnections=Irrelevant", "DataPDUInOrder=Irrelevant",
                "DataSequenceInOrder=Irrelevant", "MaxRecvDataSegmentLength=262144",
            ])
        let result = try #require(step.result)
        #expect(result.identity.sessionType == .discovery && result.identity.targetName == nil)
    }

    /// The keys of open-iscsi 2.1 with its default configuration, in the order in which it sends them.
    static let openISCSIKeys = text(
        "HeaderDigest=None", "DataDigest=None", "DefaultTime2Wait=2", "DefaultTime2Retain=0", "IFMarker=No",
        "OFMarker=No", "ErrorRecoveryLevel=0", "InitialR2T=No", "ImmediateData=Yes", "MaxBurstLength=16776192",
        "FirstBurstLength=262144", "MaxOutstandingR2T=1", "MaxConnections=1", "DataPDUInOrder=Yes",
        "DataSequenceInOrder=Yes", "MaxRecvDataSegmentLength=262144")

    @Test("open-iscsi goes from security to operational to full feature")
    func openISCSI() throws {
        var machine = LoginMachine(policy: TestPolicy(alias: "mpath0"))
        let first = machine.receive(
            request(.securityNegotiation, to: .operationalNegotiation),
            text(
                "InitiatorName=iqn.2026-01.net.example:client0", "InitiatorAlias=client0",
                "TargetName=iqn.2026-01.net.example:mpath0", "SessionType=Normal", "AuthMethod=None"))
        #expect(lines(first.text) == ["AuthMethod=None", "TargetAlias=mpath0", "TargetPortalGroupTag=3"])
        #expect(first.response?.currentStage == .securityNegotiation)
        #expect(first.response?.nextStage == .operationalNegotiation)
        #expect(machine.state == .operationalNegotiation)
        let second = machine.receive(request(), Self.openISCSIKeys)
        #expect(
            lines(second.text) == [
                "HeaderDigest=None", "DataDigest=None", "DefaultTime2Wait=2", "DefaultTime2Retain=0", "IFMarker=No",
                "OFMarker=No", "ErrorRecoveryLevel=0", "InitialR2T=No", "ImmediateData=Yes", "MaxBurstLength=1048576",
                "FirstBurstLength=262144", "MaxOutstandingR2T=1", "MaxConnections=1", "DataPDUInOrder=Yes",
                "DataSequenceInOrder=Yes", "MaxRecvDataSegmentLength=262144",
            ])
        let result = try #require(second.result)
        #expect(result.identity.initiatorAlias == "client0")
        #expect(result.parameters.maxBurstLength == 1_048_576)
        #expect(result.expCmdSN == SerialNumber(100))
    }

    @Test("open-iscsi's discovery goes from security straight to full feature")
    func openISCSIDiscovery() throws {
        var machine = LoginMachine(policy: TestPolicy())
        let step = machine.receive(
            request(.securityNegotiation, to: .fullFeaturePhase),
            text("InitiatorName=\(initiator)", "SessionType=Discovery", "AuthMethod=None"))
        #expect(lines(step.text) == ["AuthMethod=None", "MaxRecvDataSegmentLength=262144"])
        let result = try #require(step.result)
        #expect(result.parameters.initiatorMaxRecvDataSegmentLength == 8192)
        #expect(step.response?.nextStage == .fullFeaturePhase)
    }

    @Test("an initiator that negotiates without T gets its answers first, and the change of stage when it asks")
    func stepByStep() {
        var machine = LoginMachine(policy: TestPolicy())
        let first = machine.receive(request(to: nil), identityKeys)
        #expect(lines(first.text) == ["TargetPortalGroupTag=3", "MaxRecvDataSegmentLength=262144"])
        #expect(first.response?.transits == false)
        let second = machine.receive(request(to: nil), text("MaxBurstLength=4096"))
        #expect(lines(second.text) == ["MaxBurstLength=4096"])
        let third = machine.receive(request(), [])
        #expect(third.text.isEmpty)
        // The default FirstBurstLength of 65,536 cannot stand beside it.
        #expect(third.result?.parameters.firstBurstLength == 4096)
        let fourth = machine.receive(request(), [])
        #expect(fourth.response == nil && fourth.failure != nil)
    }

    @Test("no key at all in the operational stage: the standard's defaults")
    func defaults() throws {
        var machine = LoginMachine(policy: TestPolicy())
        let result = try #require(machine.receive(request(), identityKeys).result)
        var expected = OperationalParameters()
        expected.targetMaxRecvDataSegmentLength = 262_144
        #expect(result.parameters == expected)
        #expect(result.parameters.initialR2T && result.parameters.immediateData)
        #expect(result.parameters.firstBurstLength == 65_536 && result.parameters.maxBurstLength == 262_144)
        #expect(result.parameters.defaultTime2RetainSeconds == 20)
    }
}
