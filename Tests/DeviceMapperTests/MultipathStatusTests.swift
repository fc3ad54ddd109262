import DeviceMapper
import Testing

@Suite("dm-multipath status text")
struct MultipathStatusTests {
    private static func device(_ minor: UInt32) -> DMDeviceNumber { DMDeviceNumber(major: 8, minor: minor) }

    @Test("service-time: bytes in flight and throughput of each path") func serviceTime() throws {
        let status = try MultipathStatus(
            parsing: "2 0 0 0 2 1 A 0 2 2 8:16 A 0 4096 1 8:32 F 3 0 1 E 0 2 2 8:48 A 0 0 1 8:64 A 1 0 1 ")
        #expect(
            status
                == MultipathStatus(
                    currentGroup: 1,
                    groups: [
                        .init(
                            state: .active,
                            paths: [
                                .init(
                                    device: Self.device(16), isActive: true, failCount: 0,
                                    selectorStatus: ["4096", "1"]),
                                .init(
                                    device: Self.device(32), isActive: false, failCount: 3, selectorStatus: ["0", "1"]),
                            ]),
                        .init(
                            state: .enabled,
                            paths: [
                                .init(
                                    device: Self.device(48), isActive: true, failCount: 0, selectorStatus: ["0", "1"]),
                                .init(
                                    device: Self.device(64), isActive: true, failCount: 1, selectorStatus: ["0", "1"]),
                            ]),
                    ]))
        #expect(status.activePathCount == 3)
        #expect(status.path(Self.device(32))?.isActive == false)
        #expect(status.path(Self.device(99)) == nil)
    }

    @Test("round-robin: no words a path; queue-length: one") func otherSelectors() throws {
        let roundRobin = try MultipathStatus(
            parsing: "2 0 0 0 2 2 D 0 2 0 8:16 A 0 8:32 A 0 A 0 2 0 8:48 A 0 8:64 F 4294967295")
        #expect(roundRobin.groups.map(\.state) == [.disabled, .active])
        #expect(roundRobin.currentGroup == 2)
        #expect(roundRobin.paths.map(\.failCount) == [0, 0, 0, .max])
        let queueLength = try MultipathStatus(
            parsing: "2 0 0 0 2 1 A 0 2 1 8:16 A 0 12 8:32 A 0 9 E 0 2 1 8:48 A 0 0 8:64 A 0 0")
        #expect(queueLength.paths.map(\.selectorStatus) == [["12"], ["9"], ["0"], ["0"]])
    }

    @Test("Initialising groups, and a map without any") func small() throws {
        let initialising = try MultipathStatus(parsing: "2 1 2 0 1 1 E 0 1 0 8:16 A 0")
        #expect(initialising.isWaitingForGroupInit && initialising.groupInitCount == 2)
        let empty = try MultipathStatus(parsing: "2 0 0 0 0 0")
        #expect(empty.groups.isEmpty && empty.activePathCount == 0)
    }

    @Test(
        "What is no status is an error",
        arguments: [
            "", "2", "2 0", "2 0 0", "2 0 0 0 1", "2 0 0 0 1 1 X 0 1 0 8:16 A 0", "2 0 0 0 1 1 A 0 1 0 8:16 B 0",
            "2 0 0 0 1 1 A 0 1 0 sda A 0", "2 0 0 0 1 1 A 0 1 1 8:16 A 0", "2 0 0 0 1 1 A 0 9 0 8:16 A 0",
            "2 0 0 0 1 1 A 0 1 0 8:16 A 4294967296", "2 2 0 0 0 0", "2 0 0 0 4294967295 1", "1 0 0 0 0",
            "1 queue_if_no_path 0 1 1 service-time 0 1 2 8:16 1 1",
        ])
    func garbage(text: String) {
        #expect(throws: DMTextError.self) { try MultipathStatus(parsing: text) }
    }
}

@Suite("device-mapper's errors")
struct DeviceMapperErrorTests {
    @Test("One line: what, on what, why, what to do") func line() {
        let error = DeviceMapperError(
            operation: "create", object: "mpath0", code: 16, cause: "Device or resource busy", advice: "dmsetup info")
        #expect(error.description == "cannot create mpath0: Device or resource busy; dmsetup info")
        #expect(error.isBusy && !error.isNotFound)
    }

    @Test("Without device-mapper in the kernel, opening says which modules to load") func noDriver() {
        // Where the driver is there (and we are root) this succeeds, which is as good.
        do {
            _ = try DeviceMapper()
        } catch {
            #expect(error.description.contains("modprobe dm-mod") || error.description.contains("as root"))
            #expect(error.code != 0)
        }
    }

    @Test("Device numbers") func numbers() {
        #expect(DMDeviceNumber("254:1048575") == DMDeviceNumber(major: 254, minor: 1_048_575))
        for text in ["", ":", "8", "8:", ":8", "8:1:1", " 8:1", "8:1 ", "a:b", "-8:1", "4294967296:0"] {
            #expect(DMDeviceNumber(text) == nil, "\(text)")
        }
    }
}
