/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshots that a description keeps account of (VirtualBox's, Hyper-V's), and those that stand in the images or beside them
 * (qcow2's, VMware's, vdisk's own): what the images below each disk are called, and what of the snapshots cannot be kept.  A disk
 * takes with it the states that it goes on from and those on other branches.
 */
#include "flow/flow.h"

#include "common/fail.h"
#include "machine/snapshots.h"

#include <stdio.h>
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

/* Whose image it is already, or NULL. */
static const char *taken_by(const struct flow_disk *d, const char *path)
{
	for (size_t i = 0; i < d->n_names; i++)
		if (chain_same_file(d->names[i].path, path))
			return d->names[i].name;
	return NULL;
}

/* One snapshot's state of the disk: an image that it goes on from, or one that branches off, whose own chain counts. */
static int state_take(struct flow *f, struct flow_disk *d, size_t snapshot, int image, vdisk_error *err)
{
	const struct machine_snapshot *s = &f->m->snapshots[snapshot];
	struct chain *c = &d->branches[d->n_names];
	char reason[VDISK_ERROR_MESSAGE_MAX];
	const char *why = NULL;
	vdisk_error gone = { 0 };

	if (chain_find(f->m, &f->where, image, c, &gone)) {
		if (gone.kind == VDISK_NOMEM)
			return fail_nomem(err);
		why = gone.message;
	} else if (chain_same_file(c->path, d->source)) {
		why = "its image is the disk itself, which was written to since";
	} else if (taken_by(d, c->path)) {
		snprintf(reason, sizeof(reason), "it has the same image as \"%.200s\", whose name it keeps", taken_by(d, c->path));
		why = reason;
	}
	if (why) {
		machine_lost_add(&f->lost, said(s), why, "snapshot %zu: disk %s", snapshot + 1, d->d->name ? d->d->name : "");
		chain_free(c);
		return 0;
	}
	d->names[d->n_names++] = (struct vdisk_keep_name){
		.path = c->path,
		.name = name_cut(f, said(s)),
		.description = s->description,
		.date_sec = s->date,
		.format = c->format,
		.ancestors = (const char *const *)c->ancestors,
	};
	return 0;
}

static int disk_take(struct flow *f, struct flow_disk *d, vdisk_error *err)
{
	d->names = calloc(f->m->snapshots_n, sizeof(*d->names));
	d->branches = calloc(f->m->snapshots_n, sizeof(*d->branches));
	if (!d->names || !d->branches)
		return fail_nomem(err);
	for (size_t i = 0; i < f->m->snapshots_n; i++) {
		int image = machine_state_find(f->m, i, d->d->name);

		if (image >= 0 && state_take(f, d, i, image, err))
			return -1;
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

/* ---------------------------------------------------------------- those that the images tell of */

struct found {
	struct flow *f;
	const struct flow_disk *d;
	bool whole; /* there is one of the whole machine */
};

static bool is_told(const struct flow *f, const char *where, const char *name)
{
	for (size_t i = 0; i < f->lost.n; i++)
		if (f->lost.at[i].value && !strcmp(f->lost.at[i].where, where) && !strcmp(f->lost.at[i].value, name))
			return true;
	return false;
}

/* VMware's are of all disks together, and told once. */
static void found_tell(void *ctx, const struct vdisk_snapshot_node *s)
{
	struct found *l = ctx;
	char where[200], memory[240];

	if (!s->name)
		return;
	l->whole |= s->kind == VDISK_SNAPSHOT_VMWARE || s->vm_state_bytes;
	if (s->kind == VDISK_SNAPSHOT_VMWARE)
		snprintf(where, sizeof(where), "snapshot %.100s", s->id);
	else
		snprintf(where, sizeof(where), "disk %.100s: snapshot %.60s", flow_disk_label(l->d), s->id);
	if (!l->f->a->keep_snapshots && !is_told(l->f, where, s->name))
		machine_lost_add(&l->f->lost, s->name, "the machine is taken as it is now", "%s", where);
	snprintf(memory, sizeof(memory), "%s: memory of the running machine", where);
	if (s->vm_state_bytes && !is_told(l->f, memory, s->name))
		machine_lost_add(&l->f->lost, s->name, "another system cannot go on with it", "%s", memory);
}

/* What cannot be listed is heard when the disk is opened. */
static void images_look(struct flow *f)
{
	struct found l = { .f = f };

	for (size_t i = 0; i < f->n_disks; i++) {
		const struct flow_disk *d = l.d = &f->disks[i];
		const struct vdisk_open_options o = {
			.format = d->source_format,
			.allow_dirs = f->a->allow,
			.ancestors = (const char *const *)d->chain.ancestors,
		};

		if (!d->in_archive && !d->is_empty)
			vdisk_snapshot_tree(d->source, &o, found_tell, &l, NULL);
	}
	if (f->a->keep_snapshots && l.whole)
		machine_lost_add(&f->lost, NULL, "what is kept is their disks",
		                 "snapshots: the machine's own settings at their time");
}

int flow_snapshots(struct flow *f, vdisk_error *err)
{
	snapshots_lost(f->m, f->a->keep_snapshots, &f->lost);
	if (!f->m->snapshots_n)
		images_look(f);
	if (!f->a->keep_snapshots || !f->m->snapshots_n)
		return 0;
	gone_tell(f);
	for (size_t i = 0; i < f->n_disks; i++)
		if (disk_take(f, &f->disks[i], err))
			return -1;
	return 0;
}
