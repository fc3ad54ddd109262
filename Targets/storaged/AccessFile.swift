import ArgumentParser
import FoundationEssentials
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
/// `state` has the names of `storaged alua`, `kind` is host, volume, portal or initiator. Without the file nothing was ever
/// changed.
struct AccessFile: Sendable {
    private static let schema = "storaged.alua/1"
    /// No such file is longer.
    private static let limitBytes = 4 << 20

    private let file: StateFile

    /// The file of a host.
    init(folder: String, hostName: String) { file = StateFile(folder: folder, name: "alua-\(hostName).json") }

    private struct Contents: Codable {
        var schema: String
        var groups: [AccessSettings.Group]
        var drains: [DrainScope]
    }

    /// What was kept. A file that cannot be read or understood is an error: a drained host must not come back by itself.
    func read() throws(CommandFailure) -> AccessSettings {
        let found: [UInt8]?
        switch file.read(limitBytes: Self.limitBytes) {
        case .success(let bytes): found = bytes
        case .failure(let error): throw unreadable(error.description)
        }
        guard let bytes = found else { return AccessSettings() }
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
            "state file \(file.path): \(cause); make it readable, or remove it, which undrains everything and makes every port "
                + "group active/optimized")
    }

    /// Puts settings on stable storage.
    func write(_ settings: AccessSettings) throws(ServerError) {
        let contents = Contents(schema: Self.schema, groups: settings.groups, drains: settings.drains)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(contents) else {
            throw ServerError(
                operation: "keep", object: file.path, cause: "it cannot be written as JSON",
                advice: "nothing was changed")
        }
        try file.write(Array(data) + [UInt8(ascii: "\n")])
    }
}
