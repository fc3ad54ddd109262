import ArgumentParser
import ISCSI

/// The command `iscsi-load`.
@main
struct IscsiLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iscsi-load",
        abstract: "Load one unit of an iSCSI target with random reads or writes, and measure.",
        discussion: """
            One session of one connection on one thread, as many commands in flight as --depth says, at random aligned \
            offsets. Writes overwrite what the unit holds. Exit status 0 when every command ended GOOD with all its \
            bytes, 1 otherwise.
            """)

    /// What is done to the unit.
    enum Pattern: String, CaseIterable, ExpressibleByArgument {
        case read, write, idle
    }

    @Option(help: ArgumentHelp("The portal: a numeric address, and its port (3260).", valueName: "address:port"))
    var portal: String

    @Option(help: ArgumentHelp("The target's name.", valueName: "iqn"))
    var target: String

    @Option(help: "The logical unit, 0...16383.")
    var lun = 0

    @Option(help: "What to do; idle logs in and only answers pings.")
    var pattern = Pattern.read

    @Option(help: ArgumentHelp("Bytes of one command: whole blocks.", valueName: "bytes"))
    var size = 4096

    @Option(help: "Commands in flight, 1...1024.")
    var depth = 32

    @Option(help: "How long.")
    var seconds = 5.0

    @Option(help: ArgumentHelp("Stay below this offset; the whole unit otherwise.", valueName: "bytes"))
    var span: Int?

    @Option(help: "Of the offsets and the written data; chosen and printed otherwise.")
    var seed: UInt64?

    @Option(help: ArgumentHelp("The name to log in with.", valueName: "iqn"))
    var initiator = "iqn.2026-01.net.example:iscsi-load"

    @Option(
        help: ArgumentHelp("Report how much processor time this process used meanwhile.", valueName: "pid"))
    var serverProcess: Int32?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard PortalAddress(portal) != nil else { throw ValidationError("--portal: \(portal) is no ADDRESS[:PORT]") }
        for (option, name) in [("target", target), ("initiator", initiator)] {
            do throws(ISCSIName.Fault) {
                _ = try ISCSIName(name)
            } catch {
                throw ValidationError("--\(option): \(name): \(error)")
            }
        }
        guard LogicalUnitNumber(index: lun) != nil else { throw ValidationError("--lun: 0...16383") }
        guard (1...1024).contains(depth) else { throw ValidationError("--depth: 1...1024") }
        guard size > 0, size <= 16 << 20 else { throw ValidationError("--size: 1...\(16 << 20)") }
        guard serverProcess ?? 1 > 0 else { throw ValidationError("--server-process: a process identifier") }
        guard seconds > 0, seconds <= 86_400 else { throw ValidationError("--seconds: more than 0, at most 86400") }
    }

    func run() throws {
        guard let address = PortalAddress(portal), let unit = LogicalUnitNumber(index: lun) else { return }
        let name = try ISCSIName(target)
        var session = try Session(portal: address, target: name, initiator: try ISCSIName(initiator), lun: unit)
        let capacity = try session.prepare()
        if pattern == .idle {
            try session.idle(seconds: seconds)
            try session.logout()
            return
        }
        let work = try work(on: capacity)
        let clock = try serverProcess.map { try ProcessClock(process: $0) }
        let report = Report(
            portal: address, target: name, work: work, parameters: session.parameters,
            outcome: try LoadLoop(session, work).run(watching: clock))
        print(json ? report.json : report.text)
        guard report.outcome.errors == 0 else { throw ExitCode.failure }
    }

    private func work(on capacity: Session.Capacity) throws(LoadFailure) -> Work {
        guard capacity.blockBytes > 0, size % capacity.blockBytes == 0, size / capacity.blockBytes <= 0xffff else {
            throw LoadFailure("--size \(size) is not 1...65535 whole blocks of \(capacity.blockBytes) bytes")
        }
        // READ CAPACITY(10) says 2^32 - 1 as the last block of a larger unit; READ(10) reaches no further either.
        let whole = capacity.blocks * capacity.blockBytes
        let span = min(span ?? whole, whole)
        guard span >= size else { throw LoadFailure("the span of \(span) bytes has no room for \(size)") }
        return Work(
            writes: pattern == .write, size: size, depth: depth, seconds: seconds, span: span,
            blockBytes: capacity.blockBytes, seed: seed ?? UInt64.random(in: 0...UInt64(UInt32.max)))
    }
}
