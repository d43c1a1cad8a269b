/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of a cache: finding, loading, pinning, evicting.  What is written when stands in cache_write.c; the locks in
 * cache_table.h.
 *
 * A table is in the hash from the moment its load begins; it is in one of the two lists while nobody pins it: `clean` ones can go
 * at once, `unclean` ones after a write-back.  A table cannot become dirty while unpinned, so it never changes lists there.
 */
#include "io/cache_table.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>

#define MIN_TABLES 8

static size_t bucket_of(const struct vd_cache *c, uint64_t off)
{
	return (size_t)((off / c->table_bytes) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (c->n_buckets - 1);
}

static struct vd_table *hash_find(const struct vd_cache *c, uint64_t off)
{
	struct vd_table *t = c->bucket[bucket_of(c, off)];

	while (t && t->off != off)
		t = t->hash_next;
	return t;
}

/* Twice the buckets; without memory for them the chains grow longer. */
static void hash_grow(struct vd_cache *c)
{
	struct vd_table **old = c->bucket, *t, *next;
	size_t n = c->n_buckets;

	c->bucket = vd_calloc(n * 2, sizeof(*c->bucket));
	if (!c->bucket) {
		c->bucket = old;
		return;
	}
	c->n_buckets = n * 2;
	for (size_t i = 0; i < n; i++) {
		for (t = old[i]; t; t = next) {
			struct vd_table **b = &c->bucket[bucket_of(c, t->off)];

			next = t->hash_next;
			t->hash_next = *b;
			*b = t;
		}
	}
	vd_free(old);
}

static void hash_add(struct vd_cache *c, struct vd_table *t)
{
	struct vd_table **b;

	if (c->n_tables >= c->n_buckets)
		hash_grow(c);
	b = &c->bucket[bucket_of(c, t->off)];
	t->hash_next = *b;
	*b = t;
	c->n_tables++;
}

static void hash_remove(struct vd_cache *c, struct vd_table *t)
{
	struct vd_table **b = &c->bucket[bucket_of(c, t->off)];

	while (*b != t)
		b = &(*b)->hash_next;
	*b = t->hash_next;
	c->n_tables--;
}

static void list_add(struct table_list *l, struct vd_table *t)
{
	t->lru_prev = l->tail;
	t->lru_next = NULL;
	*(l->tail ? &l->tail->lru_next : &l->head) = t;
	l->tail = t;
}

static void list_remove(struct table_list *l, struct vd_table *t)
{
	*(t->lru_prev ? &t->lru_prev->lru_next : &l->head) = t->lru_next;
	*(t->lru_next ? &t->lru_next->lru_prev : &l->tail) = t->lru_prev;
}

static void mark_dirty(struct vd_cache *c, struct vd_table *t)
{
	t->dirty = true;
	t->dirty_prev = NULL;
	t->dirty_next = c->dirty;
	if (c->dirty)
		c->dirty->dirty_prev = t;
	c->dirty = t;
	atomic_fetch_add(&c->n_dirty, 1);
}

void vd_cache_mark_clean(struct vd_cache *c, struct vd_table *t)
{
	t->dirty = false;
	*(t->dirty_prev ? &t->dirty_prev->dirty_next : &c->dirty) = t->dirty_next;
	if (t->dirty_next)
		t->dirty_next->dirty_prev = t->dirty_prev;
	atomic_fetch_sub(&c->n_dirty, 1);
}

static void table_free(struct vd_table *t)
{
	vd_free(t->aux);
	vd_free(t->data);
	vd_free(t);
}

static struct vd_table *table_new(const struct vd_cache *c)
{
	struct vd_table *t = vd_calloc(1, sizeof(*t));

	if (t)
		t->data = vd_aligned(c->table_bytes >= 4096 ? 4096 : 64, c->table_bytes);
	if (t && !t->data) {
		vd_free(t);
		t = NULL;
	}
	return t;
}

void vd_cache_pin(struct vd_cache *c, struct vd_table *t)
{
	if (!t->pins++)
		list_remove(t->dirty ? &c->unclean : &c->clean, t);
}

void vd_cache_unpin(struct vd_cache *c, struct vd_table *t)
{
	assert(t->pins);
	if (--t->pins)
		return;
	if (c->n_tables > c->max_tables && !t->dirty) { /* room was made over the limit while all were pinned */
		hash_remove(c, t);
		table_free(t);
		return;
	}
	list_add(t->dirty ? &c->unclean : &c->clean, t);
}

/* A table outside the hash, from the least recently used one or new; NULL with *err.  Called and returns with `lock` held, but may
   let go of it in between. */
static struct vd_table *table_obtain(struct vd_cache *c, vd_error *err)
{
	struct vd_table *t;

	/* Early enough that tables which are only read keep a quarter of the room. */
	if (c->n_tables >= c->max_tables &&
	    (atomic_load(&c->n_dirty) >= c->max_tables - c->max_tables / 4 || (!c->clean.head && c->unclean.head))) {
		pthread_mutex_unlock(&c->lock);
		if (vd_cache_write_dirty(c, false, err)) {
			pthread_mutex_lock(&c->lock);
			return NULL;
		}
		pthread_mutex_lock(&c->lock);
	}
	while (c->n_tables > c->max_tables && (t = c->clean.head)) {
		list_remove(&c->clean, t);
		hash_remove(c, t);
		table_free(t);
	}
	t = c->clean.head;
	if (c->n_tables >= c->max_tables && t) {
		list_remove(&c->clean, t);
		hash_remove(c, t);
		vd_free(t->aux);
		t->aux = NULL;
		return t;
	}
	t = table_new(c); /* all that fill the room are pinned: over the limit, until they are put back */
	if (!t)
		vd_fail_nomem(err, sizeof(*t) + c->table_bytes);
	return t;
}

static int table_load(struct vd_cache *c, struct vd_table *t, bool tail_ok, vd_error *err)
{
	size_t got;

	if (vd_file_pread_some(c->file, t->data, c->table_bytes, t->off, &got, err))
		return -1;
	if (got < c->table_bytes && !tail_ok)
		return vd_fail(err, VDISK_CORRUPT, t->off,
		               "%s: cut short: the table of %" PRIu32 " bytes at offset %" PRIu64 " reaches past the end (%" PRIu64
		               ")",
		               c->file->name, c->table_bytes, t->off, vd_file_size(c->file));
	memset(t->data + got, 0, c->table_bytes - got);
	return 0;
}

/* Under `lock`: pins what the hash holds at `off`, once it is loaded.  NULL: nothing there (any more). */
static struct vd_table *table_find(struct vd_cache *c, uint64_t off)
{
	struct vd_table *t = hash_find(c, off);

	if (!t)
		return NULL;
	vd_cache_pin(c, t);
	while (t->state == TABLE_LOADING)
		pthread_cond_wait(&c->loaded, &c->lock);
	if (t->state == TABLE_READY)
		return t;
	if (!--t->pins) /* failed, out of the hash: the last one frees it; whoever still wants it tries anew */
		table_free(t);
	return NULL;
}

static void table_forget(struct vd_cache *c, struct vd_table *t)
{
	list_remove(t->dirty ? &c->unclean : &c->clean, t);
	hash_remove(c, t);
	if (t->dirty)
		vd_cache_mark_clean(c, t);
	table_free(t);
}

/* Under `lock`, with t pinned by the caller: t serves as a table of that rank.  A clean one that nobody else holds is dropped (*t
   NULL), to be loaded anew with no `aux` of the other kind; otherwise the image uses one place for two things. */
static int table_rank_check(struct vd_cache *c, struct vd_table **t, unsigned rank, vd_error *err)
{
	uint64_t off = (*t)->off;
	bool drop = (*t)->pins == 1 && !(*t)->dirty;

	if ((*t)->rank == rank)
		return 0;
	vd_cache_unpin(c, *t);
	*t = NULL;
	if (!drop)
		return vd_fail(err, VDISK_CORRUPT, off, "%s: two kinds of tables share the place at offset %" PRIu64, c->file->name,
		               off);
	*t = hash_find(c, off);
	if (*t)
		table_forget(c, *t);
	*t = NULL;
	return 0;
}

static int cache_fetch(struct vd_cache *c, uint64_t off, unsigned rank, bool tail_ok, struct vd_table **out, vd_error *err)
{
	struct vd_table *t, *spare = NULL;
	int r;

	for (;;) {
		t = table_find(c, off);
		if (t && table_rank_check(c, &t, rank, err))
			return -1;
		if (t) {
			*out = t;
			return 0;
		}
		if (hash_find(c, off))
			continue;
		spare = table_obtain(c, err);
		if (!spare)
			return -1;
		if (!hash_find(c, off)) /* table_obtain() may have let go of the lock */
			break;
		table_free(spare);
	}
	t = spare;
	t->off = off;
	t->rank = rank;
	t->dirty = false;
	t->pins = 1;
	t->state = TABLE_LOADING;
	hash_add(c, t);
	pthread_mutex_unlock(&c->lock);
	r = table_load(c, t, tail_ok, err);
	pthread_mutex_lock(&c->lock);
	t->state = r ? TABLE_FAILED : TABLE_READY;
	pthread_cond_broadcast(&c->loaded);
	if (!r) {
		*out = t;
		return 0;
	}
	hash_remove(c, t);
	if (!--t->pins)
		table_free(t);
	return -1;
}

int vd_cache_get(struct vd_cache *c, uint64_t off, unsigned rank, bool tail_ok, struct vd_table **out, vd_error *err)
{
	int r;

	assert(rank < VD_CACHE_RANKS);
	pthread_mutex_lock(&c->lock);
	r = cache_fetch(c, off, rank, tail_ok, out, err);
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Under `lock`, and the layer's exclusive lock: nobody else brings a table in meanwhile. */
static int cache_fetch_new(struct vd_cache *c, uint64_t off, unsigned rank, struct vd_table **out, vd_error *err)
{
	struct vd_table *t = hash_find(c, off);

	if (t && t->pins)
		return vd_fail(err, VDISK_CORRUPT, off, "%s: a table in use lies where a new one goes, at offset %" PRIu64,
		               c->file->name, off);
	if (t)
		table_forget(c, t);
	t = table_obtain(c, err);
	if (!t)
		return -1;
	t->off = off;
	t->rank = rank;
	t->pins = 1;
	t->state = TABLE_READY;
	memset(t->data, 0, c->table_bytes);
	hash_add(c, t);
	mark_dirty(c, t);
	*out = t;
	return 0;
}

int vd_cache_new_table(struct vd_cache *c, uint64_t off, unsigned rank, struct vd_table **out, vd_error *err)
{
	int r;

	assert(rank < VD_CACHE_RANKS);
	pthread_mutex_lock(&c->lock);
	r = cache_fetch_new(c, off, rank, out, err);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void vd_cache_dirty(struct vd_cache *c, struct vd_table *t)
{
	pthread_mutex_lock(&c->lock);
	assert(t->pins);
	if (!t->dirty)
		mark_dirty(c, t);
	pthread_mutex_unlock(&c->lock);
}

void vd_cache_put(struct vd_cache *c, struct vd_table *t)
{
	pthread_mutex_lock(&c->lock);
	vd_cache_unpin(c, t);
	pthread_mutex_unlock(&c->lock);
}

void vd_cache_forget(struct vd_cache *c, uint64_t off)
{
	struct vd_table *t;

	pthread_mutex_lock(&c->lock);
	t = hash_find(c, off);
	if (t && !t->pins) /* pinned: an image that uses one place twice; what is in use stays */
		table_forget(c, t);
	pthread_mutex_unlock(&c->lock);
}

void vd_cache_need_barrier(struct vd_cache *c)
{
	atomic_store(&c->barrier, true);
}

int vd_cache_write_back(struct vd_cache *c, vd_error *err)
{
	return vd_cache_write_dirty(c, true, err);
}

bool vd_cache_is_dirty(const struct vd_cache *c)
{
	return atomic_load(&((struct vd_cache *)(uintptr_t)c)->n_dirty) != 0;
}

void vd_cache_set_relaxed(struct vd_cache *c, bool relaxed)
{
	atomic_store(&c->relaxed, relaxed);
}

void vd_cache_set_log(struct vd_cache *c, vd_cache_log_fn fn, void *ctx, size_t max)
{
	c->log = fn;
	c->log_ctx = ctx;
	c->log_max = max;
}

int vd_cache_new(struct vd_file *file, struct vd_file *data_file, uint32_t table_bytes, uint64_t max_bytes, struct vd_cache **out,
                 vd_error *err)
{
	struct vd_cache *c = vd_calloc(1, sizeof(*c));

	assert(table_bytes);
	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	c->n_buckets = 64;
	c->bucket = vd_calloc(c->n_buckets, sizeof(*c->bucket));
	if (!c->bucket) {
		vd_free(c);
		return vd_fail_nomem(err, 64 * sizeof(*c->bucket));
	}
	c->file = file;
	c->data_file = data_file == file ? NULL : data_file;
	c->table_bytes = table_bytes;
	c->max_tables = (size_t)vd_max(max_bytes / table_bytes, MIN_TABLES);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->writing, NULL);
	pthread_cond_init(&c->loaded, NULL);
	*out = c;
	return 0;
}

void vd_cache_free(struct vd_cache *c)
{
	struct vd_table *t, *next;

	if (!c)
		return;
	for (size_t i = 0; i < c->n_buckets; i++) {
		for (t = c->bucket[i]; t; t = next) {
			next = t->hash_next;
			table_free(t);
		}
	}
	vd_free(c->bucket);
	pthread_cond_destroy(&c->loaded);
	pthread_mutex_destroy(&c->writing);
	pthread_mutex_destroy(&c->lock);
	vd_free(c);
}
