import Rack
import Testing

private let sizes: [(text: String, bytes: UInt64)] = [
    ("1GiB", 1 << 30), ("512MiB", 512 << 20), ("2TiB", 2 << 40), ("1000000", 1_000_000), ("1GB", 1_000_000_000),
    ("1 GiB", 1 << 30), ("1.5GiB", 3 << 29), ("0.5KiB", 512), ("64kib", 65536), ("7B", 7), ("0", 0), ("3PiB", 3 << 50),
    ("18446744073709551615", UInt64.max), ("2.000KB", 2000),
]

@Test(arguments: sizes)
func sizesAreRead(_ text: String, _ bytes: UInt64) throws {
    #expect(try ByteSize(parsing: text).bytes == bytes)
}

@Test(arguments: [
    ("", "\"\" is no size"), ("GiB", "\"GiB\" is no size"), ("-1", "\"-1\" is no size"), ("1.", "\"1.\" is no size"),
    ("1GiBs", "\"1GiBs\": unknown unit \"GiBs\""), ("1G", "\"1G\": the unit G could mean 1,024 or 1,000"),
    ("0x10", "\"0x10\": unknown unit \"x10\""), ("1  GiB", "\"1  GiB\": unknown unit \" GiB\""),
    ("18446744073709551616", "\"18446744073709551616\" is more than 64 bits can count"),
    ("16EiB", "\"16EiB\" is more than 64 bits can count"), ("0.3B", "\"0.3B\" is no whole number of bytes"),
    ("18446744073709551615.5KiB", "\"18446744073709551615.5KiB\" is more than 64 bits can count"),
])
func textsThatAreNoSizes(_ text: String, _ message: String) {
    let error = #expect(throws: ByteSizeError.self) { try ByteSize(parsing: text) }
    #expect(error?.description == message)
    #expect(error?.advice.hasPrefix("write ") == true)
}

private let writtenSizes: [(bytes: UInt64, text: String, exact: String)] = [
    (UInt64(0), "0 B", "0"), (1023, "1023 B", "1023"), (1 << 30, "1 GiB", "1GiB"),
    (2040 << 20, "2.0 GiB", "2040MiB"), (3 << 29, "1.5 GiB", "1536MiB"), (1_073_741_823, "1.0 GiB", "1073741823"),
    (UInt64.max, "16.0 EiB", "18446744073709551615"), (1 << 63, "8 EiB", "8EiB"), (1_000_000, "976.6 KiB", "1000000"),
]

@Test(arguments: writtenSizes)
func sizesAreWritten(_ bytes: UInt64, _ text: String, _ exact: String) throws {
    let size = ByteSize(bytes: bytes)
    #expect(size.description == text)
    #expect(size.exactText == exact)
    #expect(try ByteSize(parsing: exact) == size)
}

