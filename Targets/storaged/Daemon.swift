import BlockStore
import Glibc
import Logging
import Rack
import Synchronization
import TargetServer

/// A running storaged: the server, the stores it serves, and what changes them.
final class Daemon: Sendable {
    /// Where the configuration comes from.
    enum Source: Sendable {
        /// An inventory, read again on reload.
        case rack(path: String, host: String?)
        /// The command line, which stays what it is.
        case commandLine
    }

    let server: TargetServer
    private let source: Source
    private let limits: ServerLimits
    let logger: Logger
    /// Held for the length of a reload, so that there is one at a time.
    private let stores: Mutex<StoreRegistry>
    private let isStopping = Atomic<Bool>(false)

    /// How long initiators have to log out of a unit that is removed by force.
    static let goodbyeSeconds = 5

    /// Opens every store and validates, in this order; no portal is open yet.
    ///
    /// - Parameter stateFolder: Where the states of port groups, what is drained and reservations are kept; nil to forget
    ///   them.
    init(
        _ plan: ServingPlan, source: Source, limits: ServerLimits, logger: Logger, stateFolder: String?
    ) throws(CommandFailure) {
        let accessFile = stateFolder.map { AccessFile(folder: $0, hostName: plan.hostName) }
        let access = try accessFile?.read() ?? AccessSettings()
        // Everything is looked at before anything is made, so that one wrong volume leaves no files of the others.
        _ = try plan.preview()
        let stores = try StoreRegistry().changed(to: plan)
        let journals = stateFolder.map { JournalFiles(folder: $0, hostName: plan.hostName, logger: logger) }
        do throws(ServerError) {
            server = try TargetServer(
                configuration: plan.configuration(stores, limits: limits), logger: logger, access: access,
                keepAccess: { (settings) throws(ServerError) in try accessFile?.write(settings) },
                reservations: stateFolder.map { ReservationFiles(folder: $0, hostName: plan.hostName).keeper },
                journal: { (target) throws(ServerError) in try journals?.journal(target) })
        } catch {
            stores.discardCreated()
            throw CommandFailure(error)
        }
        self.source = source
        self.limits = limits
        self.logger = logger
        self.stores = Mutex(stores)
    }

    /// Opens the portals and the control socket, and says that we are ready.
    ///
    /// - Parameter controlIsOptional: Go on without a control socket where it cannot be made.
    func start(controlPath: String, controlIsOptional: Bool) throws(CommandFailure) -> ControlServer? {
        do throws(CommandFailure) {
            var control: ControlServer?
            do throws(CommandFailure) {
                control = try ControlServer(path: controlPath)
            } catch {
                guard controlIsOptional else { throw error }
                logger.notice("no control socket, so `storaged status` will not work: \(error.text)")
            }
            do throws(ServerError) {
                try server.start()
            } catch {
                control?.remove()
                throw CommandFailure(error)
            }
            if let control {
                startThread { control.serve { self.answer($0) } }
            }
            ServiceManager.ready(status: summary())
            ServiceManager.startWatchdog { self.summary() }
            return control
        } catch {
            stores.withLock { $0.discardCreated() }
            throw error
        }
    }

    /// Reads the inventory again and applies the difference; on any failure everything stays as it was.
    ///
    /// - Parameter force: Units that initiators are logged in to may go. Without it the whole of the change is refused.
    /// - Returns: What changed, a line each.
    func reload(force: Bool = false) throws(CommandFailure) -> [String] {
        guard case .rack(let path, let host) = source else {
            throw CommandFailure(
                .failed, "files from the command line have no inventory to read again; start storaged anew")
        }
        guard !isStopping.load(ordering: .acquiring) else { throw CommandFailure(.failed, "storaged is stopping") }
        ServiceManager.reloading()
        defer { ServiceManager.ready(status: summary()) }
        let result = stores.withLock { current -> Result<[String], CommandFailure> in
            do throws(CommandFailure) {
                var plan = try ServingPlan.load(rack: path, host: host) { logger.warning("\($0)") }
                try plan.readSecrets()
                let next = try current.changed(to: plan)
                do throws(CommandFailure) {
                    let configuration = plan.configuration(next, limits: limits)
                    if !force { try checkNobodyLoses(configuration) }
                    try next.grow()
                    let changes = try apply(plan.configuration(next, limits: limits))
                    // What is no longer served closes when the server's last session lets go of it.
                    current = next
                    return .success(changes)
                } catch {
                    next.discardCreated()
                    throw error
                }
            } catch {
                return .failure(error)
            }
        }
        let changes = try result.get()
        logger.notice("inventory applied", metadata: ["changes": "\(changes.count)"])
        changes.forEach { logger.notice("\($0)") }
        return changes
    }

