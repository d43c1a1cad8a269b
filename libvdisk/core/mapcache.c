/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the lower layers of a deep chain have their bytes.  Without it, each read asks every layer above the one that knows.
 *
 * The disk is cut into chunks of one length; a chunk holds the flattened map from its beginning on, to its end or to as many
 * extents as one may have.  What a chunk says never goes stale, since only layers are asked that nobody writes to while the image
 * is open: the parents, and the leaf of an image that is read-only.  Writes, zeros, discards, snapshots and resizing change a leaf,
 * which is asked anew each time.  An image that gets other layers gets another cache (vd_image_push), being alone in use then.
 *
 * Chunks are many at most as MEMORY_MAX allows; the one that came first goes first, unless it was used meanwhile.
 * `lock` guards all but what is fixed when the cache is made; no layer is asked under it.
 */
#include "core/mapcache.h"
#include "core/io.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdatomic.h>

#define CHUNK_EXTENTS 512u        /* at most */
#define CHUNK_MAX     (64u << 20) /* guest bytes */
#define MEMORY_MAX    (8u << 20)
#define BUCKETS       4096u

struct chunk {
	uint64_t off, end;          /* guest bytes whose map stands here */
	struct chunk *hash_next, *next;
	_Atomic bool used;
	size_t n;
	struct vd_extent v[];
};

struct vd_mapcache {
	unsigned depth;
	uint64_t chunk_bytes;       /* a power of two */
	pthread_rwlock_t lock;
	struct chunk *bucket[BUCKETS];
	struct chunk *first, **last; /* in order of arrival */
	size_t bytes;
};

/* As long as CHUNK_EXTENTS will do for, if every grain of the finest layer is an extent of its own. */
static uint64_t chunk_length(const vdisk_image *img, unsigned depth)
{
	uint64_t fine = CHUNK_MAX, coarse = 1;

	for (unsigned i = depth; i < img->n_layers; i++) {
		const struct vd_layer *l = img->chain[i];

		if (l->flags & VD_LAYER_FIXED)
			continue;
		fine = vd_min(fine, (uint64_t)l->presence_grain);
		coarse = vd_max(coarse, (uint64_t)l->alloc_grain);
	}
	return vd_min(vd_max(vd_max(fine * CHUNK_EXTENTS, coarse), 65536u), (uint64_t)CHUNK_MAX);
}

struct vd_mapcache *vd_mapcache_new(const vdisk_image *img)
{
	unsigned depth = img->claims || img->top->flags & VD_LAYER_FORWARD ? 1 : 0;
	struct vd_mapcache *c;

	/* Two layers at least to ask.  Salvage tries every packed unit of what it maps. */
	if (img->n_layers < depth + 2 || img->flags & (VDISK_OPEN_SALVAGE | VDISK_OPEN_INFO))
		return NULL;
	c = vd_calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->depth = depth;
	c->chunk_bytes = chunk_length(img, depth);
	c->last = &c->first;
	pthread_rwlock_init(&c->lock, NULL);
	return c;
}

void vd_mapcache_free(struct vd_mapcache *c)
{
	if (!c)
		return;
	for (struct chunk *k = c->first, *next; k; k = next) {
		next = k->next;
		vd_free(k);
	}
	pthread_rwlock_destroy(&c->lock);
	vd_free(c);
}

unsigned vd_mapcache_depth(const struct vd_mapcache *c)
{
	return c->depth;
}

/* ---------------------------------------------------------------- the chunks; under the lock */

static struct chunk **bucket_of(struct vd_mapcache *c, uint64_t off)
{
	return &c->bucket[(off / c->chunk_bytes) % BUCKETS];
}

static struct chunk *chunk_find(struct vd_mapcache *c, uint64_t off)
{
	struct chunk *k = *bucket_of(c, off);

	while (k && k->off != off)
		k = k->hash_next;
	return k;
}

static size_t chunk_bytes(const struct chunk *k)
{
	return sizeof(*k) + k->n * sizeof(k->v[0]);
}

static void queue_add(struct vd_mapcache *c, struct chunk *k)
{
	k->next = NULL;
	*c->last = k;
	c->last = &k->next;
}

static struct chunk *queue_take(struct vd_mapcache *c)
{
	struct chunk *k = c->first;

	c->first = k->next;
	if (!c->first)
		c->last = &c->first;
	return k;
}

