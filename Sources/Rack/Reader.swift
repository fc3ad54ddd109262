/// The keys of one mapping of the file.
struct Fields {
    /// The object as messages name it: `volume mpath0`.
    let label: String
    let position: Position
    let entries: [String: Tree.Entry]
    /// Keys that are missing because they are misspelt, which is reported.
    let misspelt: Set<String>

    /// Where to point when it is about one key: at its value, or at the object.
    func position(of key: String) -> Position { entries[key]?.value.position ?? position }
}

/// Takes values out of trees, and reports each that is missing, unknown or of the wrong kind.
struct Reader {
    var problems: ProblemList

    /// The mapping's fields; nil, with a report, when it is none.
    mutating func fields(_ tree: Tree, _ label: String, known: [String]) -> Fields? {
        guard case .mapping(let pairs) = tree.content else {
            problems.error(
                tree.position, "\(label) is \(kind(tree)) in place of keys with values", "write \"key: value\" lines")
            return nil
        }
        var entries: [String: Tree.Entry] = [:]
        var misspelt: Set<String> = []
        let present = Set(pairs.map(\.key.value))
        let missing = known.filter { !present.contains($0) }
        for pair in pairs {
            let name = pair.key.value
            if let first = entries[name] {
                problems.error(
                    pair.key.position,
                    "\(label): the key \(quoted(name)) is given a second time (first on line \(first.key.position.line))",
                    "keep one of them")
                continue
            }
            entries[name] = pair
            if !known.contains(name) {
                var advice = name == "<<" ? "write its keys out, merge keys are not read" : choice(name, of: known)
                if let meant = nearest(to: name, of: missing) {
                    misspelt.insert(meant)
                    advice = "write \(quoted(meant))"
                }
                problems.error(pair.key.position, "\(label): unknown key \(quoted(name))", advice)
            }
        }
        return Fields(label: label, position: tree.position, entries: entries, misspelt: misspelt)
    }

    /// The elements of a list, with the label of each; empty when the key is missing (reported if required).
    mutating func objects(_ fields: Fields, _ key: String, kind: String, example: String?) -> [(
        label: String, tree: Tree
    )] {
        guard let trees = list(fields, key, example: example) else { return [] }
        return trees.value.enumerated().map { index, tree in
            (label: label(kind, tree, number: index + 1), tree: tree)
        }
    }

    /// A list; nil when the key is missing (reported if there is an example) or no list.
    mutating func list(_ fields: Fields, _ key: String, example: String?) -> Located<[Tree]>? {
        guard let entry = present(fields, key, example: example) else { return nil }
        guard case .sequence(let elements) = entry.value.content else {
            problems.error(
                entry.value.position, "\(fields.label): \(key) is \(kind(entry.value)) in place of a list",
                "write \(example ?? "\(key): [...]")")
            return nil
        }
        return Located(value: elements, position: entry.value.position)
    }

    /// A list of words.
    mutating func texts(_ fields: Fields, _ key: String, example: String?) -> Located<[Located<String>]>? {
        guard let list = list(fields, key, example: example) else { return nil }
        var texts: [Located<String>] = []
        for tree in list.value {
            if let text = scalar(tree, "\(fields.label): an element of \(key)") { texts.append(text) }
        }
        return Located(value: texts, position: list.position)
    }

    /// A word; nil when the key is missing (reported if there is an example) or no word.
    mutating func text(_ fields: Fields, _ key: String, example: String?) -> Located<String>? {
        guard let entry = present(fields, key, example: example) else { return nil }
        return scalar(entry.value, "\(fields.label): \(key)")
    }

    /// A word that should pass a rule for names. One that does not is reported and given back all the same, so that what
    /// refers to it is not reported too.
    mutating func name(_ fields: Fields, _ key: String, _ rule: NameRule, example: String?) -> Located<String>? {
        guard let text = text(fields, key, example: example) else { return nil }
        if let objection = rule.objection(to: text.value) {
            let prefix = key == "name" ? fields.label : "\(fields.label), \(key)"
            problems.error(text.position, "\(prefix): \(objection.message)", objection.advice)
        }
        return text
    }

