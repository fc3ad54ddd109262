import Rack
import Testing

private func edited(_ edits: (old: String, new: String)...) throws -> InventoryLoad {
    var text = goodText
    for edit in edits {
        let range = try #require(firstRange(of: edit.old, in: text), "the good file has no \(edit.old)")
        text.replaceSubrange(range, with: edit.new)
    }
    return Inventory.load(text: text, fileName: "rack.yaml")
}

private let others = (
    old: "volumes:\n", new: "initiators: [{name: esx1, initiator: \"iqn.1998-01.com.example:esx1\"}]\nvolumes:\n"
)

@Test func withoutAListEveryDeclaredOneSeesAVolume() throws {
    let inventory = try #require(try edited(others).inventory)
    let volume = try #require(inventory.volume(named: "mpath0"))
    #expect(volume.clientNames == nil)
    #expect(
        inventory.initiators(seeing: volume)?.map(\.initiatorName) == [
            "iqn.2026-01.net.example:rack1:client:client0", "iqn.1993-08.org.debian:01:abcdef",
            "iqn.1998-01.com.example:esx1",
        ])
    #expect(inventory.declaredInitiators.map(\.name) == ["client0", "client1", "esx1"])
    #expect(inventory.authentication == nil)
    #expect(inventory.discoveryName == "iqn.2026-01.net.example:rack1")
    let row = try #require(inventory.identifiers().last)
    #expect(row.object == "initiator esx1" && row.value == "iqn.1998-01.com.example:esx1" && row.isSetByHand)
}

@Test func aListIsAllThatSeeAVolume() throws {
    let load = try edited(
        others, ("hosts: [storage0]", "hosts: [storage0]\n    clients: [client0, client1]"))
    let inventory = try #require(load.inventory, "\(load.report)")
    let volume = try #require(inventory.volume(named: "mpath0"))
    #expect(inventory.initiators(seeing: volume)?.map(\.name) == ["client0", "client1"])
    #expect(inventory.volumes(seenBy: "esx1").map(\.name) == ["mpath1"])
    #expect(inventory.volumes(seenBy: "client1").map(\.name) == ["mpath0", "mpath1"])
    #expect(inventory.volumes(seenBy: "nobody").isEmpty)
}

@Test func aStandaloneHostIsOpenUntilInitiatorsAreNamed() throws {
    let file = ExportedFile(path: "/srv/disk.img")
    let portal = try PortalAddress(parsing: "192.0.2.1")
    let open = try Inventory.standalone(files: [file], portals: [portal], hostName: "lab")
    #expect(open.initiators(seeing: open.volumes[0]) == nil)
    #expect(open.volumes(seenBy: "anybody").count == 1)
    let name = "iqn.1998-01.com.example:esx1"
    let closed = try Inventory.standalone(
        files: [file], portals: [portal], hostName: "lab", initiatorNames: [name],
        authentication: Authentication(secretsFolder: "/etc/rack/secrets"))
    #expect(closed.initiators(seeing: closed.volumes[0])?.map(\.initiatorName) == [name])
    #expect(closed.authentication != nil)
    for (names, part) in [([name, name], "given twice"), (["esx1"], "does not begin with iqn.")] {
        #expect {
            _ = try Inventory.standalone(files: [file], portals: [portal], hostName: "lab", initiatorNames: names)
        } throws: { "\($0)".contains(part) }
    }
    #expect(throws: StandaloneError.self) {
        _ = try Inventory.standalone(
            files: [file], portals: [portal], hostName: "lab", authentication: Authentication())
    }
}

@Test func authenticationHasDefaultsOnceItIsThere() throws {
    let short = try #require(try edited(("timeouts:", "authentication: {method: chap}\ntimeouts:")).inventory)
    #expect(
        short.authentication
            == Authentication(
                isMutual: true, coversDiscovery: true, algorithms: [.sha3With256Bits, .sha256],
                secretsFolder: "/etc/rack/secrets"))
    let long = try edited(
        (
            "timeouts:",
            "authentication: {mutual: no, discovery: no, algorithms: [SHA-1, md5, sha-256], secrets: /srv/s}\ntimeouts:"
        ))
    #expect(
        long.inventory?.authentication
            == Authentication(
                isMutual: false, coversDiscovery: false, algorithms: [.sha1, .md5, .sha256], secretsFolder: "/srv/s"),
        "\(long.report)")
    #expect(Authentication.Algorithm.allCases.map(\.number) == [8, 7, 6, 5])
    let off = try edited(("timeouts:", "authentication: {method: none, algorithms: [md5]}\ntimeouts:"))
    #expect(off.inventory != nil && off.inventory?.authentication == nil, "\(off.report)")
}

