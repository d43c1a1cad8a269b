/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the map tells before any data moves: how much there is to store, and whether host space has one owner each. */
#include "ops/walk.h"
#include "base/bytes.h"

struct counter {
	uint64_t grain, next_unit; /* units below this are counted */
	const struct vdisk_range *skip;
	size_t n_skip;
	struct vd_survey *out;
};

static void data_add(struct counter *c, uint64_t off, uint64_t len)
{
	uint64_t first = off / c->grain, last = (off + len - 1) / c->grain;

	c->out->data += len;
	first = vd_max(first, c->next_unit);
	if (last >= first) {
		c->out->units += last - first + 1;
		c->next_unit = last + 1;
	}
}

static void counter_add(struct counter *c, const struct vd_extent *x)
{
	uint64_t end = x->off + x->len, stop;

	if (x->kind != VD_DATA) {
		c->out->whole = false;
		return;
	}
	for (uint64_t at = x->off; at < end; at = stop) {
		bool skipped = vd_skip_at(c->skip, c->n_skip, at, &stop);

		stop = vd_min(stop, end);
		if (skipped)
			c->out->skipped += stop - at;
		else
			data_add(c, at, stop - at);
	}
}

static int survey_pass(vdisk_image *img, uint32_t flags, struct vd_owners *owners, struct counter *c, const volatile int *cancel,
                       vd_error *err)
{
	struct vd_walk w;

	vd_walk_init(&w, img, img->top->size, 0);
	w.flags = flags;
	while (w.pos < w.size) {
		struct vd_extent x;

		if (cancel && *cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
		if (vd_walk_next(&w, w.size, &x, err))
			return -1;
		if (c)
			counter_add(c, &x);
		if (owners && vd_owners_add(owners, &x, err))
			return -1;
	}
	return 0;
}

/* c NULL: nothing is counted. */
static int survey(vdisk_image *img, uint32_t flags, struct counter *c, const volatile int *cancel, vd_error *err)
{
	struct vd_owners *owners = NULL;
	int rc;

	/* Salvage goes on over damage, of which this would be a kind. */
	if (!(img->flags & VDISK_OPEN_SALVAGE) && vd_owners_new(img, &owners, err))
		return -1;
	rc = survey_pass(img, flags, owners, c, cancel, err);
	while (!rc && owners && vd_owners_again(owners))
		rc = survey_pass(img, flags, owners, NULL, cancel, err);
	vd_owners_free(owners);
	return rc;
}

int vd_survey_image(vdisk_image *img, uint64_t grain, const struct vdisk_range *skip, size_t n_skip, const volatile int *cancel,
                    struct vd_survey *out, vd_error *err)
{
	struct counter counter = { .grain = grain, .skip = skip, .n_skip = n_skip, .out = out };

	*out = (struct vd_survey){ .whole = true };
	return survey(img, VD_MAP_HOLES, &counter, cancel, err);
}

static bool has_map(const vdisk_image *img)
{
	for (unsigned d = 0; d < img->n_layers; d++)
		if (!(img->chain[d]->flags & VD_LAYER_FIXED))
			return true;
	return false; /* what there is to judge was judged when they were opened */
}

int vd_image_sound(vdisk_image *img, const volatile int *cancel, vd_error *err)
{
	if (vd_image_whole(img, err))
		return -1;
	return has_map(img) ? survey(img, 0, NULL, cancel, err) : 0;
}

int vdisk_judge(vdisk_image *img, vdisk_error *err) { return vd_image_tables_sound(img, err); }

int vd_image_tables_sound(vdisk_image *img, vd_error *err)
{
	if (vd_image_whole(img, err))
		return -1;
	return has_map(img) ? survey(img, VD_MAP_TABLES, NULL, NULL, err) : 0;
}
