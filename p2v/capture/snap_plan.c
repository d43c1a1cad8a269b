/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be snapped, a pure function of what /sys and LVM say.  A volume is, if it is a plain or striped one whose group lies on
 * disks and partitions alone and has room.  What is between volume and disk otherwise (encryption, an array, a thin pool) makes
 * other bytes of it, and is frozen instead.
 */
#include "snap.h"

#include "find.h"
#include "find_text.h"

#include "common/fail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define HEAD_MOST (64 * MIB)   /* of metadata, which is kept in memory */
#define ROOM_USUAL (256 * MIB) /* or a fifth of the volume, where that is more */
#define ROOM_LEAST (16 * MIB)  /* or a hundredth */
#define DEPTH_MAX 4

struct planning {
	struct snaps *s;
	struct live *live;
	const struct lvm_facts *f;
	const struct disk *disks;
	size_t n;
	const char *root;
};

static int why(struct live_mount *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int why(struct live_mount *m, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(m->why_not, sizeof(m->why_not), format, ap);
	va_end(ap);
	return 0;
}

/* The captured disk of that name in /sys; n: none. */
static size_t disk_of(const struct planning *p, const char *kernel)
{
	size_t i = 0;

	while (i < p->n && strcmp(p->disks[i].kernel, kernel))
		i++;
	return i;
}

struct below {
	const struct planning *p;
	bool captured;
};

static void below_look(void *ctx, const char *disk)
{
	struct below *b = ctx;

	b->captured = b->captured || disk_of(b->p, disk) < b->p->n;
}

/* ---- the group */

static bool pv_kernel(const struct planning *p, const struct lvm_pv *pv, char out[64])
{
	char path[PATH_MAX];

	return find_real(path, p->root, "%s", pv->device) && (size_t)snprintf(out, 64, "%s", strrchr(path, '/') + 1) < 64;
}

static int head_add(struct planning *p, const char *group, size_t disk, uint64_t off, uint64_t len)
{
	struct snap_head *v;

	if (!len)
		return 0;
	v = realloc(p->s->heads, (p->s->n_heads + 1) * sizeof(*v));
	if (!v)
		return -1;
	p->s->heads = v;
	v[p->s->n_heads] = (struct snap_head){ .disk = disk, .off = off, .len = len };
	snprintf(v[p->s->n_heads++].group, LVM_NAME, "%s", group);
	return 0;
}

/* 1: it can be told where its metadata lies, which (`take`) is put into s->heads; 0: it cannot; -1. */
static int group_walk(struct planning *p, struct live_mount *m, const char *group, bool take)
{
	for (size_t i = 0; i < p->f->n_pvs; i++) {
		const struct lvm_pv *pv = &p->f->pvs[i];
		struct below b = { .p = p };
		char kernel[64], disk[64];
		uint64_t off;
		size_t k;

		if (strcmp(pv->group, group))
			continue;
		if (!pv_kernel(p, pv, kernel))
			return why(m, "a part of its volume group is missing: %s", pv->device);
		if (!find_place(disk, &off, p->root, kernel)) {
			find_bottom(p->root, kernel, below_look, &b);
			if (b.captured)
				return why(m, "its volume group %s lies on %s, which is no disk or partition", group, kernel);
			continue;
		}
		k = disk_of(p, disk);
		if (k == p->n)
			continue;
		if (off > p->disks[k].size || pv->size > p->disks[k].size - off)
			return why(m, "%s is larger than its disk", kernel);
		if (pv->start > HEAD_MOST || pv->size - pv->end > HEAD_MOST)
			return why(m, "LVM's metadata on %s is too large", kernel);
		if (take && (head_add(p, group, k, off, pv->start) || head_add(p, group, k, off + pv->end, pv->size - pv->end)))
			return -1;
	}
	return 1;
}

static int group_look(struct planning *p, struct live_mount *m, const char *group)
{
	int rc;

	for (size_t i = 0; i < p->s->n_heads; i++)
		if (!strcmp(p->s->heads[i].group, group))
			return 1;
	rc = group_walk(p, m, group, false);
	return rc > 0 ? group_walk(p, m, group, true) : rc;
}

/* ---- where the volume lies */

static int piece_add(struct snap *s, struct snap_piece piece)
{
	struct snap_piece *v = realloc(s->pieces, (s->n_pieces + 1) * sizeof(*v));

	if (!v)
		return -1;
	s->pieces = v;
	v[s->n_pieces++] = piece;
	return 0;
}

/* A linear or striped target: a piece for each of its devices that is captured. */
static int target_add(struct planning *p, struct live_mount *m, struct snap *s, const struct lvm_target *t)
{
	for (unsigned i = 0; i < t->stripes; i++) {
		char number[24], device[64], disk[64];
		uint64_t at, off;
		size_t k;

		if (!lvm_target_device(t, i, number, &at) ||
		    !find_link(device, sizeof(device), p->root, "/sys/dev/block/%s", number))
			return why(m, "where %s lies is not understood", t->mapping);
		if (!find_place(disk, &off, p->root, device))
			return why(m, "it lies on %s, which is no disk or partition", device);
		k = disk_of(p, disk);
		if (k == p->n)
			continue;
		if (piece_add(s, (struct snap_piece){ .disk = k,
						      .off = off + at,
						      .len = t->len / t->stripes,
						      .at = t->off + i * t->piece,
						      .piece = t->piece,
						      .stride = t->piece * t->stripes }))
			return -1;
	}
	return 1;
}

static int mapping_look(struct planning *p, struct live_mount *m, struct snap *s, const char *mapping, unsigned depth)
{
	uint64_t covered = 0;
	int rc;

	for (size_t i = 0; i < p->f->n_targets; i++) {
		const struct lvm_target *t = &p->f->targets[i];
		char device[64], name[2 * LVM_NAME + 8];

		if (strcmp(t->mapping, mapping))
			continue;
		if (!strcmp(t->kind, "snapshot-origin") && depth < DEPTH_MAX) { /* others have snapshots of it */
			if (!find_link(device, sizeof(device), p->root, "/sys/dev/block/%.*s", (int)strcspn(t->words, " "),
				       t->words) ||
			    !find_text(name, sizeof(name), p->root, "/sys/block/%s/dm/name", device))
				return why(m, "where %s lies is not understood", mapping);
			return mapping_look(p, m, s, name, depth + 1);
		}
		if (!t->stripes)
			return why(m, "it is of the kind \"%s\"", t->kind);
		rc = target_add(p, m, s, t);
		if (rc <= 0)
			return rc;
		covered += t->len;
	}
	return covered == s->size ? 1 : why(m, "where %s lies is not known", mapping);
}

/* ---- one volume */

static int kind_judge(struct live_mount *m, const struct lvm_volume *v)
{
	if (v->attr[0] != '-' && v->attr[0] != 'o')
		return why(m, "%s/%s is no plain volume (lvs calls it \"%s\")", v->group, v->name, v->attr);
	if (v->group_attr[0] != 'w' || strlen(v->group_attr) < 6 || v->group_attr[3] == 'p')
		return why(m, "the volume group %s cannot be changed (vgs calls it \"%s\")", v->group, v->group_attr);
	if (v->group_attr[5] == 'c' || v->group_attr[5] == 's')
		return why(m, "the volume group %s is other machines', too", v->group);
	return 1;
}

static uint64_t more(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
static uint64_t room_least(const struct snap *s)
{
	return more(ROOM_LEAST, s->size / 100);
}

static uint64_t room_usual(const struct snap *s)
{
	uint64_t most = s->size + s->size / 64 + ROOM_LEAST, n = more(more(ROOM_USUAL, s->size / 5), room_least(s));

	return n < most ? n : most; /* no more can be written to it */
}

static int mount_plan(struct planning *p, size_t i)
{
	struct live_mount *m = &p->live->mounts[i];
	const struct lvm_volume *v;
	char uuid[256], mapping[2 * LVM_NAME + 8];
	struct snap *list, *s;
	int rc;

	m->why_not[0] = '\0';
	if (!find_text(uuid, sizeof(uuid), p->root, "/sys/block/%s/dm/uuid", m->source) || strncmp(uuid, "LVM-", 4))
		return 0;
	if (!strcmp(m->fs, "btrfs"))
		return why(m, "a btrfs takes its snapshot's device for another one of its own");
	v = lvm_volume_find(p->f, uuid);
	if (!v)
		return why(m, "lvs does not know its volume");
	rc = kind_judge(m, v);
	if (rc > 0)
		rc = group_look(p, m, v->group);
	if (rc <= 0)
		return rc;
	list = realloc(p->s->v, (p->s->n + 1) * sizeof(*list));
	if (!list)
		return -1;
	p->s->v = list;
	s = &list[p->s->n];
	*s = (struct snap){ .mount = i, .size = v->size, .extent = v->extent };
	memcpy(s->group, v->group, sizeof(s->group));
	memcpy(s->volume, v->name, sizeof(s->volume));
	memcpy(s->id, v->id, sizeof(s->id));
	lvm_mapping(mapping, sizeof(mapping), v->group, v->name);
	rc = mapping_look(p, m, s, mapping, 0);
	if (rc > 0) {
		p->s->n++;
		return 0;
	}
	free(s->pieces);
	return rc;
}

/* ---- room */

static void snap_forget(struct snaps *s, size_t i)
{
	free(s->v[i].pieces);
	memmove(&s->v[i], &s->v[i + 1], (--s->n - i) * sizeof(*s->v));
}

static bool is_root(const struct live *l, const struct snap *s)
{
	return !strcmp(l->mounts[s->mount].folder, "/");
}

/* Who goes without, so that there is room for the others: not the root, which is frozen last, and of the others the largest. */
static size_t victim(const struct snaps *s, const struct live *l, const char *group)
{
	size_t found = s->n;

	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].group, group) &&
		    (found == s->n || is_root(l, &s->v[found]) || (!is_root(l, &s->v[i]) && s->v[i].size > s->v[found].size)))
			found = i;
	return found;
}

