import BlockStore
import CLinux
import Glibc
import Testing

/// Opens and expects an error; a store that opens after all is a failed test.
func refusal(
    _ path: String, size: UInt64? = nil, block: Int = 512, readOnly: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
) -> StoreError? {
    do throws(StoreError) {
        _ = try BlockStore.open(path: path, sizeBytes: size, blockLengthBytes: block, readOnly: readOnly)
        Issue.record("\(path) was opened", sourceLocation: sourceLocation)
        return nil
    } catch {
        // Every refusal is one line that names the file and says what to do.
        #expect(error.description.hasPrefix("\(error.path): "), sourceLocation: sourceLocation)
        #expect(error.path == path, sourceLocation: sourceLocation)
        #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
        #expect(!error.advice.isEmpty, sourceLocation: sourceLocation)
        return error
    }
}

@Suite struct CreationTests {
    let folder = TestFolder()
    let gigabyte: UInt64 = 1 << 30

    @Test func aMissingFileIsMadeSparse() throws {
        let path = folder("new.img")
        let store = try BlockStore.open(path: path, sizeBytes: gigabyte, blockLengthBytes: 512, readOnly: false)
        #expect(store.wasCreated)
        #expect(store.lengthBytes == gigabyte)
        #expect(!store.isBlockDevice && !store.isReadOnly)
        let made = try #require(status(of: path))
        #expect(made.st_size == off_t(gigabyte))
        #expect(made.st_blocks == 0)
        #expect(made.st_mode & 0o7777 == 0o600)
        // Blocking: io_uring answers EAGAIN otherwise. Close-on-exec: no child may keep the lock.
        #expect(fcntl(store.fileDescriptor, F_GETFL) & O_NONBLOCK == 0)
        #expect(fcntl(store.fileDescriptor, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func aFileIsOpenedAgainWithItsContents() throws {
        let path = folder("again.img")
        do {
            let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 4096, readOnly: false)
            #expect(unsafe pwrite(store.fileDescriptor, "kept", 4, 4096) == 4)
            try store.flush()
        }
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 4096, readOnly: false)
        #expect(!store.wasCreated)
        #expect(text(of: path, at: 4096, count: 4) == "kept")
    }

    @Test func aFolderThatIsMissingIsNotMade() throws {
        let error = try #require(refusal(folder("no/such/new.img"), size: gigabyte))
        #expect(error.kind == .missing)
        #expect(error.description.contains("its folder \(folder("no/such")) does not exist"))
        #expect(status(of: folder("no")) == nil)
    }

    @Test func aFileThatIsMissingIsNotMadeWithoutASize() throws {
        let error = try #require(refusal(folder("typo.img")))
        #expect(error.kind == .missing)
        #expect(status(of: folder("typo.img")) == nil)
    }

    @Test func aReadOnlyFileThatIsMissingIsNotMade() throws {
        let error = try #require(refusal(folder("ro.img"), size: gigabyte, readOnly: true))
        #expect(error.kind == .missing)
        #expect(status(of: folder("ro.img")) == nil)
    }

    @Test func aLinkToNothingIsNotFollowed() throws {
        let path = folder("link")
        #expect(unsafe symlink(folder("nowhere"), path) == 0)
        let error = try #require(refusal(path, size: gigabyte))
        #expect(error.kind == .wrongKind)
        #expect(status(of: folder("nowhere")) == nil)
    }

    @Test func aFullFileSystemLeavesNothing() throws {
        guard isRoot, let small = folder.tmpfs("full", options: "size=64k,nr_inodes=2") else {
            try Test.cancel("mounting a small tmpfs needs root")
        }
        #expect(unsafe mkdir("\(small)/taken", 0o755) == 0)
        let error = try #require(refusal("\(small)/new.img", size: gigabyte))
        #expect(error.kind == .noSpace)
        #expect(error.errorNumber == ENOSPC)
        #expect(error.description.contains("No space left on device"))
        #expect(status(of: "\(small)/new.img") == nil)
    }

    @Test func aReadOnlyFileSystemIsNamed() throws {
        guard isRoot, let small = folder.tmpfs("ro", options: "size=1m") else {
            try Test.cancel("mounting a tmpfs needs root")
        }
        let descriptor = unsafe open("\(small)/old.img", O_RDWR | O_CREAT, 0o600)
        #expect(ftruncate(descriptor, 4096) == 0)
        close(descriptor)
        #expect(folder.run(["/usr/bin/mount", "-o", "remount,ro", small]) == 0)
        #expect(try #require(refusal("\(small)/new.img", size: gigabyte)).kind == .readOnlyFileSystem)
        #expect(try #require(refusal("\(small)/old.img", size: 4096)).kind == .readOnlyFileSystem)
        let store = try BlockStore.open(
            path: "\(small)/old.img", sizeBytes: 4096, blockLengthBytes: 512, readOnly: true)
        #expect(store.isReadOnly)
    }

    @Test func aFileLargerThanTheFileSystemAllowsIsRefused() throws {
        let error = try #require(refusal(folder("huge.img"), size: UInt64(Int64.max) / 4096 * 4096))
        #expect(error.kind == .noSpace)
        #expect(error.errorNumber == EFBIG)
        #expect(status(of: folder("huge.img")) == nil)
        #expect(try #require(refusal(folder("huge.img"), size: 1 << 63)).kind == .sizeMismatch)
    }
}

