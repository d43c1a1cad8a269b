/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is served: a window on an image's disk, with NBD's commands as functions on it.  Each may be called from many threads at
 * once, and answers 0 or an NBD error number; an image's own error goes to the log first.
 */
#ifndef VDISK_NBD_EXPORT_H
#define VDISK_NBD_EXPORT_H

#include "proto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <vdisk/vdisk.h>

#define EXPORT_BLOCK_PREFERRED 4096u
#define EXPORT_BLOCK_MAX       (32u << 20)

/* What a bitmap of the image called changed when the server began. */
struct export_bitmap {
	char *context;           /* "qemu:dirty-bitmap:NAME"; NULL: there is none */
	struct vdisk_range *v;   /* of the export: ascending, apart */
	size_t n;
};

struct export {
	vdisk_image *img;
	uint64_t off, len;       /* bytes of the image's disk */
	bool rw;
	const char *name;        /* besides "", which always names it; "" if none was given */
	char description[200];
	void (*say)(void *ctx, const char *message); /* an error of the image; from any thread; NULL: silence */
	void *say_ctx;
	struct export_bitmap bitmap; /* bitmap.h */

	pthread_mutex_t lock;    /* guards what follows */
	pthread_cond_t flushed;
	uint64_t flush_asked, flush_done; /* numbers of flushes */
	bool flushing;
	bool flush_failed;       /* once it did, no later flush may claim that everything is safe */
};

enum export_context { EXPORT_ALLOCATION, EXPORT_DEPTH, EXPORT_BITMAP, EXPORT_CONTEXTS };
#define EXPORT_CONTEXT_MAX 1200u /* bytes of a name */
/* NULL: the export has no such context. */
const char *export_context_name(const struct export *x, enum export_context c);

struct export_run {
	uint32_t len, flags; /* as NBD_REPLY_BLOCK_STATUS carries them */
};

/* The image must outlive the export. */
int export_init(struct export *x, vdisk_image *img, uint64_t off, uint64_t len, bool rw);
void export_destroy(struct export *x);

uint16_t export_flags(const struct export *x, bool structured);
static inline bool export_holds(const struct export *x, uint64_t off, uint64_t len) { return off <= x->len && len <= x->len - off; }

uint32_t export_read(struct export *x, void *buf, uint32_t len, uint64_t off);
uint32_t export_write(struct export *x, const void *buf, uint32_t len, uint64_t off);
/* Every write that was answered before is durable.  Flushes that come while one runs share the next. */
uint32_t export_flush(struct export *x);
uint32_t export_trim(struct export *x, uint32_t len, uint64_t off);
/* fast: NBD_ENOTSUP where it could take as long as writing zeros; no_hole: the space is to be allocated. */
uint32_t export_zero(struct export *x, uint32_t len, uint64_t off, bool no_hole, bool fast);
/* How many bytes from `off` on read as zeros for certain (*zero), or are to be read; at least 1, at most `len`. */
uint32_t export_next(struct export *x, uint32_t len, uint64_t off, bool *zero);
/* At most `cap` runs of a context, from `off` on, inside `len`; neighbours differ. */
uint32_t export_status(struct export *x, enum export_context c, uint32_t len, uint64_t off, struct export_run *out, size_t cap,
                       size_t *n);

#endif
