/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a volume, of whatever type, has a part on this disk: by the physical volumes that its segments name, and by the volumes
 * that those are made of (images of RAID, pools, caches).
 */
#include "ops/lvm.h"

#include <string.h>

#define DEPTH_MAX 8 /* a thin volume, in a pool, whose data is a cached RAID of images */
#define NODES_EACH 1024u /* of a volume that another one names: as many count as a lookup */

struct search {
	const struct vd_lvm_text *t;
	const struct vd_lvm_node *physical, *logical;
	struct vdisk_volumes *members;
	unsigned *lookups;
};

static bool volume_is_here(const struct search *s, const struct vd_lvm_node *lv, unsigned depth);

static bool name_is_here(const struct search *s, const char *name, unsigned depth)
{
	const struct vd_lvm_node *pv, *lv;

	if (!*s->lookups)
		return false;
	--*s->lookups;
	pv = vd_lvm_get(s->t, s->physical, name, VD_LVM_SECTION);
	if (pv)
		return vd_lvm_member_find(s->members, vd_lvm_str(s->t, pv, "id"));
	lv = depth < DEPTH_MAX ? vd_lvm_get(s->t, s->logical, name, VD_LVM_SECTION) : NULL;
	return lv && volume_is_here(s, lv, depth + 1);
}

/* Members that name what a segment lies on or shares blocks with; the others are words. */
static bool segment_is_here(const struct search *s, const struct vd_lvm_node *segment, unsigned depth)
{
	static const char *const lists[] = { "stripes", "mirrors", "raids" };
	static const char *const names[] = { "thin_pool", "pool", "metadata", "data", "cache_pool", "origin", "cow_store", "writecache",
					     "vdo_pool" };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const struct vd_lvm_node *x = vd_lvm_first(s->t, vd_lvm_get(s->t, segment, lists[i], VD_LVM_ARRAY));

		for (; x; x = vd_lvm_next(s->t, x))
			if (x->kind == VD_LVM_STRING && name_is_here(s, x->str, depth))
				return true;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = vd_lvm_str(s->t, segment, names[i]);

		if (name && name_is_here(s, name, depth))
			return true;
	}
	return false;
}

/* A volume by itself is looked through once, one that others name as often as they do. */
static bool volume_is_here(const struct search *s, const struct vd_lvm_node *lv, unsigned depth)
{
	/* Nodes stand in the order of the text. */
	unsigned cost = depth ? ((lv->next ? lv->next : s->t->n) - (uint32_t)(lv - s->t->v)) / NODES_EACH : 0;

	if (cost > *s->lookups) {
		*s->lookups = 0;
		return false;
	}
	*s->lookups -= cost;
	for (const struct vd_lvm_node *x = vd_lvm_first(s->t, lv); x; x = vd_lvm_next(s->t, x))
		if (x->kind == VD_LVM_SECTION && segment_is_here(s, x, depth))
			return true;
	return false;
}

bool vd_lvm_is_here(const struct vd_lvm_text *t, const struct vd_lvm_node *group, struct vdisk_volumes *members,
		    const struct vd_lvm_node *volume, unsigned *lookups)
{
	struct search s = {
		.t = t,
		.physical = vd_lvm_get(t, group, "physical_volumes", VD_LVM_SECTION),
		.logical = vd_lvm_get(t, group, "logical_volumes", VD_LVM_SECTION),
		.members = members,
		.lookups = lookups,
	};

	return volume_is_here(&s, volume, 0);
}
