/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a capture goes: a receiver over the network, or a folder or file here. */
#ifndef CAPTURE_SINK_H
#define CAPTURE_SINK_H

#include "common/ranges.h"

#include "transfer/transfer.h"

struct sink_disk {
	const char *name;
	uint64_t size;
	uint64_t have; /* out: chunks that are there already */
	struct transfer_pass last; /* out: of one that is whole, its last pass; ->pass is 0 where that is not known.
	                              transfer_pass_free() */
};

/* A chunk, or a run of chunks of zeros (bytes NULL). */
struct sink_item {
	uint64_t index;
	uint32_t count;
	uint8_t sha256[32]; /* count 1 */
	const uint8_t *bytes;
	size_t len;
};

/* What is to be sent next, asked for again and again: 1 with *item, whose bytes live until the next call; 0: no more; -1. */
typedef int (*sink_next_fn)(void *ctx, struct sink_item *item, vdisk_error *err);

#define SINK_AGAIN 1 /* of send(): not all of it may have arrived, and it is worth another try */

struct sink;
struct sink_ops {
	/* machine: its JSON.  `disks` are borrowed until close(). */
	int (*begin)(struct sink *s, const char *machine, struct sink_disk *disks, size_t n, vdisk_error *err);
	/* Of the chunks [from, from+n), all zeros: it is not there.  The following three from several threads, `worker` counts
	   them. */
	int (*digests)(struct sink *s, unsigned worker, size_t disk, uint64_t from, uint64_t n, uint8_t (*out)[32],
	               vdisk_error *err);
	/* 0: all that was asked for is there; SINK_AGAIN or -1 with *err. */
	int (*send)(struct sink *s, unsigned worker, size_t disk, sink_next_fn next, void *ctx, vdisk_error *err);
	/* Ends a pass over a disk.  SINK_AGAIN: the other side has something else; `differ` gets ranges of the chunks that it
	   lacks, perhaps none. */
	int (*pass)(struct sink *s, size_t disk, const struct transfer_pass *p, struct ranges *differ, vdisk_error *err);
	int (*complete)(struct sink *s, vdisk_error *err);
	void (*close)(struct sink *s);
};

struct sink {
	const struct sink_ops *ops;
	const char *where; /* for messages: what the capture is called there; set by begin() */
	bool found;        /* begin() found an incomplete one and goes on with it */
	bool whole;        /* which lacks nothing but what complete() does last: its name */
};

#endif
