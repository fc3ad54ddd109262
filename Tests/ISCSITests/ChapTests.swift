import Crypto
import ISCSI
import Synchronization
import Testing

/// Digests as a server has them; random bytes from a list, so that conversations can be pinned.
private func functions(_ random: @escaping @Sendable (Int) -> [UInt8]) -> ChapFunctions {
    ChapFunctions(
        digest: { algorithm, bytes in
            switch algorithm {
            case .md5: Array(Insecure.MD5.hash(data: bytes))
            case .sha1: Array(Insecure.SHA1.hash(data: bytes))
            case .sha256: Array(SHA256.hash(data: bytes))
            case .sha3With256Bits: Array(SHA3_256.hash(data: bytes))
            }
        }, randomBytes: random)
}

/// The key 11 11 ..., the identifier 42, the nonce 00 01 02 ...
private let pinned = functions { count in
    count == 32 ? [UInt8](repeating: 0x11, count: 32) : count == 1 ? [0x2a] : (0..<count).map { UInt8($0) }
}

private let kernel = functions { count in
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}

private let secret = ChapSecret(Array("initiator-secret-0123".utf8))
private let targetSecret = ChapSecret(Array("target-secret-456789".utf8))
private let pinnedChallenge = "0x000102030405060708090a0b0c0d0e0f4811c022f58ad46211f9c44f26d81243"

private let everybody = ChapAuthenticator.Credentials(initiator: secret, target: targetSecret)

private func authenticator(
    _ algorithms: [ChapAlgorithm] = [.sha3With256Bits, .sha256, .sha1, .md5],
    credentials: ChapAuthenticator.Credentials? = everybody, functions: ChapFunctions = pinned
) -> ChapAuthenticator {
    ChapAuthenticator(
        initiatorName: initiator, targetName: volume.text, algorithms: algorithms, credentials: credentials,
        challenges: ChapChallenges(functions))
}

private func pairs(_ lines: String...) -> [TextPair] {
    lines.map { line in
        let equals = line.firstIndex(of: "=")!
        return TextPair(String(line[..<equals]), String(line[line.index(after: equals)...]))
    }
}

private func cause(_ step: AuthenticationStep) -> String? {
    guard case .failed(let status, let cause) = step else { return nil }
    #expect(status == .authenticationFailure)
    return cause
}

/// CHAP_R of the pinned conversation and of the target for identifier 7 and challenge 80 81 ... 8f, made with another
/// implementation of the digests.
private let golden: [(algorithm: ChapAlgorithm, response: String, answer: String)] = [
    (.md5, "b687abb7dc57a6cdd19f3667c5bd141a", "5e8418665339b21c5491c813bfb9a2b5"),
    (.sha1, "a72bd4b2c2aa5c348f5e80660b483e10efa13c66", "24ea6029e9c1ea93a8e4c8913e446e08951b267a"),
    (
        .sha256, "984a89bead0958e40527053c39ae9dd5a4c106512612f90121e0fcbe1a8d444c",
        "0ae73ad7fd4bac3ec71129fb6b4f8ac5e27c7957e496c90d1be81a0c30f2f6bb"
    ),
    (
        .sha3With256Bits, "66e270337b386c5f32ee032163ca9f7e4bb43f6d4dabe2e05d4932a2c8dddf9c",
        "b0d86c0d3a055a03ff476e25458328c8694e49de9913b4edd32208348f98c1a0"
    ),
]

private let askingKeys = ["CHAP_I=7", "CHAP_C=0x808182838485868788898a8b8c8d8e8f"]

