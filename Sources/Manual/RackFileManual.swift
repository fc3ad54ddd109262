/// The manual page rack.yaml(5): every key of the inventory, where it stands and what it does.
public enum RackFileManual {
    /// The keys of one mapping of the file.
    public struct Section: Sendable {
        /// What the mapping is, as a heading: `volumes`, `hosts: portals`.
        public var title: String
        /// What is to be said before its keys.
        public var introduction: String
        /// Key, and what it means; a key that must be there says so.
        public var keys: [ManualReference.Entry]
    }

    /// All mappings, in the order of the file.
    public static let sections: [Section] = [
        Section(
            title: "The file",
            introduction: "The file is a YAML mapping. Keys that are not listed here are errors.",
            keys: [
                .init("rack", "the rack's name, a part of every name derived from it. Required"),
                .init("iqn", "the prefix of iSCSI names: iqn., a year and month, and a domain reversed. Required"),
                .init("networks", "a list of the storage networks; portals name them"),
                .init("hosts", "a list of the storage hosts. Required"),
                .init("clients", "a list of the clients; the first one makes what is made once"),
                .init("volumes", "a list of the volumes that storage hosts serve. Required"),
                .init("volumeGroups", "a list of the volume groups that clients share"),
                .init("filesystems", "a list of the file systems that clients mount"),
                .init("timeouts", "how long what is waited for, in seconds"),
                .init("limits", "bounds of every storaged"),
                .init("faultInjection", "true lets storaged fault make units misbehave, for drills; false otherwise"),
            ]),
        Section(
            title: "networks",
            introduction: "Two paths to a volume are worth something only on two networks.",
            keys: [
                .init("name", "the network's name. Required"), .init("description", "a text for people"),
            ]),
        Section(
            title: "hosts", introduction: "",
            keys: [
                .init("name", "the host's name, by which storaged finds its part. Required"),
                .init("rack", "the rack that the host stands in, a failure domain"),
                .init("row", "the row of that rack, a failure domain"),
                .init("portals", "a list of the addresses on which storaged listens, at most 64. Required"),
            ]),
        Section(
            title: "hosts: portals", introduction: "",
            keys: [
                .init("network", "the name of the network that the address is on. Required"),
                .init("address", "an IPv4 or IPv6 address. Required"), .init("port", "the TCP port; 3260 otherwise"),
                .init("tag", "target portal group tag and relative target port; derived otherwise"),
                .init("group", "portals of a host with the same group are one target port group (ALUA)"),
            ]),
        Section(
            title: "clients", introduction: "",
            keys: [
                .init("name", "the client's name, by which attach finds its part. Required"),
                .init("address", "its address for the cluster's traffic. Required"),
                .init("nodeID", "its number in the cluster. Required"),
                .init("initiator", "its iSCSI name; derived otherwise"), .init("isid", "its ISID; derived otherwise"),
                .init("key", "its reservation key; derived otherwise"),
            ]),
        Section(
            title: "volumes",
            introduction: "A volume is one logical unit of a target of its own, served by one or more hosts.",
            keys: [
                .init("name", "the name of the volume and of its map, /dev/mapper/NAME. Required"),
                .init("size", "its size, such as 1GiB: a file that is missing is made so. Required for files"),
                .init("path", "the backing file or block device on the host. Required"),
                .init("hosts", "a list of the hosts that serve it. Required"),
                .init("wwid", "its WWID; derived otherwise"), .init("target", "its target's name; derived otherwise"),
                .init("blockSize", "the length of its logical blocks: 512, or 4096"),
                .init("readOnly", "true refuses writes"), .init("multipath", "how its paths are used"),
            ]),
        Section(
            title: "volumes: multipath", introduction: "",
            keys: [
                .init(
                    "grouping", "groupByHost (all paths to one host are used at the same time), multibus, or failover"),
                .init("selector", "the kernel's path selector: service-time, queue-length or round-robin"),
                .init("queueSeconds", "how long I/O waits once no path is left, and then fails; 60 otherwise"),
            ]),
        Section(
            title: "volumeGroups", introduction: "",
            keys: [
                .init("name", "the group's name. Required"),
                .init("volumes", "a list of the volumes that it is made of. Required"),
                .init("extentSize", "the size of an extent, a power of two; 4MiB otherwise"),
                .init("logicalVolumes", "a list of its logical volumes"),
            ]),
        Section(
            title: "volumeGroups: logicalVolumes", introduction: "One of extents and size.",
            keys: [
                .init("name", "the logical volume's name. Required"), .init("extents", "its size in extents"),
                .init("size", "its size: 2GiB, or a share of the group: 100%"),
            ]),
        Section(
            title: "filesystems", introduction: "",
            keys: [
                .init("name", "the name of the file system in its cluster. Required"), .init("type", "gfs2. Required"),
                .init("cluster", "the cluster's name, the same for all file systems. Required"),
                .init("volume", "the logical volume that it lies on: GROUP/VOLUME. Required"),
                .init("journals", "the number of its journals, at least one a client. Required"),
                .init("mount", "the folder that it is mounted on. Required"),
                .init("options", "a list of mount options, each an element of its own"),
            ]),
        Section(
            title: "timeouts", introduction: "In seconds. attach plan prints what they come to.",
            keys: [
                .init("nopInterval", "between two looks at an idle connection; 5 otherwise"),
                .init("nopTimeout", "for the answer; 5 otherwise"),
                .init("recovery", "for a lost connection to come back, before its I/O goes elsewhere; 5 otherwise"),
                .init("pathCheck", "between two checks of a path by the monitor; 2 otherwise"),
            ]),
        Section(
            title: "limits", introduction: "storaged check prints those that hold.",
            keys: [
                .init("connections", "connections in all"),
                .init("connectionsBeforeLogin", "connections that have not finished login, in all"),
                .init("connectionsBeforeLoginPerAddress", "the same, from one address"),
                .init("loginSeconds", "from accept to the end of login"),
                .init("commandsPerSession", "commands in flight a session"),
                .init("payloadMemory", "payload memory of one reactor thread, such as 64MiB"),
                .init("drainSeconds", "how long commands in flight have to finish at a shutdown"),
                .init("standstillSeconds", "a standstill after which what was queued before is not executed any more"),
                .init("abortSeconds", "how long an abort or logout waits for a store that does not answer"),
            ]),
    ]