@Test(arguments: [
    ("10.77.0.21", "10.77.0.21"), ("FD00:0:0:0:0:0:0:21", "fd00::21"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
    ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("::ffff:10.0.0.1", "::ffff:a00:1"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("Storage0.Example", "storage0.example"),
    ("a-1", "a-1"),
])
func addressesAreRead(_ text: String, _ canonical: String) throws {
    #expect(try NetworkAddress(parsing: text).description == canonical)
}

@Test(arguments: [
    "", ".", "10.0.0", "10.0.0.256", "10.0.0.01", "1.2.3.4.5", ":", ":::", "1::2::3", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::", "12345::", "g::", "fe80::1%eth0", "::1.2.3", "-a", "a-", "a..b", "a_b", "a b", "[::1]", "+1::",
    "host\u{e9}", "1:", ":1", "::-1",
])
func textsThatAreNoAddresses(_ text: String) {
    #expect(throws: NetworkAddressError.self) { try NetworkAddress(parsing: text) }
}

@Test(arguments: [
    ("10.0.0.1", "10.0.0.1:3260"), ("10.0.0.1:1", "10.0.0.1:1"), ("[fd00::1]:65535", "[fd00::1]:65535"),
    ("[fd00::1]", "[fd00::1]:3260"), ("fd00::1", "[fd00::1]:3260"), ("host:99", "host:99"),
    ("0.0.0.0", "0.0.0.0:3260"),
])
func portalsAreRead(_ text: String, _ endpoint: String) throws {
    #expect(try PortalAddress(parsing: text).description == endpoint)
}

@Test(arguments: [
    "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "host:+1", "[10.0.0.1]:1", "[fd00::1", "[fd00::1]x", ":1", "[]",
])
func textsThatAreNoPortals(_ text: String) {
    #expect(throws: NetworkAddressError.self) { try PortalAddress(parsing: text) }
}

@Test func wildcardAndLoopback() throws {
    #expect(try NetworkAddress(parsing: "::").isWildcard)
    #expect(try NetworkAddress(parsing: "0.0.0.0").isWildcard)
    #expect(try !NetworkAddress(parsing: "::1").isWildcard)
    #expect(try NetworkAddress(parsing: "::1").isLoopback)
    #expect(try NetworkAddress(parsing: "127.9.9.9").isLoopback)
    #expect(try !NetworkAddress(parsing: "128.0.0.1").isLoopback)
}

@Test func standaloneHostIsARackOfOne() throws {
    let portals = [try PortalAddress(parsing: "127.0.0.1"), try PortalAddress(parsing: "[::1]:3261")]
    let files = [
        ExportedFile(path: "/srv/a/Disk One.img"), ExportedFile(path: "/srv/b/disk.img", sizeBytes: 1 << 20),
        ExportedFile(path: "/srv/c/disk.raw", blockSizeBytes: 4096, isReadOnly: true),
        ExportedFile(path: "/dev/control"),
    ]
    let rack = try Inventory.standalone(files: files, portals: portals, hostName: "Lab_Host.Example")
    #expect(rack.name == "lab-host.example")
    #expect(rack.volumes.map(\.name) == ["disk-one", "disk-a4c1afdb", "disk-67f8a624", "disk-3b999cd5"])
    #expect(rack.volumes.map(\.sizeBytes) == [nil, 1 << 20, nil, nil])
    #expect(rack.volumes[0].targetName == "iqn.2026-01.invalid.standalone:lab-host.example:disk-one")
    #expect(rack.volumes[2].isReadOnly)
    #expect(rack.volumes[2].blockSizeBytes == 4096)
    #expect(rack.volumes(servedBy: "lab-host.example") == rack.volumes)
    #expect(rack.portals(of: rack.volumes[0]).map(\.portal.endpoint) == ["127.0.0.1:3260", "[::1]:3261"])
    // Not a word of the WWID depends on order or on the other files.
    let alone = try Inventory.standalone(files: [files[1]], portals: portals, hostName: "Lab_Host.Example")
    #expect(alone.volumes[0].wwid == rack.volumes[1].wwid)
    #expect(alone.volumes[0].name == "disk")
    let elsewhere = try Inventory.standalone(files: [files[1]], portals: portals, hostName: "other")
    #expect(elsewhere.volumes[0].wwid != rack.volumes[1].wwid)
}

@Test func standaloneRefusesWhatCannotBe() throws {
    let portal = try PortalAddress(parsing: "127.0.0.1")
    let file = ExportedFile(path: "/a")
    func message(_ files: [ExportedFile], _ portals: [PortalAddress]) -> String? {
        do {
            _ = try Inventory.standalone(files: files, portals: portals, hostName: "h")
            return nil
        } catch { return error.description }
    }
    #expect(message([], [portal]) == "no file to export; name at least one")
    #expect(message([file], []) == "no portal; name an address to listen on")
    #expect(message([file, file], [portal]) == "\"/a\" is given twice; name each file once")
    #expect(message([file], [portal, portal]) == "portal 127.0.0.1:3260 is given twice; name each once")
    #expect(message([ExportedFile(path: "a")], [portal]) == "\"a\" is no absolute path; give one")
    #expect(
        message([ExportedFile(path: "/a", sizeBytes: 1000)], [portal])
            == "1000 bytes are no whole number of 512-byte blocks; give a multiple, such as 1GiB")
    #expect(
        message([ExportedFile(path: "/a", blockSizeBytes: 520)], [portal])
            == "a block of 520 bytes is not offered; use 512 or 4096")
}
