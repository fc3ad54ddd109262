import BlockStore
import CLinux
import Glibc
import ISCSI
import Synchronization

/// Makes writes to one store whole (WRITE ATOMIC, SBC-4 4.28): what is to be written is on stable storage in the journal
/// before the first byte of the store changes, and out of it again before any other command may write there. A daemon that
/// was killed, or a machine that lost power, in between does at its next start what was left half done.
///
/// One file a unit, which the start makes. While nothing is under way it begins with a zero; else with lines of text, padded
/// with zeros to `headerBytes`, and then the data:
///
///     storaged.atomic/1
///     unit 336132d69e465b57d
///     offset 4096                     where in the store, in bytes
///     length 8192                     how much
///     data 1f2e3d4c                   CRC32C of the data
///     crc32c 1f2e3d4c                 of all lines before this one
///
/// What it gains: the promise holds on any file system and disk that keeps what it has synced. What it costs: three syncs a
/// command, and the unit to itself meanwhile. RWF_ATOMIC, which few file systems have, would cost one.
public final class AtomicJournal: Sendable {
    /// The longest write.
    public static let maximumBytes = 256 << 10
    private static let headerBytes = 4096
    private static let schema = "storaged.atomic/1"

    private let descriptor: Int32
    private let path: String
    private let unit: String

    /// Opens the journal of a unit, which is made where it is missing. `unit` is its WWID with its designator type.
    public init(path: String, unit: String) throws(ServerError) {
        self.path = path
        self.unit = unit
        var opened = unsafe rack_open(path, O_RDWR)
        if opened == -ENOENT { opened = unsafe rack_create(path) }
        guard opened >= 0 else {
            throw ServerError(
                operation: "open journal", object: path, cause: Self.text(-opened),
                advice: "give storaged a state directory it can write (--state-directory)")
        }
        descriptor = opened
    }

    deinit { close(descriptor) }

    /// Does what a daemon before this one left half done. Nothing else may write to the store yet.
    ///
    /// - Returns: How many bytes that were; 0 for nothing.
    /// - Throws: When it cannot be done: then the store holds half of a write, and is not to be served.
    func recover(_ store: BlockStore) throws(ServerError) -> Int {
        guard let entry = pending else { return 0 }
        func flaw(_ cause: String) -> ServerError {
            ServerError(
                operation: "finish a WRITE ATOMIC", object: store.path, cause: cause,
                advice: "repair that, then start again; removing \(path) leaves half of the write in place")
        }
        guard entry.unit == unit else { throw flaw("\(path) is of unit \(entry.unit)") }
        guard entry.offset + UInt64(entry.data.count) <= store.lengthBytes else { throw flaw("the file is too short") }
        if let error = Self.write(entry.data, to: store.fileDescriptor, at: entry.offset) {
            throw flaw(Self.text(error))
        }
        do throws(StoreError) {
            try store.flush()
        } catch {
            throw flaw(error.cause)
        }
        if let error = clear() { throw flaw(Self.text(error)) }
        return entry.data.count
    }

    /// What came of a write.
    enum Outcome {
        /// It is on stable storage.
        case done
        /// Nothing of it is in the store, for this errno.
        case untouched(errorNumber: Int32)
        /// Some of it may be, and the next start would write it over whatever comes later: nothing may be written any more.
        case inDoubt(errorNumber: Int32)
    }

    /// Writes, whole. The caller sees to it that nobody else writes to the store meanwhile.
    func write(_ data: [UInt8], to store: BlockStore, at offset: UInt64) -> Outcome {
        // Room first: a file system that is full in the middle of it would leave half.
        if !store.isBlockDevice {
            let error = rack_fallocate(store.fileDescriptor, 0, Int64(offset), Int64(data.count))
            if error != 0, error != EOPNOTSUPP { return .untouched(errorNumber: error) }
        }
        if let error = Self.write(data, to: descriptor, at: UInt64(Self.headerBytes)) {
            return .untouched(errorNumber: error)
        }
        if let error = Self.write(header(data, offset), to: descriptor, at: 0) ?? sync() {
            // What is there of it must not be taken for whole by the next start.
            return clear() == nil ? .untouched(errorNumber: error) : .inDoubt(errorNumber: error)
        }
        if let error = Self.write(data, to: store.fileDescriptor, at: offset) { return .inDoubt(errorNumber: error) }
        do throws(StoreError) {
            try store.flush()
        } catch {
            return .inDoubt(errorNumber: error.errorNumber == 0 ? EIO : error.errorNumber)
        }
        if let error = clear() { return .inDoubt(errorNumber: error) }
        return .done
    }

    // MARK: The file

