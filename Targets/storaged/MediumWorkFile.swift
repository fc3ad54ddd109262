import SCSI
import TargetServer

/// `medium-HOST-WWID` in the state directory, a `MediumWorkRecord`; there while a SANITIZE or FORMAT UNIT goes on.
struct MediumWorkFiles: Sendable {
    let folder: String
    let hostName: String

    var keeper: MediumWorkKeeper {
        MediumWorkKeeper(
            read: { (target) throws(ServerError) in try read(target) },
            keep: { (target, work) throws(ServerError) in
                if let work {
                    try file(target).write(MediumWorkRecord(unit: Self.name(target), work: work).encoded)
                } else {
                    try file(target).remove()
                }
            })
    }

    private func file(_ target: TargetConfiguration) -> StateFile {
        StateFile(folder: folder, name: "medium-\(hostName)-\(Self.name(target))")
    }

    private static func name(_ target: TargetConfiguration) -> String { "3" + String(target.wwid, radix: 16) }

    private func read(_ target: TargetConfiguration) throws(ServerError) -> MediumWork? {
        let file = file(target)
        func flaw(_ cause: String) -> ServerError {
            ServerError(
                operation: "read", object: file.path, cause: cause,
                advice: "remove it, start again, and repeat the SANITIZE of volume \(target.volumeName)")
        }
        switch file.read(limitBytes: MediumWorkRecord.limitBytes) {
        case .failure(let error): throw flaw(error.description)
        case .success(nil): return nil
        case .success(let bytes?):
            guard let record = MediumWorkRecord(decoding: bytes), record.unit == Self.name(target) else {
                throw flaw("it does not say which SANITIZE of the unit goes on")
            }
            return record.work
        }
    }
}
