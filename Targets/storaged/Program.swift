import ArgumentParser

/// The program: exports files and block devices as iSCSI targets.
@main
struct Program: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "storaged",
        abstract: "Exports backing files and block devices as iSCSI targets.",
        discussion: storagedReference.helpText,
        version: programVersion,
        subcommands: [
            RunCommand.self, ExportCommand.self, CheckCommand.self, StatusCommand.self, ReloadCommand.self,
            UnitCommand.self, AluaCommand.self, DrainCommand.self, UndrainCommand.self,
            FaultCommand.self, SecretCommand.self, ManCommand.self,
        ])
}

/// What `--version` prints.
let programVersion = "0.1.0"
