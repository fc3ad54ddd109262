import Glibc
import Logging
import TargetServer

/// `atomic-HOST-WWID` in the state directory: the journal of a unit's WRITE ATOMIC, see `AtomicJournal`.
struct JournalFiles: Sendable {
    let folder: String
    let hostName: String
    let logger: Logger

    /// The journal of a unit; nil where none can be made, so that WRITE ATOMIC is not offered. One that is there and cannot
    /// be read stops the unit: half of a write may stand in its store.
    func journal(_ target: TargetConfiguration) throws(ServerError) -> AtomicJournal? {
        let unit = "3" + String(target.wwid, radix: 16)
        let path = "\(folder)/atomic-\(hostName)-\(unit)"
        let exists = unsafe access(path, F_OK) == 0
        if !exists { unsafe mkdir(folder, 0o700) }
        do throws(ServerError) {
            return try AtomicJournal(path: path, unit: unit)
        } catch {
            if exists { throw error }
            logger.notice("\(target.volumeName): WRITE ATOMIC is not offered: \(error)")
            return nil
        }
    }
}
