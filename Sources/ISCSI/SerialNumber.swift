/// A 32-bit serial number as RFC 1982 defines it: CmdSN, StatSN and their relatives (RFC 7143 section 4.2.2.1).
///
/// Serial numbers go round, so there is no total order and the type is deliberately not `Comparable`: of two numbers
/// exactly 2^31 apart neither is smaller.
@frozen
public struct SerialNumber: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The number as it stands in a header, in host byte order.
    public var rawValue: UInt32

    /// A serial number with the given value.
    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// The signed distance from `other` to this number: positive when this one is later. Exactly 2^31 apart gives
    /// `Int32.min` in both directions (RFC 1982 section 3.2 leaves that case undefined).
    @inlinable
    public func distance(from other: SerialNumber) -> Int32 { Int32(bitPattern: rawValue &- other.rawValue) }

    /// The number that follows this one.
    @inlinable
    public var next: SerialNumber { SerialNumber(rawValue &+ 1) }

    /// Advances to the next number and returns the one that was current: how StatSN and R2TSN are handed out.
    @inlinable
    public mutating func take() -> SerialNumber {
        defer { rawValue &+= 1 }
        return self
    }

    /// The number `count` places further on, modulo 2^32.
    @inlinable
    public static func + (number: SerialNumber, count: UInt32) -> SerialNumber {
        SerialNumber(number.rawValue &+ count)
    }

    /// The number `count` places before, modulo 2^32.
    @inlinable
    public static func - (number: SerialNumber, count: UInt32) -> SerialNumber {
        SerialNumber(number.rawValue &- count)
    }

    /// Moves the number on by `count`, modulo 2^32.
    @inlinable
    public static func += (number: inout SerialNumber, count: UInt32) { number.rawValue &+= count }

    /// Whether `lhs` comes before `rhs` (RFC 1982 section 3.2). False in both directions when they are 2^31 apart.
    @inlinable
    public static func < (lhs: SerialNumber, rhs: SerialNumber) -> Bool {
        let distance = lhs.distance(from: rhs)
        return distance < 0 && distance != Int32.min
    }

    /// Whether `lhs` comes after `rhs`. False in both directions when they are 2^31 apart.
    @inlinable
    public static func > (lhs: SerialNumber, rhs: SerialNumber) -> Bool { lhs.distance(from: rhs) > 0 }

    /// Whether `lhs` is `rhs` or comes before it.
    @inlinable
    public static func <= (lhs: SerialNumber, rhs: SerialNumber) -> Bool { lhs == rhs || lhs < rhs }

    /// Whether `lhs` is `rhs` or comes after it.
    @inlinable
    public static func >= (lhs: SerialNumber, rhs: SerialNumber) -> Bool { lhs == rhs || lhs > rhs }

    /// Whether the number lies in the window from `first` up to and including `last`: the test of a CmdSN against
    /// ExpCmdSN and MaxCmdSN. A window with `last` one before `first` is closed and holds nothing (section 4.2.2.1).
    @inlinable
    public func isWithin(_ first: SerialNumber, through last: SerialNumber) -> Bool { self >= first && self <= last }

    /// The number in decimal.
    public var description: String { String(rawValue) }
}
