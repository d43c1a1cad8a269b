/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bitmap of the image as a context of the export, as QEMU's server has it: what was changed, for incremental backups. */
#ifndef VDISK_NBD_BITMAP_H
#define VDISK_NBD_BITMAP_H

#include "export.h"

/* Reads it whole: what is changed while it is served is not in it.  The export's window is set. */
int bitmap_load(struct export *x, const char *name, vdisk_error *err);
void bitmap_free(struct export_bitmap *b);
/* At most `cap` runs (1: changed) from `off` of the export on, inside `len`; neighbours differ.  How many. */
size_t bitmap_status(const struct export_bitmap *b, uint32_t len, uint64_t off, struct export_run *out, size_t cap);

#endif
