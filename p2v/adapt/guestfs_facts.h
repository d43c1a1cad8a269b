/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the disks hold, as libguestfs shows it: the part of the facts that facts_read() is given. */
#ifndef ADAPT_GUESTFS_FACTS_H
#define ADAPT_GUESTFS_FACTS_H

#include "facts.h"
#include "guest.h"

/* Fills f->fs, in the order of t->devices, but for their sizes, which no step asks.  0, or -1 with *err. */
int guestfs_facts(const struct guest *t, struct facts *f, vdisk_error *err);

#endif
