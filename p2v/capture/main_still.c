/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What file systems call free is asked before each pass, and believed where they are at rest, frozen or snapped: what is mounted
 * has part of its metadata in memory and journal.  Before a pass that is not the last they are let go as soon as that is known.  It
 * may be wrong a moment later, and the next pass sees what was missed, since it compares by digests.
 */
#include "main_still.h"

#include "find_text.h"
#include "free.h"
#include "main_show.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 65536u /* free range of a snapshot that is worth an entry */

static bool volumes_here(bool ours)
{
	char text[300];
	bool found = false;
	size_t n;
	char **names = find_names("", &n, "/sys/block");

	for (size_t i = 0; !found && i < n; i++)
		found = find_text(text, sizeof(text), "", "/sys/block/%s/dm/uuid", names[i]) && !strncmp(text, "LVM-", 4) &&
			(!ours || (find_text(text, sizeof(text), "", "/sys/block/%s/dm/name", names[i]) &&
				   strstr(text, "-vdisk--capture--")));
	find_names_free(names, n);
	return found;
}

void still_prepare(struct run *r)
{
	struct lvm_facts f;
	vdisk_error err = { 0 };

	for (size_t i = 0; i < r->live.n_lacks; i++)
		show_warning(r->live.lacks[i]);
	if (!volumes_here(true))
		return;
	if (snap_facts(&f, &err)) {
		char line[VDISK_ERROR_MESSAGE_MAX + 96];

		snprintf(line, sizeof(line), "whether the snapshots of this name are an earlier capture's is not known: %s",
			 err.message);
		show_warning(line);
		return;
	}
	snap_stale(&f, "", show_warning);
	lvm_facts_free(&f);
}

/* ---- which blocks */

static void notes_show(struct run *r, const char *disk, const struct free_map *map, bool last)
{
	for (size_t k = 0; k < map->n_notes; k++) {
		char line[sizeof(map->notes->text) + 128], volume[2 * LVM_NAME + 16];
		bool other = strstr(map->notes[k].text, "/" SNAP_PREFIX) != NULL;

		/* Of these the snapshots are asked. */
		for (size_t i = 0; !other && i < r->snaps.n; i++) {
			int n = snprintf(volume, sizeof(volume), "volume %s/%s ", r->snaps.v[i].group, r->snaps.v[i].volume);

			other = r->snaps.v[i].open && !strncmp(map->notes[k].text, volume, (size_t)n);
		}
		if (other)
			continue;
		snprintf(line, sizeof(line), "%s, %s", disk, map->notes[k].text);
		if (last)
			show_warning(line);
		else
			show_note(line);
	}
}

static int free_unknown(struct run *r, const vdisk_error *why, vdisk_error *err)
{
	char line[VDISK_ERROR_MESSAGE_MAX + 32];

	if (r->cancel && *r->cancel)
		return fail(err, VDISK_CANCELLED, "interrupted");
	snprintf(line, sizeof(line), "%s; all of it is read", why->message);
	show_warning(line);
	return 0;
}

static int free_look(struct run *r, size_t i, bool last, vdisk_error *err)
{
	struct content *c = &r->disks[i].content;
	struct free_map map;
	bool live = live_on(&r->live, c->disk->name) && live_frozen(&r->live, c->disk->name);

	ranges_free(&c->free);
	if (r->o->everything)
		return 0;
	if (free_find(c->disk, live, &map, err))
		return free_unknown(r, err, err);
	notes_show(r, c->disk->name, &map, last);
	c->free = map.free;
	map.free = (struct ranges){ 0 };
	free_map_free(&map);
	return 0;
}

/* Where the disk's layers show a snapshot, what is free there. */
static int free_add(struct run *r, const struct snap *s, const struct free_map *map, vdisk_error *err)
{
	for (size_t i = 0; i < r->pass.n; i++)
		for (size_t k = 0; k < r->snaps.n_layers[i]; k++) {
			const struct content_layer *l = &r->snaps.layers[i][k];

			for (size_t j = 0; l->from == &s->disk && j < map->free.n; j++) {
				struct vdisk_range x;

				if (content_layer_find(l, map->free.v[j].off, map->free.v[j].len, &x) &&
				    ranges_add(&r->disks[i].content.free, x.off, x.off + x.len))
					return fail_nomem(err);
			}
		}
	return 0;
}

