import TargetServer
import Testing

/// Failed logins by address, with a clock of the test's own.
@Suite("Server: failed logins")
struct LoginFailureTests {
    private static let second: Int64 = 1_000_000_000

    private func failures(_ limit: Int = 3, seconds: Int = 10) -> LoginFailures {
        var limits = ServerLimits()
        limits.loginFailuresPerAddress = limit
        limits.loginFailureSeconds = seconds
        return LoginFailures(limits)
    }

    private func peer(_ address: String, port: UInt16 = 1) -> PeerAddress { PeerAddress(address: address, port: port) }

    private func guess(_ failures: LoginFailures, _ address: String, at seconds: Int64) -> Bool {
        failures.note(.authentication, of: peer(address), isGuess: true, now: seconds * Self.second).beginsRefusal
    }

    @Test("an address is refused from its last guess on for the window, and starts anew then")
    func refusal() {
        let failures = failures()
        #expect(!guess(failures, "192.0.2.1", at: 100) && !guess(failures, "192.0.2.1", at: 101))
        #expect(!failures.refuses(peer("192.0.2.1"), now: 101 * Self.second))
        #expect(guess(failures, "192.0.2.1", at: 105))
        #expect(failures.refusedAddresses(now: 106 * Self.second) == 1)
        // Whatever the port; other addresses are heard.
        #expect(failures.refuses(peer("192.0.2.1", port: 9), now: 114 * Self.second))
        #expect(!failures.refuses(peer("192.0.2.2"), now: 114 * Self.second))
        // Connections that were open already fail on, and make it no longer.
        #expect(!guess(failures, "192.0.2.1", at: 114) && !guess(failures, "192.0.2.1", at: 114))
        #expect(!guess(failures, "192.0.2.1", at: 114))
        #expect(!failures.refuses(peer("192.0.2.1"), now: 116 * Self.second))
        #expect(failures.refusedAddresses(now: 116 * Self.second) == 0)
        #expect(!guess(failures, "192.0.2.1", at: 117) && !guess(failures, "192.0.2.1", at: 118))
        #expect(guess(failures, "192.0.2.1", at: 119))
        #expect(failures.countsByReason["authentication"] == 9 && failures.countsByReason["rateLimited"] == 1)
        #expect(failures.total == 10)
    }

    @Test("failures of long ago do not count")
    func window() {
        let failures = failures()
        for round in 0..<50 as Range<Int64> {
            #expect(!guess(failures, "192.0.2.1", at: 100 + round * 20))
            #expect(!guess(failures, "192.0.2.1", at: 105 + round * 20))
            #expect(!failures.refuses(peer("192.0.2.1"), now: (106 + round * 20) * Self.second))
        }
    }

    @Test("what is no guess does not count, and nothing does where guessing is worth nothing")
    func noGuess() {
        let failures = failures()
        for reason in [LoginFailures.Reason.malformed, .unavailable, .timeout] {
            for _ in 0..<10 {
                #expect(!failures.note(reason, of: peer("192.0.2.1"), isGuess: true, now: 1).beginsRefusal)
            }
        }
        for _ in 0..<10 {
            #expect(!failures.note(.access, of: peer("192.0.2.1"), isGuess: false, now: 1).beginsRefusal)
        }
        #expect(failures.remembered == 0 && failures.total == 40)
    }

    @Test("the addresses of one /64 are one, those of a link are not")
    func networks() {
        let failures = failures()
        #expect(!guess(failures, "2001:db8:1:2::1", at: 1) && !guess(failures, "2001:db8:1:2:ffff::2", at: 1))
        #expect(guess(failures, "2001:db8:1:2:1:2:3:4", at: 1))
        #expect(failures.refuses(peer("2001:db8:1:2::99"), now: 2 * Self.second))
        #expect(!failures.refuses(peer("2001:db8:1:3::1"), now: 2 * Self.second))
        #expect(peer("2001:db8:1:2::99").network == "2001:db8:1:2::/64")
        #expect(peer("fe80::1").network == "fe80::1" && peer("192.0.2.1").network == "192.0.2.1")
    }

    @Test("however many addresses fail, the table keeps its size, and those that are refused stay longest")
    func bounded() {
        let failures = failures()
        for _ in 0..<3 { _ = guess(failures, "192.0.2.1", at: 100) }
        for number in 0..<5000 {
            _ = guess(failures, "10.\(number / 65536).\(number / 256 % 256).\(number % 256)", at: 101)
            #expect(failures.remembered <= LoginFailures.tableSize)
        }
        #expect(failures.remembered == LoginFailures.tableSize)
        #expect(failures.refuses(peer("192.0.2.1"), now: 102 * Self.second))
        // Old ones make room all at once.
        _ = guess(failures, "172.16.0.1", at: 200)
        #expect(failures.remembered == 1)
    }

    @Test("a flood leaves a hundred lines and then one a second, which say how many are missing")
    func lines() {
        let failures = failures(1_000_000)
        var logged = 0
        var unlogged = 0
        for number in 0..<10_000 as Range<Int64> {
            // A hundred seconds.
            let now = 1000 * Self.second + number * 10_000_000
            guard let left = failures.note(.access, of: peer("192.0.2.1"), isGuess: true, now: now).unlogged else {
                unlogged += 1
                continue
            }
            logged += 1
            unlogged -= left
        }
        #expect((199...201).contains(logged), "\(logged)")
        #expect((0...100).contains(unlogged))
    }
}
