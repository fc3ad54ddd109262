import ISCSI

/// A run, for people and for scripts.
struct Report {
    let portal: PortalAddress
    let target: ISCSIName
    let work: Work
    let parameters: OperationalParameters
    let outcome: Outcome

    /// Three lines, one more where a server is watched, and one with the first error.
    var text: String {
        let pattern = work.writes ? "write" : "read"
        var lines = [
            "\(pattern) \(work.size) bytes, depth \(work.depth), \(decimal(outcome.seconds, 2)) s, seed \(work.seed): "
                + "\(outcome.completed) I/O, \(decimal(perSecond, 0)) I/O per second, "
                + "\(decimal(perSecond * Double(work.size) / 1_048_576, 1)) MiB/s",
            "latency us: mean \(decimal(outcome.latencies.mean / 1000, 1)), p50 \(latency(50)), p99 \(latency(99)), "
                + "p99.9 \(latency(99.9))",
            "errors: \(outcome.errors)",
        ]
        if let each = serverMicrosecondsEach { lines.insert("server: \(each) us of processor time per I/O", at: 2) }
        if let first = outcome.firstError { lines.append("first error: \(first)") }
        return lines.joined(separator: "\n")
    }

    /// One object, schema `iscsi-load/1`. Names, addresses and errors hold no character that JSON would want escaped.
    var json: String {
        let fields = [
            ("schema", "\"iscsi-load/1\""), ("portal", "\"\(portal.text)\""), ("target", "\"\(target)\""),
            ("pattern", work.writes ? "\"write\"" : "\"read\""), ("sizeBytes", "\(work.size)"),
            ("depth", "\(work.depth)"), ("spanBytes", "\(work.span)"), ("seed", "\(work.seed)"),
            ("seconds", decimal(outcome.seconds, 3)), ("completed", "\(outcome.completed)"),
            ("errors", "\(outcome.errors)"), ("firstError", outcome.firstError.map { "\"\($0)\"" } ?? "null"),
            ("completedPerSecond", decimal(perSecond, 1)),
            ("meanMicroseconds", decimal(outcome.latencies.mean / 1000, 1)), ("p50Microseconds", latency(50)),
            ("p99Microseconds", latency(99)), ("p999Microseconds", latency(99.9)),
            ("sendCalls", "\(outcome.sendCalls)"), ("receiveCalls", "\(outcome.receiveCalls)"),
            ("serverMicrosecondsEach", serverMicrosecondsEach ?? "null"),
            ("firstBurstBytes", "\(parameters.firstBurstLength)"), ("maxBurstBytes", "\(parameters.maxBurstLength)"),
            ("targetSegmentBytes", "\(parameters.targetMaxRecvDataSegmentLength)"),
        ]
        return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }

    private var perSecond: Double { outcome.seconds > 0 ? Double(outcome.completed) / outcome.seconds : 0 }

    private var serverMicrosecondsEach: String? {
        guard let nanoseconds = outcome.serverNanoseconds, outcome.completed > 0 else { return nil }
        return decimal(Double(nanoseconds) / 1000 / Double(outcome.completed), 3)
    }

    private func latency(_ percentile: Double) -> String {
        decimal(outcome.completed == 0 ? 0 : Double(outcome.latencies.valueAtPercentile(percentile)) / 1000, 1)
    }

    /// `value` with so many digits after the point; 0 where it is no number.
    private func decimal(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "0" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * scale).rounded())
        guard digits > 0 else { return String(scaled) }
        let fraction = String(abs(scaled) % Int(scale))
        let sign = scaled < 0 ? "-" : ""
        return sign + String(abs(scaled) / Int(scale)) + "." + String(repeating: "0", count: digits - fraction.count)
            + fraction
    }
}
