import Rack
import TargetServer

/// A snapshot with a verdict, as text for people and as JSON for programs.
struct StatusReport: Encodable {
    static let schema = "storaged.status/1"

    /// What monitoring goes by; the numbers are `status`'s exit codes.
    enum Health: Int32 {
        case ok = 0
        case warning = 1
        case critical = 2
        case unknown = 3

        var word: String {
            switch self {
            case .ok: "OK"
            case .warning: "WARNING"
            case .critical: "CRITICAL"
            case .unknown: "UNKNOWN"
            }
        }
    }

    let snapshot: ServerSnapshot
    let health: Health
    /// The verdict after the word: figures, or what is wrong and what to do.
    let verdict: String

    init(_ snapshot: ServerSnapshot) {
        self.snapshot = snapshot
        let sessions = snapshot.targets.reduce(0) { $0 + $1.sessions.count }
        let figures =
            "\(counted(snapshot.portals.count, "portal")), \(counted(snapshot.targets.count, "target")), "
            + "\(counted(sessions, "session")), up \(Self.duration(snapshot.uptimeSeconds))"
        let failed = snapshot.targets.filter(\.failed)
        let faulty = snapshot.targets.filter { $0.ioErrors > 0 }
        let low = snapshot.targets.filter(\.isLowOnSpace)
        let drills = snapshot.faults.filter(\.isInForce)
        if !failed.isEmpty {
            health = .critical
            verdict =
                "\(Self.names(failed)) failed: a sync to its backing failed and writes are refused; \(figures).   "
                + "next: dmesg, then restart storaged and check the data"
        } else if snapshot.portals.isEmpty {
            health = .critical
            verdict = "no portal is open; \(figures)"
        } else if !low.isEmpty {
            health = .warning
            verdict =
                "space runs low below \(low.map(Self.spaceLeft).joined(separator: ", ")); \(figures).   "
                + "next: make room or extend the file system; full, it refuses their writes"
        } else if !faulty.isEmpty {
            health = .warning
            verdict = "I/O errors on \(Self.names(faulty)); \(figures).   next: dmesg, and the log of storaged"
        } else if !drills.isEmpty {
            health = .warning
            verdict =
                "faults are being injected for a drill (\(counted(drills.count, "rule"))); \(figures).   "
                + "next: storaged fault list, and storaged fault clear at its end"
        } else if !snapshot.drains.isEmpty {
            health = .warning
            verdict =
                "drained: \(snapshot.drains.map { escaped($0.description) }.joined(separator: ", ")); \(figures).   "
                + "next: storaged undrain, once the work is done"
        } else {
            health = .ok
            verdict = figures
        }
    }

    private enum Key: String, CodingKey {
        case schema, health, verdict
    }

    func encode(to encoder: any Encoder) throws {
        try snapshot.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(Self.schema, forKey: .schema)
        try container.encode(health.word, forKey: .health)
        try container.encode(verdict, forKey: .verdict)
    }

