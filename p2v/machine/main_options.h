/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-machine. */
#ifndef MACHINE_MAIN_OPTIONS_H
#define MACHINE_MAIN_OPTIONS_H

#include "describe.h"

#define MACHINE_ALLOW_MAX 64u

struct machine_args {
	const char *file, *out, *name;
	const char *allow[MACHINE_ALLOW_MAX + 1]; /* NULL-terminated */
	size_t n_allow;
	enum describe_kind from, to; /* UNKNOWN: by what is in it; nothing is written */
	unsigned system;             /* from 1; 0: all */
	struct describe_write write;
	bool json, force, quiet, snapshots;
};

/* 0: go on; 1: done (help was asked for); -1: bad usage, said on standard error. */
int machine_args_parse(struct machine_args *a, int argc, char **argv);

#endif
