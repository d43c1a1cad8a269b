/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading forward from a pipe, with what is not released kept in chunks.
 *
 *      released            kept in chunks             not yet pulled
 *   |-----------------|---------------------------|------------------ …
 *   0                base                         end
 *
 * `lock` guards everything.  One reader at a time pulls (`pulling`), into a chunk of its own and without the lock, so that the
 * others get what is there; they wait on `more`.  The end of the stream, and an error, are kept and wake everybody.
 * Released ranges beyond base wait in `gone`, sorted and joined, until base reaches them.
 */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define CHUNK (256u << 10)

struct chunk {
	struct chunk *next;
	uint64_t off;
	size_t len; /* valid bytes; only the last chunk has less than CHUNK */
	uint8_t data[CHUNK];
};

struct range {
	uint64_t off, end;
};

struct pipe_in {
	struct vd_file file;
	int in;
	uint64_t window;
	pthread_mutex_t lock;
	pthread_cond_t more;
	uint64_t base, end;
	struct chunk *first, *last, *spare;
	struct range *gone;
	size_t n_gone, cap_gone;
	bool pulling, eof;
	int failed; /* errno */
};

static struct pipe_in *pipe_of(struct vd_file *f) { return (struct pipe_in *)f; }

/* Chunks wholly below base go; one is kept for the next pull. */
static void chunks_trim(struct pipe_in *p)
{
	while (p->first && p->first->off + CHUNK <= p->base && p->first->len == CHUNK) {
		struct chunk *c = p->first;

		p->first = c->next;
		if (!p->first)
			p->last = NULL;
		vd_free(p->spare);
		p->spare = c;
	}
}

static void base_advance(struct pipe_in *p)
{
	size_t k = 0;

	while (k < p->n_gone && p->gone[k].off <= p->base) {
		p->base = vd_max(p->base, p->gone[k].end);
		k++;
	}
	if (k) {
		memmove(p->gone, p->gone + k, (p->n_gone - k) * sizeof(*p->gone));
		p->n_gone -= k;
	}
	chunks_trim(p);
}

/* Adds [off, end) to `gone`.  Without memory for it the range stays charged to the window: a later read may then fail, but none is
   wrong. */
static void gone_add(struct pipe_in *p, uint64_t off, uint64_t end)
{
	size_t i = 0, j;

	while (i < p->n_gone && p->gone[i].end < off)
		i++;
	for (j = i; j < p->n_gone && p->gone[j].off <= end; j++) {
		off = vd_min(off, p->gone[j].off);
		end = vd_max(end, p->gone[j].end);
	}
	if (i == j && p->n_gone == p->cap_gone) {
		size_t cap = p->cap_gone ? p->cap_gone * 2 : 16;
		struct range *v = vd_realloc(p->gone, cap, sizeof(*v));

		if (!v)
			return;
		p->gone = v;
		p->cap_gone = cap;
	}
	memmove(p->gone + i + 1, p->gone + j, (p->n_gone - j) * sizeof(*p->gone));
	p->n_gone = p->n_gone - (j - i) + 1;
	p->gone[i] = (struct range){off, end};
}

static void pipe_release(struct vd_file *f, uint64_t off, uint64_t len)
{
	struct pipe_in *p = pipe_of(f);
	uint64_t end;

	if (vd_add64(off, len, &end))
		end = UINT64_MAX;
	pthread_mutex_lock(&p->lock);
	if (end > p->base) {
		if (off <= p->base)
			p->base = end;
		else
			gone_add(p, off, end);
		base_advance(p);
	}
	pthread_mutex_unlock(&p->lock);
}

/* read() until it gives something, the end (0) or an error (-1). */
static ssize_t read_some(int fd, void *buf, size_t len)
{
	for (;;) {
		ssize_t r = read(fd, buf, len);

		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd wait = {.fd = fd, .events = POLLIN};

			poll(&wait, 1, -1);
		} else if (r >= 0 || errno != EINTR) {
			return r;
		}
	}
}

/* The last chunk with room, or a new one. */
static struct chunk *chunk_open(struct pipe_in *p)
{
	struct chunk *c = p->last;

	if (c && c->len < CHUNK)
		return c;
	c = p->spare ? p->spare : vd_malloc(sizeof(*c));
	p->spare = NULL;
	if (!c)
		return NULL;
	c->next = NULL;
	c->off = p->end;
	c->len = 0;
	*(p->last ? &p->last->next : &p->first) = c;
	p->last = c;
	return c;
}

