import ArgumentParser

/// The program: exports files and block devices as iSCSI targets.
@main
struct Program: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "storaged",
        abstract: "Exports backing files and block devices as iSCSI targets.",
        discussion: """
            Exit codes: 0 done; 1 failed; 10 no permission; 11 the inventory is wrong, or this host is not in it; 12 a file, \
            folder or address is missing; 13 a portal or file is in use; 14 a size is not the one declared; 64 usage. \
            `status`: 0 healthy, 1 warning, 2 critical, 3 unknown.
            """,
        version: programVersion,
        subcommands: [
            RunCommand.self, ExportCommand.self, CheckCommand.self, StatusCommand.self, ReloadCommand.self,
            UnitCommand.self, AluaCommand.self, DrainCommand.self, UndrainCommand.self,
            FaultCommand.self, SecretCommand.self,
        ])
}

/// What `--version` prints.
let programVersion = "0.1.0"
