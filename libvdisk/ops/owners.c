/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two guest ranges that own one piece of host space: a bitmap by host unit for each file of each layer that has a map of its own
 * (raw and flat ones cannot err).
 *
 *  - The unit is 64 KiB where no layer has a smaller grain; an extent that is not aligned to that sets it to 512 bytes, and the
 *    pass is done again.
 *  - A packed unit owns the whole sectors inside its range only: neighbours share the sectors at its ends (qcow2, "Compressed
 *    Clusters Descriptor").
 *  - All bitmaps together stay within OWNERS_BYTES: what is beyond in host space is looked at in further passes.
 *
 * Where a unit is marked twice, the pass that follows looks for the first owner, so that both can be named.
 */
#include "ops/walk.h"
#include "base/alloc.h"
#include "base/bytes.h"

#define OWNERS_BYTES (UINT64_C(16) << 20)

struct owned_file {
	uint16_t depth, file;
	uint64_t *bits;
	uint64_t host_end;   /* space past this is not mapped by a sane layer; it is looked at all the same */
};

struct vd_owners {
	vdisk_image *img;
	struct owned_file *files;
	size_t n_files;
	uint64_t window;     /* host bytes of each file that one pass covers */
	uint64_t from;       /* of this pass */
	unsigned shift;      /* of the unit */
	bool finer;          /* this pass met an extent that the unit cannot express */
	bool beyond;         /* this pass met space past the window */
	bool searching;      /* for the first owner of `twice` */
	struct vd_extent twice;
};

#define COARSE 16
#define FINE 9

static void owners_start(struct vd_owners *o)
{
	uint64_t words = OWNERS_BYTES / 8 / o->n_files;
	uint64_t need = 1;

	for (size_t i = 0; i < o->n_files; i++)
		need = vd_max(need, (o->files[i].host_end >> o->shift) / 64 + 1);
	words = vd_max(vd_min(words, need), 1);
	o->window = (words * 64) << o->shift;
	o->from = 0;
	o->finer = o->beyond = false;
}

static int owners_bitmaps(struct vd_owners *o, vd_error *err)
{
	size_t words = (o->window >> o->shift) / 64;

	for (size_t i = 0; i < o->n_files; i++) {
		vd_free(o->files[i].bits);
		o->files[i].bits = vd_calloc(words, 8);
		if (!o->files[i].bits)
			return vd_fail_nomem(err, words * 8);
	}
	return 0;
}

int vd_owners_new(vdisk_image *img, struct vd_owners **out, vd_error *err)
{
	struct vd_owners *o;
	size_t n = 0;

	*out = NULL;
	for (unsigned d = 0; d < img->n_layers; d++)
		n += img->chain[d]->flags & VD_LAYER_FIXED ? 0 : img->chain[d]->n_files;
	if (!n)
		return 0;
	o = vd_calloc(1, sizeof(*o));
	if (!o)
		return vd_fail_nomem(err, sizeof(*o));
	o->img = img;
	o->shift = COARSE;
	o->files = vd_calloc(n, sizeof(*o->files));
	if (!o->files) {
		vd_free(o);
		return vd_fail_nomem(err, n * sizeof(*o->files));
	}
	for (unsigned d = 0; d < img->n_layers; d++) {
		const struct vd_layer *l = img->chain[d];

		if (l->flags & VD_LAYER_FIXED)
			continue;
		if (l->alloc_grain < 1u << COARSE)
			o->shift = FINE;
		for (unsigned f = 0; f < l->n_files; f++)
			o->files[o->n_files++] = (struct owned_file){ (uint16_t)d, (uint16_t)f, NULL, vd_file_size(l->files[f]) };
	}
	owners_start(o);
	*out = o;
	return 0;
}

void vd_owners_free(struct vd_owners *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_files; i++)
		vd_free(o->files[i].bits);
	vd_free(o->files);
	vd_free(o);
}

