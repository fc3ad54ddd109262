import CISCSI
import Glibc

/// One libiscsi session: the owner of its context and of everything the library may still point to.
///
/// The asynchronous calls are driven by a poll loop of our own, because the library's synchronous ones wait in connect()
/// for as long as the kernel's SYN retries last, whatever timeout was set. After the first error or missed deadline the
/// session is only good for being destroyed. Not for two threads at once.
///
/// Data goes into one buffer of a fixed size (an I/O vector), which the library never overruns; without one it would
/// gather whatever a hostile target sends.
@safe struct ISCSIClient: ~Copyable {
    /// The largest answer a command can ask for.
    static let bufferBytes = 64 << 10

    /// What a callback leaves behind. It lives until the context is destroyed, because destroying calls back as well.
    private struct Slot {
        var isDone = false
        var status: Int32 = 0
        /// The library's text at the time of a failure: what it says afterwards is about its own clean-up.
        var error = ""
        var targets: [DiscoveredTarget] = []
        var targetLimit = 0
        var portalLimit = 0
    }

    let portal: ISCSIPortal
    let targetName: String?
    private let context: OpaquePointer
    private let connecting: UnsafeMutablePointer<Slot>
    private let command: UnsafeMutablePointer<Slot>
    private let buffer: UnsafeMutablePointer<UInt8>
    private let vector: UnsafeMutablePointer<scsi_iovec>
    private var pendingTask: UnsafeMutablePointer<scsi_task>?
    private var isLoggedIn = false

    /// A context for a discovery session, or with a target's name for a normal one. Talks to nobody yet.
    init(
        portal: ISCSIPortal, targetName: String?, initiatorName: String, credentials: DiscoveryCredentials? = nil
    ) throws(DiscoveryError) {
        guard let context = unsafe iscsi_create_context(initiatorName) else {
            throw DiscoveryError(
                .connect, portal, target: targetName, cause: "libiscsi refused the initiator name '\(initiatorName)'")
        }
        self.portal = portal
        self.targetName = targetName
        unsafe self.context = context
        unsafe connecting = .allocate(capacity: 1)
        unsafe connecting.initialize(to: Slot())
        unsafe command = .allocate(capacity: 1)
        unsafe command.initialize(to: Slot())
        unsafe buffer = .allocate(capacity: Self.bufferBytes)
        unsafe buffer.initialize(repeating: 0, count: Self.bufferBytes)
        unsafe vector = .allocate(capacity: 1)
        unsafe vector.initialize(to: scsi_iovec(iov_base: UnsafeMutableRawPointer(buffer), iov_len: 0))
        unsafe pendingTask = nil

        unsafe iscsi_set_noautoreconnect(context, 1)
        // An ISID of our own: the kernel's session with the same initiator name must not be reinstated by a probe.
        var generator = SystemRandomNumberGenerator()
        unsafe iscsi_set_isid_random(
            context, UInt32.random(in: 0..<(1 << 24), using: &generator),
            UInt32.random(in: 1...0xFFFF, using: &generator))
        if let targetName {
            unsafe iscsi_set_session_type(context, ISCSI_SESSION_NORMAL)
            unsafe iscsi_set_targetname(context, targetName)
        } else {
            unsafe iscsi_set_session_type(context, ISCSI_SESSION_DISCOVERY)
        }
        unsafe iscsi_set_header_digest(context, ISCSI_HEADER_DIGEST_NONE_CRC32C)
        if let credentials { setCredentials(credentials) }
    }

    /// The library copies names and secrets into the context.
    private func setCredentials(_ credentials: DiscoveryCredentials) {
        var secret = credentials.secret.map { CChar(bitPattern: $0) } + [0]
        unsafe iscsi_set_initiator_username_pwd(context, credentials.name, &secret)
        if let targetSecret = credentials.targetSecret {
            var secret = targetSecret.map { CChar(bitPattern: $0) } + [0]
            unsafe iscsi_set_target_username_pwd(context, targetName ?? credentials.discoveryName, &secret)
        }
    }

