/// Bounds that an inventory sets for every storaged of the rack; nil is storaged's own, which `storaged check` prints.
public struct DaemonLimits: Sendable, Equatable {
    /// Connections in all, logged in or not; 1...65536.
    public var connections: Int?
    /// Connections that have not finished login, in all; 1...65536.
    public var connectionsBeforeLogin: Int?
    /// The same, from one address; 1...65536.
    public var connectionsBeforeLoginPerAddress: Int?
    /// Seconds from accept to the end of login; 1...600.
    public var loginSeconds: Int?
    /// Commands in flight a session, the CmdSN window (RFC 7143, 4.2.2.1); 1...1024.
    public var commandsPerSession: Int?
    /// Payload memory of one reactor thread, in bytes; 4 MiB to 64 GiB.
    public var payloadBytesPerReactor: Int?
    /// Seconds that in-flight commands have to finish at shutdown; 1...3600.
    public var drainSeconds: Int?
    /// Seconds of standing still after which what was queued before is not executed any more; 2...60. It has to be less
    /// than initiators wait before they repeat a command on another path.
    public var standstillSeconds: Int?
    /// Seconds that task management, a logout and a login that takes the place of a session wait for a store that does not
    /// answer; 1...600.
    public var abortSeconds: Int?
    /// Failed logins of one address within `loginFailureSeconds` after which its connections are refused; 1...1000.
    public var loginFailuresPerAddress: Int?
    /// Seconds for which a failed login counts, and for which an address with too many of them is refused; 1...3600.
    public var loginFailureSeconds: Int?
    /// Percent of the file system below a thin volume with less than which left its initiators are told, and `status` warns;
    /// 0...99, 0 for never.
    public var thinThresholdPercent: Int?
    /// Bytes a second that SANITIZE OVERWRITE writes at most; 1 MiB to 1 TiB.
    public var overwriteBytesPerSecond: Int?

    /// Nothing set.
    public init() {}
}

extension Reader {
    /// The `limits` of the inventory.
    mutating func limits(_ root: Fields) -> DaemonLimits {
        var limits = DaemonLimits()
        let known = [
            "connections", "connectionsBeforeLogin", "connectionsBeforeLoginPerAddress", "loginSeconds",
            "commandsPerSession", "payloadMemory", "drainSeconds", "standstillSeconds",
            "abortSeconds", "loginFailuresPerAddress", "loginFailureSeconds", "thinThresholdPercent", "overwriteRate",
        ]
        guard let entry = root.entries["limits"], let fields = fields(entry.value, "limits", known: known) else {
            return limits
        }
        func number(_ reader: inout Reader, _ key: String, _ range: ClosedRange<UInt64>) -> Int? {
            reader.integer(fields, key, range, example: nil).map { Int($0.value) }
        }
        limits.connections = number(&self, "connections", 1...65_536)
        limits.connectionsBeforeLogin = number(&self, "connectionsBeforeLogin", 1...65_536)
        limits.connectionsBeforeLoginPerAddress = number(&self, "connectionsBeforeLoginPerAddress", 1...65_536)
        limits.loginSeconds = number(&self, "loginSeconds", 1...600)
        limits.commandsPerSession = number(&self, "commandsPerSession", 1...1024)
        limits.drainSeconds = number(&self, "drainSeconds", 1...3600)
        limits.standstillSeconds = number(&self, "standstillSeconds", 2...60)
        limits.abortSeconds = number(&self, "abortSeconds", 1...600)
        limits.loginFailuresPerAddress = number(&self, "loginFailuresPerAddress", 1...1000)
        limits.loginFailureSeconds = number(&self, "loginFailureSeconds", 1...3600)
        limits.thinThresholdPercent = number(&self, "thinThresholdPercent", 0...99)
        if let size = size(fields, "payloadMemory", example: nil) {
            if (4 << 20)...(64 << 30) ~= size.value {
                limits.payloadBytesPerReactor = Int(size.value)
            } else {
                problems.error(
                    size.position, "limits: payloadMemory is \(ByteSize(bytes: size.value)) a reactor thread",
                    "write a size from 4MiB to 64GiB")
            }
        }
        if let rate = size(fields, "overwriteRate", example: nil) {
            if (1 << 20)...(1 << 40) ~= rate.value {
                limits.overwriteBytesPerSecond = Int(rate.value)
            } else {
                problems.error(
                    rate.position, "limits: overwriteRate is \(ByteSize(bytes: rate.value)) a second",
                    "write a size from 1MiB to 1TiB")
            }
        }
        return limits
    }
}
