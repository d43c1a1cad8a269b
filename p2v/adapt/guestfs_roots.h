/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The systems on a guest's disks, and which file systems each has where. */
#ifndef ADAPT_GUESTFS_ROOTS_H
#define ADAPT_GUESTFS_ROOTS_H

#include "facts.h"
#include "guest.h"

struct guest_root {
	char *device;  /* libguestfs's name */
	char **places; /* mount point, device … and NULL; NULL: libguestfs's inspection knows them */
};

struct guest_roots {
	struct guest_root *v;
	size_t n;
	struct facts disk; /* what the disks hold: fs[] as guestfs_facts() fills it */
};

/* guest_roots_free() is due in either case. */
int guest_roots_find(struct guest *t, struct guest_roots *out, vdisk_error *err);
void guest_roots_free(struct guest_roots *r);
/* f->fs as of the disk. */
int guest_roots_facts(const struct guest_roots *r, struct facts *f, vdisk_error *err);

#endif
