/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One time through all disks: workers read, hash, compare with what is there, and send what differs. */
#ifndef CAPTURE_PASS_H
#define CAPTURE_PASS_H

#include "content.h"
#include "sink.h"

struct pass_disk {
	struct content *content;
	uint8_t (*have)[32];      /* [chunks]: what the other side has; all zeros: nothing */
	uint64_t chunks;
	uint64_t next;            /* chunks below are taken; this and the following are guarded by the pass's lock */
	struct ranges again;      /* of chunks, taken first */
	uint64_t done, sent, zero; /* bytes: of chunks that are through; of these sent as data; as zeros */
};

struct pass_counts {
	uint64_t done, total, sent, zero;
};

struct pass {
	struct pass_disk *disks;
	size_t n;
	struct sink *sink;
	unsigned workers;
	const volatile int *cancel;
	void (*tick)(void *ctx, struct pass *p, const struct pass_counts *now); /* some times a second, from the calling thread; may
	                                                                           be NULL */
	void *tick_ctx;
	void (*note)(const char *message); /* a connection that broke; from any thread; may be NULL */
	/* Private: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned running;
	bool failed;
	vdisk_error err;
};

/* Fills `have` from the other side. */
int pass_list(struct pass *p, size_t disk, vdisk_error *err);
/* All disks, from the first chunk to the last.  Everything was sent when it returns 0. */
int pass_run(struct pass *p, vdisk_error *err);
/* Of one disk what stands in `again`, or (`whole`) all of it; what is sent is added to what was. */
int pass_again(struct pass *p, size_t disk, bool whole, vdisk_error *err);
/* How far one disk is; from any thread while a pass runs. */
void pass_counts(struct pass *p, size_t disk, struct pass_counts *out);
/* The tree digest of what the other side has. */
int pass_digest(const struct pass_disk *d, uint8_t out[32], vdisk_error *err);

#endif
