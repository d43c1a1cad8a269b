/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metadata is read before the first snapshot of its group is made.  Snapshots are made one after the other, each file system has
 * its own moment; before any is frozen, since LVM writes to files of its own.
 *
 * A snapshot that runs full cannot be read any more, which shows as errors of the medium: disk_read() asks snapshot_judge() about
 * those.
 */
#include "snap.h"

#include "find.h"
#include "find_text.h"
#include "host_run.h"

#include "common/fail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REMOVALS 10u /* tries, since udev may be looking at it */

static void say(snap_say_fn fn, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(snap_say_fn fn, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (fn)
		fn(line);
}

int snap_facts(struct lvm_facts *f, vdisk_error *err)
{
	static const char *const table[] = { "dmsetup", "table", NULL };
	char *volumes = NULL, *pvs = NULL, *targets = NULL;
	int rc;

	*f = (struct lvm_facts){ 0 };
	rc = host_run(lvm_lvs, &volumes, err) || host_run(lvm_pvs, &pvs, err) || host_run(table, &targets, err) ? -1 : 0;
	if (!rc)
		rc = lvm_facts_read(f, volumes, pvs, targets, err);
	free(volumes);
	free(pvs);
	free(targets);
	return rc;
}

/* ---- gone */

static int volume_remove(const char *group, const char *name, vdisk_error *err)
{
	char which[2 * LVM_NAME + 2];
	const char *const argv[] = { "lvremove", "-f", which, NULL };
	const struct timespec nap = { .tv_nsec = 500 * 1000 * 1000 };

	snprintf(which, sizeof(which), "%s/%s", group, name);
	for (unsigned i = 1; host_run(argv, NULL, err); i++) {
		if (i == REMOVALS)
			return -1;
		nanosleep(&nap, NULL);
	}
	return 0;
}

void snap_stale(const struct lvm_facts *f, const char *root, snap_say_fn warn)
{
	for (size_t i = 0; i < f->n_volumes; i++) {
		const struct lvm_volume *v = &f->volumes[i];
		char tags[sizeof(v->tags)], *rest = tags, *tag;
		vdisk_error err = { 0 };
		bool stale = false;

		if (strncmp(v->name, SNAP_PREFIX, strlen(SNAP_PREFIX)) || !strchr("sS", v->attr[0]))
			continue;
		memcpy(tags, v->tags, sizeof(tags));
		while ((tag = strsep(&rest, ",")))
			stale = stale || snap_tag_stale(tag, root);
		if (!stale)
			continue;
		if (volume_remove(v->group, v->name, &err))
			say(warn, "the snapshot %s/%s, which an earlier capture left, cannot be removed: %s", v->group, v->name,
			    err.message);
		else
			say(warn, "the snapshot %s/%s, which an earlier capture left, was removed", v->group, v->name);
	}
}

void snap_drop(struct snaps *s, snap_say_fn warn)
{
	for (size_t i = 0; i < s->n; i++) {
		struct snap *v = &s->v[i];
		vdisk_error err = { 0 };

		if (v->open)
			disk_close(&v->disk);
		if (v->made && volume_remove(v->group, v->name, &err))
			say(warn, "the snapshot %s/%s could not be removed: %s; \"lvremove %s/%s\" does, or the next capture",
			    v->group, v->name, err.message, v->group, v->name);
		free(v->pieces);
	}
	for (size_t i = 0; i < s->n_heads; i++)
		free(s->heads[i].bytes);
	for (size_t i = 0; i < s->n_disks; i++) {
		free(s->layers[i]);
		ranges_free(&s->own[i]);
	}
	free(s->v);
	free(s->heads);
	free(s->layers);
	free(s->n_layers);
	free(s->own);
	*s = (struct snaps){ 0 };
}

bool snap_any(const struct snaps *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].open)
			return true;
	return false;
}

/* ---- full */

static bool good(const struct snap *v, vdisk_error *err)
{
	char mapping[2 * LVM_NAME + 8], *text;
	const char *const argv[] = { "dmsetup", "status", mapping, NULL };
	bool is;

	lvm_mapping(mapping, sizeof(mapping), v->group, v->name);
	if (host_run(argv, &text, err))
		return false;
	is = lvm_snapshot_good(text);
	free(text);
	if (!is)
		fail(err, VDISK_IO, "the snapshot of %s/%s has run full: more than %" PRIu64 " MiB were written meanwhile",
		     v->group, v->volume, v->room >> 20);
	return is;
}

