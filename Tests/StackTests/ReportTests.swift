import Rack
import Stack
import Testing

/// The walk-through's rack as it looks when all is well.
private func healthy() throws -> StackObservation {
    let scope = try walkThroughScope()
    var objects: [ObservedObject] = []
    for (index, path) in scope.paths.enumerated() {
        objects.append(
            ObservedObject(
                layer: .sessions, name: path.sessionName, parent: path.volume.name, state: .present,
                facts: ["session": "\(index + 1)", "endpoint": path.endpoint]))
        objects.append(
            ObservedObject(
                layer: .paths, name: path.pathName, parent: path.volume.name, state: .present,
                facts: [
                    "host": path.portal.hostName, "portal": path.portal.portal.address, "endpoint": path.endpoint,
                    "device": ["sdb", "sdc", "sdd", "sde"][index], "session": "\(index + 1)", "latency_ms": "0.9",
                ]))
    }
    objects.append(
        ObservedObject(layer: .sessions, name: "iscsid", state: .present, facts: ["kind": "aux", "pid": "9"]))
    for volume in scope.volumes {
        objects.append(
            ObservedObject(
                layer: .maps, name: volume.name, parent: "VG0", state: .present,
                facts: ["device": "dm-0", "size_bytes": "1073741824", "queueing": "yes"]))
    }
    objects.append(ObservedObject(layer: .maps, name: "monitor", state: .present, facts: ["kind": "aux", "pid": "10"]))
    objects.append(
        ObservedObject(layer: .membership, name: "client", state: .present, detail: "2 of 2 members, quorate"))
    objects.append(ObservedObject(layer: .volumeGroup, name: "VG0", parent: "VG0/LV0", state: .present))
    objects.append(
        ObservedObject(
            layer: .volume, name: "VG0/LV0", parent: "/mnt", state: .present, detail: "shared",
            facts: ["size_bytes": "2139095040"]))
    objects.append(
        ObservedObject(
            layer: .filesystem, name: "/mnt", state: .present, detail: "rw  2 of 4 journals in use"))
    return StackObservation(objects: objects)
}

private func report(_ change: (inout StackObservation) -> Void = { _ in }) throws -> StatusReport {
    var observation = try healthy()
    change(&observation)
    return StatusReport(scope: try walkThroughScope(), observation: observation, wallSeconds: 1000)
}

extension StackObservation {
    fileprivate mutating func set(
        _ layer: LayerKind, _ name: String, _ state: ObjectState, _ detail: String = "", facts: [String: String] = [:]
    ) {
        guard let index = objects.firstIndex(where: { $0.layer == layer && $0.name == name }) else { return }
        objects[index].state = state
        objects[index].detail = detail
        objects[index].facts.merge(facts) { $1 }
    }
}