@Suite("CHAP: the target's side")
struct ChapTests {
    @Test("golden conversations, one-way and mutual", arguments: 0..<4)
    func conversations(index: Int) {
        let (algorithm, response, answer) = golden[index]
        for asks in [false, true] {
            var chap = authenticator()
            #expect(
                chap.receive(pairs("CHAP_A=\(algorithm.rawValue)"))
                    == .reply(pairs("CHAP_A=\(algorithm.rawValue)", "CHAP_I=42", "CHAP_C=\(pinnedChallenge)")))
            var keys = pairs("CHAP_N=\(initiator.text)", "CHAP_R=0x\(response)")
            if asks { keys += pairs(askingKeys[0], askingKeys[1]) }
            let step = chap.receive(keys)
            #expect(step == .complete(asks ? pairs("CHAP_N=\(volume.text)", "CHAP_R=0x\(answer)") : []))
            #expect(
                chap.proof == LoginProof(method: "CHAP", algorithm: algorithm.description, isMutual: asks))
            #expect(cause(chap.receive(keys)) != nil, "once over, it stays over")
        }
    }

    @Test("hexadecimal of either case and base64 are one value")
    func encodings() {
        let response = "984a89bead0958e40527053c39ae9dd5a4c106512612f90121e0fcbe1a8d444c"
        for text in [
            "0x\(response)", "0X\(response.uppercased())", "0bmEqJvq0JWOQFJwU8Oa6d1aTBBlEmEvkBIeD8vhqNREw=",
            "0BmEqJvq0JWOQFJwU8Oa6d1aTBBlEmEvkBIeD8vhqNREw=",
        ] {
            var chap = authenticator()
            _ = chap.receive(pairs("CHAP_A=7"))
            let step = chap.receive(
                pairs(
                    "CHAP_N=\(initiator.text)", "CHAP_R=\(text)", "CHAP_I=0x07", "CHAP_C=0bgIGCg4SFhoeIiYqLjI2Ojw=="))
            #expect(
                step == .complete(pairs("CHAP_N=\(volume.text)", "CHAP_R=0x\(golden[2].answer)")), "\(text): \(step)")
        }
    }

    @Test("our preference decides, whatever the order of the offer")
    func preference() {
        for (offer, ours, chosen) in [
            ("5,6,7,8", [ChapAlgorithm.sha3With256Bits, .sha256], "8"), ("8,7", [.sha256, .sha3With256Bits], "7"),
            ("5", [.sha256, .md5], "5"), ("0x7,99,5", [.md5, .sha256], "5"), ("07,6", [.sha256, .sha1], "6"),
        ] {
            var chap = authenticator(ours)
            guard case .reply(let keys) = chap.receive(pairs("CHAP_A=\(offer)")) else {
                Issue.record("\(offer) was refused")
                continue
            }
            #expect(keys.first == TextPair("CHAP_A", chosen))
        }
        for offer in ["5", "5,6", "", "x", "7,", ",7", "7 ", "256,263", "-7", "None"] {
            var chap = authenticator([.sha3With256Bits, .sha256])
            #expect(cause(chap.receive(pairs("CHAP_A=\(offer)"))) != nil, "\(offer)")
        }
    }

    @Test("wrong secret, wrong name, no secret: one answer")
    func wrong() throws {
        let right = "CHAP_R=0x\(golden[2].response)"
        let wrongResponses = [
            ("CHAP_N=\(initiator.text)", "CHAP_R=0x\(String(repeating: "00", count: 32))", everybody),
            ("CHAP_N=iqn.2026-01.net.example:client1", right, everybody), ("CHAP_N=", right, everybody),
            ("CHAP_N=client0", right, everybody), ("CHAP_N=\(initiator.text)", right, nil),
            (
                "CHAP_N=\(initiator.text)", right,
                ChapAuthenticator.Credentials(initiator: targetSecret, target: secret)
            ),
        ]
        for (name, response, credentials) in wrongResponses {
            var chap = authenticator(credentials: credentials)
            _ = chap.receive(pairs("CHAP_A=7"))
            let why = try #require(cause(chap.receive(pairs(name, response))))
            #expect(!why.contains("984a") && !why.contains("secret-"), "\(why)")
        }
        // The name is compared as a name: case does not matter.
        var chap = authenticator()
        _ = chap.receive(pairs("CHAP_A=7"))
        #expect(chap.receive(pairs("CHAP_N=\(initiator.text.uppercased())", right)) == .complete([]))
        // Every byte of the response matters.
        for index in 0..<32 {
            var bytes = Array(hex(golden[2].response))
            bytes[index] ^= 0x01
            var chap = authenticator()
            _ = chap.receive(pairs("CHAP_A=7"))
            #expect(
                cause(chap.receive(pairs("CHAP_N=\(initiator.text)", "CHAP_R=\(TextValue.text(hexadecimal: bytes))")))
                    != nil)
        }
    }

    @Test("lengths of CHAP_R and CHAP_C, in hexadecimal and base64")
    func lengths() {
        let own = "CHAP_R=0x\(golden[2].response)"
        for length in Array(0...70) + [1023, 1024, 1025, 2048, 4000] {
            let hexadecimal = "0x" + String(repeating: "ab", count: length)
            for value in [hexadecimal, "0b" + String(repeating: "QUJD", count: length), hexadecimal + "a"] {
                var chap = authenticator()
                _ = chap.receive(pairs("CHAP_A=7"))
                #expect(cause(chap.receive(pairs("CHAP_N=\(initiator.text)", "CHAP_R=\(value)"))) != nil)
                chap = authenticator()
                _ = chap.receive(pairs("CHAP_A=7"))
                let step = chap.receive(
                    pairs("CHAP_N=\(initiator.text)", own, "CHAP_I=1", "CHAP_C=\(value)"))
                let bytes = value.hasPrefix("0b") ? length * 3 : (value.utf8.count - 1) / 2
                if 1...1024 ~= bytes {
                    #expect(cause(step) == nil, "\(bytes) bytes: \(step)")
                } else {
                    #expect(cause(step) != nil, "\(bytes) bytes")
                }
            }
        }
    }

    @Test("what is no binary value, no byte, not due or there twice")
    func malformed() {
        let response = "CHAP_R=0x\(golden[2].response)"
        let name = "CHAP_N=\(initiator.text)"
        let cases: [[String]] = [
            [], [name], [response], ["CHAP_A=7"], [name, response, "CHAP_A=7"], [name, response, "CHAP_X=1"],
            [name, response, "CHAP_I=1"], [name, response, "CHAP_C=0x01"], [name, name, response],
            [name, response, response], [name, response, "SRP_U=x"], [name, response, "CHAP_I=256", "CHAP_C=0x01"],
            [name, response, "CHAP_I=-1", "CHAP_C=0x01"], [name, response, "CHAP_I=", "CHAP_C=0x01"],
            [name, response, "CHAP_I=1", "CHAP_C="], [name, response, "CHAP_I=1", "CHAP_C=0x"],
            [name, response, "CHAP_I=1", "CHAP_C=0b"], [name, response, "CHAP_I=1", "CHAP_C=12"],
            [name, response, "CHAP_I=1", "CHAP_C=0xzz"], [name, response, "CHAP_I=1", "CHAP_C=0bA==="],
            [name, response, "CHAP_I=1", "CHAP_C=0bQUJ"], [name, response, "CHAP_I=1", "CHAP_C=0bQU=D"],
            [name, "CHAP_R=0x"], [name, "CHAP_R="], [name, "CHAP_R=0x\(golden[2].response.dropLast(1))g"],
            [name, "CHAP_R=\(golden[2].response)"], [name, "CHAP_R=0b\(golden[2].response)"], [name, "CHAP_R=None"],
        ]
        for keys in cases {
            var chap = authenticator()
            _ = chap.receive(pairs("CHAP_A=7"))
            let all = keys.flatMap { pairs($0) }
            #expect(cause(chap.receive(all)) != nil, "\(keys)")
            #expect(cause(chap.receive(pairs(name, response))) != nil, "a second try after \(keys)")
        }
        for first in [[], [name, response], ["CHAP_A=7", "CHAP_I=1"], ["CHAP_I=1"], ["CHAP_A=7", "CHAP_A=7"]] {
            var chap = authenticator()
            #expect(cause(chap.receive(first.flatMap { pairs($0) })) != nil, "\(first)")
            #expect(cause(chap.receive(pairs("CHAP_A=7"))) != nil)
        }
    }

    @Test("a challenge of ours that comes back is known, from whatever login")
    func reflected() throws {
        let challenges = ChapChallenges(kernel)
        func login() -> ChapAuthenticator {
            ChapAuthenticator(
                initiatorName: initiator, targetName: volume.text, algorithms: [.sha256], credentials: everybody,
                challenges: challenges)
        }
        func challenge(_ chap: inout ChapAuthenticator) throws -> (identifier: String, challenge: String) {
            guard case .reply(let keys) = chap.receive(pairs("CHAP_A=7")) else { throw CancellationError() }
            return (keys[1].value, keys[2].value)
        }
        var first = login()
        var second = login()
        let ours = try challenge(&first)
        let others = try challenge(&second)
        #expect(ours.challenge != others.challenge)
        let bytes = try #require(TextValue.binary(ours.challenge, maximumLengthBytes: 64))
        let identifier = try #require(UInt8(ours.identifier))
        let right = TextValue.text(
            hexadecimal: kernel.digest(.sha256, [identifier] + Array("initiator-secret-0123".utf8) + bytes))
        for reflected in [ours.challenge, others.challenge, ours.challenge.uppercased().replacing("0X", with: "0x")] {
            var chap = first
            let why = cause(
                chap.receive(
                    pairs("CHAP_N=\(initiator.text)", "CHAP_R=\(right)", "CHAP_I=1", "CHAP_C=\(reflected)")))
            #expect(why?.contains("reflected") == true, "\(why ?? "")")
        }
        var chap = first
        let other = TextValue.text(hexadecimal: kernel.randomBytes(32))
        let step = chap.receive(pairs("CHAP_N=\(initiator.text)", "CHAP_R=\(right)", "CHAP_I=1", "CHAP_C=\(other)"))
        #expect(cause(step) == nil, "\(step)")
        // A response is worth nothing for another challenge.
        #expect(cause(second.receive(pairs("CHAP_N=\(initiator.text)", "CHAP_R=\(right)"))) != nil)
        #expect(!challenges.isOurs([]) && !challenges.isOurs([UInt8](repeating: 0, count: 32)))
        #expect(!ChapChallenges(kernel).isOurs(bytes), "another server's challenge")
    }

    @Test("challenges never come twice, and are as long as the longest digest")
    func challenges() {
        let challenges = ChapChallenges(kernel)
        var seen: Set<[UInt8]> = []
        var nonces: Set<[UInt8]> = []
        for _ in 0..<10_000 {
            let challenge = challenges.make()
            #expect(challenge.count == 32 && challenges.isOurs(challenge))
            #expect(seen.insert(challenge).inserted && nonces.insert(Array(challenge.prefix(16))).inserted)
        }
    }

    @Test("an initiator that asks a target without a secret is refused")
    func notMutual() {
        var chap = authenticator(credentials: .init(initiator: secret, target: nil))
        _ = chap.receive(pairs("CHAP_A=7"))
        let step = chap.receive(
            pairs("CHAP_N=\(initiator.text)", "CHAP_R=0x\(golden[2].response)", askingKeys[0], askingKeys[1]))
        #expect(cause(step)?.contains("mutual") == true)
    }

    @Test("secrets do not show")
    func redaction() {
        var dumped = ""
        dump(authenticator(), to: &dumped)
        dump(everybody, to: &dumped)
        dump(ChapChallenges(pinned), to: &dumped)
        for text in [dumped, "\(everybody)", String(reflecting: authenticator()), "\(secret)"] {
            #expect(!text.contains("105, 110, 105") && !text.contains("secret-0123") && !text.contains("17, 17"))
        }
    }
}

