import ISCSI
import Testing

@Suite("Login: hostile input")
struct LoginHostileTests {
    @Test("every opcode with length 0, first and in the middle")
    func everyOpcode() {
        for raw in UInt8(0)...0x3f {
            var header = BasicHeaderSegment()
            header[.opcode] = raw
            var machine = LoginMachine(policy: TestPolicy())
            let first = machine.receive(header, [])
            #expect(first.failure != nil)
            #expect((first.response == nil) == (raw != Opcode.loginRequest.rawValue), "opcode \(raw)")
            machine = LoginMachine(policy: TestPolicy())
            #expect(machine.receive(request(to: nil), identityKeys).outcome == .continues)
            let middle = machine.receive(header, [])
            #expect(middle.failure != nil)
            if raw != Opcode.loginRequest.rawValue { #expect(middle.failure?.status == .invalidDuringLogin) }
            #expect(machine.receive(request(), []).response == nil)
        }
    }

    @Test("a login cut at every byte is refused, or misses keys at a pair's end")
    func truncated() {
        let keys = identityKeys + LoginConversationTests.libiscsiKeys
        for count in 0..<keys.count {
            var machine = LoginMachine(policy: TestPolicy())
            let step = machine.receive(request(), Array(keys.prefix(count)))
            if count == 0 || keys[count - 1] != 0 {
                #expect(step.failure != nil, "\(count) bytes")
            } else {
                #expect((step.result != nil) == (count >= identityKeys.count - "SessionType=Normal".utf8.count - 1))
            }
        }
        // A data segment that is not as long as the header says.
        for length in 0...keys.count where length != 100 {
            var machine = LoginMachine(policy: TestPolicy())
            var header = request().header
            header.dataSegmentLength = length
            #expect(machine.receive(header, Array(keys.prefix(100))).failure != nil)
        }
    }

    @Test("text may be cut anywhere with the C bit")
    func continued() {
        let keys = identityKeys + LoginConversationTests.libiscsiKeys
        var whole = LoginMachine(policy: TestPolicy())
        let expected = whole.receive(request(), keys).result
        #expect(expected != nil)
        for cut in 0...keys.count {
            var machine = LoginMachine(policy: TestPolicy())
            let first = machine.receive(request(to: nil, continues: true), Array(keys.prefix(cut)))
            #expect(first.outcome == .continues && first.text.isEmpty && first.response?.transits == false)
            let result = machine.receive(request(), Array(keys.dropFirst(cut))).result
            #expect(result?.parameters == expected?.parameters && result?.identity == expected?.identity)
        }
    }

    @Test("an answer longer than a segment is fetched piece by piece, and not with text")
    func longAnswer() {
        var limits = LoginLimits()
        limits.segmentLengthBytes = 512
        let unknown = (0..<40).flatMap { text("X-net.example.key\($0)=") }
        let keys = identityKeys + unknown
        var answer: [UInt8] = []
        for misbehaves in [false, true] {
            var machine = LoginMachine(policy: TestPolicy(), limits: limits)
            var rest = keys[...]
            var step = LoginStep(response: nil, text: [], outcome: .continues)
            while !rest.isEmpty {
                let piece = Array(rest.prefix(512))
                rest = rest.dropFirst(512)
                step = machine.receive(
                    request(to: rest.isEmpty ? .fullFeaturePhase : nil, continues: !rest.isEmpty), piece)
            }
            #expect(step.response?.continues == true && step.response?.transits == false && step.text.count == 512)
            if misbehaves {
                #expect(machine.receive(request(), text("MaxBurstLength=512")).failure?.status == .initiatorError)
                continue
            }
            answer = step.text
            while step.response?.continues == true {
                step = machine.receive(request(), [])
                answer += step.text
            }
            #expect(step.result != nil)
        }
        #expect(lines(answer).count == 42)
        #expect(lines(answer).filter { $0.hasSuffix("=NotUnderstood") }.count == 40)
    }

    @Test("random headers and random text never trap, and never log in")
    func random() {
        withSeed("random login") { generator in
            for _ in 0..<3000 {
                var machine = LoginMachine(policy: TestPolicy(needsAuthentication: Bool.random(using: &generator)))
                for _ in 0..<4 {
                    var header = BasicHeaderSegment(golden: generator.bytes(48))
                    if Bool.random(using: &generator) { header[.opcode] = Opcode.loginRequest.rawValue }
                    let data = generator.bytes(Int.random(in: 0...64, using: &generator))
                    if Bool.random(using: &generator) { header.dataSegmentLength = data.count }
                    #expect(machine.receive(header, data).result == nil)
                }
            }
        }
    }

    @Test("a good login with bytes flipped: an answer or a refusal, and still a machine that is over or goes on")
    func flipped() {
        let keys = identityKeys + LoginConversationTests.libiscsiKeys
        withSeed("flipped login") { generator in
            for _ in 0..<3000 {
                var machine = LoginMachine(policy: TestPolicy())
                var bytes = request().header.bytes + keys
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: 0..<bytes.count, using: &generator)
                    bytes[index] = UInt8.random(in: 0...255, using: &generator)
                }
                var header = BasicHeaderSegment(golden: bytes)
                header.dataSegmentLength = keys.count
                let step = machine.receive(header, Array(bytes[48...]))
                switch step.outcome {
                case .continues: #expect(machine.state != .failed && machine.state != .established)
                case .established: #expect(machine.state == .established)
                case .failed: #expect(machine.state == .failed)
                }
            }
        }
    }
}
