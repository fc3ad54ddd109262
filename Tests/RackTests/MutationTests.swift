import Glibc
import Rack
import Testing

/// SplitMix64: small, and the same for a seed on every machine.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

private let fragments: [String] = [
    "\n", " ", "  ", "\t", "\r\n", ":", ": ", "- ", "-", "[", "]", "{", "}", ",", "\"", "'", "#", "*", "&a ", "*a",
    "? ", "!",
    "!!int ", "|", ">", "%", "@", "`", "~", "---\n", "...\n", "0", "9999999999999999999999", "-1", "1GiB", "é", "\u{0}",
    "\u{7f}", "\u{f8ff}", "\u{e000}", "\u{2028}", "😀", "\\", "\"\\x41\"", "name: ", "rack: rack1\n", "<<: *a\n", "null",
    "[]",
    "{}", "san0", "storage0", "mpath0", "VG0", "100%", "fd00::1", "key: 1", "wwid: 3", "hosts: [", "\u{feff}",
]

private func mutated(_ text: String, with random: inout SeededGenerator) -> String {
    var scalars = Array(text.unicodeScalars)
    for _ in 0..<Int.random(in: 1...6, using: &random) {
        let start = Int.random(in: 0...scalars.count, using: &random)
        let length = min(Int.random(in: 0...12, using: &random), scalars.count - start)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: scalars.removeSubrange(start..<start + length)
        case 1: scalars.insert(contentsOf: (fragments.randomElement(using: &random) ?? "").unicodeScalars, at: start)
        case 2:
            let replacement = (fragments.randomElement(using: &random) ?? "").unicodeScalars
            scalars.replaceSubrange(start..<start + length, with: replacement)
        case 3: scalars.removeSubrange(start...)
        case 4:
            // A line again somewhere else: duplicate keys and objects.
            let lines = scalars.split(separator: "\n", omittingEmptySubsequences: false)
            let line = Array(lines.randomElement(using: &random) ?? []) + ["\n"]
            let others = scalars.indices.filter { $0 == 0 || scalars[$0 - 1] == "\n" }
            scalars.insert(contentsOf: line, at: others.randomElement(using: &random) ?? 0)
        default:
            guard !scalars.isEmpty else { continue }
            let other = Int.random(in: 0..<scalars.count, using: &random)
            scalars.swapAt(min(start, scalars.count - 1), other)
        }
    }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
}

/// Whatever becomes of the file, loading neither traps nor hangs, gives an inventory or errors but never both, and points at
/// places that are in the file. `RACK_SEED` runs one seed; RACK_ROUNDS more of them.
@Test func mutatedFilesAreReadOrRefused() {
    let environment = { (name: String) -> UInt64? in unsafe getenv(name).flatMap { unsafe UInt64(String(cString: $0)) }
    }
    let first = environment("RACK_SEED")
    let rounds = first == nil ? environment("RACK_ROUNDS") ?? 1500 : 1
    let start = first ?? UInt64.random(in: 0...UInt64(UInt32.max))
    var usable = 0
    for seed in start..<start + rounds {
        var random = SeededGenerator(seed: seed)
        let text = mutated(goodText, with: &random)
        let load = Inventory.load(text: text, fileName: "rack.yaml")
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        let note: Comment = "RACK_SEED=\(seed)"
        #expect((load.inventory == nil) == !load.errors.isEmpty, note)
        for problem in load.problems {
            #expect(!problem.description.contains { $0.isNewline }, note)
            #expect(!problem.message.isEmpty && !problem.advice.isEmpty, note)
            if problem.line == 0 { continue }
            #expect((1...max(1, lines.count)).contains(problem.line), note)
            #expect(problem.column >= 1, note)
            if problem.line <= lines.count {
                #expect(problem.column <= lines[problem.line - 1].unicodeScalars.count + 1, "\(seed): \(problem)")
            }
        }
        if load.inventory != nil { usable += 1 }
        #expect(Inventory.load(text: text, fileName: "rack.yaml").problems == load.problems, note)
    }
    // Else the mutations are too wild to reach anything behind the YAML parser.
    if first == nil { #expect(usable > 0, "seeds \(start)..<\(start + rounds)") }
}
