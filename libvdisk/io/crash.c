/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that remember what was done to them since they were handed over, so that the state after a power cut at any point can be
 * built; for tests.  The operations of all files of one vd_crash stand in one journal; its index is the clock.  `lock` guards the
 * journal.
 *
 * A write is entered when it is complete, a flush with the clock at its start: it covers just what was complete then.  So what a
 * crash may take away is never less than what a real disk might lose.
 */
#include "io/testfile.h"
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <pthread.h>

#define FILES 16
#define SECTOR 512u

enum op_kind { OP_WRITE, OP_ZERO, OP_PUNCH, OP_TRUNCATE, OP_FLUSH };

struct op {
	enum op_kind kind;
	unsigned file;
	uint64_t off, len;     /* TRUNCATE: len is the size */
	unsigned long covered; /* FLUSH: operations before this one are durable */
	uint8_t *bytes;        /* WRITE */
};

struct vd_crash {
	pthread_mutex_t lock;
	struct op *ops;
	unsigned long n, cap;
	struct vd_file *start[FILES]; /* what was durable at first */
	unsigned n_files;
};

struct crash_file {
	struct vd_over over; /* inner: the content as programs see it */
	struct vd_crash *crash;
	unsigned id;
};

static struct crash_file *crash_of(struct vd_file *f) { return (struct crash_file *)f; }

struct vd_crash *vd_crash_new(void)
{
	struct vd_crash *c = vd_calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

void vd_crash_free(struct vd_crash *c)
{
	if (!c)
		return;
	for (unsigned long i = 0; i < c->n; i++)
		vd_free(c->ops[i].bytes);
	for (unsigned i = 0; i < c->n_files; i++)
		vd_file_close(c->start[i]);
	vd_free(c->ops);
	pthread_mutex_destroy(&c->lock);
	vd_free(c);
}

unsigned long vd_crash_ops(const struct vd_crash *c)
{
	struct vd_crash *open = (struct vd_crash *)(uintptr_t)c;
	unsigned long n;

	pthread_mutex_lock(&open->lock);
	n = c->n;
	pthread_mutex_unlock(&open->lock);
	return n;
}

/* Takes op->bytes. */
static int journal_add(struct vd_crash *c, const struct op *op, vd_error *err)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (c->n == c->cap) {
		unsigned long cap = c->cap ? c->cap * 2 : 256;
		struct op *v = vd_realloc(c->ops, cap, sizeof(*v));

		if (v) {
			c->ops = v;
			c->cap = cap;
		}
	}
	if (c->n < c->cap) {
		c->ops[c->n++] = *op;
	} else {
		vd_free(op->bytes);
		r = vd_fail_nomem(err, c->cap * 2 * sizeof(*op));
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* ---- the file */

static int crash_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct crash_file *x = crash_of(f);
	struct op op = {.kind = OP_WRITE, .file = x->id, .off = off, .len = total, .bytes = vd_malloc(total)};
	size_t at = 0;

	if (!op.bytes)
		return vd_fail_nomem(err, total);
	for (int i = 0; i < n; at += iov[i].iov_len, i++)
		if (iov[i].iov_len)
			memcpy(op.bytes + at, iov[i].iov_base, iov[i].iov_len);
	if (vd_file_pwrite(x->over.inner, op.bytes, total, off, err)) {
		vd_free(op.bytes);
		return -1;
	}
	vd_file_size_reach(f, off + total);
	return journal_add(x->crash, &op, err);
}

static int crash_flush(struct vd_file *f, vd_error *err)
{
	struct crash_file *x = crash_of(f);
	struct op op = {.kind = OP_FLUSH, .file = x->id, .covered = vd_crash_ops(x->crash)};

	return journal_add(x->crash, &op, err);
}

static int crash_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	struct crash_file *x = crash_of(f);
	struct op op = {.kind = OP_TRUNCATE, .file = x->id, .len = size};

	if (vd_file_truncate(x->over.inner, size, err))
		return -1;
	atomic_store(&f->size, size);
	return journal_add(x->crash, &op, err);
}

static int crash_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct crash_file *x = crash_of(f);
	struct op op = {.kind = OP_ZERO, .file = x->id, .off = off, .len = len};

	if (vd_file_zero(x->over.inner, off, len, may_punch, err))
		return -1;
	vd_file_size_reach(f, off + len);
	return journal_add(x->crash, &op, err);
}

static int crash_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct crash_file *x = crash_of(f);
	struct op op = {.kind = OP_PUNCH, .file = x->id, .off = off, .len = len};

	return vd_file_punch(x->over.inner, off, len, err) ? -1 : journal_add(x->crash, &op, err);
}

static const struct vd_file_ops crash_ops = {
	.kind = "crash",
	.preadv = vd_over_preadv,
	.pwritev = crash_pwritev,
	.flush = crash_flush,
	.truncate = crash_truncate,
	.grow = crash_truncate, /* no other thread appends here */
	.zero = crash_zero,
	.punch = crash_punch,
	.extent = vd_over_extent,
	.allocated = vd_over_allocated,
	.close = vd_over_close,
};

