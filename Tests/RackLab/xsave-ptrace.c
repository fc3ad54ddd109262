// Preloaded into linux.uml so that user-mode Linux 6.1 runs on processors with a large XSAVE area.
//
// UML keeps a process's floating point state in a buffer of the size it knows from its own build. On a processor with
// AMX the kernel's NT_X86_XSTATE set is larger, PTRACE_SETREGSET refuses anything but the whole set, and the first
// process of the guest dies with "ptrace set fp regs failed, errno = 14". The wrapper below keeps the part UML does not
// know as the kernel reports it: a write first reads the whole set and lays the caller's bytes over its start, a read
// takes the whole set and hands back the first part. Everything else goes to the kernel unchanged.

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

// XSAVE with AMX tile data takes 11,008 bytes; room for what comes after it.
enum { wholeSetBytes = 65536 };

static long kernelPtrace(long request, pid_t pid, void *address, void *data) {
    return syscall(SYS_ptrace, request, pid, address, data);
}

static long xstate(long request, pid_t pid, struct iovec *caller) {
    // UML does this from its one kernel thread, so one buffer a thread is enough and the stack stays small.
    static _Thread_local unsigned char whole[wholeSetBytes] __attribute__((aligned(64)));
    struct iovec all = {.iov_base = whole, .iov_len = sizeof whole};
    void *const set = (void *)(ptrdiff_t)NT_X86_XSTATE;

    if (kernelPtrace(PTRACE_GETREGSET, pid, set, &all) < 0) {
        return -1;
    }
    const size_t known = caller->iov_len < all.iov_len ? caller->iov_len : all.iov_len;
    if (request == PTRACE_GETREGSET) {
        memcpy(caller->iov_base, whole, known);
        caller->iov_len = known;
        return 0;
    }
    memcpy(whole, caller->iov_base, known);
    return kernelPtrace(PTRACE_SETREGSET, pid, set, &all);
}

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    const pid_t pid = va_arg(arguments, pid_t);
    void *const address = va_arg(arguments, void *);
    void *const data = va_arg(arguments, void *);
    va_end(arguments);

    switch ((long)request) {
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        if ((ptrdiff_t)address == NT_X86_XSTATE) {
            return xstate((long)request, pid, data);
        }
        break;
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
    case PTRACE_PEEKUSER: {
        // The system call stores the word; the library function returns it.
        long word = 0;
        if (kernelPtrace((long)request, pid, address, &word) < 0) {
            return -1;
        }
        errno = 0;
        return word;
    }
    default:
        break;
    }
    return kernelPtrace((long)request, pid, address, data);
}
