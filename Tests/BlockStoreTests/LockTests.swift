import BlockStore
import CLinux
import Glibc
import Testing

@Suite struct LockTests {
    let folder = TestFolder()

    @Test func oneProcessServesAFileOnce() throws {
        let path = folder("a.img")
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
        let error = try #require(refusal(path, size: 8192))
        #expect(error.kind == .locked)
        #expect(error.description.contains("this process"))
        // Another name for the same inode is the same file.
        #expect(unsafe link(path, folder("b.img")) == 0)
        #expect(try #require(refusal(folder("b.img"), size: 8192)).kind == .locked)
        #expect(try #require(refusal(path, size: 8192, readOnly: true)).kind == .locked)
        #expect(store.lengthBytes == 8192)
    }

    @Test func readersExcludeEachOtherToo() throws {
        let path = folder.file("a.img", bytes: 8192)
        let store = try BlockStore.open(path: path, sizeBytes: nil, blockLengthBytes: 512, readOnly: true)
        #expect(try #require(refusal(path, readOnly: true)).kind == .locked)
        #expect(try #require(refusal(path)).kind == .locked)
        #expect(store.isReadOnly)
    }

    @Test func theLockEndsWithTheStore() throws {
        let path = folder("a.img")
        for round in 0..<3 {
            let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
            #expect(store.wasCreated == (round == 0))
        }
    }

    @Test func anotherProcessIsNamed() throws {
        let path = folder.file("held.img", bytes: 8192)
        let holder = folder.start(["/usr/bin/flock", "--no-fork", "-x", path, "/usr/bin/sleep", "60"])
        try #require(waitUntil { isLocked(path) })
        let error = try #require(refusal(path, size: 8192))
        #expect(error.kind == .locked)
        #expect(error.description.contains("held by sleep (pid \(holder))"))
        // The kernel lets go of a dead process's lock.
        folder.stop(holder)
        _ = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
    }

    @Test func aBindMountIsTheSameFile() throws {
        let path = folder("inside.img")
        let other = folder.folder("bound")
        guard isRoot, folder.run(["/usr/bin/mount", "--bind", folder.path, other]) == 0 else {
            try Test.cancel("a bind mount needs root")
        }
        defer { _ = folder.run(["/usr/bin/umount", other]) }
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
        #expect(try #require(refusal("\(other)/inside.img", size: 8192)).kind == .locked)
        #expect(store.lengthBytes == 8192)
    }

    @Test func recordLocksOfOthersCount() throws {
        // What qemu-img and an NFS server take: an open file description lock, without flock.
        let path = folder.file("image.img", bytes: 8192)
        let descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(rack_ofd_lock(descriptor, 1) == 0)
        #expect(try #require(refusal(path, size: 8192)).kind == .locked)
    }

    private func isLocked(_ path: String) -> Bool {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }

    private func waitUntil(_ condition: () -> Bool) -> Bool {
        for _ in 0..<200 {
            if condition() { return true }
            usleep(25_000)
        }
        return false
    }
}
