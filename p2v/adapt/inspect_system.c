/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One system: its root joined with the other file systems that its fstab wants, and what its files and the disks' firmware side
   tell. */
#include "inspect_parts.h"

#include "common/fail.h"
#include "facts_parts.h"
#include "initrd.h"
#include "tree_mounts.h"
#include "windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INITRDS_MAX 8 /* initramfs that are looked into */

void system_destroy(struct system *s)
{
	tree_close(s->tree);
	facts_destroy(&s->facts);
	bytes_destroy(&s->remarks);
	free(s->below);
}

static char *copy(const char *text, bool *ok) { return inspect_dup(text ? text : "", ok); }

int inspect_fs_copy(const struct inspection *in, struct facts *f, vdisk_error *err)
{
	bool ok = true;

	f->fs = calloc(in->pieces_n + 1, sizeof(*f->fs));
	if (!f->fs)
		return fail_nomem(err);
	for (size_t i = 0; i < in->pieces_n; i++) {
		const struct fact_fs *from = &in->pieces[i].fs;
		struct fact_fs *to = &f->fs[f->fs_n++];

		*to = (struct fact_fs){.where = copy(from->where, &ok),
				       .device = copy(from->device, &ok),
				       .type = copy(from->type, &ok),
				       .uuid = copy(from->uuid, &ok),
				       .label = copy(from->label, &ok),
				       .partuuid = copy(from->partuuid, &ok),
				       .partlabel = copy(from->partlabel, &ok),
				       .mount = copy("", &ok),
				       .subvolume = copy("", &ok),
				       .fstab = copy("", &ok),
				       .size = from->size,
				       .disk = from->disk};
	}
	return ok ? 0 : fail_nomem(err);
}

static bool is_plain_point(const char *path)
{
	if (path[0] != '/' || !path[1] || path[strlen(path) - 1] == '/')
		return false;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		if (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || !p[2] || (p[2] == '.' && (p[3] == '/' || !p[3])))))
			return false;
	return true;
}

static struct piece *piece_of(struct inspection *in, const struct fact_fs *fs)
{
	for (size_t i = 0; i < in->pieces_n; i++)
		if (in->pieces[i].fs.disk == fs->disk && !strcmp(in->pieces[i].fs.where, fs->where))
			return &in->pieces[i];
	return NULL;
}

/* Where a btrfs subvolume begins in the tree, which is that of the top level. */
static void subvolume_path(const char *name, struct bytes *out)
{
	bytes_clear(out);
	bytes_format(out, "/%s", name + strspn(name, "/"));
	while (out->len > 1 && out->at[out->len - 1] == '/')
		out->at[--out->len] = '\0';
}

/* What fstab wants on top of the root. */
static int mounts_add(struct inspection *in, struct system *s, const struct facts *f, vdisk_error *err)
{
	struct bytes below = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < f->fs_n; i++) {
		const struct fact_fs *fs = &f->fs[i];
		const struct piece *p = is_plain_point(fs->mount) ? piece_of(in, fs) : NULL;

		if (!p)
			continue;
		if (!p->tree) {
			bytes_format(&s->remarks, "%s is not looked into: %s: %s\n", fs->mount, fs->where,
				     p->closed ? p->closed : "it holds no file system that is read");
			continue;
		}
		subvolume_path(fs->subvolume, &below);
		rc = below.failed ? fail_nomem(err) : tree_mounts_add(s->tree, fs->mount, p->tree, below.at, err);
	}
	bytes_destroy(&below);
	return rc;
}

/* fstab is read twice: once for what it mounts, and then with all else in the whole tree. */
static int tree_compose(struct inspection *in, struct system *s, vdisk_error *err)
{
	const struct piece *root = &in->pieces[s->piece];
	struct facts f = { 0 };
	struct look l = { .f = &f, .err = err };
	int rc;

	s->tree = tree_mounts_open(root->tree, s->below, err);
	l.t = s->tree;
	if (!s->tree)
		return -1;
	rc = inspect_fs_copy(in, &f, err);
	if (!rc) {
		f.esp = look_dup(&l, "");
		rc = l.nomem ? fail_nomem(err) : facts_mounts(&l);
	}
	if (!rc)
		rc = l.nomem ? fail_nomem(err) : mounts_add(in, s, &f, err);
	facts_destroy(&f);
	return rc;
}

