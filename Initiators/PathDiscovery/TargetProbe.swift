/// The blocking parts of discovery: what one thread does with one portal.
enum TargetProbe {
    /// One target to be asked through one portal.
    struct Job: Sendable {
        var targetName: String
        var portalGroupTag: Int?
    }

    /// A discovery session: the targets a portal lists.
    static func listTargets(of portal: ISCSIPortal, _ options: DiscoveryOptions) -> PortalReport {
        let start = ContinuousClock.now
        var report = PortalReport(portal: portal, targets: [], error: nil, seconds: 0)
        do {
            var client = try ISCSIClient(
                portal: portal, targetName: nil, initiatorName: options.initiatorName, credentials: options.credentials)
            try client.connect(timeoutSeconds: options.connectTimeoutSeconds)
            try client.login(timeoutSeconds: options.commandTimeoutSeconds)
            report.targets = try client.sendTargets(
                timeoutSeconds: options.commandTimeoutSeconds, targetLimit: options.maximumTargets,
                portalLimit: options.maximumPortalsPerTarget)
            client.logout()
        } catch {
            report.error = error
        }
        report.seconds = (ContinuousClock.now - start) / .seconds(1)
        return report
    }

    /// Normal sessions, one after the other, with the targets behind one portal. Once the portal is found dead, the
    /// rest gets that error without another wait.
    static func probe(_ jobs: [Job], at portal: ISCSIPortal, _ options: DiscoveryOptions) -> [DiscoveredPath] {
        var paths: [DiscoveredPath] = []
        var dead: DiscoveryError?
        for job in jobs {
            var row = DiscoveredPath(portal: portal, targetName: job.targetName, portalGroupTag: job.portalGroupTag)
            if let dead {
                row.error = DiscoveryError(
                    .connect, portal, target: job.targetName, cause: dead.cause, isPortalDead: true)
                paths.append(row)
                continue
            }
            do {
                paths += try units(row, options)
            } catch {
                if error.isPortalDead { dead = error }
                row.error = error
                paths.append(row)
            }
        }
        return paths
    }

    private static func units(
        _ blank: DiscoveredPath, _ options: DiscoveryOptions
    ) throws(DiscoveryError) -> [DiscoveredPath] {
        var client = try ISCSIClient(
            portal: blank.portal, targetName: blank.targetName, initiatorName: options.initiatorName,
            credentials: options.credentials)
        try client.connect(timeoutSeconds: options.connectTimeoutSeconds)
        try client.login(timeoutSeconds: options.commandTimeoutSeconds)
        let limit = min(options.maximumUnitsPerTarget, ISCSIClient.bufferBytes / 8 - 1)
        let size = 8 + 8 * limit
        var list = [UInt8](repeating: 0, count: 12)
        list[0] = 0xA0
        list[6] = UInt8(size >> 24 & 0xFF)
        list[7] = UInt8(size >> 16 & 0xFF)
        list[8] = UInt8(size >> 8 & 0xFF)
        list[9] = UInt8(size & 0xFF)
        let outcome = try client.read(
            cdb: list, dataBytes: size, lun: 0, timeoutSeconds: options.commandTimeoutSeconds, .reportLUNs)
        guard outcome.isGood else { throw refusal(.reportLUNs, blank, nil, outcome) }
        var paths: [DiscoveredPath] = []
        for lun in UnitPages.luns(outcome.data, limit: limit) {
            var row = blank
            row.lun = lun
            do {
                if try fill(&row, lun, &client, options.commandTimeoutSeconds) { paths.append(row) }
            } catch {
                // The session is broken: the units after this one can't be asked either.
                row.error = error
                paths.append(row)
                return paths
            }
        }
        client.logout()
        return paths
    }

