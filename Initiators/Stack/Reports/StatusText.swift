/// A status report as text and as JSON.
extension StatusReport {
    /// A verdict line and a tree, as people read it.
    public func text(_ style: TextStyle) -> String {
        let tone: TextStyle.Tone =
            switch verdict {
            case .healthy: .good
            case .degraded: .warning
            case .down: .bad
            case .unknown: .warning
            }
        var first = "\(scope.inventory.name) \(style.paint(verdict.word, tone))  \(sentence)"
        if !next.isEmpty { first += "   next: \(next)" }
        var lines = [first]
        for tree in trees { lines += draw(tree, style) }
        if !services.isEmpty {
            var table = TextTable()
            for service in services {
                table.add(service.name, word(service), service.detail)
            }
            let plain = table.lines()
            lines += zip(services, plain).map { service, line in
                service.state == .present ? line : style.paint(line, .warning)
            }
        }
        return lines.joined(separator: "\n")
    }

    private func draw(_ tree: Node, _ style: TextStyle) -> [String] {
        var lines = [headline(tree, style)]
        let widths = columnWidths(tree)
        func descend(_ node: Node, _ indent: String) {
            for (index, child) in node.children.enumerated() where child.kind != "session" {
                let isLast = index == node.children.count - 1
                let branch = isLast ? "└ " : "├ "
                let line = child.kind == "path" ? pathLine(child, widths, style) : headline(child, style)
                lines.append(indent + branch + line)
                descend(child, indent + (isLast ? "  " : "│ "))
            }
        }
        descend(tree, "")
        return lines
    }

    /// The name, figures and, when it is not as wanted, the state of anything but a path.
    private func headline(_ node: Node, _ style: TextStyle) -> String {
        let object = node.object
        var parts = [object.name]
        if node.kind == "map", let volume = scope.inventory.volume(named: object.name) {
            parts.append(Self.short(volume.wwidString))
            let bytes = object.facts["size_bytes"].flatMap { UInt64($0) } ?? volume.sizeBytes
            if let bytes { parts.append(Figures.size(bytes: bytes)) }
            if volume.multipath.queueSeconds > 0 { parts.append("queue \(volume.multipath.queueSeconds)s") }
            if let proof = proof(node) { parts.append(proof) }
        } else if node.kind == "filesystem",
            let filesystem = scope.filesystems.first(where: { $0.mountPoint == object.name || $0.name == object.name })
        {
            parts.append("\(filesystem.kind.rawValue) \(filesystem.lockTable)")
        } else if let bytes = object.facts["size_bytes"].flatMap({ UInt64($0) }) {
            parts.append(Figures.size(bytes: bytes))
        }
        if object.state != .present {
            let bad = object.state == .wrong || object.state == .absent
            parts.append(style.paint(word(object), bad ? .bad : .warning))
        }
        if !object.detail.isEmpty { parts.append(object.detail) }
        return parts.joined(separator: "  ")
    }

    /// How all sessions of a map were authenticated, where they were: `CHAP, mutual`.
    private func proof(_ map: Node) -> String? {
        let sessions = map.children.flatMap(\.children).map(\.object).filter { $0.facts["session"] != nil }
        guard !sessions.isEmpty, sessions.allSatisfy({ $0.facts["authentication"] == "chap" }) else { return nil }
        return sessions.allSatisfy { $0.facts["mutual"] == "yes" } ? "CHAP, mutual" : "CHAP, one way"
    }

    private func columnWidths(_ tree: Node) -> [Int] {
        var widths = [0, 0, 0]
        func visit(_ node: Node) {
            if node.kind == "path" {
                for (index, cell) in pathCells(node).enumerated() where index < 3 {
                    widths[index] = max(widths[index], cell.count)
                }
            }
            node.children.forEach(visit)
        }
        visit(tree)
        return widths
    }

    private func pathCells(_ node: Node) -> [String] {
        let facts = node.object.facts
        return [facts["host"] ?? "?", facts["portal"] ?? node.object.name, facts["device"] ?? "-"]
    }

    private func pathLine(_ node: Node, _ widths: [Int], _ style: TextStyle) -> String {
        let object = node.object
        let cells = zip(pathCells(node), widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
        var line = cells.joined(separator: " ")
        if object.state == .present {
            line += " " + style.paint("up", .good)
            if let latency = object.facts["latency_ms"].flatMap({ Double($0) }) {
                line += "    check \(Figures.decimal(latency, digits: 1)) ms"
            }
            return line
        }
        line += " " + style.paint(object.facts["refused"] == "yes" ? "REFUSED" : "DOWN", .bad)
        var reasons: [String] = []
        if let since = object.facts["since"].flatMap({ Int($0) }) {
            reasons.append(Figures.duration(seconds: wallSeconds - since))
        }
        if !object.detail.isEmpty { reasons.append(object.detail) }
        return reasons.isEmpty ? line : line + "  " + reasons.joined(separator: ", ")
    }

    private func word(_ object: ObservedObject) -> String {
        switch object.state {
        case .present: "up"
        case .absent: "MISSING"
        case .degraded: "DEGRADED"
        case .wrong: "WRONG"
        case .foreign: "foreign"
        case .unknown: "UNKNOWN"
        }
    }

    /// A WWID short enough for a line: `3600…a7`.
    static func short(_ wwid: String) -> String {
        wwid.count > 8 ? "\(wwid.prefix(4))…\(wwid.suffix(2))" : wwid
    }

    // MARK: - JSON

    /// As JSON, schema `attach.status/1`: each object with what it stands on inside it.
    public var json: JSONValue {
        .object([
            ("schema", .string("attach.status/1")), ("rack", .string(scope.inventory.name)),
            ("client", .string(scope.client.name)),
            (
                "verdict",
                .object([
                    ("state", .string(verdict.word.lowercased())), ("code", .integer(Int(verdict.rawValue))),
                    ("text", .string(sentence)), ("next", .string(next)),
                ])
            ),
            ("objects", .array(trees.map(Self.json))), ("services", .array(services.map { Self.json($0, nil) })),
        ])
    }

    private static func json(_ node: Node) -> JSONValue {
        let names = [
            "logical volume": "logical_volumes", "map": "maps", "path": "paths", "session": "sessions",
        ]
        let children = node.children.first.flatMap { first in
            names[first.kind].map { (name: $0, value: JSONValue.array(node.children.map(json))) }
        }
        return json(node.object, node.kind, children)
    }

    private static func json(
        _ object: ObservedObject, _ kind: String?, _ children: (name: String, value: JSONValue)? = nil
    ) -> JSONValue {
        var members: [(name: String, value: JSONValue)] = [
            ("kind", .string(kind ?? object.layer.rawValue)), ("name", .string(object.name)),
            ("state", .string(object.state.rawValue)), ("detail", .string(object.detail)),
        ]
        for (name, value) in object.facts.sorted(by: { $0.key < $1.key }) where name != "kind" {
            members.append((name: name, value: Self.json(fact: name, value)))
        }
        if let children { members.append(children) }
        return .object(members)
    }

    /// Figures as numbers, `yes` and `no` as truth values, everything else as text.
    private static func json(fact name: String, _ value: String) -> JSONValue {
        if value == "yes" { return .bool(true) }
        if value == "no" { return .bool(false) }
        let isFigure =
            ["_bytes", "_seconds", "_count", "_ms"].contains { name.hasSuffix($0) }
            || ["pid", "tag", "since", "session", "written", "sessions", "started_by_attach"].contains(name)
        guard isFigure else { return .string(value) }
        return Int(value).map(JSONValue.integer) ?? Double(value).map(JSONValue.number) ?? .string(value)
    }
}
