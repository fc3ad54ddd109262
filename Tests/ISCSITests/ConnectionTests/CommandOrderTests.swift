import ISCSI
import Testing

@Suite("Full feature phase: order, window, tags")
struct CommandOrderTests {
    @Test("commands in CmdSN order are taken until the window is full")
    func window() throws {
        let harness = Harness(window: 2)
        let first = try #require(harness.receive(harness.command(1)).task)
        _ = try #require(harness.receive(harness.command(2)).task)
        #expect(harness.tasksInFlight == 2)
        // MaxCmdSN is 2 now: a third is outside the window and silently ignored (RFC 7143 section 4.2.2.1).
        #expect(harness.receive(harness.command(3)).isIgnored)
        #expect(!harness.hasOutput)
        harness.cmdSN = harness.cmdSN - 1

        _ = harness.machine.admit(first, wantedBytes: 0, commandBytes: 0)
        harness.respond(first)
        let response = try #require(harness.next())
        #expect(response.header[.expCmdSN] == SerialNumber(3) && response.header[.maxCmdSN] == SerialNumber(3))
        #expect(harness.receive(harness.command(3)).task != nil)
    }

    @Test("a duplicate is ignored, a gap inside the window is a violation, numbers outside are ignored")
    func order() throws {
        let harness = Harness(window: 4, expCmdSN: 10)
        _ = try #require(harness.receive(harness.command(1)).task)
        for number in [10, 9, 0, 15, 0x8000_000b] as [UInt32] {
            harness.cmdSN = SerialNumber(number)
            #expect(harness.receive(harness.command(2)).isIgnored, "CmdSN \(number)")
        }
        for number in [12, 13, 14] as [UInt32] {
            harness.cmdSN = SerialNumber(number)
            #expect(harness.receive(harness.command(2)).violation == (number < 14 ? .commandOutOfOrder : nil))
        }
        harness.cmdSN = SerialNumber(11)
        #expect(harness.receive(harness.command(2)).task != nil)
        #expect(harness.tasksInFlight == 2)
    }

    @Test("the numbers go round at 2^32")
    func wrap() throws {
        let harness = Harness(window: 2, expCmdSN: UInt32.max, statSN: UInt32.max)
        for tag in 1...4 as ClosedRange<UInt32> {
            let index = try harness.admit(harness.command(tag))
            harness.respond(index)
            let response = try #require(harness.next())
            #expect(response.header[.statSN] == SerialNumber(UInt32.max &+ tag &- 1))
            #expect(response.header[.expCmdSN] == SerialNumber(UInt32.max &+ tag))
        }
    }

    @Test("MaxCmdSN never goes back, whatever is taken, answered, aborted or ignored")
    func maxCmdSNNeverShrinks() {
        withSeed("MaxCmdSN") { generator in
            let harness = Harness(window: 5)
            var open: [TaskIndex] = []
            var last = SerialNumber(0)
            for tag in 1...4000 as ClosedRange<UInt32> {
                switch Int.random(in: 0..<5, using: &generator) {
                case 0, 1:
                    let immediate = Int.random(in: 0..<4, using: &generator) == 0
                    let header = harness.command(tag, immediate: immediate)
                    if let index = harness.receive(header).task {
                        _ = harness.machine.admit(index, wantedBytes: 0, commandBytes: 0)
                        open.append(index)
                    } else if !immediate {
                        harness.cmdSN = harness.cmdSN - 1
                    }
                case 2:
                    let header = harness.nop(immediate: false)
                    if case .ping = harness.receive(header) {
                        harness.machine.answerPing(payload: .none, lengthBytes: 0)
                    } else {
                        harness.cmdSN = harness.cmdSN - 1
                    }
                case 3 where !open.isEmpty: harness.respond(open.removeFirst())
                case 4 where !open.isEmpty: #expect(harness.abort(open.removeFirst()))
                default: break
                }
                while let pdu = harness.next() {
                    #expect(pdu.header[.maxCmdSN] >= last, "after \(last)")
                    #expect(pdu.header[.expCmdSN] == harness.cmdSN)
                    last = pdu.header[.maxCmdSN]
                }
            }
        }
    }

    @Test("pings that are not immediate use up a number and do not close the window")
    func nopsKeepTheWindow() throws {
        let harness = Harness(window: 2)
        for _ in 0..<20 {
            guard case .ping = harness.receive(harness.nop(immediate: false)) else {
                Issue.record("a ping was not taken")
                return
            }
            harness.machine.answerPing(payload: .none, lengthBytes: 0)
        }
        let answers = harness.drain()
        #expect(answers.count == 20)
        #expect(answers.last?.header[.maxCmdSN] == SerialNumber(22))
        #expect(harness.receive(harness.command(1)).task != nil && harness.receive(harness.command(2)).task != nil)
    }

    @Test("a tag in use is rejected and ends the connection; an ended one may be used again")
    func tagInUse() throws {
        let harness = Harness()
        let index = try harness.admit(harness.command(7))
        let twin = harness.command(7)
        #expect(harness.receive(twin).violation == .taskTagInUse)
        let reject = try #require(harness.next())
        #expect(Reject(header: reject.header).reason == .taskInProgress && reject.inlineBytes == twin.bytes)
        harness.respond(index)
        _ = harness.drain()
        #expect(harness.receive(harness.command(7)).task != nil)
    }

    @Test("the reserved tag is a violation")
    func reservedTag() {
        let harness = Harness()
        #expect(harness.receive(harness.command(0xffff_ffff)).violation == .reservedTaskTag)
    }

    @Test(
        "immediate commands have a reserve of their own, beside a full window; one more is rejected and may come again")
    func immediateReserve() throws {
        let harness = Harness(window: 1)
        _ = try harness.admit(harness.command(1))
        var immediate: [TaskIndex] = []
        for tag in 0..<UInt32(FullFeatureConnection.immediateReserve) {
            immediate.append(try harness.admit(harness.command(100 + tag, immediate: true)))
        }
        let extra = harness.command(200, immediate: true)
        #expect(harness.receive(extra).isIgnored)
        let reject = try #require(harness.next())
        #expect(Reject(header: reject.header).reason == .immediateCommandReject && reject.inlineBytes == extra.bytes)
        harness.respond(immediate[3])
        let response = try #require(harness.next())
        // The reserve gives no number to the window.
        #expect(response.header[.expCmdSN] == SerialNumber(2) && response.header[.maxCmdSN] == SerialNumber(1))
        #expect(harness.receive(extra).task != nil)
    }

    @Test("every tag is found while it lives, and only then", arguments: [1, 8, 128, 1000])
    func tags(window: Int) {
        withSeed("tags") { generator in
            let harness = Harness(window: window)
            var alive: [UInt32: TaskIndex] = [:]
            for _ in 0..<5000 {
                // Few different tags, so that many share a bucket.
                let tag = UInt32.random(in: 0..<UInt32(window * 2), using: &generator) << 16
                if let index = alive[tag] {
                    #expect(harness.find(InitiatorTaskTag(tag)) == index)
                    #expect(harness.task(index).initiatorTaskTag == InitiatorTaskTag(tag))
                    #expect(harness.abort(index))
                    alive[tag] = nil
                } else if alive.count < window {
                    alive[tag] = harness.receive(harness.command(tag)).task
                    #expect(alive[tag] != nil)
                }
                #expect(harness.find(InitiatorTaskTag(tag)) == alive[tag])
            }
            for (tag, index) in alive { #expect(harness.find(InitiatorTaskTag(tag)) == index) }
        }
    }
}
