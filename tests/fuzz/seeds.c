/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small images of every variant of a format, as seeds for its fuzzer:  fuzz_seeds FORMAT FOLDER */
#include "common/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		T_OK(t_image_close(t, &err), err);
		t_shelf_dump(&t->shelf, folder, "made");
	}
	t_image_free(t);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	t_seed("fuzz_seeds", argv[1]);
	for (const struct t_variant *v = t_variants; v->name; v++)
		if (!strcmp(v->format, argv[1]))
			seed_make(v, argv[2]);
	return 0;
}