static void room_make(struct vd_mapcache *c, size_t bytes)
{
	while (c->first && c->bytes + bytes > MEMORY_MAX) {
		struct chunk *k = queue_take(c), **at = bucket_of(c, k->off);

		if (atomic_exchange_explicit(&k->used, false, memory_order_relaxed)) {
			queue_add(c, k);
			continue;
		}
		while (*at != k)
			at = &(*at)->hash_next;
		*at = k->hash_next;
		c->bytes -= chunk_bytes(k);
		vd_free(k);
	}
}

static void chunk_add(struct vd_mapcache *c, struct chunk *k)
{
	struct chunk **b = bucket_of(c, k->off);

	room_make(c, chunk_bytes(k));
	k->hash_next = *b;
	*b = k;
	queue_add(c, k);
	c->bytes += chunk_bytes(k);
}

/* What the chunk says of [off, end); it says something of `off`. */
static void chunk_tell(const struct chunk *k, uint64_t off, uint64_t end, struct vd_extents *e)
{
	size_t a = 0, b = k->n;

	while (b - a > 1) { /* v[a] begins at or before off */
		size_t mid = a + (b - a) / 2;

		if (k->v[mid].off <= off)
			a = mid;
		else
			b = mid;
	}
	for (; a < k->n && k->v[a].off < end; a++) {
		struct vd_extent x = k->v[a];

		if (x.len > end - x.off) {
			x.len = end - x.off;
			if (x.flags & VD_EXT_MAPPED)
				x.host_len = x.len;
		}
		if (!vd_extents_add(e, &x))
			break;
	}
}

/* ---------------------------------------------------------------- asking */

/* A new chunk, out of the layers, for `whom`, who pays for it.  NULL: they cannot be asked for all of it, or there is no memory. */
static struct chunk *chunk_make(vdisk_image *img, const struct vd_mapcache *c, uint64_t off, struct vd_extents *whom)
{
	VD_AUTO_FREE struct vd_extent *v = vd_malloc(CHUNK_EXTENTS * sizeof(*v));
	struct vd_extents e;
	struct chunk *k;

	if (!v)
		return NULL;
	vd_extents_init(&e, v, CHUNK_EXTENTS, off, c->chunk_bytes);
	if (vd_map_from(img, c->depth, off, c->chunk_bytes, 0, &e, NULL))
		return NULL;
	vd_extents_spend(whom, VD_MAP_WORK - e.left);
	k = vd_malloc(sizeof(*k) + e.n * sizeof(*v));
	if (!k)
		return NULL;
	*k = (struct chunk){ .off = off, .end = e.next, .n = e.n };
	memcpy(k->v, v, e.n * sizeof(*v));
	return k;
}

enum knowledge { NO_CHUNK, NOT_THERE, TOLD };

/* Tells what the chunk at `begin` says of [off, end). */
static enum knowledge known(struct vd_mapcache *c, uint64_t begin, uint64_t off, uint64_t end, struct vd_extents *e)
{
	enum knowledge what = NO_CHUNK;
	struct chunk *k;

	pthread_rwlock_rdlock(&c->lock);
	k = chunk_find(c, begin);
	if (k) {
		what = off < k->end ? TOLD : NOT_THERE;
		if (what == TOLD)
			chunk_tell(k, off, end, e);
		if (!atomic_load_explicit(&k->used, memory_order_relaxed))
			atomic_store_explicit(&k->used, true, memory_order_relaxed);
	}
	pthread_rwlock_unlock(&c->lock);
	return what;
}

/* Makes it, unless another thread has meanwhile. */
static bool learn(vdisk_image *img, struct vd_mapcache *c, uint64_t begin, struct vd_extents *whom)
{
	struct chunk *k = chunk_make(img, c, begin, whom);

	if (!k)
		return false;
	pthread_rwlock_wrlock(&c->lock);
	if (chunk_find(c, begin))
		vd_free(k);
	else
		chunk_add(c, k);
	pthread_rwlock_unlock(&c->lock);
	return true;
}

int vd_mapcache_map(vdisk_image *img, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err)
{
	struct vd_mapcache *c = img->mapcache;
	uint64_t end = off + len;

	while (off < end) {
		uint64_t begin = vd_down(off, c->chunk_bytes), stop = vd_min(end, begin + c->chunk_bytes);
		enum knowledge what = known(c, begin, off, stop, e);

		if (what == NO_CHUNK && learn(img, c, begin, e))
			what = known(c, begin, off, stop, e);
		/* What no chunk has room for, or cannot be asked as a whole: at first hand. */
		if (what != TOLD && vd_map_from(img, c->depth, off, stop - off, 0, e, err))
			return -1;
		if (e->next == off || !e->left)
			return 0; /* full, or enough of it */
		off = e->next;
	}
	return 0;
}
