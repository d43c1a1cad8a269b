/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's own programs that change something: LVM's. */
#ifndef CAPTURE_HOST_RUN_H
#define CAPTURE_HOST_RUN_H

#include <vdisk/vdisk.h>

/* Runs argv[0], found by PATH or where administrators' programs are, to its end: it has a session of its own, so that nothing that
   ends this process cuts it off.  0 with *out (may be NULL; owned, NUL-terminated), or -1: it is not there, or failed, with its
   last line in *err. */
int host_run(const char *const argv[], char **out, vdisk_error *err);

#endif
