import Rack

/// What `attach plan` shows: what things are called, what would be done, how long the worst stall is.
public struct Plan: Sendable {
    /// A planned step.
    public struct PlannedStep: Sendable {
        /// Its layer.
        public var layer: LayerKind
        /// Its name.
        public var name: String
        /// It is given up after so long.
        public var deadlineSeconds: Int
    }

    /// What part of the inventory it is for.
    public var scope: StackScope
    /// The steps that `up` would take now, in order.
    public var steps: [PlannedStep] = []
    /// Why a layer cannot say what it would do, by layer.
    public var obstacles: [(layer: LayerKind, error: StackError)] = []
    /// Why the steps are those from nothing, whatever is there; nil when the host was looked at.
    public var caveat: String?

    /// The plan from an observation.
    public init(scope: StackScope, layers: [any Layer], observation: StackObservation, caveat: String? = nil) {
        self.scope = scope
        self.caveat = caveat
        for layer in layers.sorted(by: { $0.kind < $1.kind }) {
            do {
                let steps = try layer.stepsUp(scope, observation)
                for step in steps.sorted(by: { $0.group < $1.group }) {
                    self.steps.append(.init(layer: step.layer, name: step.name, deadlineSeconds: step.deadlineSeconds))
                }
            } catch {
                obstacles.append((layer.kind, StackError(anything: error, object: layer.kind.rawValue)))
            }
        }
    }

    /// The longest that I/O can stand still, and what it is made of.
    struct Stall {
        var onePathSeconds: Int
        var allPathsSeconds: Int
        var text: [String]
    }

    var stall: Stall {
        let timeouts = scope.inventory.timeouts
        let one = timeouts.worstStallSeconds
        let queue = scope.volumes.map(\.multipath.queueSeconds).max() ?? 0
        return Stall(
            onePathSeconds: one, allPathsSeconds: one + queue,
            text: [
                "a path dies silently   \(one) s   NOP every \(timeouts.nopIntervalSeconds) s + answer within "
                    + "\(timeouts.nopTimeoutSeconds) s + recovery \(timeouts.recoverySeconds) s, then its I/O goes elsewhere",
                "all paths die          \(one + queue) s   the same + queueing \(queue) s, then I/O fails",
            ])
    }

    /// As text.
    public func text() -> String {
        var lines = ["\(scope.inventory.name): client \(scope.client.name)", "", "Identifiers"]
        var identifiers = TextTable()
        identifiers.add("OBJECT", "KIND", "VALUE", "")
        for row in scope.inventory.identifiers() {
            identifiers.add(row.object, row.kind.rawValue, row.value, row.isSetByHand ? "(set by hand)" : "")
        }
        lines += identifiers.lines(indent: "  ")
        if let authentication = scope.inventory.authentication, let text = scope.authenticationText,
            let file = scope.secretsPath
        {
            let algorithms = authentication.algorithms.map(\.rawValue).joined(separator: ", ")
            lines += ["", "Authentication", "  \(text)   \(algorithms); secrets of \(scope.client.name) in \(file)"]
        }
        lines += ["", "Worst stall"]
        lines += stall.text.map { "  \($0)" }
        lines += ["", "Steps of attach up"]
        if let caveat { lines.append("  (\(caveat))") }
        if steps.isEmpty, obstacles.isEmpty {
            lines.append("  none: everything is up")
        } else {
            var table = TextTable()
            table.rightAligned = [0]
            for (index, step) in steps.enumerated() {
                table.add("\(index + 1)", step.layer.rawValue, step.name, "(at most \(step.deadlineSeconds) s)")
            }
            lines += table.lines(indent: "  ")
        }
        if steps.contains(where: { $0.name.hasPrefix("find ") }) {
            lines.append("  find: whether it is there can be seen once its maps are up; what is there is used as it is")
        }
        for obstacle in obstacles { lines.append("  \(obstacle.layer.rawValue): \(obstacle.error)") }
        return lines.joined(separator: "\n")
    }

    /// As JSON, schema `attach.plan/1`.
    public var json: JSONValue {
        .object([
            ("schema", .string("attach.plan/1")), ("rack", .string(scope.inventory.name)),
            ("client", .string(scope.client.name)),
            (
                "identifiers",
                .array(
                    scope.inventory.identifiers().map { row in
                        .object([
                            ("object", .string(row.object)), ("kind", .string(row.kind.rawValue)),
                            ("value", .string(row.value)), ("set_by_hand", .bool(row.isSetByHand)),
                        ])
                    })
            ),
            (
                "authentication",
                scope.inventory.authentication.map { authentication in
                    .object([
                        ("method", .string("chap")), ("mutual", .bool(authentication.isMutual)),
                        ("algorithms", .array(authentication.algorithms.map { .string($0.rawValue) })),
                        ("secrets_file", .string(scope.secretsPath ?? "")),
                    ])
                } ?? .null
            ),
            (
                "worst_stall_seconds",
                .object([
                    ("one_path", .integer(stall.onePathSeconds)), ("all_paths", .integer(stall.allPathsSeconds)),
                ])
            ),
            (
                "steps",
                .array(
                    steps.map { step in
                        .object([
                            ("layer", .string(step.layer.rawValue)), ("name", .string(step.name)),
                            ("deadline_seconds", .integer(step.deadlineSeconds)),
                        ])
                    })
            ),
            (
                "obstacles",
                .array(
                    obstacles.map { obstacle in
                        .object([
                            ("layer", .string(obstacle.layer.rawValue)), ("error", .string(obstacle.error.description)),
                        ])
                    })
            ),
        ])
    }
}
