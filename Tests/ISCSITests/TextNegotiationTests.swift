import ISCSI
import Testing

@Suite("Text negotiation in the full feature phase")
struct TextNegotiationTests {
    /// A number of targets with two portals each; `:stranger` sees none.
    private struct Directory: TargetDirectory {
        var targets: [DiscoveredTarget]

        init(count: Int) {
            targets = (0..<count).map { index in
                DiscoveredTarget(
                    name: try! ISCSIName("iqn.2026-01.net.example:mpath\(index)"),
                    addresses: [
                        DiscoveredTarget.Address(text: "10.77.0.21:3260", targetPortalGroupTag: 1),
                        DiscoveredTarget.Address(text: "[fd00::21]:3260", targetPortalGroupTag: 2),
                    ])
            }
        }

        func targets(_ selection: TargetSelection, visibleTo initiator: ISCSIName) -> [DiscoveredTarget] {
            guard !initiator.text.hasSuffix(":stranger") else { return [] }
            switch selection {
            case .all: return targets
            case .named(let name): return targets.filter { $0.name == name }
            }
        }
    }

    private static func request(
        _ transferTag: TargetTransferTag = .reserved, final: Bool = true, continues: Bool = false,
        tag: UInt32 = 5
    ) -> TextRequest {
        TextRequest(
            initiatorTaskTag: InitiatorTaskTag(tag), targetTransferTag: transferTag, final: final,
            continues: continues, cmdSN: SerialNumber(1), expStatSN: SerialNumber(1))
    }

    /// One conversation in one session.
    private struct Session {
        var negotiation: TextNegotiation
        var parameters = OperationalParameters()
        var directory = Directory(count: 2)

        init(_ type: SessionType, name: ISCSIName = initiator) {
            negotiation = TextNegotiation(
                sessionType: type, initiatorName: name, targetName: type == .normal ? volume : nil)
        }

        mutating func send(_ request: TextRequest, _ text: [UInt8]) -> TextNegotiation.Outcome {
            negotiation.receive(
                request, data: unsafe text.span.bytes, parameters: &parameters, directory: directory)
        }

        /// The answer to one final request.
        mutating func answer(_ line: String) -> [String]? {
            guard case .respond(let response, let bytes) = send(TextNegotiationTests.request(), text(line)) else {
                return nil
            }
            #expect(response.isFinal && !response.continues && response.targetTransferTag.isReserved)
            #expect(response.dataSegmentLength == bytes.count && response.initiatorTaskTag.rawValue == 5)
            return lines(bytes)
        }
    }

    private static let both = [
        "TargetName=iqn.2026-01.net.example:mpath0", "TargetAddress=10.77.0.21:3260,1",
        "TargetAddress=[fd00::21]:3260,2", "TargetName=iqn.2026-01.net.example:mpath1",
        "TargetAddress=10.77.0.21:3260,1", "TargetAddress=[fd00::21]:3260,2",
    ]

    @Test("SendTargets in a discovery session")
    func discovery() {
        var session = Session(.discovery)
        #expect(session.answer("SendTargets=All") == Self.both)
        #expect(session.answer("SendTargets=iqn.2026-01.net.example:mpath1") == Array(Self.both[3...]))
        #expect(session.answer("SendTargets=iqn.2026-01.net.example:other") == [])
        #expect(session.answer("SendTargets=") == ["SendTargets=Reject"])
        #expect(session.answer("SendTargets=nonsense") == ["SendTargets=Reject"])
        var stranger = Session(.discovery, name: try! ISCSIName("iqn.2026-01.net.example:stranger"))
        #expect(stranger.answer("SendTargets=All") == [])
        #expect(stranger.answer("SendTargets=iqn.2026-01.net.example:mpath1") == [])
    }

    @Test("SendTargets in a normal session tells of its own target only")
    func normal() {
        var session = Session(.normal)
        #expect(session.answer("SendTargets=") == Array(Self.both[..<3]))
        #expect(session.answer("SendTargets=iqn.2026-01.net.example:mpath0") == Array(Self.both[..<3]))
        #expect(session.answer("SendTargets=iqn.2026-01.net.example:mpath1") == ["SendTargets=Reject"])
        #expect(session.answer("SendTargets=All") == ["SendTargets=Reject"])
    }

    @Test("a long answer is fetched piece by piece and is whole")
    func longAnswer() throws {
        for limit in [512, 8192, 262_144] {
            var session = Session(.discovery)
            session.directory = Directory(count: 300)
            session.parameters.initiatorMaxRecvDataSegmentLength = limit
            var collected: [UInt8] = []
            var transferTag = TargetTransferTag.reserved
            var request = text("SendTargets=All")
            var rounds = 0
            while true {
                guard case .respond(let response, let bytes) = session.send(Self.request(transferTag), request) else {
                    Issue.record("rejected")
                    return
                }
                rounds += 1
                #expect(bytes.count <= limit)
                collected += bytes
                request = []
                transferTag = response.targetTransferTag
                #expect(response.isFinal == transferTag.isReserved && response.continues != response.isFinal)
                if response.isFinal { break }
            }
            #expect(rounds == (collected.count + limit - 1) / limit)
            #expect(try DiscoveredTarget.parse(collected) == session.directory.targets)
        }
    }

