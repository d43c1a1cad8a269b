/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One machine's capture, from its beginning on.  Safe from many threads; the store holds it as long as it lives.
 *
 * What is asked for is answered with an HTTP status: below 400 it was done, else *err has the line for the client.
 */
#ifndef RECEIVE_CAPTURE_H
#define RECEIVE_CAPTURE_H

#include "disk.h"
#include "rate.h"
#include "steps.h"

#include <limits.h>
#include <pthread.h>

#define CAPTURE_BUSY_MS 10000 /* a client that was heard of so long ago, and has a request open, is alive */

enum capture_state { CAPTURE_RECEIVING, CAPTURE_WHOLE, CAPTURE_GONE };

struct capture {
	struct capture *next;   /* the store's */
	unsigned refs;          /* the store's */
	bool removed;           /* the store's: not in its list any more */
	struct store *store;
	/* Fixed while it is not whole: */
	int dir;                /* -1: of one that is whole */
	char folder[PATH_MAX];  /* its path */
	struct disk_place place;
	struct disk *disks[TRANSFER_DISKS_MAX]; /* while there are requests or the lock is held */
	pthread_mutex_t lock;   /* guards what follows, and st but for its id, format and disks, which are fixed; before a disk's */
	struct disk_facts facts[TRANSFER_DISKS_MAX]; /* of one that is whole */
	pthread_cond_t quiet;   /* requests went down */
	struct transfer_state st;
	enum capture_state state;
	unsigned requests;      /* under way that change something */
	bool closing;           /* it is being completed or given up: no further ones */
	int64_t heard_ms;       /* bytes of the client's, last; 0: not since we run */
	uint64_t received;      /* bytes of bodies since we run */
	struct rate wire, progress; /* bytes of bodies; of the disks */
	struct steps steps;     /* of the work under way */
	uint64_t noted;         /* chunks, when progress was last told of */
};

/* One line more in the capture's log, with the time. */
void capture_log(struct capture *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A request that sends something begins, and ends.  Status: 200, or 401 of a secret that is not the capture's, 404, 409, 503. */
unsigned capture_enter(struct capture *c, const uint8_t secret[32], vdisk_error *err);
void capture_leave(struct capture *c);
/* So many bytes of a body have come. */
void capture_heard(struct capture *c, size_t bytes);
bool capture_secret_is(struct capture *c, const uint8_t secret[32]);
/* It is whole, and the secret was its. */
bool capture_whole(struct capture *c, const uint8_t secret[32]);
/* NULL: none. */
struct disk *capture_disk(struct capture *c, const char *name, size_t len);

/* Within capture_enter() and _leave(). */
unsigned capture_complete(struct capture *c, vdisk_error *err);
unsigned capture_abandon(struct capture *c, vdisk_error *err);
/* What the follow-up work has come to; replaces it (takes `work`), durably. */
int capture_work_set(struct capture *c, json_object *work, vdisk_error *err);

struct capture *capture_new(struct store *store); /* NULL: out of memory */
void capture_free(struct capture *c);
/* With st, folder, dir set: of one that is incomplete.  All of them or none. */
int capture_disks_open(struct capture *c, vdisk_error *err);
/* Of one that is whole. */
int capture_facts_load(struct capture *c, vdisk_error *err);
/* The end of capture_complete(), which a crash may have kept from happening: the folder gets its name. */
int capture_settle(struct capture *c, vdisk_error *err);
/* From time to time. */
void capture_tend(struct capture *c);

#endif
