/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images that a machine gets as disks. */
#ifndef RUNNER_DISK_H
#define RUNNER_DISK_H

#include "fail.h"

struct disk_open {
	const char *path, *format;
	const char *const *allow_dirs; /* NULL-terminated */
	bool rw;                       /* false: what the guest writes goes into a throwaway overlay */
	vdisk_log_fn log;
	void *log_ctx;
};

/* Returns owned in *out. */
int disk_open(const struct disk_open *o, vdisk_image **out, vdisk_error *err);

#endif
