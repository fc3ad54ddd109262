/// What MODE SELECT can change, with the default values. One set for all I_T nexuses (the MLUS bit does not exist
/// here).
///
/// Nothing is saved: a reset and a restart bring the defaults back (SPC-4 5.11: saving is not supported).
struct ModeParameters: BitwiseCopyable, Sendable, Equatable {
    /// WCE of the Caching page. Off, every write is on stable storage before it is acknowledged.
    var writeCacheEnabled = true
    /// D_SENSE of the Control page.
    var descriptorSense = false
    /// SWP of the Control page.
    var softwareWriteProtect = false
}

/// PC, page control, of MODE SENSE (SPC-4 table 156).
enum PageControl: UInt8 {
    case current = 0
    case changeable = 1
    case defaults = 2
    case saved = 3
}

/// The mode pages served, in the order in which "all pages" returns them.
struct ModePage: Equatable, Sendable {
    var code: UInt8
    var subpage: UInt8

    /// Read-Write Error Recovery (SBC-3 6.4.7): the file below has its own.
    static let errorRecovery = ModePage(code: 0x01, subpage: 0)
    /// Caching (SBC-3 6.4.5).
    static let caching = ModePage(code: 0x08, subpage: 0)
    /// Control (SPC-4 7.5.8).
    static let control = ModePage(code: 0x0A, subpage: 0)
    /// Control Extension (SPC-4 7.5.9).
    static let controlExtension = ModePage(code: 0x0A, subpage: 1)
    /// Informational Exceptions Control (SBC-3 6.4.6).
    static let informationalExceptions = ModePage(code: 0x1C, subpage: 0)

    /// Logical Block Provisioning (SBC-3 6.4.9).
    static let logicalBlockProvisioning = ModePage(code: 0x1C, subpage: 2)

    static let all: [ModePage] = [
        .errorRecovery, .caching, .control, .controlExtension, .informationalExceptions, .logicalBlockProvisioning,
    ]

    /// Those of `all` that a MODE SENSE asks for; `nil` when it names one that is not there.
    static func selection(code: UInt8, subpage: UInt8, of all: [ModePage]) -> [ModePage]? {
        let pages: [ModePage]
        switch (code, subpage) {
        case (0x3F, 0x00): pages = all.filter { $0.subpage == 0 }
        case (0x3F, 0xFF): pages = all
        case (0x3F, _): pages = []
        case (_, 0xFF): pages = all.filter { $0.code == code }
        default: pages = all.filter { $0.code == code && $0.subpage == subpage }
        }
        return pages.isEmpty ? nil : pages
    }

    /// The whole page with the values of `mode`, PS 0.
    func bytes(_ mode: ModeParameters, thresholdSets: UInt32) -> [UInt8] {
        var bytes = header
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: contentLengthBytes))
        switch self {
        case .caching:
            bytes[2] = mode.writeCacheEnabled ? 0x04 : 0x00  // WCE; RCD 0
        case .control:
            bytes[2] = mode.descriptorSense ? 0x04 : 0x00  // TST 0, TMF_ONLY 0, D_SENSE, GLTSD 0, RLEC 0
            bytes[3] = 0x10  // QUEUE ALGORITHM MODIFIER 1 (unrestricted reordering), QERR 0
            bytes[4] = mode.softwareWriteProtect ? 0x08 : 0x00  // UA_INTLCK_CTRL 0, SWP
            bytes[5] = 0x40  // TAS 1: TASK ABORTED is sent for what another I_T nexus aborted
            bytes[8] = 0x01  // BUSY TIMEOUT PERIOD: 300 x 100 ms
            bytes[9] = 0x2C
        case .controlExtension:
            bytes[start + 2] = UInt8(Sense.maximumLengthBytes)  // MAXIMUM SENSE DATA LENGTH
        case .informationalExceptions:
            bytes[2] = 0x08  // DEXCPT 1: none are reported
        case .logicalBlockProvisioning:
            // SITUA 0: every nexus is told. One threshold descriptor: ENABLED, THRESHOLD TYPE 0 (a count), THRESHOLD ARMING 0
            // (decreasing); THRESHOLD RESOURCE 1 (what is available); THRESHOLD COUNT.
            bytes[16] = thresholdSets > 0 ? 0x80 : 0x00
            bytes[17] = 0x01
            bytes.store(thresholdSets, at: 20)
        default: break
        }
        return bytes
    }

    /// The page with a 1 in every bit that MODE SELECT can change.
    var changeableBytes: [UInt8] {
        var bytes = header
        bytes.append(contentsOf: repeatElement(0, count: contentLengthBytes))
        switch self {
        case .caching: bytes[2] = 0x04
        case .control:
            bytes[2] = 0x04
            bytes[4] = 0x08
        default: break
        }
        return bytes
    }

    /// Takes the changeable bits of a page of this kind out of a parameter list.
    func apply(_ bytes: [UInt8], to mode: inout ModeParameters) {
        switch self {
        case .caching: mode.writeCacheEnabled = bytes[2] & 0x04 != 0
        case .control:
            mode.descriptorSense = bytes[2] & 0x04 != 0
            mode.softwareWriteProtect = bytes[4] & 0x08 != 0
        default: break
        }
    }

    /// The page and PAGE LENGTH: page_0 format has two bytes, sub_page format four with SPF set (SPC-4 7.5.7).
    private var header: [UInt8] {
        if subpage == 0 { return [code, UInt8(contentLengthBytes)] }
        return [0x40 | code, subpage, UInt8(contentLengthBytes >> 8), UInt8(contentLengthBytes & 0xFF)]
    }

    private var contentLengthBytes: Int {
        switch self {
        case .caching: 18
        case .controlExtension: 28
        case .logicalBlockProvisioning: 20
        default: 10
        }
    }
}
