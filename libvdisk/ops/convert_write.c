/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A window's bytes into the space that was reserved for them; on the pool, under no lock.  Pieces that lie next to each other in
 * the host's file, whatever guest offsets they have, go in one pwritev().
 */
#include "ops/convert.h"
#include "base/bytes.h"

#define WRITER_PIECES 64

struct writer {
	struct vd_file *file;
	uint64_t host, next;
	struct iovec iov[WRITER_PIECES];
	int n;
};

static int writer_flush(struct writer *wr, vd_error *err)
{
	if (!wr->n)
		return 0;
	if (vd_file_pwritev(wr->file, wr->iov, wr->n, wr->host, err))
		return -1;
	vd_writeback_start(wr->file, wr->host, wr->next - wr->host);
	wr->n = 0;
	return 0;
}

static int writer_add(struct writer *wr, struct vd_file *file, uint64_t host, const void *p, size_t len, vd_error *err)
{
	struct iovec *last = wr->n ? &wr->iov[wr->n - 1] : NULL;

	if (last && (wr->file != file || wr->next != host || wr->n == WRITER_PIECES)) {
		if (writer_flush(wr, err))
			return -1;
		last = NULL;
	}
	if (last && (uint8_t *)last->iov_base + last->iov_len == (const uint8_t *)p) {
		last->iov_len += len;
	} else {
		if (!wr->n) {
			wr->file = file;
			wr->host = host;
		}
		wr->iov[wr->n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)p, .iov_len = len };
	}
	wr->next = host + len;
	return 0;
}

/* The part [from, to) of the window's bytes, which lies in place r. */
static int write_bytes(struct vd_conv *c, struct vd_window *w, struct writer *wr, const struct vd_resv *r, size_t from, size_t to,
                       vd_error *err)
{
	uint64_t host = r->host + (w->off + from - r->off);
	struct vd_resv part = *r;

	if (!(r->flags & VD_RESV_CIPHERED))
		return writer_add(wr, c->to->files[r->file], host, w->buf + from, to - from, err);
	part.off = w->off + from;
	part.host = host;
	part.len = to - from;
	return vd_layer_write_at(c->to, &part, w->buf + from, to - from, err);
}

static int share_bytes(struct vd_conv *c, struct vd_window *w, struct writer *wr, const struct vd_resv *r, struct vd_run *run,
                       size_t from, size_t to, vd_error *err)
{
	const struct vd_extent *x = &w->src.v[run->extent];
	uint64_t src_host = x->host + (w->off + from - x->off);

	if (vd_offload_share(vd_extent_file(c->src, x), src_host, c->to->files[r->file], r->host + (w->off + from - r->off),
	                     to - from)) {
		w->offloaded += to - from;
		return 0;
	}
	if (!run->loaded) {
		if (vd_image_read_extent(c->src, x, x->off, w->buf + run->off, run->len, err))
			return -1;
		run->loaded = true;
	}
	return write_bytes(c, w, wr, r, from, to, err);
}

/* A place that takes the window's own bytes.  `free_zeros`: what is not written there reads as zeros. */
static int write_plain(struct vd_conv *c, struct vd_window *w, struct writer *wr, const struct vd_resv *r, vd_error *err)
{
	bool ciphered = r->flags & VD_RESV_CIPHERED;
	bool free_zeros = !ciphered && (r->flags & VD_RESV_ZEROED || (c->direct && c->new_zero));
	size_t start = r->off - w->off, end = start + r->len;
	/* Ciphers work on sectors; a host file of one's own need not be longer than the disk. */
	size_t stop = c->direct ? vd_min(end, w->len) : end;

	for (size_t i = 0; i < w->runs.n; i++) {
		struct vd_run *run = &w->runs.v[i];
		size_t from = vd_max(run->off, start), to = vd_min((size_t)run->off + run->len, stop);
		bool zero = run->kind == VD_RUN_ZERO || run->kind == VD_RUN_NONE;

		if (from >= to)
			continue;
		if (zero && free_zeros && to - from >= c->skip)
			continue;
		/* by its server */
		if (zero && !ciphered && c->to->files[r->file]->flags & VD_FILE_EXPORT && to - from >= c->skip) {
			if (vd_file_zero(c->to->files[r->file], r->host + (w->off + from - r->off), to - from, true, err))
				return -1;
			continue;
		}
		if (run->extent != VD_RUN_READ && !ciphered) {
			if (share_bytes(c, w, wr, r, run, from, to, err))
				return -1;
			continue;
		}
		vd_run_fill(w, run);
		if (write_bytes(c, w, wr, r, from, to, err))
			return -1;
	}
	return 0;
}

int vd_conv_write(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	struct writer wr = { 0 };

	for (size_t i = 0; i < w->n_places; i++) {
		const struct vd_place *p = &w->places[i];
		int rc = 0;

		if (p->r.kind != VD_DATA)
			continue;
		if (p->r.flags & VD_RESV_PACKED)
			rc = writer_add(&wr, c->to->files[p->r.file], p->r.host, p->packed, p->r.packed_len, err);
		else
			rc = write_plain(c, w, &wr, &p->r, err);
		if (rc)
			return -1;
	}
	return writer_flush(&wr, err);
}
