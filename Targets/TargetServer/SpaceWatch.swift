import BlockStore
import Dispatch
import Logging
import SCSI

/// Looks every few seconds at what the file systems below the units have left, so that initiators and `storaged status` hear
/// of it before writes are refused.
///
/// Each unit is looked at on its own queue: a file system that hangs keeps the others from nothing.
final class SpaceWatch: Sendable {
    /// Seconds between two looks.
    static let seconds = 5

    private let ending = DispatchSemaphore(value: 0)

    /// Begins to look; false where the system gives no thread.
    func start(_ shared: SharedState) -> Bool {
        Thread.start(name: "space-watch") { [ending] in
            while ending.wait(timeout: .now() + .seconds(Self.seconds)) == .timedOut {
                for unit in shared.targets { unit.lookAtSpace(shared) }
            }
        }
    }

    /// Ends it.
    func end() { ending.signal() }
}

extension UnitRuntime {
    /// Has the unit's queue look, unless an earlier look has not ended yet.
    func lookAtSpace(_ shared: SharedState) {
        guard !isLookingAtSpace.exchange(true, ordering: .acquiringAndReleasing) else { return }
        inspection.async { [self] in
            takeSpace(shared.limits, shared.logger)
            isLookingAtSpace.store(false, ordering: .releasing)
        }
    }

    /// Takes what the file system says, and says so when the threshold is crossed.
    func takeSpace(_ limits: ServerLimits, _ logger: Logger) {
        let space = store.space()
        let resources = space.map {
            ProvisioningResources(
                availableBytes: $0.availableBytes, usedBytes: $0.usedBytes,
                thresholdBytes: $0.totalBytes / 100 * UInt64(limits.thinThresholdPercent))
        }
        let isFullyMapped = (space?.usedBytes ?? 0) >= store.lengthBytes
        let (hasChanged, isLow) = withUnit { unit in
            (unit.updateResources(resources, isFullyMapped: isFullyMapped), unit.hasReachedThreshold)
        }
        guard hasChanged, let space else { return }
        let left = "\(space.availableBytes >> 20) of \(space.totalBytes >> 20) MiB are left"
        if isLow {
            logger.warning("\(target.volumeName): the file system of \(store.path) runs low: \(left)")
        } else {
            logger.notice("\(target.volumeName): the file system of \(store.path) has room again: \(left)")
        }
    }
}
