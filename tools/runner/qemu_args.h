/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's command line for a machine. */
#ifndef RUNNER_QEMU_ARGS_H
#define RUNNER_QEMU_ARGS_H

#include "engine.h"

#define QEMU_ARGS_MAX 256

/* Descriptors that QEMU inherits, under these numbers. */
struct qemu_fds {
	int serial, qmp, disks[MACHINE_DISKS_MAX];
};

struct qemu_args {
	char *words[QEMU_ARGS_MAX + 1]; /* owned; ends with NULL */
	unsigned n;
	bool failed;                    /* out of memory */
};

/* `variables`: a file with the UEFI variables, where the machine has such; `log`: where QEMU's own log goes. */
int qemu_args_make(struct qemu_args *a, const struct engine_config *config, const struct qemu_fds *fds, const char *variables,
                   const char *log, vdisk_error *err);
void qemu_args_destroy(struct qemu_args *a);

#endif