/* The group's free extents are shared by what they want; false: somebody goes without, and it is to be done again. */
static bool group_share(struct snaps *s, struct live *l, const char *group, uint64_t left)
{
	uint64_t sum = 0;
	bool enough = true;

	for (size_t i = 0; i < s->n; i++)
		sum += strcmp(s->v[i].group, group) ? 0 : room_usual(&s->v[i]);
	for (size_t i = 0; i < s->n; i++) {
		struct snap *v = &s->v[i];

		if (strcmp(v->group, group))
			continue;
		v->room = room_usual(v);
		if (sum > left)
			v->room = (uint64_t)((double)v->room * ((double)left / (double)sum));
		v->room = v->room / v->extent * v->extent;
		enough = enough && v->room >= room_least(v);
	}
	if (!enough) {
		size_t i = victim(s, l, group);

		why(&l->mounts[s->v[i].mount], "its volume group %s has only %" PRIu64 " MiB free", group, left / MIB);
		snap_forget(s, i);
	}
	return enough;
}

static void room_share(struct snaps *s, struct live *l, const struct lvm_facts *f)
{
	for (size_t i = 0; i < f->n_volumes; i++) {
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen = seen || !strcmp(f->volumes[k].group, f->volumes[i].group);
		while (!seen && !group_share(s, l, f->volumes[i].group, f->volumes[i].group_free))
			;
	}
}

int snap_plan(struct snaps *s, struct live *l, const struct lvm_facts *f, const struct disk *disks, size_t n, const char *root)
{
	struct planning p = { .s = s, .live = l, .f = f, .disks = disks, .n = n, .root = root };

	*s = (struct snaps){ 0 };
	for (size_t i = 0; i < l->n; i++)
		if (mount_plan(&p, i)) {
			snap_drop(s, NULL);
			return -1;
		}
	room_share(s, l, f);
	return 0;
}
