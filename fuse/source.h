/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One state of a disk that the mount shows: the image itself, an ancestor in its chain, or an internal snapshot.  The first is
 * opened before the mount, the others when somebody looks.
 */
#ifndef VDISK_MOUNT_SOURCE_H
#define VDISK_MOUNT_SOURCE_H

#include "args.h"

#include <stdatomic.h>
#include <time.h>
#include <vdisk/vdisk.h>

struct source {
	vdisk_image *img;        /* NULL: not open */
	vdisk_volumes *volumes;  /* NULL: none */
	char *path, *format;     /* what to open; format NULL: by its bytes */
	char *snapshot;          /* "snapshot=ID", the option to open it with; NULL: the active state */
	const char *const *allow;
	uint32_t flags;          /* VDISK_OPEN_* */
	bool writable;
	bool fresh;              /* a layer that was made for this mount: goes away again if that fails */
	struct timespec mtime;   /* the image's, when it was opened; of an internal snapshot, when it was made */
	_Atomic uint64_t writes; /* calls that changed something */
	_Atomic int64_t written; /* the last one's time, ns since 1970; 0: none */
	struct source *next;     /* of all that the mount has */
};

/* NULL: out of memory.  Arguments are copied but for `allow`. */
struct source *source_new(const char *path, const char *format, const char *snapshot, const char *const *allow, uint32_t flags);

/* 0, also if it is open; or -1 with *err. */
int source_open(struct source *s, vdisk_error *err);
/* Closes the image, which may fail, and frees s whatever the result.  NULL is a no-op. */
int source_close(struct source *s, vdisk_error *err);
/* Call after each change. */
void source_touch(struct source *s);
struct timespec source_mtime(const struct source *s);

/* Where the library's warnings go: standard error, or the system's log once the mount is in the background. */
void say_open(bool background);
void say(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_log(void *ctx, enum vdisk_log_level level, const char *message);
/* Fill in *err; return -1. */
int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int fail_errno(vdisk_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fail_nomem(vdisk_error *err);

#endif
