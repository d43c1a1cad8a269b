/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/image.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const t_op_names[] = { "write", "writev", "write zeros", "zero", "discard", "flush", "read", "readv" };

static void fill(struct t_image *t, struct t_rng *rng);

struct t_image *t_image_new(const struct t_variant *v, struct t_rng *rng)
{
	struct t_image *t = t_alloc(sizeof(*t));

	t->v = v;
	snprintf(t->base_name, sizeof(t->base_name), "%s.%s", v->name, v->format);
	t_shelf_init(&t->shelf, t->base_name);
	t_model_init(&t->model, v->size);
	if (v->parent[0]) {
		t->parent = t_image_new(t_variant_find(v->parent), rng);
		fill(t->parent, rng);
		memcpy(t->model.now, t->parent->model.now, vd_min(t->model.size, t->parent->model.size));
		t_model_settle(&t->model);
	}
	return t;
}

void t_image_free(struct t_image *t)
{
	if (!t)
		return;
	t_image_free(t->parent);
	t_shelf_free(&t->shelf);
	t_model_free(&t->model);
	free(t);
}

static int parent_open(struct t_image *t, vdisk_image **out, vd_error *err)
{
	*out = NULL;
	return t->parent ? t_image_open_on(t->parent, &t->parent->shelf, 0, out, err) : 0;
}

int t_image_create(struct t_image *t, vd_error *err)
{
	vdisk_image *parent;
	char *text;
	const char **options;
	int ret;

	if (parent_open(t, &parent, err))
		return -1;
	options = t_variant_options(t->v, &text);
	ret = vd_image_create_file(t_shelf_open(&t->shelf, t->base_name, true, true), t->v->format, t->v->size, options,
	                           t->v->flags & (T_PACK | T_ONLY_PACKED) ? VD_CREATE_COMPRESSED : 0, parent,
	                           t_shelf_host(&t->shelf), &t->img, err);
	free(options);
	free(text);
	if (!ret && (t->v->flags & T_BITMAP) && vdisk_bitmap_create(t->img, "follows", 512, 0, err)) {
		vdisk_close(t->img, NULL);
		ret = -1;
	}
	if (ret)
		t->img = NULL;
	return ret;
}

int t_image_open_on(struct t_image *t, struct t_shelf *shelf, uint32_t flags, vdisk_image **out, vd_error *err)
{
	struct vdisk_open_options o = {
		.format = t->v->format, .flags = flags, .options = t_variant_open_options(t->v), .cache_bytes = t->cache_bytes,
	};
	vdisk_image *parent = NULL;
	struct vd_file *f;

	*out = NULL;
	if (!(flags & VDISK_OPEN_NO_PARENT) && parent_open(t, &parent, err))
		return -1;
	f = t_shelf_open(shelf, t->base_name, false, flags & VDISK_OPEN_RW);
	if (!f) {
		if (parent)
			vdisk_close(parent, NULL);
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: not on the shelf", t->base_name);
	}
	if (!vd_image_open_file_as(f, &o, parent, t_shelf_host(shelf), out, err))
		return 0;
	*out = NULL;
	return -1;
}

int t_image_open(struct t_image *t, uint32_t flags, vd_error *err)
{
	return t_image_open_on(t, &t->shelf, flags, &t->img, err);
}

int t_image_close(struct t_image *t, vd_error *err)
{
	vdisk_image *img = t->img;

	t->img = NULL;
	return vdisk_close(img, err);
}

/* One unit, packed, by the door that convert uses. */
static void pack_unit(struct t_image *t, uint64_t off, const uint8_t *bytes, uint64_t grain)
{
	struct vd_layer *l = t->img->top;
	struct vd_resv r = { .off = off, .len = grain, .kind = VD_DATA, .flags = VD_RESV_PACKED };
	uint8_t *unit = t_alloc(grain), *packed = t_alloc(grain + 4096);
	uint64_t len = vd_min(grain, t->model.size - off);
	size_t packed_len = 0;
	vd_error err;

	memcpy(unit, bytes, len);
	T_OK(vd_layer_begin(l, &err), err);
	T_OK(l->drv->codec->pack(l, off, unit, grain, packed, &packed_len, &err), err);
	if (packed_len) {
		r.packed_len = (uint32_t)packed_len;
		T_OK(vd_layer_reserve(l, &r, &err), err);
		T_OK(vd_layer_write_at(l, &r, packed, packed_len, &err), err);
		T_OK(vd_layer_publish(l, &r, 1, &err), err);
	} else {
		T_CHECK(!(t->v->flags & T_ONLY_PACKED), "the unit at %" PRIu64 " was not packed, and cannot be stored plainly",
		        off);
		T_OK(vdisk_pwrite(t->img, bytes, len, off, &err), err);
	}
	t_model_change(&t->model, off, len, bytes, false, 0);
	free(unit);
	free(packed);
}

