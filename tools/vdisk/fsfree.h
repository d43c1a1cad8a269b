/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bytes of a file system its own records call free, found out by partclone's programs. */
#ifndef VDISK_TOOL_FSFREE_H
#define VDISK_TOOL_FSFREE_H

#include "common/ranges.h"

#include <stdbool.h>
#include <stdint.h>

enum fs_answer {
	FS_KNOWN,   /* `free` holds what is free, perhaps nothing */
	FS_WHOLE,   /* nothing can be said of it; `note` says why, if there is a reason to tell */
	FS_REFUSED, /* its free blocks cannot be trusted: `note` */
	FS_STOPPED, /* cancelled */
};

struct fs_scan {
	/* In: */
	const char *file;     /* the file system, of `size` bytes */
	const char *folder;   /* for files of our own */
	uint64_t size;
	bool live;            /* whether it is at rest does not matter: it is frozen, or nothing will rest upon the answer */
	const volatile int *cancel;
	/* Out: */
	char type[32];        /* as libblkid calls it; "": unknown */
	char note[256];       /* one line */
	struct ranges free; /* bytes of the file; ascending; the caller's to ranges_free() */
};

enum fs_answer fs_scan(struct fs_scan *s);

#endif
