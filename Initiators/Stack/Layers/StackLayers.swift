/// The one place where the stack is put together.
public enum StackLayers {
    /// All layers, lowest first.
    public static func all(_ context: StackContext) -> [any Layer] {
        [
            SessionsLayer(context), PathsLayer(context), MapsLayer(context),
            MembershipLayer(context), LocksLayer(context), VolumeGroupLayer(context), LogicalVolumeLayer(context),
            FilesystemLayer(context),
        ]
    }

    /// The systemd unit that brings the stack up at boot and takes it down again.
    ///
    /// - Parameter context: Its `monitorCommand` names the program and its options.
    public static func bootUnit(_ scope: StackScope, _ context: StackContext) -> String {
        ServiceManager.bootUnitText(scope, up: context.command("up"), down: context.command("down", ["--if-up"]))
    }

    /// The systemd unit that runs the monitor by this command.
    public static func monitorUnit(_ command: [String]) -> String { MonitorService.unitText(command) }
}
