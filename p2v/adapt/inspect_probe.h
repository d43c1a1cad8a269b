/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ADAPT_INSPECT_PROBE_H
#define ADAPT_INSPECT_PROBE_H

#include "inspect_parts.h"

/* Fills in type, UUID and label, and why it is not (or not surely) readable.  0, or -1 with *err. */
int piece_probe(struct piece *p, vdisk_error *err);
/* A file system that GRUB reads; what holds no files itself. */
bool type_is_readable(const char *type);
bool type_is_container(const char *type);

#endif
