import DeviceMapper
import Rack

/// What the monitor decides, without clock, device or kernel: looks and check results in, actions out.
///
/// Time is in seconds of a clock that never goes back. The rules:
/// - A path that fails its check, or that the kernel failed, is set aside at once.
/// - It is used again after as many good checks in a row as it has earned: one for a path that was steady, twice as many
///   (up to 16) each time it fails again within `flapSeconds` of coming back. When no other path is left, one is enough.
/// - Before it is used again, its identity was read from it anew: behind a session that came back may be another unit.
/// - Queueing ends `queueSeconds` after the last path went, and begins again with the first that is back.
/// - A path whose port is unavailable was drained: it is set aside until it says otherwise, and has not flapped by that.
/// - A group of paths with one that is active/optimized is used before one without.
/// - Tables are changed, units scanned and logins tried only while no run of `up` or `down` is under way.
package struct MonitorMachine {
    /// Names a path: volume and portal.
    package struct PathKey: Hashable {
        package var volume: String
        package var endpoint: String

        package init(volume: String, endpoint: String) {
            self.volume = volume
            self.endpoint = endpoint
        }
    }

    /// What a look found of one path.
    package struct PathView: Equatable {
        package var hasSession: Bool
        package var sessionIsUp: Bool
        package var device: String?
        package var number: DMDeviceNumber?

        package init(hasSession: Bool, sessionIsUp: Bool, device: String?, number: DMDeviceNumber?) {
            self.hasSession = hasSession
            self.sessionIsUp = sessionIsUp
            self.device = device
            self.number = number
        }
    }

    /// What a look found of one map.
    package struct MapView: Equatable {
        /// The table's paths in its order, and whether the kernel would use each.
        package var paths: [(number: DMDeviceNumber, isActive: Bool)]
        package var isQueueing: Bool
        /// The devices of each path group.
        package var groups: [[DMDeviceNumber]]
        /// The group in use or used next, counted from 1; 0 when the kernel names none.
        package var currentGroup: Int

        package init(
            paths: [(number: DMDeviceNumber, isActive: Bool)], isQueueing: Bool, groups: [[DMDeviceNumber]] = [],
            currentGroup: Int = 0
        ) {
            self.paths = paths
            self.isQueueing = isQueueing
            self.groups = groups
            self.currentGroup = currentGroup
        }

        package static func == (left: MapView, right: MapView) -> Bool {
            left.isQueueing == right.isQueueing && left.paths.elementsEqual(right.paths, by: ==)
                && left.groups == right.groups && left.currentGroup == right.currentGroup
        }
    }

    /// One look at the host.
    package struct Look: Equatable {
        package var paths: [PathKey: PathView]
        /// The maps that exist, by name.
        package var maps: [String: MapView]
        /// Whether `up` or `down` is at work.
        package var runIsUnderWay: Bool

        package init(paths: [PathKey: PathView], maps: [String: MapView], runIsUnderWay: Bool) {
            self.paths = paths
            self.maps = maps
            self.runIsUnderWay = runIsUnderWay
        }
    }

    /// What a check found.
    package enum CheckResult: Equatable {
        case up(latencyMilliseconds: Double)
        /// Takes I/O, not by the best way (ALUA active/non-optimized).
        case nonOptimized(latencyMilliseconds: Double)
        case down(String)
        /// Answers that its port was taken out of service (ALUA unavailable).
        case drained
        /// Answers as another unit.
        case refused(String)

        /// Whether it takes I/O.
        var isUp: Bool {
            switch self {
            case .up, .nonOptimized: true
            case .down, .drained, .refused: false
            }
        }
    }

    /// What is to be done.
    package enum Action: Equatable {
        /// Ask this device whether it takes I/O; first who it is, when `verify`.
        case check(PathKey, device: String, verify: Bool)
        case failPath(map: String, DMDeviceNumber)
        case reinstatePath(map: String, DMDeviceNumber)
        /// Use a group of paths (counted from 1) from now on.
        case switchGroup(map: String, Int)
        case setQueueing(map: String, Bool)
        /// Give the map exactly these paths.
        case reload(map: String, [MapTable.UsablePath])
        /// Look for the unit on its session.
        case scan(PathKey)
        /// Log in again.
        case logIn(PathKey)
        /// Worth a line in the log.
        case note(String)
    }

    private struct Track {
        var view = PathView(hasSession: false, sessionIsUp: false, device: nil, number: nil)
        var state = MonitorState.PathState.down
        var since: Double
        var reason = "not checked yet"
        var latency: Double?
        var failures = 0
        /// Whether no other path is to be preferred, as far as its port says.
        var isOptimized = true
        /// Went by way of an unavailable port, and was not back since.
        var isDrained = false
        var isVerified = false
        var isChecking = false
        var wasChecked = false
        var lastCheck = -Double.infinity
        var goodChecks = 0
        var goodChecksNeeded = 1
        var cameBack = -Double.infinity
        var lastScan = -Double.infinity
        var lastLogin = -Double.infinity
    }

    private struct MapTrack {
        var view: MapView?
        var allDownSince: Double?
        var queueingEnded = false
        var isReloading = false
    }

    /// How the reason of a path begins that its storage host took out of service.
    package static let drainedPrefix = "drained: "
    package static let flapSeconds = 60.0
    package static let steadySeconds = 120.0
    package static let mostGoodChecks = 16
    package static let scanSeconds = 10.0
    package static let loginSeconds = 30.0

    package let volumes: [Volume]
    private let wanted: [PathKey: WantedPath]
    private let order: [PathKey]
    private let checkSeconds: Double
    private var tracks: [PathKey: Track]
    private var maps: [String: MapTrack]
    private var runIsUnderWay = false

    package init(volumes: [Volume], paths: [WantedPath], checkSeconds: Int, now: Double) {
        self.volumes = volumes
        self.checkSeconds = Double(max(1, checkSeconds))
        order = paths.map { PathKey(volume: $0.volume.name, endpoint: $0.endpoint) }
        wanted = Dictionary(zip(order, paths), uniquingKeysWith: { first, _ in first })
        tracks = Dictionary(order.map { ($0, Track(since: now)) }, uniquingKeysWith: { first, _ in first })
        maps = Dictionary(volumes.map { ($0.name, MapTrack()) }, uniquingKeysWith: { first, _ in first })
    }

    /// What the inventory wants of a path.
    package func wantedPath(_ key: PathKey) -> WantedPath? { wanted[key] }

    /// Whether every path with a device was checked once.
    package var isReady: Bool { tracks.values.allSatisfy { $0.view.device == nil || $0.wasChecked } }

    // MARK: - Inputs

    /// Takes a look at the host.
    package mutating func look(_ look: Look, now: Double) -> [Action] {
        runIsUnderWay = look.runIsUnderWay
        var actions: [Action] = []
        for key in order { actions += takeView(look.paths[key], of: key, now: now) }
        for volume in volumes { actions += takeMap(look.maps[volume.name], of: volume, now: now) }
        for key in order { actions += startCheck(key, now: now) }
        for volume in volumes { actions += fitTable(volume) }
        for volume in volumes { actions += preferOptimized(volume) }
        if !runIsUnderWay { actions += repair(now: now) }
        return actions
    }

    /// Takes the result of a check that `look` asked for.
    package mutating func checked(_ key: PathKey, device: String, _ result: CheckResult, now: Double) -> [Action] {
        guard var track = tracks[key] else { return [] }
        track.isChecking = false
        // A result for a device that has been replaced meanwhile says nothing about the new one.
        guard track.view.device == device else {
            tracks[key] = track
            return []
        }
        track.wasChecked = true
        switch result {
        case .up(let latency), .nonOptimized(let latency):
            track.latency = latency
            track.isVerified = true
            track.isDrained = false
            track.isOptimized = if case .up = result { true } else { false }
            track.goodChecks += 1
        case .down(let reason):
            track.goodChecks = 0
            track.isVerified = false
            tracks[key] = track
            return setAside(key, .down, reason, now: now)
        case .drained:
            track.goodChecks = 0
            track.isVerified = false
            track.isDrained = true
            tracks[key] = track
            return setAside(key, .down, "unavailable", now: now)
        case .refused(let reason):
            track.goodChecks = 0
            track.isVerified = false
            tracks[key] = track
            return setAside(key, .refused, reason, now: now) + fitTable(key.volume)
        }
        tracks[key] = track
        return takeBack(key, now: now)
    }

    /// Ends queueing where its time is over; to be called when `nextDeadline` has come.
    package mutating func tick(now: Double) -> [Action] {
        var actions: [Action] = []
        for volume in volumes {
            guard var map = maps[volume.name], let since = map.allDownSince, !map.queueingEnded,
                map.view?.isQueueing ?? false, now - since >= Double(volume.multipath.queueSeconds)
            else { continue }
            map.queueingEnded = true
            map.view?.isQueueing = false
            maps[volume.name] = map
            actions.append(.setQueueing(map: volume.name, false))
            actions.append(
                .note("\(volume.name): no path for \(volume.multipath.queueSeconds) s; queued I/O fails from now on"))
        }
        return actions
    }

    /// A table was changed, or could not be.
    package mutating func reloaded(_ map: String) { maps[map]?.isReloading = false }

    /// When `tick` has something to do next; nil when nothing is waited for.
    package var nextDeadline: Double? {
        volumes.compactMap { volume -> Double? in
            guard let map = maps[volume.name], let since = map.allDownSince, !map.queueingEnded,
                map.view?.isQueueing ?? false
            else { return nil }
            return since + Double(volume.multipath.queueSeconds)
        }.min()
    }

    // MARK: - Rules

    private mutating func takeView(_ view: PathView?, of key: PathKey, now: Double) -> [Action] {
        guard var track = tracks[key] else { return [] }
        let view = view ?? PathView(hasSession: false, sessionIsUp: false, device: nil, number: nil)
        let isNewDevice = view.device != track.view.device || view.number != track.view.number
        track.view = view
        if isNewDevice {
            track.isVerified = false
            track.wasChecked = false
            track.goodChecks = 0
            track.lastCheck = -.infinity
        }
        tracks[key] = track
        if view.device == nil {
            return setAside(key, .down, view.hasSession ? "no disk on its session" : "no session", now: now)
        }
        return []
    }

    private mutating func takeMap(_ view: MapView?, of volume: Volume, now: Double) -> [Action] {
        guard var map = maps[volume.name] else { return [] }
        map.view = view
        guard let view else {
            maps[volume.name] = MapTrack(isReloading: map.isReloading)
            return []
        }
        let hasPath = view.paths.contains { $0.isActive }
        var actions: [Action] = []
        if hasPath {
            map.allDownSince = nil
            map.queueingEnded = false
            if !view.isQueueing, volume.multipath.queueSeconds > 0, !runIsUnderWay {
                map.view?.isQueueing = true
                actions.append(.setQueueing(map: volume.name, true))
            }
        } else if map.allDownSince == nil {
            map.allDownSince = now
            let ends = view.isQueueing ? "; I/O waits at most \(volume.multipath.queueSeconds) s" : ""
            actions.append(.note("\(volume.name): no path left\(ends)"))
        }
        maps[volume.name] = map
        // What the kernel failed by itself after an error is down until a check says otherwise, and what we hold for
        // down is not to be used.
        for key in order where key.volume == volume.name {
            guard let track = tracks[key], let number = track.view.number,
                let path = view.paths.first(where: { $0.number == number })
            else { continue }
            if !path.isActive, track.state == .up {
                actions += setAside(key, .down, "I/O error", now: now)
                tracks[key]?.isVerified = false
                tracks[key]?.lastCheck = -.infinity
            } else if path.isActive, track.state != .up, track.wasChecked {
                actions.append(.failPath(map: volume.name, number))
            }
        }
        return actions + tick(now: now)
    }

    private mutating func startCheck(_ key: PathKey, now: Double) -> [Action] {
        guard var track = tracks[key], let device = track.view.device, !track.isChecking,
            now - track.lastCheck >= checkSeconds * 0.9
        else { return [] }
        track.isChecking = true
        track.lastCheck = now
        tracks[key] = track
        return [.check(key, device: device, verify: !track.isVerified)]
    }

    private mutating func setAside(
        _ key: PathKey, _ state: MonitorState.PathState, _ reason: String, now: Double
    ) -> [Action] {
        guard var track = tracks[key] else { return [] }
        // What follows on a drain is part of it: the initiator is asked to log out, and then the disk goes.
        let reason = track.isDrained && state == .down ? Self.drainedPrefix + reason : reason
        var actions: [Action] = []
        if track.state != state {
            if track.state == .up, !track.isDrained {
                track.failures += 1
                let isFlap = now - track.cameBack < Self.flapSeconds
                track.goodChecksNeeded = isFlap ? min(track.goodChecksNeeded * 2, Self.mostGoodChecks) : 1
            }
            track.state = state
            track.since = now
            track.goodChecks = 0
            actions.append(.note("\(key.volume): \(name(key)) is \(state.rawValue): \(reason)"))
        }
        track.reason = reason
        tracks[key] = track
        if let number = track.view.number, isActiveInMap(key.volume, number) {
            markInMap(key.volume, number, isActive: false)
            actions.append(.failPath(map: key.volume, number))
        }
        return actions
    }

    private mutating func takeBack(_ key: PathKey, now: Double) -> [Action] {
        guard var track = tracks[key] else { return [] }
        var actions: [Action] = []
        let mapHasPath = maps[key.volume]?.view?.paths.contains { $0.isActive } ?? false
        if track.state != .up {
            guard track.goodChecks >= track.goodChecksNeeded || !mapHasPath else {
                track.reason = "good again; \(track.goodChecksNeeded - track.goodChecks) more checks until it is used"
                tracks[key] = track
                return []
            }
            track.state = .up
            track.since = now
            track.reason = ""
            track.cameBack = track.failures > 0 ? now : track.cameBack
            actions.append(.note("\(key.volume): \(name(key)) is up"))
        } else if now - track.cameBack > Self.steadySeconds {
            track.goodChecksNeeded = 1
        }
        tracks[key] = track
        guard let number = track.view.number, let view = maps[key.volume]?.view else { return actions }
        if let path = view.paths.first(where: { $0.number == number }) {
            if !path.isActive {
                markInMap(key.volume, number, isActive: true)
                actions.append(.reinstatePath(map: key.volume, number))
                actions += queueAgain(key.volume)
            }
        } else {
            actions += fitTable(key.volume)
        }
        return actions
    }

    private mutating func queueAgain(_ map: String) -> [Action] {
        guard let volume = volumes.first(where: { $0.name == map }), var track = maps[map] else { return [] }
        track.allDownSince = nil
        track.queueingEnded = false
        let isQueueing = track.view?.isQueueing ?? true
        if volume.multipath.queueSeconds > 0, !isQueueing { track.view?.isQueueing = true }
        maps[map] = track
        return volume.multipath.queueSeconds > 0 && !isQueueing ? [.setQueueing(map: map, true)] : []
    }

    private mutating func fitTable(_ name: String) -> [Action] {
        volumes.first { $0.name == name }.map { fitTable($0) } ?? []
    }

    /// Brings a path into its map that is not in it, and drops one whose device has gone or that is refused.
    private mutating func fitTable(_ volume: Volume) -> [Action] {
        guard let map = maps[volume.name], let view = map.view, !map.isReloading, !runIsUnderWay else { return [] }
        let inTable = Set(view.paths.map(\.number))
        let usable = order.filter { $0.volume == volume.name }.compactMap { key -> MapTable.UsablePath? in
            guard let track = tracks[key], let number = track.view.number, track.state != .refused,
                inTable.contains(number) || (track.state == .up && track.isVerified), let path = wanted[key]
            else { return nil }
            return MapTable.UsablePath(hostName: path.portal.hostName, device: number)
        }
        // Never down to nothing: a map whose every device has gone keeps its table until one is back.
        guard !usable.isEmpty, Set(usable.map(\.device)) != inTable else { return [] }
        maps[volume.name]?.isReloading = true
        return [.reload(map: volume.name, usable)]
    }

    /// Moves I/O to the first group with an active/optimized path when the group in use has none. Where it has one, or no
    /// group has, it stays where it is: the kernel chooses among groups whose paths fail by itself.
    private mutating func preferOptimized(_ volume: Volume) -> [Action] {
        guard let view = maps[volume.name]?.view, view.groups.indices.contains(view.currentGroup - 1) else { return [] }
        func isGood(_ group: [DMDeviceNumber]) -> Bool {
            order.contains { key in
                guard key.volume == volume.name, let track = tracks[key], let number = track.view.number else {
                    return false
                }
                return track.state == .up && track.wasChecked && track.isOptimized && group.contains(number)
                    && isActiveInMap(volume.name, number)
            }
        }
        guard !isGood(view.groups[view.currentGroup - 1]), let best = view.groups.firstIndex(where: isGood) else {
            return []
        }
        maps[volume.name]?.view?.currentGroup = best + 1
        return [
            .switchGroup(map: volume.name, best + 1),
            .note("\(volume.name): I/O moves to path group \(best + 1), which is active/optimized"),
        ]
    }

    private mutating func repair(now: Double) -> [Action] {
        var actions: [Action] = []
        for key in order where maps[key.volume]?.view != nil {
            guard var track = tracks[key], track.view.device == nil else { continue }
            if track.view.hasSession, track.view.sessionIsUp, now - track.lastScan >= Self.scanSeconds {
                track.lastScan = now
                actions.append(.scan(key))
            } else if !track.view.hasSession, now - track.lastLogin >= Self.loginSeconds {
                track.lastLogin = now
                actions.append(.logIn(key))
            }
            tracks[key] = track
        }
        return actions
    }

    private func isActiveInMap(_ map: String, _ number: DMDeviceNumber) -> Bool {
        maps[map]?.view?.paths.contains { $0.number == number && $0.isActive } ?? false
    }

    private mutating func markInMap(_ map: String, _ number: DMDeviceNumber, isActive: Bool) {
        guard let index = maps[map]?.view?.paths.firstIndex(where: { $0.number == number }) else { return }
        maps[map]?.view?.paths[index].isActive = isActive
    }

    private func name(_ key: PathKey) -> String {
        let host = wanted[key]?.portal.hostName ?? "?"
        let device = tracks[key]?.view.device.map { " (\($0))" } ?? ""
        return "\(host) \(key.endpoint)\(device)"
    }

    // MARK: - Report

    /// The state for others to read.
    ///
    /// - Parameters:
    ///   - now: The machine's clock.
    ///   - wallSeconds: Unix time at that moment.
    package func mapStates(now: Double, wallSeconds: Int) -> [MonitorState.Map] {
        volumes.compactMap { volume in
            guard let map = maps[volume.name], let view = map.view else { return nil }
            let paths = order.filter { $0.volume == volume.name }.compactMap { key -> MonitorState.Path? in
                guard let track = tracks[key] else { return nil }
                return MonitorState.Path(
                    endpoint: key.endpoint, device: track.view.device ?? "", state: track.state,
                    sinceSeconds: wallSeconds - Int(now - track.since), reason: track.reason,
                    latencyMilliseconds: track.latency, failures: track.failures)
            }
            return MonitorState.Map(
                name: volume.name, isQueueing: view.isQueueing,
                allDownSinceSeconds: map.allDownSince.map { wallSeconds - Int(now - $0) }, paths: paths)
        }
    }
}