    /// A whole number within bounds.
    mutating func integer(_ fields: Fields, _ key: String, _ range: ClosedRange<UInt64>, example: String?) -> Located<
        UInt64
    >? {
        guard let text = text(fields, key, example: example) else { return nil }
        let advice = "write a number from \(range.lowerBound) to \(range.upperBound)"
        guard !text.value.isEmpty, text.value.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            problems.error(text.position, "\(fields.label): \(key) is \(quoted(text.value)), no whole number", advice)
            return nil
        }
        guard let number = UInt64(text.value), range.contains(number) else {
            problems.error(text.position, "\(fields.label): \(key) is \(quoted(text.value)), out of bounds", advice)
            return nil
        }
        return Located(value: number, position: text.position)
    }

    /// A size in bytes, not zero and not beyond what a file can hold.
    mutating func size(_ fields: Fields, _ key: String, example: String?) -> Located<UInt64>? {
        guard let text = text(fields, key, example: example) else { return nil }
        return size(text, "\(fields.label): \(key)")
    }

    /// A size in bytes from a word.
    mutating func size(_ text: Located<String>, _ label: String) -> Located<UInt64>? {
        do {
            let bytes = try ByteSize(parsing: text.value).bytes
            guard bytes > 0, bytes <= UInt64(Int64.max) else {
                problems.error(
                    text.position, "\(label) is \(quoted(text.value)), out of bounds",
                    "write a size from 1MiB up to 7EiB")
                return nil
            }
            return Located(value: bytes, position: text.position)
        } catch {
            problems.error(text.position, "\(label): \(error)", error.advice)
            return nil
        }
    }

    /// yes or no.
    mutating func flag(_ fields: Fields, _ key: String) -> Located<Bool>? {
        guard let text = text(fields, key, example: nil) else { return nil }
        switch text.value.lowercased() {
        case "true", "yes", "on": return Located(value: true, position: text.position)
        case "false", "no", "off": return Located(value: false, position: text.position)
        default:
            problems.error(text.position, "\(fields.label): \(key) is \(quoted(text.value))", "write true or false")
            return nil
        }
    }

    /// One of a few words.
    mutating func word<Choice: RawRepresentable & CaseIterable>(
        _ fields: Fields, _ key: String, example: String?, among type: Choice.Type,
        normalised: (String) -> String = { $0 }
    ) -> Located<Choice>? where Choice.RawValue == String {
        guard let text = text(fields, key, example: example) else { return nil }
        guard let choice = Choice(rawValue: normalised(text.value)) else {
            problems.error(
                text.position, "\(fields.label): unknown \(key) \(quoted(text.value))",
                self.choice(text.value, of: Choice.allCases.map(\.rawValue)))
            return nil
        }
        return Located(value: choice, position: text.position)
    }

    /// An address.
    mutating func address(_ fields: Fields, _ key: String, example: String) -> Located<NetworkAddress>? {
        guard let text = text(fields, key, example: example) else { return nil }
        do {
            let address = try NetworkAddress(parsing: text.value)
            if address.isWildcard {
                problems.error(
                    text.position,
                    "\(fields.label): \(key) \(text.value) stands for any address, and others must reach it",
                    "write the address itself, such as 10.77.0.21")
                return nil
            }
            return Located(value: address, position: text.position)
        } catch {
            problems.error(text.position, "\(fields.label): \(key) \(error)", error.advice)
            return nil
        }
    }

    /// The absolute path of a file, device or folder.
    mutating func path(_ fields: Fields, _ key: String, example: String) -> Located<String>? {
        guard let text = text(fields, key, example: example) else { return nil }
        let advice = "write an absolute path such as \(example.split(separator: " ").last ?? "/")"
        guard text.value.hasPrefix("/") else {
            problems.error(text.position, "\(fields.label): \(key) \(quoted(text.value)) does not begin with /", advice)
            return nil
        }
        let parts = text.value.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let isClean = parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }
        guard text.value == "/" || isClean, text.value.utf8.count <= 4095,
            text.value.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
        else {
            problems.error(
                text.position,
                "\(fields.label): \(key) \(quoted(text.value)) holds an empty, \".\" or \"..\" part, or is too long",
                advice)
            return nil
        }
        return text
    }

    /// Advice for a word that is none of the known ones: the nearest, else all of them.
    func choice(_ word: String, of known: [String]) -> String {
        guard !known.isEmpty else { return "declare it first" }
        if let nearest = nearest(to: word, of: known) { return "write \(quoted(nearest))" }
        let shown = known.prefix(12).joined(separator: ", ")
        return known.count == 1 ? "write \(shown)" : "write one of \(shown)\(known.count > 12 ? ", ..." : "")"
    }

    private func nearest(to word: String, of known: [String]) -> String? {
        let letters = Array(word.lowercased().unicodeScalars)
        // A report that is full needs no more advice, and no long word is a slip of the finger.
        guard !problems.isFull, (1...40).contains(letters.count), known.count <= 1000 else { return nil }
        var best: (name: String, distance: Int)?
        for name in known {
            let distance = editDistance(letters, Array(name.lowercased().unicodeScalars))
            let limit = min(letters.count, name.unicodeScalars.count) <= 3 ? 1 : min(letters.count, 8) / 3 + 1
            if distance <= limit, distance < best?.distance ?? .max { best = (name, distance) }
        }
        return best?.name
    }

    private mutating func present(_ fields: Fields, _ key: String, example: String?) -> Tree.Entry? {
        guard let entry = fields.entries[key] else {
            if let example, !fields.misspelt.contains(key) {
                problems.error(fields.position, "\(fields.label) has no \(key)", "write \(example)")
            }
            return nil
        }
        if case .scalar(let text, isPlain: true) = entry.value.content, ["", "~", "null"].contains(text) {
            problems.error(
                entry.key.position, "\(fields.label): \(key) has no value",
                example.map { "write \($0)" } ?? "give it one, or remove the key")
            return nil
        }
        return entry
    }

    private mutating func scalar(_ tree: Tree, _ label: String) -> Located<String>? {
        guard case .scalar(let text, _) = tree.content else {
            problems.error(tree.position, "\(label) is \(kind(tree)) in place of one value", "write a single value")
            return nil
        }
        return Located(value: text, position: tree.position)
    }

    private func kind(_ tree: Tree) -> String {
        switch tree.content {
        case .scalar(let text, isPlain: true) where ["", "~", "null"].contains(text): "nothing"
        case .scalar(let text, _): "the text \(quoted(text))"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    private func label(_ kind: String, _ tree: Tree, number: Int) -> String {
        if case .mapping(let entries) = tree.content,
            let entry = entries.first(where: { $0.key.value == "name" }),
            case .scalar(let text, _) = entry.value.content, !text.isEmpty, text.utf8.count <= 64,
            text.unicodeScalars.allSatisfy({ (0x21...0x7e).contains($0.value) })
        {
            return "\(kind) \(text)"
        }
        return "\(kind) number \(number)"
    }
}

/// Damerau's distance with adjacent swaps: what separates a word from a mistyped one.
private func editDistance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
    guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
    var older: [Int] = []
    var previous = Array(0...right.count)
    for row in 1...left.count {
        var current = [row]
        for column in 1...right.count {
            let isSame = left[row - 1] == right[column - 1]
            var cost = min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (isSame ? 0 : 1))
            if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                cost = min(cost, older[column - 2] + 1)
            }
            current.append(cost)
        }
        older = previous
        previous = current
    }
    return previous[right.count]
}
