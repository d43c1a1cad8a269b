/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

static void extent_judge(struct t_image *t, const struct vdisk_extent *x)
{
	const uint8_t *now = t->model.now + x->off;
	uint8_t *bytes;
	vd_error err;

	T_CHECK(x->depth < vdisk_depth(t->img), "extent at %" PRIu64 ": depth %u of %u", x->off, x->depth, vdisk_depth(t->img));
	T_CHECK(!(x->flags & VDISK_EXT_LOST), "extent at %" PRIu64 " is lost", x->off);
	if (x->kind != VDISK_DATA) {
		for (uint64_t i = 0; i < x->len; i++)
			T_CHECK(!now[i], "byte %" PRIu64 " is %02x, and mapped as %s in extent %" PRIu64 "+%" PRIu64, x->off + i,
			        now[i], x->kind == VDISK_ZERO ? "zero" : "absent", x->off, x->len);
		return;
	}
	if (x->flags & VDISK_EXT_COMPRESSED) {
		T_CHECK(!(x->flags & (VDISK_EXT_MAPPED | VDISK_EXT_WRITABLE)), "extent at %" PRIu64 " is packed and mapped",
		        x->off);
		return;
	}
	T_CHECK(x->flags & VDISK_EXT_MAPPED, "data at %" PRIu64 " is neither mapped nor packed", x->off);
	T_CHECK(x->host_len == x->len, "extent at %" PRIu64 ": %" PRIu64 " bytes on %" PRIu64, x->off, x->len, x->host_len);
	T_CHECK(vdisk_layer_file(t->img, x->depth, x->file), "extent at %" PRIu64 ": no file %u", x->off, x->file);
	if (x->flags & VDISK_EXT_CIPHERED)
		return;
	bytes = t_alloc(x->len);
	T_OK(vd_file_pread(t->img->chain[x->depth]->files[x->file], bytes, x->len, x->host, &err), err);
	for (uint64_t i = 0; i < x->len; i++)
		T_CHECK(bytes[i] == now[i],
		        "extent %" PRIu64 "+%" PRIu64 ": at %" PRIu64 " of file %u lie other bytes: the %" PRIu64
		        "th is %02x, expected %02x",
		        x->off, x->len, x->host, x->file, i, bytes[i], now[i]);
	free(bytes);
}

static int by_place(const void *pa, const void *pb)
{
	const struct vdisk_extent *a = pa, *b = pb;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return a->host < b->host ? -1 : a->host > b->host;
}

/* Nothing lies in the same place as something else.  (Extents given in pieces are pieces of one place.) */
static void places_judge(struct vdisk_extent *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_place);
	for (size_t i = 1; i < n; i++)
		T_CHECK(x[i].depth != x[i - 1].depth || x[i].file != x[i - 1].file ||
		                x[i - 1].host + x[i - 1].host_len <= x[i].host,
		        "guest %" PRIu64 "+%" PRIu64 " and %" PRIu64 "+%" PRIu64 " share host bytes at %" PRIu64, x[i - 1].off,
		        x[i - 1].len, x[i].off, x[i].len, x[i].host);
}

void contract_map(struct t_image *t, uint64_t off, uint64_t len, size_t cap)
{
	struct vdisk_extent *x = t_alloc(cap * sizeof(*x)), *all = NULL;
	uint64_t end = off + len, at = off;
	size_t n_all = 0, room = 0;
	vd_error err;

	while (at < end) {
		size_t n = 0;

		T_OK(vdisk_map(t->img, at, end - at, x, cap, &n, &err), err);
		T_CHECK(n > 0 && n <= cap, "the map of %" PRIu64 "+%" PRIu64 " has %zu extents of %zu", at, end - at, n, cap);
		for (size_t i = 0; i < n; i++) {
			T_CHECK(x[i].len && x[i].off == at, "extent %zu is at %" PRIu64 "+%" PRIu64 ", expected at %" PRIu64, i,
			        x[i].off, x[i].len, at);
			T_CHECK(vd_within(x[i].off, x[i].len, end), "extent at %" PRIu64 "+%" PRIu64 " leaves the range", x[i].off,
			        x[i].len);
			extent_judge(t, &x[i]);
			at = x[i].off + x[i].len;
			if (!(x[i].flags & VDISK_EXT_MAPPED))
				continue;
			if (n_all == room) {
				room = room ? 2 * room : 256;
				all = realloc(all, room * sizeof(*all));
				T_CHECK(all, "out of memory");
			}
			all[n_all++] = x[i];
		}
	}
	if (n_all)
		places_judge(all, n_all);
	free(all);
	free(x);
}