/// One volume that asks for CHAP.
private struct ChapPolicy: LoginPolicy {
    var preferences = OperationalPreferences()
    var commandWindow: UInt32 = 32
    var credentials: ChapAuthenticator.Credentials? = everybody
    var algorithms: [ChapAlgorithm] = [.sha3With256Bits, .sha256]
    let challenges = ChapChallenges(kernel)

    func admit(_ identity: LoginIdentity) -> LoginAdmission<ChapAuthenticator> {
        .admitted(
            targetPortalGroupTag: 3, targetAlias: nil,
            authenticator: ChapAuthenticator(
                initiatorName: identity.initiatorName, targetName: identity.targetName?.text ?? "discovery",
                algorithms: algorithms, credentials: credentials, challenges: challenges))
    }
}

@Suite("CHAP: both sides against each other")
struct ChapBothSidesTests {
    private func converse(
        _ chap: ChapInitiator?, _ policy: ChapPolicy, target: ISCSIName? = volume
    ) -> (initiator: InitiatorLogin.Step, target: LoginStep?) {
        var configuration = InitiatorLogin.Configuration(
            initiatorName: initiator, targetName: target, isid: ISID(rawValue: 0x8000_0000_0001))
        configuration.startsWithSecurity = true
        configuration.chap = chap
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

    private func chap(
        own: ChapSecret = secret, target: ChapSecret? = targetSecret, _ algorithms: [ChapAlgorithm]
    ) -> ChapInitiator {
        ChapInitiator(
            name: initiator, secret: own, targetSecret: target, algorithms: algorithms, functions: kernel)
    }

    @Test("every algorithm, one-way and mutual, to a target and to discovery", arguments: ChapAlgorithm.allCases)
    func agreement(algorithm: ChapAlgorithm) throws {
        for target in [nil, targetSecret] {
            for name in [volume, nil] {
                let (step, answer) = converse(
                    chap(target: target, [algorithm]), ChapPolicy(algorithms: ChapAlgorithm.allCases), target: name)
                guard case .established(let result) = step else {
                    Issue.record("\(algorithm): \(step)")
                    continue
                }
                #expect(result.tsih == 77)
                let proof = try #require(answer?.result?.proof)
                #expect(proof.description == "CHAP, \(algorithm)" + (target == nil ? "" : ", mutual"))
            }
        }
    }

    @Test("wrong secrets on either side, no common algorithm, no CHAP at all")
    func disagreement() throws {
        let other = ChapSecret(Array("another-secret-0123".utf8))
        for (initiatorSide, policy) in [
            (chap(own: other, [.sha256]), ChapPolicy()), (chap([.md5]), ChapPolicy()),
            (chap([.sha256]), ChapPolicy(credentials: nil)),
            (chap([.sha256]), ChapPolicy(credentials: .init(initiator: secret, target: nil))), (nil, ChapPolicy()),
        ] {
            let (step, answer) = converse(initiatorSide, policy)
            guard case .failed(.authenticationFailure?, _) = step else {
                Issue.record("\(step)")
                continue
            }
            #expect(answer?.failure?.status == .authenticationFailure)
        }
        // A target that does not know its own secret is found out by the initiator.
        let (step, _) = converse(
            chap(target: other, [.sha256]), ChapPolicy())
        guard case .failed(nil, let cause) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(cause == "the target does not know its secret")
    }

    @Test("operational keys and the change of stage wait for the proof")
    func order() {
        var machine = LoginMachine(policy: ChapPolicy())
        let identity = identityKeys + text("AuthMethod=CHAP,None")
        let first = machine.receive(request(.securityNegotiation), identity)
        #expect(lines(first.text) == ["AuthMethod=CHAP", "TargetPortalGroupTag=3"])
        #expect(first.response?.transits == false)
        let second = machine.receive(request(.securityNegotiation), text("CHAP_A=8"))
        #expect(second.response?.transits == false && lines(second.text).count == 3)
        var passing = machine
        #expect(passing.receive(request(), []).failure != nil, "straight to the operational stage")
        var early = machine
        #expect(
            early.receive(
                request(.securityNegotiation),
                text("CHAP_N=\(initiator.text)", "CHAP_R=0x00", "MaxBurstLength=512")
            ).failure != nil)
        var empty = machine
        #expect(empty.receive(request(.securityNegotiation), []).failure?.status == .authenticationFailure)
        var again = machine
        #expect(again.receive(request(.securityNegotiation), text("AuthMethod=None")).failure != nil)
    }

