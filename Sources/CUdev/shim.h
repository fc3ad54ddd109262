// libudev: device events and the udev database (who is initialised, which properties the rules gave it).
#ifndef RACK_CUDEV_SHIM_H
#define RACK_CUDEV_SHIM_H

#include <libudev.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

// ioctl() is variadic, which Swift does not import. One wrapper a request, each returning 0 or the errno.

/// SG_IO with a command of at most 16 bytes that reads `dataLength` bytes (or moves none when it is 0). Statuses land
/// in the out parameters, so that sg_io_hdr's pointers never leave this function.
static inline int rack_sg_io_read(int fd, const unsigned char *cdb, unsigned char cdbLength, unsigned char *data,
                                  unsigned int dataLength, unsigned char *sense, unsigned char senseLength,
                                  unsigned int timeoutMilliseconds, unsigned char *status, unsigned short *hostStatus,
                                  unsigned short *driverStatus, unsigned char *senseWritten, int *residual) {
    struct sg_io_hdr header;
    memset(&header, 0, sizeof header);
    header.interface_id = 'S';
    header.dxfer_direction = dataLength ? SG_DXFER_FROM_DEV : SG_DXFER_NONE;
    header.cmd_len = cdbLength;
    header.mx_sb_len = senseLength;
    header.dxfer_len = dataLength;
    header.dxferp = data;
    header.cmdp = (unsigned char *)cdb;
    header.sbp = sense;
    header.timeout = timeoutMilliseconds;
    if (ioctl(fd, SG_IO, &header) < 0) return errno;
    *status = header.status;
    *hostStatus = header.host_status;
    *driverStatus = header.driver_status;
    *senseWritten = header.sb_len_wr;
    *residual = header.resid;
    return 0;
}

/// BLKGETSIZE64: the size of an open block device in bytes.
static inline int rack_block_size_bytes(int fd, unsigned long long *bytes) {
    return ioctl(fd, BLKGETSIZE64, bytes) < 0 ? errno : 0;
}

/// open() is variadic as well; these opens never create.
static inline int rack_open_existing(const char *path, int flags) { return open(path, flags); }

/// O_DIRECT differs between processors and is a GNU extension that Glibc's Swift module leaves out.
static inline int rack_o_direct(void) { return __O_DIRECT; }

/// major() and minor() are macros.
static inline unsigned int rack_device_major(unsigned long long device) { return major(device); }
static inline unsigned int rack_device_minor(unsigned long long device) { return minor(device); }
static inline unsigned long long rack_device_number(unsigned int a, unsigned int b) { return makedev(a, b); }

#endif
