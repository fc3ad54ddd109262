import Rack
import Testing

private func goodRack() throws -> Inventory {
    try #require(Inventory.load(text: goodText, fileName: "rack.yaml").inventory)
}

/// These values are written into volumes, fstabs and reservations in the field. If one changes, the code is wrong, not the
/// test. Each derived one can be had with `printf %s TEXT | sha256sum`, for the TEXT in `Derivation`'s table.
@Test func identifiersNeverChange() throws {
    let rows = try goodRack().identifiers().map { row in
        "\(row.object) \(row.kind.rawValue) \(row.value)\(row.isSetByHand ? " by hand" : "")"
    }
    #expect(
        rows == [
            "volume mpath0 target iqn.2026-01.net.example:rack1:mpath0",
            "volume mpath0 wwid 336132d69e465b57d",
            "volume mpath0 map UUID mpath-336132d69e465b57d",
            "volume mpath1 target iqn.2026-01.net.example:by-hand by hand",
            "volume mpath1 wwid 33123456789abcdef by hand",
            "volume mpath1 map UUID mpath-33123456789abcdef by hand",
            "portal storage0/10.77.0.21:3260 tag 9385",
            "portal storage0/10.77.1.21:3260 tag 51815",
            "portal storage1/10.77.0.22:3260 tag 22454",
            "portal storage1/[fd00::22]:3261 tag 77 by hand",
            "client client0 initiator iqn.2026-01.net.example:rack1:client:client0",
            "client client0 isid 807a962c0000",
            "client client0 key 0x6a39baf38f696929",
            "client client1 initiator iqn.1993-08.org.debian:01:abcdef by hand",
            "client client1 isid 801234560000 by hand",
            "client client1 key 0x000000000000feed by hand",
        ])
}

@Test func wholeFileIsRead() throws {
    let load = Inventory.load(text: goodText, fileName: "rack.yaml")
    #expect(load.report == "")
    let rack = try #require(load.inventory)
    #expect(rack.name == "rack1")
    #expect(rack.iqnPrefix == "iqn.2026-01.net.example")
    #expect(rack.networks.map(\.name) == ["san0", "san1"])
    #expect(rack.networks.map(\.description) == [nil, "the second switch"])
    #expect(rack.hosts.map(\.name) == ["storage0", "storage1"])
    #expect(rack.hosts.map(\.failureDomain.rack) == ["r1", "r2"])
    #expect(rack.hosts.map(\.failureDomain.row) == ["a", nil])
    #expect(rack.hosts[1].portals.map(\.endpoint) == ["10.77.0.22:3260", "[fd00::22]:3261"])
    #expect(rack.clients.map(\.address) == ["10.77.9.11", "10.77.9.12"])
    #expect(rack.clients.map(\.nodeID) == [1, 2])
    #expect(rack.volumes.map(\.sizeBytes) == [1 << 30, 1 << 30])
    #expect(rack.volumes.map(\.blockCount) == [1 << 21, 1 << 21])
    #expect(rack.volumes.map(\.isReadOnly) == [false, false])
    #expect(rack.volumes[0].path == "/srv/storage/mpath0.img")
    #expect(rack.volumes[0].mapPath == "/dev/mapper/mpath0")
    #expect(rack.volumes[0].multipath == .standard)
    #expect(MultipathSettings.standard.grouping == .groupByHost)
    #expect(rack.volumes[1].multipath.grouping == .failover)
    #expect(rack.volumes[1].multipath.selector.tableText == "round-robin 0")
    #expect(rack.volumes[1].multipath.queueSeconds == 0)
    #expect(rack.volumeGroups.map(\.volumeNames) == [["mpath0", "mpath1"]])
    #expect(rack.volumeGroups[0].logicalVolumes.map(\.size) == [.extents(510)])
    let filesystem = try #require(rack.filesystem(named: "gfs2"))
    #expect(filesystem.lockTable == "client:gfs2")
    #expect(filesystem.devicePath == "/dev/VG0/LV0")
    #expect(filesystem.journalCount == 4)
    #expect(filesystem.mountPoint == "/mnt")
    #expect(filesystem.options == ["noatime"])
    #expect(rack.timeouts.worstStallSeconds == 21)
    #expect(rack.timeouts.pathCheckSeconds == 3)
}

