/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-nbd. */
#ifndef VDISK_NBD_OPTIONS_H
#define VDISK_NBD_OPTIONS_H

#include "common/source.h"
#include "tls.h"

struct options {
	struct source_options source;
	struct tls_options tls;
	const char *socket, *listen, *name, *bitmap, *pid_file, *run;
	unsigned clients, timeout_sec, idle_timeout_sec;
	bool allow_plain, once, fork, quiet;
};

/* 0: go on; 1: done (help was asked for); -1: bad usage, said on standard error. */
int options_parse(struct options *o, int argc, char **argv);

#endif