/* A memory file with the same content. */
static int file_copy(struct vd_file *from, struct vd_file **out, vd_error *err)
{
	VD_AUTO_FREE uint8_t *buf = vd_malloc(65536);
	uint64_t size = vd_file_size(from), len;
	struct vd_file *to;
	bool data;

	if (!buf)
		return vd_fail_nomem(err, 65536);
	if (vd_file_memory(from->name, NULL, 0, &to, err))
		return -1;
	for (uint64_t off = 0; off < size; off += len) {
		len = vd_min(size - off, 65536);
		if (vd_file_extent(from, off, &len, &data, err) ||
		    (data && (vd_file_pread(from, buf, (size_t)len, off, err) || vd_file_pwrite(to, buf, (size_t)len, off, err))))
			goto fail;
	}
	if (vd_file_truncate(to, size, err))
		goto fail;
	*out = to;
	return 0;
fail:
	vd_file_close(to);
	return -1;
}

int vd_file_crash(struct vd_crash *c, struct vd_file *inner, struct vd_file **out, unsigned *id, vd_error *err)
{
	struct crash_file *x = vd_calloc(1, sizeof(*x));

	if (!x) {
		vd_file_close(inner);
		return vd_fail_nomem(err, sizeof(*x));
	}
	x->over.inner = inner;
	x->crash = c;
	x->id = c->n_files;
	if (vd_file_head(&x->over.file, &crash_ops, inner->name, inner->flags, vd_file_size(inner), err)) {
		vd_over_close(&x->over.file);
		return -1;
	}
	if (c->n_files == FILES) {
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: one crash clock serves %d files", inner->name, FILES);
		goto fail;
	}
	if (file_copy(inner, &c->start[c->n_files], err))
		goto fail;
	c->n_files++;
	*id = x->id;
	*out = &x->over.file;
	return 0;
fail:
	vd_file_close(&x->over.file);
	return -1;
}

/* ---- after the crash */

struct dice {
	uint64_t state;
};

/* splitmix64 */
static uint64_t dice_roll(struct dice *d)
{
	uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

struct aftermath {
	struct vd_file *out;
	enum vd_crash_mode mode;
	struct dice dice;
	bool torn; /* the one torn sector is there */
};

static bool kept(struct aftermath *a)
{
	return a->mode == VD_CRASH_KEEP || (a->mode != VD_CRASH_DROP && (dice_roll(&a->dice) & 1));
}

static int op_apply(struct vd_file *out, const struct op *op, vd_error *err)
{
	switch (op->kind) {
	case OP_WRITE:
		return vd_file_pwrite(out, op->bytes, (size_t)op->len, op->off, err);
	case OP_ZERO:
		return vd_file_zero(out, op->off, op->len, true, err);
	case OP_PUNCH: /* unlike the former, never longer */
		return vd_file_punch(out, op->off, op->len, err);
	case OP_TRUNCATE:
		return vd_file_truncate(out, op->len, err);
	case OP_FLUSH:
		break;
	}
	return 0;
}

/* Sectors are kept or not, each for itself; one of all may stop in its middle. */
static int write_scatter(struct aftermath *a, const struct op *op, vd_error *err)
{
	size_t n;

	for (uint64_t at = 0; at < op->len; at += n) {
		uint64_t off = op->off + at;

		n = (size_t)vd_min(op->len - at, SECTOR - off % SECTOR);
		if (a->mode == VD_CRASH_TEAR && !a->torn && !(dice_roll(&a->dice) & 3)) {
			a->torn = true;
			if (vd_file_pwrite(a->out, op->bytes + at, n / 2, off, err))
				return -1;
		} else if (kept(a) && vd_file_pwrite(a->out, op->bytes + at, n, off, err)) {
			return -1;
		}
	}
	return 0;
}

/* An operation that no flush covers. */
static int op_gamble(struct aftermath *a, const struct op *op, vd_error *err)
{
	uint64_t end = op->off + op->len, size = vd_file_size(a->out);

	if (a->mode == VD_CRASH_KEEP || a->mode == VD_CRASH_DROP || op->kind != OP_WRITE)
		return kept(a) ? op_apply(a->out, op, err) : 0;
	/* The length may reach the disk without the bytes. */
	if (end > size && kept(a) && vd_file_truncate(a->out, end, err))
		return -1;
	return write_scatter(a, op, err);
}

int vd_crash_image(struct vd_crash *c, unsigned id, unsigned long upto, enum vd_crash_mode mode, uint64_t seed,
                   struct vd_file **out, vd_error *err)
{
	struct aftermath a = {.mode = mode, .dice = {seed ^ (uint64_t)id << 56}};
	unsigned long durable = 0;
	int r = 0;

	if (id >= c->n_files)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "no file %u under this crash clock", id);
	if (file_copy(c->start[id], &a.out, err))
		return -1;
	pthread_mutex_lock(&c->lock);
	upto = upto < c->n ? upto : c->n;
	for (unsigned long i = 0; i < upto; i++)
		if (c->ops[i].file == id && c->ops[i].kind == OP_FLUSH)
			durable = c->ops[i].covered > durable ? c->ops[i].covered : durable;
	for (unsigned long i = 0; i < upto && !r; i++)
		if (c->ops[i].file == id)
			r = i < durable ? op_apply(a.out, &c->ops[i], err) : op_gamble(&a, &c->ops[i], err);
	pthread_mutex_unlock(&c->lock);
	if (r) {
		vd_file_close(a.out);
		return -1;
	}
	*out = a.out;
	return 0;
}
