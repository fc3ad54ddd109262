/// One identifier of one object, a row of `attach plan`'s table.
public struct Identifier: Sendable, Equatable {
    /// What it identifies the object as.
    public enum Kind: String, Sendable, CaseIterable {
        /// iSCSI target name of a volume.
        case targetName = "target"
        /// NAA identifier of a volume, as scsi_id prints it.
        case wwid
        /// UUID of a volume's device-mapper map.
        case mapUUID = "map UUID"
        /// Target portal group tag and relative target port of a portal.
        case tag
        /// Number of a target port group that the file names; a portal without one is a group by its tag.
        case portGroup = "port group"
        /// iSCSI initiator name of a client or of another initiator.
        case initiatorName = "initiator"
        /// Base of a client's initiator session ids.
        case isidBase = "isid"
        /// Persistent reservation key of a client.
        case reservationKey = "key"
    }

    /// The object: `volume mpath0`, `portal storage0/10.77.0.21:3260`, `client client0`, `initiator esx1`.
    public let object: String
    /// What kind of identifier it is.
    public let kind: Kind
    /// The identifier.
    public let value: String
    /// True when the file gives it, false when it is derived from names.
    public let isSetByHand: Bool
}

extension Inventory {
    /// Every identifier that must be the same on all hosts for ever: volumes, then portals, then clients, then
    /// other initiators, each in the order of the file.
    public func identifiers() -> [Identifier] {
        var rows: [Identifier] = []
        for volume in volumes {
            let object = "volume \(volume.name)"
            rows.append(
                Identifier(
                    object: object, kind: .targetName, value: volume.targetName,
                    isSetByHand: volume.targetNameIsSetByHand))
            rows.append(
                Identifier(
                    object: object, kind: .wwid, value: volume.wwidString, isSetByHand: volume.wwidIsSetByHand))
            rows.append(
                Identifier(
                    object: object, kind: .mapUUID, value: volume.mapUUID, isSetByHand: volume.wwidIsSetByHand))
        }
        for host in hosts {
            for portal in host.portals {
                rows.append(
                    Identifier(
                        object: "portal \(host.name)/\(portal.endpoint)", kind: .tag, value: "\(portal.tag)",
                        isSetByHand: portal.tagIsSetByHand))
                if let group = portal.groupName {
                    rows.append(
                        Identifier(
                            object: "portal \(host.name)/\(portal.endpoint)", kind: .portGroup,
                            value: "\(portal.groupIdentifier) (\(group))", isSetByHand: false))
                }
            }
        }
        for client in clients {
            let object = "client \(client.name)"
            rows.append(
                Identifier(
                    object: object, kind: .initiatorName, value: client.initiatorName,
                    isSetByHand: client.initiatorNameIsSetByHand))
            rows.append(
                Identifier(
                    object: object, kind: .isidBase, value: client.isidBaseDigits,
                    isSetByHand: client.isidBaseIsSetByHand))
            rows.append(
                Identifier(
                    object: object, kind: .reservationKey, value: client.reservationKeyString,
                    isSetByHand: client.reservationKeyIsSetByHand))
        }
        rows += initiators.map { initiator in
            Identifier(
                object: "initiator \(initiator.name)", kind: .initiatorName, value: initiator.initiatorName,
                isSetByHand: true)
        }
        return rows
    }
}