    deinit {
        unsafe iscsi_destroy_context(context)
        if let task = unsafe pendingTask { unsafe scsi_free_scsi_task(task) }
        unsafe connecting.deinitialize(count: 1)
        unsafe connecting.deallocate()
        unsafe command.deinitialize(count: 1)
        unsafe command.deallocate()
        unsafe vector.deallocate()
        unsafe buffer.deallocate()
    }

    // MARK: - Session

    /// Opens the TCP connection.
    mutating func connect(timeoutSeconds: Double) throws(DiscoveryError) {
        let started = unsafe iscsi_connect_async(context, portal.description, Self.finished, connecting)
        if started != 0 {
            throw failure(.connect, cause: unsafe libraryError(connecting), isPortalDead: true)
        }
        switch unsafe wait(for: connecting, seconds: timeoutSeconds) {
        case .done where unsafe connecting.pointee.status == 0: break
        case .timedOut:
            throw failure(.connect, cause: "no answer within \(timeoutSeconds) s", isPortalDead: true)
        default: throw failure(.connect, cause: unsafe libraryError(connecting), isPortalDead: true)
        }
    }

    /// Logs in.
    mutating func login(timeoutSeconds: Double) throws(DiscoveryError) {
        unsafe command.pointee = Slot()
        guard unsafe iscsi_login_async(context, Self.finished, command) == 0 else {
            throw failure(.login, cause: unsafe libraryError(command))
        }
        let outcome = unsafe wait(for: command, seconds: timeoutSeconds)
        let status = unsafe command.pointee.status
        switch outcome {
        case .done where status == 0: isLoggedIn = true
        case .done where status == Int32(SCSI_STATUS_REDIRECT.rawValue):
            let address = unsafe iscsi_get_target_address(context).map { unsafe String(cString: $0) } ?? "elsewhere"
            throw failure(.login, cause: "the target has moved to \(printable(address))", loginStatus: .init(0x0101))
        case .timedOut: throw failure(.login, cause: "no answer within \(timeoutSeconds) s")
        default:
            let text = unsafe libraryError(command)
            let code = Self.loginStatus(in: text)
            throw failure(.login, cause: code?.description ?? text, loginStatus: code)
        }
    }

    /// Logs out, waiting a little for the answer. Errors do not matter: the connection is closed in any case.
    mutating func logout(timeoutSeconds: Double = 1) {
        guard isLoggedIn else { return }
        isLoggedIn = false
        unsafe command.pointee = Slot()
        if unsafe iscsi_logout_async(context, Self.finished, command) == 0 {
            _ = unsafe wait(for: command, seconds: timeoutSeconds)
        }
    }

    /// SendTargets in a discovery session.
    mutating func sendTargets(
        timeoutSeconds: Double, targetLimit: Int, portalLimit: Int
    ) throws(DiscoveryError) -> [DiscoveredTarget] {
        unsafe command.pointee = Slot(targetLimit: targetLimit, portalLimit: portalLimit)
        guard unsafe iscsi_discovery_async(context, Self.discovered, command) == 0 else {
            throw failure(.sendTargets, cause: unsafe libraryError(command))
        }
        switch unsafe wait(for: command, seconds: timeoutSeconds) {
        case .done where unsafe command.pointee.status == 0: return unsafe command.pointee.targets
        case .timedOut: throw failure(.sendTargets, cause: "no answer within \(timeoutSeconds) s")
        default: throw failure(.sendTargets, cause: unsafe libraryError(command))
        }
    }

    // MARK: - Commands

    /// How a command ended.
    struct Outcome {
        var status: Int32
        var senseKey: UInt32
        /// Additional sense code and qualifier, `0x2500` for "logical unit not supported".
        var additionalSense: Int32
        var data: [UInt8]
        var isGood: Bool { status == 0 }
        var isIllegalRequest: Bool { status == 2 && senseKey == 5 }
    }

