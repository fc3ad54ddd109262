import Rack
import Stack
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// The walk-through's rack: two hosts, two networks, two volumes, one group, one filesystem, two clients.
let walkThroughText = """
    rack: rack1
    iqn: iqn.2026-01.net.example
    networks: [{name: san0}, {name: san1}]
    hosts:
      - name: storage0
        portals: [{network: san0, address: 10.77.0.21}, {network: san1, address: 10.77.1.21}]
      - name: storage1
        portals: [{network: san0, address: 10.77.0.22}, {network: san1, address: 10.77.1.22}]
    clients:
      - {name: client0, address: 10.77.9.11, nodeID: 1}
      - {name: client1, address: 10.77.9.12, nodeID: 2}
    volumes:
      - {name: mpath0, size: 1GiB, path: /srv/storage/mpath0.img, hosts: [storage0]}
      - {name: mpath1, size: 1GiB, path: /srv/storage/mpath1.img, hosts: [storage1]}
    volumeGroups:
      - name: VG0
        volumes: [mpath0, mpath1]
        logicalVolumes: [{name: LV0, extents: 510}]
    filesystems:
      - {name: gfs2, type: gfs2, cluster: client, volume: VG0/LV0, journals: 4, mount: /mnt}
    """

func walkThrough() throws -> Inventory {
    let load = Inventory.load(text: walkThroughText, fileName: "rack.yaml")
    return try #require(load.inventory, "\(load.report)")
}

func walkThroughScope(_ selection: StackScope.Selection = .everything) throws -> StackScope {
    try StackScope(inventory: walkThrough(), clientName: "client0", selection: selection)
}

/// A folder of this test's own, gone with the value.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/stack-tests.XXXXXX".utf8CString)
        let made = unsafe mkdtemp(&template) != nil
        try #require(made)
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        // Files only, one level deep: all that these tests make.
        if let folder = unsafe opendir(path) {
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
                    unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                if name != "." && name != ".." { _ = unsafe unlink("\(path)/\(name)") }
            }
            unsafe closedir(folder)
        }
        _ = unsafe rmdir(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws {
        let descriptor = unsafe open(file(name), O_WRONLY | O_CREAT | O_TRUNC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        try #require(count == bytes.count)
    }

    func read(_ name: String) throws -> String {
        let descriptor = unsafe open(file(name), O_RDONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
        }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}

/// A host made of names: what is there, and what happens to it.
final class ModelHost: Sendable {
    struct State {
        var present: Set<String> = []
        /// Steps left until the process "dies"; nil for never.
        var stepsUntilDeath: Int?
        /// Objects whose making fails.
        var broken: Set<String> = []
        /// Objects that are in use, and by whom.
        var holders: [String: String] = [:]
        var log: [String] = []
        var active = 0
        var mostActive = 0
    }

    struct Died: Error {}

    private let state = Mutex(State())

    func with<R: Sendable>(_ body: @Sendable (inout State) throws -> R) rethrows -> R {
        try state.withLock { try body(&$0) }
    }

    /// Does something to the host, unless the process has died.
    func change(_ what: String, _ body: @Sendable (inout State) -> Void) throws {
        try state.withLock { state in
            if let left = state.stepsUntilDeath {
                if left == 0 { throw Died() }
                state.stepsUntilDeath = left - 1
            }
            state.log.append(what)
            body(&state)
        }
    }
}

/// A layer of the model: some objects, each needing those of the layer below.
struct ModelLayer: Layer {
    let kind: LayerKind
    let names: [String]
    let host: ModelHost
    var below: [String] = []
    var tolerated: Set<String> = []
    var deadlineSeconds = 5

    func observe(_ scope: StackScope) async -> [ObservedObject] {
        host.with { state in
            names.map { name in
                ObservedObject(
                    layer: kind, name: name, state: state.present.contains(name) ? .present : .absent,
                    facts: state.holders[name].map { ["holders": $0] } ?? [:])
            }
        }
    }

    func stepsUp(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        names.filter { observation.object(kind, $0)?.state != .present }.map { name in
            Step(
                layer: kind, name: "make \(name)", object: name, deadlineSeconds: deadlineSeconds,
                toleratesFailure: tolerated.contains(name)
            ) {
                host.with { state in
                    state.active += 1
                    state.mostActive = max(state.mostActive, state.active)
                }
                defer { host.with { $0.active -= 1 } }
                try await Task.sleep(for: .milliseconds(2))
                let missing = host.with { state in below.filter { !state.present.contains($0) } }
                guard missing.isEmpty else {
                    throw StackError(.failed, object: name, cause: "\(missing) not there", advice: "mend the order")
                }
                if host.with({ $0.broken.contains(name) }) {
                    throw StackError(.noPath, object: name, cause: "it is broken", advice: "mend it")
                }
                if host.with({ $0.present.contains(name) }) { return .alreadyThere }
                try host.change("+\(name)") { $0.present.insert(name) }
                return .created
            }
        }
    }

    func stepsDown(_ scope: StackScope, _ observation: StackObservation) throws -> [Step] {
        if let held = names.first(where: { observation.object(kind, $0)?.facts["holders"] != nil }) {
            throw StackError(
                .busy, object: held, cause: "held by \(observation.object(kind, held)?.facts["holders"] ?? "")",
                advice: "end that")
        }
        return names.filter { observation.object(kind, $0)?.state == .present }.map { name in
            Step(layer: kind, name: "remove \(name)", object: name, deadlineSeconds: deadlineSeconds) {
                try host.change("-\(name)") { $0.present.remove(name) }
                return .removed
            }
        }
    }
}

/// Three layers on one host: sessions, paths on sessions, a map on paths.
func modelStack(_ host: ModelHost, tolerated: Set<String> = []) -> [any Layer] {
    let sessions = ["s0", "s1", "s2", "s3"]
    let paths = ["p0", "p1", "p2", "p3"]
    return [
        ModelLayer(kind: .maps, names: ["map0", "map1"], host: host, below: paths),
        ModelLayer(kind: .sessions, names: sessions, host: host, tolerated: tolerated),
        ModelLayer(kind: .paths, names: paths, host: host, below: tolerated.isEmpty ? sessions : ["s0"]),
    ]
}