@Suite struct SizeTests {
    let folder = TestFolder()

    @Test func aShortFileIsRefusedAndLeftAlone() throws {
        let path = folder.file("short.img", bytes: 4096, text: "precious")
        let error = try #require(refusal(path, size: 8192))
        #expect(error.kind == .sizeMismatch)
        #expect(error.description.contains("truncate -s 8192 \(path)"))
        #expect(try #require(status(of: path)).st_size == 4096)
        #expect(text(of: path, at: 0, count: 8) == "precious")
    }

    @Test func aLongFileIsRefusedAndLeftAlone() throws {
        let path = folder.file("long.img", bytes: 1 << 20, text: "precious")
        let error = try #require(refusal(path, size: 4096))
        #expect(error.kind == .sizeMismatch)
        #expect(error.description.contains("1 MiB (1048576 bytes)"))
        #expect(!error.description.contains("truncate"))
        #expect(try #require(status(of: path)).st_size == 1 << 20)
    }

    @Test func withoutASizeTheFilesOwnCounts() throws {
        let path = folder.file("own.img", bytes: 12288)
        let store = try BlockStore.open(path: path, sizeBytes: nil, blockLengthBytes: 4096, readOnly: false)
        #expect(store.lengthBytes == 12288)
        #expect(!store.wasCreated)
    }

    @Test func sizesThatAreNotWholeBlocksAreRefused() throws {
        #expect(try #require(refusal(folder.file("odd.img", bytes: 1000))).kind == .sizeMismatch)
        #expect(try #require(refusal(folder.file("odd4k.img", bytes: 512), block: 4096)).kind == .sizeMismatch)
        #expect(try #require(refusal(folder("new.img"), size: 1000)).advice == "make it 512 or 1024 bytes")
        #expect(try #require(refusal(folder("new.img"), size: 100)).advice == "make it 512 bytes")
        #expect(try #require(refusal(folder.file("empty.img", bytes: 0))).kind == .sizeMismatch)
        #expect(try #require(refusal(folder("new.img"), size: 0)).kind == .sizeMismatch)
        #expect(status(of: folder("new.img")) == nil)
    }

    @Test(arguments: [0, 1, 511, 520, 1024, 8192, -512])
    func otherBlockLengthsAreRefused(_ length: Int) throws {
        #expect(try #require(refusal(folder.file("a.img", bytes: 8192), block: length)).kind == .blockLength)
    }

    @Test func growing() throws {
        let path = folder("grow.img")
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 4096, readOnly: false)
        #expect(unsafe pwrite(store.fileDescriptor, "kept", 4, 0) == 4)
        try store.grow(toBytes: 1 << 20, blockLengthBytes: 4096)
        #expect(store.lengthBytes == 1 << 20)
        #expect(try #require(status(of: path)).st_size == 1 << 20)
        #expect(text(of: path, at: 0, count: 4) == "kept")
        try store.grow(toBytes: 1 << 20, blockLengthBytes: 4096)
        #expect(throws: StoreError.self) { try store.grow(toBytes: 8192, blockLengthBytes: 4096) }
        #expect(throws: StoreError.self) { try store.grow(toBytes: (1 << 20) + 512, blockLengthBytes: 4096) }
        #expect(store.lengthBytes == 1 << 20)
        #expect(try #require(status(of: path)).st_size == 1 << 20)
    }

    @Test func growingAFileThatSomebodyExtended() throws {
        let path = folder("extended.img")
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: false)
        #expect(unsafe truncate(path, 65536) == 0)
        #expect(store.lengthBytes == 8192)
        try store.grow(toBytes: 16384, blockLengthBytes: 512)
        #expect(store.lengthBytes == 16384)
        // Never cut, not even what nobody declared.
        #expect(try #require(status(of: path)).st_size == 65536)
    }

    @Test func aReadOnlyStoreDoesNotGrow() throws {
        let path = folder.file("ro.img", bytes: 8192)
        let store = try BlockStore.open(path: path, sizeBytes: 8192, blockLengthBytes: 512, readOnly: true)
        #expect(throws: StoreError.self) { try store.grow(toBytes: 16384, blockLengthBytes: 512) }
        #expect(try #require(status(of: path)).st_size == 8192)
    }
}

@Suite struct KindTests {
    let folder = TestFolder()

    @Test func whatIsNoFileIsRefused() throws {
        #expect(try #require(refusal(folder.folder("d"), size: 4096)).description.contains("is a folder"))
        #expect(unsafe mkfifo(folder("p"), 0o600) == 0)
        #expect(try #require(refusal(folder("p"), size: 4096)).description.contains("is a pipe"))
        #expect(try #require(refusal("/dev/null", size: 4096)).description.contains("is a character device"))
        #expect(try #require(refusal("/dev/zero")).kind == .wrongKind)
    }

