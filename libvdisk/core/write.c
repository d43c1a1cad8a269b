/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing.  What may be overwritten in place is; the rest takes the road claim → fill → reserve → write → publish, once for all
 * formats.
 *
 *  W1. A unit that is not wholly allocated is written under an exclusive claim on the whole unit, so two partial writers never race
 *      for one new unit, and a fill never misses what another writer put there.
 *  W2. No layer lock is held while bytes move; the claim keeps the mapping still.
 *  W3. Claims are rounded to sectors at least: a cipher rewrites whole sectors.
 *  W4. A reservation that was filled with bytes from elsewhere says so (VD_RESV_COPIED), and publish orders them before it (C5).
 */
#include "core/io.h"
#include "base/alloc.h"
#include "base/bytes.h"

#define WRITE_BATCH 32
#define WRITE_PIECE (16u << 20) /* bounds how long one claim is held */

void vd_claim_units(vdisk_image *img, struct vd_claim *k, uint64_t off, uint64_t len)
{
	uint64_t grain = vd_max(img->top->alloc_grain, 512);
	uint64_t start = vd_down(off, grain);

	vd_claim_take(img->claims, k, start, vd_up(off + len, grain) - start, true);
}

static void claim_sectors(vdisk_image *img, struct vd_claim *k, uint64_t off, uint64_t len)
{
	uint64_t start = vd_down(off, 512);

	vd_claim_take(img->claims, k, start, vd_up(off + len, 512) - start, true);
}

/* ---------------------------------------------------------------- in place */

static int write_plain(struct vd_file *f, uint64_t host, uint64_t len, struct vd_iov *it, vd_error *err)
{
	while (len) {
		struct iovec v[VD_IOV_SLICES];
		int n;
		size_t got = vd_iov_take(it, len, v, VD_IOV_SLICES, &n);

		if (vd_file_pwritev(f, v, n, host, err))
			return -1;
		host += got;
		len -= got;
	}
	return 0;
}

/* Gathers the next `len` bytes of *it into buf. */
static void gather(struct vd_iov *it, uint8_t *buf, size_t len)
{
	while (len) {
		struct iovec v[VD_IOV_SLICES];
		int n;
		size_t got = vd_iov_take(it, len, v, VD_IOV_SLICES, &n);

		vd_iov_to_buf(v, n, buf);
		buf += got;
		len -= got;
	}
}

static int write_ciphered(vdisk_image *img, const struct vd_extent *x, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	struct vd_layer *l = img->top;
	uint64_t start = vd_down(off, 512), end = vd_up(off + len, 512);
	uint64_t host = x->host + (start - x->off);
	VD_AUTO_FREE uint8_t *buf = vd_malloc(end - start);

	if (!buf)
		return vd_fail_nomem(err, end - start);
	if (start != off || end != off + len) {
		if (vd_file_pread(l->files[x->file], buf, end - start, host, err) ||
		    l->drv->codec->crypt(l, false, start, host, buf, end - start, err))
			return -1;
	}
	gather(it, buf + (off - start), len);
	if (l->drv->codec->crypt(l, true, start, host, buf, end - start, err))
		return -1;
	return vd_file_pwrite(l->files[x->file], buf, end - start, host, err);
}

static int write_in_place(vdisk_image *img, const struct vd_extent *x, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	if (x->flags & VD_EXT_CIPHERED)
		return write_ciphered(img, x, off, len, it, err);
	return write_plain(img->top->files[x->file], x->host + (off - x->off), len, it, err);
}

/* ---------------------------------------------------------------- into new space */

