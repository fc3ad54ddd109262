import HostDevices
import Rack

/// Whether a SCSI device is the path that the inventory means.
///
/// A path enters a map only after this: a LUN number that was used again, two targets of one WWID or a portal that
/// answers with another host's unit would otherwise mix two disks.
package enum PathIdentity {
    /// What does not agree with the inventory, as `wanted ..., found ...`; nil when all of it agrees.
    ///
    /// - Parameters:
    ///   - path: What the inventory wants.
    ///   - identification: VPD page 83h, read from that path.
    ///   - sizeBytes: The unit's size through that path.
    ///   - portalGroupTag: The session's target portal group tag.
    package static func disagreement(
        _ path: WantedPath, identification: DeviceIdentification?, sizeBytes: UInt64, portalGroupTag: Int?
    ) -> String? {
        let wanted = path.volume
        guard let identification else { return "wanted WWID \(wanted.wwidString), found no VPD page 83" }
        guard let wwid = identification.wwid, wwid == wanted.wwidString else {
            return "wanted WWID \(wanted.wwidString), found \(identification.wwid ?? "none")"
        }
        if let size = wanted.sizeBytes, size != sizeBytes {
            return "wanted \(size) bytes, found \(sizeBytes)"
        }
        guard identification.relativeTargetPort == path.portal.tag else {
            let found = identification.relativeTargetPort.map { "\($0)" } ?? "none"
            return "wanted relative target port \(path.portal.tag), found \(found)"
        }
        if let portalGroupTag, portalGroupTag != Int(path.portal.tag) {
            return "wanted portal group tag \(path.portal.tag), found \(portalGroupTag)"
        }
        return nil
    }

    /// Asks the unit itself, through this path, past the kernel's copy of the page; nil when all agrees.
    ///
    /// - Throws: `.deadline` or `.failed` when the path does not answer.
    static func ask(
        _ path: WantedPath, blockName: String, portalGroupTag: Int?, deadlineSeconds: Double
    ) async throws(StackError) -> String? {
        let node = "/dev/\(blockName)"
        let answer = await BlockingCall.run(deadlineSeconds: deadlineSeconds) {
            () -> Result<(DeviceIdentification?, UInt64), HostDeviceError> in
            do throws(HostDeviceError) {
                let unit = try SCSIPassThrough(node: node)
                let page = try unit.vitalProductData(page: 0x83, timeoutMilliseconds: UInt32(deadlineSeconds * 1000))
                return .success((DeviceIdentification(page: page), try BlockDevice.sizeBytes(node: node)))
            } catch {
                return .failure(error)
            }
        }
        guard let answer else {
            throw StackError(
                .deadline, object: path.pathName, cause: "\(blockName) did not answer within \(deadlineSeconds) s",
                advice: "check \(path.portal.hostName) and the network, then: attach up")
        }
        do {
            let (identification, size) = try answer.get()
            return disagreement(path, identification: identification, sizeBytes: size, portalGroupTag: portalGroupTag)
        } catch {
            throw StackError(error)
        }
    }

    /// The error of a path that is refused.
    static func refusal(_ path: WantedPath, blockName: String, _ disagreement: String) -> StackError {
        StackError(
            .mismatch, object: path.pathName, cause: "\(blockName) is refused: \(disagreement)",
            advice:
                "make rack.yaml and storaged on \(path.portal.hostName) agree (storaged status there), then: attach up")
    }
}

/// The udev rule that keeps others off raw paths, as multipath-tools' own rules do: LVM, systemd and blkid-made links
/// pass over devices that carry `DM_MULTIPATH_DEVICE_PATH`, so a volume group is found on the map only.
package enum UdevRule {
    /// The rule's text for these volumes.
    ///
    /// `ATTRS{wwid}` is what the kernel made of the unit's VPD page 83h: `naa.` and the digits, or, where it finds the T10
    /// designator better, that text, which storaged ends with the same digits.
    package static func text(_ volumes: [Volume]) -> String {
        var lines = [
            "# Written by attach up, removed by attach down. Raw paths of multipath maps are nobody else's.",
            "ACTION==\"remove\", GOTO=\"attach_end\"",
            "SUBSYSTEM!=\"block\", GOTO=\"attach_end\"",
            "KERNEL!=\"sd*\", GOTO=\"attach_end\"",
        ]
        for volume in volumes {
            lines.append("ATTRS{wwid}==\"*\(volume.wwidDigits)\", ENV{DM_MULTIPATH_DEVICE_PATH}=\"1\"")
        }
        lines += [
            "ENV{DM_MULTIPATH_DEVICE_PATH}!=\"1\", GOTO=\"attach_end\"",
            "ENV{ID_FS_TYPE}=\"mpath_member\", ENV{SYSTEMD_READY}=\"0\"",
            "ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}=\"1\"",
            "LABEL=\"attach_end\"",
        ]
        return lines.joined(separator: "\n") + "\n"
    }
}
