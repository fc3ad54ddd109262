import Glibc
import HostDevices
import Rack

/// What open-iscsi is told about authentication for one session: the `node.session.auth.` settings of its node record.
///
/// iscsiadm takes settings as arguments only, which every user of the host can read while it runs; so these are written
/// into the record file that `iscsiadm -o new` made, which is as private as the file of secrets itself (mode 0600 in a
/// folder of mode 0700). The gain is that no secret is ever in an argument, an environment or a log; the cost is that the
/// form of that file, the same since 2005, is known here. iscsid hands them on to the kernel, where root alone sees them.
package struct SessionAuthentication: Sendable, CustomStringConvertible, CustomReflectable {
    /// One line of a node record. Its value may be a secret, so it is shown nowhere.
    private struct Setting {
        var name: String
        var value: [UInt8]
    }

    private var settings: [Setting]

    /// One-way CHAP, or mutual where the secrets have the target's: iscsid then ends a login whose target does not prove
    /// to know it.
    ///
    /// - Parameters:
    ///   - initiatorName: What we prove to be.
    ///   - targetName: What the target has to prove to be.
    ///   - algorithms: In the order in which they are offered.
    ///   - isMutual: Whether the target has to prove itself.
    package init(
        initiatorName: String, targetName: String, secrets: ChapSecrets, algorithms: [Authentication.Algorithm],
        isMutual: Bool
    ) {
        settings = [
            Setting(name: "authmethod", value: Array("CHAP".utf8)),
            Setting(name: "username", value: Array(initiatorName.utf8)),
            Setting(name: "password", value: secrets.initiator.bytes),
        ]
        if isMutual, let target = secrets.target {
            settings += [
                Setting(name: "username_in", value: Array(targetName.utf8)),
                Setting(name: "password_in", value: target.bytes),
            ]
        }
        let names = algorithms.map(\.openISCSIName).joined(separator: ",")
        settings.append(Setting(name: "chap_algs", value: Array(names.utf8)))
    }

    /// What stands for it in every text.
    package var description: String { "CHAP settings of \(settings.count) lines" }
    /// Nothing inside.
    package var customMirror: Mirror { Mirror(self, children: [:]) }

    private static let prefix = Array("node.session.auth.".utf8)
    private static let end = Array("# END RECORD".utf8)

    private var lines: [ArraySlice<UInt8>] {
        settings.map { (Self.prefix + Array("\($0.name) = ".utf8) + $0.value)[...] }
    }

    private static func isSetting(_ line: ArraySlice<UInt8>) -> Bool {
        line.drop { $0 == 0x20 || $0 == 0x09 }.starts(with: prefix)
    }

    /// Whether a record has these settings and no others of this kind, in any order: iscsiadm may have written it again.
    package func isIn(_ record: [UInt8]) -> Bool {
        Set(record.split(separator: UInt8(ascii: "\n")).filter(Self.isSetting)) == Set(lines)
    }

    /// A record with these settings in place of all it had of this kind (some may have come from iscsid.conf and be meant
    /// for other targets); nil when it is no whole record.
    package func applied(to record: [UInt8]) -> [UInt8]? {
        let newline = UInt8(ascii: "\n")
        var lines = record.split(separator: newline, omittingEmptySubsequences: false)
        guard let last = lines.lastIndex(where: { $0.starts(with: Self.end) }) else { return nil }
        let added = self.lines
        lines.insert(contentsOf: added, at: last)
        let kept = lines.enumerated().filter { index, line in
            (last..<(last + added.count)).contains(index) || !Self.isSetting(line)
        }
        return Array(kept.map(\.element).joined(separator: [newline]))
    }
}

extension Authentication.Algorithm {
    /// Its name in `node.session.auth.chap_algs`.
    package var openISCSIName: String {
        switch self {
        case .sha3With256Bits: "SHA3-256"
        case .sha256: "SHA256"
        case .sha1: "SHA1"
        case .md5: "MD5"
        }
    }
}

/// The file of one node record in open-iscsi's database.
package struct NodeRecordFile: Sendable {
    /// Its path, below the root of `HostFiles`.
    package let path: String
    private let files: HostFiles

    /// The file of this path's record: `nodes/TARGET/ADDRESS,PORT,TAG/INTERFACE`; nil when there is none.
    package init?(_ path: WantedPath, interface: String, files: HostFiles) {
        // An IPv6 address has no brackets there.
        let portal = path.portal.portal
        let address = portal.address.filter { $0 != "[" && $0 != "]" }
        let part = "\(path.volume.targetName)/\(address),\(portal.port),\(portal.tag)/\(interface)"
        let found = ISCSIAdmin.databaseFolders.map { "\($0)/nodes/\(part)" }.first { files.exists($0) }
        guard let found else { return nil }
        self.path = found
        self.files = files
    }

    /// Names of files that are being written begin with this; the writer's process id follows.
    private static let temporaryPrefix = ".attach-record."

    /// Writes the settings into the record: a file of mode 0600 that is filled, brought to stable storage, and given the
    /// record's name, so iscsiadm reads the old or the new one.
    package func write(_ authentication: SessionAuthentication) throws(StackError) {
        guard let record = files.bytes(path), let text = authentication.applied(to: record) else {
            throw StackError(
                .failed, object: path, cause: "open-iscsi's record cannot be read, or is of another form",
                advice: "look: iscsiadm -m node, and its version: iscsiadm --version")
        }
        // Not in a folder of records, where iscsiadm would take it for one, and on the same filesystem.
        guard let database = Self.database(of: path, files) else {
            throw StackError(
                .failed, object: path, cause: "the folder of open-iscsi's records went away",
                advice: "look: iscsiadm -m node")
        }
        Self.sweep(files)
        let temporary = files.path("\(database)/\(Self.temporaryPrefix)\(getpid()).\(UInt32.random(in: 0 ... .max))")
        func fail(_ operation: String) -> StackError {
            let cause = "\(operation): \(errorText(errno))"
            _ = unsafe unlink(temporary)
            return StackError(.failed, object: path, cause: cause, advice: "check the filesystem it is on")
        }
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw fail("it could not be created") }
        let isWritten = fchmod(descriptor, 0o600) == 0 && writeAll(descriptor, text) && fsync(descriptor) == 0
        let error = errno
        close(descriptor)
        errno = error
        guard isWritten else { throw fail("it could not be written") }
        guard unsafe rename(temporary, files.path(path)) == 0 else { throw fail("it could not be replaced") }
    }

    /// Whether the record has these settings and no others; false where it cannot be read.
    package func has(_ authentication: SessionAuthentication) -> Bool {
        files.bytes(path).map { authentication.isIn($0) } ?? false
    }

    /// Removes what a writer that was killed left behind, which holds secrets.
    package static func sweep(_ files: HostFiles) {
        for folder in ISCSIAdmin.databaseFolders {
            for name in files.entries(folder) where name.hasPrefix(temporaryPrefix) {
                let owner = name.dropFirst(temporaryPrefix.count).prefix { $0 != "." }
                guard let pid = Int32(owner), pid > 0, kill(pid, 0) != 0, errno == ESRCH else { continue }
                removeFile(files.path("\(folder)/\(name)"))
            }
        }
    }

    /// The folder that holds `nodes`, with links resolved.
    private static func database(of path: String, _ files: HostFiles) -> String? {
        guard let real = files.resolved(path) else { return nil }
        // nodes/TARGET/PORTAL/INTERFACE
        let parts = real.split(separator: "/").dropLast(4)
        return "/" + parts.joined(separator: "/")
    }
}