@Test func viewsFollowReferences() throws {
    let rack = try goodRack()
    let group = try #require(rack.volumeGroup(named: "VG0"))
    let first = try #require(rack.volume(named: "mpath0"))
    let second = try #require(rack.volume(targetName: "iqn.2026-01.net.example:by-hand"))
    let filesystem = try #require(rack.filesystem(named: "gfs2"))
    #expect(rack.volumes(servedBy: "storage0") == [first])
    #expect(rack.volumes(servedBy: "storage1") == [second])
    #expect(rack.volumes(servedBy: "storage2").isEmpty)
    #expect(rack.portals(of: second).map(\.hostName) == ["storage1", "storage1"])
    #expect(rack.portals(of: second).map(\.tag) == [22454, 77])
    #expect(rack.volumes(of: group) == [first, second])
    #expect(rack.volumes(of: filesystem) == [first, second])
    #expect(rack.volumeGroup(using: second) == group)
    #expect(rack.logicalVolume(of: filesystem)?.name == "LV0")
    #expect(rack.filesystems(on: group) == [filesystem])
    #expect(rack.volume(wwid: 0x3123_4567_89ab_cdef) == second)
    #expect(rack.foundingClient?.name == "client0")
    #expect(rack.clusterName == "client")
    #expect(rack.expectedExtents(of: group) == 510)
    #expect(rack.expectedExtents(of: group.logicalVolumes[0], in: group) == 510)
    #expect(group.mapName(of: group.logicalVolumes[0]) == "VG0-LV0")
    #expect(rack.client(named: "client1")?.isid(qualifier: 0x0102) == [0x80, 0x12, 0x34, 0x56, 0x01, 0x02])
}

/// Adding, removing and reordering other objects must not move an identifier.
@Test func identifiersDoNotDependOnWhatElseThereIs() throws {
    let small = """
        volumes:
          - {name: aaa, size: 1GiB, path: /a, hosts: [storage9]}
          - {name: mpath0, size: 2GiB, path: /b, hosts: [storage9, storage0]}
        hosts:
          - {name: storage9, portals: [{network: n0, address: 10.0.0.9}, {network: n1, address: 10.0.1.9}]}
          - name: storage0
            portals: [{network: n0, address: 10.77.1.21}, {network: n1, address: 10.77.0.21}]
        clients:
          - {name: client9, nodeID: 9, address: client9.example.net}
          - {name: client0, nodeID: 1, address: 10.77.9.99}
        iqn: iqn.2026-01.net.example
        rack: rack1
        """
    let load = Inventory.load(text: small, fileName: "rack.yaml")
    #expect(load.report == "")
    let rack = try #require(load.inventory)
    let original = try goodRack()
    #expect(rack.volume(named: "mpath0")?.wwid == original.volume(named: "mpath0")?.wwid)
    #expect(rack.volume(named: "mpath0")?.targetName == original.volume(named: "mpath0")?.targetName)
    #expect(rack.host(named: "storage0")?.portals.map(\.tag) == [51815, 9385])
    let client = try #require(rack.client(named: "client0"))
    #expect(client.isidBase == 0x807a_962c_0000)
    #expect(client.reservationKey == 0x6a39_baf3_8f69_6929)
}

@Test func derivedIdentifiersKeepTheirFormat() throws {
    for number in 0..<300 {
        let text = """
            {rack: r\(number), iqn: iqn.2026-01.net.example,
            hosts: [{name: h, portals: [{network: a, address: h\(number).example}, {network: b, address: g.example}]}],
            clients: [{name: c, address: c.example, nodeID: 1}],
            volumes: [{name: v, size: 1MiB, path: /v, hosts: [h]}]}
            """
        let rack = try #require(Inventory.load(text: text, fileName: "r").inventory)
        #expect(rack.volumes[0].wwid >> 60 == 3)
        #expect(rack.volumes[0].wwidString.count == 17)
        #expect(rack.clients[0].isidBase >> 40 == 0x80)
        #expect(rack.clients[0].isidBase & 0xffff == 0)
        #expect(rack.clients[0].reservationKey != 0)
        #expect(rack.hosts[0].portals.allSatisfy { $0.tag >= 1 })
    }
}

