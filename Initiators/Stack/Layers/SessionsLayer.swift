import HostDevices
import Rack

/// The lowest layer: a session of the kernel's iSCSI initiator to every portal of every wanted volume.
///
/// iscsiadm and iscsid are the engine. Nodes are declared from the inventory, not discovered, so only what is declared
/// is ever logged in to, and they are of manual startup, so nothing comes back by itself after a reboot. What is there
/// is read from sysfs, which also answers when iscsid does not.
public struct SessionsLayer: Layer {
    private let context: StackContext

    /// The layer on this host.
    public init(_ context: StackContext) { self.context = context }

    /// `sessions`.
    public var kind: LayerKind { .sessions }

    // MARK: - Looking

    /// One object a wanted session (`10.77.0.21:3260 mpath0`), then leftovers, then `iscsid`, the monitor and the shutdown unit.
    public func observe(_ scope: StackScope) async -> [ObservedObject] {
        let sessions = ISCSISession.all(files: context.files)
        let interface = ISCSIAdmin.interfaceName(scope.inventory)
        var objects = scope.paths.map { path in
            var object = Self.describe(path, sessions, scope)
            object.facts["record"] = hasRecord(path.volume.targetName, path.portal.portal.endpoint) ? "yes" : "no"
            return object
        }
        let declared = Set(
            scope.inventory.volumes(seenBy: scope.client.name).flatMap { volume in
                scope.inventory.portals(of: volume).map { OwnedObject.session(volume, $0) }
            })
        for owned in context.owned.sorted(by: { ($0.name, $0.identity) < ($1.name, $1.identity) })
        where owned.kind == .session && !declared.contains(owned) {
            let session = sessions.first { Self.endpoint($0) == owned.identity && $0.targetName == owned.name }
            let record = hasRecord(owned.name, owned.identity)
            guard session != nil || record else { continue }
            objects.append(
                ObservedObject(
                    layer: .sessions, name: "\(owned.identity) \(owned.name)", state: .wrong,
                    detail: "made by attach, no longer in the inventory",
                    facts: [
                        "leftover": "yes", "target": owned.name, "endpoint": owned.identity,
                        "record": record ? "yes" : "no", "session": session.map { "\($0.number)" } ?? "",
                    ]))
        }
        objects.append(observeDaemon(sessionCount: sessions.count))
        // `down` ends the monitor here, after the maps that it watches.
        var monitor = MonitorService(context).observe(scope)
        monitor.layer = .sessions
        objects.append(monitor)
        if let shutdown = await ServiceManager(context).observe() { objects.append(shutdown) }
        if hasInterface(interface) {
            objects.append(
                ObservedObject(
                    layer: .sessions, name: "interface \(interface)", state: .present, facts: ["kind": "aux"]))
        }
        return objects
    }

    /// The session of a wanted path, among those there are.
    static func session(for path: WantedPath, in sessions: [ISCSISession]) -> ISCSISession? {
        let portal = path.portal.portal
        return sessions.first { session in
            session.targetName == path.volume.targetName
                && session.connections.contains { connection in
                    (connection.persistentAddress == portal.address
                        && connection.persistentPort ?? 3260 == Int(portal.port))
                        || (connection.address == portal.address && connection.port ?? 3260 == Int(portal.port))
                }
        }
    }

    static func endpoint(_ session: ISCSISession) -> String {
        guard let portal = session.portal else { return "" }
        return portal.address.contains(":") ? "[\(portal.address)]:\(portal.port)" : "\(portal.address):\(portal.port)"
    }

