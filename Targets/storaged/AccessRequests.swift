import TargetServer

/// What `storaged alua` asks for.
struct AccessRequest: Codable, Sendable {
    var volume: String?
    var portal: String?
    var group: UInt16?
    var state: AccessState
}

/// What a drain or undrain came to, and how far it is.
struct DrainAnswer: Codable, Sendable {
    /// The scope with its full name.
    var scope: DrainScope
    /// Whether this request drained it.
    var isNew = false
    /// What an undrain lifted.
    var lifted: [DrainScope] = []
    /// Drains that still cover it.
    var remaining: [DrainScope] = []
    var progress = DrainProgress()
}

extension Daemon {
    /// Sets states of target port groups.
    func setAccess(_ request: AccessRequest) throws(CommandFailure) -> [AccessChange] {
        let snapshot = snapshot()
        if let volume = request.volume { try check(volume: volume, snapshot) }
        let portal = try request.portal.map { text throws(CommandFailure) in try full(portal: text, snapshot) }
        let changes: [AccessChange]
        do throws(ServerError) {
            changes = try server.setAccess(
                request.state, volume: request.volume, portal: portal, group: request.group)
        } catch {
            logger.error("implicit transition failed: \(error)")
            throw CommandFailure(error)
        }
        guard !changes.isEmpty else {
            let groups = Set(snapshot.targets.flatMap { $0.portGroups.map(\.group) }).sorted()
            throw CommandFailure(
                .missing, "no such target port group; there are: \(groups.map(String.init).joined(separator: ", "))")
        }
        for change in changes where change.from != change.to {
            logger.notice("volume \(change.volume): port group \(change.group) is \(change.to.rawValue)")
        }
        return changes
    }

    /// One step of a drain: `storaged drain` takes them one after the other, so that the daemon never waits.
    func drain(_ kind: ControlRequest.Kind, _ given: DrainScope, seconds: Int) throws(CommandFailure) -> DrainAnswer {
        let scope = try full(given)
        var answer = DrainAnswer(scope: scope)
        do throws(ServerError) {
            switch kind {
            case .drain:
                answer.isNew = try server.drain(scope)
                if answer.isNew { logger.notice("\(scope) drained") }
            case .undrain:
                answer.lifted = try server.undrain(scope)
                for lifted in answer.lifted { logger.notice("\(lifted) undrained") }
            case .drainLogout: server.askForLogout(scope, withinSeconds: UInt16(clamping: seconds))
            case .drainCutOff: server.cutOff(scope)
            default: break
            }
        } catch {
            logger.error("\(error)")
            throw CommandFailure(error)
        }
        answer.remaining = server.accessSettings.drains
        answer.progress = server.progress(of: scope)
        return answer
    }

    /// The scope with the name under which the server knows it; an error when it knows none such.
    private func full(_ scope: DrainScope) throws(CommandFailure) -> DrainScope {
        let snapshot = snapshot()
        switch scope.kind {
        case .host: return DrainScope(.host, snapshot.hostName)
        case .volume:
            // One that left the inventory while it was drained can still be undrained.
            if !snapshot.drains.contains(scope) { try check(volume: scope.name, snapshot) }
            return scope
        case .portal:
            if snapshot.drains.contains(scope) { return scope }
            return DrainScope(.portal, try full(portal: scope.name, snapshot))
        case .initiator: return scope
        }
    }

    private func check(volume: String, _ snapshot: ServerSnapshot) throws(CommandFailure) {
        if snapshot.targets.contains(where: { $0.volume == volume }) { return }
        let known = snapshot.targets.map(\.volume).joined(separator: ", ")
        throw CommandFailure(.missing, "volume \(escaped(volume)) is not served here; there are: \(known)")
    }

    private func full(portal: String, _ snapshot: ServerSnapshot) throws(CommandFailure) -> String {
        let known = snapshot.portals.map(\.address)
        if let found = known.first(where: { $0 == portal || $0 == "\(portal):3260" || $0 == "[\(portal)]:3260" }) {
            return found
        }
        throw CommandFailure(
            .missing, "portal \(escaped(portal)) is not one of this host's; there are: \(known.joined(separator: ", "))"
        )
    }
}
