/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the chunks of a file that were passed last.  `lock` guards them; asking the kernel and waiting for writeback are done
 * without it.
 *
 * T1. A chunk's pages are dropped when TRAIL_CHUNKS others were passed after it, or at the end; so what a file leaves in the cache
 *     is bounded while it is being worked on.
 * T2. What was in the cache when a chunk was first passed stays, to the granule.  The kernel reads ahead, so that a chunk is looked
 *     at when the one before it is passed.
 * T3. Pages are written out before they are dropped: dirty ones cannot be.  That waits in the thread which passes; since the disk
 *     has had TRAIL_CHUNKS of time, mostly for nothing.
 *
 * mincore(2) answers "cached" for all of a file that one may not write to, so that nothing of it is dropped.
 */
#include "io/trail.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRAIL_CHUNK   (UINT64_C(16) << 20)
#define TRAIL_GRANULE 65536u
#define TRAIL_CHUNKS  6
#define GRANULES      (TRAIL_CHUNK / TRAIL_GRANULE)

struct chunk {
	uint64_t at;    /* its offset; UINT64_MAX: none */
	uint64_t tick;  /* passed last */
	bool passed;    /* else only looked at */
	bool hot[GRANULES]; /* were cached before */
};

struct vd_trail {
	pthread_mutex_t lock;
	int fd;
	bool own;
	uint64_t tick;
	struct chunk c[TRAIL_CHUNKS + 2]; /* two more: the one that is looked at ahead, for each of two streams */
};

/* Which granules have a page in the cache; all, where that cannot be told. */
static void chunk_look(const struct vd_trail *t, struct chunk *c)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = TRAIL_CHUNK / page, each = TRAIL_GRANULE / page;
	unsigned char vec[TRAIL_CHUNK / 4096];
	void *map;

	memset(c->hot, !t->own, sizeof(c->hot));
	if (t->own || page < 4096 || page > TRAIL_GRANULE)
		return;
	map = mmap(NULL, TRAIL_CHUNK, PROT_READ, MAP_SHARED, t->fd, (off_t)c->at);
	if (map == MAP_FAILED)
		return;
	if (!mincore(map, TRAIL_CHUNK, vec))
		for (size_t g = 0; g < GRANULES; g++) {
			c->hot[g] = false;
			for (size_t i = g * each; i < (g + 1) * each && i < n; i++)
				c->hot[g] |= vec[i] & 1;
		}
	munmap(map, TRAIL_CHUNK);
}

static int chunk_drop(const struct vd_trail *t, const struct chunk *c)
{
	int rc = 0;

	if (c->at == UINT64_MAX || !c->passed)
		return 0;
	if (t->own && sync_file_range(t->fd, (off64_t)c->at, (off64_t)TRAIL_CHUNK,
	                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER))
		rc = errno == EIO || errno == ENOSPC || errno == EDQUOT ? errno : 0; /* others: it cannot do that, and fdatasync()
		                                                                        will tell */
	for (size_t g = 0, end; g < GRANULES; g = end) {
		for (end = g + 1; end < GRANULES && c->hot[end] == c->hot[g]; end++)
			;
		if (!c->hot[g])
			(void)posix_fadvise(t->fd, (off_t)(c->at + g * TRAIL_GRANULE), (off_t)((end - g) * TRAIL_GRANULE),
			                    POSIX_FADV_DONTNEED);
	}
	return rc;
}

static struct chunk *chunk_find(struct vd_trail *t, uint64_t at)
{
	for (size_t i = 0; i < sizeof(t->c) / sizeof(t->c[0]); i++)
		if (t->c[i].at == at)
			return &t->c[i];
	return NULL;
}

static struct chunk *chunk_oldest(struct vd_trail *t)
{
	struct chunk *c = &t->c[0];

	for (size_t i = 1; i < sizeof(t->c) / sizeof(t->c[0]); i++)
		if (t->c[i].tick < c->tick)
			c = &t->c[i];
	return c;
}

/* Makes the chunk at `at` one of those passed last. */
static int chunk_pass(struct vd_trail *t, uint64_t at, bool passed)
{
	struct chunk fresh = { .at = at, .passed = passed }, gone = { .at = UINT64_MAX }, *c;

	pthread_mutex_lock(&t->lock);
	c = chunk_find(t, at);
	if (c) {
		c->tick = ++t->tick;
		c->passed |= passed;
		pthread_mutex_unlock(&t->lock);
		return 0;
	}
	pthread_mutex_unlock(&t->lock);
	chunk_look(t, &fresh);
	pthread_mutex_lock(&t->lock);
	c = chunk_find(t, at); /* another thread may have been faster, and its look was the earlier one */
	if (!c) {
		c = chunk_oldest(t);
		gone = *c;
		*c = fresh;
	}
	c->tick = ++t->tick;
	c->passed |= passed;
	pthread_mutex_unlock(&t->lock);
	return chunk_drop(t, &gone);
}

int vd_trail_pass(struct vd_trail *t, uint64_t off, uint64_t len)
{
	int rc = 0;

	for (uint64_t at = vd_down(off, TRAIL_CHUNK); at < off + len; at += TRAIL_CHUNK) {
		int e = chunk_pass(t, at, true);

		rc = rc ? rc : e;
		if (!t->own)
			(void)chunk_pass(t, at + TRAIL_CHUNK, false);
	}
	return rc;
}

struct vd_trail *vd_trail_new(int fd, bool own)
{
	struct vd_trail *t = vd_calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fd = fd;
	t->own = own;
	for (size_t i = 0; i < sizeof(t->c) / sizeof(t->c[0]); i++)
		t->c[i].at = UINT64_MAX;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void vd_trail_free(struct vd_trail *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < sizeof(t->c) / sizeof(t->c[0]); i++)
		(void)chunk_drop(t, &t->c[i]);
	pthread_mutex_destroy(&t->lock);
	vd_free(t);
}
