import ArgumentParser
import Stack

/// `attach unit`.
struct UnitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unit",
        abstract: "Print a systemd unit that brings the stack up at boot and takes it down before a shutdown.",
        discussion: """
            attach unit > /etc/systemd/system/attach.service
            systemctl disable --now corosync dlm lvmlockd lvmlocks
            systemctl daemon-reload && systemctl enable attach

            The second line is for Debian, whose packages start the cluster's daemons at every boot, with an example's \
            configuration; attach starts and stops them itself. A stack that 'attach up' brought up by hand is taken \
            down before a shutdown as well, by a unit that 'up' makes and 'down' removes.
            """)

    @OptionGroup var options: InventoryOptions

    func run() async throws {
        try await Frame.run {
            let scope = try options.loadScope()
            let context = StackContext(monitorCommand: options.monitorCommand(clientName: scope.client.name))
            Console.out(StackLayers.bootUnit(scope, context))
        }
    }
}