static int range_is_zero(vdisk_image *img, uint64_t off, uint64_t len, bool *zero, vd_error *err)
{
	struct vd_extent buf[WRITE_BATCH];
	uint64_t end = vd_min(off + len, vdisk_size(img));

	*zero = true;
	while (off < end && *zero) {
		struct vd_extents e;

		vd_extents_init(&e, buf, WRITE_BATCH, off, end - off);
		if (vd_image_map(img, off, end - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			const struct vd_layer *l = img->chain[e.v[i].depth];

			if (e.v[i].kind == VD_DATA || (e.v[i].kind == VD_ABSENT && l->parent_ref.n_names && !l->parent))
				*zero = false;
		}
		off = e.next;
	}
	return 0;
}

/* Bytes around the caller's that must be in the unit too.  *buf NULL: nothing to write, since the space reads as zeros already. */
static int fill_read(vdisk_image *img, struct vd_resv *r, uint64_t off, uint64_t len, uint8_t **buf, vd_error *err)
{
	bool zero = false;

	*buf = NULL;
	if (!len || range_is_zero(img, off, len, &zero, err))
		return len ? -1 : 0;
	if (zero && (r->flags & VD_RESV_ZEROED) && !(r->flags & VD_RESV_CIPHERED))
		return 0;
	*buf = vd_malloc(len);
	if (!*buf)
		return vd_fail_nomem(err, len);
	if (!zero)
		r->flags |= VD_RESV_COPIED;
	return vd_read_buf(img, off, *buf, len, err);
}

struct fresh {                     /* one reservation, and the caller's part [from, to) of it */
	struct vd_resv r;
	uint64_t from, to;
	uint8_t *head, *tail;      /* fills; NULL: none needed */
};

static int fresh_write_plain(vdisk_image *img, const struct fresh *w, struct vd_iov *it, vd_error *err)
{
	struct vd_file *f = img->top->files[w->r.file];
	uint64_t host = w->r.host + (w->from - w->r.off), left = w->to - w->from, end = w->r.off + w->r.len;
	struct iovec v[VD_IOV_SLICES + 2];
	int n = 0;

	if (w->head) {
		v[n++] = (struct iovec){ w->head, w->from - w->r.off };
		host = w->r.host;
	}
	do {
		int slices;
		size_t bytes = 0;

		left -= vd_iov_take(it, left, v + n, VD_IOV_SLICES, &slices);
		n += slices;
		if (!left && w->tail)
			v[n++] = (struct iovec){ w->tail, end - w->to };
		for (int i = 0; i < n; i++)
			bytes += v[i].iov_len;
		if (n && vd_file_pwritev(f, v, n, host, err))
			return -1;
		host += bytes;
		n = 0;
	} while (left);
	return 0;
}

static int fresh_write_ciphered(vdisk_image *img, const struct fresh *w, struct vd_iov *it, vd_error *err)
{
	uint64_t end = w->r.off + w->r.len;
	VD_AUTO_FREE uint8_t *buf = vd_malloc(w->r.len);

	if (!buf)
		return vd_fail_nomem(err, w->r.len);
	if (w->head)
		memcpy(buf, w->head, w->from - w->r.off);
	gather(it, buf + (w->from - w->r.off), w->to - w->from);
	if (w->tail)
		memcpy(buf + (w->to - w->r.off), w->tail, end - w->to);
	return vd_layer_write_at(img->top, &w->r, buf, w->r.len, err);
}

/* Fills, writes and publishes one reservation that covers part of the caller's [s, e). */
static int fresh_write(vdisk_image *img, struct fresh *w, uint64_t s, uint64_t e, struct vd_iov *it, vd_error *err)
{
	uint64_t end = w->r.off + w->r.len;
	int rc;

	w->from = vd_min(vd_max(s, w->r.off), end);
	w->to = vd_max(vd_min(e, end), w->from);
	rc = fill_read(img, &w->r, w->r.off, w->from - w->r.off, &w->head, err);
	if (!rc)
		rc = fill_read(img, &w->r, w->to, end - w->to, &w->tail, err);
	if (!rc)
		rc = (w->r.flags & VD_RESV_CIPHERED) ? fresh_write_ciphered(img, w, it, err) : fresh_write_plain(img, w, it, err);
	if (rc)
		vd_layer_abandon(img->top, &w->r);
	else
		rc = vd_layer_publish(img->top, &w->r, 1, err);
	vd_free(w->head);
	vd_free(w->tail);
	return rc;
}

/* A unit that holds data which is not this layer's alone to overwrite (shared with a snapshot, or packed) moves as a whole: what
   else lies in it must come along, even where the presence grain is finer. */
static int unit_moves(vdisk_image *img, uint64_t start, uint64_t end, bool *moves, vd_error *err)
{
	struct vd_extent buf[WRITE_BATCH];

	*moves = false;
	end = vd_min(end, img->top->size);
	while (start < end && !*moves) {
		struct vd_extents e;

		vd_extents_init(&e, buf, WRITE_BATCH, start, end - start);
		if (vd_layer_map(img->top, start, end - start, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++)
			if (e.v[i].kind == VD_DATA && !(e.v[i].flags & VD_EXT_WRITABLE))
				*moves = true;
		start = e.next;
	}
	return 0;
}

static int write_fresh(vdisk_image *img, uint64_t s, uint64_t e, struct vd_iov *it, vd_error *err)
{
	struct vd_layer *l = img->top;
	uint64_t at = vd_down(s, l->presence_grain), end = vd_up(e, l->presence_grain);

	if (l->presence_grain < l->alloc_grain) {
		uint64_t unit = vd_down(s, l->alloc_grain), unit_end = vd_up(e, l->alloc_grain);
		bool moves;

		if (unit_moves(img, unit, unit_end, &moves, err))
			return -1;
		if (moves) {
			at = unit;
			end = unit_end;
		}
	}
	while (at < end) {
		struct fresh w = { .r = { .off = at, .len = end - at, .kind = VD_DATA } };

		if (vd_layer_reserve(l, &w.r, err) || fresh_write(img, &w, s, e, it, err))
			return -1;
		at += w.r.len;
	}
	return 0;
}

/* ---------------------------------------------------------------- both */

static bool batch_in_place(const struct vd_extents *e)
{
	if (e->next < e->end)
		return false;
	for (size_t i = 0; i < e->n; i++)
		if (!(e->v[i].flags & VD_EXT_WRITABLE))
			return false;
	return true;
}

static int write_batch(vdisk_image *img, const struct vd_extents *e, struct vd_iov *it, vd_error *err)
{
	for (size_t i = 0; i < e->n;) {
		const struct vd_extent *x = &e->v[i];
		size_t j = i;

		if (x->flags & VD_EXT_WRITABLE) {
			if (write_in_place(img, x, x->off, x->len, it, err))
				return -1;
			i++;
			continue;
		}
		while (j + 1 < e->n && !(e->v[j + 1].flags & VD_EXT_WRITABLE))
			j++;
		if (write_fresh(img, x->off, e->v[j].off + e->v[j].len, it, err))
			return -1;
		i = j + 1;
	}
	return 0;
}

int vd_write_claimed(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	struct vd_extent buf[WRITE_BATCH];
	uint64_t end = off + len;

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, buf, WRITE_BATCH, off, end - off);
		if (vd_layer_map(img->top, off, end - off, 0, &e, err) || write_batch(img, &e, it, err))
			return -1;
		off = e.next;
	}
	return 0;
}

