import BlockStore
import CLinux
import Glibc
import Testing

@Suite struct ExtentTests {
    let folder = TestFolder()
    let mebibyte: UInt64 = 1 << 20

    @Test func holesAndData() throws {
        let store = try BlockStore.open(
            path: folder("sparse.img"), sizeBytes: 8 * mebibyte, blockLengthBytes: 512, readOnly: false)
        #expect(
            store.extents(from: 0, lengthBytes: 8 * mebibyte, maximum: 9) == [
                StoreExtent(offsetBytes: 0, lengthBytes: 8 * mebibyte, isAllocated: false)
            ])
        #expect(!store.isAllocated(from: 0, lengthBytes: 8 * mebibyte))
        let block = [UInt8](repeating: 7, count: 65536)
        #expect(unsafe pwrite(store.fileDescriptor, block, block.count, off_t(2 * mebibyte)) == block.count)
        let expected = [
            StoreExtent(offsetBytes: 0, lengthBytes: 2 * mebibyte, isAllocated: false),
            StoreExtent(offsetBytes: 2 * mebibyte, lengthBytes: 65536, isAllocated: true),
            StoreExtent(offsetBytes: 2 * mebibyte + 65536, lengthBytes: 6 * mebibyte - 65536, isAllocated: false),
        ]
        #expect(store.extents(from: 0, lengthBytes: 8 * mebibyte, maximum: 9) == expected)
        // A longer range is cut to the store, and an overflowing one as well.
        #expect(store.extents(from: 0, lengthBytes: .max, maximum: 9) == expected)
        #expect(store.extents(from: 0, lengthBytes: 8 * mebibyte, maximum: 2) == Array(expected[..<2]))
        #expect(store.extents(from: 0, lengthBytes: 8 * mebibyte, maximum: 0).isEmpty)
        #expect(store.extents(from: 8 * mebibyte, lengthBytes: 512, maximum: 9).isEmpty)
        #expect(store.extents(from: .max, lengthBytes: .max, maximum: 9).isEmpty)
        // From the middle of data into a hole.
        #expect(
            store.extents(from: 2 * mebibyte + 4096, lengthBytes: 65536, maximum: 9) == [
                StoreExtent(offsetBytes: 2 * mebibyte + 4096, lengthBytes: 61440, isAllocated: true),
                StoreExtent(offsetBytes: 2 * mebibyte + 65536, lengthBytes: 4096, isAllocated: false),
            ])
        #expect(store.isAllocated(from: 2 * mebibyte + 61440, lengthBytes: 512))
        #expect(!store.isAllocated(from: 2 * mebibyte + 65536, lengthBytes: 512))
    }

    @Test func abilitiesAreWhatFallocateDoes() throws {
        for place in [folder.path, folder.tmpfs("shm", options: "size=8m")].compactMap({ $0 }) {
            let path = "\(place)/able.img"
            let store = try BlockStore.open(path: path, sizeBytes: mebibyte, blockLengthBytes: 512, readOnly: false)
            // Asking changed nothing: no block is allocated, the size is the same.
            let asked = try #require(status(of: path))
            #expect(asked.st_blocks == 0)
            #expect(asked.st_size == off_t(mebibyte))
            let block = [UInt8](repeating: 7, count: 65536)
            #expect(unsafe pwrite(store.fileDescriptor, block, block.count, 0) == block.count)
            #expect((rack_fallocate(store.fileDescriptor, rack_zero_range_mode, 0, 65536) == 0) == store.canZeroRange)
            let error = rack_fallocate(store.fileDescriptor, rack_punch_hole_mode, 0, 65536)
            #expect((error == 0) == store.canPunchHoles)
            if store.canPunchHoles { #expect(!store.isAllocated(from: 0, lengthBytes: 65536)) }
        }
    }

    @Test func abilitiesOnAFullFileSystem() throws {
        guard isRoot, let small = folder.tmpfs("full", options: "size=64k") else {
            try Test.cancel("mounting a small tmpfs needs root")
        }
        let path = "\(small)/full.img"
        do {
            let store = try BlockStore.open(path: path, sizeBytes: mebibyte, blockLengthBytes: 512, readOnly: false)
            let block = [UInt8](repeating: 7, count: 65536)
            #expect(unsafe pwrite(store.fileDescriptor, block, block.count, 0) == block.count)
            #expect(unsafe pwrite(store.fileDescriptor, block, block.count, 65536) == -1)
            #expect(errno == ENOSPC)
        }
        // A full disk does not keep a file that is there from being served, and holes can still be punched.
        let store = try BlockStore.open(path: path, sizeBytes: mebibyte, blockLengthBytes: 512, readOnly: false)
        #expect(store.canPunchHoles)
        #expect(store.isAllocated(from: 0, lengthBytes: 65536))
    }
}

