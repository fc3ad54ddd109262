import Glibc
import Logging

/// Logs to stderr, one write a line.
///
/// Where stderr is the journal, a line begins with its priority (`<6>`, as sd-daemon(3) has it) and the journal adds time and
/// unit. Elsewhere it begins with the time (UTC) and the level. Values come from peers as well, so control characters
/// are shown as escapes and lines have a bound.
struct StandardErrorLog: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    private let toJournal: Bool

    /// More than this of a line is cut.
    private static let lineLimitBytes = 2048

    init(level: Logger.Level) {
        logLevel = level
        toJournal = Self.standardErrorIsTheJournal
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = toJournal ? "<\(priority(event.level))>" : "\(Self.timestamp()) \(event.level) "
        line += escaped("\(event.message)")
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            let text = escaped("\(value)")
            let needsQuotes = text.isEmpty || text.contains(" ") || text.contains("\"")
            line += needsQuotes ? " \(key)=\"\(text)\"" : " \(key)=\(text)"
        }
        if line.utf8.count > Self.lineLimitBytes {
            line = String(decoding: Array(line.utf8.prefix(Self.lineLimitBytes)), as: UTF8.self) + "…"
        }
        printError(line)
    }

    /// `JOURNAL_STREAM` names the device and inode of the stream that systemd gave us; a redirection since makes it stale.
    private static var standardErrorIsTheJournal: Bool {
        guard let stream = environment("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(STDERR_FILENO, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }

    private func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }

    /// `2026-11-22T19:35:42.123Z`
    private static func timestamp() -> String {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        var parts = unsafe tm()
        unsafe gmtime_r(&now.tv_sec, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        let time = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return "\(date)T\(time).\(String(now.tv_nsec / 1_000_000 + 1000).dropFirst())Z"
    }
}

/// Text that a peer may have sent, fit for a terminal and for one line.
func escaped(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { isControl($0) }) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
        if isControl(scalar) {
            shown += "\\u{\(String(scalar.value, radix: 16))}"
        } else {
            shown.unicodeScalars.append(scalar)
        }
    }
    return shown
}

private func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (scalar.value >= 0x7f && scalar.value < 0xa0) || (0x2028...0x202e).contains(scalar.value)
}
