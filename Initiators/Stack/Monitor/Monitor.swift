import DeviceMapper
import Glibc
import HostDevices
import Rack
import Synchronization

/// The path daemon: one process a client for all its maps.
///
/// One thread decides. It waits in poll() for device-mapper's events, device events, signals, finished work and the
/// clock, and feeds `MonitorMachine`. Whatever may hang (looking at maps while one is being suspended, asking a path,
/// changing a table, logging in) runs beside it and comes back as a message, so a path that does not answer never keeps
/// the monitor from ending another map's queue. Nothing it knows is needed by its successor: killed and started again,
/// it looks, checks every path and goes on; I/O does not notice.
public final class Monitor: Sendable {
    /// How urgent a line of the log is.
    public enum LogLevel: Sendable {
        /// Something an operator may want to know.
        case notice
        /// Something that calls for one.
        case warning
    }

    private enum Message: Sendable {
        case looked(MonitorMachine.Look)
        case checked(MonitorMachine.PathKey, String, MonitorMachine.CheckResult)
        case reloaded(String, String?)
        case repaired
    }

    private let context: StackContext
    private let loadScope: @Sendable () throws -> StackScope
    private let notify: @Sendable (String) -> Void
    private let log: @Sendable (LogLevel, String) -> Void
    private let watchdogSeconds: Double?
    private let inbox = Mutex<[Message]>([])
    private let wakeDescriptor = Atomic<Int32>(-1)
    private let checkers = Mutex<[String: PathChecker]>([:])
    /// Why the last login of a path failed, so that the log has a reason once and not at every try.
    private let loginFailures = Mutex<[MonitorMachine.PathKey: String]>([:])

