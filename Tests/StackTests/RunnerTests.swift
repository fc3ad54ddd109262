import Stack
import Synchronization
import Testing

@Suite("Runner: observe, step, observe")
struct RunnerTests {
    @Test("up makes every layer in order, and a second up does nothing")
    func upTwice() async throws {
        let host = ModelHost()
        let scope = try walkThroughScope()
        let first = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        #expect(first.error == nil)
        #expect(first.steps.count == 10)
        #expect(first.steps.map(\.layer) == first.steps.map(\.layer).sorted())
        #expect(host.with { $0.present.count } == 10)
        let second = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        #expect(second.hadNothingToDo)
        #expect(host.with { $0.log.count } == 10)
    }

    @Test("steps of one group run at the same time")
    func parallel() async throws {
        let host = ModelHost()
        _ = await Runner(layers: modelStack(host), scope: try walkThroughScope(), journal: nil).up()
        #expect(host.with { $0.mostActive } > 1)
    }

    @Test("up stops at the first layer that fails, leaves what was done, and goes on when it is mended")
    func stopsAndGoesOn() async throws {
        let host = ModelHost()
        host.with { $0.broken = ["p2"] }
        let scope = try walkThroughScope()
        let failed = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        #expect(failed.error?.kind == .noPath)
        #expect(failed.error?.object == "p2")
        #expect(host.with { $0.present } == ["s0", "s1", "s2", "s3", "p0", "p1", "p3"])
        host.with { $0.broken = [] }
        let mended = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        #expect(mended.error == nil)
        #expect(mended.steps.map(\.object).sorted() == ["map0", "map1", "p2"])
    }

    @Test("a tolerated failure is reported, and the layers above come up")
    func tolerated() async throws {
        let host = ModelHost()
        host.with { $0.broken = ["s3"] }
        let layers = modelStack(host, tolerated: ["s3"])
        let report = await Runner(layers: layers, scope: try walkThroughScope(), journal: nil).up()
        #expect(report.error == nil)
        #expect(report.toleratedFailures.map(\.object) == ["s3"])
        #expect(host.with { $0.present.contains("map1") })
    }

    @Test("a step that says it is done and is not makes the run fail, after two rounds")
    func unfulfilled() async throws {
        struct Liar: Layer {
            let kind = LayerKind.maps
            func observe(_ scope: StackScope) async -> [ObservedObject] {
                [ObservedObject(layer: .maps, name: "m", state: .absent, detail: "gone again")]
            }
            func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
                [Step(layer: .maps, name: "make m", object: "m", deadlineSeconds: 1) { .created }]
            }
            func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] { [] }
        }
        let report = await Runner(layers: [Liar()], scope: try walkThroughScope(), journal: nil).up()
        #expect(report.steps.count == 2)
        #expect(report.error?.cause == "'make m' ended well and is still to be done (gone again)")
    }

    @Test("a step that never ends is given up after its deadline")
    func deadline() async throws {
        struct Sleeper: Layer {
            let kind = LayerKind.maps
            func observe(_ scope: StackScope) async -> [ObservedObject] { [] }
            func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
                [
                    Step(layer: .maps, name: "wait", object: "m", deadlineSeconds: 1) {
                        // Deaf to being cancelled, as a call into the kernel is.
                        await Task.detached { try? await Task.sleep(for: .seconds(30)) }.value
                        return .created
                    }
                ]
            }
            func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] { [] }
        }
        let clock = ContinuousClock.now
        let report = await Runner(layers: [Sleeper()], scope: try walkThroughScope(), journal: nil).up()
        #expect(report.error?.kind == .deadline)
        #expect(ContinuousClock.now - clock < .seconds(15))
    }

    @Test("down is the reverse of up, and a second down does nothing")
    func downTwice() async throws {
        let host = ModelHost()
        let scope = try walkThroughScope()
        _ = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        let down = await Runner(layers: modelStack(host), scope: scope, journal: nil).down()
        #expect(down.error == nil)
        #expect(down.steps.map(\.layer) == down.steps.map(\.layer).sorted(by: >))
        #expect(host.with { $0.present.isEmpty })
        let again = await Runner(layers: modelStack(host), scope: scope, journal: nil).down()
        #expect(again.hadNothingToDo)
    }

    @Test("down is refused before the first step when anything is in use, with every reason")
    func refused() async throws {
        let host = ModelHost()
        let scope = try walkThroughScope()
        _ = await Runner(layers: modelStack(host), scope: scope, journal: nil).up()
        host.with { $0.holders = ["s1": "sleep (pid 7)", "map0": "bash (pid 8)"] }
        let report = await Runner(layers: modelStack(host), scope: scope, journal: nil).down()
        #expect(report.error?.kind == .busy)
        #expect(report.error?.description == "map0: held by bash (pid 8); end that")
        #expect(report.furtherErrors.map(\.object) == ["s1"])
        #expect(report.steps.isEmpty)
        #expect(host.with { $0.present.count } == 10)
    }
}

@Suite("Runner: ended at any step, the next run converges")
struct ConvergenceTests {
    /// The process "dies" after a number of changes; whatever had begun is left as it is.
    private func run(_ host: ModelHost, _ verb: RunVerb, dyingAfter steps: Int?, _ folder: TemporaryFolder) async throws
    {
        host.with { $0.stepsUntilDeath = steps }
        let journal = try Journal.open(path: folder.file("journal"))
        let runner = Runner(layers: modelStack(host), scope: try walkThroughScope(), journal: journal)
        _ = verb == .up ? await runner.up() : await runner.down()
        host.with { $0.stepsUntilDeath = nil }
    }

    @Test("up, ended after n changes, then up", arguments: 0...10)
    func up(changes: Int) async throws {
        let folder = try TemporaryFolder()
        let host = ModelHost()
        try await run(host, .up, dyingAfter: changes, folder)
        #expect(host.with { $0.present.count } == min(changes, 10))
        try await run(host, .up, dyingAfter: nil, folder)
        #expect(host.with { $0.present.count } == 10)
        // Nothing was made twice.
        #expect(host.with { Set($0.log).count == $0.log.count })
    }

    @Test("down, ended after n changes, then down", arguments: 0...10)
    func down(changes: Int) async throws {
        let folder = try TemporaryFolder()
        let host = ModelHost()
        try await run(host, .up, dyingAfter: nil, folder)
        try await run(host, .down, dyingAfter: changes, folder)
        #expect(host.with { $0.present.count } == max(0, 10 - changes))
        try await run(host, .down, dyingAfter: nil, folder)
        #expect(host.with { $0.present.isEmpty })
    }

    @Test("any row of runs that are ended anywhere, then one that is not", arguments: 1...40)
    func anyRow(seed: UInt64) async throws {
        var generator = SplitMix(seed)
        let folder = try TemporaryFolder()
        let host = ModelHost()
        for _ in 0..<Int(generator.next() % 6) {
            let verb: RunVerb = generator.next() % 2 == 0 ? .up : .down
            try await run(host, verb, dyingAfter: Int(generator.next() % 11), folder)
        }
        let last: RunVerb = generator.next() % 2 == 0 ? .up : .down
        try await run(host, last, dyingAfter: nil, folder)
        #expect(host.with { $0.present.count } == (last == .up ? 10 : 0), "seed \(seed)")
        #expect(Journal.read(path: folder.file("journal")).cutShort == nil, "seed \(seed)")
    }
}

/// A small generator with a seed, so that a failure can be had again.
struct SplitMix {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
