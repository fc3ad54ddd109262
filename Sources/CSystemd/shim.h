// libsystemd: telling the service manager how we are (sd_notify), and whether there is one.
#ifndef RACK_CSYSTEMD_SHIM_H
#define RACK_CSYSTEMD_SHIM_H

#include <stdint.h>
#include <systemd/sd-daemon.h>

/// sd_notify is printf-free but sits in a header beside variadic siblings that Swift does not import; these wrappers
/// are the three calls we make. All answer like their originals: positive for done, 0 for "no service manager
/// listens", negative errno.

/// Sends `state` ("READY=1", "STATUS=...", "WATCHDOG=1", lines separated by newlines) to the service manager.
static inline int rack_systemd_notify(const char *state) { return sd_notify(0, state); }

/// Positive when this host was booted with systemd.
static inline int rack_systemd_booted(void) { return sd_booted(); }

/// The watchdog interval in microseconds that the service manager asks for, 0 when it asks for none.
static inline uint64_t rack_systemd_watchdog_microseconds(void) {
    uint64_t microseconds = 0;
    return sd_watchdog_enabled(0, &microseconds) > 0 ? microseconds : 0;
}

#endif
