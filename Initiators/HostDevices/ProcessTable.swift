/// A process that holds something open.
public struct ProcessHold: Hashable, Sendable, CustomStringConvertible {
    /// How it holds it.
    public enum Kind: String, Hashable, Sendable {
        /// An open file or folder.
        case openFile = "open file"
        /// Its working directory.
        case workingDirectory = "working directory"
        /// Its root directory.
        case rootDirectory = "root directory"
        /// The program it runs.
        case program = "program"
        /// A file in its memory.
        case mappedFile = "mapped file"
        /// It has a mount namespace of its own, with a mount in it that unmounting elsewhere does not reach.
        case ownMount = "mount in a namespace of its own"
    }

    /// The process.
    public var pid: Int32
    /// Its name (`comm`, at most 15 characters).
    public var name: String
    /// How it holds it.
    public var kind: Kind
    /// What exactly it holds.
    public var path: String

    /// From its parts, for tests and simulations.
    public init(
        pid: Int32, name: String, kind: Kind, path: String
    ) {
        self.pid = pid
        self.name = name
        self.kind = kind
        self.path = path
    }

    /// `bash (pid 812): working directory /mnt`.
    public var description: String { "\(name) (pid \(pid)): \(kind.rawValue) \(path)" }
}

/// The processes of this host, from /proc.
///
/// Reads links only, and never follows them: a stat of a file on a hung filesystem would hang as well. Other users'
/// processes are visible to root only.
public struct ProcessTable: Sendable {
    private let files: HostFiles

    /// The table below a root.
    public init(files: HostFiles = HostFiles()) { self.files = files }

    /// All process numbers.
    public var pids: [Int32] {
        files.entries("/proc").compactMap { Decimal.unsigned($0).flatMap(Int32.init(exactly:)) }.sorted()
    }

    /// A process' name; nil when it is gone.
    public func name(_ pid: Int32) -> String? { files.text("/proc/\(pid)/comm") }

    /// The processes of this name. Names longer than the kernel keeps (15 bytes) are compared as far as it does.
    public func named(_ name: String) -> [Int32] {
        let kept = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        return pids.filter { self.name($0) == kept }
    }

    /// Who keeps a mount from being unmounted: open files, working and root directories, programs, mapped files on it.
    ///
    /// One line a process and path, at most `limit`. What processes do not show (loop devices, swap files, mounts below)
    /// is not in it: see `loopDevices(backedBelow:)` and `MountTable.mounts(below:)`.
    public func holders(of mount: Mount, limit: Int = 64) -> [ProcessHold] {
        let nested = MountTable(files: files).mounts(below: mount.mountPoint).map(\.mountPoint)
        return holders(limit: limit) { path, mountID in
            if let mountID { return mountID == mount.id }
            return Self.isPath(path, inside: mount.mountPoint) && !nested.contains { Self.isPath(path, inside: $0) }
        }
    }

    /// Who has one of these nodes open (`/dev/sdb`, `/dev/dm-0`, `/dev/mapper/mpath0`).
    public func holders(ofNodes nodes: [String], limit: Int = 64) -> [ProcessHold] {
        let nodes = Set(nodes)
        return holders(limit: limit) { path, _ in nodes.contains(path) }
    }

    /// Who has a device mounted in another mount namespace than this process': the first process of each namespace.
    ///
    /// Containers and confined services keep what was mounted when they started. Where mounts are propagated to them, as
    /// systemd sees to, so is the unmount: what is found is worth a word only after that.
    public func holders(inOtherNamespaces device: DeviceNumber, limit: Int = 8) -> [ProcessHold] {
        var seen: Set<String> = [files.linkText("/proc/self/ns/mnt") ?? ""]
        var found: [ProcessHold] = []
        for pid in pids where found.count < limit {
            guard let namespace = files.linkText("/proc/\(pid)/ns/mnt"), seen.insert(namespace).inserted else {
                continue
            }
            let table = MountTable(parsing: files.text("/proc/\(pid)/mountinfo", limitBytes: 16 << 20) ?? "")
            guard let mount = table.mounts(of: device).first else { continue }
            found.append(ProcessHold(pid: pid, name: name(pid) ?? "?", kind: .ownMount, path: mount.mountPoint))
        }
        return found
    }

    /// Loop devices whose backing file lies below a folder.
    public func loopDevices(backedBelow folder: String) -> [String] {
        files.entries("/sys/class/block").filter { name in
            guard let file = files.text("/sys/class/block/\(name)/loop/backing_file") else { return false }
            return Self.isPath(file, inside: folder)
        }
    }

    private static func isPath(_ path: String, inside folder: String) -> Bool {
        path == folder || path.hasPrefix(folder == "/" ? "/" : folder + "/")
    }

    private func holders(limit: Int, matches: (_ path: String, _ mountID: Int?) -> Bool) -> [ProcessHold] {
        var found: [ProcessHold] = []
        for pid in pids {
            let name = self.name(pid) ?? "?"
            func add(_ kind: ProcessHold.Kind, _ path: String?, mountID: Int? = nil) {
                guard found.count < limit, let path, matches(path, mountID) else { return }
                let hold = ProcessHold(pid: pid, name: name, kind: kind, path: path)
                if !found.contains(hold) { found.append(hold) }
            }
            let folder = "/proc/\(pid)"
            add(.workingDirectory, files.linkText(folder + "/cwd"))
            add(.rootDirectory, files.linkText(folder + "/root"))
            add(.program, files.linkText(folder + "/exe"))
            for descriptor in files.entries(folder + "/fd") {
                guard let path = files.linkText("\(folder)/fd/\(descriptor)"), path.hasPrefix("/") else { continue }
                add(.openFile, path, mountID: mountID("\(folder)/fdinfo/\(descriptor)"))
            }
            for line in (files.text(folder + "/maps", limitBytes: 4 << 20) ?? "").split(separator: "\n") {
                // address perms offset dev inode path: the path is everything from the sixth field on.
                let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
                let path = fields.count == 6 ? fields[5].drop { $0 == " " } : ""
                if path.hasPrefix("/") { add(.mappedFile, String(path)) }
            }
            if found.count >= limit { break }
        }
        return found
    }

    /// The mount an open file was opened through (fdinfo's `mnt_id`): the same path may lie on another mount.
    private func mountID(_ path: String) -> Int? {
        for line in (files.text(path, limitBytes: 4096) ?? "").split(separator: "\n") where line.hasPrefix("mnt_id:") {
            return Decimal.integer(line.dropFirst(7).drop { $0 == " " || $0 == "\t" })
        }
        return nil
    }
}
