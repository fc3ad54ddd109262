import CUdev
import Glibc

/// A SCSI command sent past the block layer's cache (the SG_IO request of sd and sg nodes).
///
/// Every call may wait longer than its timeout: the kernel counts the timeout from when the command goes out, and holds
/// commands back while a session recovers. Use `BlockingCall` or `PathChecker` where that matters.
public struct SCSIPassThrough: ~Copyable {
    /// How a command ended.
    public struct Outcome: Hashable, Sendable {
        /// SCSI status (SAM-5): 0 GOOD, 2 CHECK CONDITION, 0x18 RESERVATION CONFLICT.
        public var status: UInt8
        /// Linux' host byte (scsi_status.h): 0 OK, 1 no connection, 3 timed out, 14 transport disrupted.
        public var hostStatus: UInt16
        /// Linux' driver byte.
        public var driverStatus: UInt16
        /// Sense data, as many bytes as came.
        public var sense: [UInt8]
        /// Data, as many bytes as came.
        public var data: [UInt8]

        /// From its parts, for tests and simulations.
        public init(
            status: UInt8, hostStatus: UInt16, driverStatus: UInt16, sense: [UInt8], data: [UInt8]
        ) {
            self.status = status
            self.hostStatus = hostStatus
            self.driverStatus = driverStatus
            self.sense = sense
            self.data = data
        }

        /// Whether it was carried out.
        public var isGood: Bool { status == 0 && hostStatus == 0 && sense.isEmpty }

        /// Sense key, additional sense code and qualifier, from fixed or descriptor sense data; nil when there is none.
        public var senseCodes: (key: UInt8, code: UInt8, qualifier: UInt8)? {
            guard let first = sense.first else { return nil }
            switch first & 0x7F {
            case 0x70, 0x71:
                guard sense.count >= 3 else { return nil }
                return (sense[2] & 0x0F, sense.count > 12 ? sense[12] : 0, sense.count > 13 ? sense[13] : 0)
            case 0x72, 0x73:
                guard sense.count >= 4 else { return nil }
                return (sense[1] & 0x0F, sense[2], sense[3])
            default: return nil
            }
        }
    }

    private let descriptor: Int32
    private let node: String

    /// Opens a node (`/dev/sdb`) for commands that read.
    public init(node: String) throws(HostDeviceError) {
        let descriptor = unsafe rack_open_existing(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostDeviceError(operation: "open", object: node, code: errno) }
        self.descriptor = descriptor
        self.node = node
    }

    deinit { close(descriptor) }

    /// Sends one command that moves no data or reads `dataBytes`.
    public borrowing func send(
        cdb: [UInt8], dataBytes: Int = 0, timeoutMilliseconds: UInt32 = 5000
    ) throws(HostDeviceError) -> Outcome {
        precondition((6...16).contains(cdb.count) && (0...(1 << 20)).contains(dataBytes))
        var data = [UInt8](repeating: 0, count: dataBytes)
        var sense = [UInt8](repeating: 0, count: 96)
        var outcome = Outcome(status: 0, hostStatus: 0, driverStatus: 0, sense: [], data: [])
        var senseWritten: UInt8 = 0
        var residual: Int32 = 0
        let code = unsafe cdb.withUnsafeBufferPointer { cdb in
            unsafe data.withUnsafeMutableBufferPointer { data in
                unsafe sense.withUnsafeMutableBufferPointer { sense in
                    unsafe rack_sg_io_read(
                        descriptor, cdb.baseAddress, UInt8(cdb.count), data.baseAddress, UInt32(data.count),
                        sense.baseAddress, UInt8(sense.count), timeoutMilliseconds, &outcome.status,
                        &outcome.hostStatus, &outcome.driverStatus, &senseWritten, &residual)
                }
            }
        }
        if code != 0 { throw HostDeviceError(operation: "send a SCSI command to", object: node, code: code) }
        outcome.sense = Array(sense.prefix(Int(senseWritten)))
        outcome.data = Array(data.prefix(max(0, min(dataBytes, dataBytes - Int(residual)))))
        return outcome
    }

    /// TEST UNIT READY (SPC-4, 6.47).
    public borrowing func testUnitReady(timeoutMilliseconds: UInt32 = 5000) throws(HostDeviceError) -> Outcome {
        try send(cdb: [0, 0, 0, 0, 0, 0], timeoutMilliseconds: timeoutMilliseconds)
    }

    /// A vital product data page (INQUIRY with EVPD, SPC-4, 6.6); throws when the unit has no such page.
    public borrowing func vitalProductData(
        page: UInt8, timeoutMilliseconds: UInt32 = 5000
    ) throws(HostDeviceError) -> [UInt8] {
        let length = 4096
        let outcome = try send(
            cdb: [0x12, 1, page, UInt8(length >> 8), UInt8(length & 0xFF), 0], dataBytes: length,
            timeoutMilliseconds: timeoutMilliseconds)
        guard outcome.status == 0, outcome.hostStatus == 0, outcome.data.count >= 4, outcome.data[1] == page else {
            throw HostDeviceError(
                operation: "read VPD page \(String(page, radix: 16)) of", object: node,
                cause: "status \(outcome.status), host status \(outcome.hostStatus), \(outcome.data.count) bytes")
        }
        return outcome.data
    }

    /// The unit's name in scsi_id's form, asked of the unit itself.
    public borrowing func wwid(timeoutMilliseconds: UInt32 = 5000) throws(HostDeviceError) -> String? {
        DeviceIdentification(page: try vitalProductData(page: 0x83, timeoutMilliseconds: timeoutMilliseconds))?.wwid
    }

    /// Reads the first 4,096 bytes of the unit through the block layer without its cache (O_DIRECT).
    public static func readFirstBlock(node: String) throws(HostDeviceError) {
        let descriptor = unsafe rack_open_existing(node, O_RDONLY | rack_o_direct() | O_CLOEXEC)
        guard descriptor >= 0 else { throw HostDeviceError(operation: "open", object: node, code: errno) }
        defer { close(descriptor) }
        // O_DIRECT wants memory aligned to the block size.
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe buffer.deallocate() }
        let count = unsafe pread(descriptor, buffer, 4096, 0)
        if count < 0 { throw HostDeviceError(operation: "read", object: node, code: errno) }
        if count == 0 {
            throw HostDeviceError(operation: "read", object: node, code: 0, cause: "the device is empty")
        }
    }
}
