/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One image file from nowhere, opened as FUZZ_FORMAT in each way that needs no other file: as a layer alone, for check, under
 * salvage; then mapped, read here and there, described and checked.  Anything may be refused; nothing may crash, hang or take
 * memory by the image's word.  Which of the ways is the input's first byte: one of them at a time is five times as many inputs.
 */
#include "sparse.h"

#include "core/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EXTENTS 64
#define MAPS 64      /* a call looks at so many pieces and no more, but an image has as many as it likes */
#define MAPS_SHORT 4 /* of those that told little */
#define EXTENTS_FEW 8
#define READ_MAX (16u << 10)
#define CHANGE_MAX (SPARSE_FILE_MAX / 2)
#define MODES 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void value(void *ctx, const struct vdisk_value *v)
{
	*(size_t *)ctx += strlen(v->key) + (v->type == VDISK_VALUE_STRING ? strlen(v->str) : 1);
}

static void snapshot(void *ctx, const struct vdisk_snapshot_info *s)
{
	*(size_t *)ctx += strlen(s->id) + strlen(s->name);
}

#define BITMAPS 4
#define BITMAP_RANGES 10000

struct bitmaps {
	unsigned n;
	char name[BITMAPS][64];
};

static void bitmap(void *ctx, const struct vdisk_bitmap_info *b)
{
	struct bitmaps *m = ctx;

	assert(b->name[0] || b->problem);
	if (m->n < BITMAPS && strlen(b->name) < sizeof(m->name[0]))
		strcpy(m->name[m->n++], b->name);
}

struct ranges {
	uint64_t end, size;
	unsigned n;
};

static bool range(void *ctx, uint64_t off, uint64_t len)
{
	struct ranges *r = ctx;

	assert(len && (off > r->end || (!off && !r->n)) && vd_within(off, len, r->size));
	r->end = off + len;
	return ++r->n < BITMAP_RANGES;
}

static void told(const vd_error *err)
{
	assert(err->kind != VDISK_OK && err->message[0] && !strchr(err->message, '\n'));
}

static void read_at(vdisk_image *img, uint8_t *buf, uint64_t off)
{
	uint64_t size = vdisk_size(img);
	vd_error err = { 0 };

	if (off < size && vdisk_pread(img, buf, vd_min(READ_MAX, size - off), off, &err))
		told(&err);
}

static void walk(vdisk_image *img, uint8_t *buf)
{
	struct vdisk_extent x[EXTENTS];
	uint64_t off = 0, size = vdisk_size(img);
	unsigned few = 0;
	vd_error err = { 0 };

	for (unsigned i = 0; i < MAPS && few < MAPS_SHORT && off < size; i++) {
		size_t n;

		if (vdisk_map(img, off, size - off, x, EXTENTS, &n, &err)) {
			told(&err);
			break;
		}
		assert(n > 0 && n <= EXTENTS);
		few += n < EXTENTS_FEW;
		for (size_t j = 0; j < n; j++) {
			assert(x[j].off == off && x[j].len && vd_within(off, x[j].len, size));
			off += x[j].len;
		}
		if (i < 4)
			for (size_t j = 0; j < n && j < 4; j++)
				if (x[j].kind == VDISK_DATA)
					read_at(img, buf, x[j].off);
	}
	read_at(img, buf, 0);
	read_at(img, buf, size / 2);
	read_at(img, buf, size > 512 ? size - 512 : 0);
}

static void bitmaps_look(vdisk_image *img, struct bitmaps *m)
{
	vd_error err = { 0 };

	if (vdisk_bitmaps(img, bitmap, m, &err))
		told(&err);
	for (unsigned i = 0; i < m->n; i++) {
		struct ranges r = { .size = vdisk_size(img) };

		if (vdisk_bitmap_ranges(img, m->name[i], range, &r, &err))
			told(&err);
	}
}

