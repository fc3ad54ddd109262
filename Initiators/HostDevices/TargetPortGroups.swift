/// What REPORT TARGET PORT GROUPS says of the ports of a unit (SPC-4, 6.37), for the question that a path asks: what is my
/// own port good for?
public enum TargetPortGroups {
    /// The ASYMMETRIC ACCESS STATE (0 to 15) of the group that holds a port; nil when no group does, or the bytes are none
    /// of this command's.
    ///
    /// - Parameters:
    ///   - data: Parameter data in the length only header format.
    ///   - relativePort: RELATIVE TARGET PORT IDENTIFIER.
    public static func state(ofPort relativePort: UInt16, in data: [UInt8]) -> UInt8? {
        guard data.count >= 4 else { return nil }
        let length = data[..<4].reduce(0) { $0 << 8 | Int($1) }
        let end = min(data.count, 4 + length)
        var offset = 4
        while offset + 8 <= end {
            let ports = offset + 8
            let next = ports + Int(data[offset + 7]) * 4
            guard next <= end else { return nil }
            for port in stride(from: ports, to: next, by: 4)
            where UInt16(data[port + 2]) << 8 | UInt16(data[port + 3]) == relativePort {
                return data[offset] & 0x0F
            }
            offset = next
        }
        return nil
    }
}

extension SCSIPassThrough {
    /// The state of the group of a port of this unit; nil when the unit does not tell.
    public borrowing func accessState(
        ofPort relativePort: UInt16, timeoutMilliseconds: UInt32 = 5000
    ) throws(HostDeviceError) -> UInt8? {
        let length = 4096
        let outcome = try send(
            cdb: [0xA3, 0x0A, 0, 0, 0, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF), 0, 0], dataBytes: length,
            timeoutMilliseconds: timeoutMilliseconds)
        guard outcome.isGood else { return nil }
        return TargetPortGroups.state(ofPort: relativePort, in: outcome.data)
    }
}
