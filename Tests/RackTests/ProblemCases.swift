// Edits of the good file, and what is said about each: the whole report, to the column.

let problemCases: [ProblemCase] = [
    ProblemCase(
        "unknown key near a known one",
        edits: [
            ("    size: 1GiB\n", "    sise: 1GiB\n")
        ],
        report: [
            "rack.yaml:29:5: error: volume mpath0: unknown key \"sise\"; write \"size\""
        ]),
    ProblemCase(
        "unknown key far from all",
        edits: [
            ("    size: 1GiB\n", "    size: 1GiB\n    colour: blue\n")
        ],
        report: [
            "rack.yaml:30:5: error: volume mpath0: unknown key \"colour\"; write one of name, size, path, "
                + "hosts, clients, wwid, target, blockSize, readOnly, multipath"
        ]),
    ProblemCase(
        "unknown key at the top",
        edits: [
            ("timeouts:\n", "timeout:\n")
        ],
        report: [
            "rack.yaml:56:1: error: the inventory: unknown key \"timeout\"; write \"timeouts\""
        ]),
    ProblemCase(
        "merge key",
        edits: [
            ("  - {name: client0, ", "  - &c {name: client0, "),
            ("  - name: client1\n", "  - <<: *c\n    name: client1\n"),
        ],
        report: [
            "rack.yaml:21:5: error: client client1: unknown key \"<<\"; write its keys out, merge keys are not read"
        ]),
    ProblemCase(
        "duplicate keys",
        edits: [
            ("rack: rack1\n", "rack: rack1\nrack: rack2\n"),
            ("    size: 1GiB\n", "    size: 1GiB\n    \"size\": 2GiB\n    size: 3GiB\n"),
            ("mount: /mnt", "mount: /mnt/"),
        ],
        report: [
            "rack.yaml:3:1: error: the inventory: the key \"rack\" is given a second time (first on line 2); "
                + "keep one of them",
            "rack.yaml:31:5: error: volume mpath0: the key \"size\" is given a second time (first on line 30); "
                + "keep one of them",
            "rack.yaml:32:5: error: volume mpath0: the key \"size\" is given a second time (first on line 30); "
                + "keep one of them",
            "rack.yaml:57:12: error: filesystem gfs2: mount \"/mnt/\" holds an empty, \".\" or \"..\" part, or "
                + "is too long; write an absolute path such as /mnt",
        ]),
    ProblemCase(
        "missing keys at the top",
        edits: [
            ("rack: rack1\n", ""),
            ("iqn: iqn.2026-01.net.example\n", ""),
        ],
        report: [
            "rack.yaml:2:1: error: the inventory has no rack; write rack: NAME, the rack's name",
            "rack.yaml:2:1: error: the inventory has no iqn; write iqn: iqn.2026-01.net.example, a date and a "
                + "domain of yours reversed",
        ]),
    ProblemCase(
        "missing keys of objects",
        edits: [
            ("{network: san1, address: 10.77.1.21}", "{port: 3260}"),
            (", nodeID: 1}", "}"),
            ("    size: 1GiB\n", ""),
            ("    type: gfs2\n", ""),
            ("    volumes: [mpath0, mpath1]\n", ""),
        ],
        report: [
            "rack.yaml:13:9: error: host storage0, portal number 2 has no network; write network: san0",
            "rack.yaml:13:9: error: host storage0, portal number 2 has no address; write address: 10.77.0.21",
            "rack.yaml:20:5: error: client client0 has no nodeID; write nodeID: 1",
            "rack.yaml:28:5: error: volume mpath0 has no size; write size: 1GiB",
            "rack.yaml:42:5: error: volume group VG0 has no volumes; write volumes: [mpath0]",
            "rack.yaml:47:5: error: filesystem gfs2 has no type; write type: gfs2",
        ]),
    ProblemCase(
        "keys without a value",
        edits: [
            ("    size: 1GiB\n", "    size:\n"),
            ("rack: rack1", "rack: ~"),
        ],
        report: [
            "rack.yaml:2:1: error: the inventory: rack has no value; write rack: NAME, the rack's name",
            "rack.yaml:29:5: error: volume mpath0: size has no value; write size: 1GiB",
        ]),
    ProblemCase(
        "wrong types",
        edits: [
            ("    hosts: [storage0]", "    hosts: storage0"),
            ("    path: /srv/storage/mpath0.img", "    path: [/srv]"),
            (
                "networks:\n  - name: san0\n  - {name: san1, description: \"the second switch\"}",
                "networks: {name: san0}"
            ),
            ("nodeID: 2", "nodeID: two"),
            ("readOnly: no", "readOnly: perhaps"),
            ("  {nopInterval: 6, nopTimeout: 7, recovery: 8, pathCheck: 3}", "  [5, 5]"),
            ("  - {name: client0, address: 10.77.9.11, nodeID: 1}", "  - client0"),
        ],
        report: [
            "rack.yaml:4:11: error: the inventory: networks is a mapping in place of a list; write networks: [...]",
            "rack.yaml:18:5: error: client number 1 is the text \"client0\" in place of keys with values; "
                + "write \"key: value\" lines",
            "rack.yaml:21:13: error: client client1: nodeID is \"two\", no whole number; write a number from 1 "
                + "to 2147483647",
            "rack.yaml:28:11: error: volume mpath0: path is a list in place of one value; write a single value",
            "rack.yaml:29:12: error: volume mpath0: hosts is the text \"storage0\" in place of a list; write "
                + "hosts: [storage0]",
            "rack.yaml:38:15: error: volume mpath1: readOnly is \"perhaps\"; write true or false",
            "rack.yaml:55:3: error: timeouts is a list in place of keys with values; write \"key: value\" lines",
        ]),
    ProblemCase(
        "duplicate names",
        edits: [
            ("  - name: storage1", "  - name: storage0"),
            ("- name: client1", "- name: client0"),
            ("- name: mpath1", "- name: mpath0"),
            ("{name: san1, ", "{name: san0, "),
        ],
        report: [
            "rack.yaml:6:12: error: network san0: the name is taken, on line 5; write another name",
            "rack.yaml:13:19: error: host storage0: network \"san1\" is not in the list of networks; write \"san0\"",
            "rack.yaml:14:11: error: host storage0: the name is taken, on line 8; write another name",
            "rack.yaml:18:19: error: host storage0: network \"san1\" is not in the list of networks; write \"san0\"",
            "rack.yaml:21:11: error: client client0: the name is taken, on line 20; write another name",
            "rack.yaml:32:11: error: volume mpath0: the name is taken, on line 28; write another name",
            "rack.yaml:36:9: error: volume mpath0: host \"storage1\" is not declared; write \"storage0\"",
            "rack.yaml:44:23: error: volume group VG0: volume \"mpath1\" is not declared; write \"mpath0\"",
        ]),
    ProblemCase(
        "names that break the rules",
        edits: [
            ("rack: rack1", "rack: Rack1"),
            ("- name: client1", "- name: -client1"),
            ("- name: VG0", "- name: VG 0"),
            ("{name: LV0,", "{name: LV0_tmeta,"),
            ("- name: mpath1", "- name: control"),
            ("    cluster: client", "    cluster: client.a"),
            ("  - name: gfs2", "  - name: abcdefghijklmnopqrstuvwxyz01234"),
        ],
        report: [
            "rack.yaml:2:7: error: the inventory, rack: the name \"Rack1\" holds a character that is not "
                + "allowed here; write only lower case letters, digits, '-' and '.' (it becomes part of an iSCSI "
                + "name)",
            "rack.yaml:21:11: error: client -client1: the name \"-client1\" begins or ends with '-' or '.'; "
                + "begin and end it with a letter or digit",
            "rack.yaml:32:11: error: volume control: /dev/mapper/control is device-mapper's own node; write "
                + "another name",
            "rack.yaml:43:11: error: volume group number 1: the name \"VG 0\" holds a character that is not "
                + "allowed here; write only letters, digits, '_', '.', '+' and '-' (LVM's rule)",
            "rack.yaml:44:23: error: volume group number 1: volume \"mpath1\" is not declared; write \"mpath0\"",
            "rack.yaml:47:16: error: logical volume LV0_tmeta: LVM keeps names with \"_tmeta\" for its own "
                + "volumes, so \"LV0_tmeta\" is refused; write another name",
            "rack.yaml:49:11: error: filesystem abcdefghijklmnopqrstuvwxyz01234: the name "
                + "\"abcdefghijklmnopqrstuvwxyz01234\" has 31 characters, and at most 30 are allowed; write a "
                + "shorter one",
            "rack.yaml:51:14: error: filesystem abcdefghijklmnopqrstuvwxyz01234, cluster: the name "
                + "\"client.a\" holds a character that is not allowed here; write only letters, digits, '_' and '-' "
                + "(it becomes part of a GFS2 lock table)",
            "rack.yaml:52:13: error: filesystem abcdefghijklmnopqrstuvwxyz01234: volume group \"VG0\" is not "
                + "declared; write \"VG 0\"",
        ]),
    ProblemCase(
        "cluster name too long",
        edits: [
            ("cluster: client", "cluster: abcdefghijklmnopqrstuvwxyz0123456")
        ],
        report: [
            "rack.yaml:51:14: error: filesystem gfs2, cluster: the name \"abcdefghijklmnopqrstuvwxyz0123456\" "
                + "has 33 characters, and at most 32 are allowed; write a shorter one"
        ]),
    ProblemCase(
        "IQN prefixes",
        edits: [
            ("iqn: iqn.2026-01.net.example", "iqn: iqn.2026-13.net.example")
        ],
        report: [
            "rack.yaml:3:6: error: iqn: \"iqn.2026-13.net.example\" has no month from 01 to 12; write one such "
                + "as iqn.2026-01.net.example"
        ]),
    ProblemCase(
        "IQN prefix without date",
        edits: [
            ("iqn: iqn.2026-01.net.example", "iqn: iqn.net.example")
        ],
        report: [
            "rack.yaml:3:6: error: iqn: \"iqn.net.example\" has no year and month after \"iqn.\"; write one "
                + "such as iqn.2026-01.net.example"
        ]),
    ProblemCase(
        "duplicate portals",
        edits: [
            ("address: 10.77.0.22", "address: 10.77.0.21")
        ],
        report: [
            "rack.yaml:17:34: error: host storage1: portal 10.77.0.21:3260 is given to host storage0 already, "
                + "on line 12; write another address or port"
        ]),
    ProblemCase(
        "one address on two hosts",
        edits: [
            ("address: 10.77.0.22", "address: 10.77.0.21, port: 3261")
        ],
        report: [
            "rack.yaml:17:34: warning: host storage1: address 10.77.0.21 is host storage0's too, on line 12; "
                + "write each host's own address, unless both run on one machine"
        ]),
    ProblemCase(
        "bad addresses",
        edits: [
            ("address: 10.77.0.22", "address: 10.77.0.256"),
            ("\"fd00:0:0::22\"", "\"fd00::22::1\""),
            ("address: 10.77.1.21", "address: 0.0.0.0"),
            ("address: 10.77.9.11", "address: under_score"),
            ("address: 10.77.9.12", "address: \"fe80::1%eth0\""),
        ],
        report: [
            "rack.yaml:13:34: error: host storage0, portal number 2: address 0.0.0.0 stands for any address, "
                + "and others must reach it; write the address itself, such as 10.77.0.21",
            "rack.yaml:17:34: error: host storage1, portal number 1: address \"10.77.0.256\" is no IPv4 "
                + "address; write four numbers from 0 to 255 without leading zeros, such as 10.77.0.21",
            "rack.yaml:18:34: error: host storage1, portal number 2: address \"fd00::22::1\" is no IPv6 "
                + "address; write one such as fd00::21, without brackets or port",
            "rack.yaml:20:30: error: client client0: address \"under_score\" is neither an address nor a host "
                + "name; write an address such as 10.77.0.21, or a name of letters, digits, hyphens and dots",
            "rack.yaml:22:14: error: client client1: address \"fe80::1%eth0\" names a zone, which means "
                + "nothing on another host; write a global or unique local address, such as fd00::21",
        ]),
    ProblemCase(
        "ports and tags out of bounds",
        edits: [
            ("port: 3260", "port: 65536"),
            ("port: 3261, tag: 77", "port: 0, tag: 0"),
        ],
        report: [
            "rack.yaml:12:52: error: host storage0, portal number 1: port is \"65536\", out of bounds; write a "
                + "number from 1 to 65535",
            "rack.yaml:18:56: error: host storage1, portal number 2: port is \"0\", out of bounds; write a "
                + "number from 1 to 65535",
            "rack.yaml:18:64: error: host storage1, portal number 2: tag is \"0\", out of bounds; write a "
                + "number from 1 to 65535",
        ]),
    ProblemCase(
        "tags by hand that collide",
        edits: [
            ("10.77.0.21, port: 3260}", "10.77.0.21, tag: 77}"),
            ("hosts: [storage0]", "hosts: [storage0, storage1]"),
        ],
        report: [
            "rack.yaml:18:67: error: host storage1: the portal's tag 77 is that of host storage0's portal on "
                + "line 12, and both serve volume mpath0; write tag: 1 there by hand, or another number that is free"
        ]),
    ProblemCase(
        "a group's number that a portal has",
        edits: [
            ("tag: 77}", "tag: 77, group: slow}"),
            ("10.77.0.22}", "10.77.0.22, tag: 24144}"),
        ],
        report: [
            "rack.yaml:18:78: error: host storage1: group \"slow\" comes to the number 24144 of host storage1's portal on "
                + "line 17, and both serve volume mpath1; write another name"
        ]),
    ProblemCase(
        "a group whose name is none",
        edits: [
            ("tag: 77}", "tag: 77, group: a/b}")
        ],
        report: [
            "rack.yaml:18:78: error: host storage1, portal number 2, group: the name \"a/b\" holds a character that is "
                + "not allowed here; write only letters, digits, '_', '-' and '.'"
        ]),
    ProblemCase(
        "unknown network",
        edits: [
            ("{network: san1, address: 10.77.1.21}", "{network: sna1, address: 10.77.1.21}")
        ],
        report: [
            "rack.yaml:13:19: error: host storage0: network \"sna1\" is not in the list of networks; write \"san1\""
        ]),
    ProblemCase(
        "client duplicates",
        edits: [
            ("address: 10.77.9.12", "address: 10.77.9.11"),
            ("nodeID: 2", "nodeID: 1"),
            (
                "{name: client0, address: 10.77.9.11, nodeID: 1}",
                "{name: client0, address: 10.77.9.11, nodeID: 1, key: \"0xFEED\", isid: 801234560000, initiator: \"iqn.1993-08.org.debian:01:abcdef\"}"
            ),
        ],
        report: [
            "rack.yaml:22:14: error: client client1: address 10.77.9.11 is client client0's, on line 20; write "
                + "each client's own address",
            "rack.yaml:23:13: error: client client1: nodeID 1 is client client0's, on line 20; write nodeID: 2",
            "rack.yaml:24:16: error: client client1: the iSCSI name iqn.1993-08.org.debian:01:abcdef is client "
                + "client0's, on line 20; write a name of its own, or remove it and let it be derived",
            "rack.yaml:25:11: error: client client1: isid 801234560000 is client client0's, on line 20; write "
                + "an isid of its own, such as isid: 80a1b2c30000",
            "rack.yaml:26:10: error: client client1: key 0x000000000000feed is client client0's, on line 20; "
                + "write a key of its own, or remove it and let it be derived",
        ]),
    ProblemCase(
        "identifiers by hand that are none",
        edits: [
            ("wwid: 3123456789abcdef", "wwid: 6123456789abcdef"),
            ("target: iqn.2026-01.net.example:by-hand", "target: iqn.2026-01.net.example:By-Hand"),
            ("initiator: iqn.1993-08.org.debian:01:abcdef", "initiator: eui.12"),
            ("\"80:12:34:56:00:00\"", "c01234560000"),
            ("key: 0xfeed", "key: 0"),
        ],
        report: [
            "rack.yaml:24:16: error: client client1: initiator \"eui.12\" does not have 16 hexadecimal digits "
                + "after \"eui.\"; write one such as iqn.2026-01.net.example:disk0, or remove the key and let it be "
                + "derived",
            "rack.yaml:25:11: error: client client1: isid \"c01234560000\" is no base of initiator session "
                + "ids; write 12 hexadecimal digits such as 80a1b2c30000: the first two at most bf, the last four 0",
            "rack.yaml:26:10: error: client client1: key \"0\" is no reservation key; write 0x and 1 to 16 "
                + "hexadecimal digits, not all of them 0",
            "rack.yaml:37:11: error: volume mpath1: wwid \"6123456789abcdef\" is no locally assigned NAA "
                + "identifier; write 16 hexadecimal digits of which the first is 3",
            "rack.yaml:38:13: error: volume mpath1: target \"iqn.2026-01.net.example:By-Hand\" holds a "
                + "character that iSCSI names don't, or ends in a colon; write one such as "
                + "iqn.2026-01.net.example:disk0, or remove the key and let it be derived",
        ]),
    ProblemCase(
        "one WWID, target and path for two volumes",
        edits: [
            (
                "    path: /srv/storage/mpath0.img\n",
                "    path: /srv/storage/mpath1.img\n    wwid: 3123456789abcdef\n    target: iqn.2026-01.net.example:by-hand\n"
            ),
            ("    hosts: [storage0]", "    hosts: [storage0, storage1]"),
        ],
        report: [
            "rack.yaml:36:11: error: volume mpath1: path \"/srv/storage/mpath1.img\" is volume mpath0's on "
                + "host storage1, on line 30; write a path of its own",
            "rack.yaml:39:11: error: volume mpath1: wwid 3123456789abcdef is volume mpath0's, on line 31; "
                + "write a wwid of its own, or remove it and let it be derived",
            "rack.yaml:40:13: error: volume mpath1: the iSCSI name iqn.2026-01.net.example:by-hand is volume "
                + "mpath0's, on line 32; write a name of its own, or remove it and let it be derived",
        ]),
    ProblemCase(
        "target and initiator with one name",
        edits: [
            ("target: iqn.2026-01.net.example:by-hand", "target: iqn.1993-08.org.debian:01:abcdef")
        ],
        report: [
            "rack.yaml:24:16: error: client client1: the iSCSI name iqn.1993-08.org.debian:01:abcdef is volume "
                + "mpath1's, on line 38; write a name of its own, or remove it and let it be derived"
        ]),
    ProblemCase(
        "volume served by no host",
        edits: [
            ("hosts: [storage0]", "hosts: []")
        ],
        report: [
            "rack.yaml:31:12: error: volume mpath0 is served by no host; write hosts: [storage0]"
        ]),
    ProblemCase(
        "volume served by an unknown host",
        edits: [
            ("hosts: [storage0]", "hosts: [storage0, storgae1, storage0]")
        ],
        report: [
            "rack.yaml:31:23: error: volume mpath0: host \"storgae1\" is not declared; write \"storage1\"",
            "rack.yaml:31:33: error: volume mpath0: host storage0 is listed twice; keep one of them",
        ]),
    ProblemCase(
        "portals on one network only",
        edits: [
            ("      - {network: san1, address: 10.77.1.21}\n", "")
        ],
        report: [
            "rack.yaml:27:11: warning: volume mpath0: all its portals are on network san0, whose loss takes "
                + "every path; write a portal on a second network for one of its hosts"
        ]),
    ProblemCase(
        "sizes",
        edits: [
            ("size: 1GiB", "size: 1000"),
            ("size: 1073741824", "size: 1G"),
        ],
        report: [
            "rack.yaml:29:11: error: volume mpath0: 1000 bytes are no whole number of 512-byte blocks; write "
                + "512 or 1024",
            "rack.yaml:33:11: error: volume mpath1: size: \"1G\": the unit G could mean 1,024 or 1,000; write "
                + "1GiB or 1GB",
        ]),
    ProblemCase(
        "sizes again",
        edits: [
            ("size: 1GiB", "size: big"),
            ("size: 1073741824", "size: 0"),
        ],
        report: [
            "rack.yaml:29:11: error: volume mpath0: size: \"big\" is no size; write a size such as 1GiB, "
                + "512MiB, 2TB or 1073741824",
            "rack.yaml:33:11: error: volume mpath1: size is \"0\", out of bounds; write a size from 1MiB up to 7EiB",
        ]),
    ProblemCase(
        "sizes and blocks",
        edits: [
            ("size: 1GiB", "size: 5KB"),
            ("blockSize: 512", "blockSize: 1024"),
        ],
        report: [
            "rack.yaml:29:11: error: volume mpath0: 5000 bytes are no whole number of 512-byte blocks; write "
                + "4608 or 5120",
            "rack.yaml:39:16: error: volume mpath1: a block of 1024 bytes is not offered; write 512 or 4096",
            "rack.yaml:47:30: error: logical volume LV0: 510 extents in all are more than the 255 that VG0 "
                + "will hold; write at most 255 in all, or larger volumes",
        ]),
    ProblemCase(
        "paths",
        edits: [
            ("path: /srv/storage/mpath0.img", "path: mpath0.img"),
            ("path: /srv/storage/mpath1.img", "path: /srv/../mpath1.img"),
        ],
        report: [
            "rack.yaml:30:11: error: volume mpath0: path \"mpath0.img\" does not begin with /; write an "
                + "absolute path such as /srv/storage/mpath0.img",
            "rack.yaml:34:11: error: volume mpath1: path \"/srv/../mpath1.img\" holds an empty, \".\" or "
                + "\"..\" part, or is too long; write an absolute path such as /srv/storage/mpath1.img",
        ]),
    ProblemCase(
        "multipath settings",
        edits: [
            (
                "grouping: failover, selector: \"round-robin 0\", queueSeconds: 0",
                "grouping: failovre, selector: fastest, queueSeconds: -1"
            )
        ],
        report: [
            "rack.yaml:41:27: error: volume mpath1, multipath: unknown grouping \"failovre\"; write \"failover\"",
            "rack.yaml:41:47: error: volume mpath1, multipath: unknown selector \"fastest\"; write one of "
                + "service-time, round-robin, queue-length",
            "rack.yaml:41:70: error: volume mpath1, multipath: queueSeconds is \"-1\", no whole number; write "
                + "a number from 0 to 86400",
        ]),
]