static void bitmaps_change(vdisk_image *img)
{
	struct bitmaps m = { 0 };
	vd_error err = { 0 };

	bitmaps_look(img, &m);
	if (m.n && vdisk_bitmap_create(img, "fuzz", 4096, 0, &err))
		told(&err);
	if (m.n && vdisk_bitmap_merge(img, "fuzz", NULL, m.name[0], &err))
		told(&err);
	if (m.n && vdisk_bitmap_clear(img, m.name[0], &err))
		told(&err);
	if (m.n > 1 && vdisk_bitmap_delete(img, m.name[1], &err))
		told(&err);
}

static void describe(vdisk_image *img)
{
	struct vdisk_layer_info info;
	struct bitmaps m = { 0 };
	vd_error err = { 0 };
	size_t total = 0;

	if (vdisk_layer_get(img, 0, &info, &err))
		told(&err);
	if (vdisk_layer_values(img, 0, value, &total, &err))
		told(&err);
	if (vdisk_snapshots(img, snapshot, &total, &err))
		told(&err);
	bitmaps_look(img, &m);
}

static void look(const uint8_t *data, size_t size, uint32_t flags, uint8_t *buf)
{
	struct vdisk_check_result r;
	struct vd_file *f;
	vdisk_image *img;
	vd_error err = { 0 };

	if (vd_file_memory_view("image", data, size, &f, &err))
		return;
	if (vd_image_open_file(f, FUZZ_FORMAT, flags, NULL, NULL, NULL, &img, &err)) {
		told(&err);
		return;
	}
	describe(img);
	if (!(flags & VDISK_OPEN_CHECK))
		walk(img, buf);
	else if (vdisk_check(img, 0, NULL, NULL, &r, &err))
		told(&err);
	vdisk_close(img, NULL);
}

/* Writing and repairing: on a copy of small images, since both follow the image's own tables. */
static void change(const uint8_t *data, size_t size, uint32_t flags, uint8_t *buf)
{
	struct vdisk_check_result r;
	struct vd_file *f;
	vdisk_image *img;
	vd_error err = { 0 };

	if (size > CHANGE_MAX || vd_file_memory("image", data, size, &f, &err))
		return;
	if (vd_image_open_file(f, FUZZ_FORMAT, flags, NULL, NULL, NULL, &img, &err)) {
		told(&err);
		return;
	}
	if (flags & VDISK_OPEN_CHECK) {
		if (vdisk_check(img, VDISK_CHECK_REPAIR_ALL, NULL, NULL, &r, &err))
			told(&err);
	} else {
		uint64_t at = vdisk_size(img) / 3;

		if (vdisk_size(img) >= 256u << 10) {
			if (vdisk_pwrite(img, buf, READ_MAX - 5000, at, &err))
				told(&err);
			if (vdisk_zero(img, at / 2, 66000, &err))
				told(&err);
			if (vdisk_discard(img, 0, 70000, &err))
				told(&err);
		}
		bitmaps_change(img);
		read_at(img, buf, at);
	}
	if (vdisk_close(img, &err))
		told(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[READ_MAX];
	size_t n;
	uint8_t *file = sparse_unpack(data, size, &n);

	if (!file)
		return 0;
	switch (data[0] % MODES) {
	case 0:
		look(file, n, VDISK_OPEN_NO_PARENT, buf);
		break;
	case 1:
		look(file, n, VDISK_OPEN_NO_PARENT | VDISK_OPEN_CHECK, buf);
		break;
	case 2:
		look(file, n, VDISK_OPEN_NO_PARENT | VDISK_OPEN_SALVAGE, buf);
		break;
	case 3:
		change(file, n, VDISK_OPEN_NO_PARENT | VDISK_OPEN_RW, buf);
		break;
	default:
		change(file, n, VDISK_OPEN_NO_PARENT | VDISK_OPEN_RW | VDISK_OPEN_CHECK, buf);
	}
	free(file);
	return 0;
}
