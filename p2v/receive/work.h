/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done with captures that are whole, one after the other, by a thread of its own. */
#ifndef RECEIVE_WORK_H
#define RECEIVE_WORK_H

#include "store.h"

struct work_options {
	const char *adapt, *convert;  /* target and format; NULL: not asked for */
	const char *drivers, *expect, *engine, *timeout;
	bool verify;
};

/* Called from the thread: a capture's work ended, or there was none to do.  `o` is view_capture()'s. */
typedef void (*work_done_fn)(void *ctx, struct capture *c, json_object *o);

struct work;

bool work_wanted(const struct work_options *o);
/* The programs that it takes are there. */
int work_judge(const struct work_options *o, vdisk_error *err);
int work_start(struct store *s, const struct work_options *o, work_done_fn done, void *ctx, struct work **out, vdisk_error *err);
/* What runs is ended, and begun anew the next time. */
void work_stop(struct work *w);
/* 0 done (booted, if that was asked), 1 it did not boot, 2 trouble. */
int work_verdict(struct capture *c);

#endif
