/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of the file systems are roots of a system.  All are mounted at once and then waited for.  What is encrypted, and a key
 * opens, is read through libguestfs, which mounts the whole of one system.
 */
#include "inspect_parts.h"

#include "common/fail.h"
#include "inspect_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEMS_MAX 16

/* ---------------------------------------------------------------- trees of the pieces */

static int tree_start(struct inspection *in, size_t i, vdisk_error *err)
{
	struct piece *p = &in->pieces[i];
	char folder[4200];

	snprintf(folder, sizeof(folder), "%s/%zu", in->folder, i);
	if (in->fuse && mkdir(folder, 0700))
		return fail_errno(err, "%s", folder);
	p->tree = grub_tree_open(&p->grub, p->grub_device, in->fuse ? folder : NULL, err);
	return p->tree ? 0 : -1;
}

static int tree_await(struct piece *p, vdisk_error *err)
{
	bool ok = true;
	int rc = grub_tree_wait(p->tree, err);

	if (rc)
		return rc < 0 ? -1 : 0;
	tree_close(p->tree);
	p->tree = NULL;
	p->closed = inspect_dup("GRUB's reader does not read it", &ok);
	return ok ? 0 : fail_nomem(err);
}

static int trees_open(struct inspection *in, vdisk_error *err)
{
	for (size_t i = 0; i < in->pieces_n; i++) {
		const struct piece *p = &in->pieces[i];

		if (p->grub_device && !p->grub.key && !p->closed && p->fs.type && type_is_readable(p->fs.type) &&
		    !type_is_container(p->fs.type) && tree_start(in, i, err))
			return -1;
	}
	for (size_t i = 0; i < in->pieces_n; i++)
		if (in->pieces[i].tree && tree_await(&in->pieces[i], err))
			return -1;
	return 0;
}

/* ---------------------------------------------------------------- roots */

/* 1, 0, -1. */
static int is_root(struct tree *t, const char *below, vdisk_error *err)
{
	static const char *const marks[] = { "etc/fstab",
					     "etc/os-release",
					     "usr/lib/os-release",
					     "Windows/System32/config",
					     "WINDOWS/system32/config",
					     "WINNT/system32/config",
					     NULL };

	for (const char *const *p = marks; *p; p++) {
		struct bytes path = { 0 };
		int rc;

		bytes_format(&path, "%s%s%s", below, below[1] ? "/" : "", *p);
		rc = path.failed ? fail_nomem(err) : tree_exists(t, path.at, err);
		bytes_destroy(&path);
		if (rc)
			return rc;
	}
	return 0;
}

static int system_add(struct inspection *in, size_t piece, const char *below, vdisk_error *err)
{
	struct system *s;
	bool ok = true;

	if (in->systems_n == SYSTEMS_MAX)
		return 0;
	s = &in->systems[in->systems_n++];
	s->piece = piece;
	s->below = inspect_dup(below, &ok);
	return ok ? 0 : fail_nomem(err);
}

struct snapshots {
	struct tree *tree;
	unsigned long first, n;
	vdisk_error *err;
};

static int snapshot_take(void *to, const char *path)
{
	struct snapshots *s = to;
	unsigned long number = strtoul(strrchr(path, '/') + 1, NULL, 10);
	struct bytes root = { 0 };
	int rc;

	bytes_format(&root, "%s/snapshot", path);
	rc = root.failed ? fail_nomem(s->err) : number ? is_root(s->tree, root.at, s->err) : 0;
	bytes_destroy(&root);
	if (rc > 0) {
		s->first = !s->first || number < s->first ? number : s->first;
		s->n++;
	}
	return rc < 0 ? -1 : 0;
}

/* snapper's layout: the root is a snapshot, at first number 1; which it is now, only btrfs' default subvolume tells. */
static int snapper_find(struct inspection *in, size_t i, vdisk_error *err)
{
	struct snapshots s = { .tree = in->pieces[i].tree, .err = err };
	char below[64];

	if (tree_match(s.tree, "/@/.snapshots", "*", snapshot_take, &s, err))
		return -1;
	if (!s.n)
		return 0;
	snprintf(below, sizeof(below), "/@/.snapshots/%lu/snapshot", s.first);
	if (system_add(in, i, below, err))
		return -1;
	if (s.n > 1)
		bytes_format(&in->systems[in->systems_n - 1].remarks,
			     "of %lu snapshots that hold a system, number %lu is taken for the root: which it is, "
			     "GRUB's readers do not tell\n",
			     s.n, s.first);
	return 1;
}