void t_image_pack(struct t_image *t, struct t_rng *rng)
{
	uint64_t grain = t->img->top->alloc_grain;
	uint8_t *bytes = t_alloc(grain);

	T_CHECK(t->img->top->drv->codec && t->img->top->drv->codec->pack, "%s cannot pack", t->v->format);
	for (uint64_t off = 0; off < t->model.size; off += grain) {
		if (t_below(rng, 3))
			continue;
		t_bytes(t_rand(rng), bytes, grain);
		if (t_below(rng, 4)) /* compressible: random bytes in the first eighth of each sector */
			for (uint64_t i = 0; i < grain; i++)
				bytes[i] = i % 512 < 64 ? bytes[i] : (uint8_t)(off / grain);
		t_at("packing the unit at %" PRIu64, off);
		pack_unit(t, off, bytes, grain);
	}
	free(bytes);
	t_model_settle(&t->model);
}

static void fill(struct t_image *t, struct t_rng *rng)
{
	uint8_t *buf = t_alloc(t->model.size);
	vd_error err;

	t_at("filling the parent %s", t->v->name);
	T_OK(t_image_create(t, &err), err);
	for (unsigned i = 0; i < 60; i++) {
		struct t_op op = t_op_pick(rng, t->model.size);
		uint8_t *bytes = t_op_bytes(&op);

		if (op.kind == T_OP_DISCARD)
			op.kind = T_OP_ZERO;
		T_OK(t_op_do(t->img, &op, bytes, buf, &err), err);
		if (op.kind <= T_OP_ZERO)
			t_model_change(&t->model, op.off, op.len, bytes, false, 0);
		free(bytes);
	}
	T_OK(t_image_close(t, &err), err);
	t_model_settle(&t->model);
	free(buf);
}

struct problems { unsigned n; };

static void problem(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	struct problems *p = ctx;

	if (p->n++ < 10)
		printf("check: %s at %#" PRIx64 ": %s\n", is_leak ? "leak" : "corruption", offset, message);
}

void t_image_check(struct t_image *t, bool leaks_allowed)
{
	struct vdisk_check_result r;
	struct problems p = { 0 };
	vdisk_image *img;
	vd_error err;

	if (!(vdisk_format_find(t->v->format)->caps & VDISK_FORMAT_CHECK))
		return;
	T_OK(t_image_open_on(t, &t->shelf, VDISK_OPEN_CHECK | VDISK_OPEN_NO_PARENT, &img, &err), err);
	T_OK(vdisk_check(img, 0, problem, &p, &r, &err), err);
	T_OK(vdisk_close(img, &err), err);
	T_CHECK(!r.corruptions, "check finds %" PRIu64 " corruptions", r.corruptions);
	T_CHECK(leaks_allowed || !r.leaks, "check finds %" PRIu64 " leaks", r.leaks);
}

bool t_image_right(struct t_image *t, vdisk_image *img, uint64_t at, uint64_t *bad, vd_error *err)
{
	static const uint64_t piece = 1 << 20;
	uint8_t *buf = t_alloc(piece);
	bool right = true;

	T_CHECK(vdisk_size(img) == t->model.size, "the size is %" PRIu64 ", not %" PRIu64, vdisk_size(img), t->model.size);
	for (uint64_t off = 0; right && off < t->model.size; off += piece) {
		uint64_t len = vd_min(piece, t->model.size - off);

		*bad = VDISK_NO_OFFSET;
		right = !vdisk_pread(img, buf, len, off, err) && t_model_right(&t->model, buf, off, len, at, bad);
		if (!right && *bad != VDISK_NO_OFFSET)
			vd_fail(err, VDISK_CORRUPT, *bad, "reads %02x, newest is %02x, last certain is %02x", buf[*bad - off],
			        t->model.now[*bad], t->model.sure[*bad]);
	}
	free(buf);
	return right;
}

