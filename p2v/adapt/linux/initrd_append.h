/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The archive of missing modules that is appended to an initramfs, so that its own tools find and load them. */
#ifndef ADAPT_INITRD_APPEND_H
#define ADAPT_INITRD_APPEND_H

#include "initrd.h"
#include "initrd_config.h"
#include "kmod.h"

/* What one kernel's initramfs is to have. */
struct append_want {
	struct tree *guest;
	struct kmod *kmod;
	struct kmod_module **missing; size_t missing_n; /* to be put in, what others need first */
	const char *const *load; size_t load_n;         /* to be loaded at once, by canonical names, in this order */
	const struct initrd_files *files;               /* settings with another content, to be put in as well */
	bool rd_gzip;                                   /* the kernel's configuration says that it unpacks gzip */
};

/* An initramfs made of `main` (the file's bytes; `i` is what initrd_read() found, without an archive of ours) and an archive behind
   it.  *notes gets a line for each member.  The same input gives the same bytes.  0, or -1 with *err. */
int initrd_append(const struct initrd *i, const struct bytes *main, const struct append_want *want, struct bytes *out,
	struct bytes *notes, vdisk_error *err);

/* How an initramfs is told what to load: *path, a file in it, and its whole new content, made from what is there now.  false: it
   has no such list, and loads by the aliases of hardware alone. */
bool load_list(const struct initrd *i, const char *const *load, size_t load_n, const char **path, struct bytes *out);

#endif
