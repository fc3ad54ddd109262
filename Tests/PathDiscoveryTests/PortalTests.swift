import PathDiscovery
import Testing

@Suite("Portals")
struct PortalTests {
    @Test(
        "Forms people and targets write",
        arguments: [
            ("10.77.0.21", "10.77.0.21:3260"), ("10.77.0.21:860", "10.77.0.21:860"), ("storage0", "storage0:3260"),
            ("storage0.example.net:3261", "storage0.example.net:3261"), ("[fe80::1]:3260", "[fe80::1]:3260"),
            ("[::1]", "[::1]:3260"), ("fe80::1%eth0", "[fe80::1%eth0]:3260"),
        ])
    func good(text: String, printed: String) throws {
        let portal = try #require(ISCSIPortal(text))
        #expect(portal.description == printed)
        #expect(ISCSIPortal(printed) == portal)
    }

    @Test(
        "What is no portal",
        arguments: [
            "", ":", ":3260", "a:0", "a:65536", "a:-1", "a:+1", "a:x", "[::1", "[]:1", "[::1]x", "a b", "a\nb", "a,1",
            "a/b",
            "a:99999999999999999999", String(repeating: "a", count: 254),
        ])
    func bad(text: String) { #expect(ISCSIPortal(text) == nil) }

    @Test("TargetAddress values carry a portal group tag") func targetAddress() throws {
        let plain = try #require(ISCSIPortal.parse(targetAddress: "10.0.0.1:3260,17"))
        #expect(plain.portal == ISCSIPortal(address: "10.0.0.1") && plain.portalGroupTag == 17)
        let six = try #require(ISCSIPortal.parse(targetAddress: "[fe80::1]:860,65535"))
        #expect(six.portal == ISCSIPortal(address: "fe80::1", port: 860) && six.portalGroupTag == 65535)
        #expect(ISCSIPortal.parse(targetAddress: "10.0.0.1")?.portalGroupTag == nil)
        #expect(ISCSIPortal.parse(targetAddress: "10.0.0.1:3260,65536") == nil)
        #expect(ISCSIPortal.parse(targetAddress: "10.0.0.1:3260,") == nil)
    }
}