    /// Asks one unit. False when the target has no device there. A page the unit does not have is no error.
    private static func fill(
        _ row: inout DiscoveredPath, _ lun: UInt64, _ client: inout ISCSIClient, _ timeoutSeconds: Double
    ) throws(DiscoveryError) -> Bool {
        let standard = try client.read(
            cdb: inquiry(page: nil, 96), dataBytes: 96, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
        guard standard.isGood, let inquired = UnitPages.StandardInquiry(standard.data) else {
            row.error = refusal(.probe, row, "INQUIRY", standard)
            return true
        }
        if inquired.peripheralQualifier != 0 { return false }
        row.deviceType = inquired.deviceType
        row.vendor = inquired.vendor
        row.product = inquired.product
        row.revision = inquired.revision

        let identity = try client.read(
            cdb: inquiry(page: 0x83, 4096), dataBytes: 4096, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
        if identity.isGood, let page = UnitPages.Identification(identity.data) {
            row.wwid = page.wwid
            row.relativeTargetPort = page.relativeTargetPort
            row.targetPortGroup = page.targetPortGroup
        }
        let serial = try client.read(
            cdb: inquiry(page: 0x80, 255), dataBytes: 255, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
        if serial.isGood { row.serialNumber = UnitPages.unitSerialNumber(serial.data) }
        // Sizes are asked of disks only: direct access (0) and simplified direct access (0Eh).
        if row.isDisk {
            try fillCapacity(&row, lun, &client, timeoutSeconds)
        }
        if inquired.targetPortGroupSupport != 0 {
            try fillAccessState(&row, lun, &client, timeoutSeconds)
        }
        return true
    }

    private static func fillCapacity(
        _ row: inout DiscoveredPath, _ lun: UInt64, _ client: inout ISCSIClient, _ timeoutSeconds: Double
    ) throws(DiscoveryError) {
        var capacity16 = [UInt8](repeating: 0, count: 16)
        capacity16[0] = 0x9E
        capacity16[1] = 0x10
        capacity16[13] = 32
        var outcome = try client.read(
            cdb: capacity16, dataBytes: 32, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
        var size = outcome.isGood ? UnitPages.capacity16(outcome.data) : nil
        if outcome.isIllegalRequest {
            let capacity10: [UInt8] = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            outcome = try client.read(
                cdb: capacity10, dataBytes: 8, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
            size = outcome.isGood ? UnitPages.capacity10(outcome.data) : nil
        }
        row.sizeBytes = size?.sizeBytes
        row.blockBytes = size?.blockBytes
        if size == nil { row.error = refusal(.probe, row, "READ CAPACITY", outcome) }
    }

    private static func fillAccessState(
        _ row: inout DiscoveredPath, _ lun: UInt64, _ client: inout ISCSIClient, _ timeoutSeconds: Double
    ) throws(DiscoveryError) {
        var groups = [UInt8](repeating: 0, count: 12)
        groups[0] = 0xA3
        groups[1] = 0x0A
        groups[8] = 0x10  // 4,096 bytes
        let outcome = try client.read(
            cdb: groups, dataBytes: 4096, lun: lun, timeoutSeconds: timeoutSeconds, .probe)
        if outcome.isGood, let own = row.targetPortGroup { row.accessState = UnitPages.accessStates(outcome.data)[own] }
    }

    private static func inquiry(page: UInt8?, _ length: Int) -> [UInt8] {
        [0x12, page == nil ? 0 : 1, page ?? 0, UInt8(length >> 8), UInt8(length & 0xFF), 0]
    }

    private static func refusal(
        _ operation: DiscoveryError.Operation, _ row: DiscoveredPath, _ command: String?, _ outcome: ISCSIClient.Outcome
    ) -> DiscoveryError {
        let what = command.map { "\($0): " } ?? ""
        let why =
            switch outcome.status {
            case 0: "an answer that makes no sense"
            case 2:
                "sense key \(outcome.senseKey), code \(String(outcome.additionalSense >> 8 & 0xFF, radix: 16))h/"
                    + "\(String(outcome.additionalSense & 0xFF, radix: 16))h"
            case 0x18: "reservation conflict"
            default: "SCSI status \(outcome.status)"
            }
        return DiscoveryError(operation, row.portal, target: row.targetName, lun: row.lun, cause: what + why)
    }
}