    private func checkNobodyLoses(_ configuration: ServerConfiguration) throws(CommandFailure) {
        let lost = server.sessionsLost(by: configuration)
        guard !lost.isEmpty else { return }
        throw CommandFailure(
            .busy,
            lost.map { lost in
                "volume \(lost.volume) is in use by \(lost.initiators.map(escaped).joined(separator: ", ")), and would be "
                    + "removed, change its file or be hidden from there; nothing was changed: log out there first, or "
                    + "storaged reload --force"
            }.joined(separator: "\n"))
    }

    private func apply(_ configuration: ServerConfiguration) throws(CommandFailure) -> [String] {
        do throws(ServerError) {
            return try server.apply(configuration, goodbyeSeconds: Self.goodbyeSeconds)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Waits for signals and does what they ask; comes back when the server is down.
    ///
    /// The signals are blocked in every thread (`blockSignals`), so this thread takes each at a place of its own choosing.
    func runUntilStopped(control: ControlServer?) {
        while true {
            switch waitForSignal(seconds: 3600) {
            case SIGHUP:
                do throws(CommandFailure) {
                    _ = try reload()
                } catch {
                    logger.error("inventory not applied, serving goes on as before")
                    for line in error.text.split(separator: "\n") { logger.error("\(line)") }
                }
            case SIGTERM, SIGINT:
                stop(control: control)
                return
            default: continue
            }
        }
    }

    private func stop(control: ControlServer?) {
        isStopping.store(true, ordering: .releasing)
        ServiceManager.stopping(withinSeconds: limits.drainSeconds)
        logger.notice("stopping; a second signal stops at once")
        control?.remove()
        let isDown = Arrival()
        startThread {
            self.server.shutDown()
            isDown.happened.store(true, ordering: .releasing)
            kill(getpid(), SIGUSR1)
        }
        while !isDown.happened.load(ordering: .acquiring) {
            let signal = waitForSignal(seconds: 1)
            if signal == SIGTERM || signal == SIGINT {
                logger.warning("stopped at once; what was in flight is unanswered, and initiators will repeat it")
                _exit(1)
            }
        }
        logger.notice("stopped")
    }

    private final class Arrival: Sendable {
        let happened = Atomic<Bool>(false)
    }

    /// One line about everything, for the service manager.
    func summary() -> String {
        let snapshot = server.snapshot()
        let sessions = snapshot.targets.reduce(0) { $0 + $1.sessions.count }
        return "\(counted(snapshot.portals.count, "portal")), \(counted(snapshot.targets.count, "target")), "
            + counted(sessions, "session")
    }

    /// What the server is doing.
    func snapshot() -> ServerSnapshot { server.snapshot() }

    private func answer(_ request: ControlRequest) -> ControlAnswer {
        if isStopping.load(ordering: .acquiring) {
            return ControlAnswer(failure: CommandFailure(.failed, "storaged is stopping"))
        }
        switch request.request {
        case .status: return ControlAnswer(status: server.snapshot())
        case .addFault, .listFaults, .clearFaults: return answerFault(request, server)
        case .reload:
            do throws(CommandFailure) {
                return ControlAnswer(changes: try reload(force: request.force ?? false))
            } catch {
                logger.error("inventory not applied, serving goes on as before")
                return ControlAnswer(failure: error)
            }
        case .alua, .drain, .undrain, .drainProgress, .drainLogout, .drainCutOff:
            do throws(CommandFailure) {
                if let access = request.access { return ControlAnswer(accessChanges: try setAccess(access)) }
                guard let scope = request.scope else { throw CommandFailure(.failed, "a request without its object") }
                return ControlAnswer(drain: try drain(request.request, scope, seconds: request.seconds ?? 0))
            } catch {
                return ControlAnswer(failure: error)
            }
        }
    }
}

/// `1 portal`, `2 portals`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// Signals that the daemon waits for, blocked before any thread starts; those that only get in the way, ignored.
func blockSignals() {
    signal(SIGPIPE, SIG_IGN)
    // Writing past a file size limit is an error to answer, not a reason to die.
    signal(SIGXFSZ, SIG_IGN)
    var set = waitedSignals()
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
}

private func waitedSignals() -> sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { unsafe sigaddset(&set, number) }
    return set
}

/// The next of those signals, or -1 after so many seconds.
private func waitForSignal(seconds: Int) -> Int32 {
    var set = waitedSignals()
    var timeout = timespec(tv_sec: seconds, tv_nsec: 0)
    return unsafe sigtimedwait(&set, nil, &timeout)
}
