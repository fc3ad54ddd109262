// libdevmapper: device-mapper's ioctls, node handling and udev cookies.
#ifndef RACK_CDEVICEMAPPER_SHIM_H
#define RACK_CDEVICEMAPPER_SHIM_H

#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/// libdevmapper logs through a printf-like (variadic) callback, which Swift can neither implement nor import. This one
/// formats the line and hands it to `rack_device_mapper_log`, which DeviceMapper implements. It keeps no state here:
/// a static variable in a header would be one variable for each object file that includes it.
static void rack_dm_log_forward(int level, const char *file, int line, int dmErrno, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void rack_dm_log_forward(int level, const char *file, int line, int dmErrno, const char *format, ...) {
    extern void rack_device_mapper_log(int level, int dmErrno, const char *message);
    char message[1024];
    va_list arguments;
    (void)file;
    (void)line;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    rack_device_mapper_log(level, dmErrno, message);
}

static inline void rack_dm_log_install(void) { dm_log_with_errno_init(rack_dm_log_forward); }

// The two requests below go past libdevmapper. ioctl() and open() are variadic, hence the wrappers.

/// A control descriptor of one's own: the kernel keeps the armed event number for each open descriptor, so polling
/// needs another one than libdevmapper's, which it never shows. Returns the descriptor or -errno.
static inline int rack_dm_open_control(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static inline void rack_dm_prepare(struct dm_ioctl *request, unsigned int minor, unsigned int size) {
    memset(request, 0, size);
    request->version[0] = 4;
    request->version[1] = minor;
    request->data_size = size;
    request->data_start = sizeof(struct dm_ioctl);
}

/// DM_DEV_ARM_POLL (4.37, Linux 4.13): remember the current event number, so that poll() reports the next one.
/// Returns 0 or the errno.
static inline int rack_dm_arm_poll(int fd) {
    struct dm_ioctl request;
    rack_dm_prepare(&request, 37, sizeof request);
    return ioctl(fd, DM_DEV_ARM_POLL, &request) < 0 ? errno : 0;
}

/// DM_TARGET_MSG at sector 0. libdevmapper has it too, but its callers must be serialised: a message is what ends a
/// suspend that waits for queued I/O, and must not wait behind it. Returns 0 or the errno.
static inline int rack_dm_message(int fd, const char *name, const char *text) {
    enum { textLimit = 512, textStart = sizeof(struct dm_ioctl) + offsetof(struct dm_target_msg, message) };
    char buffer[textStart + textLimit] __attribute__((aligned(8)));
    struct dm_ioctl *request = (struct dm_ioctl *)buffer;
    size_t length = strlen(text);
    if (strlen(name) >= DM_NAME_LEN || length >= textLimit) return ENAMETOOLONG;
    rack_dm_prepare(request, 0, sizeof buffer);
    strcpy(request->name, name);
    memcpy(buffer + textStart, text, length + 1);  // the sector before it stays 0: the target at the start
    return ioctl(fd, DM_TARGET_MSG, buffer) < 0 ? errno : 0;
}

/// major() and minor() are macros; the kernel's 64-bit dev_t in deps and name lists is decoded by them.
static inline unsigned int rack_dm_major(unsigned long long device) { return major(device); }
static inline unsigned int rack_dm_minor(unsigned long long device) { return minor(device); }

#endif
