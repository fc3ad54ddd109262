import ArgumentParser

/// `attach`: the client's side of a rack.
@main
struct AttachCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Attach this host to a rack's shared storage: paths, maps, volume group, filesystem.",
        discussion: """
            Exit codes: 0 done; 1 failed; 10 not root; 11 the inventory is wrong or this host is not in it; 12 a program \
            or kernel module is missing; 13 something is in use (the holders are named); 14 what was found contradicts \
            the inventory; 15 a deadline passed; 16 no path to a volume; 17 another run is under way; 18 this client's CHAP secrets \
            are missing, too short or open to others; 64 usage. \
            'status' answers like a monitoring plugin: 0 healthy, 1 degraded, 2 down, 3 unknown.
            """,
        subcommands: [
            DiscoverCommand.self, PlanCommand.self, UpCommand.self, DownCommand.self, StatusCommand.self,
            MonitorCommand.self,
        ])
}