/* What was found of the volumes themselves, and of LVM's metadata, does not count; nor is there anything in the snapshots' own
 * space. */
static int free_snapped(struct run *r, bool last, vdisk_error *err)
{
	char line[VDISK_ERROR_MESSAGE_MAX + 96];

	for (size_t i = 0; i < r->pass.n; i++) {
		struct ranges *to = &r->disks[i].content.free;

		for (size_t k = 0; k < r->snaps.n_layers[i]; k++)
			if (ranges_cut(to, r->snaps.layers[i][k].off, r->snaps.layers[i][k].off + r->snaps.layers[i][k].len))
				return fail_nomem(err);
		for (size_t k = 0; k < r->snaps.own[i].n; k++)
			if (ranges_add(to, r->snaps.own[i].v[k].off, r->snaps.own[i].v[k].off + r->snaps.own[i].v[k].len))
				return fail_nomem(err);
	}
	for (size_t i = 0; i < r->snaps.n; i++) {
		struct snap *s = &r->snaps.v[i];
		struct free_map map;
		vdisk_error e = { 0 };
		int rc = 0;

		if (!s->open)
			continue;
		if (free_find(&s->disk, true, &map, &e)) {
			if (free_unknown(r, &e, err))
				return -1;
			continue;
		}
		for (size_t k = 0; k < map.n_notes; k++) {
			snprintf(line, sizeof(line), "%s/%s, %s", s->group, s->volume, map.notes[k].text);
			(last ? show_warning : show_note)(line);
		}
		rc = free_add(r, s, &map, err);
		free_map_free(&map);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < r->pass.n; i++) {
		ranges_sort(&r->disks[i].content.free);
		ranges_round(&r->disks[i].content.free, DISK_ALIGN, SMALLEST);
	}
	return 0;
}

/* ---- held still */

/* Of logical volumes that are not snapped, why; where nothing else holds them, it is worth a warning. */
static void why_not_show(const struct run *r, bool last)
{
	char line[PATH_MAX + 512];

	for (size_t i = 0; i < r->live.n; i++) {
		const struct live_mount *m = &r->live.mounts[i];

		if (m->snapped || !*m->why_not)
			continue;
		snprintf(line, sizeof(line), "%s (%s on %s): there is no snapshot: %s", m->folder, m->fs, m->source, m->why_not);
		(last && !m->frozen ? show_warning : show_note)(line);
	}
}

static void layers_give(struct run *r)
{
	for (size_t i = 0; i < r->pass.n; i++) {
		r->disks[i].content.layers = snap_any(&r->snaps) ? r->snaps.layers[i] : NULL;
		r->disks[i].content.n_layers = snap_any(&r->snaps) ? r->snaps.n_layers[i] : 0;
	}
}

int still_begin(struct run *r, bool last, vdisk_error *err)
{
	bool wanted = r->live.n && (last || !r->o->everything);
	int rc = 0;

	if (wanted && !r->o->no_snapshot && !r->snaps_failed && volumes_here(false))
		snap_take(&r->snaps, &r->live, r->chosen->disks, r->pass.n, "", show_note);
	if (wanted && r->o->freeze != FREEZE_NONE)
		live_freeze(&r->live, r->o->freeze == FREEZE_ALL, r->o->freeze_seconds, last ? show_warning : show_note);
	why_not_show(r, last);
	live_watch(&r->live, "");
	for (size_t i = 0; i < r->snaps.n_disks; i++)
		if (r->snaps.own[i].n)
			live_ours(&r->live, i);
	for (size_t i = 0; !rc && i < r->pass.n; i++)
		rc = free_look(r, i, last, err);
	if (!rc && snap_any(&r->snaps) && !r->o->everything)
		rc = free_snapped(r, last, err);
	if (!last)
		still_end(r);
	else
		layers_give(r);
	return rc;
}

void still_end(struct run *r)
{
	live_thaw(&r->live);
	for (size_t i = 0; i < r->pass.n; i++) {
		r->disks[i].content.layers = NULL;
		r->disks[i].content.n_layers = 0;
	}
	snap_drop(&r->snaps, show_warning);
}
