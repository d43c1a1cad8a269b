/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a boot loader's configuration offers, and which of it is started when nobody chooses.  Scripts are read, not run: of GRUB's,
   the entries as they stand, and the last plain `set default`. */
#ifndef ADAPT_LOADER_ENTRIES_H
#define ADAPT_LOADER_ENTRIES_H

#include "bytes.h"

struct boot_entry {
	char *title, *id;   /* "" where there is none */
	char *kernel;       /* as the loader calls it: below its own root */
	int parent;         /* the submenu that it is in; -1: none */
	bool menu;          /* a submenu */
};

struct boot_entries {
	struct boot_entry *v;
	size_t n;
	char *chosen;       /* the default as it stands: a number, title or id, with > between submenus'; NULL: not told */
	bool bls;           /* GRUB: the entries of the Boot Loader Specification come, too */
	bool saved;         /* the default is the saved one */
	bool failed;        /* out of memory */
};

void entries_destroy(struct boot_entries *e);
void entries_read_grub2(struct boot_entries *e, const struct bytes *config);
void entries_read_legacy(struct boot_entries *e, const struct bytes *config);
void entries_read_extlinux(struct boot_entries *e, const struct bytes *config);
/* One file of loader/entries; `id`: its name without .conf. */
void entries_read_bls(struct boot_entries *e, const struct bytes *entry, const char *id);
/* Takes the default instead of the one told. */
void entries_choose(struct boot_entries *e, const char *chosen);
/* The entry that is started by itself; NULL: it cannot be told. */
const struct boot_entry *entries_default(const struct boot_entries *e);

#endif
