/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-files, which is `vdisk mount --files`. */
#ifndef VDISK_FILES_ARGS_H
#define VDISK_FILES_ARGS_H

#include "common/source.h"

#define ARGS_KEYS_MAX 16

struct args {
	struct source_options source;
	const char *dir;
	const char *root;                    /* the device with the guest's root, as the guest names it; NULL: the only one */
	const char *key_files[ARGS_KEYS_MAX];
	size_t n_keys;
	unsigned idle_seconds; /* 0: stay */
	bool quick, foreground, allow_other;
};

/* 0: go on; 1: done (help was asked for); -1: bad usage, said on standard error. */
int args_parse(struct args *a, int argc, char **argv);

#endif
