/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The logical volumes of a disk.  Every place where a physical volume may begin is looked at (the disk itself, each partition);
 * of what their metadata areas say, the newest text of each group counts.
 */
#include "ops/lvm.h"
#include "core/image.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>

#define PARTITIONS_MAX 1024
#define GROUPS_MAX 64

struct texts { /* the newest of each group, by its id */
	struct vd_lvm_text v[GROUPS_MAX];
	uint64_t seqno[GROUPS_MAX];
	size_t n;
};

/* Takes *t. */
static int text_keep(struct texts *all, struct vd_lvm_text *t, vd_error *err)
{
	const struct vd_lvm_node *group = vd_lvm_group(t);
	const char *id = group ? vd_lvm_str(t, group, "id") : NULL;
	uint64_t seqno = group ? vd_lvm_num(t, group, "seqno", 0) : 0;
	size_t i;

	if (!id) {
		vd_lvm_text_free(t);
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata has no volume group");
	}
	for (i = 0; i < all->n; i++)
		if (!strcmp(vd_lvm_str(&all->v[i], vd_lvm_group(&all->v[i]), "id"), id))
			break;
	if (i == GROUPS_MAX || (i < all->n && seqno <= all->seqno[i])) {
		vd_lvm_text_free(t);
		return i < GROUPS_MAX ? 0
				      : vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "more than %u volume groups", GROUPS_MAX);
	}
	if (i < all->n)
		vd_lvm_text_free(&all->v[i]);
	else
		all->n++;
	all->v[i] = *t;
	all->seqno[i] = seqno;
	return 0;
}

/* The text of the first metadata area of a physical volume that is whole; a volume may have none, its group's other ones then
   have it. */
static int member_text(const struct vd_disk *d, const struct vd_lvm_member *m, const struct vd_lvm_label *label, struct texts *all,
		       vd_error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < label->n_meta; i++) {
		struct vd_lvm_text t;
		char *bytes;
		size_t len;

		rc = vd_lvm_area_read(d, m->info.off, m->info.len, &label->meta[i], &bytes, &len, err);
		if (!rc && bytes) {
			rc = vd_lvm_text_parse(bytes, len, &t, err) || text_keep(all, &t, err) ? -1 : 0;
			vd_free(bytes);
		}
		if (!rc)
			return 0;
	}
	return rc;
}

/* What is wrong with one physical volume is noted with it; only trouble of our own ends the search. */
static int problem_note(struct vd_lvm_member *m, vd_error *err)
{
	if (err->kind != VDISK_CORRUPT && err->kind != VDISK_UNSUPPORTED)
		return -1;
	m->info.problem = vd_strdup(err->message);
	if (!m->info.problem)
		return vd_fail_nomem(err, strlen(err->message));
	vd_error_clear(err);
	return 0;
}

static int place_look(const struct vd_disk *d, uint64_t off, uint64_t len, struct vdisk_volumes *out, struct texts *all,
		      vd_error *err)
{
	struct vd_lvm_member *m = &out->members[out->n_members];
	struct vd_lvm_label label;
	bool found;
	int rc = vd_lvm_label_read(d, off, len, &label, &found, err);

	if (!found)
		return rc;
	memset(m, 0, sizeof(*m));
	m->info.off = off;
	m->info.len = len;
	out->n_members++;
	if (rc)
		return problem_note(m, err);
	memcpy(m->uuid, label.uuid, sizeof(m->uuid));
	return member_text(d, m, &label, all, err) ? problem_note(m, err) : 0;
}

/* A group that makes no sense as a whole: that is the problem of its physical volumes. */
static int group_problem(struct vdisk_volumes *out, const struct vd_lvm_text *t, vd_error *err)
{
	const struct vd_lvm_node *physical = vd_lvm_get(t, vd_lvm_group(t), "physical_volumes", VD_LVM_SECTION), *x;
	vd_error why = *err;

	if (why.kind != VDISK_CORRUPT && why.kind != VDISK_UNSUPPORTED)
		return -1;
	for (x = vd_lvm_first(t, physical); x; x = vd_lvm_next(t, x)) {
		const char *id = vd_lvm_str(t, x, "id");

		for (size_t i = 0; id && i < out->n_members; i++) {
			*err = why;
			if (!out->members[i].info.problem && !strcmp(out->members[i].uuid, id) &&
			    problem_note(&out->members[i], err))
				return -1;
		}
	}
	vd_error_clear(err);
	return 0;
}

