/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "populate.h"
#include "info.h"
#include "links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define PARTITIONS_MAX 1024
#define SNAPSHOTS_MAX 4096u

/* ---------------------------------------------------------------- a disk and what is in it */

static int add_window(struct fs *fs, struct node *in, const char *name, struct state *src, uint64_t off, uint64_t len,
		      vdisk_error *err)
{
	struct window w = { .src = src, .off = off, .len = len, .writable = src->writable };

	return tree_window(fs->tree, in, name, &w) ? 0 : fail_nomem(err);
}

static int add_partitions(struct fs *fs, struct node *in, struct state *src, struct info *info, vdisk_error *err)
{
	struct node *folder = tree_folder(fs->tree, in, "partitions", src);

	if (!folder)
		return fail_nomem(err);
	if (vdisk_partitions(src->img, &info->table, info->parts, PARTITIONS_MAX, &info->n_parts, err)) {
		if (err->kind != VDISK_CORRUPT)
			return -1;
		info->table_problem = *err;
		info->n_parts = 0;
		memset(&info->table, 0, sizeof(info->table));
	}
	if (info->n_parts > PARTITIONS_MAX)
		info->n_parts = PARTITIONS_MAX;
	for (size_t i = 0; i < info->n_parts; i++) {
		const struct vdisk_partition *p = &info->parts[i];
		char name[16];

		snprintf(name, sizeof(name), "%u", p->number);
		if (add_window(fs, folder, name, src, p->off, p->len, err))
			return -1;
	}
	return 0;
}

static void add_volume(struct fs *fs, struct node *folder, struct state *src, const struct vdisk_volume *v)
{
	struct window w = { .src = src, .len = v->len, .volume = v, .writable = src->writable && v->writable };
	struct node *group = tree_folder_get(fs->tree, folder, v->group, src);

	if (!group || !tree_window(fs->tree, group, v->name, &w))
		say(LOG_NOTICE, "volume %s/%s is not shown: another one has the name", v->group, v->name);
}

static int add_volumes(struct fs *fs, struct node *in, struct state *src, vdisk_error *err)
{
	struct node *folder = NULL;
	const struct vdisk_volume *v;
	const struct vdisk_physical_volume *p;

	if (vdisk_volumes_read(src->img, &src->volumes, err))
		return -1;
	for (size_t i = 0; (p = vdisk_volumes_physical(src->volumes, i)); i++)
		if (p->problem)
			say(LOG_NOTICE, "physical volume at offset %llu: %s", (unsigned long long)p->off, p->problem);
	for (size_t i = 0; (v = vdisk_volumes_get(src->volumes, i)); i++) {
		if (v->hidden)
			continue;
		if (v->problem) {
			say(LOG_NOTICE, "volume %s/%s is not shown: %s", v->group, v->name, v->problem);
			continue;
		}
		if (!folder)
			folder = tree_folder(fs->tree, in, "volumes", src);
		if (!folder)
			return fail_nomem(err);
		add_volume(fs, folder, src, v);
	}
	return 0;
}

/* ---------------------------------------------------------------- other states of it */

static struct state *state_add(struct fs *fs, const char *path, const char *format, const char *snapshot, uint32_t flags)
{
	struct state *s = state_new(path, format, snapshot, fs->states->allow, flags), **last;

	for (last = &fs->states; s && *last; last = &(*last)->next)
		;
	if (s) {
		s->cancel = fs->states->cancel;
		*last = s;
	}
	return s;
}

/* Under its name with `mark` behind it where that is taken: "base.qcow2~2". */
static int add_state(struct fs *fs, struct node *in, const char *name, const char *mark, struct state *s, vdisk_error *err)
{
	struct node *folder = s ? tree_folder(fs->tree, in, name, s) : NULL;
	char other[NODE_NAME_MAX + 1];

	if (!s)
		return fail_nomem(err);
	snprintf(other, sizeof(other), "%.200s~%.50s", name, mark);
	if (!folder)
		folder = tree_folder(fs->tree, in, other, s);
	if (folder)
		folder->unfilled = true;
	else
		say(LOG_NOTICE, "the state %.200s (%.50s) is not shown: another one has the name", name, mark);
	return 0;
}

struct adder {
	struct fs *fs;
	struct node *folder, *in;
	struct state *src;
	vdisk_error *err;
	unsigned n;
	int rc;
};

static struct node *states_folder(struct adder *a)
{
	if (!a->folder)
		a->folder = tree_folder_get(a->fs->tree, a->in, "snapshots", a->src);
	return a->folder;
}