    /// A monitor for this host.
    ///
    /// - Parameters:
    ///   - context: Where files lie and how commands run.
    ///   - loadScope: Reads the inventory, at the start and again at SIGHUP.
    ///   - watchdogSeconds: How often the service manager wants to hear from us at the latest, if at all.
    ///   - notify: Tells the service manager (`READY=1`, `STATUS=...`).
    ///   - log: Writes a line.
    public init(
        context: StackContext, loadScope: @escaping @Sendable () throws -> StackScope, watchdogSeconds: Double? = nil,
        notify: @escaping @Sendable (String) -> Void = { _ in }, log: @escaping @Sendable (LogLevel, String) -> Void
    ) {
        self.context = context
        self.loadScope = loadScope
        self.watchdogSeconds = watchdogSeconds
        self.notify = notify
        self.log = log
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// - Throws: `.locked` when a monitor runs already; what loading the inventory throws; `.missing` without
    ///   device-mapper.
    public func run() async throws {
        let lock = try RunLock.take(path: context.folders.monitorLockFile, purpose: "monitor")
        let scope = try loadScope()
        let mapper: DeviceMapper
        do {
            mapper = try DeviceMapper()
        } catch {
            throw StackError(error, object: "device-mapper")
        }
        // A thread of its own: the pool that runs tasks may have no more threads than the host has processors.
        let result = await BlockingCall.run(deadlineSeconds: 1e9) { [self] in
            Result { try loop(scope, mapper) }
        }
        removeFile(context.folders.monitorStateFile)
        _ = lock
        try result?.get()
    }

    // MARK: - The loop

    private func loop(_ firstScope: StackScope, _ mapper: DeviceMapper) throws {
        var scope = firstScope
        var machine = Self.machine(scope)
        var pipe = try Pipe()
        SignalPipe.install(pipe.writeEnd)
        wakeDescriptor.store(pipe.writeEnd, ordering: .releasing)
        defer {
            wakeDescriptor.store(-1, ordering: .releasing)
            SignalPipe.uninstall()
        }
        let events = try mapper.makeEventPoll()
        var devices = try? DeviceMonitor(subsystems: ["block", "scsi"])
        if devices == nil { log(.warning, "no device events: paths are looked for every few seconds only") }

        let tickSeconds = Double(max(1, scope.inventory.timeouts.pathCheckSeconds))
        var nextLook = Self.now()
        var isLooking = false
        var wantsLook = false
        var nextWatchdog = Self.now()
        var isReady = false
        var lastState: MonitorState?

        while true {
            let now = Self.now()
            var actions = machine.tick(now: now)
            if now >= nextLook || wantsLook, !isLooking {
                isLooking = true
                wantsLook = false
                nextLook = now + tickSeconds
                try? events.arm()
                startLook(scope, mapper)
            }
            for message in inbox.withLock({ messages in
                defer { messages = [] }
                return messages
            }) {
                switch message {
                case .looked(let look):
                    isLooking = false
                    actions += machine.look(look, now: now)
                case .checked(let key, let device, let result):
                    actions += machine.checked(key, device: device, result, now: now)
                case .reloaded(let map, let failure):
                    machine.reloaded(map)
                    if let failure { log(.warning, "\(map): its table could not be changed: \(failure)") }
                    wantsLook = true
                case .repaired: wantsLook = true
                }
            }
            for action in actions { carryOut(action, machine, scope, mapper) }
            if !isReady, machine.isReady, lastState != nil {
                isReady = true
                notify("READY=1")
                log(.notice, "watching \(scope.volumes.map(\.name).joined(separator: ", "))")
            }
            writeState(machine, scope, isReady: isReady, now: now, last: &lastState)
            if let watchdogSeconds, now >= nextWatchdog {
                notify("WATCHDOG=1")
                nextWatchdog = now + watchdogSeconds / 3
            }

            var wakeUp = min(nextLook, machine.nextDeadline ?? .infinity)
            if watchdogSeconds != nil { wakeUp = min(wakeUp, nextWatchdog) }
            if wantsLook, !isLooking { wakeUp = Self.now() }
            var polled = [
                pollfd(fd: pipe.readEnd, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isLooking ? -1 : events.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: devices?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            let milliseconds = Int32(min(max(0, (wakeUp - Self.now()) * 1000).rounded(.up), 60_000))
            _ = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
            if polled[0].revents != 0 {
                for byte in pipe.drain() {
                    switch byte {
                    case SignalPipe.terminate:
                        end(machine, mapper)
                        return
                    case SignalPipe.hangUp:
                        reload(&scope, &machine)
                        wantsLook = true
                        lastState = nil
                    default: break
                    }
                }
            }
            if polled[1].revents != 0 { wantsLook = true }
            if polled[2].revents != 0 {
                while let event = devices?.receive() {
                    if event.device.name.hasPrefix("sd") { wantsLook = true }
                }
            }
        }
    }

    private static func machine(_ scope: StackScope) -> MonitorMachine {
        MonitorMachine(
            volumes: scope.volumes, paths: scope.paths, checkSeconds: scope.inventory.timeouts.pathCheckSeconds,
            now: now())
    }

    private func reload(_ scope: inout StackScope, _ machine: inout MonitorMachine) {
        do {
            scope = try loadScope()
            machine = Self.machine(scope)
            log(.notice, "read the inventory again")
        } catch {
            log(.warning, "the inventory stays as it was: \(error)")
        }
    }

    /// What a monitor that ends leaves: no map that queues, because nobody would end the queue but the kernel.
    private func end(_ machine: MonitorMachine, _ mapper: DeviceMapper) {
        notify("STOPPING=1")
        for map in machine.mapStates(now: Self.now(), wallSeconds: time(nil)) where map.isQueueing {
            do {
                try mapper.message(map.name, .failIfNoPath)
            } catch {
                if !error.isNotFound { log(.warning, error.description) }
            }
        }
        log(.notice, "ended")
    }

    private func writeState(
        _ machine: MonitorMachine, _ scope: StackScope, isReady: Bool, now: Double, last: inout MonitorState?
    ) {
        let seconds = time(nil)
        let state = MonitorState(
            pid: getpid(), inventory: scope.fingerprint, isReady: isReady, writtenSeconds: seconds,
            maps: machine.mapStates(now: now, wallSeconds: seconds))
        if let last, last.isReady == state.isReady, seconds - last.writtenSeconds < 5,
            Self.skeleton(last) == Self.skeleton(state)
        {
            return
        }
        last = state
        do {
            try writeFileAtomically(context.folders.monitorStateFile, state.json.pretty + "\n")
        } catch {
            log(.warning, error.description)
        }
        let paths = state.maps.flatMap(\.paths)
        notify("STATUS=\(paths.count { $0.state == .up }) of \(paths.count) paths up")
    }

    /// A state without what changes with every check.
    private static func skeleton(_ state: MonitorState) -> [MonitorState.Map] {
        state.maps.map { map in
            var map = map
            map.allDownSinceSeconds = map.allDownSinceSeconds == nil ? nil : 0
            for index in map.paths.indices {
                map.paths[index].latencyMilliseconds = nil
                map.paths[index].sinceSeconds = 0
            }
            return map
        }
    }

    // MARK: - Work beside the loop

    private func post(_ message: Message) {
        inbox.withLock { $0.append(message) }
        let descriptor = wakeDescriptor.load(ordering: .acquiring)
        if descriptor >= 0 { SignalPipe.wake(descriptor) }
    }

    private func startLook(_ scope: StackScope, _ mapper: DeviceMapper) {
        let lockFile = context.folders.lockFile
        let files = context.files
        Task.detached { [self] in
            // Patient: while a table is being changed, looking at maps waits for the same lock.
            let look = await BlockingCall.run(deadlineSeconds: 600) {
                Self.look(scope, mapper, files, runIsUnderWay: RunLock.holder(path: lockFile) != nil)
            }
            if let look { post(.looked(look)) }
        }
    }

    private static func look(
        _ scope: StackScope, _ mapper: DeviceMapper, _ files: HostFiles, runIsUnderWay: Bool
    ) -> MonitorMachine.Look {
        let sessions = ISCSISession.all(files: files)
        var paths: [MonitorMachine.PathKey: MonitorMachine.PathView] = [:]
        for path in scope.paths {
            var session = SessionsLayer.session(for: path, in: sessions)
            // One that can never come back is as good as none: the map lets go of it, and a login with new secrets follows.
            if let found = session, SessionsLayer.isOutdated(found, path, scope, files) { session = nil }
            let device = session?.devices.first { $0.address.lun == PathsLayer.logicalUnit }
            let block = device?.blockName.flatMap { BlockDevice(name: $0, files: files) }
            paths[.init(volume: path.volume.name, endpoint: path.endpoint)] = .init(
                hasSession: session != nil, sessionIsUp: session?.state == .loggedIn, device: block?.name,
                number: block.map { DMDeviceNumber(major: $0.number.major, minor: $0.number.minor) })
        }
        var maps: [String: MonitorMachine.MapView] = [:]
        for volume in scope.volumes {
            guard let info = try? mapper.info(uuid: volume.mapUUID), info.name == volume.name, info.hasLiveTable,
                let table = try? mapper.multipathTable(volume.name),
                let status = try? mapper.multipathStatus(volume.name)
            else { continue }
            maps[volume.name] = .init(
                paths: status.paths.map { ($0.device, $0.isActive) }, isQueueing: table.queueIfNoPath,
                groups: status.groups.map { $0.paths.map(\.device) }, currentGroup: status.currentGroup)
        }
        return .init(paths: paths, maps: maps, runIsUnderWay: runIsUnderWay)
    }

    private func carryOut(
        _ action: MonitorMachine.Action, _ machine: MonitorMachine, _ scope: StackScope, _ mapper: DeviceMapper
    ) {
        switch action {
        case .note(let text): log(.notice, text)
        case .failPath(let map, let number): tell(map, .failPath(number), mapper)
        case .reinstatePath(let map, let number): tell(map, .reinstatePath(number), mapper)
        case .switchGroup(let map, let group): tell(map, .switchGroup(group), mapper)
        case .setQueueing(let map, let isOn): tell(map, isOn ? .queueIfNoPath : .failIfNoPath, mapper)
        case .check(let key, let device, let verify):
            guard let path = machine.wantedPath(key) else { return }
            startCheck(key, path, device: device, verify: verify, scope)
        case .reload(let map, let usable):
            guard let volume = scope.volumes.first(where: { $0.name == map }) else { return }
            Task.detached { [self] in
                let result = await BlockingCall.run(deadlineSeconds: 600) {
                    Result { () throws(DeviceMapperError) in try MapsLayer.reload(volume, usable, mapper) }
                }
                switch result {
                case .success(let outcome)?:
                    if outcome == .changed { log(.notice, "\(map): now over \(usable.count) paths") }
                    post(.reloaded(map, nil))
                case .failure(let error)?: post(.reloaded(map, error.description))
                case nil: post(.reloaded(map, "it took too long"))
                }
            }
        case .scan(let key):
            guard let path = machine.wantedPath(key) else { return }
            repair { [context] in
                let sessions = ISCSISession.all(files: context.files)
                guard let session = SessionsLayer.session(for: path, in: sessions) else { return }
                let (device, _) = try await PathsLayer.findDevice(path, session, context)
                try session.setRecoveryTimeout(
                    seconds: scope.inventory.timeouts.recoverySeconds, files: context.files)
                try device.setTimeout(seconds: PathsLayer.commandTimeoutSeconds, files: context.files)
            }
        case .logIn(let key):
            guard let path = machine.wantedPath(key) else { return }
            repair { [self] in
                guard RunLock.holder(path: context.folders.lockFile) == nil else { return }
                do {
                    _ = try await SessionsLayer(context).login(path, scope).run()
                    loginFailures.withLock { $0[key] = nil }
                } catch {
                    let text = StackError(anything: error, object: path.sessionName).description
                    let isNews = loginFailures.withLock { $0.updateValue(text, forKey: key) != text }
                    if isNews { log(.warning, text) }
                }
            }
        }
    }

    private func tell(_ map: String, _ message: MultipathMessage, _ mapper: DeviceMapper) {
        do {
            try mapper.message(map, message)
        } catch {
            // The map may have gone since it was looked at, and a path may have left its table.
            if !error.isNotFound, error.code != EINVAL { log(.warning, error.description) }
        }
    }

    /// Repairs that fail are tried again by the machine; their reason is in `attach status` and `attach up`.
    private func repair(_ work: @escaping @Sendable () async throws -> Void) {
        Task.detached { [self] in
            try? await work()
            post(.repaired)
        }
    }

    private func startCheck(
        _ key: MonitorMachine.PathKey, _ path: WantedPath, device: String, verify: Bool, _ scope: StackScope
    ) {
        let deadline = Double(max(2, scope.inventory.timeouts.nopTimeoutSeconds))
        let checker = checkers.withLock { checkers -> PathChecker in
            if let checker = checkers[device], checker.relativeTargetPort == path.portal.tag { return checker }
            let checker = PathChecker(node: "/dev/\(device)", relativeTargetPort: path.portal.tag)
            checkers[device] = checker
            return checker
        }
        let files = context.files
        Task.detached { [self] in
            let clock = ContinuousClock.now
            let answer = await checker.check(deadlineSeconds: deadline)
            let milliseconds = (ContinuousClock.now - clock).inSeconds * 1000
            let result: MonitorMachine.CheckResult
            switch answer {
            case .up: result = .up(latencyMilliseconds: milliseconds)
            case .nonOptimized: result = .nonOptimized(latencyMilliseconds: milliseconds)
            case .unavailable: result = .drained
            case .standby(let why): result = .down(why)
            case .down(let why): result = .down(why)
            case .unanswered(let seconds): result = .down("no answer for \(Int(seconds.rounded())) s")
            }
            guard verify, result.isUp else {
                post(.checked(key, device, result))
                return
            }
            let session = SessionsLayer.session(for: path, in: ISCSISession.all(files: files))
            do throws(StackError) {
                let disagreement = try await PathIdentity.ask(
                    path, blockName: device, portalGroupTag: session?.targetPortalGroupTag, deadlineSeconds: deadline)
                post(.checked(key, device, disagreement.map { .refused($0) } ?? result))
            } catch {
                post(.checked(key, device, .down(error.cause)))
            }
        }
    }

    /// Seconds of a clock that goes on while the host sleeps and never goes back.
    private static func now() -> Double {
        var clock = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &clock)
        return Double(clock.tv_sec) + Double(clock.tv_nsec) / 1e9
    }
}

/// A pipe that signals and finished work write to, so that poll() sees them.
private struct Pipe: ~Copyable {
    let readEnd: Int32
    let writeEnd: Int32

    init() throws(StackError) {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else {
            throw StackError(.failed, object: "pipe", cause: errorText(errno), advice: "free file descriptors")
        }
        readEnd = ends[0]
        writeEnd = ends[1]
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    mutating func drain() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(readEnd, $0.baseAddress, $0.count) }
        return Array(bytes.prefix(max(0, count)))
    }
}

/// Turns signals into bytes in a pipe. A handler may only do what is safe at any instant: load an atomic, write a byte.
private enum SignalPipe {
    static let terminate: UInt8 = 1
    static let hangUp: UInt8 = 2
    private static let woken: UInt8 = 0
    private static let descriptor = Atomic<Int32>(-1)
    private static let terminations = Atomic<Int>(0)

    static func install(_ writeEnd: Int32) {
        descriptor.store(writeEnd, ordering: .releasing)
        for number in [SIGTERM, SIGINT, SIGHUP] {
            signal(number) { number in
                // A second SIGTERM does not wait for anything.
                if number != SIGHUP, SignalPipe.terminations.add(1, ordering: .relaxed).newValue > 1 { _exit(1) }
                SignalPipe.send(number == SIGHUP ? SignalPipe.hangUp : SignalPipe.terminate)
            }
        }
        signal(SIGPIPE, SIG_IGN)
    }

    static func uninstall() { descriptor.store(-1, ordering: .releasing) }

    static func wake(_ writeEnd: Int32) { write(writeEnd, byte: woken) }

    private static func send(_ byte: UInt8) {
        let writeEnd = descriptor.load(ordering: .acquiring)
        if writeEnd >= 0 { write(writeEnd, byte: byte) }
    }

    private static func write(_ writeEnd: Int32, byte: UInt8) {
        // A full pipe wakes the reader just as well.
        var byte = byte
        _ = unsafe Glibc.write(writeEnd, &byte, 1)
    }
}
