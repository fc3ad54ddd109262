import FoundationEssentials
import TargetServer

/// A request on the control socket: one line of JSON, `{"request":"status"}`.
struct ControlRequest: Codable, Sendable {
    enum Kind: String, Codable, Sendable {
        case status, reload
        case alua
        case drain, undrain, drainProgress, drainLogout, drainCutOff
    }

    var request: Kind
    /// For reload: units in use may go.
    var force: Bool?
    /// For alua.
    var access: AccessRequest?
    /// For the drains.
    var scope: DrainScope?
    /// For drainLogout: how long initiators have.
    var seconds: Int?

    init(request: Kind) { self.request = request }

    /// No request is longer.
    static let limitBytes = 4096
}

/// The answer: one line of JSON with one of these.
struct ControlAnswer: Codable, Sendable {
    struct Failure: Codable, Sendable {
        var code: CommandFailure.Code
        var text: String
    }

    var schema = "storaged.control/1"
    var status: ServerSnapshot?
    var changes: [String]?
    var accessChanges: [AccessChange]?
    var drain: DrainAnswer?
    var failure: Failure?

    /// No answer is longer; a client stops reading there.
    static let limitBytes = 64 << 20

    init(status: ServerSnapshot) { self.status = status }
    init(changes: [String]) { self.changes = changes }
    init(accessChanges: [AccessChange]) { self.accessChanges = accessChanges }
    init(drain: DrainAnswer) { self.drain = drain }
    init(failure: CommandFailure) { self.failure = Failure(code: failure.code, text: failure.text) }
}

/// JSON in one line, keys in order.
func jsonLine(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else { return Array("{}\n".utf8) }
    return Array(data) + [UInt8(ascii: "\n")]
}