    private func header(_ data: [UInt8], _ offset: UInt64) -> [UInt8] {
        let lines = """
            \(Self.schema)
            unit \(unit)
            offset \(offset)
            length \(data.count)
            data \(Self.checksum(data))

            """
        var bytes = Array(lines.utf8)
        bytes += Array("crc32c \(Self.checksum(bytes))\n".utf8)
        return bytes + [UInt8](repeating: 0, count: Self.headerBytes - bytes.count)
    }

    /// What was begun; nil where that is nothing, or not whole: then nothing of it is in the store.
    private var pending: (unit: String, offset: UInt64, data: [UInt8])? {
        let header = read(Self.headerBytes, at: 0)
        let text = String(decoding: header.prefix { $0 != 0 }, as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count == 7, lines[0] == Self.schema, lines[6].isEmpty,
            let end = text.range(ofLast: "crc32c "), lines[5] == "crc32c \(Self.checksum(Array(text[..<end].utf8)))"
        else { return nil }
        func value(_ line: Int, _ name: String) -> Substring? {
            lines[line].hasPrefix(name + " ") ? lines[line].dropFirst(name.count + 1) : nil
        }
        guard let unit = value(1, "unit"), let offset = value(2, "offset").flatMap({ UInt64($0) }),
            let length = value(3, "length").flatMap({ Int($0) }), (1...Self.maximumBytes).contains(length),
            offset <= UInt64(Int64.max)
        else { return nil }
        let data = read(length, at: UInt64(Self.headerBytes))
        guard data.count == length, value(4, "data").map(String.init) == Self.checksum(data) else { return nil }
        return (String(unit), offset, data)
    }

    private func clear() -> Int32? {
        Self.write([UInt8](repeating: 0, count: Self.headerBytes), to: descriptor, at: 0) ?? sync()
    }

    private func sync() -> Int32? {
        while fdatasync(descriptor) != 0 { if errno != EINTR { return errno } }
        return nil
    }

    private func read(_ count: Int, at offset: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let found = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe pread(
                    descriptor, buffer.baseAddress.map { unsafe $0 + done }, count - done, off_t(offset) + off_t(done))
            }
            if found < 0, errno == EINTR { continue }
            guard found > 0 else { break }
            done += found
        }
        return Array(bytes.prefix(done))
    }

    /// Nil, or the errno.
    private static func write(_ bytes: [UInt8], to descriptor: Int32, at offset: UInt64) -> Int32? {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe pwrite(
                    descriptor, buffer.baseAddress.map { unsafe $0 + done }, bytes.count - done,
                    off_t(offset) + off_t(done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            done += count
        }
        return nil
    }

    private static func checksum(_ bytes: [UInt8]) -> String {
        let digits = String(ReservationRecord.checksum(bytes), radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    private static func text(_ errorNumber: Int32) -> String { unsafe String(cString: strerror(errorNumber)) }
}

extension String {
    /// Where the last occurrence of a word begins.
    fileprivate func range(ofLast word: String) -> String.Index? {
        var place = endIndex
        while place > startIndex {
            place = index(before: place)
            if self[place...].hasPrefix(word) { return place }
        }
        return nil
    }
}

extension Connection {
    /// A WRITE ATOMIC has the unit, and all its data is in. A thread of its own writes: three syncs in a row.
    func writeAtomically(_ task: TaskIndex) {
        guard let unit, let journal = unit.journal else { preconditionFailure("a WRITE ATOMIC without a journal") }
        let job = jobs[task.index]
        let bytes = unsafe [UInt8](
            UnsafeRawBufferPointer(start: reactor.pool.address(of: job.slot), count: Int(job.totalBytes)))
        let logger = reactor.logger
        let started = offload(task, name: "atomic-write", isWaitedFor: true) { offload in
            if offload.isCancelled { return .failed(.abortedCommand) }
            switch journal.write(bytes, to: unit.store, at: job.fileOffset) {
            case .done:
                unit.writeCommands.add(1, ordering: .relaxed)
                unit.writeBytes.add(UInt64(bytes.count), ordering: .relaxed)
                return .good
            case .untouched(let error):
                unit.ioErrors.add(1, ordering: .relaxed)
                logger.error("WRITE ATOMIC on \(unit.store.path) refused: \(unsafe String(cString: strerror(error)))")
                return .failed(
                    error == ENOSPC || error == EDQUOT ? .spaceAllocationFailedWriteProtect : .internalTargetFailure)
            case .inDoubt(let error):
                unit.ioErrors.add(1, ordering: .relaxed)
                unit.store.markFailed()
                unit.withUnit { $0.fail(.internalTargetFailure) }
                logger.critical(
                    """
                    WRITE ATOMIC on \(unit.store.path) is half done (\(unsafe String(cString: strerror(error)))); the unit is \
                    set aside: repair the disk below it, then restart storaged, which will finish it
                    """)
                return .failed(.internalTargetFailure)
            }
        }
        if started { return }
        leaveGate(task)
        releaseJobSlot(task)
        refuseOffload(task)
    }
}
