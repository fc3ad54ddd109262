import Glibc

/// Why something could not be learnt of, or done to, a device of this host.
public struct HostDeviceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done ("write", "open", "wait for udev to finish").
    public let operation: String
    /// The file or device it was done to.
    public let object: String
    /// The system's error number; 0 when the failure is no system call's.
    public let code: Int32
    /// What went wrong, in words.
    public let cause: String
    /// What to do next; may be empty.
    public let advice: String

    /// An error from its parts.
    public init(operation: String, object: String, code: Int32 = 0, cause: String, advice: String = "") {
        self.operation = operation
        self.object = object
        self.code = code
        self.cause = cause
        self.advice = advice
    }

    /// An error of a system call.
    public init(operation: String, object: String, code: Int32) {
        let advice =
            switch code {
            case EPERM, EACCES: "run it as root"
            case EBUSY: "something holds it: attach status names what"
            case ENXIO, ENODEV, ENOENT: "the device is gone, or was never there"
            default: ""
            }
        self.init(operation: operation, object: object, code: code, cause: Self.text(code), advice: advice)
    }

    /// One line: operation, object, cause, advice.
    public var description: String {
        "cannot \(operation) \(object): \(cause)\(advice.isEmpty ? "" : "; \(advice)")"
    }

    private static func text(_ code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