static bool is_esp(const struct disk *d, const char *where)
{
	for (size_t i = 0; i < d->parts_n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "partitions/%u", d->parts[i].number);
		if (!strcmp(name, where))
			return !strcasecmp(d->parts[i].type, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b") ||
			       !strcasecmp(d->parts[i].type, "0xef");
	}
	return false;
}

/* The firmware's side: boot code, and an EFI system partition even where the guest does not mount it. */
static int firmware_look(struct inspection *in, struct facts *f, vdisk_error *err)
{
	static const char *const fallbacks[] = { "/EFI/BOOT/BOOTX64.EFI", "/EFI/BOOT/BOOTAA64.EFI", "/EFI/BOOT/BOOTIA32.EFI",
						 "/EFI/Boot/bootx64.efi", NULL };
	bool code = false;

	for (size_t i = 0; i < in->disks_n; i++)
		code |= in->disks[i].boot_code && in->disks[i].boot_code[0] && strcmp(in->disks[i].boot_code, "unknown");
	f->bios = code;
	for (size_t i = 0; i < in->pieces_n; i++) {
		struct piece *p = &in->pieces[i];
		int rc;

		if (!p->tree || strncmp(p->fs.where, "partitions/", 11) || !is_esp(&in->disks[p->fs.disk], p->fs.where))
			continue;
		rc = tree_exists(p->tree, "/EFI", err);
		f->uefi |= rc > 0;
		for (const char *const *path = fallbacks; rc > 0 && *path && !f->uefi_fallback; path++) {
			rc = tree_exists(p->tree, *path, err);
			f->uefi_fallback |= rc > 0;
			rc = rc < 0 ? -1 : 1;
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int kernel_look(struct system *s, struct fact_kernel *k, vdisk_error *err)
{
	enum initrd_tool tool = INITRD_UNKNOWN;
	struct bytes why = { 0 };
	int rc = initrd_facts(s->tree, k, &tool, &why, err);

	if (!rc && why.len)
		bytes_format(&s->remarks, "%s: %s\n", k->release, why.at);
	if (!rc && s->facts.initrd_tool == INITRD_UNKNOWN)
		s->facts.initrd_tool = tool;
	bytes_destroy(&why);
	return rc;
}

/* The default one, and then the newest: each may have a large initramfs to unpack. */
static int kernels_look(struct system *s, vdisk_error *err)
{
	unsigned looked = 0, left = 0;

	for (size_t i = 0; i < s->facts.kernels_n; i++)
		if (s->facts.kernels[i].is_default && ++looked && kernel_look(s, &s->facts.kernels[i], err))
			return -1;
	for (size_t i = s->facts.kernels_n; i-- > 0;) {
		if (s->facts.kernels[i].is_default)
			continue;
		if (looked++ >= INITRDS_MAX)
			left++;
		else if (kernel_look(s, &s->facts.kernels[i], err))
			return -1;
	}
	if (left)
		bytes_format(&s->remarks, "of %u older kernels no drivers were looked for\n", left);
	return 0;
}

static void windows_tell(char **slot, const char *text, bool *ok)
{
	free(*slot); /* "" until here */
	*slot = inspect_dup(text, ok);
}

/* What a Windows does not know of itself. */
static int windows_look(const struct inspection *in, struct system *s, vdisk_error *err)
{
	static const char *const ldm[] = { "0x42", "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "af9b60a0-1431-4f62-bc68-3311714a69ad",
					   NULL };
	struct windows_facts *w = s->facts.windows;
	const char *encrypted = NULL, *dynamic = NULL;
	bool ok = true;

	if (!w)
		return 0;
	for (size_t i = 0; i < in->pieces_n; i++)
		if (in->pieces[i].fs.type && !strcmp(in->pieces[i].fs.type, "BitLocker"))
			encrypted = in->pieces[i].fs.where;
	for (size_t i = 0; i < in->disks_n; i++)
		for (size_t k = 0; k < in->disks[i].parts_n; k++)
			for (const char *const *type = ldm; *type; type++)
				if (!strcasecmp(in->disks[i].parts[k].type, *type))
					dynamic = in->disks[i].image;
	if (encrypted)
		windows_tell(&w->encrypted, encrypted, &ok);
	if (dynamic)
		windows_tell(&w->dynamic, dynamic, &ok);
	if (in->pieces[s->piece].doubt)
		windows_tell(&w->unclean, in->pieces[s->piece].doubt, &ok);
	return ok ? 0 : fail_nomem(err);
}

/* The root, where fstab calls it by a name that means nothing here. */
static int root_mark(const struct inspection *in, struct system *s, vdisk_error *err)
{
	const struct fact_fs *root = &in->pieces[s->piece].fs;
	struct fact_fs *fs = NULL;
	bool ok = true;

	for (size_t i = 0; i < s->facts.fs_n; i++) {
		if (!strcmp(s->facts.fs[i].mount, "/"))
			return 0;
		if (!fs && s->facts.fs[i].disk == root->disk && !strcmp(s->facts.fs[i].where, root->where))
			fs = &s->facts.fs[i];
	}
	if (fs && s->facts.kind == GUEST_LINUX) {
		free(fs->mount);
		fs->mount = inspect_dup("/", &ok);
	}
	return ok ? 0 : fail_nomem(err);
}

/* A file that cannot be read is no reason to tell nothing of all the others.  -1: it is (there is no memory). */
static int trouble_told(struct system *s, const vdisk_error *err)
{
	if (err->kind == VDISK_NOMEM)
		return -1;
	bytes_format(&s->remarks, "not all was looked at: %s\n", err->message);
	return 0;
}

/* The root of a system that libguestfs has mounted: what its fstab calls so, else what was opened last. */
static void root_find_mounted(struct inspection *in, struct system *s)
{
	for (size_t i = 0; i < s->facts.fs_n; i++)
		for (size_t k = 0; k < in->pieces_n; k++)
			if (!strcmp(s->facts.fs[i].mount, "/") && !strcmp(s->facts.fs[i].where, in->pieces[k].fs.where) &&
			    s->facts.fs[i].disk == in->pieces[k].fs.disk) {
				s->piece = k;
				return;
			}
}

static int system_read_mounted(struct inspection *in, struct system *s, vdisk_error *err)
{
	bytes_text(&s->remarks, "read through libguestfs, since it is encrypted\n");
	s->tree = tree_mounts_open(guest_mount_tree(in->guest), "/", err);
	if (!s->tree || inspect_fs_copy(in, &s->facts, err) || (facts_read(&s->facts, s->tree, err) && trouble_told(s, err)))
		return -1;
	root_find_mounted(in, s);
	if (root_mark(in, s, err) || firmware_look(in, &s->facts, err))
		return -1;
	return kernels_look(s, err) ? trouble_told(s, err) : 0;
}

int system_read(struct inspection *in, struct system *s, vdisk_error *err)
{
	const struct piece *root = &in->pieces[s->piece];

	if (in->guest)
		return system_read_mounted(in, s, err);
	if (root->doubt)
		bytes_format(&s->remarks, "%s: %s, so what is shown may be older than what the guest wrote last\n", root->fs.where,
			     root->doubt);
	if (tree_compose(in, s, err) || inspect_fs_copy(in, &s->facts, err) ||
	    (facts_read(&s->facts, s->tree, err) && trouble_told(s, err)) || root_mark(in, s, err) || windows_look(in, s, err) ||
	    firmware_look(in, &s->facts, err) || (kernels_look(s, err) && trouble_told(s, err)))
		return -1;
	return s->remarks.failed ? fail_nomem(err) : 0;
}