@Suite struct FlushTests {
    let folder = TestFolder()

    @Test func aFailureIsRemembered() throws {
        let store = try BlockStore.open(
            path: folder("a.img"), sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
        try store.flush()
        #expect(!store.hasFailed)
        store.markFailed()
        #expect(store.hasFailed)
        // The device may well be fine again: the store is not.
        #expect(throws: StoreError.self) { try store.flush() }
    }

    @Test func nothingToFlushWhenReadOnly() throws {
        let store = try BlockStore.open(
            path: folder.file("a.img", bytes: 8192), sizeBytes: nil, blockLengthBytes: 512, readOnly: true)
        try store.flush()
        #expect(!store.hasFailed)
    }
}

@Suite(.serialized) struct BlockDeviceTests {
    let folder = TestFolder()

    private func device(bytes: Int, options: [String] = []) throws -> String {
        let file = folder.file("backing.img", bytes: bytes)
        guard isRoot, let device = folder.loopDevice(over: file, options: options) else {
            try Test.cancel("a loop device needs root and the loop driver")
        }
        return device
    }

    @Test func aDeviceIsServedAndClaimed() throws {
        let path = try device(bytes: 1 << 20)
        let store = try BlockStore.open(path: path, sizeBytes: 1 << 20, blockLengthBytes: 512, readOnly: false)
        #expect(store.isBlockDevice)
        #expect(store.lengthBytes == 1 << 20)
        #expect(store.extents(from: 512, lengthBytes: .max, maximum: 4).count == 1)
        #expect(store.isAllocated(from: 0, lengthBytes: 512))
        #expect(try #require(refusal(path)).kind == .locked)
        // Another node for the same device.
        let other = folder("node")
        guard let facts = status(of: path) else { return }
        #expect(unsafe mknod(other, S_IFBLK | 0o600, facts.st_rdev) == 0)
        #expect(try #require(refusal(other)).kind == .locked)
        #expect(store.canZeroRange)
        #expect(rack_fallocate(store.fileDescriptor, rack_zero_range_mode, 0, 4096) == 0)
    }

    @Test func aDeviceOfAnotherSizeIsRefused() throws {
        let path = try device(bytes: 1 << 20)
        #expect(try #require(refusal(path, size: 1 << 21)).advice.contains("extend the device"))
        #expect(try #require(refusal(path, size: 1 << 19)).kind == .sizeMismatch)
    }

    @Test func aDeviceWithLongerBlocksIsRefused() throws {
        let path = try device(bytes: 1 << 20, options: ["--sector-size", "4096"])
        #expect(try #require(refusal(path)).kind == .blockLength)
        let store = try BlockStore.open(path: path, sizeBytes: nil, blockLengthBytes: 4096, readOnly: false)
        #expect(store.lengthBytes == 1 << 20)
    }

    @Test func aWriteProtectedDeviceIsRefused() throws {
        let path = try device(bytes: 1 << 20, options: ["--read-only"])
        #expect(try #require(refusal(path)).kind == .readOnlyFileSystem)
        let store = try BlockStore.open(path: path, sizeBytes: nil, blockLengthBytes: 512, readOnly: true)
        #expect(store.isReadOnly)
    }

    @Test func aMountedDeviceIsRefusedByItsMount() throws {
        let path = try device(bytes: 4 << 20)
        guard folder.run(["/usr/sbin/mkfs.ext4", "-q", path]) == 0,
            folder.run(["/usr/bin/mount", path, folder.folder("mnt")]) == 0
        else { try Test.cancel("no ext4 to mount") }
        defer { _ = folder.run(["/usr/bin/umount", folder("mnt")]) }
        let error = try #require(refusal(path))
        #expect(error.kind == .locked)
        #expect(error.description.contains("is mounted on \(folder("mnt"))"))
    }

    @Test func aDeviceThatIsNotThere() throws {
        guard isRoot, unsafe mknod(folder("ghost"), S_IFBLK | 0o600, 0x0fff_0000) == 0 else {
            try Test.cancel("a device node needs root")
        }
        #expect(try #require(refusal(folder("ghost"))).kind == .missing)
    }
}
