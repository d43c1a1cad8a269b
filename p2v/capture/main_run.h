/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The passes of a capture. */
#ifndef CAPTURE_MAIN_RUN_H
#define CAPTURE_MAIN_RUN_H

#include "live.h"
#include "main_machine.h"
#include "pass.h"
#include "snap.h"

struct run_disk {
	struct content content;
	struct transfer_pass last;      /* its last pass; bad is the list's own */
	uint64_t sent, zero;            /* bytes: in all passes */
	struct { size_t snap; char name[2 * LVM_NAME]; } snapped[64]; /* volumes that its last pass read from snapshots */
	size_t n_snapped;
};

struct run {
	const struct options *o;
	const struct chosen *chosen;
	struct sink *sink;
	struct sink_disk *sinks;
	struct live live;
	struct snaps snaps;
	bool snaps_failed;              /* one has run full: no more of them */
	struct run_disk *disks;
	struct pass pass;
	unsigned passes, done;
	const volatile int *cancel;
};

/* After the sink has begun.  run_free() also after a failure. */
int run_open(struct run *r, vdisk_error *err);
/* In its place where the sink found one that is whole: what its last passes said, for the report. */
int run_found(struct run *r, vdisk_error *err);
/* All passes. */
int run_passes(struct run *r, vdisk_error *err);
void run_free(struct run *r);

#endif
