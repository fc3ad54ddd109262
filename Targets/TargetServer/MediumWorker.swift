import BlockStore
import CLinux
import Glibc
import Logging
import Reactor
import SCSI

/// Erases or overwrites a whole unit, on a thread of its own, with the unit to itself.
struct MediumWorker: Sendable {
    let unit: UnitRuntime
    let work: MediumWork
    let shared: SharedState
    let logger: Logger

    /// Bytes of one step: between two of them the progress is reported.
    private static let eraseStepBytes: UInt64 = 256 << 20
    private static let writeStepBytes = 4 << 20

    /// Does the work; returns when it has ended and commands are let in again.
    func run() -> OffloadOutcome {
        let place = unit.gate.enterWaiting(unit: unit, shared: shared)
        let errorNumber = perform()
        // What failed is not begun again: the initiator hears of it, and may have left it behind by the next start.
        if !keep(nil) { logger.error("\(unit.target.volumeName) will be erased again at the next start") }
        let isInDoubt = unit.store.hasFailed
        unit.withUnit { unit in
            unit.mediumWorkEnded(failed: errorNumber != 0)
            // A flush that failed: EXIT FAILURE MODE does not bring back what the kernel has dropped.
            if isInDoubt { unit.fail(.internalTargetFailure) }
        }
        unit.gate.leave(place, unit: unit, shared: shared)
        let name = "\(work.isSanitize ? "SANITIZE" : "FORMAT UNIT") of \(unit.target.volumeName)"
        guard errorNumber != 0 else {
            logger.notice("\(name) ended")
            return .good
        }
        unit.ioErrors.add(1, ordering: .relaxed)
        logger.error("\(name) failed on \(unit.store.path): \(unsafe String(cString: strerror(errorNumber)))")
        return .failed(work.isSanitize ? .sanitizeCommandFailed : .mediumFormatCorrupted)
    }

    /// Puts it on stable storage that this goes on, before the first byte changes; or, with nil, that it has ended.
    func keep(_ work: MediumWork?) -> Bool {
        do throws(ServerError) {
            try shared.mediumWork?.keep(unit.target, work)
            return true
        } catch {
            logger.error("\(error)")
            return false
        }
    }

    /// 0, or the errno of the step that failed.
    private func perform() -> Int32 {
        let total = unit.store.lengthBytes
        switch work.effect {
        case .erase:
            let result = erase(total)
            if result != 0 { return result }
        case .overwrite(let pattern, let count, let inverts):
            for pass in 0..<count {
                // The last pass writes the pattern itself, the one before it the complement, and so on.
                let isInverted = inverts && (count - 1 - pass) % 2 == 1
                let result = overwrite(total, isInverted ? pattern.map { ~$0 } : pattern, pass: pass, of: count)
                if result != 0 { return result }
                if let result = flush() { return result }
            }
        }
        return flush() ?? 0
    }

    private func flush() -> Int32? {
        do throws(StoreError) {
            try unit.store.flush()
            return nil
        } catch {
            return error.errorNumber == 0 ? EIO : error.errorNumber
        }
    }

    private func report(_ done: UInt64, of total: UInt64) {
        let progress = UInt16(min(65535, Double(done) / Double(max(1, total)) * 65536))
        unit.withUnit { $0.mediumWorkProgressed(to: progress) }
    }

    /// Waits until so many bytes are no more than may have been written since then.
    private func pause(since start: Int64, _ bytes: UInt64) {
        let due = Double(bytes) / Double(max(1, shared.limits.overwriteBytesPerSecond)) * 1_000_000
        let left = due - Double(monotonicNanoseconds() - start) / 1000
        if left > 0 { usleep(UInt32(min(left, 1_000_000))) }
    }

    private func erase(_ total: UInt64) -> Int32 {
        var done: UInt64 = 0
        while done < total {
            let length = min(Self.eraseStepBytes, total - done)
            let result = rack_fallocate(
                unit.store.fileDescriptor, rack_punch_hole_mode, Int64(done), Int64(length))
            if result == EINTR { continue }
            if result != 0 { return result }
            done += length
            report(done, of: total)
        }
        return 0
    }

    private func overwrite(_ total: UInt64, _ pattern: [UInt8], pass: Int, of passes: Int) -> Int32 {
        // The pattern fills each block from its beginning (SBC-3 5.24.2.2).
        let blockBytes = unit.target.blockLengthBytes
        var step = [UInt8](repeating: 0, count: Self.writeStepBytes)
        for index in step.indices { step[index] = pattern[index % blockBytes % pattern.count] }
        var done: UInt64 = 0
        let start = monotonicNanoseconds()
        while done < total {
            // Short writes may end inside a block; the buffer goes on where it stopped.
            let from = Int(done % UInt64(Self.writeStepBytes))
            let length = Int(min(UInt64(Self.writeStepBytes - from), total - done))
            let written = unsafe step.withUnsafeBytes { bytes in
                unsafe pwrite(
                    unit.store.fileDescriptor, bytes.baseAddress.map { unsafe $0 + from }, length, off_t(done))
            }
            if written < 0 {
                if errno == EINTR { continue }
                return errno
            }
            if written == 0 { return EIO }
            done += UInt64(written)
            pause(since: start, done)
            report(UInt64(pass) * total + done, of: total * UInt64(passes))
        }
        return 0
    }
}
