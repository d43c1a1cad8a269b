/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An export as a file.  Requests are cut to what the server takes; where it wants whole blocks, ragged edges are read, and
 * written by reading the block first.  `edges` is held over that; `lock` guards the runs, which say what is zeros of the stretch
 * that was asked about last (for reading only: nobody changes them).
 */
#include "io/nbd.h"
#include "io/kind.h"
#include "io/nbd_link.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define AT_ONCE      (256u << 20) /* of zeroing and trimming */
#define ASKED        (1u << 31)   /* of holes: nothing is done for that */
#define LOOK         (1u << 20)   /* so much is asked about before it is zeroed */
#define BLANK_ROUNDS 8192u        /* 16 TiB: a larger export is not looked through */

struct nbd_file {
	struct vd_file file;
	struct vd_nbd_link *link;
	bool borrowed;           /* the link is another file's */
	_Atomic bool dirty;      /* written to since the last flush */
	_Atomic bool unflushed;  /* a flush failed: what it was for may be lost, though the next one succeeds */
	pthread_mutex_t edges, lock;
	struct vd_nbd_runs *runs;
};

static struct nbd_file *nbd_of(struct vd_file *f) { return (struct nbd_file *)f; }

static const struct vd_nbd_facts *facts_of(const struct nbd_file *d) { return vd_nbd_link_facts(d->link); }

/* ---------------------------------------------------------------- bytes */

/* The part of a block that begins at `off`, `len` bytes of it. */
static int edge_do(struct nbd_file *d, bool write, void *buf, uint64_t off, size_t len, vd_error *err)
{
	uint32_t least = facts_of(d)->least;
	uint64_t from = vd_down(off, least);
	VD_AUTO_FREE uint8_t *block = vd_malloc(least);
	struct vd_nbd_work w = { .what = VD_NBD_READ, .buf = block, .off = from, .len = least };
	int rc;

	if (!block)
		return vd_fail_nomem(err, least);
	if (write)
		pthread_mutex_lock(&d->edges);
	rc = vd_nbd_link_do(d->link, &w, err);
	if (!rc && write) {
		memcpy(block + (off - from), buf, len);
		w.what = VD_NBD_WRITE;
		rc = vd_nbd_link_do(d->link, &w, err);
	} else if (!rc) {
		memcpy(buf, block + (off - from), len);
	}
	if (write)
		pthread_mutex_unlock(&d->edges);
	return rc;
}

static int bytes_do(struct nbd_file *d, bool write, uint8_t *buf, uint64_t off, size_t len, vd_error *err)
{
	const struct vd_nbd_facts *f = facts_of(d);

	while (len) {
		struct vd_nbd_work w = { .what = write ? VD_NBD_WRITE : VD_NBD_READ, .buf = buf, .off = off };
		uint64_t part;
		int rc;

		if (off % f->least || len < f->least) {
			part = vd_min(len, f->least - off % f->least);
			rc = edge_do(d, write, buf, off, (size_t)part, err);
		} else {
			part = w.len = vd_min(vd_down(len, f->least), f->most);
			rc = vd_nbd_link_do(d->link, &w, err);
		}
		if (rc)
			return -1;
		buf += part;
		off += part;
		len -= (size_t)part;
	}
	return 0;
}

static int bytes_read(struct vd_file *f, uint8_t *buf, size_t len, uint64_t off, vd_error *err)
{
	return bytes_do(nbd_of(f), false, buf, off, len, err);
}

static int export_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	return vd_iov_read(f, iov, n, total, off, bytes_read, got, err);
}

static int inside_judge(const struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	if (vd_within(off, len, vd_file_size(f)))
		return 0;
	return vd_fail_errno(err, ENOSPC, off, "%s: has %" PRIu64 " bytes, no place for %" PRIu64 " at offset %" PRIu64, f->name,
	                     vd_file_size(f), len, off);
}

static int export_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct nbd_file *d = nbd_of(f);

	if (inside_judge(f, off, total, err))
		return -1;
	atomic_store(&d->dirty, true);
	for (int i = 0; i < n; off += iov[i].iov_len, i++)
		if (bytes_do(d, true, iov[i].iov_base, off, iov[i].iov_len, err))
			return -1;
	return 0;
}

