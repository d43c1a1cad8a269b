/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metadata cache of a layer: tables (fixed-size blocks of a host file) held in bounded memory, written back in an order that
 * survives a crash.
 *
 *  1. Each table has a rank.  A dirty table of rank r is written only after every dirty table of a lower rank is written AND
 *     durable (rank 0: space allocations; 1: what points at rank 0's own tables; 2: references to guest data; 3: what points at
 *     rank 2's tables).  vd_cache_write_back() and eviction keep this.
 *  2. Data barrier: where a table of rank >= 2 is written while vd_cache_need_barrier() was called since the last flush of the data
 *     file, that file is flushed first.
 *  3. A pinned table is never evicted.  Content is guarded by the layer's lock (shared for reading, exclusive for changing); the
 *     cache's own lock guards its lists only and is held over no I/O; a table being loaded is waited for.
 *  4. `relaxed` caches (an image that is marked unfinished until it is whole) skip the flushes of 1 and 2, not the order.
 *  5. Where the format has a log (vd_cache_set_log()), it is asked instead of the flushes of 1 and 2, for groups of tables in the
 *     same order: a group is written in its places once the log has it.  Not while relaxed.
 */
#ifndef VD_IO_CACHE_H
#define VD_IO_CACHE_H

#include "io/file.h"

#define VD_CACHE_RANKS 4

struct vd_cache;
struct vd_table {
	uint64_t off;        /* in the file */
	uint8_t *data;       /* table_bytes of it */
	void *aux;           /* the driver's, freed with vd_free() on eviction; NULL at first */
	unsigned rank;
	bool dirty;
	/* the cache's: */
	unsigned pins;
	int state;
	struct vd_table *hash_next, *lru_prev, *lru_next, *dirty_prev, *dirty_next;
};

/* `data_file` (may be NULL or == file): flushed for data barriers.  At least 8 tables are allowed whatever max_bytes says. */
int vd_cache_new(struct vd_file *file, struct vd_file *data_file, uint32_t table_bytes, uint64_t max_bytes, struct vd_cache **out,
                 vd_error *err);
/* Discards everything, dirty or not. */
void vd_cache_free(struct vd_cache *c);
void vd_cache_set_relaxed(struct vd_cache *c, bool relaxed);
/* Makes up to `max` tables durable elsewhere, all of them or none, and before them all data and all that was written to the
   file. */
typedef int (*vd_cache_log_fn)(void *ctx, struct vd_table *const *t, size_t n, vd_error *err);
void vd_cache_set_log(struct vd_cache *c, vd_cache_log_fn fn, void *ctx, size_t max);

/* Pins the table at file offset `off`, reading it if need be (the end of the file inside it: zeros if `tail_ok`, else
   VDISK_CORRUPT).  May write back and evict others.  Callable under the layer's shared lock. */
int vd_cache_get(struct vd_cache *c, uint64_t off, unsigned rank, bool tail_ok, struct vd_table **out, vd_error *err);
/* The same for a table that is new at `off`: zeroed, dirty, nothing read. */
int vd_cache_new_table(struct vd_cache *c, uint64_t off, unsigned rank, struct vd_table **out, vd_error *err);
/* Under the layer's exclusive lock, while pinned.  Call it after the change wherever another table was got since the table became
   dirty (or was new): getting one may write dirty ones back to make room, pinned ones too, and mark them clean; what is changed in
   them afterwards would be lost without another call. */
void vd_cache_dirty(struct vd_cache *c, struct vd_table *t);
void vd_cache_put(struct vd_cache *c, struct vd_table *t);
/* Entries of an array in the file, whose tables begin at `base`: *p is the one that begins at `off` from there.  The cursor keeps
   its table pinned until the next one is asked for in another, or its end; where this fails, it is at its end. */
struct vd_cursor {
	struct vd_table *table; /* NULL: none */
};
int vd_cursor_entry(struct vd_cache *c, struct vd_cursor *at, uint64_t base, uint64_t off, unsigned rank, bool tail_ok, uint8_t **p,
                    vd_error *err);
void vd_cursor_end(struct vd_cache *c, struct vd_cursor *at);
/* Forgets the table at `off`, dirty or not (its space was freed), unless it is pinned. */
void vd_cache_forget(struct vd_cache *c, uint64_t off);
void vd_cache_need_barrier(struct vd_cache *c);
/* Writes everything dirty, in order of rank, and unless relaxed makes it durable: on success all is on the disk, data too. */
int vd_cache_write_back(struct vd_cache *c, vd_error *err);
/* True if anything is dirty. */
bool vd_cache_is_dirty(const struct vd_cache *c);

#endif
