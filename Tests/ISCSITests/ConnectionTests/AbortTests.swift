import ISCSI
import Testing

@Suite("Full feature phase: aborts and buffers")
struct AbortTests {
    @Test("an abort before admission, while collecting, while executing and while draining frees the place")
    func everyState() throws {
        for state in [ISCSI.Task.State.new, .collecting, .executing, .draining] {
            let harness = Harness(window: 1) { $0.initialR2T = false }
            let final = state != .draining
            let index = try #require(harness.receive(harness.command(1, writes: 4096, final: final)).task)
            switch state {
            case .collecting: _ = harness.machine.admit(index, wantedBytes: 4096, commandBytes: 4096)
            case .executing: _ = harness.machine.admit(index, wantedBytes: 0, commandBytes: 0)
            case .draining: harness.respond(index, status: 2)
            default: break
            }
            #expect(harness.task(index).state == state)
            #expect(harness.abort(index))
            #expect(harness.tasksInFlight == 0 && !harness.hasOutput, "\(state)")
            #expect(harness.find(InitiatorTaskTag(1)) == nil)
            #expect(harness.receive(harness.dataOut(1, offset: 0, length: 512, final: true)).isIgnored)
            #expect(harness.receive(harness.command(2)).task == index)
        }
    }

    @Test("an abort takes back queued data and R2Ts of its task alone")
    func queued() throws {
        let harness = Harness()
        let read = try harness.admit(harness.command(1, reads: 8192), moves: 8192)
        let write = try harness.admit(harness.command(2, writes: 8192), wants: 8192)
        let other = try harness.admit(harness.command(3, reads: 512), moves: 512)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 4096, endsCommand: false)
        harness.machine.sendData(other, payload: harness.lend(), lengthBytes: 512, endsCommand: true)
        _ = harness.solicit(write, upToBytes: 8192)
        #expect(harness.abort(read) && harness.abort(write))
        #expect(harness.lent == [1])
        let pdus = harness.drain()
        #expect(pdus.map(\.header.initiatorTaskTag) == [InitiatorTaskTag(3)])
        #expect(harness.lent.isEmpty)
    }

    @Test("an abort in the middle of an item: PDUs that went out keep its buffer from nobody")
    func partlySent() throws {
        let harness = Harness { $0.maximumSendBytes = 1024 }
        let read = try harness.admit(harness.command(1, reads: 8192), moves: 8192)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 4096, endsCommand: false)
        #expect(harness.next()?.payloadLength == 1024)
        #expect(harness.lent.count == 1)
        #expect(harness.abort(read))
        #expect(harness.lent.isEmpty && harness.drain().isEmpty)
    }

    @Test("a task whose response is on its way is not aborted; the response goes out")
    func responding() throws {
        let harness = Harness()
        let read = try harness.admit(harness.command(1, reads: 512), moves: 512)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 512, endsCommand: true)
        #expect(!harness.abort(read))
        #expect(harness.drain().count == 1 && harness.lent.isEmpty)
        #expect(!harness.abort(read), "the place is free")
    }

    @Test("an aborted task with work in flight keeps its place until that is over")
    func busy() throws {
        let harness = Harness(window: 1) { $0.initialR2T = false }
        let index = try harness.admit(harness.command(1, writes: 4096, final: false), wants: 4096)
        #expect(harness.abort(index, busy: true))
        #expect(harness.task(index).state == .aborted)
        #expect(harness.abort(index, busy: true), "twice is once")
        #expect(harness.receive(harness.command(2)).isIgnored)
        harness.cmdSN = harness.cmdSN - 1
        // Data that was on its way is taken and dropped.
        #expect(harness.keptBytes(index, offset: 0, lengthBytes: 512) == 0)
        #expect(try harness.deliver(harness.dataOut(1, offset: 0, length: 512, final: true)) == .dropped)
        harness.machine.forget(index)
        #expect(!harness.hasOutput && harness.find(InitiatorTaskTag(1)) == nil)
        #expect(harness.receive(harness.command(2)).task == index)
    }

    @Test("a task that another initiator ended is answered with TASK ABORTED, when nothing of it can arrive any more")
    func byOther() throws {
        let harness = Harness()
        // One that waits for the device server alone, and one whose R2T has not been sent.
        let executing = try harness.admit(harness.command(1), moves: 0)
        let unasked = try harness.admit(harness.command(2, writes: 8192), wants: 8192)
        _ = harness.solicit(unasked, upToBytes: 8192)
        #expect(harness.abortByOther(executing) && harness.abortByOther(unasked))
        #expect(harness.drain().map { $0.header[.status] } == [0x40, 0x40])
        #expect(harness.tasksInFlight == 0)
        // One whose data is under way.
        let asked = try harness.admit(harness.command(3, writes: 8192), wants: 8192)
        let r2t = harness.solicit(asked, upToBytes: 8192)
        #expect(r2t > 0 && harness.drain().count == 1)
        #expect(harness.abortByOther(asked) && harness.drain().isEmpty)
        #expect(!harness.abortByOther(asked), "its answer is decided")
    }

    @Test("with work in flight TASK ABORTED comes after it; not when its own initiator aborts it in between")
    func byOtherWhileBusy() throws {
        let harness = Harness()
        let first = try harness.admit(harness.command(1), moves: 0)
        let second = try harness.admit(harness.command(2), moves: 0)
        #expect(harness.abortByOther(first, busy: true) && harness.abortByOther(second, busy: true))
        #expect(harness.drain().isEmpty)
        #expect(harness.abort(second, busy: true))
        harness.machine.forget(first)
        harness.machine.forget(second)
        let pdus = harness.drain()
        #expect(pdus.map(\.header.initiatorTaskTag) == [InitiatorTaskTag(1)])
        #expect(pdus.map { $0.header[.status] } == [0x40] && harness.tasksInFlight == 0)
    }

    @Test("discarding the output gives every buffer back once")
    func discard() throws {
        let harness = Harness { $0.maximumSendBytes = 512 }
        let read = try harness.admit(harness.command(1, reads: 4096), moves: 4096)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 2048, endsCommand: false)
        harness.machine.sendData(read, payload: harness.lend(), lengthBytes: 2048, endsCommand: true)
        _ = harness.receive(harness.nop(immediate: true, data: 16))
        harness.machine.answerPing(payload: harness.lend(), lengthBytes: 16)
        #expect(harness.next() != nil)
        harness.discardOutput()
        #expect(harness.lent.isEmpty && !harness.hasOutput)
    }
}
