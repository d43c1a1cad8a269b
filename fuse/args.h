/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-mount. */
#ifndef VDISK_MOUNT_ARGS_H
#define VDISK_MOUNT_ARGS_H

#include "common/source.h"

struct args {
	struct source_options source;
	const char *dir;
	unsigned idle_seconds; /* 0: stay */
	bool foreground, allow_other;
};

/* 0: go on; 1: done (help was asked for, or mount(8) only tries); -1: bad usage, said on standard error. */
int args_parse(struct args *a, int argc, char **argv);
/* The same from what mount(8) gives its helper mount.fuse.vdisk. */
int args_parse_helper(struct args *a, int argc, char **argv);

#endif
