/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each bitmap is copied out of the library's list first, so that what it records can be added up after. */
#include "bitmap_show.h"
#include "output.h"
#include "sizes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BITMAPS_MOST 1000 /* a forged directory has more */

struct bitmap {
	char *name;
	uint64_t granularity, dirty;
	bool enabled, in_use;
	const char *problem;
};

struct bitmaps {
	struct bitmap *v;
	size_t n;
	uint64_t unlisted;
};

static void bitmap_see(void *ctx, const struct vdisk_bitmap_info *b)
{
	struct bitmaps *l = ctx;
	if (l->n == BITMAPS_MOST) {
		l->unlisted++;
		return;
	}
	l->v = tool_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	char *name = tool_realloc(NULL, strlen(b->name) + 1);
	strcpy(name, b->name);
	l->v[l->n++] = (struct bitmap){ name, b->granularity, 0, b->enabled, b->in_use, b->problem };
}

static void bitmaps_free(struct bitmaps *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}

static bool usable(const struct bitmap *b)
{
	return !b->in_use && !b->problem;
}

static bool dirty_add(void *ctx, uint64_t off, uint64_t len)
{
	(void)off;
	*(uint64_t *)ctx += len;
	return true;
}

static struct json_object *bitmap_json(const struct bitmap *b)
{
	struct json_object *o = json_must(json_object_new_object());
	json_put_text(o, "name", b->name);
	json_put_u64(o, "granularity", b->granularity);
	json_put_bool(o, "enabled", b->enabled);
	json_put_bool(o, "in-use", b->in_use);
	json_put_text(o, "problem", b->problem);
	return o;
}

static const char *state_text(const struct bitmap *b)
{
	return b->problem ? "unusable" : b->in_use ? "in use" : b->enabled ? "enabled" : "disabled";
}

int bitmaps_show(vdisk_image *img, bool json)
{
	struct bitmaps l = { 0 };
	vdisk_error err = { 0 };
	int r = vdisk_bitmaps(img, bitmap_see, &l, &err);
	for (size_t i = 0; !r && i < l.n; i++)
		r = usable(&l.v[i]) ? vdisk_bitmap_ranges(img, l.v[i].name, dirty_add, &l.v[i].dirty, &err) : 0;
	if (!r && json) {
		struct json_object *o = json_report();
		json_put_text(o, "action", "list");
		json_put_text(o, "path", vdisk_path(img));
		json_put_u64(o, "virtual-size", vdisk_size(img));
		json_put_u64(o, "unlisted", l.unlisted);
		json_array_begin(o, "bitmaps");
		for (size_t i = 0; i < l.n; i++) {
			o = bitmap_json(&l.v[i]);
			if (usable(&l.v[i]))
				json_put_u64(o, "dirty", l.v[i].dirty);
			json_array_element(o);
		}
		json_array_end();
	} else if (!r) {
		char granularity[SIZE_TEXT], dirty[SIZE_TEXT];
		say("%-24s %-12s %-9s %-10s %s\n", "name", "granularity", "state", "changed", "problem");
		for (size_t i = 0; i < l.n; i++) {
			const struct bitmap *b = &l.v[i];
			say("%-24s %-12s %-9s %-10s %s\n", shown(b->name), size_human(granularity, b->granularity), state_text(b),
			    usable(b) ? size_human(dirty, b->dirty) : "-",
			    b->problem ? b->problem : b->in_use ? "not closed properly: can only be deleted" : "-");
		}
		if (l.unlisted)
			say("and %" PRIu64 " more\n", l.unlisted);
	}
	bitmaps_free(&l);
	return r ? fail_vdisk(&err) : 0;
}

void bitmaps_put(vdisk_image *img, struct json_object *o)
{
	struct bitmaps l = { 0 };
	struct json_object *list = json_must(json_object_new_array());
	vdisk_error err = { 0 };
	int r = vdisk_bitmaps(img, bitmap_see, &l, &err);
	for (size_t i = 0; !r && i < l.n; i++)
		json_object_array_add(list, bitmap_json(&l.v[i]));
	json_put(o, "bitmaps", list);
	json_put_u64(o, "bitmaps-unlisted", l.unlisted);
	json_put_text(o, "bitmaps-problem", r ? shown(err.message) : NULL);
	bitmaps_free(&l);
}

void bitmaps_say(vdisk_image *img)
{
	struct bitmaps l = { 0 };
	vdisk_error err = { 0 };
	char granularity[SIZE_TEXT];
	if (vdisk_bitmaps(img, bitmap_see, &l, &err)) {
		say("bitmaps: cannot be read: %s\n", shown(err.message));
		l.n = 0;
	}
	if (l.n)
		say("bitmaps:\n  %-24s %-12s %s\n", "name", "granularity", "state");
	for (size_t i = 0; i < l.n; i++)
		say("  %-24s %-12s %s\n", shown(l.v[i].name), size_human(granularity, l.v[i].granularity), state_text(&l.v[i]));
	if (l.n && l.unlisted)
		say("  and %" PRIu64 " more\n", l.unlisted);
	bitmaps_free(&l);
}
