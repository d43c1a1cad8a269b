/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DISK.leaves in a capture's folder: the digest of each chunk of the image beside it that is known to be durable, 32 bytes each;
 * all zeros: not known.  The rules that make it trustworthy after a crash are the writer's:
 *   L1. a digest is noted only after the image's bytes are durable (vdisk_flush());
 *   L2. before a chunk with a digest is overwritten, the digest is forgotten, durably.
 * Safe from many threads, as pread() and pwrite() are; who writes to one chunk from several threads has to agree with himself.
 */
#ifndef TRANSFER_LEAVES_H
#define TRANSFER_LEAVES_H

#include "transfer.h"

struct transfer_leaves {
	int fd;          /* -1: closed */
	uint64_t size;   /* of the disk */
	uint64_t chunks;
};

/* Opens the list in the folder `dir`, or with `make` a new one, of a disk of `size` bytes.  One of another length is
   VDISK_CORRUPT. */
int transfer_leaves_open(struct transfer_leaves *l, int dir, const char *name, uint64_t size, bool make, vdisk_error *err);
void transfer_leaves_close(struct transfer_leaves *l);
int transfer_leaves_read(const struct transfer_leaves *l, uint64_t from, uint64_t n, uint8_t (*out)[32], vdisk_error *err);
/* L1 */
int transfer_leaves_note(const struct transfer_leaves *l, uint64_t from, uint64_t n, const uint8_t (*leaves)[32], vdisk_error *err);
/* durable when it returns: L2 */
int transfer_leaves_forget(const struct transfer_leaves *l, uint64_t from, uint64_t n, vdisk_error *err);
/* The first chunk from `at` on that may have one, or the number of chunks: in a hole of the file there are none. */
uint64_t transfer_leaves_skip(const struct transfer_leaves *l, uint64_t at);
/* How many there are. */
int transfer_leaves_count(const struct transfer_leaves *l, uint64_t *n, vdisk_error *err);
/* The tree digest of the disk; *missing: how many chunks have none, then it is not the disk's. */
int transfer_leaves_digest(const struct transfer_leaves *l, uint8_t digest[32], uint64_t *missing, vdisk_error *err);
/* Writes the disk's manifest (vdisk-digest(5)) into the folder, durably.  All chunks have to be there. */
int transfer_leaves_manifest(const struct transfer_leaves *l, int dir, const char *name, vdisk_error *err);

#endif
