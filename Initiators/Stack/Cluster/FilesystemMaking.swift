import HostDevices
import Rack

extension FilesystemLayer {
    /// Making one filesystem, or waiting until another client has.
    package struct Work: Sendable {
        let filesystem: Filesystem
        let group: VolumeGroup
        let volume: LogicalVolume
        let scope: StackScope
        let context: StackContext

        /// Throws unless this is the superblock of the wanted filesystem.
        package static func require(_ superblock: GFS2Superblock?, _ filesystem: Filesystem) throws(StackError) {
            guard let superblock else {
                throw StackError(
                    .mismatch, object: filesystem.logicalVolumePath, cause: "there is no GFS2 on it",
                    advice: "see what is: wipefs --no-act \(filesystem.devicePath)")
            }
            guard superblock.lockProtocol == "lock_dlm", superblock.lockTable == filesystem.lockTable else {
                throw StackError(
                    .mismatch, object: filesystem.logicalVolumePath,
                    cause: "it holds the GFS2 \(superblock.lockTable) (\(superblock.lockProtocol)), wanted "
                        + "\(filesystem.lockTable) (lock_dlm)",
                    advice: "correct rack.yaml, or, with it mounted nowhere: tunegfs2 -o "
                        + "lockproto=lock_dlm,locktable=\(filesystem.lockTable) \(filesystem.devicePath)")
            }
        }

        /// What a device that carries no tag asks for: nothing (our filesystem is there), or making it.
        ///
        /// - Throws: `.mismatch` when anything else is found on it.
        package static func needsMaking(
            _ superblock: GFS2Superblock?, _ signatures: [DeviceSignature], _ filesystem: Filesystem
        ) throws(StackError) -> Bool {
            if superblock != nil {
                try require(superblock, filesystem)
                return false
            }
            guard signatures.isEmpty else {
                throw StackError(
                    .mismatch, object: filesystem.logicalVolumePath,
                    cause: "it is not empty: \(signatures.map(\.description).joined(separator: ", "))",
                    advice: "take another volume, or, if nobody needs that data: wipefs --all \(filesystem.devicePath)")
            }
            return true
        }

        private var inventory: Inventory { scope.inventory }
        private var devices: [String] { LVMCommand.devices(group, inventory) }
        private var path: String { filesystem.logicalVolumePath }

        private func facts() async throws -> LogicalVolumeFacts {
            guard let facts = try await LogicalVolumeLayer.find(group, inventory, context)[volume.name] else {
                throw StackError(.failed, object: path, cause: "there is no such volume", advice: "attach up")
            }
            return facts
        }

        /// Makes the filesystem, while the volume is this client's alone, and then shares it.
        func make() async throws -> StepOutcome {
            let isTagged = try await facts().tags.contains(LogicalVolumeLayer.unformattedTag)
            if !isTagged {
                if LogicalVolumeDevice(group, volume, context.files) == nil { try await activate("-asy") }
                let superblock = try await GFS2Superblock.read(device: filesystem.devicePath)
                let signatures = try await DeviceSignature.probe(filesystem.devicePath, context.commands)
                if try !Self.needsMaking(superblock, signatures, filesystem) {
                    try await checkJournals()
                    return .alreadyThere
                }
            }
            try await waitForEarlierMakers()
            _ = try await LogicalVolumeLayer.deactivate(group, volume, inventory, context)
            // From here on no other client can have it active, and so nobody can have mounted it.
            try await activate("-aey")
            if !isTagged {
                let signatures = try await DeviceSignature.probe(filesystem.devicePath, context.commands)
                _ = try Self.needsMaking(
                    try await GFS2Superblock.read(device: filesystem.devicePath), signatures, filesystem)
                try await lvm("lvchange", ["--addtag", LogicalVolumeLayer.unformattedTag, path])
            }
            try await context.commands.check(
                "mkfs.gfs2",
                [
                    "-O", "-q", "-p", "lock_dlm", "-t", filesystem.lockTable, "-j", "\(filesystem.journalCount)",
                    filesystem.devicePath,
                ], deadlineSeconds: FilesystemLayer.makeDeadlineSeconds)
            try Self.require(try await GFS2Superblock.read(device: filesystem.devicePath), filesystem)
            try await lvm("lvchange", ["--deltag", LogicalVolumeLayer.unformattedTag, path])
            try await activate("-asy")
            return .created
        }

        /// Waits until the founder has made it. While it is not there the volume is held only for the look, because the
        /// founder needs it for itself.
        func wait(for founder: String) async throws -> StepOutcome {
            var waited = false
            return try await waitUntil(
                path, deadlineSeconds: VolumeGroupLayer.creationDeadlineSeconds, everyMilliseconds: 2000,
                advice: { _ in "run on \(founder): attach up" },
                probe: {
                    defer { waited = true }
                    if try await facts().tags.contains(LogicalVolumeLayer.unformattedTag) {
                        return WaitState.waiting("\(founder) has not finished the filesystem")
                    }
                    if LogicalVolumeDevice(group, volume, context.files) == nil {
                        do {
                            try await activate("-asy")
                        } catch let error as StackError where error.kind == .busy {
                            return .waiting("\(founder) has it for itself")
                        }
                    }
                    if let superblock = try await GFS2Superblock.read(device: filesystem.devicePath) {
                        try Self.require(superblock, filesystem)
                        return .done(waited ? .changed : .alreadyThere)
                    }
                    let signatures = try await DeviceSignature.probe(filesystem.devicePath, context.commands)
                    _ = try Self.needsMaking(nil, signatures, filesystem)
                    _ = try await LogicalVolumeLayer.deactivate(group, volume, inventory, context)
                    return .waiting("\(founder) has not made it")
                })
        }

        /// An mkfs that a killed run left behind goes on by itself; a second one beside it would spoil both.
        private func waitForEarlierMakers() async throws {
            let nodes = LogicalVolumeDevice(group, volume, context.files)?.nodes(group, volume) ?? []
            guard !nodes.isEmpty else { return }
            _ = try await waitUntil(
                path, deadlineSeconds: 120, everyMilliseconds: 500, advice: { _ in "end it, then: attach up" },
                probe: {
                    let holders = ProcessTable(files: context.files).holders(ofNodes: nodes, limit: 4)
                    if holders.isEmpty { return WaitState.done(true) }
                    return .waiting("in use by \(holders.map(\.description).joined(separator: ", "))")
                })
        }

        private func checkJournals() async throws {
            let result = try await context.commands.run(
                "gfs2_edit", ["-p", "jindex", filesystem.devicePath], deadlineSeconds: 20)
            guard let count = GFS2Journals.count(result.standardOutput), count < filesystem.journalCount else { return }
            throw StackError(
                .mismatch, object: path,
                cause: "it has \(count) journals, the inventory says \(filesystem.journalCount)",
                advice: "correct rack.yaml, or, mounted: gfs2_jadd -j \(filesystem.journalCount - count) "
                    + filesystem.mountPoint)
        }

        private func activate(_ mode: String) async throws {
            try await LogicalVolumeLayer.activate(
                group, volume, inventory, context, mode: mode, deadlineSeconds: 60)
        }

        private func lvm(_ subcommand: String, _ arguments: [String]) async throws {
            try await VolumeGroupLayer.lvm(
                context, subcommand, devices, arguments, object: path, deadlineSeconds: 60)
        }
    }
}