    /// Sends one command that reads at most `dataBytes`. Unit attentions and busy units are asked again, a few times.
    mutating func read(
        cdb: [UInt8], dataBytes: Int, lun: UInt64, timeoutSeconds: Double, _ operation: DiscoveryError.Operation
    ) throws(DiscoveryError) -> Outcome {
        var outcome = try readOnce(cdb, dataBytes, lun, timeoutSeconds, operation)
        for _ in 0..<5 {
            switch (outcome.status, outcome.senseKey) {
            case (2, 6): break
            case (8, _), (0x28, _): usleep(100_000)
            default: return outcome
            }
            outcome = try readOnce(cdb, dataBytes, lun, timeoutSeconds, operation)
        }
        return outcome
    }

    private mutating func readOnce(
        _ cdb: [UInt8], _ dataBytes: Int, _ lun: UInt64, _ timeoutSeconds: Double, _ operation: DiscoveryError.Operation
    ) throws(DiscoveryError) -> Outcome {
        precondition(dataBytes > 0 && dataBytes <= Self.bufferBytes && cdb.count <= 16 && lun < 1 << 14)
        var bytes = cdb
        guard
            let task = unsafe scsi_create_task(
                Int32(cdb.count), &bytes, Int32(SCSI_XFER_READ.rawValue), Int32(dataBytes))
        else { throw failure(operation, lun: lun, cause: "out of memory") }
        unsafe pendingTask = task
        unsafe buffer.update(repeating: 0, count: dataBytes)
        unsafe vector.pointee.iov_len = dataBytes
        unsafe scsi_task_set_iov_in(task, vector, 1)
        unsafe command.pointee = Slot()
        guard unsafe iscsi_scsi_command_async(context, Int32(lun), task, Self.finished, nil, command) == 0 else {
            throw failure(operation, lun: lun, cause: unsafe libraryError(command))
        }
        switch unsafe wait(for: command, seconds: timeoutSeconds) {
        case .done: break
        case .timedOut: throw failure(operation, lun: lun, cause: "no answer within \(timeoutSeconds) s")
        case .broken: throw failure(operation, lun: lun, cause: unsafe libraryError(command))
        }
        // From here on nothing in the library points to the task.
        unsafe pendingTask = nil
        defer { unsafe scsi_free_scsi_task(task) }
        let status = unsafe command.pointee.status
        if status < 0 || status > 0xFF { throw failure(operation, lun: lun, cause: unsafe libraryError(command)) }
        var count = dataBytes
        if unsafe task.pointee.residual_status == SCSI_RESIDUAL_UNDERFLOW {
            count -= min(dataBytes, Int(clamping: unsafe task.pointee.residual))
        }
        let data = unsafe status == 0 ? Array(UnsafeBufferPointer(start: buffer, count: count)) : []
        return Outcome(
            status: status, senseKey: unsafe status == 2 ? task.pointee.sense.key.rawValue : 0,
            additionalSense: unsafe status == 2 ? task.pointee.sense.ascq : 0, data: data)
    }

    // MARK: - Waiting

    private enum Wait { case done, timedOut, broken }

