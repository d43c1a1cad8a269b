/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a cache's dirty tables, in the order that cache.h promises (its rules 1, 2, 4 and 5 are kept here).
 *
 * Whoever writes holds the layer's lock, shared or exclusive, so no content changes underneath; `writing` keeps two of them apart.
 * The tables are pinned for the time, so none goes away.  One that could not be written stays dirty.
 */
#include "io/cache_table.h"
#include "base/alloc.h"
#include "base/zero.h"

#include <stdlib.h>

#define RUN_MAX 64 /* tables in one write */

struct batch {
	struct vd_table **t;
	size_t n;
};

static int table_order(const void *a, const void *b)
{
	const struct vd_table *x = *(struct vd_table *const *)a, *y = *(struct vd_table *const *)b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Pins all that is dirty, sorted by rank and place. */
static int batch_take(struct vd_cache *c, struct batch *b, vd_error *err)
{
	size_t want;

	b->n = 0;
	pthread_mutex_lock(&c->lock);
	want = atomic_load(&c->n_dirty);
	b->t = want ? vd_malloc(want * sizeof(struct vd_table *)) : NULL;
	if (want && !b->t) {
		pthread_mutex_unlock(&c->lock);
		return vd_fail_nomem(err, want * sizeof(struct vd_table *));
	}
	for (struct vd_table *t = c->dirty; t; t = t->dirty_next) {
		vd_cache_pin(c, t);
		b->t[b->n++] = t;
	}
	pthread_mutex_unlock(&c->lock);
	if (b->n)
		qsort(b->t, b->n, sizeof(struct vd_table *), table_order);
	return 0;
}

static void batch_drop(struct vd_cache *c, struct batch *b, size_t written)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < b->n; i++) {
		if (i < written)
			vd_cache_mark_clean(c, b->t[i]);
		vd_cache_unpin(c, b->t[i]);
	}
	pthread_mutex_unlock(&c->lock);
	vd_free(b->t);
}

/* Makes durable what was written to the file, and where it holds the data too, those. */
static int file_flush(struct vd_cache *c, vd_error *err)
{
	if (vd_file_flush(c->file, err))
		return -1;
	c->unflushed = 0;
	if (!c->data_file)
		atomic_store(&c->barrier, false);
	return 0;
}

static int data_flush(struct vd_cache *c, vd_error *err)
{
	if (!c->data_file)
		return file_flush(c, err);
	if (vd_file_flush(c->data_file, err))
		return -1;
	atomic_store(&c->barrier, false);
	return 0;
}

/* What must be durable before a table of this rank is written. */
static int rank_barrier(struct vd_cache *c, unsigned rank, vd_error *err)
{
	if (atomic_load(&c->relaxed))
		return 0;
	if ((c->unflushed & ((1u << rank) - 1)) && file_flush(c, err))
		return -1;
	if (rank >= 2 && atomic_load(&c->barrier) && data_flush(c, err))
		return -1;
	return 0;
}

/* A table of zeros past the end of a file that grows with zeros needs no writing, only the room. */
static bool is_new_hole(const struct vd_cache *c, const struct vd_table *t)
{
	return (c->file->flags & VD_FILE_ZERO_TAIL) && t->off >= vd_file_size(c->file) && vd_is_zero(t->data, c->table_bytes);
}

/* Writes the tables that join up from t[0] on; *n: how many. */
static int run_write(struct vd_cache *c, struct vd_table *const *t, size_t left, size_t *n, vd_error *err)
{
	struct iovec iov[RUN_MAX];
	bool hole = is_new_hole(c, t[0]);
	size_t k = 0;

	while (k < left && k < RUN_MAX && t[k]->rank == t[0]->rank && t[k]->off == t[0]->off + k * c->table_bytes &&
	       (!k || is_new_hole(c, t[k]) == hole)) {
		iov[k] = (struct iovec){t[k]->data, c->table_bytes};
		k++;
	}
	*n = k;
	if (hole)
		return vd_file_zero(c->file, t[0]->off, (uint64_t)k * c->table_bytes, true, err);
	return vd_file_pwritev(c->file, iov, (int)k, t[0]->off, err);
}

static int batch_write(struct vd_cache *c, const struct batch *b, size_t *written, vd_error *err)
{
	size_t n;

	for (*written = 0; *written < b->n; *written += n) {
		struct vd_table *const *t = b->t + *written;

		if (rank_barrier(c, t[0]->rank, err))
			return -1;
		c->unflushed |= 1u << t[0]->rank; /* also if it fails: part of it may have gone out */
		if (run_write(c, t, b->n - *written, &n, err))
			return -1;
	}
	return 0;
}

/* By groups through the log. */
static int batch_log(struct vd_cache *c, const struct batch *b, size_t *written, vd_error *err)
{
	*written = 0;
	while (*written < b->n) {
		size_t group = *written + c->log_max < b->n ? c->log_max : b->n - *written, done = 0, n;

		if (c->log(c->log_ctx, b->t + *written, group, err))
			return -1;
		atomic_store(&c->barrier, false);
		for (; done < group; done += n)
			if (run_write(c, b->t + *written + done, group - done, &n, err))
				return -1;
		*written += group;
	}
	return 0;
}

int vd_cache_write_dirty(struct vd_cache *c, bool durable, vd_error *err)
{
	struct batch b;
	size_t written;
	bool logged = c->log && !atomic_load(&c->relaxed);
	int r;

	pthread_mutex_lock(&c->writing);
	r = batch_take(c, &b, err);
	if (!r) {
		r = logged ? batch_log(c, &b, &written, err) : batch_write(c, &b, &written, err);
		durable = durable && !(logged && b.n); /* what the log has is */
		batch_drop(c, &b, written);
	}
	if (!r && durable && !atomic_load(&c->relaxed)) {
		r = file_flush(c, err);
		if (!r && c->data_file)
			r = data_flush(c, err);
	}
	pthread_mutex_unlock(&c->writing);
	return r;
}
