/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk of the machine, read around what cannot be read.
 *
 * Devices are read past the page cache: what a file system writes to its partition's device does not show through the cache of the
 * whole disk's.
 */
#ifndef CAPTURE_DISK_H
#define CAPTURE_DISK_H

#include "common/ranges.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include "transfer/transfer.h"

#define DISK_ALIGN 4096u /* of buffers, offsets and lengths */

struct disk {
	char name[TRANSFER_NAME_MAX + 1];
	char path[PATH_MAX];
	char kernel[64];          /* as it is called in /sys/block, or a partition of one; "": a file */
	char sys[PATH_MAX];       /* its folder below /sys, which goes when the disk does; "": none */
	int fd;
	bool device;              /* else a file */
	uint64_t size;            /* bytes, when it was opened */
	unsigned sector;          /* the smallest piece that is read */
	unsigned retries;         /* of a sector that cannot be read */
	pthread_mutex_t lock;     /* guards `bad` */
	struct ranges bad;        /* could not be read when it was last tried; sorted */
	void (*said)(const char *path, uint64_t off, uint64_t len); /* of each range that is given up, from any thread; may be
	                                                               NULL */
	/* Asked when it could not be read, from any thread; -1: nothing in it is worth anything now, as of a snapshot that has run
	   full.  May be NULL. */
	int (*judge)(const struct disk *d, void *ctx, vdisk_error *err);
	void *judge_ctx;
};

/* path: a block device or a file.  0, or -1; closed by disk_close() only where it was opened. */
int disk_open(struct disk *d, const char *path, vdisk_error *err);
void disk_close(struct disk *d);
/* Inside the disk, aligned to its sectors but for the disk's end, `buf` to its `sector`.  Sectors that cannot be read are zeros and
   stand in d->bad.  -1: the disk has vanished or become shorter, or another error than of its medium. */
int disk_read(struct disk *d, void *buf, size_t len, uint64_t off, vdisk_error *err);
/* What the kernel has cached of the device is forgotten, for programs that read it by the cache. */
void disk_forget(struct disk *d);
/* It holds the capture ISO. */
bool disk_is_iso(const struct disk *d);
/* A copy of the list of bad ranges.  -1: out of memory. */
int disk_bad(struct disk *d, struct ranges *out);

#endif
