import Glibc

/// Why something could not be done to a device-mapper device.
public struct DeviceMapperError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done ("create", "reload", "wait for udev").
    public let operation: String
    /// The map's name, or what else it was done to ("/dev/mapper/control").
    public let object: String
    /// The system's error number; 0 when the failure is no system call's.
    public let code: Int32
    /// What went wrong, in words: libdevmapper's own lines where it gave some, else the system's text.
    public let cause: String
    /// What to do next; empty when there is nothing better than reading the cause.
    public let advice: String

    /// An error from its parts.
    public init(operation: String, object: String, code: Int32 = 0, cause: String, advice: String = "") {
        self.operation = operation
        self.object = object
        self.code = code
        self.cause = cause
        self.advice = advice
    }

    /// One line: operation, object, cause, advice.
    public var description: String {
        "cannot \(operation) \(object): \(cause)\(advice.isEmpty ? "" : "; \(advice)")"
    }

    /// The device is not there (ENXIO or ENODEV).
    public var isNotFound: Bool { code == ENXIO || code == ENODEV }
    /// The device is open, or a device of that name or UUID exists (EBUSY).
    public var isBusy: Bool { code == EBUSY }

    /// An error of a device-mapper request, with the advice that fits its number.
    static func request(_ operation: String, _ object: String, code: Int32, log: [String] = []) -> DeviceMapperError {
        let text = code == 0 ? "unknown cause" : errorText(code)
        var lines: [String] = []
        for line in log where !lines.contains(line) { lines.append(line) }
        return DeviceMapperError(
            operation: operation, object: object, code: code,
            cause: lines.isEmpty ? text : lines.joined(separator: " / "), advice: advice(operation, code))
    }

    private static func advice(_ operation: String, _ code: Int32) -> String {
        switch (operation, code) {
        case ("reach", ENOENT), ("reach", ENXIO), ("reach", ENODEV), ("open", ENOENT), ("open", ENODEV):
            "load the kernel modules: modprobe dm-mod, modprobe dm-multipath"
        case (_, EPERM), (_, EACCES): "run it as root (CAP_SYS_ADMIN)"
        case ("create", EBUSY): "a map of that name or UUID exists: dmsetup info lists it"
        case ("remove", EBUSY): "something holds it open: unmount it, deactivate volumes on it, then repeat"
        case ("create", EINVAL), ("reload", EINVAL):
            "the kernel refused the table: its log (dmesg) says why; modprobe dm-multipath and the selector's module"
        case (_, ENXIO), (_, ENODEV): "there is no map of that name"
        default: ""
        }
    }

    /// The system's words for an error number.
    static func errorText(_ code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
