/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between inspect_grub*.c. */
#ifndef ADAPT_INSPECT_GRUB_RUN_H
#define ADAPT_INSPECT_GRUB_RUN_H

#include "inspect_grub.h"

#include <fcntl.h>

/* A command of grub-fstest's with its arguments, ended by NULL; what it prints is added to `out`, `max` bytes at most.  1, 0 (it
   fails), -1. */
int grub_run(const struct grub_source *s, const char *const *command, uint64_t max, struct bytes *out, vdisk_error *err);

#endif
