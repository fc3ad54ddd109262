// Part of Yams, whose own interface cannot set the depth at which libyaml gives up.
internal import CYaml
internal import Yams

/// A YAML value with its place in the text. Scalars stay text: what a value means depends on the key it stands at, so
/// `name: no` is the name "no" and a WWID of digits only is no number.
struct Tree {
    enum Content {
        case scalar(String, isPlain: Bool)
        case sequence([Tree])
        case mapping([Entry])
    }

    struct Entry {
        let key: Located<String>
        let value: Tree
    }

    let content: Content
    let position: Position
    /// Number of values in it, with aliases counted as often as they are used.
    let weight: Int
}

/// The text of an inventory on its way to a `Tree`: what YAML allows and an inventory does not need is refused here, with
/// its place, so that nothing later can be made to work long by a short file.
///
/// Yams reports only the first duplicate key of a mapping, and hashes keys, which a few nested aliases make endless. So
/// the text that Yams sees is masked, character for character, so that places stay: `*` and `?` become private-use
/// characters, which make aliases and explicit keys plain scalars that are understood (or refused) here; and the first
/// character of a key that Yams found twice is replaced for another attempt, so that the rest of the file is
/// checked too.
struct Document {
    /// No inventory needs more than the depth of a portal in a host in the list of hosts.
    static let depthLimit = 32
    static let weightLimit = 500_000
    /// Attempts, and scalars read over all attempts, to get past duplicate keys.
    static let attemptLimit = 40
    static let attemptScalarLimit = 2 << 20

    private static let aliasMask: Unicode.Scalar = "\u{f8ff}"
    private static let explicitKeyMask: Unicode.Scalar = "\u{f8fe}"
    private static let duplicateMasks: UInt32 = 0xe000

    /// Closing brackets before a colon. A list or mapping as a key is refused in any case, but only after Yams has hashed
    /// it at each of its levels, and libyaml's limit does not hold inside a key; a few come from text in comments.
    static let collectionKeyLimit = 2000

    /// libyaml looks at every open bracket for every token: at its own limit of 1,000 levels a file of 4 MiB takes
    /// minutes, at this one a second.
    private static let boundLibyaml: Void = yaml_set_max_nest_level(CInt(depthLimit))

    let lineCount: Int
    private var scalars: [Unicode.Scalar]
    private var lineStarts: [Int]
    private var duplicateNames: [String] = []
    private var anchors: [String: Tree] = [:]

    /// Splits the text into lines and masks it; reports characters that have no place in an inventory.
    init(_ text: String, problems: inout ProblemList) {
        scalars = []
        scalars.reserveCapacity(text.utf8.count)
        lineStarts = [0]
        var foreign: (scalar: Unicode.Scalar, index: Int)?
        var closedKeys: (count: Int, index: Int, isClosed: Bool) = (0, 0, false)
        var previous: Unicode.Scalar = " "
        for scalar in text.unicodeScalars {
            // A byte order mark, which some editors put at the start.
            if scalar == "\u{feff}", scalars.isEmpty { continue }
            // libyaml takes CR LF, LF and a lone CR as the end of a line.
            if previous == "\n" || (previous == "\r" && scalar != "\n") { lineStarts.append(scalars.count) }
            switch scalar {
            case "}", "]": closedKeys.isClosed = true
            case " ", "\t": break
            case ":":
                if closedKeys.isClosed { (closedKeys.count, closedKeys.index) = (closedKeys.count + 1, scalars.count) }
                closedKeys.isClosed = false
            default: closedKeys.isClosed = false
            }
            switch scalar {
            case "*": scalars.append(Self.aliasMask)
            case "?": scalars.append(Self.explicitKeyMask)
            case let other:
                if foreign == nil, !Self.isAllowed(other) { foreign = (other, scalars.count) }
                scalars.append(other)
            }
            previous = scalar
        }
        lineCount = lineStarts.count
        if let foreign {
            let code = hexadecimal(UInt64(foreign.scalar.value), digits: 4).uppercased()
            problems.error(
                position(at: foreign.index), "the character U+\(code) has no place in an inventory",
                foreign.scalar.value == 0 ? "write the file as text in UTF-8" : "remove it")
        }
        if closedKeys.count > Self.collectionKeyLimit {
            problems.error(
                position(at: closedKeys.index), "lists or mappings are used as keys all over", "write \"key: value\"")
        }
    }

    /// The file's one document; nil when it is not YAML, which is reported.
    mutating func parse(problems: inout ProblemList) -> Tree? {
        guard !problems.hasErrors else { return nil }
        var scalarsLeft = Self.attemptScalarLimit
        for attempt in 1... {
            scalarsLeft -= scalars.count
            do {
                return try compose(problems: &problems)
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                let name = names.first.map(unmasked) ?? ""
                let mayRepeat = attempt < Self.attemptLimit && scalarsLeft >= scalars.count
                guard mayRepeat, hide(name, at: context.mark) else {
                    problems.error(
                        clamped(context.mark), "the key \(quoted(name)) is given more than once here",
                        "keep one of them")
                    return nil
                }
            } catch {
                report(error, &problems)
                return nil
            }
        }
        return nil
    }

