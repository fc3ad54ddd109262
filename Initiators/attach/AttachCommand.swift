import ArgumentParser

/// `attach`: the client's side of a rack.
@main
struct AttachCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Attach this host to a rack's shared storage: paths, maps, volume group, filesystem.",
        discussion: attachReference.helpText,
        subcommands: [
            DiscoverCommand.self, PlanCommand.self, UpCommand.self, DownCommand.self, StatusCommand.self,
            MonitorCommand.self, UnitCommand.self, ManCommand.self,
        ])
}
