/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a volume group's metadata to ranges of the disk.  Segments of type "striped" (linear ones are those with one stripe) over
 * physical volumes that were found are all that is resolved; the rest is named as a volume's problem.
 */
#include "ops/lvm.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

#define SECTOR 512u
#define STRIPES_MAX 128u /* LVM's own limit */
/* Lists are searched from their beginning, so that these bound the time that a hostile text can cost. */
#define PHYSICAL_MAX 1024u
#define VOLUMES_MAX 16384u
#define LOOKUPS_MAX 16384u

struct group {
	const struct vd_lvm_text *t;
	const struct vd_lvm_node *section, *physical, *logical;
	uint64_t extent_bytes;
	struct vdisk_volumes *out;
	unsigned lookups; /* that are left */
};

const struct vd_lvm_node *vd_lvm_group(const struct vd_lvm_text *t)
{
	for (const struct vd_lvm_node *x = vd_lvm_first(t, &t->v[0]); x; x = vd_lvm_next(t, x))
		if (x->kind == VD_LVM_SECTION && vd_lvm_get(t, x, "physical_volumes", VD_LVM_SECTION))
			return x;
	return NULL;
}

/* ---------------------------------------------------------------- physical volumes */

struct vd_lvm_member *vd_lvm_member_find(struct vdisk_volumes *v, const char *uuid)
{
	for (size_t i = 0; uuid && i < v->n_members; i++)
		if (v->members[i].uuid[0] && !strcmp(v->members[i].uuid, uuid))
			return &v->members[i];
	return NULL;
}

/* What the group says of each of its physical volumes that is here. */
static int members_tell(struct group *g, vd_error *err)
{
	const struct vd_lvm_node *x;

	for (x = vd_lvm_first(g->t, g->physical); x; x = vd_lvm_next(g->t, x)) {
		struct vd_lvm_member *m = vd_lvm_member_find(g->out, vd_lvm_str(g->t, x, "id"));
		uint64_t start, len;

		if (!m)
			continue;
		vd_free((void *)(uintptr_t)m->info.group);
		m->info.group = vd_strdup(g->section->key);
		if (!m->info.group)
			return vd_fail_nomem(err, strlen(g->section->key));
		if (vd_mul64(vd_lvm_num(g->t, x, "pe_start", 0), SECTOR, &start) ||
		    vd_mul64(vd_lvm_num(g->t, x, "pe_count", 0), g->extent_bytes, &len) || start > m->info.len)
			continue; /* data_len stays 0: no extent of it is inside */
		m->info.data_off = m->info.off + start;
		m->info.data_len = vd_min(len, m->info.len - start);
	}
	return 0;
}

/* ---------------------------------------------------------------- segments */


/* "pv0", 17: NULL and *at, or what is wrong. */
static const char *stripe_place(const struct group *g, const struct vd_lvm_node *name, uint64_t len, uint64_t *at)
{
	const struct vd_lvm_node *extent = name ? vd_lvm_next(g->t, name) : NULL, *pv;
	const struct vd_lvm_member *m;
	uint64_t off;

	if (!extent || name->kind != VD_LVM_STRING || extent->kind != VD_LVM_NUMBER)
		return "a segment's list of stripes makes no sense";
	pv = vd_lvm_get(g->t, g->physical, name->str, VD_LVM_SECTION);
	if (!pv)
		return vd_lvm_get(g->t, g->logical, name->str, VD_LVM_SECTION)
			   ? "it lies on another logical volume, which is not read"
			   : "a segment names a physical volume that the group does not have";
	m = vd_lvm_member_find(g->out, vd_lvm_str(g->t, pv, "id"));
	if (!m)
		return "a physical volume of it is not on this disk";
	if (vd_mul64(extent->num, g->extent_bytes, &off) || !vd_within(off, len, m->info.data_len))
		return "a segment is outside its physical volume";
	*at = m->info.data_off + off;
	return NULL;
}