    @Test("a CHAP login cut at every byte is refused")
    func truncated() {
        let keys = text("CHAP_N=\(initiator.text)", "CHAP_R=0x\(golden[2].response)", askingKeys[0], askingKeys[1])
        for count in 0..<keys.count {
            var machine = LoginMachine(policy: ChapPolicy(algorithms: [.sha256]))
            _ = machine.receive(request(.securityNegotiation), identityKeys + text("AuthMethod=CHAP"))
            _ = machine.receive(request(.securityNegotiation), text("CHAP_A=7"))
            #expect(machine.receive(request(.securityNegotiation), Array(keys.prefix(count))).failure != nil)
        }
    }

    @Test("random values of CHAP's keys never trap, and never log in")
    func random() {
        withSeed("random CHAP") { generator in
            for _ in 0..<2000 {
                var chap = ChapAuthenticator(
                    initiatorName: initiator, targetName: volume.text, algorithms: ChapAlgorithm.allCases,
                    credentials: everybody, challenges: ChapChallenges(pinned))
                if Bool.random(using: &generator) { _ = chap.receive(pairs("CHAP_A=7")) }
                let keys = (0..<Int.random(in: 0...5, using: &generator)).map { _ in
                    let key = ["CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R", "CHAP_"].randomElement(
                        using: &generator)!
                    let prefix = ["0x", "0b", "", "7,", initiator.text].randomElement(using: &generator)!
                    let rest = generator.bytes(Int.random(in: 0...80, using: &generator)).map { $0 & 0x7f }
                    return TextPair(key, prefix + String(decoding: rest, as: UTF8.self))
                }
                if case .complete = chap.receive(keys) { Issue.record("\(keys)") }
            }
        }
    }
}
