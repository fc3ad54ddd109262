import PathDiscovery
import Stack

/// What `attach discover` prints.
struct DiscoveryReport {
    private let result: DiscoveryResult

    init(_ result: DiscoveryResult) { self.result = result }

    /// A tree a unit with its paths, then what is no unit, then the portals.
    func text() -> String {
        var lines: [String] = []
        for unit in result.units {
            let size = unit.sizeBytes.map { DisplayText.size(bytes: $0) } ?? "size unknown"
            let count = unit.paths.count
            lines.append("\(unit.wwid)  \(size)  \(count) path\(count == 1 ? "" : "s")")
            for contradiction in unit.contradictions {
                lines.append("│ CONTRADICTION: different \(contradiction)")
            }
            let rows = unit.paths.map { path in
                [
                    path.portal.description, path.targetName, path.lun.map { "LUN \($0)" } ?? "",
                    path.relativeTargetPort.map { "port \($0)" } ?? "",
                ]
            }
            for (index, line) in DisplayText.columns(rows).enumerated() {
                lines.append((index == rows.count - 1 ? "└ " : "├ ") + line)
            }
        }
        let inUnits = Set(result.units.flatMap(\.paths))
        for path in result.paths where !inUnits.contains(path) && path.error == nil {
            let unit = path.lun.map { " LUN \($0)" } ?? ""
            lines.append("\(path.targetName)\(unit) at \(path.portal): \(path.lun == nil ? "no units" : "no disk")")
        }
        if lines.isEmpty { lines.append("nothing is offered") }
        let answered = result.portals.count { $0.error == nil }
        lines.append("\(result.units.count) units, \(answered) of \(result.portals.count) portals answered")
        return lines.joined(separator: "\n")
    }

    /// Schema `attach.discover/1`: units with their paths inside, and the portals.
    var json: JSONValue {
        func number(_ value: (some BinaryInteger)?) -> JSONValue {
            value.flatMap { Int(exactly: $0) }.map(JSONValue.integer) ?? .null
        }
        func path(_ path: DiscoveredPath) -> JSONValue {
            .object([
                ("portal", .string(path.portal.description)), ("target", .string(path.targetName)),
                ("portal_group_tag", number(path.portalGroupTag)), ("lun", number(path.lun)),
                ("wwid", path.wwid.map(JSONValue.string) ?? .null), ("size_bytes", number(path.sizeBytes)),
                ("block_bytes", number(path.blockBytes)), ("relative_target_port", number(path.relativeTargetPort)),
                ("vendor", path.vendor.map(JSONValue.string) ?? .null),
                ("product", path.product.map(JSONValue.string) ?? .null),
                ("error", path.error.map { .string($0.description) } ?? .null),
            ])
        }
        let inUnits = Set(result.units.flatMap(\.paths))
        return .object([
            ("schema", .string("attach.discover/1")),
            (
                "units",
                .array(
                    result.units.map { unit in
                        .object([
                            ("wwid", .string(unit.wwid)), ("size_bytes", number(unit.sizeBytes)),
                            ("contradictions", .array(unit.contradictions.map(JSONValue.string))),
                            ("paths", .array(unit.paths.map(path))),
                        ])
                    })
            ),
            ("others", .array(result.paths.filter { !inUnits.contains($0) }.map(path))),
            (
                "portals",
                .array(
                    result.portals.map { portal in
                        .object([
                            ("portal", .string(portal.portal.description)), ("seconds", .number(portal.seconds)),
                            ("targets", .array(portal.targets.map { .string($0.name) })),
                            ("error", portal.error.map { .string($0.description) } ?? .null),
                        ])
                    })
            ),
        ])
    }
}
