// ISA-L's CRC32C, which picks the processor's fastest way at run time. Its prototype takes a plain `unsigned char *`
// though it only reads, hence the wrapper; iSCSI's digest is the complement of the running value (RFC 7143 13.1).
#pragma once
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

static inline uint32_t cisal_crc32c_update(uint32_t running, const void *bytes, size_t length) {
    return crc32_iscsi((unsigned char *)bytes, (int)length, running);
}
