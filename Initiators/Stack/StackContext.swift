import HostDevices
import Rack

/// What the layers need to do their work: how commands run, where files lie, what is remembered.
public struct StackContext: Sendable {
    /// Runs the engines' programs.
    public var commands: CommandRunner
    /// Our own files.
    public var folders: StackFolders
    /// The kernel's files.
    public var files: HostFiles
    /// Where made objects are noted; nil for `plan` and `status`, which make none.
    public var journal: Journal?
    /// How the monitor is started: the program's path and its arguments.
    public var monitorCommand: [String]

    /// Makes a context.
    public init(
        commands: CommandRunner = CommandRunner(), folders: StackFolders = StackFolders(),
        files: HostFiles = HostFiles(), journal: Journal? = nil, monitorCommand: [String] = []
    ) {
        self.commands = commands
        self.folders = folders
        self.files = files
        self.journal = journal
        self.monitorCommand = monitorCommand
    }

    /// A host on which nothing is, for a plan by somebody who may not look.
    public static var ofNothing: StackContext {
        let nowhere = "/nonexistent"
        return StackContext(
            commands: CommandRunner(playing: { program, _, _ throws(StackError) in
                throw StackError(.noRoot, object: program, cause: "not run", advice: "run it as root")
            }),
            folders: StackFolders(run: nowhere, state: nowhere, udevRules: nowhere, systemdUnits: nowhere),
            files: HostFiles(root: nowhere))
    }

    /// Another command of this program, with the same options. The first word of the monitor's command is the program, the second the verb.
    func command(_ verb: String, _ options: [String] = []) -> [String] {
        Array(monitorCommand.prefix(1)) + [verb] + monitorCommand.dropFirst(2) + options
    }

    /// What attach made and has not taken down, as the journal says.
    public var owned: Set<OwnedObject> {
        journal?.known.owned ?? Journal.read(path: folders.journalFile).owned
    }

    /// A step that loads the kernel modules that are missing; nil when all are there.
    func moduleStep(_ layer: LayerKind, _ names: [String], group: Int) -> Step? {
        let modules = KernelModules(files: files)
        let missing = names.filter { !modules.availability($0).isPresent }
        guard !missing.isEmpty else { return nil }
        let commands = commands
        return Step(
            layer: layer, name: "load kernel module\(missing.count > 1 ? "s" : "") \(missing.joined(separator: ", "))",
            object: missing[0], deadlineSeconds: 30, group: group
        ) {
            for name in missing where !modules.availability(name).isPresent {
                let result = try await commands.run("modprobe", [name], deadlineSeconds: 20)
                guard result.isSuccess else {
                    throw StackError(
                        .missing, object: "kernel module \(name)", cause: result.lastWords,
                        advice: "install the kernel's modules (\(modules.release)), or try: modprobe \(name)")
                }
            }
            return .created
        }
    }

    /// Those of the programs and kernel modules that this host does not have, each with the package to install.
    func missing(programs: [String] = [], modules names: [String] = []) -> [StackError] {
        var errors: [StackError] = []
        for program in programs {
            do throws(StackError) { _ = try commands.locate(program) } catch { errors.append(error) }
        }
        let modules = KernelModules(files: files)
        for name in names where modules.availability(name) == .missing {
            errors.append(
                StackError(
                    .missing, object: "kernel module \(name)",
                    cause: "the running kernel, \(modules.release), has none",
                    advice: "install the modules of that kernel (its linux-image package), then: attach up"))
        }
        return errors
    }

    /// The daemons that attach started and has to end, by name.
    func startedDaemons() -> [String: Int32] {
        guard let text = readTextFile(folders.startedFile), case .object(let members)? = JSONValue(parsing: text) else {
            return [:]
        }
        return Dictionary(
            members.compactMap { member in member.value.integer.map { (member.name, Int32(truncatingIfNeeded: $0)) } },
            uniquingKeysWith: { $1 })
    }

    /// Notes that a daemon was started by us (process id, or 0 where the service manager has it), or ended (nil).
    func noteDaemon(_ name: String, _ pid: Int32?) throws(StackError) {
        var daemons = startedDaemons()
        daemons[name] = pid
        if daemons.isEmpty {
            removeFile(folders.startedFile)
            return
        }
        let members = daemons.sorted { $0.key < $1.key }.map { (name: $0.key, value: JSONValue.integer(Int($0.value))) }
        try makeFolder(folders.run)
        try writeFileAtomically(folders.startedFile, JSONValue.object(members).line + "\n")
    }
}

extension StackError {
    /// A device's error as a user's.
    init(_ error: HostDeviceError, kind: Kind = .failed) {
        self.init(
            kind, object: error.object, cause: "cannot \(error.operation) it: \(error.cause)",
            advice: error.advice.isEmpty ? "see attach status and the kernel's log (dmesg)" : error.advice)
    }
}
