import ArgumentParser
import Glibc
import ISCSI

/// A target that does not know the secret it should prove: what an initiator that asks for the proof must not log in to.
struct FalseTarget: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "target", abstract: "Be a target that gets by without proving who it is.",
        discussion: "Serves one connection after the other; prints a line for each, \"SESSION\" when it was let in.")

    enum Manner: String, ExpressibleByArgument, CaseIterable {
        /// Answers AuthMethod=None.
        case none
        /// Answers no AuthMethod and goes on to the next stage.
        case silent
        /// Takes every response, and gives none.
        case unproven
        /// Takes every response, and gives one that is not right.
        case wrong
    }

    @Option var port: UInt16 = 3260
    @Option var manner: Manner
    @Option(help: "CHAP_N.") var name: String

    func run() throws {
        let listener = try Wire.listener(port: port)
        print("listening")
        fflushOutput()
        while true {
            let accepted = accept(listener, nil, nil)
            guard accepted >= 0 else { continue }
            let outcome = (try? serve(Wire(accepted))) ?? "the initiator went silent"
            print(outcome)
            fflushOutput()
        }
    }

    private func fflushOutput() { fflush(nil) }

    private func serve(_ wire: consuming Wire) throws -> String {
        var statSN = SerialNumber(1)
        while let (header, data) = try wire.receive() {
            guard let request = LoginRequest(checking: header) else { return "SESSION: a command came" }
            let keys = try TextKeys(data)
            var answer: [TextPair] = []
            var next = request.transits ? request.nextStage : nil
            if request.currentStage == .securityNegotiation {
                (answer, next) = security(keys, next)
            } else {
                answer = keys.pairs.map { pair in
                    ["HeaderDigest", "DataDigest"].contains(pair.key) ? TextPair(pair.key, "None") : pair
                }
                answer.removeAll { ["InitiatorName", "InitiatorAlias", "TargetName", "SessionType"].contains($0.key) }
                next = .fullFeaturePhase
            }
            var writer = TextWriter(limitBytes: 8192)
            for pair in answer where !writer.append(pair.key, pair.value) { throw RogueError("too long") }
            let response = LoginResponse(
                initiatorTaskTag: request.initiatorTaskTag, isid: request.isid,
                tsih: next == .fullFeaturePhase ? 7 : 0, currentStage: request.currentStage ?? .operationalNegotiation,
                nextStage: next,
                sequence: TargetSequence(statSN: statSN, expCmdSN: header[.cmdSN], maxCmdSN: header[.cmdSN]),
                dataSegmentLength: writer.bytes.count)
            statSN = statSN.next
            try wire.send(response.header, writer.bytes)
        }
        return "the initiator closed"
    }

    private func security(_ keys: TextKeys, _ asked: LoginStage?) -> ([TextPair], LoginStage?) {
        if keys["AuthMethod"] != nil {
            switch manner {
            case .none: return ([TextPair("AuthMethod", "None")], .operationalNegotiation)
            case .silent: return ([], .operationalNegotiation)
            case .unproven, .wrong: return ([TextPair("AuthMethod", "CHAP")], nil)
            }
        }
        if let offered = keys["CHAP_A"] {
            let first = offered.split(separator: ",").first.map(String.init) ?? "5"
            let challenge = "0x" + String(repeating: "5a", count: 32)
            return (
                [TextPair("CHAP_A", first), TextPair("CHAP_I", "1"), TextPair("CHAP_C", challenge)], nil
            )
        }
        guard manner == .wrong, let response = keys["CHAP_R"] else { return ([], .operationalNegotiation) }
        // Of the right length, and somebody else's.
        return ([TextPair("CHAP_N", name), TextPair("CHAP_R", response)], .operationalNegotiation)
    }
}