@Test func aliasesRepeatValues() throws {
    var text = goodText
    for (old, new) in [("hosts: [storage0]", "hosts: &pair [storage0, storage1]")] {
        text.replaceSubrange(try #require(firstRange(of: old, in: text)), with: new)
    }
    let range = try #require(firstRange(of: "hosts:\n      - storage1", in: text))
    text.replaceSubrange(range, with: "hosts: *pair")
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    #expect(load.report == "")
    #expect(load.inventory?.volumes[1].hostNames == ["storage0", "storage1"])
}

@Test func starsAndQuestionMarksInTextStayWhatTheyAre() throws {
    var text = goodText
    let range = try #require(firstRange(of: "the second switch", in: text))
    text.replaceSubrange(range, with: "*what*? [is] it: # \\u2026")
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    #expect(load.report == "")
    #expect(load.inventory?.networks[1].description == "*what*? [is] it: # \u{2026}")
}

@Test func lineEndsAndByteOrderMarksAreUnderstood() throws {
    let dos = "\u{feff}" + goodText.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
    #expect(Inventory.load(text: dos, fileName: "rack.yaml").inventory == (try goodRack()))
}

@Test func hyphensAreDoubledAsLVMDoes() throws {
    var text = goodText
    for (old, new) in [("- name: VG0", "- name: a-b"), ("{name: LV0", "{name: c--d"), ("VG0/LV0", "a-b/c--d")] {
        text.replaceSubrange(try #require(firstRange(of: old, in: text)), with: new)
    }
    let rack = try #require(Inventory.load(text: text, fileName: "rack.yaml").inventory)
    #expect(rack.volumeGroups[0].mapName(of: rack.volumeGroups[0].logicalVolumes[0]) == "a--b-c----d")
}

@Test func logicalVolumesByShareAndSize() throws {
    for (size, extents) in [
        ("size: 2040MiB", UInt64(510)), ("size: 100%", 510), ("size: 50%", 255), ("size: 33%", 168),
    ] {
        var text = goodText
        text.replaceSubrange(try #require(firstRange(of: "extents: 510", in: text)), with: size)
        let load = Inventory.load(text: text, fileName: "rack.yaml")
        #expect(load.report == "")
        let rack = try #require(load.inventory)
        let group = rack.volumeGroups[0]
        #expect(rack.expectedExtents(of: group.logicalVolumes[0], in: group) == extents)
    }
}

/// Lengths about the hash's block of 64 bytes and its padding: 55, 56, 63, 64, 113 and 141 bytes are hashed.
private let longNames: [(rack: Int, volume: Int, wwid: UInt64)] = [
    (1, 41, 0x39eb_1d65_9ef6_6c5a),
    (1, 42, 0x3b05_cec8_169e_5566),
    (1, 49, 0x37c1_3054_ed2e_1746),
    (1, 50, 0x396c_8087_5af4_15a2),
    (64, 36, 0x30dd_57e5_1bd3_deab),
    (64, 64, 0x3a15_463b_c7ca_7230),
]

@Test(arguments: longNames)
func identifiersOfLongNames(_ rackLength: Int, _ volumeLength: Int, _ wwid: UInt64) throws {
    let text = """
        {rack: \(String(repeating: "r", count: rackLength)), iqn: iqn.2026-01.net.example,
        hosts: [{name: h, portals: [{network: a, address: a.example}, {network: b, address: b.example}]}],
        volumes: [{name: \(String(repeating: "v", count: volumeLength)), size: 1MiB, path: /v, hosts: [h]}]}
        """
    #expect(try #require(Inventory.load(text: text, fileName: "r").inventory).volumes[0].wwid == wwid)
}