/* First try under a claim on just the sectors: overwriting what is there is the common case, and lets neighbours write at once. */
static int write_piece(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	struct vd_extent buf[WRITE_BATCH];
	struct vd_extents e;
	struct vd_claim k;
	int rc;

	claim_sectors(img, &k, off, len);
	vd_extents_init(&e, buf, WRITE_BATCH, off, len);
	rc = vd_layer_touch(img->top, off, len, err) || vd_layer_map(img->top, off, len, 0, &e, err) ? -1 : 0;
	if (rc || batch_in_place(&e)) {
		if (!rc)
			rc = write_batch(img, &e, it, err);
		vd_claim_drop(img->claims, &k);
		return rc;
	}
	vd_claim_drop(img->claims, &k);
	vd_claim_units(img, &k, off, len);
	rc = vd_layer_touch(img->top, off, len, err) || vd_write_claimed(img, off, len, it, err) ? -1 : 0;
	vd_claim_drop(img->claims, &k);
	return rc;
}

int vd_write(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	uint64_t end = off + len;

	if (vd_layer_begin(img->top, err))
		return -1;
	while (off < end) {
		uint64_t stop = end;

		if (end - off > WRITE_PIECE) /* at a unit's boundary, so that no unit is filled twice */
			stop = vd_max(vd_down(off + WRITE_PIECE, img->top->alloc_grain), off + 1);
		if (write_piece(img, off, stop - off, it, err))
			return -1;
		off = stop;
	}
	return 0;
}
