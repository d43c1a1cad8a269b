/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One state of a disk that the mount shows: the image itself, an ancestor in its chain, or an internal snapshot.  The first is
 * opened before the mount, the others when somebody looks.
 */
#ifndef VDISK_MOUNT_STATE_H
#define VDISK_MOUNT_STATE_H

#include "args.h"
#include "common/fail.h"
#include "common/say.h"

#include <stdatomic.h>
#include <time.h>
#include <vdisk/vdisk.h>

struct state {
	vdisk_image *img;        /* NULL: not open */
	vdisk_volumes *volumes;  /* NULL: none */
	char *path, *format;     /* what to open; format NULL: by its bytes */
	char *snapshot;          /* "snapshot=ID", the option to open it with; NULL: the active state */
	const char *const *allow;
	uint32_t flags;          /* VDISK_OPEN_* */
	const volatile int *cancel; /* vdisk_open()'s */
	bool writable;
	bool fresh;              /* a layer that was made for this mount: goes away again if that fails */
	struct timespec mtime;   /* the image's, when it was opened; of an internal snapshot, when it was made */
	_Atomic uint64_t writes; /* calls that changed something */
	_Atomic int64_t written; /* the last one's time, ns since 1970; 0: none */
	struct state *next;     /* of all that the mount has */
};

/* NULL: out of memory.  Arguments are copied but for `allow`. */
struct state *state_new(const char *path, const char *format, const char *snapshot, const char *const *allow, uint32_t flags);

/* Takes an image that is open already. */
void state_take(struct state *s, vdisk_image *img);
/* 0, also if it is open; or -1 with *err. */
int state_open(struct state *s, vdisk_error *err);
/* Closes the image, which may fail, and frees s whatever the result.  NULL is a no-op. */
int state_close(struct state *s, vdisk_error *err);
/* Call after each change. */
void state_touch(struct state *s);
struct timespec state_mtime(const struct state *s);

#endif
