/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The members of one cpio archive. */
#ifndef ADAPT_INITRD_CPIO_H
#define ADAPT_INITRD_CPIO_H

#include "initrd.h"

/* Adds the members of the archive that begins at `at` to i->members, as of part `part`; *used: its bytes, its trailer included. */
int cpio_members(struct initrd *i, size_t part, const uint8_t *at, size_t len, size_t *used, vdisk_error *err);

#endif
