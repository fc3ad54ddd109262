import Glibc
import ISCSI

/// What logins and discovery through one portal may see.
struct PortalPolicy: LoginPolicy, TargetDirectory {
    let shared: SharedState
    let portal: PortalAddress

    var preferences: OperationalPreferences {
        var preferences = OperationalPreferences()
        // One burst fits the largest payload slot.
        preferences.firstBurstLength = 262_144
        preferences.maxRecvDataSegmentLength = 262_144
        return preferences
    }

    var commandWindow: UInt32 { UInt32(shared.limits.commandsPerSession) }

    func admit(_ identity: LoginIdentity) -> LoginAdmission<ChapAuthenticator> {
        let authenticator = shared.authentication.authenticator(of: identity)
        guard let name = identity.targetName else {
            return .admitted(targetPortalGroupTag: 0, targetAlias: nil, authenticator: authenticator)
        }
        guard let unit = shared.target(name.text) else {
            return .refused(.targetNotFound, cause: "there is no target of that name on this host")
        }
        // The same answer as for a target that is not there: who may not see it does not learn of it.
        guard unit.target.isVisible(to: identity.initiatorName.text) else {
            return .refused(
                .targetNotFound,
                cause: "it is not among those that may see volume \(unit.target.volumeName) "
                    + "(clients: of the volume in rack.yaml)")
        }
        guard let group = unit.target.portalGroups.first(where: { $0.portal == portal }) else {
            return .refused(.targetNotFound, cause: "the target is not reachable through portal \(portal)")
        }
        if let cause = shared.access.refusal(unit.target, tag: group.tag, initiator: identity.initiatorName.text) {
            return .refused(.serviceUnavailable, cause: cause)
        }
        return .admitted(
            targetPortalGroupTag: group.tag, targetAlias: unit.target.volumeName, authenticator: authenticator)
    }

    func hasSession(tsih: UInt16, isid: ISID) -> Bool { shared.hasSession(tsih: tsih, isid: isid) }

    func targets(_ selection: TargetSelection, visibleTo initiator: ISCSIName) -> [DiscoveredTarget] {
        shared.targets.compactMap { unit in
            guard unit.target.isVisible(to: initiator.text), let name = try? ISCSIName(unit.target.name) else {
                return nil
            }
            if case .named(let wanted) = selection, wanted != name { return nil }
            return DiscoveredTarget(
                name: name,
                addresses: unit.target.portalGroups.map {
                    DiscoveredTarget.Address(text: $0.portal.description, targetPortalGroupTag: $0.tag)
                })
        }
    }
}

/// The same for a portal that listens on every address: initiators are told the address that they came by.
struct ReachedPortalDirectory: TargetDirectory {
    let policy: PortalPolicy
    /// The local address of the connection.
    let reached: PortalAddress

    func targets(_ selection: TargetSelection, visibleTo initiator: ISCSIName) -> [DiscoveredTarget] {
        policy.targets(selection, visibleTo: initiator).map { target in
            DiscoveredTarget(
                name: target.name,
                addresses: target.addresses.map { address in
                    let isWildcard = address.text.hasPrefix("0.0.0.0:") || address.text.hasPrefix("[::]:")
                    guard isWildcard, let colon = address.text.lastIndex(of: ":"),
                        let port = UInt16(address.text[address.text.index(after: colon)...])
                    else { return address }
                    return DiscoveredTarget.Address(
                        text: PortalAddress(address: reached.address, port: port).description,
                        targetPortalGroupTag: address.targetPortalGroupTag)
                })
        }
    }
}
