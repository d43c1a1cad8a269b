/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One disk that is being received: its image, the digests of what is durable, and what is on its way there.  Safe from many
   threads. */
#ifndef RECEIVE_DISK_H
#define RECEIVE_DISK_H

#include "transfer/leaves.h"
#include "transfer/state.h"

#define DISK_DIFFER_MAX 4096u

struct disk;

struct disk_place { /* where it lies; must outlive the disk */
	int dir;            /* the capture's folder */
	const char *folder; /* its path: does not change while the disk is there */
	const char *format;
};

/* Makes the image and the empty list in the folder; disk_open() is the next.  SOURCE: a new folder. */
int disk_make(const struct disk_place *at, const struct transfer_state_disk *d, vdisk_error *err);
/* Returns owned.  The image itself is opened when it is first needed. */
int disk_open(const struct disk_place *at, const struct transfer_state_disk *d, struct disk **out, vdisk_error *err);
/* Closes it.  What was not flushed is not noted, unless it could be now. */
void disk_free(struct disk *d);

/* Chunks that were received and checked: `bytes` is the chunk of a record of DATA or ZSTD.  Written when it returns, and noted some
   time later. */
int disk_put(struct disk *d, const struct transfer_record *r, const void *bytes, size_t len, vdisk_error *err);
int disk_zero(struct disk *d, uint64_t index, uint64_t count, vdisk_error *err);
int disk_digests(struct disk *d, uint64_t from, uint64_t n, uint8_t (*out)[32], vdisk_error *err);
/* All that was written becomes durable and noted. */
int disk_flush(struct disk *d, vdisk_error *err);
/* From time to time: flushes what has waited, closes an image that nobody has used for long. */
void disk_tend(struct disk *d);

struct disk_differ {
	uint64_t from, count;
};
/* The sender has been through the disk.  1: it is as it says, and noted; 0: it is not, and *n of `differ` (DISK_DIFFER_MAX of them)
   are missing; -1 with *err. */
int disk_pass(struct disk *d, const struct transfer_pass *p, struct disk_differ *differ, size_t *n, vdisk_error *err);
/* 1: it is what its last pass said; 0: it is not. */
int disk_whole(struct disk *d, vdisk_error *err);
/* Closes the image for good and leaves the manifest. */
int disk_seal(struct disk *d, vdisk_error *err);

struct disk_facts {
	uint64_t chunks, have; /* noted */
	unsigned pass;         /* the last that was good; 0: none.  Then: */
	bool frozen;
	uint8_t digest[32];
	uint64_t bad_bytes, skipped;
	size_t bad;
};
void disk_facts(struct disk *d, struct disk_facts *out);

#endif
