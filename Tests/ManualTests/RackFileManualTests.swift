import Rack
import Testing

import Manual

@Suite("rack.yaml(5)")
struct RackFileManualTests {
    @Test("groff has nothing to say")
    func groff() throws { #expect(try Groff.warnings(of: RackFileManual.page) == "") }

    @Test("both programs print it", arguments: ["storaged", "attach"])
    func printed(program: String) throws {
        #expect(try Programs.run("\(Programs.folder)/\(program)", ["man", "--inventory"]) == RackFileManual.page)
    }

    @Test("its example is an inventory without an objection but that to one host")
    func example() {
        let load = Inventory.load(text: RackFileManual.example, fileName: "rack.yaml")
        #expect(load.inventory != nil, "\(load.report)")
        #expect(load.errors.isEmpty)
    }

    /// Where each mapping of the file can be given a key that no mapping has.
    private static let places: [(section: String, text: String)] = [
        ("The file", "zzzzzzzzzz: 1"), ("networks", "networks: [{zzzzzzzzzz: 1}]"),
        ("hosts", "hosts: [{zzzzzzzzzz: 1}]"), ("hosts: portals", "hosts: [{portals: [{zzzzzzzzzz: 1}]}]"),
        ("clients", "clients: [{zzzzzzzzzz: 1}]"), ("volumes", "volumes: [{zzzzzzzzzz: 1}]"),
        ("volumes: multipath", "volumes: [{multipath: {zzzzzzzzzz: 1}}]"),
        ("initiators", "initiators: [{zzzzzzzzzz: 1}]"), ("authentication", "authentication: {zzzzzzzzzz: 1}"),
        ("volumeGroups", "volumeGroups: [{zzzzzzzzzz: 1}]"),
        ("volumeGroups: logicalVolumes", "volumeGroups: [{logicalVolumes: [{zzzzzzzzzz: 1}]}]"),
        ("filesystems", "filesystems: [{zzzzzzzzzz: 1}]"), ("timeouts", "timeouts: {zzzzzzzzzz: 1}"),
        ("limits", "limits: {zzzzzzzzzz: 1}"),
    ]

    @Test("every key that the reader offers is in it, and no other", arguments: places)
    func complete(place: (section: String, text: String)) throws {
        let load = Inventory.load(text: place.text, fileName: "rack.yaml")
        let problem = try #require(load.errors.first { $0.description.contains("unknown key \"zzzzzzzzzz\"") })
        let offered = try #require(problem.description.firstRange(of: "write one of ")).upperBound
        let keys = problem.description[offered...].split(separator: ", ").map(String.init)
        let documented = try #require(RackFileManual.sections.first { $0.title == place.section }).keys.map(\.subject)
        for key in keys where key != "..." { #expect(documented.contains(key), "\(place.section): \(key)") }
        if keys.last != "..." { #expect(Set(documented) == Set(keys)) }
    }

    @Test("every section is looked at") func sections() {
        #expect(RackFileManual.sections.map(\.title) == Self.places.map(\.section))
    }
}
