/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a disk must hold: a flat array of what was written last, and the list of changes in order, each with the moment from which
 * it may show and the moment from which it must.  Moments are any ascending numbers: crash tests use the clock of the crash
 * files, others count their own.
 *
 * A byte is right at moment `at` if it equals that of a change that may have begun by then, with no later change that is certain by
 * then, or else what was there at first.  A change that failed is never certain, nor is a discard, which leaves each byte as it
 * was or zero.
 */
#ifndef T_MODEL_H
#define T_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define T_NEVER UINT64_MAX
#define T_LIVE  (UINT64_MAX - 1) /* as a moment: the image is still open, what was done is certain */

struct t_change {
	uint64_t off, len;
	uint8_t *data;      /* NULL: zeros */
	bool may;           /* discard, or it failed: the old bytes are right too */
	uint64_t begun;     /* when it was asked for */
	uint64_t certain;   /* when the flush after it was done; T_NEVER so far */
};

struct t_model {
	uint64_t size;
	uint8_t *first;     /* what the disk held before the first change kept */
	uint8_t *now;       /* after every change that is certain or done; what a discard left is the test's to put in */
	struct t_change *change;
	size_t n, cap;
	/* As of the moment sure_at, of the first sure_n changes: `first` with the certain ones put in, and with all that had
	   begun. */
	uint8_t *sure, *newest;
	uint64_t sure_at;
	size_t sure_n;
};

void t_model_init(struct t_model *m, uint64_t size);
void t_model_free(struct t_model *m);
void t_model_resize(struct t_model *m, uint64_t size);
/* Puts the change into `now`, and into the list if `keep`; data NULL: zeros.  Returns its index in the list. */
size_t t_model_change(struct t_model *m, uint64_t off, uint64_t len, const void *data, bool keep, uint64_t begun);
/* The change i is not known to have been done. */
void t_model_unsure(struct t_model *m, size_t i);
/* A flush that began after the first `n` changes were done has succeeded. */
void t_model_flushed(struct t_model *m, size_t n, uint64_t at);
/* Forgets the list: `now` is the truth. */
void t_model_settle(struct t_model *m);
/* Whether all bytes are right at the moment; if not, *bad is the first that is not. */
bool t_model_right(struct t_model *m, const uint8_t *disk, uint64_t off, uint64_t len, uint64_t at, uint64_t *bad);

#endif