/* Under the lock, which it lets go of: one read() into the last chunk.  That chunk is not trimmed meanwhile: it is not full. */
static void pull(struct pipe_in *p)
{
	struct chunk *c = chunk_open(p);
	ssize_t r = -1;
	int e = ENOMEM;

	if (c) {
		p->pulling = true;
		pthread_mutex_unlock(&p->lock);
		r = read_some(p->in, c->data + c->len, CHUNK - c->len);
		e = errno;
		pthread_mutex_lock(&p->lock);
		p->pulling = false;
	}
	if (r < 0) {
		p->failed = e;
	} else if (!r) {
		p->eof = true;
		atomic_store(&p->file.size, p->end);
	} else {
		c->len += (size_t)r;
		p->end += (uint64_t)r;
		chunks_trim(p);
	}
	pthread_cond_broadcast(&p->more);
}

/* Copies what the chunks hold of [off, off+len), all of which they do. */
static void chunks_copy(const struct pipe_in *p, uint8_t *buf, size_t len, uint64_t off)
{
	const struct chunk *c = p->first;

	while (len) {
		size_t at, n;

		while (c->off + CHUNK <= off)
			c = c->next;
		at = (size_t)(off - c->off);
		n = vd_min(len, CHUNK - at);
		memcpy(buf, c->data + at, n);
		buf += n;
		off += n;
		len -= n;
	}
}

/* Under the lock: waits until [off, off+want) is there, or the end.  *want: how much of it there is. */
static int range_await(struct pipe_in *p, uint64_t off, uint64_t *want, vd_error *err)
{
	uint64_t to;

	if (vd_add64(off, *want, &to))
		to = UINT64_MAX;
	for (;;) {
		if (off < p->base)
			return vd_fail(err, VDISK_INVALID, off,
			               "%s: comes through a pipe, and offset %" PRIu64 " has gone by (at %" PRIu64 " now)",
			               p->file.name, off, p->base);
		if (p->end >= to || p->eof) {
			*want = off < p->end ? vd_min(to, p->end) - off : 0;
			return 0;
		}
		if (p->failed)
			return p->failed == ENOMEM ? vd_fail_nomem(err, sizeof(struct chunk))
			                           : vd_fail_errno(err, p->failed, p->end, "%s: cannot read", p->file.name);
		if (to - p->base > p->window)
			return vd_fail(err, VDISK_NOMEM, off,
			               "%s: comes through a pipe, and reaching offset %" PRIu64 " needs more than %" PRIu64
			               " bytes kept (from %" PRIu64 " on)",
			               p->file.name, to, p->window, p->base);
		if (p->pulling)
			pthread_cond_wait(&p->more, &p->lock);
		else
			pull(p);
	}
}

static int pipe_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct pipe_in *p = pipe_of(f);
	uint64_t left = total;
	int r;

	*got = 0;
	pthread_mutex_lock(&p->lock);
	r = range_await(p, off, &left, err);
	if (!r)
		*got = (size_t)left;
	for (int i = 0; i < n && !r && left; i++) {
		size_t k = (size_t)vd_min(iov[i].iov_len, left);

		chunks_copy(p, iov[i].iov_base, k, off);
		off += k;
		left -= k;
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

static void chunks_free(struct pipe_in *p)
{
	struct chunk *c, *next;

	for (c = p->first; c; c = next) {
		next = c->next;
		vd_free(c);
	}
	vd_free(p->spare);
}

static void pipe_close(struct vd_file *f)
{
	struct pipe_in *p = pipe_of(f);

	close(p->in);
	chunks_free(p);
	vd_free(p->gone);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	vd_free(p);
}

/* Read-only: the front turns away everything that would change it. */
static const struct vd_file_ops pipe_in_ops = {
	.kind = "pipe in",
	.preadv = pipe_preadv,
	.close = pipe_close,
	.release = pipe_release,
};

int vd_file_pipe_in(int fd, const char *name, uint64_t window, struct vd_file **out, vd_error *err)
{
	struct pipe_in *p = vd_calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return vd_fail_nomem(err, sizeof(*p));
	}
	fcntl(fd, F_SETPIPE_SZ, VD_PIPE_BYTES); /* if it is a pipe, and may be that large */
	p->in = fd;
	p->window = window;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	if (vd_file_head(&p->file, &pipe_in_ops, name, VD_FILE_RDONLY, UINT64_MAX, err)) {
		pipe_close(&p->file);
		return -1;
	}
	*out = &p->file;
	return 0;
}
