import Glibc
import HostDevices
import Rack

/// A logical volume's device as the kernel has it.
package struct LogicalVolumeDevice: Sendable, Equatable {
    /// `dm-2`.
    package var kernelName: String
    /// `254:2`.
    package var number: String
    /// `LVM-` and the UUIDs of group and volume without hyphens.
    package var uuid: String
    /// device-mapper UUIDs of what it lies on.
    package var slaveUUIDs: [String]

    /// Finds it by its device-mapper name; nil when it is not active.
    package init?(_ group: VolumeGroup, _ volume: LogicalVolume, _ files: HostFiles) {
        let wanted = group.mapName(of: volume)
        let names = files.entries("/sys/block").filter { $0.hasPrefix("dm-") }
        guard let name = names.first(where: { files.text("/sys/block/\($0)/dm/name") == wanted }) else { return nil }
        kernelName = name
        number = files.text("/sys/block/\(name)/dev") ?? ""
        uuid = files.text("/sys/block/\(name)/dm/uuid") ?? ""
        slaveUUIDs = files.entries("/sys/block/\(name)/slaves").map { slave in
            files.text("/sys/block/\(slave)/dm/uuid") ?? "\(slave), which is no map"
        }
    }

    /// What it lies on that is not one of these maps; empty when all of it is verified.
    package func foreignSlaves(_ volumes: [Volume]) -> [String] {
        let verified = Set(volumes.map(\.mapUUID))
        return slaveUUIDs.filter { !verified.contains($0) }
    }

    /// All nodes by which processes may have it open.
    package func nodes(_ group: VolumeGroup, _ volume: LogicalVolume) -> [String] {
        ["/dev/\(kernelName)", "/dev/mapper/\(group.mapName(of: volume))", "/dev/\(group.name)/\(volume.name)"]
    }

    /// Who keeps it busy after it was unmounted here: processes that have it mounted in a namespace of their own.
    package func usersElsewhere(_ files: HostFiles) -> [String] {
        guard let device = DeviceNumber(number) else { return [] }
        return ProcessTable(files: files).holders(inOtherNamespaces: device).map(\.description)
    }

    /// Who keeps it busy: mounts, other devices on top, processes.
    package func users(_ group: VolumeGroup, _ volume: LogicalVolume, _ files: HostFiles) -> [String] {
        var users: [String] = []
        if let device = DeviceNumber(number) {
            users += MountTable(files: files).mounts(of: device).map { "mounted on \($0.mountPoint)" }
        }
        users += files.entries("/sys/block/\(kernelName)/holders").map { "device \($0) lies on it" }
        users += ProcessTable(files: files).holders(ofNodes: nodes(group, volume), limit: 8).map(\.description)
        return users
    }
}

/// The superblock of a GFS2 filesystem, 65536 bytes into its device (gfs2_ondisk.h, struct gfs2_sb; big-endian).
package struct GFS2Superblock: Sendable, Equatable {
    /// Where it lies.
    package static let offsetBytes = 65536
    /// How much of it is read: one block of the smallest device that holds GFS2.
    package static let lengthBytes = 4096
    private static let magic: [UInt8] = [0x01, 0x16, 0x19, 0x70]
    private static let typeSuperblock: [UInt8] = [0, 0, 0, 1]

    /// `lock_dlm` or `lock_nolock`.
    package var lockProtocol: String
    /// `CLUSTER:NAME`.
    package var lockTable: String
    /// Block size in bytes.
    package var blockBytes: Int
    /// UUID, 32 hexadecimal digits.
    package var uuid: String

    /// Parses the bytes at `offsetBytes`; nil when there is no GFS2.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count >= 272, Array(bytes[0..<4]) == Self.magic, Array(bytes[4..<8]) == Self.typeSuperblock else {
            return nil
        }
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range].prefix { $0 != 0 }, as: UTF8.self) }
        blockBytes = bytes[36..<40].reduce(0) { $0 << 8 | Int($1) }
        lockProtocol = text(96..<160)
        lockTable = text(160..<224)
        uuid = bytes[256..<272].map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// Reads a device past the page cache, which another client's mkfs does not invalidate here.
    ///
    /// - Throws: `.deadline` when the device does not answer, `.failed` when it cannot be read.
    package static func read(device: String) async throws(StackError) -> GFS2Superblock? {
        let answer = await BlockingCall.run(deadlineSeconds: 10) { () -> Result<[UInt8], StackError> in
            do throws(StackError) {
                return .success(try block(device))
            } catch {
                return .failure(error)
            }
        }
        guard let answer else {
            throw StackError(
                .deadline, object: device, cause: "reading it did not end within 10 s",
                advice: "see the paths below it: attach status")
        }
        return GFS2Superblock(try answer.get())
    }

    private static func block(_ device: String) throws(StackError) -> [UInt8] {
        // O_DIRECT, which glibc shows to GNU C only.
        let direct: Int32 = 0o40000
        var descriptor = unsafe open(device, O_RDONLY | O_CLOEXEC | direct)
        // A plain file in a test may lie on a filesystem that has no direct I/O.
        if descriptor < 0, errno == EINVAL { descriptor = unsafe open(device, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else {
            throw StackError(
                .failed, object: device, cause: "could not be opened: \(errorText(errno))", advice: "see attach status")
        }
        defer { close(descriptor) }
        var memory: UnsafeMutableRawPointer?
        guard unsafe posix_memalign(&memory, 4096, lengthBytes) == 0, let memory = unsafe memory else {
            throw StackError(.failed, object: device, cause: "no memory to read it", advice: "free memory")
        }
        defer { unsafe free(memory) }
        let count = unsafe pread(descriptor, memory, lengthBytes, off_t(offsetBytes))
        guard count >= 0 else {
            throw StackError(
                .failed, object: device, cause: "could not be read: \(errorText(errno))",
                advice: "see the paths below it: attach status")
        }
        return unsafe Array(UnsafeRawBufferPointer(start: memory, count: count))
    }
}

/// What `gfs2_edit -p jindex` prints of a filesystem's journals.
package enum GFS2Journals {
    /// How many there are; nil when the text is no journal index.
    package static func count(_ text: String) -> Int? {
        guard text.split(whereSeparator: \.isNewline).contains(where: { $0.hasPrefix("Directory block") }) else {
            return nil
        }
        return text.split(whereSeparator: \.isNewline).count { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.contains("File") && (words.last?.hasPrefix("journal") ?? false)
        }
    }
}
