import Dispatch
import SCSI
import Synchronization

/// Holds `AccessSettings`: who asks, gets what is kept; who changes, has it kept first and published then.
///
/// Two locks, because keeping may take as long as the disk does: `changing` is held over all of a change, `current` for a
/// look only, so that logins on reactor threads never wait for a sync.
final class AccessRegistry: Sendable {
    /// Puts settings on stable storage, or throws and leaves those there were.
    typealias Keeper = @Sendable (AccessSettings) throws(ServerError) -> Void

    private let changing = Mutex<Void>(())
    private let current: Mutex<AccessSettings>
    /// Targets that are about to go: no login gets in any more.
    private let leaving = Mutex<Set<String>>([])
    private let keeper: Keeper
    /// What SET TARGET PORT GROUPS asks for waits here, so that no reactor waits for a disk.
    let queue = DispatchQueue(label: "access")

    init(_ settings: AccessSettings, keeper: @escaping Keeper) {
        current = Mutex(settings)
        self.keeper = keeper
    }

    var settings: AccessSettings { current.withLock { $0 } }

    /// Edits the settings; `publish` runs after the new ones are kept, before anybody else may change them. Where nothing
    /// is edited, nothing is kept, and `publish` does not run.
    func change(
        _ edit: (inout AccessSettings) throws(ServerError) -> Void, publish: (AccessSettings) -> Void
    ) throws(ServerError) {
        try changing.withLock { _ throws(ServerError) in
            var new = settings
            try edit(&new)
            guard new != settings else { return }
            try keeper(new)
            current.withLock { $0 = new }
            publish(new)
        }
    }

    /// Runs while the settings stand still: for units that come or change.
    func whileUnchanged(_ body: (AccessSettings) -> Void) {
        changing.withLock { _ in body(settings) }
    }

    /// Has logins to these targets refused, or no longer.
    func setLeaving(_ targets: Set<String>) { leaving.withLock { $0 = targets } }

    /// Why a login is refused; nil when it is not.
    func refusal(_ target: TargetConfiguration, tag: UInt16, initiator: String) -> String? {
        if leaving.withLock({ $0.contains(target.name) }) { return "the target is being removed" }
        return settings.refusal(target, tag: tag, initiator: initiator)
    }
}
