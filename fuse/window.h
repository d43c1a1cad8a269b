/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file's worth of a disk: one range of it, or the ranges that a logical volume is made of.  Safe from many threads. */
#ifndef VDISK_MOUNT_WINDOW_H
#define VDISK_MOUNT_WINDOW_H

#include "state.h"

struct window {
	struct state *src;
	uint64_t off, len;                /* bytes of the disk; of a volume, only len counts */
	const struct vdisk_volume *volume; /* NULL: a plain range */
	bool writable;
};

/* Each range lies within the window.  0, or an errno. */
int window_read(const struct window *w, void *buf, size_t len, uint64_t off);
int window_write(const struct window *w, const void *buf, size_t len, uint64_t off);
/* The range reads as zeros afterwards; `punch`: its space is given back as far as the format can. */
int window_zero(const struct window *w, uint64_t off, uint64_t len, bool punch);
int window_flush(const struct window *w);
/* The next offset from `off` on that holds data (or a hole), or w->len. */
int window_seek(const struct window *w, uint64_t off, bool data, uint64_t *out);
/* Bytes that hold data. */
int window_count(const struct window *w, uint64_t *bytes);

#endif