static int root_find(struct inspection *in, size_t i, vdisk_error *err)
{
	static const char *const subvolumes[] = { "@", "root", "@rootfs", "rootfs", "@root", NULL };
	struct piece *p = &in->pieces[i];
	int rc = is_root(p->tree, "/", err);

	if (rc)
		return rc < 0 ? -1 : system_add(in, i, "/", err);
	if (strcmp(p->fs.type, "btrfs"))
		return 0;
	for (const char *const *s = subvolumes; *s; s++) {
		char below[16];

		snprintf(below, sizeof(below), "/%s", *s);
		rc = is_root(p->tree, below, err);
		if (rc)
			return rc < 0 ? -1 : system_add(in, i, below, err);
	}
	return snapper_find(in, i, err) < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- those that are wanted */

/* Is it the one that the user wants? */
static bool is_wanted(struct inspection *in, const struct system *s)
{
	const char *name = in->options->root;
	const struct fact_fs *root = &in->pieces[s->piece].fs, *found;
	struct facts f = { 0 };
	vdisk_error err;
	bool wanted = false;

	if (!name || !strcmp(name, root->where) || (root->device && !strcmp(name, root->device)))
		return true;
	if (!inspect_fs_copy(in, &f, &err)) {
		found = facts_device(&f, name);
		wanted = found && found->disk == root->disk && !strcmp(found->where, root->where);
	}
	facts_destroy(&f);
	return wanted;
}

/* Something in LUKS that a key may open; *last: the piece. */
static bool is_encrypted(const struct inspection *in, size_t *last)
{
	bool found = false;

	for (size_t i = 0; i < in->pieces_n; i++)
		if (in->pieces[i].wants_key) {
			*last = i;
			found = true;
		}
	return found;
}

/* Whether it was opened after all, and if not, why. */
static int encrypted_told(struct inspection *in, const char *why, vdisk_error *err)
{
	bool ok = true;

	for (size_t i = 0; i < in->pieces_n; i++) {
		struct piece *p = &in->pieces[i];

		if (!p->wants_key)
			continue;
		free(p->closed);
		p->closed = why ? inspect_dup(why, &ok) : NULL;
	}
	return ok ? 0 : fail_nomem(err);
}

/* The systems on what GRUB reads; or, where keys open something, the one that libguestfs mounts. */
static int systems_find(struct inspection *in, vdisk_error *err)
{
	vdisk_error why;
	size_t last;
	int rc = trees_open(in, err);

	for (size_t i = 0; !rc && i < in->pieces_n; i++)
		if (in->pieces[i].tree)
			rc = root_find(in, i, err);
	if (rc || !is_encrypted(in, &last))
		return rc;
	if (guest_mount_open(in, &why)) {
		guest_mount_close(in->guest);
		in->guest = NULL;
		return encrypted_told(in, why.message, err);
	}
	rc = encrypted_told(in, NULL, err) ? -1 : is_root(guest_mount_tree(in->guest), "/", err);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < in->systems_n; i++) /* of these it has mounted the one that counts */
		system_destroy(&in->systems[i]);
	memset(in->systems, 0, in->systems_n * sizeof(*in->systems));
	in->systems_n = 0;
	return system_add(in, last, "/", err);
}

int inspect_systems(struct inspection *in, vdisk_error *err)
{
	size_t kept = 0;
	int rc;

	in->systems = calloc(SYSTEMS_MAX, sizeof(*in->systems));
	if (!in->systems)
		return fail_nomem(err);
	rc = systems_find(in, err);
	for (size_t i = 0; !rc && i < in->systems_n; i++) {
		struct system s = in->systems[i];

		in->systems[i] = (struct system){ 0 };
		if (in->guest || is_wanted(in, &s)) /* libguestfs was asked for that root */
			in->systems[kept++] = s;
		else
			system_destroy(&s);
	}
	if (!rc && in->systems_n && !kept)
		rc = fail(err, VDISK_INVALID, "no system's root is %s", in->options->root);
	if (!rc)
		in->systems_n = kept;
	for (size_t i = 0; !rc && i < in->systems_n; i++)
		rc = system_read(in, &in->systems[i], err);
	return rc ? -1 : 0;
}
