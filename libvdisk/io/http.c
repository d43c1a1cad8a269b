/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file on a web server.  Large reads go straight into the caller's memory; small ones through blocks that are kept, CACHE_BLOCKS
 * of them at most, the one that was used longest ago making room.  A miss that goes on where an earlier one ended fetches ever more
 * blocks by one request (read-ahead); several such streams are told apart, since a conversion reads at several places.
 * `lock` guards the blocks' states and the streams, and the bytes of blocks that are ready; a block under way belongs to its
 * fetcher.
 */
#include "io/http.h"
#include "io/http_source.h"
#include "io/kind.h"
#include "io/url.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

#define BLOCK        65536u
#define CACHE_BLOCKS 256u /* 16 MiB */
#define CACHE_FEW    64u  /* of a further file of the same image, of which there may be many */
#define RUN_MOST     16u
#define STRAIGHT     (2 * BLOCK)
#define STREAMS      8u
#define NO_BLOCK     UINT64_MAX

enum state { EMPTY, COMING, READY };

struct block {
	uint64_t idx, used; /* used: of the clock */
	uint8_t *data;      /* made at first use, kept */
	enum state state;
};

struct stream {
	uint64_t next, used;
	unsigned run;
};

struct http_file {
	struct vd_file file;
	struct vd_http_source source;
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct block blocks[CACHE_BLOCKS];
	unsigned n_blocks;
	struct stream streams[STREAMS];
	uint64_t clock;
	char version[2 * VD_HTTP_VALIDATOR];
};

static struct http_file *http_of(struct vd_file *f) { return (struct http_file *)f; }

static struct block *block_find(struct http_file *h, uint64_t idx)
{
	for (unsigned i = 0; i < h->n_blocks; i++)
		if (h->blocks[i].state != EMPTY && h->blocks[i].idx == idx)
			return &h->blocks[i];
	return NULL;
}

/* A block that may be used for another one; NULL: all are under way. */
static struct block *block_spare(struct http_file *h)
{
	struct block *best = NULL;

	for (unsigned i = 0; i < h->n_blocks; i++) {
		struct block *b = &h->blocks[i];

		if (b->state == EMPTY)
			return b;
		if (b->state == READY && (!best || b->used < best->used))
			best = b;
	}
	return best;
}

/* How many blocks a miss at idx fetches. */
static unsigned stream_run(struct http_file *h, uint64_t idx, unsigned least)
{
	struct stream *s = &h->streams[0];
	unsigned run = least;

	for (unsigned i = 0; i < STREAMS; i++) {
		if (h->streams[i].next == idx && h->streams[i].run) {
			s = &h->streams[i];
			run = (unsigned)vd_max(least, vd_min(4 * s->run, RUN_MOST));
			break;
		}
		if (h->streams[i].used < s->used)
			s = &h->streams[i];
	}
	*s = (struct stream){ .next = idx + run, .used = ++h->clock, .run = run };
	return run;
}

static uint32_t block_bytes(const struct http_file *h, uint64_t idx)
{
	return (uint32_t)vd_min(BLOCK, vd_file_size(&h->file) - idx * BLOCK);
}

/* Takes blocks idx, idx + 1, … that nobody has, `run` at most, as long as there is room; returns how many. */
static unsigned run_take(struct http_file *h, uint64_t idx, unsigned run, struct block **v)
{
	unsigned n = 0;

	for (; n < run && (idx + n) * BLOCK < vd_file_size(&h->file) && !block_find(h, idx + n); n++) {
		struct block *b = block_spare(h);

		if (!b || (!b->data && !(b->data = vd_malloc(BLOCK))))
			break;
		b->idx = idx + n;
		b->state = COMING;
		v[n] = b;
	}
	return n;
}

/* Fetches those; called and left with the lock held, which is let go meanwhile. */
static int run_fetch(struct http_file *h, uint64_t idx, struct block **v, unsigned n, vd_error *err)
{
	struct iovec iov[RUN_MOST];
	size_t len = 0;
	int rc;

	for (unsigned i = 0; i < n; len += iov[i].iov_len, i++)
		iov[i] = (struct iovec){ v[i]->data, block_bytes(h, idx + i) };
	pthread_mutex_unlock(&h->lock);
	rc = vd_http_source_read(&h->source, iov, (int)n, len, idx * BLOCK, err);
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < n; i++) {
		v[i]->state = rc ? EMPTY : READY;
		v[i]->used = ++h->clock;
	}
	pthread_cond_broadcast(&h->came);
	return rc;
}

