import ArgumentParser
import Glibc
import ISCSI

/// What real initiators and targets do not do: logins with somebody else's name, ISID or recorded answers, and a target
/// that will not prove who it is.
@main
struct Rogue: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rogue", abstract: "Try to get in where one does not belong, for the lab.",
        subcommands: [Try.self, FalseTarget.self])
}

/// How a login is made.
enum Trick: String, ExpressibleByArgument, CaseIterable {
    /// By the rules, with the secret that is given.
    case honest
    /// Without CHAP: only AuthMethod=None is offered.
    case none
    /// Straight into the operational stage, as if nothing were asked.
    case skip
    /// With the response of an earlier login, which somebody may have recorded on the wire.
    case replay
    /// With the target's own challenge as ours, so that it would answer it for us.
    case reflect
    /// The same with the challenge of another connection.
    case crossReflect = "cross-reflect"
}

struct Try: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Log in, and when that works ask for what there is.",
        discussion: """
            Prints "refused STATUS WORDS", "closed", or "in" and what was got. Exit code: 0 in, 3 refused or closed, \
            1 it could not be tried.
            """)

    @Argument(help: "ADDRESS[:PORT].") var portal: String
    @Option(help: "InitiatorName.") var initiator: String
    @Option(help: "TargetName; a discovery session without.") var target: String?
    @Option(help: "CHAP_N (default: InitiatorName).") var chapName: String?
    @Option(help: "A file of secrets as attach and storaged read it; no CHAP without.") var secrets: String?
    @Flag(help: "Use the target's secret in the place of the initiator's.") var swapped = false
    @Option(help: "Twelve hexadecimal digits.") var isid = "80faceb00c01"
    @Option(help: "Numbers of CHAP_A, best first.") var algorithms = "8,7"
    @Option(help: "How.") var trick = Trick.honest
    @Flag(help: "Ask the target to prove itself.") var mutual = false
    @Flag(help: "SendTargets=All, once in.") var sendTargets = false
    @Flag(help: "REPORT LUNS, once in.") var reportLuns = false
    @Option(help: "READ(10) of the first block of these units, once in: 0,1,2.") var read: String?
    @Option(help: "Stay so many seconds, once in.") var stay = 0.0

    func run() throws {
        let file = try secrets.map { try Secrets(path: $0) }
        switch trick {
        case .replay:
            let recorded = Recording()
            guard try attempt(file, .recording(recorded)) == nil else {
                throw RogueError("the login that was to be recorded did not work")
            }
            try report(try attempt(file, .replaying(recorded)))
        case .crossReflect:
            let recorded = Recording()
            // The first connection stays open while its challenge is used on the second one.
            let wire = try Wire(to: portal)
            try fetchChallenge(on: wire, recorded)
            try report(try attempt(file, .reflecting(recorded)))
        case .reflect: try report(try attempt(file, .reflecting(Recording())))
        case .honest, .none, .skip: try report(try attempt(file, .honest))
        }
    }

    private func report(_ refusal: String?) throws {
        guard let refusal else { return }
        print(refusal)
        throw ExitCode(3)
    }

    private func configuration(_ file: Secrets?, _ part: Part) throws -> InitiatorLogin.Configuration {
        guard let isid = UInt64(isid, radix: 16) else { throw RogueError("--isid takes twelve hexadecimal digits") }
        var configuration = InitiatorLogin.Configuration(
            initiatorName: try ISCSIName(initiator), targetName: try target.map { try ISCSIName($0) },
            isid: ISID(rawValue: isid))
        configuration.preferences.headerDigest = .noneOnly
        configuration.preferences.dataDigest = .noneOnly
        configuration.startsWithSecurity = trick != .skip
        if let file, trick != .skip, trick != .none {
            let algorithms = algorithms.split(separator: ",").compactMap { UInt8($0) }.compactMap(ChapAlgorithm.init)
            let isMutual = mutual || trick == .reflect || trick == .crossReflect
            configuration.chap = ChapInitiator(
                name: try ISCSIName(chapName ?? initiator),
                secret: swapped ? try file.needTarget() : file.initiator,
                targetSecret: isMutual ? try file.needTarget() : nil, algorithms: algorithms,
                functions: part.functions)
        }
        return configuration
    }

    /// One login; nil when it worked, else what to print.
    private func attempt(_ file: Secrets?, _ part: Part) throws -> String? {
        let wire = try Wire(to: portal)
        var login = InitiatorLogin(try configuration(file, part))
        var step = login.start()
        while true {
            switch step {
            case .send(let request, let text):
                try wire.send(request.header, text)
                guard let (header, data) = try wire.receive() else { return "closed" }
                step = unsafe login.receive(header, data: data.span.bytes)
            case .failed(let status?, _):
                let digits = String(status.rawValue, radix: 16)
                return "refused \(String(repeating: "0", count: max(0, 4 - digits.count)) + digits) \(status)"
            case .failed(nil, let cause): return "failed: \(cause)"
            case .established(let result):
                if case .recording = part { return nil }
                print("in")
                var session = RogueSession(wire, result)
                if sendTargets { try session.printTargets() }
                if reportLuns { try session.printUnits() }
                for unit in try units() { try session.printRead(unit) }
                if stay > 0 { usleep(UInt32(stay * 1e6)) }
                return nil
            }
        }
    }

    private func units() throws -> [Int] {
        try (read ?? "").split(separator: ",").map { text in
            guard let number = Int(text) else { throw RogueError("--read takes numbers: 0,1") }
            return number
        }
    }

    /// The first half of a login, up to the target's challenge.
    private func fetchChallenge(on wire: borrowing Wire, _ recording: Recording) throws {
        let functions = Part.recording(recording).functions
        let unknown = ChapSecret(functions.randomBytes(32))
        var configuration = try configuration(nil, .honest)
        configuration.chap = ChapInitiator(
            name: configuration.initiatorName, secret: unknown, targetSecret: nil, functions: functions)
        var login = InitiatorLogin(configuration)
        var step = login.start()
        while recording.challenge == nil {
            guard case .send(let request, let text) = step else {
                throw RogueError("the target gave no challenge")
            }
            try wire.send(request.header, text)
            guard let (header, data) = try wire.receive() else { throw RogueError("the target gave no challenge") }
            step = unsafe login.receive(header, data: data.span.bytes)
        }
    }
}
