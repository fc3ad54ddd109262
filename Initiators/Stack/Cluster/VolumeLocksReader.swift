import Synchronization

/// Asks lvmlockd what it holds.
///
/// lvmlockctl takes the answer on a socket of a fixed name, so two of them at once fail ("Address already in use"). Several
/// layers ask at the same time when the whole stack is looked at: within this process they share one answer, and
/// another process in the way is given a moment.
enum VolumeLocksReader {
    private static let running = Mutex<Task<CommandResult, any Error>?>(nil)
    private static let attempts = 5

    /// What lvmlockd answers; a failure is the command's own.
    static func read(_ context: StackContext) async throws -> CommandResult {
        let commands = context.commands
        let task = running.withLock { task in
            if let task { return task }
            let new = Task.detached {
                defer { running.withLock { $0 = nil } }
                return try await ask(commands)
            }
            task = new
            return new
        }
        return try await task.value
    }

    private static func ask(_ commands: CommandRunner) async throws -> CommandResult {
        var result = CommandResult()
        for attempt in 1...attempts {
            result = try await commands.run("lvmlockctl", ["-i"], deadlineSeconds: 15)
            if result.isSuccess || attempt == attempts { break }
            try await Task.sleep(for: .milliseconds(200))
        }
        return result
    }
}
