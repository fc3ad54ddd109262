import CUring
import Glibc
import Testing

/// The ring does what the reactor asks for, and nothing that an intruder would like.
@Suite struct RestrictionTests {
    @Test func opensNothing() {
        var ring = unsafe io_uring()
        #expect(unsafe cur_setup(&ring, 8) == 0)
        defer { unsafe io_uring_queue_exit(&ring) }
        let entry = unsafe io_uring_get_sqe(&ring)
        unsafe "/etc/passwd".withCString { path in
            unsafe io_uring_prep_openat(entry, AT_FDCWD, path, O_RDONLY, 0)
            unsafe io_uring_submit_and_wait(&ring, 1)
        }
        var token: UInt64 = 0
        var result: Int32 = 0
        #expect(unsafe cur_take(&ring, &token, &result, 1) == 1)
        #expect(result == -EACCES)
    }

    @Test func doesWhatTheReactorNeeds() {
        var ring = unsafe io_uring()
        #expect(unsafe cur_setup(&ring, 8) == 0)
        defer { unsafe io_uring_queue_exit(&ring) }
        let file = unsafe open("/dev/zero", O_RDONLY)
        defer { close(file) }
        var byte: UInt8 = 1
        #expect(unsafe cur_read(&ring, file, &byte, 1, 0, 7) == 0)
        _ = unsafe cur_submit_and_wait(&ring, -1)
        var token: UInt64 = 0
        var result: Int32 = 0
        #expect(unsafe cur_take(&ring, &token, &result, 1) == 1)
        #expect(token == 7 && result == 1 && byte == 0)
    }
}
