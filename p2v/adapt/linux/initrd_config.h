/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An initramfs carries copies of the guest's settings, as they were when it was made: LVM's filters, MD's, modprobe's, the swap
 * space to wake from. */
#ifndef ADAPT_INITRD_CONFIG_H
#define ADAPT_INITRD_CONFIG_H

#include "initrd.h"
#include "steps.h"

struct initrd_file {
	char *path;           /* in the initramfs, without "/" before */
	struct bytes content; /* the whole new one */
};

struct initrd_files {
	struct initrd_file *v;
	size_t n;
};

/* Is the content of this member looked at (initrd_read() keeps it)? */
bool initrd_config_kept(const char *path);
/* Which of them have to say something else, as the steps would change the guest's own: from the initramfs alone, so that the same
   one gives the same files, however often the guest was adapted.  0, or -1 with *err. */
int initrd_config(struct plan *p, const struct facts *f, const struct adapt_options *o, const struct initrd *i,
                  struct initrd_files *out, vdisk_error *err);
void initrd_files_destroy(struct initrd_files *f);

#endif