    private static func describe(_ path: WantedPath, _ sessions: [ISCSISession], _ scope: StackScope) -> ObservedObject
    {
        var object = ObservedObject(
            layer: .sessions, name: path.sessionName, parent: path.volume.name, state: .absent,
            facts: [
                "host": path.portal.hostName, "portal": path.portal.portal.address, "endpoint": path.endpoint,
                "network": path.portal.portal.network ?? "", "target": path.volume.targetName,
            ])
        guard let session = session(for: path, in: sessions) else { return object }
        object.facts["session"] = "\(session.number)"
        object.facts["session_state"] = session.state.description
        object.facts["initiator"] = session.initiatorName ?? ""
        object.facts["authentication"] = session.chapName == nil ? "none" : "chap"
        if session.chapName != nil { object.facts["mutual"] = session.targetChapName == nil ? "no" : "yes" }
        switch session.state {
        case .loggedIn: object.state = .present
        case .failed:
            object.state = .degraded
            object.detail = "the connection is lost; iscsid tries to reconnect"
        case .free:
            object.state = .degraded
            object.detail = "no connection for longer than the recovery timeout; iscsid goes on trying"
        case .other(let state):
            object.state = .degraded
            object.detail = "the session is \(state)"
        }
        if let missing = Self.missingProof(session, scope) {
            object.facts["unproven"] = "yes"
            if object.state == .present { object.detail = missing }
        }
        if let name = session.initiatorName, name != scope.client.initiatorName {
            object.state = .wrong
            object.detail = "logged in as \(name), not as \(scope.client.initiatorName)"
            object.facts["foreign"] = "yes"
        }
        return object
    }

    /// What a session lacks of the proofs that the inventory asks for: it was made before they were asked for.
    private static func missingProof(_ session: ISCSISession, _ scope: StackScope) -> String? {
        guard let authentication = scope.inventory.authentication else { return nil }
        if session.chapName == nil { return "logged in without CHAP, which the inventory asks for" }
        if authentication.isMutual, session.targetChapName == nil {
            return "logged in without a proof of the target's, which the inventory asks for"
        }
        return nil
    }

    private func observeDaemon(sessionCount: Int) -> ObservedObject {
        let pids = DaemonProcess.named("iscsid")
        let ours = context.startedDaemons()["iscsid"]
        var facts = ["kind": "aux", "sessions": "\(sessionCount)"]
        if let ours { facts["started_by_attach"] = "\(ours)" }
        if let pid = pids.first { facts["pid"] = "\(pid)" }
        return ObservedObject(
            layer: .sessions, name: "iscsid", state: pids.isEmpty ? .absent : .present,
            detail: pids.isEmpty && sessionCount > 0 ? "not running: a lost connection is not restored" : "",
            facts: facts)
    }

    private func hasRecord(_ target: String, _ endpoint: String) -> Bool {
        // open-iscsi names the folder ADDRESS,PORT,TAG, an IPv6 address without brackets.
        let plain = endpoint.filter { $0 != "[" && $0 != "]" }
        guard let colon = plain.lastIndex(of: ":") else { return false }
        let prefix = "\(plain[..<colon]),\(plain[plain.index(after: colon)...]),"
        return ISCSIAdmin.databaseFolders.contains { folder in
            context.files.entries("\(folder)/nodes/\(target)").contains { $0.hasPrefix(prefix) }
        }
    }

    private func hasInterface(_ name: String) -> Bool {
        ISCSIAdmin.databaseFolders.contains { context.files.exists("\($0)/ifaces/\(name)") }
    }

    // MARK: - Up

    /// open-iscsi, and the kernel's initiator.
    public func missing(_ scope: StackScope) -> [StackError] {
        context.missing(programs: ["iscsid", "iscsiadm", "modprobe"], modules: ["iscsi_tcp"])
    }

    /// Secrets that are missing, or that others could have read.
    public func obstaclesUp(_ scope: StackScope, _ observation: StackObservation) async -> [StackError] {
        do throws(StackError) {
            _ = try scope.loadSecrets()
            return []
        } catch {
            return [error]
        }
    }

