/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file in memory, sparse by pages of 64 KiB, which stand in an array sorted by index.  A page that is not there reads as zeros
 * and is a hole.  `lock` guards the array and all content: shared for reading, exclusive for every change.
 * Invariant: bytes of a page past the file's size are zero, so that growing over them shows zeros.
 */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <pthread.h>

#define PAGE 65536u

struct page {
	uint64_t idx;
	uint8_t *data;
};

struct memory_file {
	struct vd_file file;
	pthread_rwlock_t lock;
	struct page *pages;
	size_t n, cap;
};

static struct memory_file *memory_of(struct vd_file *f) { return (struct memory_file *)f; }

/* Position of the first page whose index is at least idx. */
static size_t page_seek(const struct memory_file *m, uint64_t idx)
{
	size_t lo = 0, hi = m->n;

	if (hi && m->pages[hi - 1].idx < idx)
		return hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->pages[mid].idx < idx)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint8_t *page_get(const struct memory_file *m, uint64_t idx)
{
	size_t at = page_seek(m, idx);

	return at < m->n && m->pages[at].idx == idx ? m->pages[at].data : NULL;
}

/* The page, made if it is not there; NULL: out of memory. */
static uint8_t *page_make(struct memory_file *m, uint64_t idx)
{
	size_t at = page_seek(m, idx);
	uint8_t *data;

	if (at < m->n && m->pages[at].idx == idx)
		return m->pages[at].data;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct page *v = vd_realloc(m->pages, cap, sizeof(*v));

		if (!v)
			return NULL;
		m->pages = v;
		m->cap = cap;
	}
	data = vd_calloc(1, PAGE);
	if (!data)
		return NULL;
	memmove(m->pages + at + 1, m->pages + at, (m->n - at) * sizeof(*m->pages));
	m->pages[at] = (struct page){idx, data};
	m->n++;
	return data;
}

/* Drops the pages with indexes in [from, to). */
static void pages_drop(struct memory_file *m, uint64_t from, uint64_t to)
{
	size_t a = page_seek(m, from), b = page_seek(m, to);

	if (a == b) /* and where there is no page yet, no array */
		return;
	for (size_t i = a; i < b; i++)
		vd_free(m->pages[i].data);
	memmove(m->pages + a, m->pages + b, (m->n - b) * sizeof(*m->pages));
	m->n -= b - a;
}

static void bytes_read(const struct memory_file *m, uint8_t *buf, size_t len, uint64_t off)
{
	while (len) {
		size_t n = (size_t)vd_min(len, PAGE - off % PAGE);
		const uint8_t *data = page_get(m, off / PAGE);

		if (data)
			memcpy(buf, data + off % PAGE, n);
		else
			memset(buf, 0, n);
		buf += n;
		off += n;
		len -= n;
	}
}

static bool bytes_write(struct memory_file *m, const uint8_t *buf, size_t len, uint64_t off)
{
	while (len) {
		size_t n = (size_t)vd_min(len, PAGE - off % PAGE);
		uint8_t *data = page_make(m, off / PAGE);

		if (!data)
			return false;
		memcpy(data + off % PAGE, buf, n);
		buf += n;
		off += n;
		len -= n;
	}
	return true;
}

/* Whole pages go, the parts of pages at either end are cleared. */
static void bytes_zero(struct memory_file *m, uint64_t off, uint64_t end)
{
	uint64_t first = vd_div_up(off, PAGE), last = end / PAGE;
	uint8_t *data;

	if (off % PAGE && (data = page_get(m, off / PAGE)))
		memset(data + off % PAGE, 0, (size_t)(vd_min(end, first * PAGE) - off));
	if (end % PAGE && last >= first && (data = page_get(m, last)))
		memset(data, 0, (size_t)(end % PAGE));
	if (first < last)
		pages_drop(m, first, last);
}

static int piece_read(struct vd_file *f, uint8_t *buf, size_t len, uint64_t off, vd_error *err)
{
	(void)err;
	bytes_read(memory_of(f), buf, len, off);
	return 0;
}