    private mutating func compose(problems: inout ProblemList) throws -> Tree? {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        _ = Self.boundLibyaml
        // The encoding is given because Yams' default looks into the environment; the basic resolver, because what a
        // scalar means is decided by its key.
        let parser = try Parser(yaml: String(text), resolver: .basic, encoding: .utf8)
        guard let root = try parser.singleRoot() else { return nil }
        // Nodes refer to their anchors weakly: the parser keeps them alive.
        return withExtendedLifetime(parser) {
            anchors = [:]
            guard let tree = convert(root, depth: 1, &problems) else { return nil }
            guard tree.weight <= Self.weightLimit else {
                problems.error(
                    tree.position, "the file holds more than \(Self.weightLimit) values, with aliases written out",
                    "divide the rack, or repeat less through aliases")
                return nil
            }
            return tree
        }
    }

    /// Nil when the node cannot be used, which is reported.
    private mutating func convert(_ node: Node, depth: Int, _ problems: inout ProblemList) -> Tree? {
        let position = clamped(node.mark)
        guard depth <= Self.depthLimit else {
            problems.error(position, "values are nested deeper than \(Self.depthLimit)", "write fewer levels")
            return nil
        }
        let tree: Tree?
        switch node {
        case .scalar(let scalar):
            guard isAllowed(scalar.tag, position, &problems) else { return nil }
            tree = convert(scalar, position, &problems)
        case .sequence(let sequence):
            guard isAllowed(sequence.tag, position, &problems) else { return nil }
            var elements: [Tree] = []
            var isWhole = true
            for element in sequence {
                if let element = convert(element, depth: depth + 1, &problems) {
                    elements.append(element)
                } else {
                    isWhole = false
                }
            }
            tree = isWhole ? Tree(content: .sequence(elements), position: position, weight: weigh(elements)) : nil
        case .mapping(let mapping):
            guard isAllowed(mapping.tag, position, &problems) else { return nil }
            var entries: [Tree.Entry] = []
            var isWhole = true
            for (key, value) in mapping {
                let key = convertKey(key, &problems)
                let value = convert(value, depth: depth + 1, &problems)
                if let key, let value {
                    entries.append(Tree.Entry(key: key, value: value))
                } else {
                    isWhole = false
                }
            }
            let weight = weigh(entries.map(\.value))
            tree = isWhole ? Tree(content: .mapping(entries), position: position, weight: weight) : nil
        case .alias:
            // Only encoders make these; the parser replaces aliases, and here they are masked anyway.
            tree = nil
        }
        if let tree, let anchor = node.anchor { anchors[anchor.rawValue] = tree }
        return tree
    }

    private func convert(_ scalar: Node.Scalar, _ position: Position, _ problems: inout ProblemList) -> Tree? {
        let isPlain = scalar.style == .plain || scalar.style == .any
        if isPlain, scalar.string.unicodeScalars.first == Self.aliasMask {
            let name = unmasked(String(scalar.string.unicodeScalars.dropFirst()))
            guard let target = anchors[name] else {
                problems.error(
                    position, "the alias \(quoted("*" + name)) refers to nothing above it",
                    "write &\(isWord(name) ? name : "NAME") before the value it stands for, or quote a text that begins with *"
                )
                return nil
            }
            return Tree(content: target.content, position: position, weight: target.weight)
        }
        if isPlain, isExplicitKey(scalar.string) {
            problems.error(position, "explicit keys (\"? \") are not read", "write \"key: value\"")
            return nil
        }
        return Tree(content: .scalar(unmasked(scalar.string), isPlain: isPlain), position: position, weight: 1)
    }

    private func convertKey(_ node: Node, _ problems: inout ProblemList) -> Located<String>? {
        let position = clamped(node.mark)
        guard case .scalar(let scalar) = node else {
            problems.error(position, "a key must be a word, and this is a list or a mapping", "write \"key: value\"")
            return nil
        }
        guard isAllowed(scalar.tag, position, &problems) else { return nil }
        if let first = scalar.string.unicodeScalars.first, first.value >= Self.duplicateMasks,
            first.value < Self.duplicateMasks + UInt32(duplicateNames.count)
        {
            return Located(value: duplicateNames[Int(first.value - Self.duplicateMasks)], position: position)
        }
        let isPlain = scalar.style == .plain || scalar.style == .any
        if isPlain, scalar.string.unicodeScalars.first == Self.aliasMask || isExplicitKey(scalar.string) {
            problems.error(position, "a key must be a word, not an alias or an explicit key", "write \"key: value\"")
            return nil
        }
        return Located(value: unmasked(scalar.string), position: position)
    }

