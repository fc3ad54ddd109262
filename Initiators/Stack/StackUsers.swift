import Glibc
import HostDevices
import Rack

/// The processes that use the stack, for a host that goes down: there they end anyway, and one that is left would keep
/// the stack up until nothing works any more that could take it down.
public enum StackUsers {
    /// Ends every process that keeps a file system of the scope mounted or has one of its devices open: SIGTERM, and
    /// SIGKILL after five seconds. Never process 1 or this one.
    ///
    /// - Returns: Who was ended, or could not be: `bash (pid 812): working directory /mnt`.
    public static func end(_ scope: StackScope, files: HostFiles = HostFiles()) async -> [String] {
        // This process may have been called from there.
        _ = unsafe chdir("/")
        let found = holds(scope, files).filter { $0.pid > 1 && $0.pid != getpid() }
        await withTaskGroup(of: Void.self) { group in
            for pid in Set(found.map(\.pid)) { group.addTask { _ = await DaemonProcess.end(pid) } }
        }
        var named: Set<Int32> = []
        return found.filter { named.insert($0.pid).inserted }.map { hold in
            DaemonProcess.state(of: hold.pid) == .running ? "\(hold), and it does not end" : hold.description
        }
    }

    /// All holds on the scope's mounts and devices, several a process where it has several.
    static func holds(_ scope: StackScope, _ files: HostFiles) -> [ProcessHold] {
        let table = ProcessTable(files: files)
        let mounts = MountTable(files: files)
        var nodes: [String] = []
        for block in BlockDevice.all(files: files) {
            guard let name = block.mapName, let uuid = block.mapUUID,
                scope.volumes.contains(where: { $0.mapUUID == uuid })
            else { continue }
            nodes += [block.node, "/dev/mapper/\(name)"]
        }
        for group in scope.volumeGroups {
            for volume in group.logicalVolumes {
                nodes += LogicalVolumeDevice(group, volume, files)?.nodes(group, volume) ?? []
            }
        }
        let onMounts = scope.filesystems.compactMap { mounts.mount(at: $0.mountPoint) }
            .flatMap { table.holders(of: $0, limit: 10_000) }
        return onMounts + (nodes.isEmpty ? [] : table.holders(ofNodes: nodes, limit: 10_000))
    }
}