static int memory_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct memory_file *m = memory_of(f);
	int rc;

	pthread_rwlock_rdlock(&m->lock);
	rc = vd_iov_read(f, iov, n, total, off, piece_read, got, err);
	pthread_rwlock_unlock(&m->lock);
	return rc;
}

static int memory_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct memory_file *m = memory_of(f);
	bool ok = true;

	(void)total;
	pthread_rwlock_wrlock(&m->lock);
	for (int i = 0; i < n && ok; i++) {
		ok = bytes_write(m, iov[i].iov_base, iov[i].iov_len, off);
		off += iov[i].iov_len;
		/* After each, also the failing one: what lies past the size must be zero. */
		vd_file_size_reach(f, off);
	}
	pthread_rwlock_unlock(&m->lock);
	return ok ? 0 : vd_fail_nomem(err, PAGE);
}

static int memory_flush(struct vd_file *f, vd_error *err)
{
	(void)f, (void)err;
	return 0;
}

static int memory_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	struct memory_file *m = memory_of(f);

	(void)err;
	pthread_rwlock_wrlock(&m->lock);
	if (size < vd_file_size(f))
		bytes_zero(m, size, vd_up(vd_file_size(f), PAGE));
	atomic_store_explicit(&f->size, size, memory_order_release);
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int memory_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	(void)err;
	vd_file_size_reach(f, size);
	return 0;
}

static int memory_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct memory_file *m = memory_of(f);

	(void)may_punch, (void)err;
	pthread_rwlock_wrlock(&m->lock);
	bytes_zero(m, off, off + len);
	vd_file_size_reach(f, off + len);
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int memory_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct memory_file *m = memory_of(f);

	(void)err;
	pthread_rwlock_wrlock(&m->lock);
	bytes_zero(m, off, off + len);
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static int memory_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	struct memory_file *m = memory_of(f);
	uint64_t end, idx = off / PAGE;
	size_t at;

	(void)err;
	pthread_rwlock_rdlock(&m->lock);
	at = page_seek(m, idx);
	*data = at < m->n && m->pages[at].idx == idx;
	if (*data) {
		while (at + 1 < m->n && m->pages[at + 1].idx == m->pages[at].idx + 1)
			at++;
		end = (m->pages[at].idx + 1) * PAGE;
	} else {
		end = at < m->n ? m->pages[at].idx * PAGE : UINT64_MAX;
	}
	pthread_rwlock_unlock(&m->lock);
	*len = vd_min(*len, end - off);
	return 0;
}

static int memory_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err)
{
	struct memory_file *m = memory_of(f);

	(void)err;
	pthread_rwlock_rdlock(&m->lock);
	*bytes = (uint64_t)m->n * PAGE;
	pthread_rwlock_unlock(&m->lock);
	return 0;
}

static void memory_close(struct vd_file *f)
{
	struct memory_file *m = memory_of(f);

	pages_drop(m, 0, UINT64_MAX);
	vd_free(m->pages);
	pthread_rwlock_destroy(&m->lock);
	vd_free(m);
}

static const struct vd_file_ops memory_ops = {
	.kind = "memory",
	.preadv = memory_preadv,
	.pwritev = memory_pwritev,
	.flush = memory_flush,
	.truncate = memory_truncate,
	.grow = memory_grow,
	.zero = memory_zero,
	.punch = memory_punch,
	.extent = memory_extent,
	.allocated = memory_allocated,
	.close = memory_close,
};

int vd_file_memory(const char *name, const void *init, size_t len, struct vd_file **out, vd_error *err)
{
	struct memory_file *m = vd_calloc(1, sizeof(*m));

	if (!m || pthread_rwlock_init(&m->lock, NULL)) {
		vd_free(m);
		return vd_fail_nomem(err, sizeof(*m));
	}
	if (vd_file_head(&m->file, &memory_ops, name, VD_FILE_SEEKABLE | VD_FILE_ZERO_TAIL, 0, err)) {
		memory_close(&m->file);
		return -1;
	}
	if (len && vd_file_pwrite(&m->file, init, len, 0, err)) {
		vd_file_close(&m->file);
		return -1;
	}
	*out = &m->file;
	return 0;
}
