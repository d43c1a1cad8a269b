/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "contract.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* The call must fail as VDISK_INVALID and say so. */
#define REFUSED(call) do { \
		memset(&err, 0, sizeof(err)); \
		T_CHECK(call, "%s succeeded", #call); \
		T_CHECK(err.kind == VDISK_INVALID, "%s: kind %s: %s", #call, vdisk_error_kind_name(err.kind), err.message); \
		t_error_is_told(&err, #call); \
	} while (0)

void contract_refusals(struct t_image *t)
{
	static const uint64_t lens[] = { 1, 2, 511, 512, 65536 };
	uint64_t size = t->model.size;
	uint8_t *buf = t_alloc(65536 + 1);
	struct vdisk_extent x;
	size_t n;
	vd_error err;

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		uint64_t offs[] = { size,       size - lens[i] + 1,       size + 1,
			            UINT64_MAX, UINT64_MAX - lens[i] + 1, UINT64_MAX - lens[i],
			            INT64_MAX };

		for (size_t j = 0; j < sizeof(offs) / sizeof(*offs); j++) {
			REFUSED(vdisk_pread(t->img, buf, lens[i], offs[j], &err));
			REFUSED(vdisk_pwrite(t->img, buf, lens[i], offs[j], &err));
			REFUSED(vdisk_zero(t->img, offs[j], lens[i], &err));
			REFUSED(vdisk_discard(t->img, offs[j], lens[i], &err));
			REFUSED(vdisk_map(t->img, offs[j], lens[i], &x, 1, &n, &err));
		}
	}
	REFUSED(vdisk_zero(t->img, 0, size + 1, &err));
	REFUSED(vdisk_discard(t->img, 1, size, &err));
	REFUSED(vdisk_zero(t->img, 1, UINT64_MAX, &err));
	for (uint64_t off = 0; off <= size; off += size) {
		T_OK(vdisk_pread(t->img, buf, 0, off, &err), err);
		T_OK(vdisk_pwrite(t->img, buf, 0, off, &err), err);
		T_OK(vdisk_preadv(t->img, NULL, 0, off, &err), err);
		T_OK(vdisk_pwritev(t->img, NULL, 0, off, &err), err);
		T_OK(vdisk_zero(t->img, off, 0, &err), err);
		T_OK(vdisk_discard(t->img, off, 0, &err), err);
	}
	/* err may be NULL. */
	T_CHECK(vdisk_pread(t->img, buf, 1, size, NULL), "a read past the end succeeded");
	free(buf);
}

static void resized(struct t_image *t, uint64_t size)
{
	t_model_resize(&t->model, size);
	T_CHECK(vdisk_size(t->img) == size, "resized to %" PRIu64 " bytes, not %" PRIu64, vdisk_size(t->img), size);
	t_image_verify(t, T_LIVE);
}

void contract_resize(struct t_image *t, struct t_rng *rng)
{
	uint64_t unit = !strcmp(t->v->format, "raw") ? 1 : strstr(t->v->options, "logical_sector_size=4096") ? 4096 : 512;
	uint64_t old = t->model.size, grown = vd_down(old + 1 + t_below(rng, 400000), unit);
	uint64_t cut = vd_max(vd_down(old - vd_min(old, t_below(rng, 600000)), unit), 64 * 1024);
	vd_error err;

	memset(&err, 0, sizeof(err));
	if (!(vdisk_format_find(t->v->format)->caps & VDISK_FORMAT_RESIZE)) {
		T_CHECK(vdisk_resize(t->img, grown, 0, &err), "resized, which the format says it cannot");
		t_error_is_told(&err, "resize");
		return;
	}
	if (vdisk_resize(t->img, grown, 0, &err)) {
		/* A variant may refuse, by name, and then nothing has changed. */
		T_CHECK(err.kind == VDISK_UNSUPPORTED, "resize to %" PRIu64 ": [%s] %s", grown, vdisk_error_kind_name(err.kind),
		        err.message);
		t_error_is_told(&err, "resize");
		resized(t, old);
		return;
	}
	resized(t, grown);
	if (t_below(rng, 2))
		return;
	T_CHECK(vdisk_resize(t->img, cut, 0, &err), "shrunk without being told that this is meant");
	t_error_is_told(&err, "resize");
	resized(t, grown);
	if (vdisk_resize(t->img, cut, VDISK_RESIZE_SHRINK, &err)) {
		T_CHECK(err.kind == VDISK_UNSUPPORTED, "resize to %" PRIu64 ": [%s] %s", cut, vdisk_error_kind_name(err.kind),
		        err.message);
		resized(t, grown);
		return;
	}
	resized(t, cut);
	T_OK(vdisk_resize(t->img, grown, 0, &err), err);
	resized(t, grown);
}
