import CUdev

/// A block device's number, `major:minor`, as sysfs' `dev` files and mountinfo write it.
public struct DeviceNumber: Hashable, Comparable, Sendable, LosslessStringConvertible {
    /// The driver's number.
    public var major: UInt32
    /// The device's number within the driver.
    public var minor: UInt32

    /// A device number from its two parts.
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// From a `dev_t`.
    public init(kernel number: UInt64) {
        self.init(major: rack_device_major(number), minor: rack_device_minor(number))
    }

    /// Parses `8:16`; nil for everything else.
    public init?(_ description: String) {
        let parts = description.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Decimal.unsigned(parts[0]), let minor = Decimal.unsigned(parts[1]),
            let major = UInt32(exactly: major), let minor = UInt32(exactly: minor)
        else { return nil }
        self.init(major: major, minor: minor)
    }

    /// As a `dev_t`.
    public var kernelNumber: UInt64 { rack_device_number(major, minor) }

    /// `major:minor`.
    public var description: String { "\(major):\(minor)" }

    /// Ordered by major, then minor.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// Numbers in the kernel's texts: plain digits, nothing else.
enum Decimal {
    static func unsigned(_ text: some StringProtocol) -> UInt64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(text)
    }

    static func integer(_ text: some StringProtocol) -> Int? { unsigned(text).flatMap(Int.init(exactly:)) }
}