/* ---------------------------------------------------------------- holes and zeros */

/* What lies from `off` on, whole blocks, `len` bytes of them at most. */
static int runs_ask(struct nbd_file *d, uint64_t off, uint64_t len, struct vd_nbd_runs *r, vd_error *err)
{
	struct vd_nbd_work w = { .what = VD_NBD_EXTENTS, .off = off, .len = vd_min(len, ASKED), .runs = r };

	return vd_nbd_link_do(d->link, &w, err);
}

/* The run that `off` lies in; false: they do not say. */
static bool runs_find(const struct vd_nbd_runs *r, uint64_t off, uint64_t *end, bool *zero)
{
	size_t lo = 0, hi = r->n;

	if (off < r->off || !r->n || off >= r->v[r->n - 1].end)
		return false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].end > off)
			hi = mid;
		else
			lo = mid + 1;
	}
	*end = r->v[lo].end;
	*zero = r->v[lo].zero;
	return true;
}

static int export_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	struct nbd_file *d = nbd_of(f);
	uint64_t from = vd_down(off, facts_of(d)->least), size = vd_file_size(f), end;
	bool zero = false;
	int rc = 0;

	if (off >= size || !facts_of(d)->extents)
		return 0;
	pthread_mutex_lock(&d->lock);
	if (!(f->flags & VD_FILE_RDONLY) || !runs_find(d->runs, off, &end, &zero)) {
		/* More than was asked about comes at the same price, and is asked about next. */
		rc = runs_ask(d, from, size - from, d->runs, err);
		if (rc)
			d->runs->n = 0;
		else if (!runs_find(d->runs, off, &end, &zero))
			end = off + *len;
	}
	if (!rc) {
		*len = vd_min(*len, vd_min(end, size) - off);
		*data = !zero;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int zeros_write(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct iovec iov[VD_IOV_WINDOW];
	size_t total;

	for (; len; off += total, len -= total) {
		int n = vd_iov_zeros(iov, VD_IOV_WINDOW, len, &total);

		if (export_pwritev(f, iov, n, total, off, err))
			return -1;
	}
	return 0;
}

/* How much from `off` on is of one kind; 0: the server does not say. */
static int zeros_look(struct nbd_file *d, uint64_t off, uint64_t len, struct vd_nbd_runs *r, bool *zero, uint64_t *part,
                      vd_error *err)
{
	*zero = false;
	*part = len;
	if (!facts_of(d)->extents)
		return 0;
	if (runs_ask(d, off, len, r, err))
		return -1;
	*zero = r->v[0].zero;
	*part = vd_min(len, r->v[0].end - off);
	return 0;
}

/* Whole blocks, AT_ONCE at most.  By one request; else trimmed, if that makes zeros of them; else written. */
static int blocks_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, struct vd_nbd_runs *r, vd_error *err)
{
	struct nbd_file *d = nbd_of(f);
	struct vd_nbd_work w = { .what = VD_NBD_ZERO, .off = off, .len = len, .no_hole = !may_punch };
	uint64_t part;
	bool zero;

	if (facts_of(d)->zero) {
		if (!vd_nbd_link_do(d->link, &w, err))
			return 0;
		if (!w.refused)
			return -1;
	} else if (may_punch && facts_of(d)->trim && facts_of(d)->extents) {
		w.what = VD_NBD_TRIM;
		if (!vd_nbd_link_do(d->link, &w, err)) {
			if (zeros_look(d, off, len, r, &zero, &part, err))
				return -1;
			if (zero && part == len)
				return 0;
		} else if (!w.refused) {
			return -1;
		}
	}
	return zeros_write(f, off, len, err);
}

