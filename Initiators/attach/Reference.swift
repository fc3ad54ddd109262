import Manual
import Stack

/// What `attach --help` and attach(8) say besides commands and options.
let attachReference = ManualReference(
    exitCodes: [
        .init(0, "done"), .init(.failed, "failed"), .init(.noRoot, "not root"),
        .init(.inventory, "the inventory is wrong, or this host is not in it"),
        .init(.missing, "a program or kernel module is missing"),
        .init(.busy, "something is in use (the holders are named)"),
        .init(.mismatch, "what was found contradicts the inventory, and was not touched"),
        .init(.deadline, "a deadline passed"), .init(.noPath, "no path to a volume"),
        .init(.locked, "another run is under way"),
        .init(.secrets, "this client's CHAP secrets are missing, too short or open to others"), .init(64, "usage"),
    ],
    exitNotes: ["'status' answers like a monitoring plugin: 0 healthy, 1 degraded, 2 down, 3 unknown."],
    files: [
        .init("/etc/rack/rack.yaml", "the inventory, the same on every host"),
        .init(
            "/run/attach", "until the host goes down: locks, the monitor's state and log, the inventory that up took"),
        .init("/var/lib/attach/journal", "what was made and is to be taken down"),
        .init("/run/udev/rules.d/59-attach.rules", "keeps LVM and others off raw paths, while the stack is up"),
        .init("/run/systemd/system/attach-monitor.service", "the path daemon, while the stack is up"),
        .init("/run/systemd/system/attach-shutdown.service", "has a shutdown take it down first, while it is up"),
        .init("/etc/corosync/corosync.conf", "written by up in place of the package's example, removed by down"),
        .init("/etc/dlm/dlm.conf", "written by up where there is none, removed by down"),
    ],
    environment: [
        .init("NO_COLOR", "no colours, also on a terminal"),
        .init("JOURNAL_STREAM", "set by systemd: lines of the monitor's log then begin with their priority"),
    ],
    examples: [
        .init("attach discover 10.77.0.21 10.77.1.21", "What portals offer, without root and without an inventory"),
        .init("attach plan", "What up would do, and how long I/O can stand still at worst"),
        .init("attach up --timings", "Bringing the stack up, with what each step took"),
        .init("attach unit > /etc/systemd/system/attach.service", "Bringing it up at every boot"),
    ],
    seeAlso: [
        "rack.yaml(5)", "storaged(8)", "iscsiadm(8)", "dmsetup(8)", "lvmlockd(8)", "corosync(8)", "dlm_controld(8)",
        "gfs2(5)",
    ])

extension ManualReference.Entry {
    /// An exit code of one kind of error.
    fileprivate init(_ kind: StackError.Kind, _ meaning: String) { self.init(Int(kind.rawValue), meaning) }
}

/// The DESCRIPTION of attach(8).
let attachDescription = [
    """
    attach runs on a client. It logs in to every portal that the inventory, rack.yaml, has for this client's volumes, checks \
    each path against it, builds the multipath maps, watches them, and stacks the shared volume group and GFS2 on top.
    """,
    """
    The stack is layers: sessions, paths, maps, membership, locks, volume group, volume, filesystem. up and down look at each \
    layer, take the steps that the difference to the inventory asks for, each with a deadline, and look again. A run that \
    was killed is finished by the next one. down refuses before anything is torn when something is in use, and names it.
    """,
    """
    Queueing of I/O while no path is left is bounded: by the monitor, and by the kernel itself should the monitor be gone. plan \
    prints the longest stall.
    """,
    """
    Where systemd runs, up starts the monitor as a unit, and leaves one behind whose stop, before the network, iscsid and the \
    cluster's daemons go, takes the stack down. That of attach unit brings the stack up at boot.
    """,
]
