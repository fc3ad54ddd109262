import Rack
import Testing

/// Target port groups: one for each portal, or one for all portals of a host with the same `group:`.
@Suite struct PortGroupTests {
    private func rack(_ edits: [(String, String)]) throws -> Inventory {
        var text = goodText
        for (old, new) in edits {
            let range = try #require(firstRange(of: old, in: text))
            text.replaceSubrange(range, with: new)
        }
        let load = Inventory.load(text: text, fileName: "rack.yaml")
        return try #require(load.inventory, "\(load.report)")
    }

    @Test func aPortalIsAGroupByItsTag() throws {
        let portals = try rack([]).hosts.flatMap(\.portals)
        #expect(portals.allSatisfy { $0.groupName == nil && $0.groupIdentifier == $0.tag })
    }

    /// `printf %s rack1/host/storage1/group/slow/id | sha256sum`; it is in initiators' tables, and must never change.
    @Test func aNamedGroupHasOneNumber() throws {
        let rack = try rack([("10.77.0.22}", "10.77.0.22, group: slow}"), ("tag: 77}", "tag: 77, group: slow}")])
        #expect(rack.hosts[1].portals.map(\.groupIdentifier) == [24144, 24144])
        #expect(rack.hosts[1].portals.map(\.groupName) == ["slow", "slow"])
        #expect(rack.hosts[1].portals.map(\.tag) == [22454, 77])
        let rows = rack.identifiers().filter { $0.kind == .portGroup }.map { "\($0.object) \($0.value)" }
        #expect(
            rows == [
                "portal storage1/10.77.0.22:3260 24144 (slow)", "portal storage1/[fd00::22]:3261 24144 (slow)",
            ])
    }

    @Test func oneNameOnTwoHostsIsTwoGroups() throws {
        let rack = try rack([
            ("10.77.0.21, port: 3260}", "10.77.0.21, port: 3260, group: slow}"), ("tag: 77}", "tag: 77, group: slow}"),
            ("hosts: [storage0]", "hosts: [storage0, storage1]"),
        ])
        #expect(rack.hosts[0].portals[0].groupIdentifier != rack.hosts[1].portals[1].groupIdentifier)
    }
}
