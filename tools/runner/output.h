/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that an answer goes into: whether they can be made is known before a machine runs, and none stays behind in halves. */
#ifndef RUNNER_OUTPUT_H
#define RUNNER_OUTPUT_H

#include "common/fail.h"

#include <stddef.h>

/* `path` may be NULL.  Makes nothing. */
int output_judge(const char *path, vdisk_error *err);
int output_write(const char *path, const void *bytes, size_t n, vdisk_error *err);

#endif
