/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that machines are made from.  All are opened before the first guest runs: after that the process may open nothing, and
   a reset reads them again. */
#ifndef RUNNER_FILES_H
#define RUNNER_FILES_H

#include "common/fail.h"

enum file_id {
	FILE_KVM,
	FILE_KERNEL,
	FILE_INITRD,
	FILE_BIOS,
	FILE_VIDEO_BIOS,
	FILE_DEBUG_LOG,
	FILES,
};

struct machine_config;

/* Opens /dev/kvm and what the configuration names. */
int files_open(struct machine_config *config, vdisk_error *err);
/* Also of a configuration whose opening failed; one that was never opened: no-op. */
void files_close(struct machine_config *config);

#endif
