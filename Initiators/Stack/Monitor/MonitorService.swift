import Glibc
import Rack

/// The path daemon as a service of this host: seen, started, told and ended by `up` and `down`.
struct MonitorService: Sendable {
    /// The name of its systemd unit.
    static let unitName = "attach-monitor.service"
    /// The name of its object in the maps layer.
    static let objectName = "monitor"

    private let context: StackContext

    init(_ context: StackContext) { self.context = context }

    /// What the monitor does now, as an object of the maps layer.
    func observe(_ scope: StackScope) -> ObservedObject {
        var object = ObservedObject(
            layer: .maps, name: Self.objectName, state: .absent, detail: "not running: failed paths stay failed",
            facts: ["kind": "aux"])
        if fileExists(unitFile) { object.facts["unit"] = "yes" }
        guard let holder = RunLock.holder(path: context.folders.monitorLockFile) else { return object }
        object.facts["pid"] = "\(holder.pid)"
        object.detail = ""
        let state = MonitorState.read(path: context.folders.monitorStateFile)
        guard let state, state.pid == holder.pid, state.isReady else {
            object.state = .degraded
            object.detail = "starting"
            return object
        }
        object.facts["ready"] = "yes"
        object.facts["written"] = "\(state.writtenSeconds)"
        object.state = .present
        if state.inventory != scope.fingerprint {
            object.state = .degraded
            object.detail = "works from another inventory"
            object.facts["reload"] = "yes"
        } else if time(nil) - state.writtenSeconds > 30 {
            object.state = .degraded
            object.detail = "has not written its state for \(time(nil) - state.writtenSeconds) s"
        }
        return object
    }

    /// The step that starts the monitor, or makes it read the inventory again; nil when neither is needed.
    func startStep(_ observation: StackObservation, group: Int) -> Step? {
        let object = observation.object(.maps, Self.objectName)
        let context = context
        if object?.facts["reload"] == "yes", let pid = object?.facts["pid"].flatMap({ Int32($0) }) {
            return Step(
                layer: .maps, name: "make the monitor read the inventory again", object: Self.objectName,
                deadlineSeconds: 30, group: group
            ) {
                kill(pid, SIGHUP)
                // It reads the file, checks all paths once and writes its state.
                try await Task.sleep(for: .seconds(1))
                return .changed
            }
        }
        guard object?.facts["pid"] == nil else { return nil }
        return Step(
            layer: .maps, name: "start the monitor", object: Self.objectName, deadlineSeconds: 40, group: group
        ) {
            guard let program = context.monitorCommand.first else {
                throw StackError(
                    .failed, object: Self.objectName, cause: "no program to start", advice: "run attach up")
            }
            try makeFolder(context.folders.run)
            var pid: Int32?
            if context.folders.systemdRuns {
                try await ServiceManager(context).start(Self.unitName, Self.unitText(context.monitorCommand))
            } else {
                pid = try await context.commands.startDaemon(
                    program, Array(context.monitorCommand.dropFirst()), logFile: context.folders.monitorLogFile)
            }
            for _ in 0..<300 {
                if let state = MonitorState.read(path: context.folders.monitorStateFile), state.isReady {
                    return .created
                }
                if let pid, case .ended = DaemonProcess.state(of: pid) { break }
                try await Task.sleep(for: .milliseconds(100))
            }
            let log = readTextFile(context.folders.monitorLogFile) ?? ""
            let words = log.split(whereSeparator: \.isNewline).last.map(String.init)
            throw StackError(
                .failed, object: Self.objectName, cause: words ?? "it did not become ready",
                advice: "start it by hand and look: \(context.monitorCommand.joined(separator: " "))")
        }
    }

    /// The step that ends the monitor; nil when it does not run and left nothing.
    func stopStep(_ observation: StackObservation, group: Int) -> Step? {
        let object = observation.object(.sessions, Self.objectName)
        let hasUnit = object?.facts["unit"] == "yes"
        let pid = object?.facts["pid"].flatMap { Int32($0) }
        guard hasUnit || pid != nil else { return nil }
        let context = context
        return Step(
            layer: .sessions, name: "end the monitor", object: Self.objectName, deadlineSeconds: 30, group: group
        ) {
            if hasUnit {
                try await context.commands.check("systemctl", ["stop", Self.unitName], deadlineSeconds: 20)
                // systemd forgets a unit that does not run and has no file.
                removeFile(unitFile)
            }
            if let holder = RunLock.holder(path: context.folders.monitorLockFile) {
                guard await DaemonProcess.end(holder.pid) else {
                    throw StackError(
                        .failed, object: Self.objectName, cause: "process \(holder.pid) does not end",
                        advice: "see what it waits for: cat /proc/\(holder.pid)/stack")
                }
            }
            for file in [
                context.folders.monitorStateFile, context.folders.monitorLogFile, context.folders.monitorLockFile,
            ] {
                removeFile(file)
            }
            return .removed
        }
    }

    private var unitFile: String { "\(context.folders.systemdUnits)/\(Self.unitName)" }

    /// The systemd unit that runs the monitor.
    static func unitText(_ command: [String]) -> String {
        """
        [Unit]
        Description=Path daemon of the multipath maps that attach made
        Documentation=man:attach(8)
        DefaultDependencies=no
        After=iscsid.service systemd-udevd.service
        Before=remote-fs-pre.target

        [Service]
        Type=notify
        ExecStart=\(ServiceManager.commandLine(command))
        ExecReload=/bin/kill -HUP $MAINPID
        Restart=on-failure
        RestartSec=1
        WatchdogSec=30
        OOMScoreAdjust=-900
        KillMode=process

        """
    }
}

extension StackScope {
    /// Tells one inventory from another, as far as paths and maps go: a hash (FNV-1a) of what the monitor works from.
    var fingerprint: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ text: String) {
            for byte in text.utf8 + [0] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        add(client.initiatorName)
        let timeouts = inventory.timeouts
        add("\(timeouts.pathCheckSeconds) \(timeouts.recoverySeconds)")
        if let authentication = inventory.authentication {
            let algorithms = authentication.algorithms.map(\.rawValue).joined(separator: ",")
            add("chap \(authentication.isMutual) \(algorithms) \(authentication.secretsFolder)")
        }
        for volume in inventory.volumes(seenBy: client.name) {
            add("\(volume.mapUUID) \(volume.name) \(volume.targetName) \(volume.sizeBytes ?? 0)")
            add("\(volume.multipath.grouping) \(volume.multipath.selector) \(volume.multipath.queueSeconds)")
            for portal in inventory.portals(of: volume) {
                add("\(portal.hostName) \(portal.portal.endpoint) \(portal.tag)")
            }
        }
        return String(hash, radix: 16)
    }
}
