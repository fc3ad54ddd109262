import Glibc

/// Which of the kernel's modules are there.
public struct KernelModules: Sendable {
    /// What can be had of a module.
    public enum Availability: Hashable, Sendable {
        /// Loaded now.
        case loaded
        /// Part of the kernel's image.
        case builtIn
        /// On disk: `modprobe` will load it.
        case loadable
        /// Not for this kernel.
        case missing

        /// Whether its functions can be used now.
        public var isPresent: Bool { self == .loaded || self == .builtIn }
    }

    private let files: HostFiles
    /// The running kernel's release (`6.1.0-42-amd64`).
    public let release: String

    /// The modules of the running kernel, or of the release named.
    public init(files: HostFiles = HostFiles(), release: String? = nil) {
        self.files = files
        self.release = release ?? files.text("/proc/sys/kernel/osrelease") ?? ""
    }

    /// What can be had of a module; `-` and `_` in its name are one.
    public func availability(_ name: String) -> Availability {
        let name = Self.normal(name)
        if files.exists("/sys/module/\(name)/initstate") { return .loaded }
        let loaded = files.text("/proc/modules", limitBytes: 4 << 20) ?? ""
        if loaded.split(separator: "\n").contains(where: { $0.split(separator: " ").first.map(String.init) == name }) {
            return .loaded
        }
        if contains("modules.builtin", name) { return .builtIn }
        if contains("modules.dep", name) { return .loadable }
        // A built-in with parameters shows itself here even where modules.builtin is not installed.
        return files.exists("/sys/module/\(name)") ? .builtIn : .missing
    }

    private func contains(_ list: String, _ name: String) -> Bool {
        for folder in ["/lib/modules/\(release)", "/usr/lib/modules/\(release)"] {
            guard let text = files.text("\(folder)/\(list)", limitBytes: 16 << 20) else { continue }
            return text.split(separator: "\n").contains { line in
                // kernel/drivers/md/dm-multipath.ko.xz: dependencies
                let path = line.prefix { $0 != ":" }
                let file = path.split(separator: "/").last ?? ""
                return Self.normal(String(file.prefix { $0 != "." })) == name
            }
        }
        return false
    }

    private static func normal(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }
}
