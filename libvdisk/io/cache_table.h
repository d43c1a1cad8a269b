/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of a vd_cache; for io/cache*.c alone. */
#ifndef VD_IO_CACHE_TABLE_H
#define VD_IO_CACHE_TABLE_H

#include "io/cache.h"

#include <pthread.h>

enum { TABLE_READY, TABLE_LOADING, TABLE_FAILED };

/* Unpinned tables, least recently used first. */
struct table_list { struct vd_table *head, *tail; };

/*
 * `lock` guards the hash, the lists, and pins, state, rank and dirty of every table; `loaded` is signalled when a table leaves
 * LOADING.  `writing` is held by whoever writes back, over its I/O; order: writing → lock.  Content and the change of `dirty` to
 * true are guarded by the layer's lock (cache.h).
 */
struct vd_cache {
	struct vd_file *file, *data_file; /* data_file NULL: the same */
	uint32_t table_bytes;
	size_t max_tables;
	_Atomic bool relaxed;
	vd_cache_log_fn log;      /* rule 5; NULL: none */
	void *log_ctx;
	size_t log_max;
	_Atomic bool barrier;     /* data was written to data_file that no flush has covered */
	_Atomic size_t n_dirty;
	unsigned unflushed;       /* bit r: tables of rank r were written since the last flush of `file`; guarded by `writing` */
	pthread_mutex_t lock, writing;
	pthread_cond_t loaded;
	struct vd_table **bucket;
	size_t n_buckets, n_tables; /* n_buckets: a power of two */
	struct table_list clean, unclean;
	struct vd_table *dirty; /* all dirty ones, pinned or not */
};

/* cache_write.c: everything dirty, in order; `durable`: and the last of it flushed.  Takes `writing`; called without `lock`. */
int vd_cache_write_dirty(struct vd_cache *c, bool durable, vd_error *err);
/* cache.c, under `lock`. */
void vd_cache_pin(struct vd_cache *c, struct vd_table *t);
void vd_cache_unpin(struct vd_cache *c, struct vd_table *t);
void vd_cache_mark_clean(struct vd_cache *c, struct vd_table *t);

#endif
