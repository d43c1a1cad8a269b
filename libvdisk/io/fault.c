/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file whose nth operation fails, with nothing done; for tests.  Everything else passes through to the file inside. */
#include "io/testfile.h"
#include "io/kind.h"
#include "base/alloc.h"

struct fault_file {
	struct vd_over over;
	struct vd_fault *fault;
};

static struct fault_file *fault_of(struct vd_file *f) { return (struct fault_file *)f; }

/* Counts an operation; true: it is to fail. */
static bool strikes(struct vd_fault *fault, uint32_t op)
{
	long left;

	if (!(fault->ops & op))
		return false;
	left = atomic_load(&fault->countdown);
	while (left > 0 && !atomic_compare_exchange_weak(&fault->countdown, &left, left - 1))
		;
	if (left != 1 && !(left == 0 && fault->persistent))
		return false;
	atomic_fetch_add(&fault->hits, 1);
	return true;
}

static int fail(struct vd_file *f, uint64_t off, const char *what, vd_error *err)
{
	return vd_fail_errno(err, fault_of(f)->fault->sys_errno, off, "%s: cannot %s (injected)", f->name, what);
}

/* The size as the inner one has it; several threads may do this at once, so only a truncation moves it down. */
static int size_follow(struct vd_file *f, int r)
{
	vd_file_size_reach(f, vd_file_size(fault_of(f)->over.inner));
	return r;
}

static int fault_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct vd_file *inner = fault_of(f)->over.inner;

	*got = 0;
	if (strikes(fault_of(f)->fault, VD_FAULT_READ))
		return fail(f, off, "read", err);
	if (inner->ops->preadv(inner, iov, n, total, off, got, err))
		return -1;
	if (!(f->flags & VD_FILE_SEEKABLE))
		atomic_store(&f->size, vd_file_size(inner)); /* known once the stream's end was seen */
	return 0;
}

static int fault_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	(void)total;
	if (strikes(fault_of(f)->fault, VD_FAULT_WRITE))
		return fail(f, off, "write", err);
	return size_follow(f, vd_file_pwritev(fault_of(f)->over.inner, iov, n, off, err));
}

static int fault_flush(struct vd_file *f, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_FLUSH))
		return fail(f, VDISK_NO_OFFSET, "flush", err);
	return vd_file_flush(fault_of(f)->over.inner, err);
}

static int fault_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_OTHER))
		return fail(f, VDISK_NO_OFFSET, "truncate", err);
	if (vd_file_truncate(fault_of(f)->over.inner, size, err))
		return -1;
	atomic_store(&f->size, vd_file_size(fault_of(f)->over.inner));
	return 0;
}

static int fault_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_OTHER))
		return fail(f, VDISK_NO_OFFSET, "grow", err);
	return size_follow(f, vd_file_grow(fault_of(f)->over.inner, size, err));
}

static int fault_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_OTHER))
		return fail(f, off, "zero", err);
	return size_follow(f, vd_file_zero(fault_of(f)->over.inner, off, len, may_punch, err));
}

static int fault_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_OTHER))
		return fail(f, off, "punch", err);
	return vd_file_punch(fault_of(f)->over.inner, off, len, err);
}

static int fault_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	if (strikes(fault_of(f)->fault, VD_FAULT_OTHER))
		return fail(f, off, "ask for holes", err);
	return vd_file_extent(fault_of(f)->over.inner, off, len, data, err);
}

static const struct vd_file_ops fault_ops = {
	.kind = "fault",
	.preadv = fault_preadv,
	.pwritev = fault_pwritev,
	.flush = fault_flush,
	.truncate = fault_truncate,
	.grow = fault_grow,
	.zero = fault_zero,
	.punch = fault_punch,
	.extent = fault_extent,
	.allocated = vd_over_allocated,
	.lock = vd_over_lock,
	.close = vd_over_close,
	.release = vd_over_release,
};

int vd_file_fault(struct vd_file *inner, struct vd_fault *fault, struct vd_file **out, vd_error *err)
{
	struct fault_file *x = vd_calloc(1, sizeof(*x));

	if (!x) {
		vd_file_close(inner);
		return vd_fail_nomem(err, sizeof(*x));
	}
	x->over.inner = inner;
	x->fault = fault;
	if (vd_file_head(&x->over.file, &fault_ops, inner->name, inner->flags, vd_file_size(inner), err)) {
		vd_over_close(&x->over.file);
		return -1;
	}
	*out = &x->over.file;
	return 0;
}
