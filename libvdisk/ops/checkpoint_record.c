/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A window as bytes: little numbers, since most places lie where the one before ends. */
#include "ops/checkpoint.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <fcntl.h>
#include <unistd.h>

#define PLACE_DATA   1u
#define PLACE_PACKED 2u
#define PLACE_FILE   2u /* shift */

#define WINDOW_ZEROS 1u
#define WINDOW_LEAVES 2u

void vd_boot_id(char id[VD_BOOT_ID])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id, 0, VD_BOOT_ID);
	if (fd < 0)
		return;
	if (read(fd, id, VD_BOOT_ID) != VD_BOOT_ID)
		memset(id, 0, VD_BOOT_ID);
	close(fd);
}

/* ---- writing */

int vd_record_bytes(struct vd_record *r, const void *p, size_t n, vd_error *err)
{
	if (r->cap - r->n < n) {
		size_t cap = vd_max(r->cap * 2, r->n + n + 4096);
		uint8_t *v = vd_realloc(r->v, cap, 1);

		if (!v)
			return vd_fail_nomem(err, cap);
		r->v = v;
		r->cap = cap;
	}
	memcpy(r->v + r->n, p, n);
	r->n += n;
	return 0;
}

int vd_record_put(struct vd_record *r, uint64_t v, vd_error *err)
{
	uint8_t b[10];
	size_t n = 0;

	for (; v > 0x7f; v >>= 7)
		b[n++] = (uint8_t)(v | 0x80);
	b[n++] = (uint8_t)v;
	return vd_record_bytes(r, b, n, err);
}

/* Steps back are rare. */
static int put_step(struct vd_record *r, uint64_t from, uint64_t to, vd_error *err)
{
	uint64_t d = to - from;

	return vd_record_put(r, d << 1 ^ (d >> 63 ? UINT64_MAX : 0), err);
}

static int put_place(struct vd_record *r, const struct vd_resv *p, uint64_t *at, vd_error *err)
{
	bool data = p->kind == VD_DATA, packed = p->flags & VD_RESV_PACKED;
	uint64_t head = (uint64_t)p->file << PLACE_FILE | (data ? PLACE_DATA : 0) | (packed ? PLACE_PACKED : 0);

	if (vd_record_put(r, data ? head : 0, err) || put_step(r, *at, p->off, err) || vd_record_put(r, p->len, err))
		return -1;
	*at = p->off + p->len;
	if (!data)
		return 0;
	if ((packed && vd_record_put(r, p->packed_len, err)) || put_step(r, r->last_host, p->host, err))
		return -1;
	r->last_host = p->host + (packed ? p->packed_len : p->len);
	return 0;
}

static int put_leaves(struct vd_record *r, const struct vd_conv *c, const struct vd_window *w, vd_error *err)
{
	for (uint64_t at = 0, i = 0; at < w->len; i++) {
		uint8_t zero = w->leaf_zero[i];

		if (vd_record_bytes(r, &zero, 1, err) || (!zero && vd_record_bytes(r, w->leaves[i], 32, err)))
			return -1;
		at += vd_leaf_len(c->size, w->off + at);
	}
	return 0;
}

int vd_record_window(struct vd_record *r, const struct vd_conv *c, const struct vd_window *w, vd_error *err)
{
	const uint64_t counts[] = { w->data, w->same, w->offloaded, w->packed_in, w->packed_out };
	bool leaves = c->tree && !w->zeros;
	uint64_t at = w->off;

	if (vd_record_put(r, w->off - r->last_off, err) || vd_record_put(r, w->len, err) ||
	    vd_record_put(r, (w->zeros ? WINDOW_ZEROS : 0) | (leaves ? WINDOW_LEAVES : 0), err))
		return -1;
	r->last_off = w->off + w->len;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		if (vd_record_put(r, counts[i], err))
			return -1;
	if (vd_record_put(r, w->n_places, err))
		return -1;
	for (size_t i = 0; i < w->n_places; i++)
		if (put_place(r, &w->places[i].r, &at, err))
			return -1;
	return leaves ? put_leaves(r, c, w, err) : 0;
}

/* ---- reading */

const uint8_t *vd_cursor_bytes(struct vd_cursor *k, size_t n)
{
	const uint8_t *p = k->p;

	if ((size_t)(k->end - k->p) < n) {
		k->bad = true;
		k->p = k->end;
		return NULL;
	}
	k->p += n;
	return p;
}

uint64_t vd_cursor_get(struct vd_cursor *k)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *b = vd_cursor_bytes(k, 1);

		if (!b)
			return 0;
		v |= (uint64_t)(*b & 0x7f) << shift;
		if (!(*b & 0x80))
			return v;
	}
	k->bad = true;
	return 0;
}

static uint64_t get_step(struct vd_cursor *k, uint64_t from)
{
	uint64_t z = vd_cursor_get(k);

	return from + (z >> 1 ^ (z & 1 ? UINT64_MAX : 0));
}

void vd_cursor_place(struct vd_cursor *k, uint64_t *at, uint64_t *host, struct vd_resv *r)
{
	uint64_t head = vd_cursor_get(k), packed;

	*r = (struct vd_resv){ .kind = head & PLACE_DATA ? VD_DATA : VD_ZERO };
	r->off = get_step(k, *at);
	r->len = vd_cursor_get(k);
	*at = r->off + r->len;
	k->bad |= !r->len || head >> PLACE_FILE >= VD_LAYER_FILES || !vd_within(r->off, r->len, INT64_MAX);
	if (r->kind != VD_DATA)
		return;
	r->file = (uint16_t)(head >> PLACE_FILE);
	if (head & PLACE_PACKED) {
		packed = vd_cursor_get(k);
		k->bad |= !packed || packed > UINT32_MAX;
		r->packed_len = (uint32_t)packed;
		r->flags = VD_RESV_PACKED;
	}
	r->host = get_step(k, *host);
	*host = r->host + vd_place_bytes(r);
	k->bad |= !vd_within(r->host, vd_place_bytes(r), INT64_MAX);
}

void vd_cursor_window(struct vd_cursor *k, uint64_t *last_off, struct vd_window_record *w)
{
	uint64_t flags;

	w->off = *last_off + vd_cursor_get(k);
	w->len = vd_cursor_get(k);
	flags = vd_cursor_get(k);
	w->zeros = flags & WINDOW_ZEROS;
	w->leaves = flags & WINDOW_LEAVES;
	for (size_t i = 0; i < sizeof(w->counts) / sizeof(*w->counts); i++)
		w->counts[i] = vd_cursor_get(k);
	w->n_places = vd_cursor_get(k);
	k->bad |= flags & ~(uint64_t)(WINDOW_ZEROS | WINDOW_LEAVES) || w->off < *last_off ||
		  !vd_within(w->off, w->len, INT64_MAX) || (w->zeros && w->leaves);
	*last_off = w->off + w->len;
}