/* NULL, or what is wrong; *nomem then tells one kind apart. */
static const char *segment_read(const struct group *g, const struct vd_lvm_node *s, struct vdisk_volume_segment *out, bool *nomem)
{
	const char *type = vd_lvm_str(g->t, s, "type"), *why = NULL;
	const struct vd_lvm_node *stripe = vd_lvm_first(g->t, vd_lvm_get(g->t, s, "stripes", VD_LVM_ARRAY));
	uint64_t n = vd_lvm_num(g->t, s, "stripe_count", 0), extents = vd_lvm_num(g->t, s, "extent_count", 0), size = 0, *at;

	if (!type || (strcmp(type, "striped") && strcmp(type, "linear")))
		return "type";
	if (!n || n > STRIPES_MAX || !extents || extents % n || vd_mul64(extents, g->extent_bytes, &out->len))
		return "a segment's length or number of stripes makes no sense";
	if (n > 1 && (vd_mul64(vd_lvm_num(g->t, s, "stripe_size", 0), SECTOR, &size) || !size || (out->len / n) % size))
		return "a segment's stripe size makes no sense";
	at = vd_calloc(n, sizeof(*at));
	*nomem = !at;
	if (!at)
		return "out of memory";
	for (uint64_t i = 0; i < n && !why; i++) {
		why = stripe_place(g, stripe, out->len / n, &at[i]);
		stripe = why ? NULL : vd_lvm_next(g->t, vd_lvm_next(g->t, stripe));
	}
	out->n_stripes = (uint32_t)n;
	out->stripe_bytes = n > 1 ? size : out->len;
	out->at = at;
	return why;
}

/* ---------------------------------------------------------------- volumes */

static void volume_clear(struct vdisk_volume *v)
{
	for (size_t i = 0; i < v->n_segments; i++)
		vd_free((void *)(uintptr_t)v->segments[i].at);
	vd_free((void *)(uintptr_t)v->segments);
	v->segments = NULL;
	v->n_segments = 0;
}

static void volume_free(struct vdisk_volume *v)
{
	volume_clear(v);
	vd_free((void *)(uintptr_t)v->group);
	vd_free((void *)(uintptr_t)v->name);
	vd_free((void *)(uintptr_t)v->uuid);
	vd_free((void *)(uintptr_t)v->problem);
}

void vdisk_volumes_free(vdisk_volumes *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++)
		volume_free(&v->v[i]);
	for (size_t i = 0; i < v->n_members; i++) {
		vd_free((void *)(uintptr_t)v->members[i].info.group);
		vd_free((void *)(uintptr_t)v->members[i].info.problem);
	}
	vd_free(v->v);
	vd_free(v->members);
	vd_free(v);
}

static int problem_set(struct vdisk_volume *v, const char *why, const char *type, vd_error *err)
{
	char name[64];

	volume_clear(v);
	vd_free((void *)(uintptr_t)v->problem);
	vd_printable(name, sizeof(name), type ? type : "(none)", strlen(type ? type : "(none)"));
	v->problem = strcmp(why, "type") ? vd_strdup(why) : vd_asprintf("it is of type %s, which is not read", name);
	return v->problem ? 0 : vd_fail_nomem(err, strlen(why));
}

static size_t sections_count(const struct group *g, const struct vd_lvm_node *in)
{
	size_t n = 0;

	for (const struct vd_lvm_node *x = vd_lvm_first(g->t, in); x; x = vd_lvm_next(g->t, x))
		n += x->kind == VD_LVM_SECTION;
	return n;
}

/* segment1, segment2, …: each is due to begin where the one before ended. */
static int segments_read(const struct group *g, const struct vd_lvm_node *lv, struct vdisk_volume *v, vd_error *err)
{
	size_t n = sections_count(g, lv);
	struct vdisk_volume_segment *segments = vd_calloc(n ? n : 1, sizeof(*segments));
	const char *why = NULL, *type = NULL;

	if (!segments)
		return vd_fail_nomem(err, n * sizeof(*segments));
	v->segments = segments;
	for (const struct vd_lvm_node *s = vd_lvm_first(g->t, lv); s; s = vd_lvm_next(g->t, s)) {
		struct vdisk_volume_segment *x = &segments[v->n_segments];
		uint64_t len;
		bool nomem = false;

		if (s->kind != VD_LVM_SECTION)
			continue;
		if (vd_lvm_num(g->t, s, "start_extent", UINT64_MAX) != v->len / g->extent_bytes ||
		    vd_mul64(vd_lvm_num(g->t, s, "extent_count", 0), g->extent_bytes, &len) || vd_add64(v->len, len, &len)) {
			why = "its segments do not join";
			break;
		}
		if (!why) {
			x->off = v->len;
			why = segment_read(g, s, x, &nomem);
			if (nomem)
				return vd_fail_nomem(err, 0);
			v->n_segments++;
			if (!why && !x->off)
				v->head = (struct vdisk_range){ x->at[0], vd_min(x->stripe_bytes, x->len / x->n_stripes) };
			type = why ? vd_lvm_str(g->t, s, "type") : NULL;
		}
		v->len = len;
	}
	if (!why && !v->n_segments)
		why = "it has no segments";
	return why ? problem_set(v, why, type, err) : 0;
}

