/// Where attach keeps what it must remember, and where it looks: as on a real host, or below a temporary folder in tests.
public struct StackFolders: Sendable {
    /// What lasts until the host goes down: lock, pid files, the monitor's state. `/run/attach`.
    public var run: String
    /// What lasts: the journal. `/var/lib/attach`.
    public var state: String
    /// Where udev takes rules from that last until the host goes down. `/run/udev/rules.d`.
    public var udevRules: String
    /// Where systemd takes units from that last until the host goes down. `/run/systemd/system`.
    public var systemdUnits: String

    /// The folders of a real host, or others for a test.
    public init(
        run: String = "/run/attach", state: String = "/var/lib/attach", udevRules: String = "/run/udev/rules.d",
        systemdUnits: String = "/run/systemd/system"
    ) {
        self.run = run
        self.state = state
        self.udevRules = udevRules
        self.systemdUnits = systemdUnits
    }

    /// Taken by `up` and `down` for as long as they run.
    public var lockFile: String { "\(run)/lock" }
    /// Taken by the monitor for as long as it runs.
    public var monitorLockFile: String { "\(run)/monitor.lock" }
    /// What the monitor knows, for `status`.
    public var monitorStateFile: String { "\(run)/monitor.json" }
    /// The monitor's log where no systemd takes it.
    public var monitorLogFile: String { "\(run)/monitor.log" }
    /// Which daemons were started by us and are ours to end.
    public var startedFile: String { "\(run)/started.json" }
    /// The inventory that the stack was brought up from, for a `down` that cannot read the one of now.
    public var inventoryCopy: String { "\(run)/rack.yaml" }
    /// What the kernel's own bound on queueing was before `up` set it.
    public var queueingBoundBefore: String { "\(run)/queueing-bound-before" }
    /// What was done and is to be done.
    public var journalFile: String { "\(state)/journal" }
    /// The rule that keeps LVM and others off raw paths.
    public var udevRuleFile: String { "\(udevRules)/59-attach.rules" }
    /// Whether anything was brought up, and not all of it taken down since.
    public var hasInventoryCopy: Bool { fileExists(inventoryCopy) }

    /// Keeps a copy of the inventory at `path`, for its owner alone.
    public func keepInventory(from path: String) throws(StackError) {
        guard path != inventoryCopy, let text = readTextFile(path) else { return }
        try makeFolder(run)
        try writeFileAtomically(inventoryCopy, text, mode: 0o600)
    }

    /// Forgets that copy, once nothing of it is left up.
    public func forgetInventory() { removeFile(inventoryCopy) }

    /// Whether systemd is the service manager of this host, as sd_booted(3) finds out.
    public var systemdRuns: Bool { fileExists(systemdUnits) }
}
