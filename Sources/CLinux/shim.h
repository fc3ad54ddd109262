// Linux system calls that Swift's Glibc module leaves out: it is built without _GNU_SOURCE, and variadic functions and
// function-like macros are not imported. One wrapper a call, each returning what the call returns, or 0 or the errno
// where a comment says so.
#ifndef RACK_CLINUX_SHIM_H
#define RACK_CLINUX_SHIM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

/// fallocate(2); 0 or the errno. Hidden by Glibc's module, which is built without _GNU_SOURCE.
static inline int rack_fallocate(int fd, int mode, int64_t offset, int64_t length) {
    extern int fallocate(int, int, off_t, off_t);
    return fallocate(fd, mode, offset, length) < 0 ? errno : 0;
}

/// FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE: deallocate, the size stays.
static const int rack_punch_hole_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
/// FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE: zeros without writing them, blocks stay allocated, the size stays.
static const int rack_zero_range_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

/// lseek(2) for the next allocated byte or the next hole at or after an offset; the offset, or the negative errno.
/// -ENXIO: none before the end of the file.
static inline int64_t rack_seek_data(int fd, int64_t offset) {
    off_t found = lseek(fd, offset, 3 /* SEEK_DATA, hidden without _GNU_SOURCE */);
    return found < 0 ? -(int64_t)errno : found;
}
static inline int64_t rack_seek_hole(int fd, int64_t offset) {
    off_t found = lseek(fd, offset, 4 /* SEEK_HOLE */);
    return found < 0 ? -(int64_t)errno : found;
}

/// An open file description lock on the whole file (F_OFD_SETLK); 0 or the errno. Shared when `exclusive` is 0, which
/// is all that a descriptor opened for reading may ask for. QEMU's tools take locks of this kind on images they open.
static inline int rack_ofd_lock(int fd, int exclusive) {
    struct flock request;
    memset(&request, 0, sizeof request);
    request.l_type = exclusive ? F_WRLCK : F_RDLCK;
    request.l_whence = SEEK_SET;
    return fcntl(fd, 37 /* F_OFD_SETLK */, &request) < 0 ? errno : 0;
}

/// O_DIRECT, which is hidden without _GNU_SOURCE and differs between processors.
static const int rack_direct_mode = __O_DIRECT;

/// open(2) of what exists: the descriptor, or the negative errno.
static inline int rack_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/// open(2) with O_CREAT | O_EXCL, mode 0600: the descriptor, or the negative errno.
static inline int rack_create(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/// open(2) with O_TMPFILE, mode 0600: a file without a name in `directory`; the descriptor, or the negative errno.
static inline int rack_create_unnamed(const char *directory) {
    int fd = open(directory, O_RDWR | O_CLOEXEC | 020000000 | O_DIRECTORY, 0600);
    return fd < 0 ? -errno : fd;
}

/// linkat(2) that gives a file made by rack_create_unnamed its name, which must be free; 0 or the errno.
static inline int rack_name_file(int fd, const char *path) {
    char source[32];
    char digits[12];
    int count = 0;
    for (int rest = fd; rest > 0 || count == 0; rest /= 10) digits[count++] = (char)('0' + rest % 10);
    strcpy(source, "/proc/self/fd/");
    int length = (int)strlen(source);
    while (count > 0) source[length++] = digits[--count];
    source[length] = 0;
    return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

/// Takes O_NONBLOCK off a descriptor; 0 or the errno.
static inline int rack_set_blocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    return fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? errno : 0;
}

/// BLKGETSIZE64: bytes of a block device; 0 or the errno.
static inline int rack_device_size(int fd, uint64_t *bytes) { return ioctl(fd, BLKGETSIZE64, bytes) < 0 ? errno : 0; }
/// BLKSSZGET: bytes of a logical block; 0 or the errno.
static inline int rack_device_logical_block(int fd, int *bytes) { return ioctl(fd, BLKSSZGET, bytes) < 0 ? errno : 0; }
/// BLKROGET: whether the device refuses writes; 0 or the errno.
static inline int rack_device_read_only(int fd, int *flag) { return ioctl(fd, BLKROGET, flag) < 0 ? errno : 0; }

/// major() and minor() are macros.
static inline unsigned int rack_major(uint64_t device) { return major(device); }
static inline unsigned int rack_minor(uint64_t device) { return minor(device); }

/// SO_PEERCRED of a Unix socket: who called connect(2); 0 or the errno. struct ucred needs _GNU_SOURCE.
static inline int rack_peer_credentials(int fd, int *pid, unsigned int *uid) {
    struct {
        int pid;
        unsigned int uid;
        unsigned int gid;
    } credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return errno;
    *pid = credentials.pid;
    *uid = credentials.uid;
    return 0;
}

/// copy_file_range(2): bytes copied, or the negative errno. The file system shares the blocks where it can.
static inline int64_t rack_copy_file_range(int from, int64_t source, int to, int64_t destination, uint64_t length) {
    extern long syscall(long, ...);
    int64_t in = source, out = destination;
    long copied = syscall(SYS_copy_file_range, from, &in, to, &out, length, 0);
    return copied < 0 ? -(int64_t)errno : copied;
}

/// setfsuid(2): whose permissions this thread's file accesses are checked against; the user id before.
static inline int rack_set_file_user(unsigned int uid) {
    extern int setfsuid(unsigned int);
    return setfsuid(uid);
}

/// accept4(2) with SOCK_CLOEXEC; the descriptor, or the negative errno.
static inline int rack_accept(int fd) {
    extern int accept4(int, struct sockaddr *, socklen_t *, int);
    int accepted = accept4(fd, 0, 0, SOCK_CLOEXEC);
    return accepted < 0 ? -errno : accepted;
}

/// Processors that this process may run on, at least 1. The CPU_ macros are not imported.
static inline int rack_usable_processors(void) {
    unsigned long mask[128] = {0};
    extern long syscall(long, ...);
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    int count = 0;
    for (long word = 0; word * (long)sizeof *mask < bytes; word++) count += __builtin_popcountl(mask[word]);
    return count > 0 ? count : 1;
}

/// pthread_setname_np(3); names are cut by the kernel at 15 bytes.
static inline int rack_name_thread(pthread_t thread, const char *name) {
    extern int pthread_setname_np(pthread_t, const char *);
    return pthread_setname_np(thread, name);
}

#endif