static int volume_add(struct group *g, const struct vd_lvm_node *lv, vd_error *err)
{
	struct vdisk_volumes *out = g->out;
	const char *uuid = vd_lvm_str(g->t, lv, "id");
	struct vdisk_volume *v;

	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 16;

		v = vd_realloc(out->v, cap, sizeof(*v));
		if (!v)
			return vd_fail_nomem(err, cap * sizeof(*v));
		out->v = v;
		out->cap = cap;
	}
	v = &out->v[out->n++];
	memset(v, 0, sizeof(*v));
	v->group = vd_strdup(g->section->key);
	v->name = vd_strdup(lv->key);
	v->uuid = vd_strdup(uuid ? uuid : "");
	if (!v->group || !v->name || !v->uuid)
		return vd_fail_nomem(err, strlen(lv->key));
	v->hidden = !vd_lvm_has_word(g->t, lv, "status", "VISIBLE");
	v->writable = vd_lvm_has_word(g->t, lv, "status", "WRITE");
	v->here = vd_lvm_is_here(g->t, g->section, out, lv, &g->lookups);
	return segments_read(g, lv, v, err);
}

/* ---------------------------------------------------------------- snapshots */

static struct vdisk_volume *volume_find(struct vdisk_volumes *out, size_t from, const char *name)
{
	for (size_t i = from; name && i < out->n; i++)
		if (!strcmp(out->v[i].name, name))
			return &out->v[i];
	return NULL;
}

/* A volume with a segment of type "snapshot" only ties its origin to the store of what that was, by whose name everybody knows the
   snapshot: the store is no disk by itself, and a write to the origin would have to be noted there. */
static int snapshot_apply(struct group *g, size_t from, const char *holder, const struct vd_lvm_node *s, vd_error *err)
{
	const char *merging = vd_lvm_str(g->t, s, "merging_store"), *store = merging ? merging : vd_lvm_str(g->t, s, "cow_store");
	struct vdisk_volume *origin = volume_find(g->out, from, vd_lvm_str(g->t, s, "origin")),
			    *cow = volume_find(g->out, from, store);
	struct vdisk_volume *tie = volume_find(g->out, from, holder);

	if (cow) {
		tie->hidden = true;
		cow->hidden = false;
		cow->head.len = 0;
		if (problem_set(cow, "it is a snapshot, which is not read", NULL, err))
			return -1;
	}
	if (!origin)
		return 0;
	origin->writable = false;
	if (merging)
		origin->head.len = 0;
	return merging && !origin->problem ? problem_set(origin, "a snapshot is being merged into it", NULL, err) : 0;
}

static int snapshots_apply(struct group *g, size_t from, vd_error *err)
{
	const struct vd_lvm_node *lv, *s;
	size_t n = 0;

	for (lv = vd_lvm_first(g->t, g->logical); lv; lv = vd_lvm_next(g->t, lv)) {
		for (s = vd_lvm_first(g->t, lv); s; s = vd_lvm_next(g->t, s)) {
			const char *type = s->kind == VD_LVM_SECTION ? vd_lvm_str(g->t, s, "type") : NULL;

			if (!type || strcmp(type, "snapshot"))
				continue;
			if (++n > g->out->n)
				return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata: more snapshots than volumes");
			if (snapshot_apply(g, from, lv->key, s, err))
				return -1;
		}
	}
	return 0;
}

int vd_lvm_group_add(const struct vd_lvm_text *t, const struct vd_lvm_node *group, struct vdisk_volumes *out, vd_error *err)
{
	struct group g = {
		.t = t,
		.section = group,
		.physical = vd_lvm_get(t, group, "physical_volumes", VD_LVM_SECTION),
		.logical = vd_lvm_get(t, group, "logical_volumes", VD_LVM_SECTION),
		.out = out,
		.lookups = LOOKUPS_MAX,
	};
	uint64_t sectors = vd_lvm_num(t, group, "extent_size", 0);
	size_t from = out->n;

	if (!sectors || vd_mul64(sectors, SECTOR, &g.extent_bytes))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata: an extent of %" PRIu64 " sectors", sectors);
	if (sections_count(&g, g.physical) > PHYSICAL_MAX ||
	    sections_count(&g, g.logical) > VOLUMES_MAX - vd_min(from, VOLUMES_MAX))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LVM metadata: more than %u physical or %u logical volumes",
			       PHYSICAL_MAX, VOLUMES_MAX);
	if (members_tell(&g, err))
		return -1;
	for (const struct vd_lvm_node *x = vd_lvm_first(t, g.logical); x; x = vd_lvm_next(t, x))
		if (x->kind == VD_LVM_SECTION && volume_add(&g, x, err))
			return -1;
	return snapshots_apply(&g, from, err);
}
