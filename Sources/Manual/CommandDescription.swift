import Foundation

/// A command with its options and subcommands, as swift-argument-parser describes it (`--experimental-dump-help`, serialization
/// version 0). Only what a manual needs of it.
package struct CommandDescription: Decodable {
    /// An argument, option or flag.
    package struct Argument: Decodable {
        package enum Kind: String, Decodable {
            case positional, option, flag
        }

        package struct Name: Decodable {
            package enum Kind: String, Decodable {
                case long, short, longWithSingleDash
            }

            package var kind: Kind
            package var name: String
        }

        package var kind: Kind
        package var shouldDisplay: Bool
        package var isOptional: Bool
        package var isRepeating: Bool
        package var names: [Name]?
        package var valueName: String?
        package var defaultValue: String?
        package var allValues: [String]?
        package var abstract: String?
        package var discussion: String?
    }

    package var shouldDisplay: Bool?
    package var commandName: String
    package var abstract: String?
    package var discussion: String?
    package var subcommands: [CommandDescription]?
    package var arguments: [Argument]?

    private struct Document: Decodable {
        var serializationVersion: Int
        var command: CommandDescription
    }

    /// Decodes a dump.
    ///
    /// - Throws: `DecodingError` for anything that is not version 0 of it.
    package static func read(_ dump: String) throws -> CommandDescription {
        let document = try JSONDecoder().decode(Document.self, from: Data(dump.utf8))
        guard document.serializationVersion == 0 else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: [], debugDescription: "serialization version \(document.serializationVersion)"))
        }
        return document.command
    }

    /// Options and arguments that are shown, without those that every command has.
    package var ownArguments: [Argument] {
        (arguments ?? []).filter { argument in
            argument.shouldDisplay && !(argument.names ?? []).contains { ["help", "version"].contains($0.name) }
        }
    }

    /// Subcommands that are shown, without `help`.
    package var ownSubcommands: [CommandDescription] {
        (subcommands ?? []).filter { ($0.shouldDisplay ?? true) && $0.commandName != "help" }
    }
}