    /// A file to begin with; a test loads it.
    public static let example = """
        rack: rack1
        iqn: iqn.2026-01.net.example
        networks: [{name: san0}, {name: san1}]
        hosts:
          - name: storage0
            portals:
              - {network: san0, address: 10.77.0.21}
              - {network: san1, address: 10.77.1.21}
        clients:
          - {name: client0, address: 10.77.9.11, nodeID: 1}
          - {name: client1, address: 10.77.9.12, nodeID: 2}
        volumes:
          - name: mpath0
            size: 1GiB
            path: /srv/storage/mpath0.img
            hosts: [storage0]
        volumeGroups:
          - name: VG0
            volumes: [mpath0]
            logicalVolumes: [{name: LV0, size: 100%}]
        filesystems:
          - name: gfs2
            type: gfs2
            cluster: client
            volume: VG0/LV0
            journals: 2
            mount: /mnt
        """

    /// The page, for man(1).
    public static var page: String {
        var page = Mdoc()
        page.macro("Dd", ManualPage.lastChange)
        page.macro("Dt", "RACK.YAML", "5")
        page.macro("Os", "rack-storage")
        page.section("NAME")
        page.macro("Nm", "rack.yaml")
        page.macro("Nd", "the inventory of a rack of storage hosts and clients")
        page.section("DESCRIPTION")
        page.paragraph(
            """
            One file describes the rack, the same on every host. storaged(8) takes the part of the storage host it runs on, \
            attach(8) that of the client. Names, WWIDs, port numbers and keys that must agree everywhere are derived from \
            the names in it, and stay the same for ever; they can be set by hand.
            """)
        page.paragraph(
            """
            storaged check and attach plan report every problem of it at once, with line and column and what to write, and \
            print what was derived. Sizes are whole numbers of bytes, or with KiB, MiB, GiB or TiB.
            """)
        page.section("KEYS")
        for section in sections {
            page.heading(section.title)
            if !section.introduction.isEmpty { page.paragraph(section.introduction) }
            page.entries(section.keys, macro: "Cm")
        }
        page.section("FILES")
        page.entries([.init("/etc/rack/rack.yaml", "where both programs look")], macro: "Pa")
        page.section("EXAMPLES")
        page.paragraph("One storage host on two networks, and one file system on two clients:")
        page.literal(example.split(separator: "\n").map(String.init))
        page.section("SEE ALSO")
        page.references(["storaged(8)", "attach(8)"])
        return page.lines.joined(separator: "\n") + "\n"
    }
}
