import Foundation

/// A command with its options and subcommands, as swift-argument-parser describes it (`--experimental-dump-help`, serialization
/// version 0). Only what a manual needs of it.
struct CommandDescription: Decodable {
    /// An argument, option or flag.
    struct Argument: Decodable {
        enum Kind: String, Decodable {
            case positional, option, flag
        }

        struct Name: Decodable {
            enum Kind: String, Decodable {
                case long, short, longWithSingleDash
            }

            var kind: Kind
            var name: String
        }

        var kind: Kind
        var shouldDisplay: Bool
        var isOptional: Bool
        var isRepeating: Bool
        var names: [Name]?
        var valueName: String?
        var defaultValue: String?
        var allValues: [String]?
        var abstract: String?
        var discussion: String?
    }

    var shouldDisplay: Bool?
    var commandName: String
    var abstract: String?
    var discussion: String?
    var subcommands: [CommandDescription]?
    var arguments: [Argument]?

    private struct Document: Decodable {
        var serializationVersion: Int
        var command: CommandDescription
    }

    /// Decodes a dump.
    ///
    /// - Throws: `DecodingError` for anything that is not version 0 of it.
    static func read(_ dump: String) throws -> CommandDescription {
        let document = try JSONDecoder().decode(Document.self, from: Data(dump.utf8))
        guard document.serializationVersion == 0 else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: [], debugDescription: "serialization version \(document.serializationVersion)"))
        }
        return document.command
    }

    /// Options and arguments that are shown, without those that every command has.
    var ownArguments: [Argument] {
        (arguments ?? []).filter { argument in
            argument.shouldDisplay && !(argument.names ?? []).contains { ["help", "version"].contains($0.name) }
        }
    }

    /// Subcommands that are shown, without `help`.
    var ownSubcommands: [CommandDescription] {
        (subcommands ?? []).filter { ($0.shouldDisplay ?? true) && $0.commandName != "help" }
    }
}
