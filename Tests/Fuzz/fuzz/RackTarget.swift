import Rack

/// rack.yaml. What holds: every text ends in an inventory or in a problem that names a line of it; no text of this size
/// takes long (-timeout) or much memory; loading twice says the same.
enum RackTarget {
    static func run(_ input: inout Input) {
        // What chance would have to spell out: whole words by one byte above 0x7f.
        var text: [UInt8] = []
        while !input.isEmpty {
            let byte = input.byte()
            let word = Int(byte) - 0xa0
            if words.indices.contains(word) { text += Array(words[word].utf8) } else { text.append(byte) }
        }
        let load = Inventory.load(bytes: text, fileName: "rack.yaml")
        hold(load.inventory != nil || !load.problems.isEmpty, "refused without a word")
        let lines = text.count { $0 == 10 || $0 == 13 } + text.count { $0 == 0x85 || $0 == 0xa8 || $0 == 0xa9 } + 1
        for problem in load.problems {
            hold(problem.line >= 0 && problem.line <= lines, "line \(problem.line) of \(lines)")
            hold(!problem.message.isEmpty && !problem.advice.isEmpty, "a problem without a word")
            let line = String(describing: problem)
            hold(
                line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f },
                "control characters in a message")
        }
    }

    private static let words = [
        "rack: r1\n", "iqn: iqn.2026-01.net.example\n", "networks: [{name: san0}]\n",
        "hosts: [{name: h0, portals: [{network: san0, address: 127.0.0.1, port: 3260}]}]\n",
        "volumes: [{name: v0, size: 64MiB, path: /a.img, hosts: [h0]}]\n", "networks:\n", "hosts:\n", "volumes:\n",
        "clients:\n", "filesystems:\n", "  - ", "name: ", "size: ", "path: ", "portals: ", "address: ", "network: ",
        "hosts: ", "&a ", "*a", "<<: ", "{", "}", "[", "]", "!!binary ", "!!str ", "| ", "> ", "? ", "---\n", "...\n",
        "access: ", "initiators: ", "limits: ", "faults: ", "port_groups: ", "wwid: ", "mount: ", "journals: ",
        "cluster: ",
    ]
}
