/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the two ways to show what was found. */
#ifndef ADAPT_INSPECT_SHOW_H
#define ADAPT_INSPECT_SHOW_H

#include "inspect.h"

/* A guest's text on its way out: valid UTF-8, and without anything that a terminal would take for an order.  The buffer's content
   is replaced; returns it ("" where there is no memory). */
const char *show_clean(struct bytes *buffer, const char *text);
const char *show_initrd_tool(enum initrd_tool tool);
/* The loader's name of bit i of `loaders`; NULL: no more. */
const char *show_loader(unsigned i, bool people);
/* How fstab names it: "uuid", "label", "partuuid", "partlabel", "volume" (LVM, MD, device mapper), "link" (by-id, by-path),
   "device", "". */
const char *show_named_by(const char *fstab);
const char *show_table(enum vdisk_table table, bool people);

#endif
