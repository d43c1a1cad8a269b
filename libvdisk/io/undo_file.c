/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file whose changes an undo journal guards: before each, the journal has what it takes to take it back (U1, U2).  The length of
 * the inner file moves with what is done here.  No lock of its own: the journal's is held while something is logged, and given up
 * before the change.
 */
#include "io/kind.h"
#include "io/undo_journal.h"
#include "base/alloc.h"
#include "base/bytes.h"

struct undo_file {
	struct vd_over over;
	struct vd_undo *u;
	unsigned index;
};

static struct undo_file *undo_of(struct vd_file *f) { return (struct undo_file *)f; }

static int guard(struct undo_file *g, uint64_t off, uint64_t len, vd_error *err)
{
	return vd_undo_guard(g->u, g->index, g->over.inner, off, len, err);
}

static int undo_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	if (guard(g, off, total, err) || vd_file_pwritev(g->over.inner, iov, n, off, err))
		return -1;
	vd_file_size_reach(f, off + total);
	return 0;
}

static int undo_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	/* A longer one changes its last block at most: by a length, not by a byte. */
	if (guard(g, size, UINT64_MAX - size, err) || vd_file_truncate(g->over.inner, size, err))
		return -1;
	atomic_store_explicit(&f->size, vd_file_size(g->over.inner), memory_order_release);
	return 0;
}

static int undo_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	if (guard(g, size, 0, err) || vd_file_grow(g->over.inner, size, err))
		return -1;
	vd_file_size_reach(f, size);
	return 0;
}

static int undo_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	if (guard(g, off, len, err) || vd_file_zero(g->over.inner, off, len, may_punch, err))
		return -1;
	vd_file_size_reach(f, off + len);
	return 0;
}

static int undo_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	return guard(g, off, len, err) || vd_file_punch(g->over.inner, off, len, err) ? -1 : 0;
}

static const struct vd_file_ops undo_ops = {
	.kind = "undo",
	.preadv = vd_over_preadv,
	.pwritev = undo_pwritev,
	.flush = vd_over_flush,
	.truncate = undo_truncate,
	.grow = undo_grow,
	.zero = undo_zero,
	.punch = undo_punch,
	.extent = vd_over_extent,
	.allocated = vd_over_allocated,
	.lock = vd_over_lock,
	.close = vd_over_close,
};

/* A new file of the journal, or the one that it knows by that name. */
static int enter(struct vd_undo *u, struct vd_file *inner, const char *name, unsigned *i, vd_error *err)
{
	VD_AUTO_FREE char *text = NULL;
	struct undo_record r = { .kind = UNDO_FILE, .off = vd_file_size(inner) };
	struct vd_identity id = { 0 };
	int known = vd_undo_find(u, name);

	if (known >= 0) {
		*i = (unsigned)known;
		return 0;
	}
	if (inner->fd >= 0 && vd_identity_of(inner->fd, &id, NULL))
		id = (struct vd_identity){ 0 };
	text = vd_asprintf("inode %" PRIu64 "\nbirth %" PRIu64 "\nname %s", id.ino, id.birth, name);
	if (!text)
		return vd_fail_nomem(err, strlen(name));
	r.len = strlen(text);
	if (r.len > UNDO_TEXT)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: its name is too long for an undo journal",
		               inner->name);
	if (vd_undo_file_add(u, name, r.off, &id, i, err))
		return -1;
	r.file = *i;
	return vd_undo_append(u, &r, text, err);
}

int vd_file_undo(struct vd_file *inner, struct vd_undo *u, const char *name, struct vd_file **out, vd_error *err)
{
	struct undo_file *g = vd_calloc(1, sizeof(*g));
	int rc;

	if (!g) {
		vd_file_close(inner);
		return vd_fail_nomem(err, sizeof(*g));
	}
	g->over.inner = inner;
	g->u = u;
	if (vd_file_head(&g->over.file, &undo_ops, inner->name, inner->flags, vd_file_size(inner), err)) {
		vd_over_close(&g->over.file);
		return -1;
	}
	g->over.file.fd = inner->fd;
	pthread_mutex_lock(&u->lock);
	rc = enter(u, inner, name, &g->index, err);
	pthread_mutex_unlock(&u->lock);
	if (rc) {
		vd_file_close(&g->over.file);
		return -1;
	}
	*out = &g->over.file;
	return 0;
}

int vd_file_undo_log(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct undo_file *g = undo_of(f);

	return f->ops == &undo_ops ? vd_undo_log(g->u, g->index, g->over.inner, off, len, err) : 0;
}
