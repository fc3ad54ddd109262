import Stack
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Running commands")
struct CommandRunnerTests {
    private let runner = CommandRunner()

    @Test("arguments go as they are, without a shell")
    func arguments() async throws {
        let result = try await runner.run("echo", ["a b", "$HOME", "*", "; ls"])
        #expect(result.standardOutput == "a b $HOME * ; ls\n")
    }

    @Test("standard input, exit code, last words")
    func inputAndExit() async throws {
        #expect(try await runner.run("cat", input: "text").standardOutput == "text")
        let failed = try await runner.run("ls", ["/no-such-folder"])
        #expect(failed.exitCode == 2)
        #expect(failed.lastWords.contains("No such file"))
        let error = await #expect(throws: StackError.self) { try await runner.check("ls", ["/no-such-folder"]) }
        #expect(error?.kind == .failed)
        #expect(error?.advice == "try it by hand: ls /no-such-folder")
    }

    @Test("a program that is missing is named with the package that brings it")
    func missing() async throws {
        let nowhere = CommandRunner(folders: ["/no-such-folder"])
        let error = await #expect(throws: StackError.self) { try await nowhere.run("iscsiadm") }
        #expect(error?.kind == .missing)
        #expect(error?.description == "iscsiadm: the program is not installed; apt-get install open-iscsi")
    }

    @Test("a command that outlives its deadline is ended, also when it does not heed SIGTERM")
    func deadline() async throws {
        let clock = ContinuousClock.now
        let error = await #expect(throws: StackError.self) {
            try await runner.run("bash", ["-c", "trap '' TERM; while :; do sleep 0.1; done"], deadlineSeconds: 1)
        }
        #expect(error?.kind == .deadline)
        #expect(ContinuousClock.now - clock < .seconds(20))
    }

    @Test("a daemon that a command leaves behind does not keep it waiting")
    func daemonLeftBehind() async throws {
        let clock = ContinuousClock.now
        let result = try await runner.run("bash", ["-c", "sleep 20 & echo $!"], deadlineSeconds: 15)
        #expect(ContinuousClock.now - clock < .seconds(10))
        if let pid = Int32(result.standardOutput.filter(\.isNumber)) { kill(pid, SIGKILL) }
    }

    @Test("output is bounded")
    func bounded() async throws {
        let result = try await runner.run("head", ["-c", "3000000", "/dev/zero"])
        #expect(result.standardOutput.utf8.count == CommandRunner.captureLimitBytes)
    }

    @Test("the environment is ours, whatever the user's is")
    func environment() async throws {
        unsafe setenv("LVM_SYSTEM_DIR", "/tmp/elsewhere", 1)
        let text = try await runner.run("env", environment: ["EXTRA": "1"]).standardOutput
        #expect(!text.contains("LVM_SYSTEM_DIR"))
        #expect(text.contains("LC_ALL=C\n"))
        #expect(text.contains("EXTRA=1\n"))
    }

    @Test("a daemon runs in a session of its own, and is seen to end")
    func daemon() async throws {
        let folder = try TemporaryFolder()
        let pid = try await runner.startDaemon(
            "bash", ["-c", "echo up; exec sleep 30"], logFile: folder.file("log"))
        #expect(DaemonProcess.state(of: pid) == .running)
        #expect(getsid(pid) == pid)
        #expect(await DaemonProcess.end(pid))
        #expect(DaemonProcess.state(of: pid) != .running)
        #expect(try folder.read("log") == "up\n")
    }

    @Test("a played command starts nothing")
    func played() async throws {
        let played = CommandRunner { program, arguments, _ throws(StackError) in
            CommandResult(standardOutput: "\(program) \(arguments)")
        }
        #expect(try await played.run("mkfs.gfs2", ["-p"]).standardOutput == #"mkfs.gfs2 ["-p"]"#)
    }
}
