import Rack

/// The arguments with which every LVM command of attach runs.
///
/// `--config` turns lvmlockd on and shows LVM the wanted maps only, so the host's lvm.conf and its own groups are left
/// alone, and a raw path is never taken for a physical volume.
package enum LVMCommand {
    /// `--config TEXT` for these maps.
    package static func configuration(devices: [String]) -> [String] {
        let accepted = devices.map { "\"a|^\(pattern($0))$|\"" }
        let filter = "[" + (accepted + ["\"r|.*|\""]).joined(separator: ",") + "]"
        return [
            "--config",
            "global/use_lvmlockd=1 global/event_activation=0 devices/use_devicesfile=0 devices/filter=\(filter) "
                + "devices/global_filter=\(filter)",
        ]
    }

    /// The maps of a group.
    package static func devices(_ group: VolumeGroup, _ inventory: Inventory) -> [String] {
        inventory.volumes(of: group).map(\.mapPath)
    }

    /// `lvm SUBCOMMAND --config ... ARGUMENTS`.
    package static func arguments(_ subcommand: String, devices: [String], _ arguments: [String]) -> [String] {
        [subcommand] + configuration(devices: devices) + arguments
    }

    /// A report: JSON, bytes, no locks taken, so that it answers when the locks are blocked. `--readonly`, which says the
    /// same of itself, hangs then (LVM 2.03.16, tried with a lost client); `--nolocking` does not.
    package static func report(_ subcommand: String, fields: [String], devices: [String], _ rest: [String] = [])
        -> [String]
    {
        arguments(
            subcommand, devices: devices,
            [
                "--nolocking", "--reportformat", "json", "--units", "b", "--nosuffix", "-o",
                fields.joined(separator: ","),
            ]
                + rest)
    }

    /// The rows of a JSON report, whatever their kind; nil when the text is none.
    package static func rows(_ text: String) -> [[String: String]]? {
        guard let reports = JSONValue(parsing: text)?["report"]?.elements else { return nil }
        var rows: [[String: String]] = []
        for case .object(let kinds) in reports {
            for case .array(let elements) in kinds.map(\.value) {
                for case .object(let members) in elements {
                    rows.append(
                        Dictionary(
                            members.compactMap { member in member.value.text.map { (member.name, $0) } },
                            uniquingKeysWith: { $1 }))
                }
            }
        }
        return rows
    }

    /// A path as a regular expression: everything that is not a letter, digit or one of `/_-` in a bracket.
    package static func pattern(_ path: String) -> String {
        path.map { character in
            character.isLetter || character.isNumber || "/_-".contains(character) ? "\(character)" : "[\(character)]"
        }.joined()
    }

    /// The last line of an LVM command's words that is no warning, without LVM's indent.
    package static func reason(_ result: CommandResult) -> String {
        let lines = result.standardError.split(whereSeparator: \.isNewline).map { $0.trimmingBlanks() }
        let reason = lines.last { !$0.isEmpty && !$0.hasPrefix("WARNING") && !$0.contains("without a lock") }
        guard let reason else { return result.lastWords }
        return reason.hasSuffix(".") ? String(reason.dropLast()) : reason
    }
}

/// A signature that `wipefs --no-act --json` found on a device.
package struct DeviceSignature: Sendable, Equatable {
    /// `ext4`, `LVM2_member`, `gpt`.
    package var type: String
    /// Where it lies, hexadecimal.
    package var offset: String
    /// Its UUID, if it has one.
    package var uuid: String?
    /// Its label, if it has one.
    package var label: String?

    package init(type: String, offset: String, uuid: String?, label: String?) {
        self.type = type
        self.offset = offset
        self.uuid = uuid
        self.label = label
    }

    /// `ext4 "backup" at 0x438`.
    package var description: String { type + (label.map { " \"\($0)\"" } ?? "") + " at \(offset)" }

    /// Parses the output; nil when it is not JSON. A device without signatures prints an empty list or nothing.
    package static func parse(_ text: String) -> [DeviceSignature]? {
        if text.allSatisfy(\.isWhitespace) { return [] }
        guard let elements = JSONValue(parsing: text)?["signatures"]?.elements else { return nil }
        return elements.map { element in
            DeviceSignature(
                type: element["type"]?.text ?? "?", offset: element["offset"]?.text ?? "?",
                uuid: element["uuid"]?.text, label: element["label"]?.text)
        }
    }

    /// Looks at a device without changing it.
    package static func probe(_ device: String, _ commands: CommandRunner) async throws -> [DeviceSignature] {
        let result = try await commands.run("wipefs", ["--no-act", "--json", device], deadlineSeconds: 20)
        guard result.isSuccess, let found = parse(result.standardOutput) else {
            throw StackError(
                .failed, object: device, cause: "could not be looked at: \(result.lastWords)",
                advice: "try it by hand: wipefs --no-act \(device)")
        }
        return found
    }
}