    @Test func linksAreFollowedUnlessTheyTurnInCircles() throws {
        #expect(unsafe symlink(folder.file("real.img", bytes: 4096), folder("link")) == 0)
        let store = try BlockStore.open(path: folder("link"), sizeBytes: 4096, blockLengthBytes: 512, readOnly: false)
        #expect(store.lengthBytes == 4096)
        #expect(unsafe symlink(folder("b"), folder("a")) == 0)
        #expect(unsafe symlink(folder("a"), folder("b")) == 0)
        #expect(try #require(refusal(folder("a"), size: 4096)).errorNumber == ELOOP)
    }

    @Test func pathsThatLeadThroughAFile() throws {
        let path = folder.file("file", bytes: 4096)
        #expect(try #require(refusal("\(path)/inside", size: 4096)).kind == .missing)
        let long = folder(String(repeating: "x", count: 300))
        #expect(try #require(refusal(long, size: 4096)).kind == .wrongKind)
    }

    @Test func filesThatMayNotBeWritten() throws {
        // Root passes permission bits, but not the immutable flag.
        let path = folder.file("immutable.img", bytes: 4096)
        guard isRoot, folder.run(["/usr/bin/chattr", "+i", path]) == 0 else {
            try Test.cancel("an immutable file needs root and a file system with that flag")
        }
        let error = try #require(refusal(path, size: 4096))
        #expect(error.kind == .permissionDenied)
        #expect(error.description.contains("user id 0"))
        let store = try BlockStore.open(path: path, sizeBytes: 4096, blockLengthBytes: 512, readOnly: true)
        #expect(store.isReadOnly && !store.canPunchHoles && !store.canZeroRange)
    }

    @Test func filesOfSomebodyElse() throws {
        let path = folder.file("secret.img", bytes: 4096)
        #expect(unsafe chmod(path, 0) == 0)
        if isRoot { _ = rack_set_file_user(65534) }
        defer { if isRoot { _ = rack_set_file_user(0) } }
        let error = try #require(refusal(path, size: 4096))
        #expect(error.kind == .permissionDenied)
        #expect(error.errorNumber == EACCES)
    }

    @Test func foldersOfSomebodyElse() throws {
        #expect(unsafe chmod(folder.path, 0o700) == 0)
        if isRoot { _ = rack_set_file_user(65534) }
        defer { if isRoot { _ = rack_set_file_user(0) } }
        if isRoot {
            #expect(try #require(refusal(folder("new.img"), size: 4096)).kind == .permissionDenied)
        }
    }
}

@Suite struct PreviewTests {
    let folder = TestFolder()

    @Test func lookingMakesNothing() throws {
        let preview = try BlockStore.preview(
            path: folder("new.img"), sizeBytes: 1 << 20, blockLengthBytes: 512, readOnly: false)
        #expect(preview.willBeMade && preview.lengthBytes == 1 << 20 && !preview.isOvercommitted)
        #expect(status(of: folder("new.img")) == nil)
    }

    @Test func aFileThatIsServedCanBeLookedAt() throws {
        let store = try BlockStore.open(
            path: folder("a.img"), sizeBytes: 1 << 20, blockLengthBytes: 512, readOnly: false)
        let preview = try BlockStore.preview(
            path: folder("a.img"), sizeBytes: nil, blockLengthBytes: 512, readOnly: false)
        #expect(!preview.willBeMade && preview.lengthBytes == store.lengthBytes)
    }

    @Test func theSameThingsAreWrong() throws {
        let short = folder.file("short.img", bytes: 512)
        #expect(throws: StoreError.self) {
            try BlockStore.preview(path: short, sizeBytes: 1024, blockLengthBytes: 512, readOnly: false)
        }
        #expect(throws: StoreError.self) {
            try BlockStore.preview(path: folder("no/a"), sizeBytes: 1024, blockLengthBytes: 512, readOnly: false)
        }
        #expect(throws: StoreError.self) {
            try BlockStore.preview(path: folder.path, sizeBytes: 1024, blockLengthBytes: 512, readOnly: false)
        }
    }

    @Test func aPromiseThatTheFileSystemCannotKeep() throws {
        guard isRoot, let small = folder.tmpfs("small", options: "size=64k") else {
            try Test.cancel("mounting a small tmpfs needs root")
        }
        let preview = try BlockStore.preview(
            path: "\(small)/a.img", sizeBytes: 1 << 20, blockLengthBytes: 512, readOnly: false)
        #expect(preview.isOvercommitted)
    }

    @Test func aFileMadeForNothingGoesAway() throws {
        let made = try BlockStore.open(
            path: folder("made.img"), sizeBytes: 1 << 20, blockLengthBytes: 512, readOnly: false)
        made.discardIfCreated()
        #expect(status(of: folder("made.img")) == nil)
        let found = try BlockStore.open(
            path: folder.file("found.img", bytes: 512), sizeBytes: nil, blockLengthBytes: 512, readOnly: false)
        found.discardIfCreated()
        #expect(status(of: folder("found.img")) != nil)
    }
}
