/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshots that a description keeps account of (VirtualBox's, Hyper-V's): what the images below each disk are called, and what
 * of the snapshots cannot be kept.  A disk takes with it the states that it goes on from; those on other branches are told.
 */
#include "flow/flow.h"

#include "common/fail.h"
#include "machine/snapshots.h"

#include <stdlib.h>
#include <string.h>

/* Cut between characters. */
static const char *name_cut(struct flow *f, const char *name)
{
	size_t n = strlen(name);

	if (n <= VDISK_SNAPSHOT_NAME_MAX)
		return name;
	for (n = VDISK_SNAPSHOT_NAME_MAX; n && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
		;
	flow_note(f, "the snapshot \"%s\" is called by the first %zu bytes of its name", name, n);
	return machine_text_n(f->m, name, n);
}

static const char *said(const struct machine_snapshot *s) { return s->name ? s->name : s->id; }

/* One snapshot's state of the disk. */
static void state_take(struct flow *f, struct flow_disk *d, size_t snapshot, int image)
{
	const struct machine_snapshot *s = &f->m->snapshots[snapshot];
	const char *disk = d->d->name ? d->d->name : "";
	char *path = machine_locate(&f->where, f->m->images[image].path, NULL);
	int place = path ? chain_place(&d->chain, path) : -1;
	const char *why = !path ? "its image is not there" : "the disk does not go on from it";

	free(path);
	for (size_t i = 0; place >= 0 && i < d->n_names; i++)
		if (d->names[i].path == d->chain.ancestors[place]) {
			why = "another snapshot has the same image, whose name it keeps";
			place = -1;
			break;
		}
	if (place < 0)
		machine_lost_add(&f->lost, said(s), why, "snapshot %zu: disk %s", snapshot + 1, disk);
	else
		d->names[d->n_names++] = (struct vdisk_keep_name){
			.path = d->chain.ancestors[place],
			.name = name_cut(f, said(s)),
			.description = s->description,
			.date_sec = s->date,
		};
}

static int disk_take(struct flow *f, struct flow_disk *d, vdisk_error *err)
{
	d->names = calloc(f->m->snapshots_n, sizeof(*d->names));
	if (!d->names)
		return fail_nomem(err);
	for (size_t i = 0; i < f->m->snapshots_n; i++) {
		int image = machine_state_find(f->m, i, d->d->name);

		if (image >= 0)
			state_take(f, d, i, image);
	}
	return f->m->failed.kind ? fail(err, f->m->failed.kind, "%s", f->m->failed.message) : 0;
}

/* A disk that a snapshot had, and the machine has no more. */
static void gone_tell(struct flow *f)
{
	for (size_t i = 0; i < f->m->states_n; i++) {
		const struct machine_state *s = &f->m->states[i];

		if (!machine_disk_find(f->m, s->disk))
			machine_lost_add(&f->lost, said(&f->m->snapshots[s->snapshot]), "the machine has no such disk any more",
			                 "snapshot %d: disk %s", s->snapshot + 1, s->disk);
	}
}

int flow_snapshots(struct flow *f, vdisk_error *err)
{
	snapshots_lost(f->m, f->a->keep_snapshots, &f->lost);
	if (!f->a->keep_snapshots || !f->m->snapshots_n)
		return 0;
	gone_tell(f);
	for (size_t i = 0; i < f->n_disks; i++)
		if (disk_take(f, &f->disks[i], err))
			return -1;
	return 0;
}
