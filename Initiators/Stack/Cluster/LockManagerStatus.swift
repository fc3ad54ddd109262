/// A dlm lockspace, as `dlm_tool ls` shows it.
package struct Lockspace: Sendable, Equatable {
    /// Its name: `lvm_VG0`, a filesystem's name.
    package var name: String
    /// Node ids that are in it.
    package var members: [Int] = []
    /// What a change of membership waits for (`wait fencing`, `wait ringid`, `wait conditions`); nil when none is under way.
    package var waitsFor: String?
    /// Whether the kernel stands still in it until the change is through.
    package var isStopped = false

    /// Parses the output of `dlm_tool ls`.
    package static func parse(_ text: String) -> [Lockspace] {
        var found: [Lockspace] = []
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let key = words.first else { continue }
            if key == "name", words.count > 1 {
                found.append(Lockspace(name: words[1...].joined(separator: " ")))
            }
            guard let last = found.indices.last else { continue }
            switch (key, words.dropFirst().first) {
            case ("members", _): found[last].members = words.dropFirst().compactMap { Int($0) }
            case ("flags", _): found[last].isStopped = words.contains("kern_stop")
            case ("new", "status"): found[last].waitsFor = words.dropFirst(2).joined(separator: " ")
            default: break
            }
        }
        return found
    }
}

/// What `dlm_tool status` says about the daemon.
package struct LockManagerStatus: Sendable, Equatable {
    /// Nodes that were lost and whose locks stay blocked until they are fenced, come back or are acknowledged as off.
    package var nodesToFence: [Int] = []
    /// Whether dlm_controld has joined its group and takes lockspaces.
    package var isReady = false

    /// Parses the output; lines that are not understood are passed over.
    package init(parsing text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count > 2, words[0] == "fence", let node = Int(words[1]) { nodesToFence.append(node) }
            if words.count > 2, words[0] == "node", words[2] == "M" { isReady = true }
        }
    }

    /// Why nothing goes on, and what to do; nil when no node waits to be fenced.
    package func fencingWait(_ describe: (Int) -> String) -> (cause: String, advice: String)? {
        guard let first = nodesToFence.first else { return nil }
        let names = nodesToFence.map(describe).joined(separator: ", ")
        return (
            "the locks wait for \(names) to be fenced, and no fencing is configured",
            "bring it back, or, when it is surely off: dlm_tool fence_ack \(first)"
        )
    }
}

/// What `lvmlockctl -i` says: the volume groups whose lockspace lvmlockd has, and the locks it holds in them.
package struct VolumeLocks: Sendable, Equatable {
    /// One volume group.
    package struct Group: Sendable, Equatable {
        /// Its name.
        package var name: String
        /// Its UUID.
        package var uuid: String
        /// `dlm` or `sanlock`.
        package var lockType: String
        /// Locks on logical volumes that are not `un`: mode (`sh`, `ex`) by the volume's UUID.
        package var volumeModes: [String: String] = [:]
        /// Whether its lockspace is being left, or failed to start.
        package var isLeaving = false
    }

    /// The groups, without the global lockspace.
    package var groups: [Group] = []

    /// Parses the output.
    package init(parsing text: String) {
        var isGroup = false
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "VG":
                // The global lockspace has no name: `VG vg_uuid= lock_type= `.
                isGroup = words.count >= 4 && words[2].hasPrefix("lock_type=")
                if isGroup {
                    groups.append(Group(name: words[1], uuid: words[3], lockType: String(words[2].dropFirst(10))))
                }
            case "LS" where isGroup:
                groups[groups.count - 1].isLeaving = words.contains { $0.hasPrefix("REM:") }
            case "LK" where isGroup && words.count >= 4 && words[1] == "LV" && words[2] != "un":
                groups[groups.count - 1].volumeModes[words[3]] = words[2]
            default: break
            }
        }
    }

    /// The group of this name.
    package func group(named name: String) -> Group? { groups.first { $0.name == name } }
}

/// dlm.conf(5) as attach writes it.
///
/// Fencing itself is not set up here, so the choice is what happens when a client is lost. `enable_fencing=0` would give
/// the lost client's locks away at once, and when it is only cut off and writes on, two hosts write the same blocks. So
/// fencing stays enabled without an agent: the locks that a lost client may hold stay blocked until it comes back or an
/// operator, who has seen that it is off, types `dlm_tool fence_ack NODE` (both tried). Fencing at start is not needed:
/// no quorum comes about before every client was seen (`wait_for_all`), and it would shoot at one that is merely slow.
package enum LockManagerConfiguration {
    /// The file's body, without the marker.
    package static let text = """
        enable_fencing=1
        enable_startup_fencing=0

        """

    /// Whether a configuration names a fence agent.
    package static func hasFencing(_ text: String) -> Bool {
        text.split(whereSeparator: \.isNewline).map { $0.trimmingBlanks() }
            .contains { $0.hasPrefix("device ") || $0.hasPrefix("fence_all ") || $0.hasPrefix("fence_all=") }
    }

    /// Said in `plan` and `status` as long as it is so.
    package static let warning = "fencing is not configured: a lost client blocks the locks"
}
