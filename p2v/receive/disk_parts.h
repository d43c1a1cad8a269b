/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk's insides, for disk.c (writing and noting), disk_image.c and disk_pass.c. */
#ifndef RECEIVE_DISK_PARTS_H
#define RECEIVE_DISK_PARTS_H

#include "disk.h"

#include <pthread.h>

#define SLOTS      256u
#define ZEROS_MAX  4096u /* chunks of zeros in one slot */

enum slot_state { SLOT_FREE, SLOT_WRITING, SLOT_WRITTEN, SLOT_FLUSHING };

struct slot {
	enum slot_state state;
	bool zeros;
	uint64_t index, count; /* chunks */
	uint8_t sha256[32];    /* of the one, where they are not zeros */
};

struct disk {
	const struct disk_place *at;
	char name[TRANSFER_NAME_MAX + 1];
	uint64_t size, chunks;
	struct transfer_leaves leaves;
	uint8_t last_zero[32];  /* digest of the last chunk if it were zeros */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	vdisk_image *img;       /* NULL: not open */
	unsigned users;         /* who use it now */
	bool doubtful;          /* it was not closed well: leaks are looked for when it is opened */
	bool broken;            /* an error: not used any more, and closed by the last user */
	bool sealed;
	int64_t used_at, written_at; /* the last use; the first of what is written and not noted */
	struct slot slots[SLOTS];
	unsigned written;       /* slots in this state */
	bool flushing;
	uint64_t have;
	struct transfer_pass pass;
};

/* Each with the lock. */
int disk_image_use(struct disk *d, vdisk_error *err); /* may wait; nobody closes it until disk_image_unuse() */
void disk_image_unuse(struct disk *d);
/* It failed: what is written and not noted is forgotten, since nobody knows what of it is durable. */
void disk_image_break(struct disk *d);
int disk_image_close(struct disk *d, vdisk_error *err); /* without users */
/* On return nothing is in FLUSHING, and what was written before is noted. */
int disk_flush_locked(struct disk *d, vdisk_error *err);

#endif
