import ArgumentParser
import CLinux
import Dispatch
import Glibc
import Synchronization

/// Proof S of the fault matrix: stamps blocks, keeps a journal of issued and acknowledged writes, and judges afterwards
/// whether each block holds a write no older than the last acknowledged and no newer than the last issued.
@main
struct BlockStamp: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block-stamp", abstract: "Stamp the blocks of a device, or judge them by the journal of that.",
        subcommands: [Write.self, Verify.self])
}

/// A failure with one line for the terminal.
struct StampError: Error, CustomStringConvertible {
    let description: String
}

private func openDirect(_ path: String, _ flags: Int32) throws -> Int32 {
    let descriptor = unsafe open(path, flags | rack_direct_mode | O_CLOEXEC)
    guard descriptor >= 0 else { throw StampError(description: "\(path): \(unsafe String(cString: strerror(errno)))") }
    return descriptor
}

/// Memory that O_DIRECT takes.
private func allocateBlocks(_ count: Int) -> UnsafeMutableBufferPointer<UInt64> {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * Stamp.blockBytes, alignment: 4096)
    let words = count * Stamp.blockBytes / 8
    return unsafe UnsafeMutableBufferPointer(start: memory.bindMemory(to: UInt64.self, capacity: words), count: words)
}

struct Write: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write stamped blocks until the time is over; the journal goes to standard output.",
        discussion:
            "A line `i FIRST COUNT SEQUENCE` before each write, `a ...` once it is acknowledged. Ends with 1 at an I/O error."
    )

    @Argument var device: String
    @Option(help: "Blocks of 4 KiB that each worker has for itself.") var blocks = 1024
    @Option(help: "Workers, each with one write in flight.") var workers = 8
    @Option(help: "Blocks a write.") var span = 1
    @Option(help: "Seconds.") var seconds = 30
    @Option(help: "Number of this writer.") var client: UInt64 = 0

    func run() throws {
        let descriptor = try openDirect(device, O_WRONLY)
        let end = DispatchTime.now() + .seconds(seconds)
        let failures = Failures()
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            write(worker, descriptor, until: end, failures)
        }
        if let first = failures.first { throw StampError(description: first) }
    }

    private func write(_ worker: Int, _ descriptor: Int32, until end: DispatchTime, _ failures: Failures) {
        let words = unsafe allocateBlocks(span)
        defer { unsafe words.deallocate() }
        let perBlock = Stamp.blockBytes / 8
        var sequence: UInt64 = 0
        var generator = SystemRandomNumberGenerator()
        while DispatchTime.now() < end, failures.first == nil {
            sequence += 1
            let first = worker * blocks + Int.random(in: 0..<(blocks / span), using: &generator) * span
            for index in 0..<span {
                let block = unsafe UnsafeMutableBufferPointer(
                    rebasing: words[(index * perBlock)..<((index + 1) * perBlock)])
                unsafe Stamp(client: client, block: UInt64(first + index), sequence: sequence).fill(block)
            }
            note("i \(first) \(span) \(sequence)\n")
            let length = span * Stamp.blockBytes
            let written = unsafe pwrite(descriptor, words.baseAddress, length, off_t(first * Stamp.blockBytes))
            guard written == length else {
                return failures.add("write at block \(first): \(unsafe String(cString: strerror(errno)))")
            }
            note("a \(first) \(span) \(sequence)\n")
        }
    }

    /// One system call a line, so that lines of several workers stay whole.
    private func note(_ line: String) {
        var line = line
        line.withUTF8 { _ = unsafe Glibc.write(1, $0.baseAddress, $0.count) }
    }
}

/// The first thing that went wrong, of any worker.
private final class Failures: Sendable {
    private let text = Mutex<String?>(nil)
    var first: String? { text.withLock { $0 } }
    func add(_ failure: String) { text.withLock { if $0 == nil { $0 = failure } } }
}

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read every block of the journal and judge it: acknowledged <= read <= issued.")

    @Argument var device: String
    @Argument(help: "The journal that write printed.") var journal: String

    func run() throws {
        var issued: [Int: UInt64] = [:]
        var acknowledged: [Int: UInt64] = [:]
        var writes = 0
        for line in try text(journal).split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count == 4, let first = Int(fields[1]), let count = Int(fields[2]),
                let sequence = UInt64(fields[3])
            else { continue }
            for block in first..<(first + count) {
                if fields[0] == "i" { issued[block] = max(issued[block] ?? 0, sequence) }
                if fields[0] == "a" { acknowledged[block] = max(acknowledged[block] ?? 0, sequence) }
            }
            if fields[0] == "a" { writes += 1 }
        }
        guard writes > 0 else { throw StampError(description: "\(journal): no write was acknowledged") }
        let descriptor = try openDirect(device, O_RDONLY)
        let words = unsafe allocateBlocks(1)
        defer { unsafe words.deallocate() }
        var wrong: [String] = []
        for (block, last) in issued.sorted(by: { $0.key < $1.key }) {
            let offset = off_t(block * Stamp.blockBytes)
            guard unsafe pread(descriptor, words.baseAddress, Stamp.blockBytes, offset) == Stamp.blockBytes else {
                throw StampError(description: "\(device): block \(block) cannot be read")
            }
            let least = acknowledged[block] ?? 0
            switch unsafe Stamp.read(UnsafeBufferPointer(words)) {
            case .blank where least == 0: break
            case .stamped(let stamp) where Int(stamp.block) == block && least...last ~= stamp.sequence: break
            case let found: wrong.append("block \(block): acknowledged \(least), issued \(last), read \(found)")
            }
        }
        print("\(writes) acknowledged writes, \(issued.count) blocks, \(wrong.count) wrong")
        wrong.prefix(10).forEach { print($0) }
        if !wrong.isEmpty { throw ExitCode(1) }
    }

    private func text(_ path: String) throws -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw StampError(description: "\(path): \(unsafe String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