@Suite("Status")
struct StatusTests {
    @Test("all is well")
    func healthyText() throws {
        let report = try report()
        #expect(report.exitCode == 0)
        #expect(
            report.text(TextStyle(usesColour: false)) == """
                rack1 HEALTHY  4 of 4 paths up; /mnt in place.
                /mnt  gfs2 client:gfs2  rw  2 of 4 journals in use
                └ VG0/LV0  2.0 GiB  shared
                  ├ mpath0  3361…7d  1 GiB  queue 60s
                  │ ├ storage0 10.77.0.21 sdb up    check 0.9 ms
                  │ └ storage0 10.77.1.21 sdc up    check 0.9 ms
                  └ mpath1  3362…6c  1 GiB  queue 60s
                    ├ storage1 10.77.0.22 sdd up    check 0.9 ms
                    └ storage1 10.77.1.22 sde up    check 0.9 ms
                client   up  2 of 2 members, quorate
                monitor  up
                iscsid   up
                """)
    }

    @Test("a path down is a warning, with how long and what to do")
    func degradedText() throws {
        let report = try report { observation in
            observation.set(
                .paths, "mpath0 storage0/10.77.1.21:3260", .degraded, "no answer for 5 s", facts: ["since": "958"])
            observation.set(.maps, "mpath0", .degraded, "1 of 2 paths")
        }
        #expect(report.exitCode == 1)
        let lines = report.text(TextStyle(usesColour: false)).split(separator: "\n").map(String.init)
        #expect(
            lines[0] == "rack1 DEGRADED  1 of 4 paths down 42s; I/O continues."
                + "   next: check storage0 10.77.1.21:3260: attach discover 10.77.1.21:3260")
        #expect(lines[3] == "  ├ mpath0  3361…7d  1 GiB  queue 60s  DEGRADED  1 of 2 paths")
        #expect(lines[5] == "  │ └ storage0 10.77.1.21 sdc DOWN  42s, no answer for 5 s")
    }

    @Test("a drained path is a warning, whose end is the storage host's; a path that is down otherwise comes first")
    func drainedText() throws {
        let drained = { (observation: inout StackObservation) in
            observation.set(
                .paths, "mpath0 storage0/10.77.1.21:3260", .degraded, "drained: unavailable",
                facts: ["since": "958", "drained": "yes"])
        }
        let alone = try report(drained)
        #expect(alone.exitCode == 1)
        #expect(alone.next == "storaged undrain on storage0, once the work there is done")
        let lines = alone.text(TextStyle(usesColour: false)).split(separator: "\n").map(String.init)
        #expect(lines.contains("  │ └ storage0 10.77.1.21 sdc DOWN  42s, drained: unavailable"), "\(lines)")
        let both = try report { observation in
            drained(&observation)
            observation.set(.paths, "mpath1 storage1/10.77.1.22:3260", .degraded, "lost", facts: ["since": "958"])
        }
        #expect(both.next.hasPrefix("check storage1 10.77.1.22:3260"))
    }

    @Test("a map without a path is critical; nothing there is critical; what cannot be seen is unknown")
    func verdicts() throws {
        let dead = try report { $0.set(.maps, "mpath1", .wrong, "no path left; I/O waits") }
        #expect(dead.exitCode == 2)
        #expect(dead.sentence == "mpath1: no path left; I/O waits.")
        let nothing = try report { observation in
            for index in observation.objects.indices { observation.objects[index].state = .absent }
        }
        #expect(nothing.exitCode == 2)
        #expect(nothing.sentence == "nothing is attached.")
        #expect(nothing.next == "attach up")
        let unseen = try report { $0.set(.maps, "mpath1", .unknown, "permission denied") }
        #expect(unseen.exitCode == 3)
        let unwatched = try report { $0.set(.maps, "monitor", .absent, "not running") }
        #expect(unwatched.exitCode == 1)
        #expect(unwatched.sentence == "monitor: not running.")
        let unmounted = try report { $0.set(.filesystem, "/mnt", .absent) }
        #expect(unmounted.exitCode == 2)
        #expect(unmounted.sentence == "/mnt: not there.")
    }

    @Test("under systemd a shutdown that nothing prepares is a warning, and a prepared one is worth no line")
    func shutdown() throws {
        func report(_ state: ObjectState, _ detail: String) throws -> StatusReport {
            var observation = try healthy()
            observation.objects.append(
                ObservedObject(
                    layer: .sessions, name: "attach-shutdown.service", state: state, detail: detail,
                    facts: ["kind": "aux"]))
            return StatusReport(scope: try walkThroughScope(), observation: observation, wallSeconds: 1000)
        }
        let unprepared = try report(.absent, "nothing takes the stack down before this host goes down")
        #expect(unprepared.exitCode == 1 && unprepared.next == "attach up")
        #expect(
            unprepared.sentence == "attach-shutdown.service: nothing takes the stack down before this host goes down.")
        let prepared = try report(.present, "")
        #expect(prepared.exitCode == 0)
        #expect(!prepared.text(TextStyle(usesColour: false)).contains("attach-shutdown"))
    }

    @Test("colours say the same, and only when they are wanted")
    func colours() throws {
        let report = try report()
        let coloured = report.text(TextStyle(usesColour: true))
        #expect(coloured.contains("\u{1B}[32mHEALTHY\u{1B}[0m"))
        #expect(!report.text(TextStyle(usesColour: false)).contains("\u{1B}"))
    }

    @Test("JSON has a schema, and each object holds what it stands on")
    func json() throws {
        let json = try report { observation in
            observation.set(.paths, "mpath0 storage0/10.77.1.21:3260", .degraded, "lost", facts: ["since": "958"])
        }.json
        #expect(JSONValue(parsing: json.pretty) == json)
        #expect(json["schema"]?.text == "attach.status/1")
        #expect(json["verdict"]?["code"]?.integer == 1)
        let filesystem = try #require(json["objects"]?.elements?.first)
        #expect(filesystem["kind"]?.text == "filesystem")
        let volume = try #require(filesystem["logical_volumes"]?.elements?.first)
        #expect(volume["name"]?.text == "VG0/LV0")
        #expect(volume["size_bytes"]?.integer == 2_139_095_040)
        let map = try #require(volume["maps"]?.elements?.first)
        #expect(map["queueing"]?.bool == true)
        let path = try #require(map["paths"]?.elements?.last)
        #expect(path["state"]?.text == "degraded")
        #expect(path["since"]?.integer == 958)
        #expect(path["sessions"]?.elements?.first?["session"]?.integer == 2)
        #expect(json["services"]?.elements?.count == 3)
    }
}