    /// Shutdown unit, module, daemon, interface record, then all logins at once. A login may fail: `verifyUp` counts what is left.
    public func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        let interface = ISCSIAdmin.interfaceName(scope.inventory)
        var steps: [Step] = []
        var logins: [Step] = []
        for path in scope.paths {
            let object = observation.object(.sessions, path.sessionName)
            if object?.facts["foreign"] == "yes" {
                throw StackError(
                    .mismatch, object: path.sessionName, cause: object?.detail ?? "",
                    advice: "log that session out: iscsiadm -m session -r \(object?.facts["session"] ?? "N") -u")
            }
            guard object?.facts["session"] == nil else { continue }
            logins.append(login(path, scope))
        }
        if let step = ServiceManager(context).guardStep(observation, group: 0) { steps.append(step) }
        if let step = context.moduleStep(.sessions, ["iscsi_tcp"], group: 0) { steps.append(step) }
        if observation.object(.sessions, "iscsid")?.state != .present { steps.append(startDaemon()) }
        guard !logins.isEmpty else { return steps }
        if observation.object(.sessions, "interface \(interface)") == nil {
            steps.append(makeInterface(interface, scope))
        }
        return steps + logins
    }

    /// Stands for the process id of an iscsid that is being started.
    private static let aboutToStart: Int32 = -1

    private func startDaemon() -> Step {
        let context = context
        return Step(layer: .sessions, name: "start iscsid", object: "iscsid", deadlineSeconds: 30, group: 1) {
            if context.folders.systemdRuns {
                // By hand or by its socket: either way systemd has it, and only the service is ours to stop.
                try context.noteDaemon("iscsid", 0)
                try await context.commands.check("systemctl", ["start", "iscsid.service"], deadlineSeconds: 25)
                return .created
            }
            // Noted before it is there: a run that dies in between leaves an iscsid that is known to be ours.
            try context.noteDaemon("iscsid", Self.aboutToStart)
            let pid = try await context.commands.startDaemon(
                "iscsid", ["-f"], logFile: "\(context.folders.run)/iscsid.log")
            try context.noteDaemon("iscsid", pid)
            for _ in 0..<200 {
                if (readTextFile("/proc/net/unix") ?? "").contains("@ISCSIADM_ABSTRACT_NAMESPACE") { return .created }
                if case .ended = DaemonProcess.state(of: pid) { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            let words = (readTextFile("\(context.folders.run)/iscsid.log") ?? "").split(whereSeparator: \.isNewline)
                .last
            throw StackError(
                .failed, object: "iscsid", cause: words.map(String.init) ?? "it does not answer",
                advice: "start it by hand and look: iscsid -f -d 3")
        }
    }

    private func makeInterface(_ interface: String, _ scope: StackScope) -> Step {
        let context = context
        let initiatorName = scope.client.initiatorName
        return Step(
            layer: .sessions, name: "declare interface \(interface) as \(initiatorName)",
            object: "interface \(interface)", deadlineSeconds: 2 * ISCSIAdmin.recordsDeadlineSeconds, group: 2
        ) {
            let base = ["-m", "iface", "-I", interface, "-o"]
            let made = try await ISCSIAdmin.onRecords(context.commands, base + ["new"])
            guard made.isSuccess else {
                throw StackError(
                    .failed, object: interface, cause: ISCSIAdmin.reason(made), advice: "look: iscsiadm -m iface")
            }
            let set = try await ISCSIAdmin.onRecords(
                context.commands, base + ["update", "-n", "iface.initiatorname", "-v", initiatorName])
            guard set.isSuccess else {
                _ = try? await ISCSIAdmin.onRecords(context.commands, base + ["delete"])
                throw StackError(
                    .failed, object: interface, cause: "its initiator name was refused: \(ISCSIAdmin.reason(set))",
                    advice: "look: iscsiadm -m iface -I \(interface)")
            }
            return .created
        }
    }

    /// The step that declares and logs in one session; the monitor takes it as well, for a portal that was down.
    func login(_ path: WantedPath, _ scope: StackScope) -> Step {
        let context = context
        let interface = ISCSIAdmin.interfaceName(scope.inventory)
        let settings = ISCSIAdmin.nodeSettings(scope.inventory.timeouts)
        return Step(
            layer: .sessions, name: "log in \(path.volume.name) via \(path.endpoint)", object: path.sessionName,
            deadlineSeconds: ISCSIAdmin.loginDeadlineSeconds + 2 * ISCSIAdmin.recordsDeadlineSeconds, group: 3,
            toleratesFailure: true
        ) {
            let authentication = try scope.authentication(for: path.volume)
            if let session = Self.session(for: path, in: ISCSISession.all(files: context.files)) {
                guard Self.isOutdated(session, path, scope, context.files) else { return .alreadyThere }
                try await Self.logOut(session, of: path, context)
            }
            let owned = OwnedObject.session(path.volume, path.portal)
            try context.journal?.own(owned)
            let record = ISCSIAdmin.recordArguments(path, interface: interface)
            let declared = try await ISCSIAdmin.onRecords(context.commands, record + ["-o", "new"])
            guard declared.isSuccess else {
                throw StackError(
                    .failed, object: path.sessionName, cause: ISCSIAdmin.reason(declared),
                    advice: "look: iscsiadm -m node")
            }
            let assignments = settings.flatMap { ["-n", $0.name, "-v", $0.value] }
            let set = try await ISCSIAdmin.onRecords(
                context.commands, record + ["-o", "update"] + assignments)
            guard set.isSuccess else {
                throw StackError(
                    .failed, object: path.sessionName, cause: "its settings were refused: \(ISCSIAdmin.reason(set))",
                    advice: "look: iscsiadm -m node -T \(path.volume.targetName)")
            }
            let result: StepOutcome
            do {
                result = try await Self.logIn(path, scope, record, authentication, interface, context)
            } catch {
                // Nothing half done: the record goes again, and with it the retries of a login that did not work.
                await Self.deleteRecord(record, context)
                throw error
            }
            return result
        }
    }

    /// Whether a session is down and was made with other secrets than this client has by now: iscsid, which keeps the ones
    /// that it was given, would be refused for ever.
    static func isOutdated(
        _ session: ISCSISession, _ path: WantedPath, _ scope: StackScope, _ files: HostFiles
    ) -> Bool {
        guard session.state != .loggedIn, session.initiatorName == scope.client.initiatorName,
            let authentication = try? scope.authentication(for: path.volume),
            let file = NodeRecordFile(path, interface: ISCSIAdmin.interfaceName(scope.inventory), files: files)
        else { return false }
        return !file.has(authentication)
    }

    private static func logOut(
        _ session: ISCSISession, of path: WantedPath, _ context: StackContext
    ) async throws(StackError) {
        if let used = use(of: session) {
            throw StackError(
                .busy, object: path.sessionName,
                cause: "it is down and has secrets of before; its device \(used.device) is held by \(used.holders)",
                advice: "where another path works, the monitor takes it out of its map first; else attach down and up")
        }
        let result = try await context.commands.run(
            "iscsiadm", ["-m", "session", "-r", "\(session.number)", "-u"],
            deadlineSeconds: ISCSIAdmin.logoutDeadlineSeconds)
        guard [0, ISCSIAdmin.sessionNotFound, ISCSIAdmin.noObjectsFound].contains(result.exitCode) else {
            throw StackError(
                .failed, object: path.sessionName, cause: "the logout failed: \(ISCSIAdmin.reason(result))",
                advice: "see who holds its device: attach status; then run attach down and attach up")
        }
    }

    /// The last step of a login, once its record is declared: what only the record may hold, and the login itself.
    private static func logIn(
        _ path: WantedPath, _ scope: StackScope, _ record: [String], _ authentication: SessionAuthentication?,
        _ interface: String, _ context: StackContext
    ) async throws(StackError) -> StepOutcome {
        if let authentication {
            guard let file = NodeRecordFile(path, interface: interface, files: context.files) else {
                throw StackError(
                    .failed, object: path.sessionName, cause: "the record that iscsiadm made is not to be found",
                    advice: "look below \(ISCSIAdmin.databaseFolders.joined(separator: " and "))")
            }
            try file.write(authentication)
        }
        let login = try await context.commands.run(
            "iscsiadm", record + ["--login"], deadlineSeconds: ISCSIAdmin.loginDeadlineSeconds)
        if login.isSuccess { return .created }
        if login.exitCode == ISCSIAdmin.sessionExists { return .alreadyThere }
        throw ISCSIAdmin.loginFailure(login, path, scope)
    }

    private static func deleteRecord(_ record: [String], _ context: StackContext) async {
        _ = try? await ISCSIAdmin.onRecords(context.commands, record + ["-o", "delete"])
    }

    /// Every wanted volume needs a session that works; which ones are missing is reported, and no error.
    public func verifyUp(_ scope: StackScope, _ observation: StackObservation) throws {
        for volume in scope.volumes {
            let sessions = observation.objects(of: .sessions).filter { $0.parent == volume.name }
            if sessions.contains(where: { $0.state == .present }) { continue }
            let portals = sessions.compactMap { $0.facts["endpoint"] }.joined(separator: ", ")
            throw StackError(
                .noPath, object: volume.name, cause: "no session to any of its portals (\(portals))",
                advice:
                    "check storaged on \(volume.hostNames.joined(separator: ", ")) and the networks, then: attach up")
        }
    }

    // MARK: - Down

    /// All logouts at once, then what is left of records, then the monitor, then iscsid where it is ours to end, then the shutdown
    /// unit.
    public func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        let interface = ISCSIAdmin.interfaceName(scope.inventory)
        var steps: [Step] = []
        for path in scope.paths {
            guard let object = observation.object(.sessions, path.sessionName), object.facts["foreign"] != "yes" else {
                continue
            }
            let endpoint = ISCSIAdmin.portalArgument(path.portal.portal)
            if let step = logout(object, target: path.volume.targetName, portal: endpoint, path: path) {
                steps.append(step)
            }
        }
        for object in observation.objects(of: .sessions) where object.facts["leftover"] == "yes" {
            let step = logout(
                object, target: object.facts["target"] ?? "", portal: object.facts["endpoint"] ?? "", path: nil)
            if let step { steps.append(step) }
        }
        if observation.object(.sessions, "interface \(interface)") != nil {
            let context = context
            steps.append(
                Step(
                    layer: .sessions, name: "delete interface \(interface)", object: "interface \(interface)",
                    deadlineSeconds: ISCSIAdmin.recordsDeadlineSeconds, group: 1
                ) {
                    let result = try await ISCSIAdmin.onRecords(
                        context.commands, ["-m", "iface", "-I", interface, "-o", "delete"])
                    if result.isSuccess { return .removed }
                    if result.exitCode == ISCSIAdmin.noObjectsFound { return .alreadyThere }
                    throw StackError(
                        .failed, object: interface, cause: ISCSIAdmin.reason(result), advice: "look: iscsiadm -m iface")
                })
        }
        if let step = MonitorService(context).stopStep(observation, group: 2) { steps.append(step) }
        if let step = stopDaemon(observation) { steps.append(step) }
        if let step = ServiceManager(context).releaseStep(observation, group: 4) { steps.append(step) }
        return steps
    }

    private func logout(_ object: ObservedObject, target: String, portal: String, path: WantedPath?) -> Step? {
        let session = object.facts["session"].flatMap { Int($0) }
        guard session != nil || object.facts["record"] == "yes" else { return nil }
        let context = context
        let what = session == nil ? "delete the record of" : "log out"
        return Step(
            layer: .sessions, name: "\(what) \(object.name)", object: object.name,
            deadlineSeconds: ISCSIAdmin.logoutDeadlineSeconds + ISCSIAdmin.recordsDeadlineSeconds
        ) {
            // Looked at again: the number may be another session's by now.
            if let session, let there = ISCSISession(number: session, files: context.files), there.targetName == target
            {
                if let used = Self.use(of: there) {
                    throw StackError(
                        .busy, object: object.name, cause: "its device \(used.device) is held by \(used.holders)",
                        advice: "take away what is on that device, then run attach down again")
                }
                let result = try await context.commands.run(
                    "iscsiadm", ["-m", "session", "-r", "\(session)", "-u"],
                    deadlineSeconds: ISCSIAdmin.logoutDeadlineSeconds)
                let gone = [0, ISCSIAdmin.sessionNotFound, ISCSIAdmin.noObjectsFound].contains(result.exitCode)
                guard gone else {
                    throw StackError(
                        .failed, object: object.name, cause: "the logout failed: \(ISCSIAdmin.reason(result))",
                        advice: "see who holds its device: attach status; then run attach down again")
                }
            }
            NodeRecordFile.sweep(context.files)
            let deleted = try await ISCSIAdmin.onRecords(
                context.commands, ["-m", "node", "-T", target, "-p", portal, "-o", "delete"])
            guard deleted.isSuccess || deleted.exitCode == ISCSIAdmin.noObjectsFound else {
                throw StackError(
                    .failed, object: object.name, cause: "its record stays: \(ISCSIAdmin.reason(deleted))",
                    advice: "look: iscsiadm -m node")
            }
            if let path {
                try context.journal?.disown(.session(path.volume, path.portal))
            } else {
                try context.journal?.disown(OwnedObject(.session, name: target, identity: portal))
            }
            return .removed
        }
    }

    /// What stands on a session's devices: logging out under it would hang.
    private static func use(of session: ISCSISession) -> (device: String, holders: String)? {
        for device in session.devices {
            guard let name = device.blockName, let block = BlockDevice(name: name) else { continue }
            if !block.holders.isEmpty { return (name, block.holders.joined(separator: ", ")) }
            let mounts = MountTable().mounts(of: block.number)
            if let mount = mounts.first { return (name, "a mount on \(mount.mountPoint)") }
        }
        return nil
    }

    private func stopDaemon(_ observation: StackObservation) -> Step? {
        guard let daemon = observation.object(.sessions, "iscsid"),
            let started = daemon.facts["started_by_attach"].flatMap({ Int32($0) })
        else { return nil }
        let context = context
        return Step(layer: .sessions, name: "stop iscsid", object: "iscsid", deadlineSeconds: 30, group: 3) {
            guard ISCSISession.all(files: context.files).isEmpty else {
                // Somebody else's sessions live on it now, so it is theirs.
                try context.noteDaemon("iscsid", nil)
                return .alreadyThere
            }
            let isService = started == 0
            if isService, await !ServiceManager(context).waitsForUs() {
                try await context.commands.check("systemctl", ["stop", "iscsid.service"], deadlineSeconds: 25)
            } else {
                let running = DaemonProcess.named("iscsid")
                let ours = isService || started == Self.aboutToStart ? running : running.filter { $0 == started }
                for pid in ours where await !DaemonProcess.end(pid) {
                    throw StackError(
                        .failed, object: "iscsid", cause: "process \(pid) does not end",
                        advice: "see what it waits for: cat /proc/\(pid)/stack")
                }
            }
            try context.noteDaemon("iscsid", nil)
            removeFile("\(context.folders.run)/iscsid.log")
            return .removed
        }
    }
}

extension OwnedObject {
    /// The session of one way to one volume.
    static func session(_ volume: Volume, _ portal: VolumePortal) -> OwnedObject {
        OwnedObject(.session, name: volume.targetName, identity: portal.portal.endpoint)
    }

    /// The map of a volume.
    static func map(_ volume: Volume) -> OwnedObject {
        OwnedObject(.map, name: volume.name, identity: volume.mapUUID)
    }
}
