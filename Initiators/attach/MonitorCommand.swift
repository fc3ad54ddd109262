import ArgumentParser
import CSystemd
import Glibc
import Stack

/// `attach monitor`.
struct MonitorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "monitor",
        abstract: "Watch the paths of this host's maps, in the foreground; 'up' starts it.",
        discussion: "SIGHUP reads the inventory again. SIGTERM ends it, and queueing with it.")

    @OptionGroup var options: InventoryOptions
    @Flag(name: .long, help: "Print the systemd unit that runs it, and end.")
    var printUnit = false

    func run() async throws {
        try await Frame.run {
            let scope = try options.loadScope()
            let command = options.monitorCommand(clientName: scope.client.name)
            if printUnit {
                Console.out(StackLayers.monitorUnit(command))
                return
            }
            try Frame.requireRoot("attach monitor")
            let options = options
            let watchdog = rack_systemd_watchdog_microseconds()
            // journald takes a priority from the start of a line.
            let forJournal = unsafe getenv("JOURNAL_STREAM") != nil
            let monitor = Monitor(
                context: StackContext(monitorCommand: command),
                loadScope: { try options.loadScope() },
                watchdogSeconds: watchdog > 0 ? Double(watchdog) / 1e6 : nil,
                notify: { state in _ = unsafe rack_systemd_notify(state) },
                log: { level, text in
                    let priority = forJournal ? (level == .warning ? "<4>" : "<5>") : ""
                    Console.error("\(priority)attach monitor: \(text)")
                })
            try await monitor.run()
        }
    }
}
