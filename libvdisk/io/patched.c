/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The patched file.  Reads are put together from the inner file and the patches; writes pass on, once there are no patches any
 * more.
 *
 *  P1. The patches never change while they are looked at: `live` goes from true to false once, after all of them are durable in
 *      their places, so that a reader which still sees it true reads the same bytes.
 *  P2. The size shown is never less than the log says; the inner file gets it when the patches are applied.
 */
#include "io/patched.h"
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

struct patched_file {
	struct vd_over over;
	struct vd_patch *v; /* ascending, apart */
	size_t n;
	_Atomic bool live;
};

static struct patched_file *patched_of(struct vd_file *f) { return (struct patched_file *)f; }

/* ---------------------------------------------------------------- settling */

static int number_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static size_t edge_at(const uint64_t *edge, size_t n, uint64_t value)
{
	return (size_t)((const uint64_t *)bsearch(&value, edge, n, sizeof(*edge), number_order) - edge);
}

/* The first stretch at or after i that has no owner yet; next[] skips those that have one. */
static size_t stretch_free(size_t *next, size_t i)
{
	size_t at = i, root;

	while (next[at] != at)
		at = next[at];
	root = at;
	while (next[i] != root) {
		size_t then = next[i];

		next[i] = root;
		i = then;
	}
	return root;
}

struct settling {
	uint64_t *edge; /* where any patch begins or ends, ascending; stretch i is [edge[i], edge[i + 1]) */
	size_t n_edges;
	size_t *next, *owner;
};

static size_t settling_paint(struct settling *s, const struct vd_patch *v, size_t n)
{
	size_t painted = 0;

	for (size_t i = 0; i < s->n_edges; i++) {
		s->next[i] = i;
		s->owner[i] = n;
	}
	for (size_t k = n; k-- > 0;) { /* the latest first */
		size_t end = edge_at(s->edge, s->n_edges, v[k].off + v[k].len);

		for (size_t i = stretch_free(s->next, edge_at(s->edge, s->n_edges, v[k].off)); i < end;
		     i = stretch_free(s->next, i)) {
			s->owner[i] = k;
			s->next[i] = i + 1; /* the last edge is never painted */
			painted++;
		}
	}
	return painted;
}

static int settling_edges(struct settling *s, const struct vd_patch *v, size_t n, vd_error *err)
{
	size_t k = 0;

	s->edge = vd_calloc(n, 2 * sizeof(*s->edge));
	if (!s->edge)
		return vd_fail_nomem(err, n * 2 * sizeof(*s->edge));
	for (size_t i = 0; i < n; i++) {
		s->edge[2 * i] = v[i].off;
		s->edge[2 * i + 1] = v[i].off + v[i].len;
	}
	qsort(s->edge, 2 * n, sizeof(*s->edge), number_order);
	for (size_t i = 0; i < 2 * n; i++)
		if (!k || s->edge[k - 1] != s->edge[i])
			s->edge[k++] = s->edge[i];
	s->n_edges = k;
	s->next = vd_calloc(k, sizeof(*s->next));
	s->owner = vd_calloc(k, sizeof(*s->owner));
	return s->next && s->owner ? 0 : vd_fail_nomem(err, k * 2 * sizeof(size_t));
}

int vd_patches_settle(struct vd_patch **v, size_t *n, vd_error *err)
{
	struct settling s = { 0 };
	struct vd_patch *out = NULL;
	size_t painted, k = 0;
	int rc;

	if (!*n)
		return 0;
	rc = settling_edges(&s, *v, *n, err);
	if (!rc) {
		painted = settling_paint(&s, *v, *n);
		out = vd_calloc(painted, sizeof(*out));
		rc = out ? 0 : vd_fail_nomem(err, painted * sizeof(*out));
	}
	for (size_t i = 0; !rc && i + 1 < s.n_edges; i++) {
		const struct vd_patch *p = &(*v)[s.owner[i] < *n ? s.owner[i] : 0];
		uint64_t from;

		if (s.owner[i] == *n)
			continue;
		from = p->from == VD_PATCH_ZERO ? VD_PATCH_ZERO : p->from + (s.edge[i] - p->off);
		out[k++] = (struct vd_patch){ s.edge[i], s.edge[i + 1] - s.edge[i], from };
	}
	vd_free(s.edge);
	vd_free(s.next);
	vd_free(s.owner);
	if (rc)
		return -1;
	vd_free(*v);
	*v = out;
	*n = k;
	return 0;
}

/* ---------------------------------------------------------------- reading */

/* The first patch that ends past `off`; n: none. */
static size_t patch_at(const struct patched_file *k, uint64_t off)
{
	return vd_range_find(k->v, k->n, sizeof(*k->v), off);
}

static int inner_read(struct patched_file *k, uint8_t *buf, size_t len, uint64_t off, vd_error *err)
{
	size_t got;

	if (vd_file_pread_some(k->over.inner, buf, len, off, &got, err))
		return -1;
	memset(buf + got, 0, len - got);
	return 0;
}

static int patched_read(struct vd_file *f, uint8_t *buf, size_t len, uint64_t off, vd_error *err)
{
	struct patched_file *k = patched_of(f);
	size_t i = patch_at(k, off);

	while (len) {
		const struct vd_patch *p = i < k->n && k->v[i].off < off + len ? &k->v[i] : NULL;
		size_t now;

		if (p && p->off <= off) {
			now = vd_min(len, p->off + p->len - off);
			if (p->from == VD_PATCH_ZERO)
				memset(buf, 0, now);
			else if (inner_read(k, buf, now, p->from + (off - p->off), err))
				return -1;
			i++;
		} else {
			now = p ? p->off - off : len;
			if (inner_read(k, buf, now, off, err))
				return -1;
		}
		buf += now;
		off += now;
		len -= now;
	}
	return 0;
}

