import SCSI
import TargetServer

/// `reservations-HOST-WWID` in the state directory, a `ReservationRecord`, one a unit; absent where nothing was ever
/// registered.
struct ReservationFiles: Sendable {
    let folder: String
    let hostName: String
    private let boot: String

    /// The files of a host.
    init(folder: String, hostName: String) {
        self.folder = folder
        self.hostName = hostName
        boot = Self.bootIdentifier
    }

    var keeper: ReservationKeeper {
        ReservationKeeper(
            read: { (target) throws(ServerError) in try read(target) },
            keep: { (target, state) throws(ServerError) in
                let record = ReservationRecord(unit: Self.name(target), boot: boot, state: state)
                try file(target).write(record.encoded)
            })
    }

    private func file(_ target: TargetConfiguration) -> StateFile {
        StateFile(folder: folder, name: "reservations-\(hostName)-\(Self.name(target))")
    }

    private static func name(_ target: TargetConfiguration) -> String { "3" + String(target.wwid, radix: 16) }

    /// A file that cannot be understood stops the unit: without its reservations, what they fenced off could write.
    private func read(_ target: TargetConfiguration) throws(ServerError) -> ReservationState {
        let file = file(target)
        func flaw(_ cause: String) -> ServerError {
            ServerError(
                operation: "read reservations", object: file.path, cause: cause,
                advice:
                    "put it back from a backup, or, when every initiator of volume \(target.volumeName) is stopped, "
                    + "remove it")
        }
        let found: [UInt8]?
        switch file.read(limitBytes: ReservationRecord.limitBytes) {
        case .success(let bytes): found = bytes
        case .failure(let error): throw flaw(error.description)
        }
        guard let bytes = found else { return ReservationState() }
        let record: ReservationRecord
        do throws(ReservationRecord.Flaw) {
            record = try ReservationRecord(decoding: bytes)
        } catch {
            throw flaw(error.description)
        }
        guard record.unit == Self.name(target) else { throw flaw("it is of unit \(record.unit)") }
        return record.state(atBoot: boot)
    }

    /// Changes with every boot of the machine.
    private static var bootIdentifier: String {
        let file = StateFile(folder: "/proc/sys/kernel/random", name: "boot_id")
        guard let bytes = try? file.read(limitBytes: 100).get() else { return "unknown" }
        return String(decoding: bytes, as: UTF8.self).filter { $0.isHexDigit || $0 == "-" }
    }
}
