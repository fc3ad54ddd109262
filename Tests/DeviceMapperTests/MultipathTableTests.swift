import DeviceMapper
import Testing

@Suite("dm-multipath table text")
struct MultipathTableTests {
    private static let devices = [8, 16, 32, 48].map { DMDeviceNumber(major: 8, minor: $0) }

    private static func table(_ selector: MultipathTable.PathSelector) -> MultipathTable {
        MultipathTable(
            queueIfNoPath: true,
            groups: [
                .init(selector: selector, devices: Array(devices[..<2])),
                .init(selector: selector, devices: Array(devices[2...])),
            ])
    }

    @Test(
        "Two groups of two paths, as the kernel wants them",
        arguments: [
            (
                MultipathTable.PathSelector.serviceTime,
                "1 queue_if_no_path 0 2 1 service-time 0 2 2 8:8 1 1 8:16 1 1 service-time 0 2 2 8:32 1 1 8:48 1 1"
            ),
            (
                .roundRobin,
                "1 queue_if_no_path 0 2 1 round-robin 0 2 1 8:8 1 8:16 1 round-robin 0 2 1 8:32 1 8:48 1"
            ),
            (
                .queueLength,
                "1 queue_if_no_path 0 2 1 queue-length 0 2 1 8:8 1 8:16 1 queue-length 0 2 1 8:32 1 8:48 1"
            ),
        ])
    func golden(selector: MultipathTable.PathSelector, line: String) throws {
        #expect(Self.table(selector).line == line)
        #expect(try MultipathTable(parsing: line) == Self.table(selector))
        // The kernel ends its lines with a blank.
        #expect(try MultipathTable(parsing: line + " \n") == Self.table(selector))
    }

    @Test("Every feature, a hardware handler and words nobody knows survive the round trip")
    func everyFeature() throws {
        let table = MultipathTable(
            queueIfNoPath: true, retainAttachedHardwareHandler: true, pathGroupInitRetries: 50,
            pathGroupInitDelayMilliseconds: 2000, queueMode: .bio, otherFeatures: ["of_the_future"],
            hardwareHandler: ["alua"],
            groups: [
                .init(
                    selector: .init(name: "historical-service-time", arguments: ["1", "x"]),
                    paths: [.init(device: Self.devices[0], selectorArguments: ["7", "8"])])
            ])
        #expect(
            table.line
                == "9 queue_if_no_path pg_init_retries 50 pg_init_delay_msecs 2000 retain_attached_hw_handler "
                + "queue_mode bio of_the_future 1 alua 1 1 historical-service-time 2 1 x 1 2 8:8 7 8")
        #expect(try MultipathTable(parsing: table.line) == table)
    }

    @Test("A line from the kernel (6.1): initial group 2 of 2")
    func fromKernel() throws {
        let table = try MultipathTable(parsing: "0 0 2 2 round-robin 0 1 1 7:0 1 round-robin 0 1 1 7:1 1 ")
        #expect(table.initialGroup == 2)
        #expect(!table.queueIfNoPath)
        #expect(table.devices == [DMDeviceNumber(major: 7, minor: 0), DMDeviceNumber(major: 7, minor: 1)])
    }

    @Test("A map without paths") func empty() throws {
        #expect(MultipathTable(groups: []).line == "0 0 0 0")
        #expect(try MultipathTable(parsing: "0 0 0 0") == MultipathTable(groups: []))
    }

    @Test(
        "What is no table is an error that says where",
        arguments: [
            ("", 1), ("x", 1), ("-1 0 0 0", 1), ("1 queue_if_no_path", 3), ("0 0 1 2 service-time 0 0 0", 4),
            ("0 0 1 1 service-time 0 1 1 sda 1", 9), ("0 0 1 1 service-time 0 1 1 8:0", 10),
            ("0 0 4294967295 1 a", 3), ("0 0 99999999999999999999 1 a", 3), ("0 0 0 0 more", 5),
            ("2 pg_init_retries none 0 0 0", 4), ("2 queue_mode pigeon 0 0 0", 4),
            ("0 0 1 1 service-time 0 1 2000 8:0", 8),
            ("0 0 1 1 rr 0 1 1 8:0:0 1", 9), ("0 0 1 1 rr 0 1 1 8:+1 1", 9), ("0 0 1 1 rr 0 1 1 8:4294967296 1", 9),
        ])
    func garbage(text: String, field: Int) {
        #expect(performing: { try MultipathTable(parsing: text) }, throws: { ($0 as? DMTextError)?.field == field })
    }

    @Test("No mutation of a good line traps, and what parses writes a line that parses to the same")
    func mutations() {
        var random = SeededGenerator(seed: 20_081_122)
        let pieces = [
            "0", "1", "2", "4294967295", "18446744073709551616", "-1", "8:8", ":", "A", "", "queue_mode", "\u{7F}é",
        ]
        var parsed = 0
        for _ in 0..<5_000 {
            var words = Self.table(.serviceTime).line.split(separator: " ").map(String.init)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let at = Int.random(in: 0..<words.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: words[at] = pieces.randomElement(using: &random) ?? ""
                case 1: words.removeSubrange(at...)
                default: words.insert(pieces.randomElement(using: &random) ?? "", at: at)
                }
                if words.isEmpty { words = ["0"] }
            }
            let text = words.joined(separator: " ")
            if let table = try? MultipathTable(parsing: text) {
                parsed += 1
                // An initial group of 0 with groups is legal to read; the line keeps it.
                #expect((try? MultipathTable(parsing: table.line)) == table, "\(text)")
            }
            _ = try? MultipathStatus(parsing: text)
        }
        #expect(parsed > 0)
    }

    @Test("Selectors as multipath.conf writes them") func selectors() throws {
        #expect(try MultipathTable.PathSelector(parsing: "service-time 0") == .serviceTime)
        #expect(try MultipathTable.PathSelector(parsing: "round-robin") == .roundRobin)
        #expect(MultipathTable.PathSelector.queueLength.description == "queue-length 0")
        #expect(throws: DMTextError.self) { try MultipathTable.PathSelector(parsing: "service-time 1") }
        #expect(throws: DMTextError.self) { try MultipathTable.PathSelector(parsing: "service-time 0 1") }
    }

    @Test("A whole-map target") func target() {
        let target = DMTarget(lengthSectors: 2_097_152, multipath: MultipathTable(groups: []))
        #expect(target.type == "multipath" && target.startSector == 0 && target.parameters == "0 0 0 0")
    }

    @Test("Messages in the kernel's words") func messages() {
        let device = DMDeviceNumber(major: 8, minor: 16)
        let words: [(MultipathMessage, String)] = [
            (.failPath(device), "fail_path 8:16"), (.reinstatePath(device), "reinstate_path 8:16"),
            (.switchGroup(2), "switch_group 2"), (.disableGroup(1), "disable_group 1"),
            (.enableGroup(1), "enable_group 1"), (.queueIfNoPath, "queue_if_no_path"),
            (.failIfNoPath, "fail_if_no_path"),
        ]
        for (message, text) in words { #expect(message.description == text) }
    }
}

/// A small generator with a seed, so that a failure can be repeated (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
