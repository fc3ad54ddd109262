import ArgumentParser
import CLinux
import FoundationEssentials
import Glibc
import TargetServer

/// Where the daemon keeps what has to outlive it.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where what has to outlive the daemon is kept; else $STATE_DIRECTORY, else /var/lib/storaged.",
            valueName: "folder"))
    var stateDirectory: String?

    /// The folder; it is made when there is something to keep.
    var path: String {
        if let stateDirectory { return stateDirectory }
        if let folder = environment("STATE_DIRECTORY") { return String(folder.prefix { $0 != ":" }) }
        return "/var/lib/storaged"
    }
}

/// `alua-HOST.json` in the state directory: the states of target port groups and what is drained, so that a daemon that
/// was killed goes on as it was. One JSON object:
///
///     {"schema": "storaged.alua/1",
///      "groups": [{"target": "iqn...", "group": 9385, "state": "standby", "isByInitiator": false}],
///      "drains": [{"kind": "portal", "name": "10.77.0.21:3260"}]}
///
/// `state` has the names of `storaged alua`, `kind` is host, volume, portal or initiator. A change is written to a file
/// beside it, synced, and renamed over it, so the old or the new one is there after a crash, never half of one. Without
/// the file nothing was ever changed.
struct AccessFile: Sendable {
    private static let schema = "storaged.alua/1"
    /// No such file is longer.
    private static let limitBytes = 4 << 20

    let folder: String
    let path: String

    /// The file of a host.
    init(folder: String, hostName: String) {
        self.folder = folder
        path = "\(folder)/alua-\(hostName).json"
    }

    private struct Contents: Codable {
        var schema: String
        var groups: [AccessSettings.Group]
        var drains: [DrainScope]
    }

    /// What was kept. A file that cannot be read or understood is an error: a drained host must not come back by itself.
    func read() throws(CommandFailure) -> AccessSettings {
        let descriptor = unsafe rack_open(path, O_RDONLY)
        if descriptor == -ENOENT || descriptor == -ENOTDIR { return AccessSettings() }
        guard descriptor >= 0 else { throw unreadable(systemText(-descriptor)) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= Self.limitBytes {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(systemText(errno)) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        guard bytes.count <= Self.limitBytes else { throw unreadable("it is too large") }
        guard let contents = try? JSONDecoder().decode(Contents.self, from: Data(bytes)) else {
            throw unreadable("it is no \(Self.schema)")
        }
        guard contents.schema == Self.schema else {
            throw unreadable("its schema is \(escaped(contents.schema)), this version knows \(Self.schema)")
        }
        var settings = AccessSettings()
        settings.groups = contents.groups
        settings.drains = contents.drains
        return settings
    }

    private func unreadable(_ cause: String) -> CommandFailure {
        CommandFailure(
            .failed,
            "state file \(path): \(cause); make it readable, or remove it, which undrains everything and makes every port "
                + "group active/optimized")
    }

    /// Puts settings on stable storage.
    func write(_ settings: AccessSettings) throws(ServerError) {
        let contents = Contents(schema: Self.schema, groups: settings.groups, drains: settings.drains)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(contents) else { throw unwritable(EINVAL) }
        let bytes = Array(data) + [UInt8(ascii: "\n")]
        if unsafe mkdir(folder, 0o700) != 0, errno != EEXIST { throw unwritable(errno) }
        let temporary = path + ".new"
        // Left by a daemon that was killed.
        if unsafe unlink(temporary) != 0, errno != ENOENT { throw unwritable(errno) }
        let descriptor = unsafe rack_create(temporary)
        guard descriptor >= 0 else { throw unwritable(-descriptor) }
        var error: Int32 = fchmod(descriptor, 0o600) == 0 ? 0 : errno
        var written = 0
        while error == 0, written < bytes.count {
            let count = unsafe bytes[written...].withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 { written += count } else if count == 0 || errno != EINTR { error = count == 0 ? EIO : errno }
        }
        if error == 0, fsync(descriptor) != 0 { error = errno }
        close(descriptor)
        if error == 0, unsafe rename(temporary, path) != 0 { error = errno }
        guard error == 0 else {
            unsafe unlink(temporary)
            throw unwritable(error)
        }
        let directory = unsafe rack_open(folder, O_RDONLY | O_DIRECTORY)
        guard directory >= 0 else { throw unwritable(-directory) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw unwritable(errno) }
    }

    private func unwritable(_ errorNumber: Int32) -> ServerError {
        ServerError(
            operation: "keep", object: path, cause: systemText(errorNumber),
            advice: "nothing was changed; give storaged a state directory it can write (--state-directory)")
    }
}