void t_image_verify(struct t_image *t, uint64_t at)
{
	uint64_t bad;
	vd_error err;

	if (!t_image_right(t, t->img, at, &bad, &err))
		t_fail("wrong content: at %" PRIu64 ": %s", bad, err.message);
}

/* Off and len of all alignments that matter: bytes, sectors, clusters, across the end of a cluster, up to the disk's end. */
static void range_pick(struct t_rng *rng, uint64_t size, uint64_t *off, uint64_t *len)
{
	static const uint64_t grains[] = { 1, 512, 512, 4096, 4096, 65536, 65536, 524288 };
	uint64_t grain = grains[t_below(rng, sizeof(grains) / sizeof(*grains))];

	*off = t_below(rng, size);
	if (t_below(rng, 4))
		*off = vd_down(*off, grain);
	switch (t_below(rng, 6)) {
	case 0:
		*len = 1 + t_below(rng, 700);
		break;
	case 1:
		*len = grain;
		break;
	case 2:
		*len = grain * (1 + t_below(rng, 4));
		break;
	case 3:
		*len = 1 + t_below(rng, 200000);
		break;
	case 4:
		*len = 512 * (1 + t_below(rng, 40));
		break;
	default:
		*len = 1 + t_below(rng, 20000);
		if (!t_below(rng, 4)) /* up to the end exactly */
			*off = size - vd_min(size, *len);
	}
	*len = vd_min(*len, size - *off);
}

struct t_op t_op_pick(struct t_rng *rng, uint64_t size)
{
	static const enum t_op_kind weighted[] = {
		T_OP_WRITE, T_OP_WRITE, T_OP_WRITE, T_OP_WRITE, T_OP_WRITE, T_OP_WRITEV, T_OP_WRITEV, T_OP_WRITE_ZEROS, T_OP_ZERO,
		T_OP_ZERO, T_OP_DISCARD, T_OP_DISCARD, T_OP_FLUSH, T_OP_READ, T_OP_READ, T_OP_READ, T_OP_READV,
	};
	struct t_op op = { .kind = weighted[t_below(rng, sizeof(weighted) / sizeof(*weighted))], .seed = t_rand(rng) };

	range_pick(rng, size, &op.off, &op.len);
	return op;
}

uint8_t *t_op_bytes(const struct t_op *op)
{
	uint8_t *bytes;

	if (op->kind != T_OP_WRITE && op->kind != T_OP_WRITEV)
		return NULL;
	bytes = t_alloc(op->len);
	t_bytes(op->seed, bytes, op->len);
	if (op->seed % 4 == 0) /* some of it zeros, a page at a time */
		for (uint64_t i = 0; i < op->len; i++)
			if ((i >> 12) & 1)
				bytes[i] = 0;
	return bytes;
}

/* Cuts the buffer into up to eight pieces of odd lengths. */
static int iov_cut(struct iovec iov[8], uint8_t *buf, uint64_t len, uint64_t seed)
{
	struct t_rng rng = { seed };
	int n = 0;

	while (n < 7 && len > 1) {
		uint64_t part = t_below(&rng, len);

		iov[n++] = (struct iovec){ buf, part };
		buf += part;
		len -= part;
	}
	iov[n++] = (struct iovec){ buf, len };
	return n;
}

int t_op_do(vdisk_image *img, const struct t_op *op, const uint8_t *bytes, uint8_t *buf, vd_error *err)
{
	struct iovec iov[8];
	int n, ret;

	switch (op->kind) {
	case T_OP_WRITE:
		return vdisk_pwrite(img, bytes, op->len, op->off, err);
	case T_OP_WRITEV:
		n = iov_cut(iov, (uint8_t *)(uintptr_t)bytes, op->len, op->seed);
		return vdisk_pwritev(img, iov, n, op->off, err);
	case T_OP_WRITE_ZEROS: {
		uint8_t *zeros = t_alloc(op->len);

		ret = vdisk_pwrite(img, zeros, op->len, op->off, err);
		free(zeros);
		return ret;
	}
	case T_OP_ZERO:
		return vdisk_zero(img, op->off, op->len, err);
	case T_OP_DISCARD:
		return vdisk_discard(img, op->off, op->len, err);
	case T_OP_FLUSH:
		return vdisk_flush(img, err);
	case T_OP_READ:
		return vdisk_pread(img, buf, op->len, op->off, err);
	default:
		n = iov_cut(iov, buf, op->len, op->seed);
		return vdisk_preadv(img, iov, n, op->off, err);
	}
}
