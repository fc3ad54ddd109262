// libiscsi: an iSCSI initiator in user space, for discovery and probing without root and without a kernel session.
// No wrapper is needed: its functions, callbacks and struct scsi_task are imported as they are. stdint.h and sys/types.h
// come first because scsi-lowlevel.h uses their types without including them.
#ifndef RACK_CISCSI_SHIM_H
#define RACK_CISCSI_SHIM_H

#include <stdint.h>
#include <sys/types.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#endif