let accessProblemCases: [ProblemCase] = [
    ProblemCase(
        "clients of a volume",
        edits: [("hosts: [storage0]", "hosts: [storage0]\n    clients: [client0, cleint1, client0, client1]")],
        report: [
            "rack.yaml:32:24: error: volume mpath0: no client or initiator \"cleint1\" is declared; write \"client1\"",
            "rack.yaml:32:33: error: volume mpath0: client client0 is listed twice; keep one of them",
        ]),
    ProblemCase(
        "a volume for nobody",
        edits: [("hosts: [storage0]", "hosts: [storage0]\n    clients: []")],
        report: [
            "rack.yaml:32:14: error: volume mpath0 is seen by nobody; write clients: [client0], or remove the key for "
                + "all that are declared"
        ]),
    ProblemCase(
        "a client that mounts what it may not see",
        edits: [("hosts: [storage0]", "hosts: [storage0]\n    clients: [client0]")],
        report: [
            "rack.yaml:32:14: error: volume mpath0: client client1 mounts what lies on volume group VG0 and may not see "
                + "it; add client1 to the list, or remove the key for all that are declared"
        ]),
    ProblemCase(
        "initiators",
        edits: [
            (
                "volumes:\n",
                """
                initiators:
                  - {name: client0, initiator: "iqn.1998-01.com.example:esx1"}
                  - {name: esx2, initiator: iqn.1993-08.org.debian:01:abcdef}
                  - {name: esx3, initiator: esx3}
                  - {name: esx4}
                volumes:

                """
            )
        ],
        report: [
            "rack.yaml:28:12: error: initiator client0: the name is taken, on line 20; write another name",
            "rack.yaml:29:29: error: initiator esx2: the iSCSI name iqn.1993-08.org.debian:01:abcdef is client client1's, "
                + "on line 24; write a name of its own, or remove it and let it be derived",
            "rack.yaml:30:29: error: initiator esx3: initiator \"esx3\" does not begin with iqn., eui. or naa.; write one "
                + "such as iqn.2026-01.net.example:disk0",
            "rack.yaml:31:5: error: initiator esx4 has no initiator; write initiator: iqn.1998-01.com.example:esx1, its "
                + "iSCSI name",
        ]),
    ProblemCase(
        "authentication",
        edits: [
            (
                "timeouts:",
                "authentication: {methode: chap, mutual: maybe, algorithms: [sha-265, md5, md5], secrets: secrets}\ntimeouts:"
            )
        ],
        report: [
            "rack.yaml:56:18: error: authentication: unknown key \"methode\"; write \"method\"",
            "rack.yaml:56:41: error: authentication: mutual is \"maybe\"; write true or false",
            "rack.yaml:56:61: error: authentication: unknown algorithm \"sha-265\"; write \"sha-256\"",
            "rack.yaml:56:75: error: authentication: algorithm md5 is listed twice; keep one of them",
            "rack.yaml:56:90: error: authentication: secrets \"secrets\" does not begin with /; write an absolute path "
                + "such as /etc/rack/secrets",
        ]),
    ProblemCase(
        "no algorithm", edits: [("timeouts:", "authentication: {algorithms: []}\ntimeouts:")],
        report: [
            "rack.yaml:56:30: error: authentication: algorithms is empty; write algorithms: [sha3-256, sha-256]"
        ]),
]

@Test func authenticationNeedsSomebody() {
    let text = """
        rack: rack1
        iqn: iqn.2026-01.net.example
        hosts: [{name: storage0, portals: [{network: san0, address: 10.77.0.21}, {network: san1, address: 10.77.1.21}]}]
        authentication: {method: chap}
        volumes: [{name: v0, size: 1MiB, path: /srv/v0, hosts: [storage0]}]

        """
    let load = Inventory.load(text: text, fileName: "rack.yaml")
    #expect(
        load.report == "rack.yaml:4:1: error: authentication: there is no client and no initiator that could log in; "
            + "declare clients or initiators, or write authentication: {method: none}")
}
