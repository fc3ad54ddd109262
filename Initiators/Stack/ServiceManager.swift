import HostDevices
import Rack

/// systemd, where it is the host's service manager: attach's own units, and what attach must not wait for.
///
/// A host that goes down has to take the stack down first, in the stack's own order, while the network, iscsid and the
/// cluster's daemons still work: Debian's units for those know nothing of each other, and each of the wrong orders hangs. So
/// `up`, however it was called, leaves a unit behind that does nothing but to be stopped before all of them, and whose
/// stop is `attach down`. The cost is one more unit; what was turned down is to let only the boot unit do it, because a stack
/// that was brought up by hand, or by a boot that failed halfway, would be left out.
package struct ServiceManager: Sendable {
    /// The unit that `attach unit` prints: `up` at boot.
    package static let bootUnit = "attach.service"
    /// The unit that `up` makes: `down` before the host goes down.
    package static let shutdownUnit = "attach-shutdown.service"
    /// The name of that unit's object in the sessions layer.
    package static let objectName = shutdownUnit

    private let context: StackContext

    package init(_ context: StackContext) { self.context = context }

    /// Whether systemd waits for this very process with the stop of other units.
    ///
    /// It does where attach is the `ExecStop=` of one of its units, or the host goes down: the units that attach's come after
    /// are stopped only once attach has ended. To wait for `systemctl stop` of one of them is then to wait for oneself.
    package func waitsForUs() async -> Bool {
        guard context.folders.systemdRuns else { return false }
        if isInOwnUnit { return true }
        let state = try? await context.commands.run("systemctl", ["is-system-running"], deadlineSeconds: 10)
        return state?.standardOutput.trimmingBlanks() == "stopping"
    }

    /// Whether this process belongs to the boot or the shutdown unit, by its control group.
    private var isInOwnUnit: Bool {
        let groups = context.files.text("/proc/self/cgroup") ?? ""
        return groups.split(whereSeparator: \.isNewline).contains { line in
            let name = line.split(separator: "/").last.map(String.init)
            return name == Self.bootUnit || name == Self.shutdownUnit
        }
    }

    // MARK: - The shutdown unit

    /// The shutdown unit as an object of the sessions layer; nil where no systemd runs.
    package func observe() async -> ObservedObject? {
        guard context.folders.systemdRuns else { return nil }
        var object = ObservedObject(
            layer: .sessions, name: Self.objectName, state: .absent,
            detail: "nothing takes the stack down before this host goes down", facts: ["kind": "aux"])
        guard fileExists(unitFile) else { return object }
        object.facts["unit"] = "yes"
        let answer = try? await context.commands.run(
            "systemctl", ["is-active", Self.shutdownUnit], deadlineSeconds: 10)
        if answer?.isSuccess ?? false {
            object.state = .present
            object.detail = ""
        }
        return object
    }

    /// The step that makes the unit; nil when it is there, and where no systemd runs.
    package func guardStep(_ observation: StackObservation, group: Int) -> Step? {
        guard let object = observation.object(.sessions, Self.objectName), object.state != .present else { return nil }
        let context = context
        return Step(
            layer: .sessions, name: "have systemd take the stack down before a shutdown", object: Self.objectName,
            deadlineSeconds: 45, group: group
        ) {
            try await start(Self.shutdownUnit, Self.shutdownUnitText(context.command("down", ["--at-shutdown"])))
            return .created
        }
    }

    /// The step that takes the unit away, when nothing is left to be taken down; nil when there is none.
    package func releaseStep(_ observation: StackObservation, group: Int) -> Step? {
        guard observation.object(.sessions, Self.objectName)?.facts["unit"] == "yes" else { return nil }
        let context = context
        return Step(
            layer: .sessions, name: "release the shutdown", object: Self.objectName, deadlineSeconds: 45, group: group
        ) {
            removeFile(unitFile)
            // Their stops call `attach down` again, which without this copy has nothing to do. They are not waited for: we may
            // be one of them. The boot unit stops as well, so that `systemctl start attach` brings up what was taken down
            // by hand; where it is not installed that fails, and says nothing.
            context.folders.forgetInventory()
            try await context.commands.check(
                "systemctl", ["stop", "--no-block", Self.shutdownUnit], deadlineSeconds: 20)
            try await context.commands.run("systemctl", ["stop", "--no-block", Self.bootUnit], deadlineSeconds: 20)
            return .removed
        }
    }

    private var unitFile: String { "\(context.folders.systemdUnits)/\(Self.shutdownUnit)" }

    /// Writes a unit that lasts until the host goes down, and starts it.
    ///
    /// systemd finds a new file by itself; it is made to read all of its units again, which takes seconds on a busy host, only
    /// where it knows the unit by an older text, or does not find it (before version 246).
    package func start(_ unit: String, _ text: String) async throws {
        try makeFolder(context.folders.systemdUnits)
        try writeFileAtomically("\(context.folders.systemdUnits)/\(unit)", text)
        let known = try await context.commands.run(
            "systemctl", ["show", "--property", "LoadState,NeedDaemonReload", unit], deadlineSeconds: 20)
        let isCurrent = known.standardOutput.contains("LoadState=loaded") && known.standardOutput.contains("Reload=no")
        if !isCurrent { try await context.commands.check("systemctl", ["daemon-reload"], deadlineSeconds: 30) }
        try await context.commands.check("systemctl", ["start", unit], deadlineSeconds: 30)
    }

    // MARK: - Texts

    /// What the stack needs for as long as it is up: stopped after attach's units, started before them where both are to start.
    private static let needs =
        "network.target network-online.target systemd-udevd.service iscsid.service open-iscsi.service multipathd.service "
        + "blk-availability.service corosync.service dlm.service lvmlockd.service"
    /// What may need the stack: mounts of the network and all that waits for them, logins included.
    private static let users = "remote-fs-pre.target remote-fs.target"

    /// A command as systemd takes it: in double quotes, with % and $ doubled.
    package static func commandLine(_ command: [String]) -> String {
        command.map { word in
            "\""
                + word.map { $0 == "%" || $0 == "$" ? "\($0)\($0)" : $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }
                .joined()
                + "\""
        }.joined(separator: " ")
    }

    /// The unit whose stop is `attach down`.
    package static func shutdownUnitText(_ down: [String]) -> String {
        """
        # Written by attach up, removed by attach down.
        [Unit]
        Description=Takes the shared storage down before this host goes down
        Documentation=man:attach(8)
        DefaultDependencies=no
        Conflicts=shutdown.target
        Wants=remote-fs-pre.target
        After=\(needs)
        Before=\(users) \(bootUnit) shutdown.target

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStop=\(commandLine(down))
        TimeoutStopSec=\(downDeadlineSeconds)

        """
    }

    /// The unit that brings the stack up at boot.
    package static func bootUnitText(_ scope: StackScope, up: [String], down: [String]) -> String {
        """
        [Unit]
        Description=Shared storage of rack \(scope.inventory.name) for \(scope.client.name)
        Documentation=man:attach(8) man:rack.yaml(5)
        Wants=network-online.target remote-fs-pre.target
        After=\(needs)
        Before=\(users)
        StartLimitIntervalSec=0

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=\(commandLine(up))
        ExecStop=\(commandLine(down))
        # The boot goes on after a first failure. Storage hosts may come back later than this one, so it is tried again; not so
        # where the same would be found again: root, inventory, programs, things in use, contradictions, usage.
        Restart=on-failure
        RestartSec=15
        RestartPreventExitStatus=10 11 12 13 14 64
        # Each step has a deadline of its own; these are for a host on which nothing moves any more.
        TimeoutStartSec=\(upDeadlineSeconds)
        TimeoutStopSec=\(downDeadlineSeconds)

        [Install]
        WantedBy=multi-user.target

        """
    }

    /// Longer than a large file system takes to be made.
    private static let upDeadlineSeconds = 1800
    /// Unmounting waits 90 s, a logout 60 s, each daemon 30 s.
    private static let downDeadlineSeconds = 300
}