@Suite("What up, down and plan print")
struct RunTextTests {
    private let text = RunText(TextStyle(usesColour: false))

    @Test("a line a step, each for itself")
    func lines() {
        let good = StepReport(
            layer: .sessions, name: "log in mpath0 via 10.77.0.21:3260", object: "x", outcome: .created, seconds: 0.254)
        #expect(text.line(.ended(good)) == "  0.25 s  created        log in mpath0 via 10.77.0.21:3260")
        let bad = StepReport(
            layer: .sessions, name: "log in mpath0 via 10.77.1.21:3260", object: "x", outcome: nil,
            error: StackError(.noPath, object: "x", cause: "no answer", advice: "wait"), isTolerated: true, seconds: 12)
        #expect(text.line(.ended(bad)) == " 12.00 s  FAILED         log in mpath0 via 10.77.1.21:3260: no answer")
        let run = JournalContents.Run(
            verb: "up", pid: 77, began: "2026-01-31T12:00:00Z", lastStep: "maps: make map mpath0", lastStepEnded: false)
        #expect(
            text.line(.resumes(run))
                == "the last attach up (2026-01-31T12:00:00Z, pid 77) was cut short during 'maps: make map mpath0'; "
                + "going on from what is there")
    }

    @Test("the last line says what is so")
    func lastLine() throws {
        let scope = try walkThroughScope()
        var report = RunReport(verb: .up)
        #expect(text.lastLine(report, scope) == "everything is up; nothing to do")
        report.totalSeconds = 3.456
        report.steps = [StepReport(layer: .maps, name: "make", object: "m", outcome: .created, seconds: 1)]
        #expect(text.lastLine(report, scope) == "everything is up: /mnt (3.46 s)")
        report.error = StackError(.busy, object: "m", cause: "c", advice: "a")
        #expect(text.lastLine(report, scope) == nil)
        #expect(text.lastLine(RunReport(verb: .down), scope) == "everything is down; nothing to do")
    }

    @Test("timings by layer and step, with what passed")
    func timings() {
        var report = RunReport(verb: .up)
        report.steps = [
            StepReport(layer: .maps, name: "make map mpath0", object: "m", outcome: .created, seconds: 1.5),
            StepReport(layer: .sessions, name: "start iscsid", object: "iscsid", outcome: .created, seconds: 0.25),
        ]
        report.observationSeconds = [.sessions: 0.01]
        report.totalSeconds = 1.76
        #expect(
            text.timings(report) == """
                LAYER     STEP                                SECONDS
                sessions  start iscsid                           0.25
                sessions  (looking)                              0.01
                maps      make map mpath0                        1.50
                          sum of all                             1.76
                          passed (what can run at once does)     1.76
                """)
        let json = RunText.json(report)
        #expect(json["schema"]?.text == "attach.run/1")
        #expect(json["layers"]?.elements?.count == 2)
        #expect(json["result"]?.text == "done")
    }

    @Test("a plan by somebody who may not look has every layer, and does not say that anything is missing")
    func planFromNothing() async throws {
        for (client, making) in [
            ("client0", "find or make volume group VG0 on mpath0, mpath1"),
            ("client1", "find volume group VG0, or wait for client0 to make it"),
        ] {
            let scope = try StackScope(inventory: walkThrough(), clientName: client)
            let layers = StackLayers.all(.ofNothing)
            let observation = await Runner(layers: layers, scope: scope, journal: nil).observe()
            let plan = Plan(scope: scope, layers: layers, observation: observation, caveat: "not looked at")
            let names = plan.steps.map(\.name)
            #expect(names.contains("start corosync") && names.contains(making))
            #expect(names.last == "mount VG0/LV0 on /mnt")
            #expect(plan.obstacles.isEmpty)
            #expect(plan.text().contains("whether it is there can be seen once its maps are up"))
        }
    }

    @Test("plan prints identifiers, the worst stall and the steps, and makes none")
    func plan() throws {
        let scope = try walkThroughScope()
        let host = ModelHost()
        let plan = Plan(scope: scope, layers: modelStack(host), observation: StackObservation())
        let lines = plan.text().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines[0] == "rack1: client client0")
        #expect(lines.contains("  volume mpath0                    wwid       336132d69e465b57d"))
        #expect(
            lines.contains(
                "  a path dies silently   15 s   NOP every 5 s + answer within 5 s + recovery 5 s, then its I/O goes "
                    + "elsewhere"))
        #expect(lines.contains("  all paths die          75 s   the same + queueing 60 s, then I/O fails"))
        #expect(lines.contains("   1  sessions  make s0    (at most 5 s)"))
        #expect(lines.last == "  10  maps      make map1  (at most 5 s)")
        #expect(host.with { $0.log.isEmpty })
        #expect(plan.json["schema"]?.text == "attach.plan/1")
        #expect(plan.json["steps"]?.elements?.count == 10)
        #expect(plan.json["worst_stall_seconds"]?["all_paths"]?.integer == 75)
    }

    @Test("figures as people write them")
    func figures() {
        #expect(
            [0, 42, 60, 200, 7500, 273_600].map { Figures.duration(seconds: $0) } == [
                "0s", "42s", "1m", "3m 20s", "2h 5m", "3d 4h",
            ])
        #expect(
            [512, 1 << 30, 2_139_095_040, 1 << 20].map { Figures.size(bytes: $0) } == [
                "512 B", "1 GiB", "2.0 GiB", "1 MiB",
            ])
        #expect(Figures.decimal(-0.05, digits: 1) == "-0.1" || Figures.decimal(-0.05, digits: 1) == "0.0")
        #expect(Figures.list(["a", "b", "c"]) == "a, b and c")
    }
}

@Suite("JSON")
struct JSONTests {
    @Test(
        "what is written is read back",
        arguments: [
            #"{"a":1,"b":[true,false,null],"c":"x\"\\\n\u0001ü"}"#, "[]", "{}", #""\u00e4\ud83d\ude00""#, "-12",
            "1.500",
        ])
    func roundTrip(text: String) throws {
        let value = try #require(JSONValue(parsing: text))
        #expect(JSONValue(parsing: value.line) == value)
        #expect(JSONValue(parsing: value.pretty) == value)
    }

    @Test(
        "what is none is refused",
        arguments: [
            "", "{", "[1,]", #"{"a"}"#, "tru", #""a"#, "1 2", #""\ud800""#, #"{"a":1,}"#, "\u{1}", #""\q""#,
            String(repeating: "[", count: 5000),
        ])
    func refusals(text: String) {
        #expect(JSONValue(parsing: text) == nil)
    }
}