static int patched_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct patched_file *k = patched_of(f);

	if (off < vd_file_size(f) && !atomic_load(&k->live))
		return k->over.inner->ops->preadv(k->over.inner, iov, n, total, off, got, err);
	return vd_iov_read(f, iov, n, total, off, patched_read, got, err);
}

static int patched_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	struct patched_file *k = patched_of(f);
	uint64_t size = vd_file_size(k->over.inner);
	size_t i;

	if (!atomic_load(&k->live))
		return vd_file_extent(k->over.inner, off, len, data, err);
	i = patch_at(k, off);
	*data = true;
	if (i < k->n && k->v[i].off <= off) {
		*len = vd_min(*len, k->v[i].off + k->v[i].len - off);
		*data = k->v[i].from != VD_PATCH_ZERO;
		return 0;
	}
	if (i < k->n)
		*len = vd_min(*len, k->v[i].off - off);
	if (off >= size)
		*data = false;
	return off >= size ? 0 : vd_file_extent(k->over.inner, off, len, data, err);
}

/* ---------------------------------------------------------------- writing */

static int applied(struct vd_file *f, vd_error *err)
{
	if (!atomic_load(&patched_of(f)->live))
		return 0;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: its log has to be replayed before anything is written", f->name);
}

static int patched_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	if (applied(f, err) || vd_file_pwritev(patched_of(f)->over.inner, iov, n, off, err))
		return -1;
	vd_file_size_reach(f, off + total);
	return 0;
}

static int patched_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (applied(f, err) || vd_file_truncate(patched_of(f)->over.inner, size, err))
		return -1;
	atomic_store_explicit(&f->size, size, memory_order_release);
	return 0;
}

static int patched_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (applied(f, err) || vd_file_grow(patched_of(f)->over.inner, size, err))
		return -1;
	vd_file_size_reach(f, size);
	return 0;
}

static int patched_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	if (applied(f, err) || vd_file_zero(patched_of(f)->over.inner, off, len, may_punch, err))
		return -1;
	vd_file_size_reach(f, off + len);
	return 0;
}

static int patched_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	return applied(f, err) || vd_file_punch(patched_of(f)->over.inner, off, len, err) ? -1 : 0;
}

static void patched_close(struct vd_file *f)
{
	vd_free(patched_of(f)->v);
	vd_over_close(f);
}

static const struct vd_file_ops patched_ops = {
	.kind = "patched",
	.preadv = patched_preadv,
	.pwritev = patched_pwritev,
	.flush = vd_over_flush,
	.truncate = patched_truncate,
	.grow = patched_grow,
	.zero = patched_zero,
	.punch = patched_punch,
	.extent = patched_extent,
	.allocated = vd_over_allocated,
	.lock = vd_over_lock,
	.close = patched_close,
	.cache_spare = vd_over_cache_spare,
};

int vd_file_patched(struct vd_file *inner, struct vd_patch *patches, size_t n, uint64_t size, struct vd_file **out, vd_error *err)
{
	struct patched_file *k = vd_calloc(1, sizeof(*k));

	if (!k) {
		vd_free(patches);
		vd_file_close(inner);
		return vd_fail_nomem(err, sizeof(*k));
	}
	k->over.inner = inner;
	k->v = patches;
	k->n = n;
	atomic_store(&k->live, true);
	if (vd_file_head(&k->over.file, &patched_ops, inner->name, inner->flags, vd_max(size, vd_file_size(inner)), err)) {
		patched_close(&k->over.file);
		return -1;
	}
	k->over.file.fd = -1;
	*out = &k->over.file;
	return 0;
}

static int patch_apply(struct patched_file *k, const struct vd_patch *p, uint8_t *buf, size_t cap, vd_error *err)
{
	if (p->from == VD_PATCH_ZERO)
		return vd_file_zero(k->over.inner, p->off, p->len, true, err);
	for (uint64_t at = 0; at < p->len; at += cap) {
		size_t now = vd_min(cap, p->len - at);

		if (inner_read(k, buf, now, p->from + at, err) || vd_file_pwrite(k->over.inner, buf, now, p->off + at, err))
			return -1;
	}
	return 0;
}

int vd_file_patched_apply(struct vd_file *f, vd_error *err)
{
	enum { CHUNK = 65536 };
	struct patched_file *k = patched_of(f);
	VD_AUTO_FREE uint8_t *buf = NULL;

	if (!atomic_load(&k->live))
		return 0;
	buf = vd_malloc(CHUNK);
	if (!buf)
		return vd_fail_nomem(err, CHUNK);
	if (vd_file_grow(k->over.inner, vd_file_size(f), err))
		return -1;
	for (size_t i = 0; i < k->n; i++)
		if (patch_apply(k, &k->v[i], buf, CHUNK, err))
			return -1;
	if (vd_file_flush(k->over.inner, err))
		return -1;
	atomic_store(&k->live, false);
	return 0;
}

bool vd_file_patched_within(const struct vd_file *f, const struct vd_range *r, size_t n)
{
	const struct patched_file *k = (const struct patched_file *)f;

	for (size_t i = 0; i < k->n; i++) {
		size_t in = 0;

		while (in < n && (k->v[i].off < r[in].off || !vd_within(k->v[i].off - r[in].off, k->v[i].len, r[in].len)))
			in++;
		if (in == n)
			return false;
	}
	return true;
}

void vd_file_patched_show_fd(struct vd_file *f)
{
	f->fd = patched_of(f)->over.inner->fd;
}