    private func wait(for slot: UnsafeMutablePointer<Slot>, seconds: Double) -> Wait {
        let end = ContinuousClock.now + .milliseconds(Int64(seconds * 1000))
        while unsafe !slot.pointee.isDone {
            let left = end - ContinuousClock.now
            guard left > .zero else { return .timedOut }
            let events = unsafe iscsi_which_events(context)
            let descriptor = unsafe iscsi_get_fd(context)
            var poller = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: events), revents: 0)
            let milliseconds = Int32(min(1000, left / .milliseconds(1)) + 1)
            // No events wanted: the library waits for a time to pass.
            let count = unsafe poll(&poller, 1, events == 0 ? min(20, milliseconds) : milliseconds)
            if count < 0 && errno != EINTR { return .broken }
            if count > 0, unsafe iscsi_service(context, Int32(poller.revents)) < 0 {
                return unsafe slot.pointee.isDone ? .done : .broken
            }
        }
        return .done
    }

    private static let finished: iscsi_command_cb = { context, status, _, slot in
        guard let slot = unsafe slot?.assumingMemoryBound(to: Slot.self) else { return }
        // The connection's callback comes once more when the connection is lost: the first answer stands.
        if unsafe slot.pointee.isDone { return }
        unsafe complete(slot, context, status)
    }

    private static func complete(_ slot: UnsafeMutablePointer<Slot>, _ context: OpaquePointer?, _ status: Int32) {
        if status != 0, let text = unsafe iscsi_get_error(context) {
            unsafe slot.pointee.error = String(cString: text)
        }
        unsafe slot.pointee.status = status
        unsafe slot.pointee.isDone = true
    }

    private static let discovered: iscsi_command_cb = { context, status, data, slot in
        guard let slot = unsafe slot?.assumingMemoryBound(to: Slot.self) else { return }
        if unsafe slot.pointee.isDone { return }
        if status == 0 {
            // The list is the library's, and gone after this callback. It comes last target first.
            var targets: [DiscoveredTarget] = []
            var next = unsafe data?.assumingMemoryBound(to: iscsi_discovery_address.self)
            while let target = unsafe next {
                if let name = unsafe target.pointee.target_name {
                    targets.append(
                        DiscoveredTarget(
                            name: unsafe String(cString: name),
                            portals: unsafe portals(of: target, limit: slot.pointee.portalLimit)))
                }
                unsafe next = target.pointee.next
            }
            let limit = unsafe slot.pointee.targetLimit
            unsafe slot.pointee.targets = Array(targets.reversed().filter { isName($0.name) }.prefix(limit))
        }
        unsafe complete(slot, context, status)
    }

    private static func portals(
        of target: UnsafeMutablePointer<iscsi_discovery_address>, limit: Int
    ) -> [DiscoveredTarget.Portal] {
        var portals: [DiscoveredTarget.Portal] = []
        var next = unsafe target.pointee.portals
        while let current = unsafe next {
            if let text = unsafe current.pointee.portal,
                let (portal, tag) = unsafe ISCSIPortal.parse(targetAddress: String(cString: text))
            {
                portals.append(.init(portal: portal, portalGroupTag: tag))
            }
            unsafe next = current.pointee.next
        }
        return Array(portals.reversed().prefix(limit))
    }

    /// Whether it can be an iSCSI name (RFC 7143, 4.2.7): at most 223 bytes, none that trouble a terminal or a file name.
    private static func isName(_ name: String) -> Bool {
        (1...223).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0x2F }
    }

    // MARK: - Errors

    /// What the library said when the call failed, or says now. Its wrapping is taken off the commonest texts.
    private func libraryError(_ slot: UnsafeMutablePointer<Slot>) -> String {
        var text = unsafe slot.pointee.error
        if text.isEmpty, let now = unsafe iscsi_get_error(context) { text = unsafe String(cString: now) }
        text = printable(text)
        if text.isEmpty || text.contains("Can not reconnect right now") || text.contains("POLLHUP") {
            return "the other end closed the connection"
        }
        for prefix in ["Couldn't connect transport: Connect failed with errno : ", "iscsi_service: socket error "]
        where text.hasPrefix(prefix) { text.removeFirst(prefix.count) }
        return text
    }

    private func printable(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value >= 0x20 && $0.value < 0x7F ? Character($0) : " " }.prefix(300))
            .split(separator: " ").joined(separator: " ")
    }

    /// libiscsi puts class and detail as one decimal number at the end of its text: `...: Target not found(515)`.
    static func loginStatus(in text: String) -> DiscoveryError.LoginStatus? {
        guard text.contains("Status:"), let open = text.lastIndex(of: "("), let close = text.lastIndex(of: ")"),
            open < close, let code = UInt16(text[text.index(after: open)..<close])
        else { return nil }
        return .init(code)
    }

    private func failure(
        _ operation: DiscoveryError.Operation, lun: UInt64? = nil, cause: String,
        loginStatus: DiscoveryError.LoginStatus? = nil, isPortalDead: Bool = false
    ) -> DiscoveryError {
        DiscoveryError(
            operation, portal, target: targetName, lun: lun, cause: cause, loginStatus: loginStatus,
            isPortalDead: isPortalDead)
    }
}
