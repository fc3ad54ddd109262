/// One target in the answer to SendTargets (RFC 7143 appendix C).
public struct DiscoveredTarget: Sendable, Equatable {
    /// One way to it.
    public struct Address: Sendable, Equatable {
        /// `domainname[:port]`: an IPv4 address, an IPv6 address in brackets or a host name, with the port.
        public let text: String
        /// The portal group that the address belongs to.
        public let targetPortalGroupTag: UInt16

        /// An address.
        public init(text: String, targetPortalGroupTag: UInt16) {
            self.text = text
            self.targetPortalGroupTag = targetPortalGroupTag
        }
    }

    /// The target's name.
    public let name: ISCSIName
    /// The ways to it. None means: where the initiator asked.
    public let addresses: [Address]

    /// A target.
    public init(name: ISCSIName, addresses: [Address]) {
        self.name = name
        self.addresses = addresses
    }

    /// The targets in the text of a SendTargets answer, or a fault where it is not well-formed. For initiators; bounded
    /// by the text that the caller collected.
    public static func parse(_ text: [UInt8]) throws(TextFault) -> [DiscoveredTarget] {
        let keys = try TextKeys(text, repeatable: [ISCSIKey.targetName, ISCSIKey.targetAddress])
        var targets: [DiscoveredTarget] = []
        for pair in keys.pairs {
            switch pair.key {
            case ISCSIKey.targetName:
                guard let name = try? ISCSIName(pair.value) else { throw .badKey(pair.key) }
                targets.append(DiscoveredTarget(name: name, addresses: []))
            case ISCSIKey.targetAddress:
                guard let last = targets.popLast(), let comma = pair.value.lastIndex(of: ","),
                    let tag = TextValue.number(String(pair.value[pair.value.index(after: comma)...]), in: 0...65535)
                else { throw .badKey(pair.key) }
                let address = Address(text: String(pair.value[..<comma]), targetPortalGroupTag: UInt16(tag))
                targets.append(DiscoveredTarget(name: last.name, addresses: last.addresses + [address]))
            default: break
            }
        }
        return targets
    }
}

/// What SendTargets asks for.
public enum TargetSelection: Sendable, Equatable {
    /// Every target that the initiator may see.
    case all
    /// This one, where the initiator may see it.
    case named(ISCSIName)
}

/// What the server knows of its targets, for discovery.
public protocol TargetDirectory {
    /// The targets of `selection` that `initiator` may see, with all their portals, in a stable order. It must answer
    /// without waiting.
    func targets(_ selection: TargetSelection, visibleTo initiator: ISCSIName) -> [DiscoveredTarget]
}
