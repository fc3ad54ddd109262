import Crypto
import Glibc
import Testing

/// The initiator's side of CHAP in bytes (RFC 7143, 12.1.3), able to do it wrong.
struct RawChap {
    var initiatorName: String
    /// Nil for a discovery session.
    var targetName: String?
    var secret: String
    /// CHAP_A, one of 5, 6, 7 and 8.
    var algorithm = 8
    /// CHAP_N; the initiator's name unless given.
    var name: String?
    /// Whether the target is asked to prove itself.
    var asks = false
    /// CHAP_R as it is, in place of the right one.
    var response: String?
    /// CHAP_C of the initiator as it is, where it asks.
    var challenge: String?

    /// What the login came to.
    struct Outcome {
        /// Status class and detail of the last response; nil when the connection ended without one.
        var status: UInt64?
        /// The target's CHAP_I and CHAP_C.
        var identifier = ""
        var challenge = ""
        /// CHAP_R of the initiator.
        var response = ""
        /// The keys of the target's last response.
        var keys: [String: String] = [:]
        var statusNumber: UInt32 = 0
        /// In the full feature phase.
        var isLoggedIn = false
        /// What the target has to answer to the question in CHAP_R.
        var expectedAnswer = { (_: String) in "" }
    }

    /// Logs in over a fresh connection.
    func login(_ connection: RawConnection) -> Outcome {
        var outcome = Outcome()
        func exchange(_ keys: [String], stage: UInt8 = 0, next: UInt8 = 1, transit: Bool) -> RawPDU? {
            var login = RawLogin(currentStage: stage, nextStage: transit ? next : 0, transit: transit)
            login.keys = keys
            guard connection.send(login.pdu), let answer = connection.receive(), answer.opcode == 0x23 else {
                outcome.status = nil
                return nil
            }
            outcome.status = answer[36, 2]
            outcome.statusNumber = UInt32(answer[24, 4]) &+ 1
            outcome.keys = Self.keys(answer.data)
            return answer[36, 2] == 0 ? answer : nil
        }
        let identity =
            ["InitiatorName=\(initiatorName)"]
            + (targetName.map { ["SessionType=Normal", "TargetName=\($0)"] } ?? ["SessionType=Discovery"])
        guard exchange(identity + ["AuthMethod=CHAP"], transit: false) != nil else { return outcome }
        guard exchange(["CHAP_A=\(algorithm)"], transit: false) != nil else { return outcome }
        outcome.identifier = outcome.keys["CHAP_I"] ?? ""
        outcome.challenge = outcome.keys["CHAP_C"] ?? ""
        let algorithm = algorithm
        outcome.response =
            response
            ?? Self.response(algorithm, outcome.identifier, secret, outcome.challenge)
        var keys = ["CHAP_N=\(name ?? initiatorName)", "CHAP_R=\(outcome.response)"]
        if asks {
            let own = challenge ?? "0x00112233445566778899aabbccddeeff"
            keys += ["CHAP_I=77", "CHAP_C=\(own)"]
            outcome.expectedAnswer = { Self.response(algorithm, "77", $0, own) }
        }
        guard exchange(keys, transit: true) != nil else { return outcome }
        let proof = outcome.keys
        guard let last = exchange(["HeaderDigest=None", "DataDigest=None"], stage: 1, next: 3, transit: true) else {
            return outcome
        }
        outcome.isLoggedIn = last.header[1] & 0x83 == 0x83
        outcome.keys = proof
        return outcome
    }

    /// CHAP_R: the digest of identifier, secret and challenge.
    static func response(_ algorithm: Int, _ identifier: String, _ secret: String, _ challenge: String) -> String {
        let bytes = [UInt8(identifier) ?? 0] + Array(secret.utf8) + binary(challenge)
        let digest: [UInt8] =
            switch algorithm {
            case 5: Array(Insecure.MD5.hash(data: bytes))
            case 6: Array(Insecure.SHA1.hash(data: bytes))
            case 7: Array(SHA256.hash(data: bytes))
            default: Array(SHA3_256.hash(data: bytes))
            }
        return "0x" + digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func binary(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8.dropFirst(2)).map { $0 <= 0x39 ? $0 - 0x30 : ($0 | 0x20) - 0x57 }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// `key=value` pairs of a data segment.
    static func keys(_ data: [UInt8]) -> [String: String] {
        var keys: [String: String] = [:]
        for pair in data.split(separator: 0) {
            let parts = pair.split(separator: 0x3d, maxSplits: 1, omittingEmptySubsequences: false)
            keys[String(decoding: parts[0], as: UTF8.self)] =
                parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : ""
        }
        return keys
    }
}

extension RawConnection {
    /// The target names in the answer to SendTargets on a session whose first command this is.
    func sendTargets(_ selection: String = "All", statusNumber: UInt32, commandNumber: UInt32 = 1) throws -> [String] {
        var request = RawPDU(opcode: 0x04)
        request[16, 4] = 900
        request[20, 4] = 0xffff_ffff
        request[24, 4] = UInt64(commandNumber)
        request[28, 4] = UInt64(statusNumber)
        request.data = Array("SendTargets=\(selection)".utf8) + [0]
        send(request)
        while let answer = receive() {
            guard answer.opcode == 0x24 else { continue }
            return answer.data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                .filter { $0.hasPrefix("TargetName=") }.map { String($0.dropFirst(11)) }
        }
        throw SceneError()
    }
}