static int export_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct nbd_file *d = nbd_of(f);
	uint32_t least = facts_of(d)->least;
	uint64_t from = vd_up(off, least), to = vd_down(off + len, least), part;
	VD_AUTO_FREE struct vd_nbd_runs *r = NULL;
	bool zero = false;

	if (inside_judge(f, off, len, err))
		return -1;
	atomic_store(&d->dirty, true);
	if (from >= to)
		return zeros_write(f, off, len, err);
	r = vd_malloc(sizeof(*r));
	if (!r)
		return vd_fail_nomem(err, sizeof(*r));
	for (uint64_t at = from; at < to; at += part) {
		part = vd_min(to - at, AT_ONCE);
		/* A small piece is zeroed sooner than it is asked about; but no zeros are sent where there are some. */
		if ((part >= LOOK || !facts_of(d)->zero) && zeros_look(d, at, part, r, &zero, &part, err))
			return -1;
		if (part % least) { /* a server that tells of parts of blocks */
			zero = zero && part > least;
			part = vd_max(vd_down(part, least), least);
		}
		if (!(zero && may_punch) && blocks_zero(f, at, part, may_punch, r, err))
			return -1;
	}
	return zeros_write(f, off, from - off, err) || zeros_write(f, to, off + len - to, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- the rest */

static int export_flush(struct vd_file *f, vd_error *err)
{
	struct nbd_file *d = nbd_of(f);
	struct vd_nbd_work w = { .what = VD_NBD_FLUSH };

	if (atomic_load(&d->unflushed))
		return vd_fail_errno(err, EIO, VDISK_NO_OFFSET, "%s: an earlier flush failed", f->name);
	if (!atomic_exchange(&d->dirty, false) || !facts_of(d)->flush)
		return 0;
	if (!vd_nbd_link_do(d->link, &w, err))
		return 0;
	atomic_store(&d->unflushed, true);
	return -1;
}

static int export_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (size == vd_file_size(f))
		return 0;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
	               "%s: an export keeps its size of %" PRIu64 " bytes (%" PRIu64 " are wanted)", f->name, vd_file_size(f),
	               size);
}

static void export_end(struct vd_file *f)
{
	struct nbd_file *d = nbd_of(f);

	if (d->link && !d->borrowed)
		vd_nbd_link_close(d->link);
	vd_free(d->runs);
	pthread_mutex_destroy(&d->edges);
	pthread_mutex_destroy(&d->lock);
	vd_free(d);
}

static const struct vd_file_ops export_ops = {
	.kind = "nbd",
	.preadv = export_preadv,
	.pwritev = export_pwritev,
	.flush = export_flush,
	.truncate = export_truncate,
	.zero = export_zero,
	.extent = export_extent,
	.close = export_end,
};

/* All of it reads as zeros, by the server's word; one that does not want to say is not asked twice. */
static bool blank(struct nbd_file *d)
{
	uint64_t size = facts_of(d)->size, off = 0;

	for (unsigned i = 0; facts_of(d)->extents && i < BLANK_ROUNDS && off < size; i++) {
		if (runs_ask(d, off, size - off, d->runs, NULL) || !d->runs->v[0].zero)
			return false;
		off = d->runs->v[0].end;
	}
	return size && off >= size;
}

/* Takes the link unless it is borrowed. */
static int file_new(const char *name, struct vd_nbd_link *link, bool borrowed, bool write, struct vd_file **out, vd_error *err)
{
	struct nbd_file *d = vd_calloc(1, sizeof(*d));
	uint32_t flags = VD_FILE_SEEKABLE | VD_FILE_EXPORT | (write ? VD_FILE_BLOCKDEV : VD_FILE_RDONLY);

	if (!d) {
		if (!borrowed)
			vd_nbd_link_close(link);
		return vd_fail_nomem(err, sizeof(*d));
	}
	pthread_mutex_init(&d->edges, NULL);
	pthread_mutex_init(&d->lock, NULL);
	d->link = link;
	d->borrowed = borrowed;
	d->runs = vd_calloc(1, sizeof(*d->runs));
	if (!d->runs || vd_file_head(&d->file, &export_ops, name, flags, facts_of(d)->size, err)) {
		export_end(&d->file);
		return vd_fail_nomem(err, sizeof(*d->runs));
	}
	if (write && blank(d))
		d->file.flags |= VD_FILE_BLANK;
	*out = &d->file;
	return 0;
}

int vd_file_nbd(const char *uri, bool write, const volatile int *cancel, struct vd_file **out, vd_error *err)
{
	struct vd_nbd_link *link;

	return vd_nbd_link_open(uri, write, cancel, &link, err) || file_new(uri, link, false, write, out, err) ? -1 : 0;
}

int vd_file_nbd_again(struct vd_file *f, struct vd_file **out, vd_error *err)
{
	return file_new(f->name, nbd_of(f)->link, true, false, out, err);
}
