/// A block device's number, `major:minor`, as tables, statuses and sysfs write it.
public struct DMDeviceNumber: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// The driver's number (`8` for sd, dynamic for device-mapper).
    public var major: UInt32
    /// The device's number within the driver.
    public var minor: UInt32

    /// A device number from its two parts.
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// Parses `8:16`; nil for everything else, signs and blanks included.
    public init?(_ description: String) {
        let parts = description.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = DMTextFields.number(parts[0], upTo: UInt32.max),
            let minor = DMTextFields.number(parts[1], upTo: UInt32.max)
        else { return nil }
        self.init(major: major, minor: minor)
    }

    /// `major:minor`.
    public var description: String { "\(major):\(minor)" }

    /// Ordered by major, then minor.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}