    @Test("an answer has a bound, and ends with a whole target")
    func bound() throws {
        var session = Session(.discovery)
        session.directory = Directory(count: 20_000)
        session.parameters.initiatorMaxRecvDataSegmentLength = 16_777_215
        guard case .respond(_, let bytes) = session.send(Self.request(), text("SendTargets=All")) else {
            Issue.record("rejected")
            return
        }
        #expect(bytes.count <= TextNegotiation.answerLimitBytes)
        let targets = try DiscoveredTarget.parse(bytes)
        #expect(targets == Array(session.directory.targets.prefix(targets.count)) && targets.count > 5000)
    }

    @Test("MaxRecvDataSegmentLength may be renewed; it holds after the last response")
    func renewal() {
        var session = Session(.normal)
        #expect(session.answer("MaxRecvDataSegmentLength=65536") == [])
        #expect(session.parameters.initiatorMaxRecvDataSegmentLength == 65536)
        #expect(session.answer("MaxRecvDataSegmentLength=1") == ["MaxRecvDataSegmentLength=Reject"])
        #expect(session.parameters.initiatorMaxRecvDataSegmentLength == 65536)
        guard
            case .respond(let first, _) = session.send(
                Self.request(final: false), text("MaxRecvDataSegmentLength=4096"))
        else {
            Issue.record("rejected")
            return
        }
        #expect(!first.isFinal && !first.continues && !first.targetTransferTag.isReserved)
        #expect(session.parameters.initiatorMaxRecvDataSegmentLength == 65536)
        guard case .respond(let second, _) = session.send(Self.request(first.targetTransferTag), []) else {
            Issue.record("rejected")
            return
        }
        #expect(second.isFinal && second.targetTransferTag.isReserved)
        #expect(session.parameters.initiatorMaxRecvDataSegmentLength == 4096)
    }

    @Test("keys of the login are rejected, unknown ones not understood, answers to nothing ignored")
    func otherKeys() {
        var session = Session(.normal)
        for key in ["HeaderDigest=CRC32C", "MaxBurstLength=512", "AuthMethod=None", "InitiatorName=a", "IFMarker=No"] {
            #expect(session.answer(key) == [key.prefix { $0 != "=" } + "=Reject"])
        }
        #expect(session.answer("X-net.example.a=b") == ["X-net.example.a=NotUnderstood"])
        #expect(session.answer("X-net.example.a=NotUnderstood") == [])
        #expect(session.answer("InitiatorAlias=me") == [])
        #expect(session.parameters == OperationalParameters())
    }

    @Test("a request that starts anew drops what was under way; a wrong tag is rejected")
    func tags() {
        var session = Session(.discovery)
        session.directory = Directory(count: 300)
        guard case .respond(let first, _) = session.send(Self.request(), text("SendTargets=All")) else {
            Issue.record("rejected")
            return
        }
        #expect(session.answer("SendTargets=iqn.2026-01.net.example:other") == [])
        for tag in [first.targetTransferTag, TargetTransferTag(77)] {
            guard case .reject(.protocolError, _) = session.send(Self.request(tag), []) else {
                Issue.record("accepted")
                return
            }
        }
        // Text before the whole answer was fetched, another task tag, F with C.
        for (request, data) in [
            (Self.request(TargetTransferTag(3)), text("A=b")), (Self.request(TargetTransferTag(3), tag: 6), []),
            (Self.request(TargetTransferTag(3), continues: true), []),
        ] {
            session = Session(.discovery)
            session.directory = Directory(count: 300)
            _ = session.send(Self.request(), text("A=b"))
            _ = session.send(Self.request(), text("A=b"))
            guard case .respond(let open, _) = session.send(Self.request(), text("SendTargets=All")) else {
                Issue.record("rejected")
                return
            }
            #expect(open.targetTransferTag == TargetTransferTag(3))
            guard case .reject = session.send(request, data) else {
                Issue.record("accepted")
                return
            }
        }
    }

    @Test("requests in pieces have a bound in bytes and in number")
    func bounds() {
        for piece in [[UInt8](repeating: 0x41, count: 8192), [0]] {
            var session = Session(.discovery)
            var transferTag = TargetTransferTag.reserved
            var rounds = 0
            while rounds < 1000 {
                let outcome = session.send(Self.request(transferTag, final: false, continues: true), piece)
                guard case .respond(let response, _) = outcome else { break }
                rounds += 1
                transferTag = response.targetTransferTag
            }
            #expect(rounds == (piece.count == 1 ? TextNegotiation.requestLimit : 2))
        }
    }

    @Test("random requests never trap")
    func random() {
        withSeed("random text requests") { generator in
            for _ in 0..<2000 {
                var session = Session(Bool.random(using: &generator) ? .normal : .discovery)
                for _ in 0..<4 {
                    var request = TextRequest(header: BasicHeaderSegment(golden: generator.bytes(48)))
                    if Bool.random(using: &generator) { request.targetTransferTag = .reserved }
                    let noise = generator.bytes(Int.random(in: 0...40, using: &generator))
                    _ = session.send(request, Bool.random(using: &generator) ? noise : noise + [0])
                }
            }
        }
    }
}