/* Bytes of one block; what a fetch that failed was to bring to several is fetched by each of them again, and fails for each. */
static int block_read(struct http_file *h, uint64_t idx, uint32_t from, uint8_t *to, uint32_t len, unsigned least, vd_error *err)
{
	struct block *v[RUN_MOST], *b;
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	while (!rc && (!(b = block_find(h, idx)) || b->state != READY)) {
		unsigned n;

		if (b || !(b = block_spare(h))) {
			pthread_cond_wait(&h->came, &h->lock);
			continue;
		}
		n = b->data || (b->data = vd_malloc(BLOCK)) ? run_take(h, idx, stream_run(h, idx, least), v) : 0;
		rc = n ? run_fetch(h, idx, v, n, err) : vd_fail_nomem(err, BLOCK);
	}
	if (!rc) {
		memcpy(to, b->data + from, len);
		b->used = ++h->clock;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

static int blocks_read(struct http_file *h, const struct iovec *iov, int n, size_t want, uint64_t off, vd_error *err)
{
	uint64_t last = (off + want - 1) / BLOCK;

	for (int i = 0; i < n && want; i++) {
		uint8_t *to = iov[i].iov_base;
		size_t left = (size_t)vd_min(iov[i].iov_len, want);

		want -= left;
		while (left) {
			uint64_t idx = off / BLOCK;
			uint32_t from = (uint32_t)(off % BLOCK), len = (uint32_t)vd_min(BLOCK - from, left);

			if (block_read(h, idx, from, to, len, (unsigned)vd_min(last - idx + 1, RUN_MOST), err))
				return -1;
			to += len;
			off += len;
			left -= len;
		}
	}
	return 0;
}

static int http_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct http_file *h = http_of(f);
	uint64_t size = vd_file_size(f);
	size_t want = off < size ? (size_t)vd_min(total, size - off) : 0;

	*got = 0;
	if (want &&
	    (want >= STRAIGHT ? vd_http_source_read(&h->source, iov, n, want, off, err) : blocks_read(h, iov, n, want, off, err)))
		return -1;
	*got = want;
	return 0;
}

static void http_close(struct vd_file *f)
{
	struct http_file *h = http_of(f);

	vd_http_source_close(&h->source);
	for (unsigned i = 0; i < CACHE_BLOCKS; i++)
		vd_free(h->blocks[i].data);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->came);
	vd_free(h);
}

/* VD_FILE_RDONLY: the front turns away everything that would change it. */
static const struct vd_file_ops http_ops = {
	.kind = "http",
	.preadv = http_preadv,
	.close = http_close,
};

/* Takes the access; the first block comes with the first answer. */
static int http_open(const char *url, struct vd_http_access *access, const volatile int *cancel, unsigned blocks, struct vd_file **out,
                     vd_error *err)
{
	struct http_file *h = vd_calloc(1, sizeof(*h));
	struct block *b = h ? &h->blocks[0] : NULL;
	size_t got = 0;

	if (!h || !(b->data = vd_malloc(BLOCK))) {
		vd_free(h);
		vd_http_access_free(access);
		return vd_fail_nomem(err, BLOCK);
	}
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->came, NULL);
	h->n_blocks = blocks;
	h->source.access = *access;
	h->source.cancel = cancel;
	memset(access, 0, sizeof(*access));
	if (vd_http_source_open(&h->source, url, b->data, BLOCK, &got, err) ||
	    vd_file_head(&h->file, &http_ops, h->source.shown, VD_FILE_SEEKABLE | VD_FILE_RDONLY | VD_FILE_REMOTE,
	                 h->source.version.size, err)) {
		http_close(&h->file);
		return -1;
	}
	if (got && got == block_bytes(h, 0))
		b->state = READY;
	snprintf(h->version, sizeof(h->version), "%s",
	         h->source.version.etag[0] ? h->source.version.etag : h->source.version.modified);
	*out = &h->file;
	return 0;
}

int vd_file_http(const char *url, const struct vdisk_remote *remote, const volatile int *cancel, struct vd_file **out, vd_error *err)
{
	struct vd_http_access access;

	if (vd_url_judge(url, err) || vd_http_access_read(remote, &access, err))
		return -1;
	return http_open(url, &access, cancel, CACHE_BLOCKS, out, err);
}

int vd_file_http_beside(struct vd_file *f, const char *name, struct vd_file **out, vd_error *err)
{
	const struct http_file *h = http_of(f);
	VD_AUTO_FREE char *url = NULL;
	struct vd_http_access access;

	if (vd_url_beside(h->source.url, name, &url, err) || vd_url_judge(url, err) ||
	    vd_http_access_copy(&h->source.access, &access, err))
		return -1;
	return http_open(url, &access, h->source.cancel, CACHE_FEW, out, err);
}

const char *vd_file_http_version(const struct vd_file *f) { return ((const struct http_file *)f)->version; }