    private func isExplicitKey(_ text: String) -> Bool {
        var scalars = text.unicodeScalars.makeIterator()
        guard scalars.next() == Self.explicitKeyMask else { return false }
        let second = scalars.next()
        return second == nil || second == " " || second == "\t"
    }

    private func isWord(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 40
            && text.unicodeScalars.allSatisfy { $0.properties.isAlphabetic || ("0"..."9").contains($0) || $0 == "_" }
    }

    private func weigh(_ trees: [Tree]) -> Int {
        trees.reduce(1) { min(Self.weightLimit + 1, $0 + $1.weight) }
    }

    private func isAllowed(_ tag: Tag, _ position: Position, _ problems: inout ProblemList) -> Bool {
        let name = Tag.Name(rawValue: tag.rawValue)
        let plain: [Tag.Name] = [.implicit, .nonSpecific, .str, .map, .seq]
        if plain.contains(name) { return true }
        let standard = "tag:yaml.org,2002:"
        let text = unmasked(name.rawValue)
        let shown = text.hasPrefix(standard) ? "!!" + text.dropFirst(standard.count) : text
        problems.error(position, "the tag \(quoted(shown)) is not read", "write the value without a tag")
        return false
    }

    /// Replaces the first character of the key there, so that it is another key for Yams and can be told afterwards.
    private mutating func hide(_ name: String, at mark: Mark) -> Bool {
        guard mark.line >= 1, mark.line <= lineStarts.count, mark.column >= 1 else { return false }
        var index = lineStarts[mark.line - 1] + mark.column - 1
        guard index < scalars.count else { return false }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count, let mask = Unicode.Scalar(Self.duplicateMasks + UInt32(duplicateNames.count))
        else { return false }
        let cannotStartAKey: [Unicode.Scalar] = [
            "\"", "'", "&", "!", " ", "\t", "\n", "\r", ":", ",", "[", "{", "}", "]",
        ]
        guard !cannotStartAKey.contains(scalars[index]) else { return false }
        scalars[index] = mask
        duplicateNames.append(name)
        return true
    }

    private func unmasked(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 >= 0x80 }) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case Self.aliasMask: result.append("*")
            case Self.explicitKeyMask: result.append("?")
            case let other: result.append(other)
            }
        }
        return String(result)
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0a, 0x0d, 0x20...0x7e: true
        // Not the line separators, which libyaml and editors count differently, and not the characters of the masks.
        case 0xa0...0x2027, 0x202a...0xd7ff, 0xf900...0xfefe, 0xff00...0xfffd, 0x1_0000...0x10_ffff: true
        default: false
        }
    }

    private func position(at index: Int) -> Position {
        let line = lineStarts.lastIndex { $0 <= index } ?? 0
        return Position(line: line + 1, column: index - lineStarts[line] + 1)
    }

    /// libyaml reports the end of the text as a line of its own.
    private func clamped(_ mark: Mark?) -> Position {
        guard let mark, mark.line >= 1 else { return Position(line: 1, column: 1) }
        if mark.line > lineCount { return Position(line: lineCount, column: 1) }
        return Position(line: mark.line, column: max(1, mark.column))
    }

    private func report(_ error: any Error, _ problems: inout ProblemList) {
        switch error {
        case YamlError.scanner(let context, let problem, let mark, _),
            YamlError.parser(let context, let problem, let mark, _),
            YamlError.composer(let context, let problem, let mark, _):
            if problem.hasPrefix("Maximum nesting level") {
                problems.error(
                    clamped(mark), "values are nested deeper than \(Self.depthLimit)", "write fewer levels")
                return
            }
            if problem.hasPrefix("but found another document") {
                problems.error(
                    clamped(mark), "a second document begins here", "keep one inventory in a file, without --- inside")
                return
            }
            var message = "this is not YAML: \(problem)"
            if let context {
                message += " \(context.text)"
                if context.mark.line >= 1, context.mark.line < mark.line {
                    message += " that begins on line \(context.mark.line)"
                }
            }
            problems.error(clamped(mark), message, Self.advice(problem))
        default:
            problems.error(
                Position(line: 1, column: 1), "this is not YAML", "write the file as text, in the form README shows")
        }
    }

    private static func advice(_ problem: String) -> String {
        if problem.contains("cannot start any token") {
            return "indent with spaces, not tabs, and quote a value that begins with @, ` or %"
        }
        if problem.contains("mapping values are not allowed") {
            return "write each key on a line of its own, and quote a value that contains \": \""
        }
        if problem.contains("expected ':'") { return "write \"key: value\"" }
        if problem.contains("expected ',' or") { return "write a comma between values and close every [ and {" }
        if problem.contains("end of stream") { return "close the quotation mark" }
        return "look at the indentation, colons and quotation marks here and just above"
    }
}
