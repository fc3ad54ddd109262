import Foundation
import HostDevices
import Rack
import Testing

import Stack

@Suite("systemd: the units, and what attach must not wait for")
struct ServiceManagerTests {
    /// A host that systemd runs, with attach in this control group.
    private func host(
        group: String, state: String = "running", loadState: String = "loaded", needsReload: Bool = false,
        asked: PlayedCommands
    ) throws -> (tree: ClusterTree, context: StackContext) {
        let tree = try ClusterTree(["/proc/self/cgroup": "0::/\(group)\n", "/run/systemd/system/x": ""])
        var context = tree.context { program, arguments, _ in
            asked.note(program, arguments)
            switch arguments.first {
            case "is-system-running": return CommandResult(ending: .exited(1), standardOutput: state + "\n")
            case "show":
                return success("LoadState=\(loadState)\nNeedDaemonReload=\(needsReload ? "yes" : "no")\n")
            default: return success("")
            }
        }
        context.folders = StackFolders(
            run: tree.path + "/run/attach", state: tree.path + "/var/lib/attach",
            systemdUnits: tree.path + "/run/systemd/system")
        context.monitorCommand = ["/sbin/attach", "monitor", "--rack", "/etc/rack/rack.yaml", "--client", "client0"]
        return (tree, context)
    }

    @Test(
        "where systemd waits for attach, attach must not wait for systemd",
        arguments: [
            ("system.slice/attach.service", "running", true), ("system.slice/attach-shutdown.service", "running", true),
            ("user.slice/session-1.scope", "stopping", true), ("user.slice/session-1.scope", "running", false),
            ("user.slice/session-1.scope", "degraded", false), ("system.slice/my-attach.service", "running", false),
        ])
    func waiting(group: String, state: String, expected: Bool) async throws {
        let (tree, context) = try host(group: group, state: state, asked: PlayedCommands())
        #expect(await ServiceManager(context).waitsForUs() == expected)
        withExtendedLifetime(tree) {}
    }

    @Test("without systemd nothing is asked, and there is no shutdown unit")
    func noSystemd() async throws {
        let tree = try ClusterTree()
        var context = tree.context { program, _, _ in
            Issue.record("\(program) was run")
            return success("")
        }
        context.folders = StackFolders(run: tree.path, state: tree.path, systemdUnits: tree.path + "/none")
        #expect(await !ServiceManager(context).waitsForUs())
        #expect(await ServiceManager(context).observe() == nil)
    }

    @Test(
        "a daemon is stopped by its unit, but not while that waits for attach",
        arguments: [
            ("user.slice/session-1.scope", true), ("system.slice/attach.service", false),
        ])
    func stoppingDaemons(group: String, byUnit: Bool) async throws {
        let asked = PlayedCommands()
        let (tree, context) = try host(group: group, asked: asked)
        try tree.write("/proc/4242/stat", "4242 (corosync) S 1 4242 4242 0 -1")
        let stat = tree.path + "/proc/4242/stat"
        // The unit's stop is played and ends nothing; what attach asks by itself does.
        let outcome = try? await ClusterDaemon.corosync.stop(
            context, deadlineSeconds: 1, ask: { try FileManager.default.removeItem(atPath: stat) }, advice: "look")
        #expect(asked.all.contains("systemctl stop corosync.service") == byUnit)
        #expect(FileManager.default.fileExists(atPath: stat) == byUnit)
        #expect((outcome == .removed) == !byUnit)
    }

    @Test(
        "up leaves a unit whose stop is down, and has systemd read its units again only where it must",
        arguments: [
            ("loaded", false, false), ("loaded", true, true), ("not-found", false, true),
        ])
    func shutdownUnit(loadState: String, needsReload: Bool, reloads: Bool) async throws {
        let asked = PlayedCommands()
        let (tree, context) = try host(
            group: "user.slice", loadState: loadState, needsReload: needsReload, asked: asked)
        let manager = ServiceManager(context)
        let absent = try #require(await manager.observe())
        #expect(absent.state == .absent)
        let step = try #require(manager.guardStep(StackObservation(objects: [absent]), group: 0))
        #expect(try await step.run() == .created)
        #expect(asked.all.contains("systemctl daemon-reload") == reloads)
        #expect(asked.all.last == "systemctl start attach-shutdown.service")
        let text = try #require(tree.read("/run/systemd/system/attach-shutdown.service"))
        #expect(
            text.contains(
                #"ExecStop="/sbin/attach" "down" "--rack" "/etc/rack/rack.yaml" "--client" "client0" "--at-shutdown""#))
        let present = try #require(await manager.observe())
        #expect(present.state == .present)
        #expect(manager.guardStep(StackObservation(objects: [present]), group: 0) == nil)

        try tree.write("/rack.yaml", "rack: r")
        try context.folders.keepInventory(from: tree.path + "/rack.yaml")
        var copy = stat()
        #expect(unsafe stat(context.folders.inventoryCopy, &copy) == 0)
        #expect(copy.st_mode & 0o777 == 0o600)
        let release = try #require(manager.releaseStep(StackObservation(objects: [present]), group: 4))
        #expect(try await release.run() == .removed)
        #expect(
            asked.all.suffix(2) == [
                "systemctl stop --no-block attach-shutdown.service", "systemctl stop --no-block attach.service",
            ])
        #expect(tree.read("/run/systemd/system/attach-shutdown.service") == nil)
        // What tells the unit's own `down --at-shutdown` that nothing is left to do.
        #expect(!context.folders.hasInventoryCopy)
    }

    @Test("everything that the stack needs is stopped after it, and logins and mounts before")
    func order() throws {
        let boot = StackLayers.bootUnit(
            try walkThroughScope(), StackContext(monitorCommand: ["/sbin/attach", "monitor", "--rack", "/r.yaml"]))
        #expect(boot.contains(#"ExecStart="/sbin/attach" "up" "--rack" "/r.yaml"\#n"#))
        #expect(boot.contains(#"ExecStop="/sbin/attach" "down" "--rack" "/r.yaml" "--if-up"\#n"#))
        let texts = [
            boot,
            ServiceManager.shutdownUnitText(["attach", "down"]),
        ]
        for text in texts {
            let lines = text.split(separator: "\n")
            let after = try #require(lines.first { $0.hasPrefix("After=") }).dropFirst(6).split(separator: " ")
            for unit in ["network.target", "iscsid", "corosync", "dlm", "lvmlockd", "blk-availability"] {
                #expect(after.contains { $0 == unit || $0 == "\(unit).service" }, "\(unit)")
            }
            let before = try #require(lines.first { $0.hasPrefix("Before=") }).dropFirst(7).split(separator: " ")
            #expect(before.contains("remote-fs-pre.target") && before.contains("remote-fs.target"))
            #expect(lines.contains("RemainAfterExit=yes") && lines.contains("Type=oneshot"))
        }
    }

    @Test("words of a command are quoted as systemd takes them")
    func quoting() {
        #expect(
            ServiceManager.commandLine(["/a b/attach", "100%", "$HOME", #"c"\d"#])
                == #""/a b/attach" "100%%" "$$HOME" "c\"\\d""#)
    }
}