static void add_snapshot(void *ctx, const struct vdisk_snapshot_info *info)
{
	struct adder *a = ctx;
	char option[300];
	struct state *s;

	if (a->rc || a->n++ >= SNAPSHOTS_MAX)
		return;
	snprintf(option, sizeof(option), "snapshot=%.256s", info->id);
	/* Our own lock would be in the way of reading a snapshot of the image that we write to; what a snapshot holds is never
	   overwritten. */
	s = state_add(a->fs, vdisk_path(a->src->img), vdisk_format_name(a->src->img), option,
	               (a->src->flags & VDISK_OPEN_NO_LOCK) | (a->src->writable ? VDISK_OPEN_NO_LOCK : 0));
	if (s)
		s->mtime = (struct timespec){ .tv_sec = (time_t)info->date_sec, .tv_nsec = info->date_nsec };
	a->rc = s && states_folder(a) ? add_state(a->fs, a->folder, *info->name ? info->name : info->id, info->id, s, a->err)
				      : fail_nomem(a->err);
}

static int add_ancestors(struct adder *a)
{
	for (unsigned depth = 1; depth < vdisk_depth(a->src->img) && !a->rc; depth++) {
		struct vdisk_layer_info info;
		struct state *s;
		const char *slash;
		char mark[16];

		if (vdisk_layer_get(a->src->img, depth, &info, a->err))
			return -1;
		s = state_add(a->fs, info.path, info.format, NULL, a->src->flags & VDISK_OPEN_NO_LOCK);
		slash = strrchr(info.path, '/');
		snprintf(mark, sizeof(mark), "%u", depth);
		a->rc = states_folder(a) ? add_state(a->fs, a->folder, slash ? slash + 1 : info.path, mark, s, a->err)
					 : fail_nomem(a->err);
	}
	return a->rc;
}

static int add_states(struct fs *fs, struct node *in, struct state *src, vdisk_error *err)
{
	struct adder a = { .fs = fs, .in = in, .src = src, .err = err };

	if (src->snapshot)
		return 0;
	if (vdisk_snapshots(src->img, add_snapshot, &a, err))
		return -1;
	if (a.n > SNAPSHOTS_MAX)
		say(LOG_NOTICE, "%s: %u of %u snapshots are not shown", vdisk_path(src->img), a.n - SNAPSHOTS_MAX, a.n);
	return a.rc || src != fs->states ? a.rc : add_ancestors(&a);
}

/* ---------------------------------------------------------------- all of it */

static int populate(struct fs *fs, struct node *in, struct state *src, vdisk_error *err)
{
	struct info info = { .fs = fs, .src = src, .parts = calloc(PARTITIONS_MAX, sizeof(*info.parts)) };
	char *text = NULL;
	int rc = -1;

	if (!info.parts)
		return fail_nomem(err);
	if (add_window(fs, in, "disk", src, 0, vdisk_size(src->img), err) || add_partitions(fs, in, src, &info, err) ||
	    add_volumes(fs, in, src, err) || add_states(fs, in, src, err))
		goto out;
	text = info_text(&info);
	rc = text && tree_text(fs->tree, in, "info.json", text, src) ? 0 : fail_nomem(err);
	if (!rc && info.table_problem.kind) /* only now: where nothing else can be read either, one message is enough */
		say(LOG_NOTICE, "%s; no partitions are shown", info.table_problem.message);
out:
	free(text);
	free(info.parts);
	return rc;
}

int populate_root(struct fs *fs, vdisk_error *err)
{
	struct node *root = tree_root(fs->tree), *hidden = tree_folder(fs->tree, root, FS_HIDDEN, NULL);
	char pid[16];

	root->src = fs->states;
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (!hidden || !tree_text(fs->tree, hidden, "pid", pid, NULL))
		return fail_nomem(err);
	hidden->hidden = true;
	return populate(fs, root, fs->states, err);
}

void populate_folder(struct fs *fs, struct node *folder)
{
	struct node *partitions;
	vdisk_error err;

	pthread_mutex_lock(&fs->fill_lock);
	if (folder->unfilled) {
		if (state_open(folder->src, &err) || populate(fs, folder, folder->src, &err)) {
			say(LOG_WARNING, "%s", err.message);
			tree_text(fs->tree, folder, "error", err.message, folder->src);
		}
		partitions = tree_find(fs->tree, folder, "partitions");
		if (partitions && fs->links)
			links_ask(fs->links, partitions);
		folder->unfilled = false;
	}
	pthread_mutex_unlock(&fs->fill_lock);
}
