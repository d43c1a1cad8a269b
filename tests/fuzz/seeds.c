/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seeds for a format's fuzzer (sparse.h), one for each thing that fuzz.c does:
 *   fuzz_seeds make FORMAT FOLDER     small images of every variant, as they are
 *   fuzz_seeds pack FILE SEED         SEED-0, SEED-1 …; exit status 1: FILE is too large
 *   fuzz_seeds unpack INPUT FILE      what an input is
 */
#include "sparse.h"

#include "common/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the variant has a place for them: one that follows writes, with holes and a cluster, and one that does not. */
static void bitmaps_add(struct t_image *t)
{
	vd_error err;

	if (vdisk_bitmap_create(t->img, "follows", 512, 0, &err))
		return;
	T_OK(vdisk_pwrite(t->img, "bits", 4, 70000, &err), err);
	T_OK(vdisk_bitmap_create(t->img, "kept", 0, VDISK_BITMAP_DISABLED, &err), err);
	T_OK(vdisk_bitmap_merge(t->img, "kept", NULL, "follows", &err), err);
}

static void seed_make(const struct t_variant *v, const char *folder)
{
	struct t_variant small = *v;
	struct t_rng rng = { 1 };
	struct t_image *t;
	vd_error err;

	if (small.size > 256 << 10 && !v->parent[0])
		small.size = 256 << 10;
	t = t_image_new(&small, &rng);
	t_at("%s", v->name);
	if (t_image_create(t, &err)) {
		printf("%s: no seed: %s\n", v->name, err.message);
	} else {
		if (v->flags & (T_PACK | T_ONLY_PACKED))
			t_image_pack(t, &rng);
		for (uint64_t off = 0; !(v->flags & T_ONLY_PACKED) && off < small.size; off += 150000) {
			T_OK(vdisk_pwrite(t->img, v->name, strlen(v->name), off, &err), err);
			T_OK(vdisk_zero(t->img, off + 8192, 4096 < small.size - off - 8192 ? 4096 : 0, &err), err);
		}
		if (!v->parent[0])
			bitmaps_add(t);
		T_OK(t_image_close(t, &err), err);
		t_shelf_dump(&t->shelf, folder, "made");
	}
	t_image_free(t);
}

static uint8_t *file_read(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *all = malloc(SPARSE_FILE_MAX + 1);

	T_CHECK(f && all, "cannot read %s", path);
	*len = fread(all, 1, SPARSE_FILE_MAX + 1, f);
	fclose(f);
	return all;
}

static void file_write(const char *path, const uint8_t *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	T_CHECK(f && fwrite(p, 1, len, f) == len && !fclose(f), "cannot write %s", path);
}

static int file_pack(const char *from, const char *seed)
{
	static uint8_t out[SPARSE_PACKED_MAX];
	size_t len, n;
	uint8_t *all = file_read(from, &len);

	for (uint8_t mode = 0; mode < 5; mode++) {
		char path[4096];

		n = sparse_pack(mode, all, len, out, sizeof(out));
		if (!n)
			break;
		snprintf(path, sizeof(path), "%s-%u", seed, mode);
		file_write(path, out, n);
	}
	free(all);
	return n ? 0 : 1;
}

static int file_unpack(const char *from, const char *to)
{
	size_t len, n = 0;
	uint8_t *in = file_read(from, &len), *file = sparse_unpack(in, len, &n);

	if (file)
		file_write(to, file, n);
	free(file);
	free(in);
	return file ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (!strcmp(argv[1], "pack"))
		return file_pack(argv[2], argv[3]);
	if (!strcmp(argv[1], "unpack"))
		return file_unpack(argv[2], argv[3]);
	t_seed("fuzz_seeds", argv[2]);
	for (const struct t_variant *v = t_variants; v->name; v++)
		if (!strcmp(v->format, argv[2]))
			seed_make(v, argv[3]);
	return 0;
}