static struct owned_file *owners_file(struct vd_owners *o, const struct vd_extent *x)
{
	for (size_t i = 0; i < o->n_files; i++)
		if (o->files[i].depth == x->depth && o->files[i].file == x->file)
			return &o->files[i];
	return NULL;
}

/* What x owns for certain: [*from, *to). */
static void owned_range(const struct vd_extent *x, uint64_t *from, uint64_t *to)
{
	*from = x->host;
	*to = x->host + x->host_len;
	if (x->flags & VD_EXT_COMPRESSED) {
		*from = vd_up(*from, 512);
		*to = vd_down(*to, 512);
	}
}

/* Sets bits [a, b); true if one was set. */
static bool bits_take(uint64_t *bits, uint64_t a, uint64_t b)
{
	bool twice = false;

	while (a < b) {
		unsigned at = a % 64;
		unsigned n = (unsigned)vd_min(64 - at, b - a);
		uint64_t mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << at;

		twice |= (bits[a / 64] & mask) != 0;
		bits[a / 64] |= mask;
		a += n;
	}
	return twice;
}

static int owners_report(struct vd_owners *o, const struct vd_extent *first, vd_error *err)
{
	const struct vd_extent *x = &o->twice;
	const char *name = vd_extent_file(o->img, x)->name;
	uint64_t host = vd_max(first->host, x->host);

	return vd_fail(err, VDISK_CORRUPT, host,
	               "%s: guest offsets %" PRIu64 " and %" PRIu64 " both own the file's bytes at %#" PRIx64, name, first->off,
	               x->off, host);
}

static int owners_search(struct vd_owners *o, const struct vd_extent *x, vd_error *err)
{
	uint64_t a, b, c, d;

	if (x->depth != o->twice.depth || x->file != o->twice.file)
		return 0;
	owned_range(x, &a, &b);
	owned_range(&o->twice, &c, &d);
	if (a >= d || c >= b)
		return 0;
	return owners_report(o, x, err);
}

/* The last unit of a disk may be cut at its end, and still owns all of its space. */
static bool owned_coarsely(const struct vd_owners *o, const struct vd_extent *x)
{
	uint64_t unit = UINT64_C(1) << COARSE;

	if (x->flags & VD_EXT_COMPRESSED || x->host % unit)
		return false;
	return !(x->len % unit) || x->off + x->len == o->img->chain[x->depth]->size;
}

int vd_owners_add(struct vd_owners *o, const struct vd_extent *x, vd_error *err)
{
	struct owned_file *f;
	uint64_t from, to;

	if (x->kind != VD_DATA || !(x->flags & (VD_EXT_MAPPED | VD_EXT_COMPRESSED)))
		return 0;
	/* A unit that is mapped in parts is one owner: its first part counts. */
	if (x->flags & VD_EXT_COMPRESSED && x->off != x->unit_off)
		return 0;
	f = owners_file(o, x);
	if (!f)
		return 0;
	if (o->searching)
		return owners_search(o, x, err);
	if (o->finer)
		return 0;
	if (o->shift == COARSE && !owned_coarsely(o, x)) {
		o->finer = true;
		return 0;
	}
	if (!f->bits && owners_bitmaps(o, err))
		return -1;
	owned_range(x, &from, &to);
	if (from >= to || to <= o->from)
		return 0;
	from = vd_max(from, o->from) - o->from;
	to -= o->from;
	if (to > o->window) {
		o->beyond = true;
		to = o->window;
	}
	if (from >= to)
		return 0;
	if (bits_take(f->bits, from >> o->shift, vd_div_up(to, UINT64_C(1) << o->shift))) {
		o->twice = *x;
		o->searching = true;
	}
	return 0;
}

bool vd_owners_again(struct vd_owners *o)
{
	if (o->searching)
		return true;
	if (!o->finer && !o->beyond)
		return false;
	if (o->finer) {
		o->shift = FINE;
		owners_start(o);
	} else {
		o->from += o->window;
		o->beyond = false;
	}
	for (size_t i = 0; i < o->n_files; i++) {
		vd_free(o->files[i].bits);
		o->files[i].bits = NULL;
	}
	return true;
}
