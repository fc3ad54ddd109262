import Manual

/// What `storaged --help` and storaged(8) say besides commands and options.
let storagedReference = ManualReference(
    exitCodes: [
        .init(0, "done"), .init(1, "failed"), .init(10, "no permission"),
        .init(11, "the inventory is wrong, or this host is not in it"),
        .init(12, "a file, folder or address is missing"), .init(13, "a portal or file is in use"),
        .init(14, "a size is not the one declared"), .init(64, "usage"),
    ],
    exitNotes: ["`status`: 0 healthy, 1 warning, 2 critical, 3 unknown."],
    files: [
        .init("/etc/rack/rack.yaml", "the inventory, the same on every host"),
        .init("/run/storaged/control.sock", "the control socket, for its owner and root"),
        .init(
            "/var/lib/storaged", "what outlives the daemon: reservations, access states of ports, what is drained"),
    ],
    environment: [
        .init("STORAGED_SOCKET", "the control socket, where --socket is not given"),
        .init("STATE_DIRECTORY", "the folder for what outlives the daemon, as systemd sets it"),
        .init("RUNTIME_DIRECTORY", "the folder of the control socket that a daemon makes, as systemd sets it"),
        .init("XDG_RUNTIME_DIR", "where a daemon that is not root's has its control socket"),
        .init("JOURNAL_STREAM", "set by systemd: lines of the log then begin with their priority"),
    ],
    examples: [
        .init("storaged check --rack /etc/rack/rack.yaml", "What this host would serve, and what stands in the way"),
        .init("storaged export disk.img --size 10GiB --portal 192.0.2.1", "One file, without an inventory"),
        .init("storaged drain --portal 10.77.0.21", "Before work on one network port"),
    ],
    seeAlso: ["rack.yaml(5)", "attach(8)", "systemd.service(5)", "targetcli(8)"])

/// The DESCRIPTION of storaged(8).
let storagedDescription = [
    """
    storaged exports backing files and block devices of a storage host as iSCSI targets (RFC 7143) over one or several \
    portals. One inventory, rack.yaml, describes the rack; storaged takes the part of the host it runs on, and attach on the \
    clients takes theirs.
    """,
    """
    Names, WWIDs and port numbers come from the inventory, so they are the same after every start and on every host. Portals \
    open last, after every file and reservation was read, and close first.
    """,
    """
    SIGTERM closes the portals, answers what is in flight, flushes and ends with 0; a second one ends at once. SIGHUP reads the \
    inventory again and applies the difference, or says why not and goes on as before.
    """,
]
