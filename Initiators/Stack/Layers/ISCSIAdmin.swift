import Rack

/// iscsiadm's records and exit codes: how a session is declared to open-iscsi, and what its refusals mean.
package enum ISCSIAdmin {
    /// The interface record that our sessions go through.
    ///
    /// It carries the client's initiator name, so the host's own /etc/iscsi/initiatorname.iscsi stays as it is, and
    /// other sessions of this host keep the name they have.
    package static func interfaceName(_ inventory: Inventory) -> String { "rack-\(inventory.name)" }

    /// Where open-iscsi keeps its records on Debian and elsewhere.
    package static let databaseFolders = ["/etc/iscsi", "/var/lib/iscsi"]

    /// The settings of a session's node record.
    ///
    /// Everything that decides how long a dead path is waited for is set, whatever iscsid.conf says: a client with the
    /// defaults waits 120 s and more for each path.
    package static func nodeSettings(_ timeouts: Timeouts) -> [(name: String, value: String)] {
        [
            ("node.startup", "manual"),
            ("node.conn[0].startup", "manual"),
            // Units are scanned one by one, by the paths layer.
            ("node.session.scan", "manual"),
            ("node.session.nr_sessions", "1"),
            ("node.session.timeo.replacement_timeout", "\(timeouts.recoverySeconds)"),
            ("node.conn[0].timeo.noop_out_interval", "\(timeouts.nopIntervalSeconds)"),
            ("node.conn[0].timeo.noop_out_timeout", "\(timeouts.nopTimeoutSeconds)"),
            // A portal that does not answer at `up` costs login timeout times tries.
            ("node.conn[0].timeo.login_timeout", "\(loginTimeoutSeconds)"),
            ("node.conn[0].timeo.logout_timeout", "\(logoutTimeoutSeconds)"),
            ("node.session.initial_login_retry_max", "\(loginTries)"),
            // dm-multipath repeats commands elsewhere; the kernel's own error handling has to be over soon.
            ("node.session.err_timeo.abort_timeout", "5"),
            ("node.session.err_timeo.lu_reset_timeout", "10"),
            ("node.session.err_timeo.tgt_reset_timeout", "10"),
            ("node.session.err_timeo.host_reset_timeout", "20"),
            ("node.session.cmds_max", "128"),
            ("node.session.queue_depth", "64"),
            // TCP's own checksum misses flipped bits; a target that cannot do CRC32C may say None.
            ("node.conn[0].iscsi.HeaderDigest", "CRC32C,None"),
            ("node.conn[0].iscsi.DataDigest", "CRC32C,None"),
        ]
    }

    package static let loginTimeoutSeconds = 5
    package static let loginTries = 2
    package static let logoutTimeoutSeconds = 5
    /// iscsid tries, waits a second or two, tries again; iscsiadm waits for it.
    package static let loginDeadlineSeconds = loginTimeoutSeconds * loginTries + 35
    package static let logoutDeadlineSeconds = 60

    /// A portal as iscsiadm takes it, with its tag: `10.77.0.21:3260,4711`.
    package static func portalArgument(_ portal: Portal) -> String { "\(portal.endpoint),\(portal.tag)" }

    /// The arguments that name one node record.
    package static func recordArguments(_ path: WantedPath, interface: String) -> [String] {
        ["-m", "node", "-T", path.volume.targetName, "-p", portalArgument(path.portal.portal), "-I", interface]
    }

    /// What an exit code of iscsiadm means, in one phrase (open-iscsi, include/iscsi_err.h).
    package static func meaning(of exitCode: Int32) -> String {
        switch exitCode {
        case 1: "iscsiadm failed without saying why"
        case 2: "there is no such session"
        case 3: "iscsid is out of memory"
        case 4: "the portal cannot be reached (connection failed)"
        case 5: "the target refused the login"
        case 6: "open-iscsi's records could not be read or written"
        case 7: "iscsiadm refused an argument"
        case 8: "the portal did not answer in time"
        case 9: "iscsid reported an internal error"
        case 10: "the logout failed"
        case 11: "the target did not answer a request in time"
        case 12: "the kernel's iSCSI transport is missing"
        case 13: "permission denied"
        case 15: "a session exists already"
        case 16: "iscsid refused the request"
        case 18, 20: "iscsid does not answer"
        case 19: "the target refused the login for good"
        case 21: "open-iscsi has no such record"
        case 22: "the session could not be found in sysfs"
        case 24: "authentication failed"
        case 28, 29: "the session is in use"
        default: "iscsiadm ended with exit code \(exitCode)"
        }
    }

    /// Runs iscsiadm on its records, again when it trips over another one that works on the same folder: its lock does
    /// not cover making and removing folders.
    package static func onRecords(
        _ commands: CommandRunner, _ arguments: [String]
    ) async throws(StackError) -> CommandResult {
        await staleLockCheck.once()
        var result = try await commands.run("iscsiadm", arguments, deadlineSeconds: recordsDeadlineSeconds)
        for attempt in 1..<6 where result.exitCode == databaseFailed {
            try? await Task.sleep(for: .milliseconds(50 * attempt))
            result = try await commands.run("iscsiadm", arguments, deadlineSeconds: recordsDeadlineSeconds)
        }
        return result
    }

    /// Removes the lock of an iscsiadm that was killed.
    ///
    /// open-iscsi locks its records by a link, which a killed process leaves behind; every later iscsiadm then waits for
    /// ever. The link is stale when it stays for `seconds` without a break and no iscsiadm runs: iscsid, the only other
    /// one to take it, holds it for moments.
    package static func clearStaleLock(
        link: String = "/run/lock/iscsi/lock.write", seconds: Int = 3,
        isHeld: @Sendable () -> Bool = { !DaemonProcess.named("iscsiadm").isEmpty }
    ) async {
        for _ in 0..<(seconds * 20) {
            guard fileExists(link), !isHeld() else { return }
            try? await Task.sleep(for: .milliseconds(50))
        }
        removeFile(link)
    }

    private static let staleLockCheck = OnceCheck()

    /// Looks for a stale lock once a process, however many ask at the same time.
    private actor OnceCheck {
        private var check: Task<Void, Never>?

        func once() async {
            let running = check ?? Task { await ISCSIAdmin.clearStaleLock() }
            check = running
            await running.value
        }
    }

    /// Work on records takes moments; a loaded host may take long to get round to it, and to end an iscsiadm in the
    /// middle of it does harm (see `clearStaleLock`).
    package static let recordsDeadlineSeconds = 60
    /// open-iscsi's records could not be read or written.
    package static let databaseFailed: Int32 = 6
    /// Exit codes that mean that the work was done before: a session exists, a record or session is gone.
    package static let sessionExists: Int32 = 15
    /// A login that ended with CHAP: the target did not take our proof, or did not give its own.
    package static let authenticationFailed: Int32 = 24
    /// A login that the target refused for another reason: it is not there, or not for us.
    package static let loginRefused: Int32 = 19
    package static let sessionNotFound: Int32 = 2
    package static let noObjectsFound: Int32 = 21

    /// Why a login failed, and what to do about it.
    package static func loginFailure(
        _ result: CommandResult, _ path: WantedPath, _ scope: StackScope
    ) -> StackError {
        let host = path.portal.hostName
        let log = "storaged's log on \(host) says why"
        func failure(_ cause: String, _ advice: String) -> StackError {
            StackError(
                .noPath, object: "\(host) \(path.endpoint)", cause: "login to \(path.volume.name) failed: \(cause)",
                advice: advice)
        }
        switch result.exitCode {
        case authenticationFailed:
            guard let authentication = scope.inventory.authentication, let file = scope.secretsPath else {
                return failure(
                    "the target wants credentials, and the inventory here has no authentication",
                    "compare the inventory here and on \(host); \(log)")
            }
            let client = scope.client.name
            return failure(
                "the target refused the credentials of \(client)"
                    + (authentication.isMutual ? ", or did not prove its own secret" : ""),
                "compare \(file) here and on \(host) (storaged secret \(client) makes it, the same file for both); \(log)"
            )
        case loginRefused:
            // Where one may not see a target, it is as if it were not there; and iscsid gives the same code when the
            // target's proof is missing or wrong.
            let isMutual = scope.inventory.authentication?.isMutual ?? false
            let files = isMutual ? scope.secretsPath.map { " and \($0)" } ?? "" : ""
            return failure(
                "the target refused \(scope.client.name)" + (isMutual ? ", or did not prove its own secret" : ""),
                "see that the inventory (clients of the volume)\(files) are the same here and on \(host); \(log)")
        default:
            return failure(
                reason(result),
                "check storaged and the network there, or look at what is offered: attach discover \(path.endpoint)")
        }
    }

    /// iscsiadm's own reason, out of lines like `iscsiadm: initiator reported error (8 - connection timed out)`.
    package static func reason(_ result: CommandResult) -> String {
        let meaning = meaning(of: result.exitCode)
        let lines = result.standardError.split(whereSeparator: \.isNewline).map(String.init)
        for line in lines {
            if let open = line.range(ofText: "reported error (")?.upperBound, let close = line.lastIndex(of: ")") {
                if open < close { return "\(meaning) (iscsid: \(line[open..<close]))" }
            }
        }
        if let line = lines.last(where: { !$0.isEmpty }) {
            let text = line.hasPrefix("iscsiadm: ") ? String(line.dropFirst(10)) : line
            return "\(meaning) (\(text.trimmingBlanks()))"
        }
        return meaning
    }
}

extension String {
    /// Where `text` occurs first.
    func range(ofText text: String) -> Range<String.Index>? {
        guard !text.isEmpty else { return nil }
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