int vd_volumes_read(const struct vd_disk *d, const struct vdisk_partition *parts, size_t n, struct vdisk_volumes **out,
		    vd_error *err)
{
	struct vdisk_volumes *v = vd_calloc(1, sizeof(*v));
	VD_AUTO_FREE struct texts *all = vd_calloc(1, sizeof(*all));
	vd_error own;
	int rc = -1;

	err = err ? err : &own;
	*out = NULL;
	if (v)
		v->members = vd_calloc(n + 1, sizeof(*v->members));
	if (!v || !all || !v->members) {
		vd_fail_nomem(err, (n + 1) * sizeof(*v->members));
		goto out;
	}
	rc = place_look(d, 0, d->size, v, all, err);
	for (size_t i = 0; i < n && !rc; i++)
		if (vd_within(parts[i].off, parts[i].len, d->size))
			rc = place_look(d, parts[i].off, parts[i].len, v, all, err);
	for (size_t i = 0; i < all->n && !rc; i++)
		if (vd_lvm_group_add(&all->v[i], vd_lvm_group(&all->v[i]), v, err))
			rc = group_problem(v, &all->v[i], err);
	for (size_t i = 0; i < v->n_members; i++)
		v->members[i].info.uuid = v->members[i].uuid;
out:
	for (size_t i = 0; all && i < all->n; i++)
		vd_lvm_text_free(&all->v[i]);
	if (rc)
		vdisk_volumes_free(v);
	else
		*out = v;
	return rc;
}

static int image_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	return vdisk_pread(ctx, buf, len, off, err);
}

int vdisk_volumes_read(vdisk_image *img, vdisk_volumes **out, vdisk_error *err)
{
	struct vd_disk d = { .ctx = img, .size = vdisk_size(img), .read = image_read };
	VD_AUTO_FREE struct vdisk_partition *parts = vd_calloc(PARTITIONS_MAX, sizeof(*parts));
	struct vdisk_partition_table table;
	vd_error own;
	size_t n = 0;

	err = err ? err : &own;
	*out = NULL;
	if (!parts)
		return vd_fail_nomem(err, PARTITIONS_MAX * sizeof(*parts));
	if (vdisk_partitions(img, &table, parts, PARTITIONS_MAX, &n, err)) { /* a damaged table hides nothing on the disk itself */
		if (err->kind != VDISK_CORRUPT)
			return -1;
		vd_error_clear(err);
		n = 0;
	}
	if (vd_volumes_read(&d, parts, vd_min(n, PARTITIONS_MAX), out, err))
		return vd_fail_in(err, "%s", img->path);
	return 0;
}

/* ---------------------------------------------------------------- what was found */

const struct vdisk_volume *vdisk_volumes_get(const vdisk_volumes *v, size_t i)
{
	return i < v->n ? &v->v[i] : NULL;
}

const struct vdisk_physical_volume *vdisk_volumes_physical(const vdisk_volumes *v, size_t i)
{
	return i < v->n_members ? &v->members[i].info : NULL;
}

/* The piece at `off` of the segment, at most `len` bytes. */
static struct vdisk_range segment_map(const struct vdisk_volume_segment *g, uint64_t off, uint64_t len)
{
	uint64_t chunk = off / g->stripe_bytes, in = off % g->stripe_bytes;
	uint64_t row = chunk / g->n_stripes, stripe = chunk % g->n_stripes;

	return (struct vdisk_range){ .off = g->at[stripe] + row * g->stripe_bytes + in, .len = vd_min(len, g->stripe_bytes - in) };
}

static const struct vdisk_volume_segment *segment_find(const struct vdisk_volume *v, uint64_t off)
{
	size_t lo = 0, hi = v->n_segments;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->segments[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &v->segments[lo];
}

size_t vdisk_volume_map(const struct vdisk_volume *v, uint64_t off, uint64_t len, struct vdisk_range *out, size_t cap)
{
	size_t n = 0;

	if (v->problem || !vd_within(off, len, v->len))
		return 0;
	while (len && n < cap) {
		const struct vdisk_volume_segment *g = segment_find(v, off);
		struct vdisk_range r = segment_map(g, off - g->off, vd_min(len, g->off + g->len - off));

		out[n++] = r;
		off += r.len;
		len -= r.len;
	}
	return n;
}
