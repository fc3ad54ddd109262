// liburing for the reactor. Each wrapper takes a submission entry, fills it and tags it in one call, because the
// entry may run out (the wrapper then submits what is queued and asks again) and because Swift should see neither the
// entry's unions nor the ring's memory barriers.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

// seccomp sees no operation that goes through a ring, so the ring itself is restricted to what the reactor asks for: it
// cannot open, connect, rename or unlink, whatever writes into it. Debian 12's kernel refuses flags that it does not know;
// the ring is then set up without them.
static inline int cur_restrict(struct io_uring *ring) {
    static const unsigned char operations[] = {
        IORING_OP_NOP,   IORING_OP_RECV,      IORING_OP_RECVMSG, IORING_OP_SENDMSG,     IORING_OP_READ, IORING_OP_WRITE,
        IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_ACCEPT,  IORING_OP_ASYNC_CANCEL,
    };
    enum { count = sizeof operations };
    struct io_uring_restriction list[count] = {0};
    for (unsigned index = 0; index < count; index++) {
        list[index].opcode = IORING_RESTRICTION_SQE_OP;
        list[index].sqe_op = operations[index];
    }
    // Debian 12's liburing declares io_uring_register_restrictions and io_uring_enable_rings, and does not export them.
    int result = io_uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list, count);
    return result == 0 ? io_uring_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, 0, 0) : result;
}

// Every operation of a store that hangs holds a worker of the kernel, and by default there are as few as four a processor:
// the other stores' operations would wait for one. Workers are made as they are needed. A kernel that does not know this
// keeps its own number.
static inline void cur_raise_workers(struct io_uring *ring) {
    unsigned workers[2] = {1024, 0};
    io_uring_register(ring->ring_fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
}

static inline int cur_setup(struct io_uring *ring, unsigned entries) {
    static const unsigned modes[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0};
    int result = -EINVAL;
    for (unsigned index = 0; index < 2 && result == -EINVAL; index++) {
        struct io_uring_params params = {0};
        params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED | modes[index];
        params.cq_entries = entries * 4;
        result = io_uring_queue_init_params(entries, ring, &params);
    }
    if (result == 0) {
        cur_raise_workers(ring);
        result = cur_restrict(ring);
        if (result != 0) io_uring_queue_exit(ring);
    }
    return result;
}

static inline struct io_uring_sqe *cur_sqe(struct io_uring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    while (!sqe) {
        int result = io_uring_submit(ring);
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) return 0;
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

#define CUR_ENTRY(ring)                             \
    struct io_uring_sqe *sqe = cur_sqe(ring);       \
    if (!sqe) return -1

static inline int cur_recv(struct io_uring *ring, int fd, void *buffer, size_t length, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_recv(sqe, fd, buffer, length, 0);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_recvmsg(struct io_uring *ring, int fd, struct msghdr *message, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_recvmsg(sqe, fd, message, 0);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_sendmsg(struct io_uring *ring, int fd, const struct msghdr *message, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_read(
    struct io_uring *ring, int fd, void *buffer, unsigned length, uint64_t offset, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_read(sqe, fd, buffer, length, offset);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_write(
    struct io_uring *ring, int fd, const void *buffer, unsigned length, uint64_t offset, int dsync, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_write(sqe, fd, buffer, length, offset);
    if (dsync) sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_fdatasync(struct io_uring *ring, int fd, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_fallocate(
    struct io_uring *ring, int fd, int mode, uint64_t offset, uint64_t length, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)length);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_accept(struct io_uring *ring, int fd, uint64_t token) {
    CUR_ENTRY(ring);
    io_uring_prep_accept(sqe, fd, 0, 0, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static inline int cur_cancel(struct io_uring *ring, uint64_t token, uint64_t own_token) {
    CUR_ENTRY(ring);
    io_uring_prep_cancel64(sqe, token, 0);
    io_uring_sqe_set_data64(sqe, own_token);
    return 0;
}

// Turns what is queued and would change a file into nothing. sqe_head to sqe_tail is what liburing has not shown to the
// kernel yet.
static inline void cur_withdraw_writes(struct io_uring *ring) {
    struct io_uring_sq *sq = &ring->sq;
    for (unsigned index = sq->sqe_head; index != sq->sqe_tail; index++) {
        struct io_uring_sqe *sqe = &sq->sqes[index & *sq->kring_mask];
        if (sqe->opcode != IORING_OP_WRITE && sqe->opcode != IORING_OP_FALLOCATE) continue;
        uint64_t token = sqe->user_data;
        io_uring_prep_nop(sqe);
        sqe->user_data = token;
    }
}

// Submits what is queued and waits for one completion, at most `nanoseconds` (for ever when negative).
static inline int cur_submit_and_wait(struct io_uring *ring, int64_t nanoseconds) {
    struct io_uring_cqe *cqe;
    if (nanoseconds < 0) return io_uring_submit_and_wait(ring, 1);
    struct __kernel_timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    return io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, 0);
}

// Submits and takes what has already ended, without waiting. Task work runs too.
static inline int cur_submit(struct io_uring *ring) { return io_uring_submit_and_get_events(ring); }

static inline unsigned cur_ready(struct io_uring *ring) { return io_uring_cq_ready(ring); }

// Copies up to `count` completions out and frees their entries, so that handlers may submit while they run.
static inline unsigned cur_take(
    struct io_uring *ring, uint64_t *tokens, int32_t *results, unsigned count) {
    struct io_uring_cqe *entries[128];
    if (count > 128) count = 128;
    unsigned taken = io_uring_peek_batch_cqe(ring, entries, count);
    for (unsigned i = 0; i < taken; i++) {
        tokens[i] = entries[i]->user_data;
        results[i] = entries[i]->res;
    }
    io_uring_cq_advance(ring, taken);
    return taken;
}

static inline int cur_eventfd(void) { return eventfd(0, EFD_CLOEXEC); }
