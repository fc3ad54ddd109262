import Glibc

/// A configuration file that attach writes for an engine, and never takes from anybody else.
///
/// The first line carries a digest of the rest, so attach tells its own file from one that an administrator wrote or
/// edited. A file of the distribution's that configures nothing is set aside while attach's own is in place, and comes
/// back with `remove`.
package struct GeneratedFile: Sendable {
    /// Whose file is there.
    package enum Owner: Sendable, Equatable {
        /// No file.
        case absent
        /// Written by attach and not changed since; the text below the marker.
        case ours(String)
        /// Written by attach and changed by somebody.
        case edited(String)
        /// Somebody else's.
        case foreign(String)
        /// The example that the distribution's package brings.
        case packaged
    }

    /// Where it is.
    package let path: String
    /// Recognises the distribution's example.
    package let isPackagedExample: @Sendable (String) -> Bool

    package init(path: String, isPackagedExample: @escaping @Sendable (String) -> Bool = { _ in false }) {
        self.path = path
        self.isPackagedExample = isPackagedExample
    }

    /// Where a set-aside example waits.
    package var setAsidePath: String { path + ".before-attach" }

    private static let marker = "# Made by attach from rack.yaml; attach writes and removes it. Digest "

    /// The file's text: the marker line and the body.
    package static func marked(_ body: String) -> String { marker + digest(body) + "\n" + body }

    /// FNV-1a over the bytes: it finds an edit, it is no protection against anybody.
    package static func digest(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Whose text this is.
    package func owner(of text: String?) -> Owner {
        guard let text else { return .absent }
        if text.hasPrefix(Self.marker), let newline = text.firstIndex(of: "\n") {
            let body = String(text[text.index(after: newline)...])
            let digest = text[..<newline].dropFirst(Self.marker.count)
            return digest == Self.digest(body) ? .ours(body) : .edited(body)
        }
        return isPackagedExample(text) ? .packaged : .foreign(text)
    }

    /// Whose file is there now.
    package var owner: Owner { owner(of: readTextFile(path)) }

    /// Writes the file where none is, or one of ours, or the distribution's example; answers what it did.
    ///
    /// - Throws: `.mismatch` when somebody else's is there.
    package func install(_ body: String) throws(StackError) -> StepOutcome {
        let outcome: StepOutcome
        switch owner {
        case .ours(let present) where present == body: return .alreadyThere
        case .ours: outcome = .changed
        case .absent: outcome = .created
        case .packaged:
            guard unsafe rename(path, setAsidePath) == 0 else {
                throw StackError(
                    .failed, object: path, cause: "could not be set aside: \(errorText(errno))",
                    advice: "check the filesystem it is on")
            }
            outcome = .created
        case .edited, .foreign:
            throw StackError(
                .mismatch, object: path, cause: "another configuration is there and is not overwritten",
                advice: "move it away if nobody needs it: mv \(path) \(path).saved")
        }
        if let slash = path.lastIndex(of: "/") { try makeFolder(String(path[..<slash])) }
        try writeFileAtomically(path, Self.marked(body))
        return outcome
    }

    /// Whether there is something for `remove` to do.
    package var isToRemove: Bool {
        if case .ours = owner { return true }
        return owner == .absent && fileExists(setAsidePath)
    }

    /// Takes our own file away and puts a set-aside one back; leaves every other file alone.
    package func remove() throws(StackError) -> StepOutcome {
        guard isToRemove else { return .alreadyThere }
        if fileExists(setAsidePath) {
            guard unsafe rename(setAsidePath, path) == 0 else {
                throw StackError(
                    .failed, object: setAsidePath, cause: "could not be put back: \(errorText(errno))",
                    advice: "by hand: mv \(setAsidePath) \(path)")
            }
        } else {
            removeFile(path)
            // Only an empty one goes: the folder of an engine's that came with its configuration.
            if let slash = path.lastIndex(of: "/") { _ = unsafe rmdir(String(path[..<slash])) }
        }
        return .removed
    }
}
