/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* modules.dep.bin, modules.alias.bin and modules.symbols.bin: the same as the texts, as kmod looks it up (kmod(8), udevd). */
#ifndef ADAPT_KMOD_INDEX_H
#define ADAPT_KMOD_INDEX_H

#include "kmod.h"

/* The index for a text of depmod's; `dep`, modules.dep, gives the order of modules.  Only DEP, ALIAS and SYMBOLS have one.  The
   bytes are those that depmod writes for the same modules. */
int kmod_index(enum kmod_text text, const struct bytes *of, const struct bytes *dep, struct bytes *out, vdisk_error *err);

#endif
