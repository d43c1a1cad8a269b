/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "content.h"

#include <string.h>

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static int layer_read(const struct content_layer *l, uint8_t *buf, uint64_t off, uint64_t n, vdisk_error *err)
{
	uint64_t at = off - l->off, step;

	if (!l->from) {
		memcpy(buf, l->bytes + at, n);
		return 0;
	}
	for (; n; buf += step, at += step, n -= step) {
		uint64_t row = l->piece ? at / l->piece : 0, in = l->piece ? at % l->piece : at;

		step = l->piece ? least(n, l->piece - in) : n;
		if (disk_read(l->from, buf, step, l->at + row * l->stride + in, err))
			return -1;
	}
	return 0;
}

/* The range, whoever has it. */
static int range_read(const struct content *c, uint8_t *buf, uint64_t off, uint64_t end, vdisk_error *err)
{
	for (size_t i = 0; off < end; i++) {
		const struct content_layer *l = i < c->n_layers ? &c->layers[i] : NULL;
		uint64_t n;

		if (l && l->off + l->len <= off)
			continue;
		n = l ? l->off > off ? least(l->off, end) - off : 0 : end - off;
		if (n && disk_read(c->disk, buf, n, off, err))
			return -1;
		buf += n;
		off += n;
		if (!l || off >= end)
			continue;
		n = least(l->off + l->len, end) - off;
		if (layer_read(l, buf, off, n, err))
			return -1;
		buf += n;
		off += n;
	}
	return 0;
}

int content_read(const struct content *c, uint64_t index, void *buf, vdisk_error *err)
{
	uint64_t from = index * TRANSFER_CHUNK, end = from + transfer_chunk_len(c->disk->size, index), off = from;
	uint8_t *p = buf;

	for (size_t i = ranges_find(&c->free, from); off < end; i++) {
		uint64_t hole = i < c->free.n ? least(c->free.v[i].off, end) : end;
		uint64_t after = i < c->free.n ? least(c->free.v[i].off + c->free.v[i].len, end) : end;

		if (hole > off && range_read(c, p + (off - from), off, hole, err))
			return -1;
		hole = hole > off ? hole : off;
		if (after > hole)
			memset(p + (hole - from), 0, after - hole);
		off = after > hole ? after : hole;
	}
	return 0;
}

uint64_t content_free_run(const struct content *c, uint64_t index, uint64_t most)
{
	uint64_t from = index * TRANSFER_CHUNK, size = c->disk->size, n;
	size_t i = ranges_find(&c->free, from);

	if (i == c->free.n || c->free.v[i].off > from)
		return 0;
	n = c->free.v[i].off + c->free.v[i].len;
	n = n >= size ? transfer_chunks(size) - index : n / TRANSFER_CHUNK - index;
	return least(n, most);
}

/* How many of the layer's bytes come before byte `v` of what it shows. */
static uint64_t before(const struct content_layer *l, uint64_t v)
{
	uint64_t n = v > l->at ? v - l->at : 0;

	if (l->piece)
		n = n / l->stride * l->piece + least(n % l->stride, l->piece);
	return least(n, l->len);
}

bool content_layer_find(const struct content_layer *l, uint64_t from, uint64_t len, struct vdisk_range *out)
{
	uint64_t a = before(l, from), b = before(l, from + len);

	*out = (struct vdisk_range){ l->off + a, b - a };
	return l->from && b > a;
}
