import Glibc

/// Discovery over iSCSI in user space: which targets and units are behind some portals, and which paths belong together.
///
/// Needs neither root nor a kernel session, and leaves nothing behind. Every portal has a thread of its own (libiscsi
/// contexts are single-threaded, name lookup blocks), at most `concurrency` of them. First the portals are asked for
/// their targets, then each portal that a target named is asked for that target's units. A portal that does not answer
/// costs one connect timeout in all: it is not tried again for other targets.
public enum PathDiscovery {
    /// Asks the portals, then their targets' units. Never throws: what failed is part of the result.
    public static func discover(portals: [ISCSIPortal], options: DiscoveryOptions) async -> DiscoveryResult {
        let asked = unique(portals)
        let reports = await onThreads(asked, concurrency: options.concurrency) { portal in
            TargetProbe.listTargets(of: portal, options)
        }
        var result = DiscoveryResult(portals: reports, paths: [])
        guard options.probesUnits else { return result }
        let (work, rows) = plan(reports, options)
        result.paths = rows
        let found = await onThreads(work, concurrency: options.concurrency) { portal, jobs in
            TargetProbe.probe(jobs, at: portal, options)
        }
        result.paths += found.flatMap { $0 }
        result.paths.sort {
            ($0.targetName, $0.lun ?? .max, $0.portal) < ($1.targetName, $1.lun ?? .max, $1.portal)
        }
        result.paths = Array(result.paths.prefix(options.maximumPaths))
        return result
    }

    /// Who is to be asked for what: the jobs of each portal, and rows for portals already known to be dead.
    static func plan(
        _ reports: [PortalReport], _ options: DiscoveryOptions
    ) -> (work: [(ISCSIPortal, [TargetProbe.Job])], rows: [DiscoveredPath]) {
        let dead = Dictionary(
            reports.compactMap { report in report.error.flatMap { $0.isPortalDead ? (report.portal, $0) : nil } },
            uniquingKeysWith: { first, _ in first })
        let asked = Set(reports.map(\.portal))
        var order: [ISCSIPortal] = []
        var jobs: [ISCSIPortal: [TargetProbe.Job]] = [:]
        var rows: [DiscoveredPath] = []
        var seen: Set<[String]> = []
        var count = 0
        for report in reports {
            for target in report.targets where options.targetNames?.contains(target.name) ?? true {
                // A target without addresses is reached where it was listed (RFC 7143, C.1).
                let portals =
                    target.portals.isEmpty
                    ? [DiscoveredTarget.Portal(portal: report.portal, portalGroupTag: nil)] : target.portals
                for entry in portals where options.followsReportedPortals || asked.contains(entry.portal) {
                    guard count < options.maximumPaths, seen.insert([target.name, entry.portal.description]).inserted
                    else { continue }
                    count += 1
                    if let error = dead[entry.portal] {
                        var row = DiscoveredPath(
                            portal: entry.portal, targetName: target.name, portalGroupTag: entry.portalGroupTag)
                        row.error = DiscoveryError(
                            .connect, entry.portal, target: target.name, cause: error.cause, isPortalDead: true)
                        rows.append(row)
                        continue
                    }
                    if jobs[entry.portal] == nil { order.append(entry.portal) }
                    jobs[entry.portal, default: []].append(
                        TargetProbe.Job(targetName: target.name, portalGroupTag: entry.portalGroupTag))
                }
            }
        }
        return (order.map { ($0, jobs[$0] ?? []) }, rows)
    }

    private static func unique(_ portals: [ISCSIPortal]) -> [ISCSIPortal] {
        var seen: Set<ISCSIPortal> = []
        return portals.filter { seen.insert($0).inserted }
    }

    /// Runs blocking work, each piece on a thread of its own, so many at a time; results in the order of the input.
    private static func onThreads<Input: Sendable, Output: Sendable>(
        _ inputs: [Input], concurrency: Int, _ work: @escaping @Sendable (Input) -> Output
    ) async -> [Output] {
        await withTaskGroup(of: (Int, Output).self) { group in
            var outputs: [Int: Output] = [:]
            for (index, input) in inputs.enumerated() {
                if index >= max(1, concurrency), let (finished, output) = await group.next() {
                    outputs[finished] = output
                }
                group.addTask { (index, await onThread { work(input) }) }
            }
            for await (finished, output) in group { outputs[finished] = output }
            return inputs.indices.compactMap { outputs[$0] }
        }
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private static func onThread<R: Sendable>(_ work: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { continuation in
            let body = unsafe Unmanaged.passRetained(Body { continuation.resume(returning: work()) })
            var thread = pthread_t()
            let code = unsafe pthread_create(
                &thread, nil,
                { argument in
                    // libiscsi writes with writev(), which raises SIGPIPE when the target hangs up.
                    var signals = sigset_t()
                    unsafe sigemptyset(&signals)
                    unsafe sigaddset(&signals, SIGPIPE)
                    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
                    if let argument = unsafe argument {
                        let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                        body.run()
                    }
                    return nil
                }, body.toOpaque())
            if code == 0 {
                pthread_detach(thread)
            } else {
                // No thread left: do it here. Slower for others, and no worse than failing.
                let body = unsafe body.takeRetainedValue()
                body.run()
            }
        }
    }
}