    /// The verdict, the portals, then a tree: each target with its unit's figures and its sessions below.
    var text: String {
        var lines = ["\(snapshot.hostName) \(health.word)  \(verdict)"]
        lines += aligned(
            snapshot.portals.map { ["portal", $0.address, counted($0.connections, "connection")] })
        let heads = aligned(
            snapshot.targets.map { target in
                [
                    target.volume, target.failed ? "FAILED" : target.readOnly ? "ro" : "rw",
                    ByteSize(bytes: target.sizeBytes).description, target.wwid, target.path,
                ]
            })
        for (head, target) in zip(heads, snapshot.targets) {
            lines.append(head)
            let hasSessions = !target.sessions.isEmpty
            lines.append("\(hasSessions ? "│" : " ") \(target.name), \(target.blockLengthBytes) B blocks")
            lines.append("\(hasSessions ? "│" : " ") \(Self.figures(target))")
            lines += Self.reservations(target.reservations).map { "\(hasSessions ? "│" : " ") \($0)" }
            for group in target.portGroups where group.state != .activeOptimized || group.isDrained {
                lines.append(
                    "\(hasSessions ? "│" : " ") port group \(group.group)  \(group.portals.joined(separator: " "))  "
                        + group.state.rawValue + (group.isDrained ? " (drained)" : ""))
            }
            let rows = aligned(target.sessions.map(Self.row))
            for (index, (row, session)) in zip(rows, target.sessions).enumerated() {
                let isLast = index == rows.count - 1
                lines.append("\(isLast ? "└" : "├") \(row)")
                let keys = session.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\(escaped($0.value))" }
                for line in Self.wrapped(keys, width: 110) { lines.append("\(isLast ? " " : "│")   \(line)") }
            }
        }
        var notes: [String] = []
        if snapshot.connectionsBeforeLogin > 0 { notes.append("\(snapshot.connectionsBeforeLogin) without a session") }
        if snapshot.loginFailures > 0 {
            let reasons = snapshot.loginFailuresByReason.filter { $0.value > 0 }.sorted { $0.key < $1.key }
            notes.append(
                "\(snapshot.loginFailures) logins refused ("
                    + reasons.map { "\($0.value) \(escaped($0.key))" }.joined(separator: ", ") + ")")
        }
        if snapshot.addressesRefused > 0 {
            notes.append("\(snapshot.addressesRefused) addresses refused for their failed logins")
        }
        if snapshot.staleConnectionsDropped > 0 {
            notes.append(
                "\(counted(Int(snapshot.staleConnectionsDropped), "connection")) dropped unexecuted after a standstill")
        }
        if snapshot.protocolErrors > 0 { notes.append("\(snapshot.protocolErrors) closed for breaking the protocol") }
        if !notes.isEmpty { lines.append("connections  \(notes.joined(separator: ", "))") }
        lines += FaultTable.rows(snapshot.faults)
        lines.append(
            "engine  \(snapshot.engine), \(counted(snapshot.reactors, "reactor")), "
                + "\(ByteSize(bytes: UInt64(max(0, snapshot.payloadBytesInUse)))) of payload in flight")
        return lines.joined(separator: "\n")
    }

    private static func names(_ targets: [TargetSnapshot]) -> String { targets.map(\.volume).joined(separator: ", ") }

    private static func spaceLeft(_ target: TargetSnapshot) -> String {
        "\(target.volume) (\(ByteSize(bytes: target.availableBytes ?? 0)) left)"
    }

    private static func figures(_ target: TargetSnapshot) -> String {
        "read \(grouped(target.readCommands)) (\(ByteSize(bytes: target.readBytes)))  "
            + "written \(grouped(target.writeCommands)) (\(ByteSize(bytes: target.writeBytes)))  "
            + "commands \(grouped(target.commands))  I/O errors \(grouped(target.ioErrors))  "
            + "aborts \(grouped(target.aborts))"
    }

    /// What is reserved, and who is registered; nothing where nobody is.
    private static func reservations(_ found: ReservationSnapshot) -> [String] {
        if found.registrations.isEmpty { return [] }
        let kind = found.type.map { "reserved: \($0)" } ?? "not reserved"
        let holder = found.holder.map { ", held by \(escaped($0))" } ?? ""
        return [
            "\(kind)\(holder)  \(counted(found.registrations.count, "registration")), generation \(found.generation)"
        ]
    }

    private static func row(_ session: SessionSnapshot) -> [String] {
        [
            escaped(session.initiator), session.peer, "-> \(session.portal)", "isid \(session.isid)",
            "tsih \(session.tsih)", "\(session.inFlight) in flight", duration(session.ageSeconds),
            session.authentication.map { chap in
                ([chap.method, chap.algorithm, chap.mutual ? "mutual" : nil] as [String?]).compactMap { $0 }
                    .joined(separator: " ")
            } ?? "",
        ]
    }

    /// `1,234,567`
    static func grouped(_ number: UInt64) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0 && index % 3 == 0 { text = "," + text }
            text = String(digit) + text
        }
        return text
    }

    /// `42s`, `3m12s`, `5h02m`, `12d03h`
    static func duration(_ seconds: Int) -> String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        switch seconds {
        case ..<60: return "\(max(0, seconds))s"
        case ..<3600: return "\(seconds / 60)m\(two(seconds % 60))s"
        case ..<86400: return "\(seconds / 3600)h\(two(seconds % 3600 / 60))m"
        default: return "\(seconds / 86400)d\(two(seconds % 86400 / 3600))h"
        }
    }

    private static func wrapped(_ words: [String], width: Int) -> [String] {
        var lines: [String] = []
        for word in words {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(word)
            }
        }
        return lines
    }
}
