/// Why a backing file or device cannot be served.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of trouble it is; callers choose exit codes and sense data by it.
    public enum Kind: Sendable, Hashable {
        /// The file is not there and cannot be made: its folder is missing, or no size is known for it.
        case missing
        /// The system refuses access to the file or its folder.
        case permissionDenied
        /// The file system (or device) takes no writes.
        case readOnlyFileSystem
        /// A folder, pipe, socket or character device, or a symbolic link that leads nowhere.
        case wrongKind
        /// The size is not the one declared, is not whole blocks, or is nothing.
        case sizeMismatch
        /// Another process, or another volume of this one, has it.
        case locked
        /// The file system or quota is full.
        case noSpace
        /// The device's logical block is longer than the one to be served, or the block length is no block length.
        case blockLength
        /// Any other error of the system.
        case ioError
    }

    /// The kind of trouble.
    public var kind: Kind
    /// The file or device.
    public var path: String
    /// What is the matter, in words.
    public var cause: String
    /// What to do next.
    public var advice: String
    /// The system's errno, or 0 where none was involved.
    public var errorNumber: Int32

    /// Makes an error.
    public init(kind: Kind, path: String, cause: String, advice: String, errorNumber: Int32 = 0) {
        self.kind = kind
        self.path = path
        self.cause = cause
        self.advice = advice
        self.errorNumber = errorNumber
    }

    /// One line: `PATH: cause; advice`.
    public var description: String { "\(path): \(cause); \(advice)" }
}
