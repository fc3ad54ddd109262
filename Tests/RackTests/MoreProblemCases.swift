// The second half of the table in ProblemCases.swift.

let moreProblemCases: [ProblemCase] = [
    ProblemCase(
        "group of unknown and repeated volumes",
        edits: [
            ("volumes: [mpath0, mpath1]", "volumes: [mpath0, mpath2, mpath0]")
        ],
        report: [
            "rack.yaml:44:23: error: volume group VG0: volume \"mpath2\" is not declared; write \"mpath0\"",
            "rack.yaml:44:31: error: volume group VG0: volume mpath0 is in volume group VG0 already, on line "
                + "44; write each volume once, in one group",
        ]),
    ProblemCase(
        "a volume in two groups",
        edits: [
            ("filesystems:\n", "  - name: VG1\n    volumes: [mpath1]\nfilesystems:\n")
        ],
        report: [
            "rack.yaml:49:15: error: volume group VG1: volume mpath1 is in volume group VG0 already, on line "
                + "44; write each volume once, in one group"
        ]),
    ProblemCase(
        "read-only and mixed volumes in a group",
        edits: [
            ("blockSize: 512\n    readOnly: no", "blockSize: 4096\n    readOnly: yes")
        ],
        report: [
            "rack.yaml:44:23: error: volume group VG0: volume mpath1 is read-only, and LVM writes to it; "
                + "remove readOnly there, or the volume here",
            "rack.yaml:44:23: error: volume group VG0: volume mpath1 has blocks of 4096 bytes and volume "
                + "mpath0 of 512, which LVM does not mix; write volumes of one blockSize",
        ]),
    ProblemCase(
        "more extents than expected",
        edits: [
            ("extents: 510", "extents: 512")
        ],
        report: [
            "rack.yaml:47:30: warning: logical volume LV0: 512 extents in all are more than the 510 that VG0 "
                + "will hold (LVM keeps 1 MiB of each volume); write at most 510 in all, or larger volumes"
        ]),
    ProblemCase(
        "more extents than there can be",
        edits: [
            ("extents: 510", "extents: 513")
        ],
        report: [
            "rack.yaml:47:30: error: logical volume LV0: 513 extents in all are more than the 510 that VG0 "
                + "will hold; write at most 510 in all, or larger volumes"
        ]),
    ProblemCase(
        "logical volume sizes",
        edits: [
            ("{name: LV0, extents: 510}", "{name: LV0, size: 6MB}")
        ],
        report: [
            "rack.yaml:47:27: error: logical volume LV0: \"6MB\" is no whole number of 4 MiB extents; write "
                + "extents: 2 or extents: 1"
        ]),
    ProblemCase(
        "logical volume without a size",
        edits: [
            ("{name: LV0, extents: 510}", "{name: LV0}")
        ],
        report: [
            "rack.yaml:47:9: error: logical volume LV0 has no size; write extents: 510, or size: 2GiB, or size: 100%"
        ]),
    ProblemCase(
        "logical volume with two sizes",
        edits: [
            ("{name: LV0, extents: 510}", "{name: LV0, extents: 1, size: 4MiB}")
        ],
        report: [
            "rack.yaml:47:33: error: logical volume LV0 has both extents and size; keep one of them"
        ]),
    ProblemCase(
        "logical volume shares",
        edits: [
            ("{name: LV0, extents: 510}", "{name: LV0, size: 101%}")
        ],
        report: [
            "rack.yaml:47:27: error: logical volume LV0: size \"101%\" is no share of the group; write 1% to 100%"
        ]),
    ProblemCase(
        "extent size",
        edits: [
            ("extentSize: 4MiB", "extentSize: 3MiB")
        ],
        report: [
            "rack.yaml:45:17: error: volume group VG0: extentSize is no power of two from 128KiB to 16GiB; "
                + "write extentSize: 4MiB"
        ]),
    ProblemCase(
        "a map with two names",
        edits: [
            ("- name: mpath1", "- name: vg0-lv0"),
            ("volumes: [mpath0, mpath1]", "volumes: [mpath0, vg0-lv0]"),
            ("- name: VG0", "- name: vg0"),
            ("{name: LV0", "{name: lv0"),
            ("VG0/LV0", "vg0/lv0"),
        ],
        report: [
            "rack.yaml:47:16: error: logical volume lv0: its map /dev/mapper/vg0-lv0 has the name of volume "
                + "vg0-lv0, on line 32; write another name for one of them"
        ]),
    ProblemCase(
        "unknown group",
        edits: [
            ("volume: VG0/LV0", "volume: VG1/LV0")
        ],
        report: [
            "rack.yaml:52:13: error: filesystem gfs2: volume group \"VG1\" is not declared; write \"VG0\""
        ]),
    ProblemCase(
        "unknown logical volume",
        edits: [
            ("volume: VG0/LV0", "volume: VG0/root")
        ],
        report: [
            "rack.yaml:52:13: error: filesystem gfs2: volume group VG0 has no logical volume \"root\"; write LV0"
        ]),
    ProblemCase(
        "volume that is no path",
        edits: [
            ("volume: VG0/LV0", "volume: LV0")
        ],
        report: [
            "rack.yaml:52:13: error: filesystem gfs2: volume \"LV0\" is not of the form GROUP/VOLUME; write "
                + "one such as VG0/LV0"
        ]),
    ProblemCase(
        "fewer journals than clients",
        edits: [
            ("journals: 4", "journals: 1")
        ],
        report: [
            "rack.yaml:53:15: error: filesystem gfs2: 1 journal for 2 clients, each of which needs one; write "
                + "journals: 2 or more"
        ]),
    ProblemCase(
        "filesystem type",
        edits: [
            ("type: gfs2", "type: ext4")
        ],
        report: [
            "rack.yaml:50:11: error: filesystem gfs2: unknown type \"ext4\"; write gfs2"
        ]),
    ProblemCase(
        "mount point and options",
        edits: [
            ("mount: /mnt", "mount: mnt"),
            ("options: [noatime]", "options: [\"noatime,ro\", locktable=a]"),
        ],
        report: [
            "rack.yaml:54:12: error: filesystem gfs2: mount \"mnt\" does not begin with /; write an absolute "
                + "path such as /mnt",
            "rack.yaml:55:15: error: filesystem gfs2: \"noatime,ro\" is no mount option; write each option as "
                + "an element of its own: [noatime, nodiratime]",
            "rack.yaml:55:29: error: filesystem gfs2: \"locktable=a\" is derived from cluster and name; remove it",
        ]),
    ProblemCase(
        "mounted on the root",
        edits: [
            ("mount: /mnt", "mount: /")
        ],
        report: [
            "rack.yaml:54:12: error: filesystem gfs2: \"/\" is no place to mount on; write a folder's absolute "
                + "path without spaces, such as /mnt"
        ]),
    ProblemCase(
        "two filesystems in one place",
        edits: [
            (
                "timeouts:\n",
                "  - {name: gfs3, type: gfs2, cluster: other, volume: VG0/LV0, journals: 2, mount: /mnt}\ntimeouts:\n"
            )
        ],
        report: [
            "rack.yaml:56:39: error: filesystem gfs3: cluster \"other\" is not the \"client\" of line 51, and "
                + "a client is in one cluster only; write cluster: client",
            "rack.yaml:56:54: error: filesystem gfs3: VG0/LV0 is filesystem gfs2's, on line 52; write a "
                + "logical volume of its own",
            "rack.yaml:56:83: error: filesystem gfs3: /mnt is where filesystem gfs2 is mounted, on line 54; "
                + "write a mount point of its own",
        ]),
    ProblemCase(
        "no client",
        edits: [
            (
                "clients:\n  - {name: client0, address: 10.77.9.11, nodeID: 1}\n  - name: client1\n    address: 10.77.9.12\n    nodeID: 2\n    initiator: iqn.1993-08.org.debian:01:abcdef\n    isid: \"80:12:34:56:00:00\"\n    key: 0xfeed\n",
                ""
            )
        ],
        report: [
            "rack.yaml:41:5: error: filesystem gfs2: there is no client to mount it; write clients: and a "
                + "list, each with name, address and nodeID"
        ]),
    ProblemCase(
        "timeouts",
        edits: [
            ("nopInterval: 6, nopTimeout: 7", "nopInterval: 0, noptimeout: 7")
        ],
        report: [
            "rack.yaml:57:17: error: timeouts: nopInterval is \"0\", out of bounds; write a number from 1 to 3600",
            "rack.yaml:57:20: error: timeouts: unknown key \"noptimeout\"; write \"nopTimeout\"",
        ]),
    ProblemCase(
        "tab for indentation",
        edits: [
            ("    size: 1GiB\n", "\tsize: 1GiB\n")
        ],
        report: [
            "rack.yaml:29:1: error: this is not YAML: found a tab character that violates indentation while "
                + "scanning a plain scalar that begins on line 28; look at the indentation, colons and quotation "
                + "marks here and just above"
        ]),
    ProblemCase(
        "bracket left open",
        edits: [
            ("hosts: [storage0]", "hosts: [storage0")
        ],
        report: [
            "rack.yaml:32:9: error: this is not YAML: did not find expected ',' or ']' while parsing a flow "
                + "sequence that begins on line 31; write a comma between values and close every [ and {"
        ]),
    ProblemCase(
        "quotation mark left open",
        edits: [
            ("description: \"the second switch\"", "description: \"the second switch")
        ],
        report: [
            "rack.yaml:18:35: error: this is not YAML: did not find expected ',' or '}' while parsing a flow "
                + "mapping that begins on line 6; write a comma between values and close every [ and {"
        ]),
    ProblemCase(
        "two colons on a line",
        edits: [
            ("path: /srv/storage/mpath0.img", "path: a: b")
        ],
        report: [
            "rack.yaml:30:12: error: this is not YAML: mapping values are not allowed in this context; write "
                + "each key on a line of its own, and quote a value that contains \": \""
        ]),
    ProblemCase(
        "second document",
        edits: [
            ("timeouts:\n", "---\ntimeouts:\n")
        ],
        report: [
            "rack.yaml:56:1: error: a second document begins here; keep one inventory in a file, without --- inside"
        ]),
    ProblemCase(
        "alias to nothing",
        edits: [
            ("hosts: [storage0]", "hosts: *pair")
        ],
        report: [
            "rack.yaml:31:12: error: the alias \"*pair\" refers to nothing above it; write &pair before the "
                + "value it stands for, or quote a text that begins with *"
        ]),
    ProblemCase(
        "tag",
        edits: [
            ("nodeID: 2", "nodeID: !!int 2")
        ],
        report: [
            "rack.yaml:23:13: error: the tag \"!!int\" is not read; write the value without a tag"
        ]),
    ProblemCase(
        "explicit key",
        edits: [
            ("  {nopInterval: 6, nopTimeout: 7, recovery: 8, pathCheck: 3}", "  ? nopInterval\n  : 5")
        ],
        report: [
            "rack.yaml:58:3: error: this is not YAML: did not find expected key while parsing a block mapping "
                + "that begins on line 2; look at the indentation, colons and quotation marks here and just above"
        ]),
    ProblemCase(
        "list as a key",
        edits: [
            ("{nopInterval: 6,", "{[nopInterval]: 6,")
        ],
        report: [
            "rack.yaml:57:4: error: a key must be a word, and this is a list or a mapping; write \"key: value\""
        ]),
    ProblemCase(
        "control character",
        edits: [
            ("size: 1GiB", "size: 1\u{7}GiB")
        ],
        report: [
            "rack.yaml:29:12: error: the character U+0007 has no place in an inventory; remove it"
        ]),
    ProblemCase(
        "NUL",
        edits: [
            ("size: 1GiB", "size: 1\u{0}GiB")
        ],
        report: [
            "rack.yaml:29:12: error: the character U+0000 has no place in an inventory; write the file as text "
                + "in UTF-8"
        ]),
]