static int snapshot_judge(const struct disk *d, void *ctx, vdisk_error *err)
{
	(void)d;
	return good(ctx, err) ? 0 : -1;
}

bool snap_broken(const struct snaps *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].open && !good(&s->v[i], NULL))
			return true;
	return false;
}

/* ---- made */

static int heads_read(struct snaps *s, const char *group, struct disk *disks, vdisk_error *err)
{
	for (size_t i = 0; i < s->n_heads; i++) {
		struct snap_head *h = &s->heads[i];

		if (h->bytes || strcmp(h->group, group))
			continue;
		h->bytes = aligned_alloc(DISK_ALIGN, (h->len + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN);
		if (!h->bytes)
			return fail_nomem(err);
		if (disk_read(&disks[h->disk], h->bytes, h->len, h->off, err))
			return -1;
	}
	return 0;
}

static int snapshot_make(struct snap *v, const char *root, vdisk_error *err)
{
	char tag[LVM_NAME], extents[32], which[2 * LVM_NAME + 2], device[64], path[PATH_MAX];
	const char *const argv[] = { "lvcreate", "--snapshot", "--name", v->name,    "--extents", extents, "--permission",
		                     "r",        "--monitor",  "n",      "--addtag", tag,         which,   NULL };

	snap_tag(tag, root);
	snprintf(extents, sizeof(extents), "%" PRIu64, v->room / v->extent);
	snprintf(which, sizeof(which), "%s/%s", v->group, v->volume);
	v->made = true; /* half of one is removed, too */
	if (host_run(argv, NULL, err)) {
		v->made = find_volume(device, root, v->group, v->name);
		return -1;
	}
	if (!find_volume(device, root, v->group, v->name) || !find_path(path, root, "/dev/%s", device))
		return fail(err, VDISK_IO, "the snapshot %s/%s has no device", v->group, v->name);
	if (disk_open(&v->disk, path, err))
		return -1;
	v->open = true;
	v->disk.judge = snapshot_judge;
	v->disk.judge_ctx = v;
	if (v->disk.size == v->size)
		return 0;
	return fail(err, VDISK_IO, "the snapshot %s/%s has %" PRIu64 " bytes, not %" PRIu64, v->group, v->name, v->disk.size,
		    v->size);
}

/* What one of the group's targets takes of the captured disks: the snapshot's own space. */
static void own_note(struct snaps *s, const struct lvm_target *t, const struct disk *disks, const char *root)
{
	for (unsigned i = 0; i < t->stripes; i++) {
		char number[24], device[64], kernel[64];
		uint64_t at, off;

		if (!lvm_target_device(t, i, number, &at) ||
		    !find_link(device, sizeof(device), root, "/sys/dev/block/%s", number) ||
		    !find_place(kernel, &off, root, device))
			continue;
		for (size_t k = 0; k < s->n_disks; k++)
			if (!strcmp(disks[k].kernel, kernel))
				(void)!ranges_add(&s->own[k], off + at,
						  off + at + t->len / t->stripes); /* without it, it is read */
	}
}

static void own_find(struct snaps *s, const struct disk *disks, const char *root)
{
	struct lvm_facts f;

	if (!snap_any(s) || snap_facts(&f, NULL))
		return;
	for (size_t i = 0; i < s->n; i++) {
		char mapping[2 * LVM_NAME + 16];

		lvm_mapping(mapping, sizeof(mapping) - 4, s->v[i].group, s->v[i].name);
		strcat(mapping, "-cow");
		for (size_t k = 0; s->v[i].open && k < f.n_targets; k++)
			if (!strcmp(f.targets[k].mapping, mapping))
				own_note(s, &f.targets[k], disks, root);
	}
	for (size_t k = 0; k < s->n_disks; k++)
		ranges_sort(&s->own[k]);
	lvm_facts_free(&f);
}

static int by_offset(const void *a, const void *b)
{
	const struct content_layer *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

static bool group_made(const struct snaps *s, const char *group)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].made && !strcmp(s->v[i].group, group))
			return true;
	return false;
}

/* Overlapping ones, which no intact group has, would show somebody else's bytes. */
static int layers_make(struct snaps *s, size_t disk, const struct disk *d, vdisk_error *err)
{
	struct content_layer *v;
	size_t n = s->n_heads;

	for (size_t i = 0; i < s->n; i++)
		n += s->v[i].n_pieces;
	s->layers[disk] = v = calloc(n ? n : 1, sizeof(*v));
	if (!v)
		return fail_nomem(err);
	n = 0;
	for (size_t i = 0; i < s->n_heads; i++)
		if (s->heads[i].disk == disk && s->heads[i].bytes && group_made(s, s->heads[i].group))
			v[n++] =
			    (struct content_layer){ .off = s->heads[i].off, .len = s->heads[i].len, .bytes = s->heads[i].bytes };
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; s->v[i].open && k < s->v[i].n_pieces; k++) {
			const struct snap_piece *p = &s->v[i].pieces[k];

			if (p->disk == disk)
				v[n++] = (struct content_layer){ .off = p->off,
								 .len = p->len,
								 .from = &s->v[i].disk,
								 .at = p->at,
								 .piece = p->piece,
								 .stride = p->stride };
		}
	qsort(v, n, sizeof(*v), by_offset);
	for (size_t i = 0; i < n; i++)
		if (v[i].off > d->size || v[i].len > d->size - v[i].off || (i && v[i].off - v[i - 1].off < v[i - 1].len))
			return fail(err, VDISK_CORRUPT, "%s: what LVM says of it contradicts itself at %" PRIu64, d->path,
				    v[i].off);
	s->n_layers[disk] = n;
	return 0;
}

/* All or, after a message, none. */
static int layers_all(struct snaps *s, struct disk *disks, size_t n, const char *root, vdisk_error *err)
{
	int rc = 0;

	s->layers = calloc(n, sizeof(*s->layers));
	s->n_layers = calloc(n, sizeof(*s->n_layers));
	s->own = calloc(n, sizeof(*s->own));
	if (!s->layers || !s->n_layers || !s->own)
		return fail_nomem(err);
	s->n_disks = n;
	for (size_t i = 0; !rc && i < n; i++)
		rc = layers_make(s, i, &disks[i], err);
	own_find(s, disks, root);
	return rc;
}

static void snapshots_make(struct snaps *s, struct live *l, struct disk *disks, const char *root, snap_say_fn note)
{
	for (size_t i = 0; i < s->n; i++) {
		struct snap *v = &s->v[i];
		struct live_mount *m = &l->mounts[v->mount];
		vdisk_error err = { 0 };

		snprintf(v->name, sizeof(v->name), SNAP_PREFIX "%ld-%zu", (long)getpid(), i + 1);
		if (heads_read(s, v->group, disks, &err) || snapshot_make(v, root, &err)) {
			snprintf(m->why_not, sizeof(m->why_not), "%.255s", err.message);
			if (v->open)
				disk_close(&v->disk);
			v->open = false;
			continue;
		}
		say(note, "%s (%s on %s) is read from a snapshot of %s/%s, with %" PRIu64 " MiB for what is written meanwhile",
		    m->folder, m->fs, m->source, v->group, v->volume, v->room >> 20);
	}
}

void snap_take(struct snaps *s, struct live *l, struct disk *disks, size_t n, const char *root, snap_say_fn note)
{
	struct lvm_facts f;
	vdisk_error err = { 0 };
	int rc;

	*s = (struct snaps){ 0 };
	if (snap_facts(&f, &err)) {
		say(note, "no snapshots are made: %s", err.message);
		return;
	}
	rc = snap_plan(s, l, &f, disks, n, root);
	lvm_facts_free(&f);
	if (!rc)
		snapshots_make(s, l, disks, root, note);
	if (!rc && layers_all(s, disks, n, root, &err)) {
		say(note, "no snapshots are made: %s", err.message);
		rc = -1;
	}
	if (rc) {
		snap_drop(s, note);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		l->mounts[s->v[i].mount].snapped = s->v[i].open;
}
