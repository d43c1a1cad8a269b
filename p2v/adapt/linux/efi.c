/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loader that UEFI starts where its NVRAM names none: EFI/BOOT/BOOTX64.EFI.  A new machine's NVRAM is empty, so where only that
 * of the old one led to the boot loader, this is put in place, as a distribution lays out removable media (README.fallback of
 * shim): shim under that name, and beside it what shim starts, under the name that it looks for.  shim's own fallback (fbx64.efi)
 * is not: it writes boot entries and starts the machine again, and with it in the folder shim would not start GRUB.  Where a
 * distribution put it there itself, its BOOT.CSV does the work, and nothing is added. A signed GRUB has the folder of its
 * configuration built in (Debian's: /EFI/debian), wherever it is started from; SUSE's looks beside itself.  So the short
 * configuration there, which only leads to the real one, is copied along; a long one is the real one, and found by the name built
 * in.
 */
#include "loader.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define IMAGE_MAX (256u << 20)
#define STUB_MAX 4096
#define EFI_PATH_MAX 1024

struct efi {
	struct loader *l;
	const char *arch;             /* x64, as file names have it */
	char root[EFI_PATH_MAX];      /* /boot/efi/EFI */
	char boot[EFI_PATH_MAX];      /* /boot/efi/EFI/BOOT */
};

/* FAT's names know no case, those of whoever lists them do: the path of `name` in the folder as it is written there.  1, 0, -1. */
static int find(struct loader *l, const char *folder, const char *name, char out[EFI_PATH_MAX], vdisk_error *err)
{
	struct tree *t = &l->plan->view;
	struct bytes names = { 0 };
	int rc = t->ops->list(t, folder, &names, err), found = 0;

	for (size_t at = 0; rc > 0 && !found && at < names.len; at += strlen(names.at + at) + 1)
		if (!strcasecmp(names.at + at, name) &&
		    snprintf(out, EFI_PATH_MAX, "%s/%s", strcmp(folder, "/") ? folder : "", names.at + at) < EFI_PATH_MAX)
			found = 1;
	bytes_destroy(&names);
	return rc < 0 ? -1 : found;
}

/* The first of the names, each with %s for the architecture, that is there. */
static int find_any(struct efi *e, const char *folder, const char *const *names, char out[EFI_PATH_MAX], vdisk_error *err)
{
	char name[64];
	int rc = 0;

	for (; !rc && *names; names++) {
		const char *gap = strchr(*names, '%');

		if (gap)
			snprintf(name, sizeof(name), "%.*s%s%s", (int)(gap - *names), *names, e->arch, gap + 1);
		else
			snprintf(name, sizeof(name), "%s", *names);
		rc = find(e->l, folder, name, out, err);
	}
	return rc;
}

static int copy(struct efi *e, const char *from, const char *name, uint64_t max, vdisk_error *err)
{
	struct tree *t = &e->l->plan->view;
	struct bytes content = { 0 }, notes = { 0 };
	char to[EFI_PATH_MAX + 64];
	int rc = t->ops->read(t, from, max, &content, err);

	snprintf(to, sizeof(to), "%s/%s", e->boot, name);
	bytes_format(&notes, "a copy of %s\n", from);
	if (rc == 0)
		rc = fail(err, VDISK_IO, "%s: is not there any more", from);
	else if (rc > 0)
		rc = plan_write_binary(e->l->plan, to, content.at, content.len, 0700, &notes, err,
		                       "UEFI starts this file where its NVRAM names no boot loader, as on a new machine");
	bytes_destroy(&content);
	bytes_destroy(&notes);
	return rc < 0 ? -1 : 0;
}

static const char *base_name(const char *path) { return strrchr(path, '/') + 1; }

/* A stub of a configuration goes along; the real one stays where it is. */
static int copy_stub(struct efi *e, const char *folder, vdisk_error *err)
{
	struct tree *t = &e->l->plan->view;
	char path[EFI_PATH_MAX];
	struct tree_stat st;
	int rc = find(e->l, folder, "grub.cfg", path, err);

	if (rc > 0)
		rc = t->ops->stat(t, path, true, &st, err);
	if (rc <= 0 || st.kind != TREE_FILE || st.size > STUB_MAX)
		return rc < 0 ? -1 : 0;
	return copy(e, path, "grub.cfg", STUB_MAX, err);
}

/* A GRUB with /EFI/name built in finds no menu unless that folder has its grub.cfg. */
static int prefix_check(struct efi *e, const char *grub, vdisk_error *err)
{
	struct tree *t = &e->l->plan->view;
	struct bytes image = { 0 };
	char folder[EFI_PATH_MAX], path[EFI_PATH_MAX], name[64];
	int rc = t->ops->read(t, grub, IMAGE_MAX, &image, err);
	const char *at = rc > 0 && image.len ? memmem(image.at, image.len, "/EFI/", 5) : NULL;
	size_t n = 0;

	while (at && at + 5 + n < image.at + image.len && n < sizeof(name) - 1 &&
	       (isalnum((unsigned char)at[5 + n]) || at[5 + n] == '-')) {
		name[n] = at[5 + n];
		n++;
	}
	name[n] = '\0';
	bytes_destroy(&image);
	if (rc <= 0 || !n || !strcasecmp(name, "BOOT"))
		return rc < 0 ? -1 : 0;
	rc = find(e->l, e->root, name, folder, err);
	if (rc > 0)
		rc = find(e->l, folder, "grub.cfg", path, err);
	if (rc == 0)
		remark_once(e->l->plan,
		            "%s looks for its configuration in EFI/%s/grub.cfg, which is not there: run grub-install in the guest",
		            grub, name);
	return rc < 0 ? -1 : 0;
}

static const char *const shims[] = { "shim%.efi", "shim.efi", NULL };
static const char *const grubs[] = { "grub%.efi", "grub.efi", NULL };
static const char *const managers[] = { "mm%.efi", "MokManager.efi", NULL };

/* shim with what it starts, or GRUB alone.  1: done, 0: nothing of that is in the folder. */
static int vendor_copy(struct efi *e, const char *folder, vdisk_error *err)
{
	char shim[EFI_PATH_MAX], grub[EFI_PATH_MAX], manager[EFI_PATH_MAX], name[32];
	int has_shim = find_any(e, folder, shims, shim, err), has_grub = find_any(e, folder, grubs, grub, err), has_manager;

	if (has_shim < 0 || has_grub < 0)
		return -1;
	if (!has_grub)
		return 0;
	snprintf(name, sizeof(name), "BOOT%s.EFI", e->arch);
	for (char *s = name; *s; s++)
		*s = (char)toupper((unsigned char)*s);
	has_manager = find_any(e, folder, managers, manager, err);
	if (has_manager < 0 || copy(e, has_shim ? shim : grub, name, IMAGE_MAX, err))
		return -1;
	if (has_shim && (copy(e, grub, base_name(grub), IMAGE_MAX, err) ||
	                 (has_manager && copy(e, manager, base_name(manager), IMAGE_MAX, err))))
		return -1;
	return copy_stub(e, folder, err) || (has_shim && prefix_check(e, grub, err)) ? -1 : 1;
}

struct vendor {
	struct efi *efi;
	bool own; /* the distribution's own folder first, then any other */
	int done;
};

static bool is_own(const struct facts *f, const char *name)
{
	static const char *const others[][2] = {
		{ "rhel", "redhat" }, { "opensuse", "opensuse" }, { "sles", "sles" }, { "ol", "redhat" }
	};

	if (*f->os && !strncasecmp(name, f->os, strlen(name)))
		return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(f->os, others[i][0]) && !strcasecmp(name, others[i][1]))
			return true;
	return false;
}

static int vendor_one(void *to, const char *path, vdisk_error *err)
{
	static const char *const none[] = { "BOOT", "Microsoft", "Linux", "systemd", NULL };
	struct vendor *v = to;
	int rc;

	for (const char *const *n = none; *n; n++)
		if (!strcasecmp(base_name(path), *n))
			return 0;
	if (v->own != is_own(v->efi->l->facts, base_name(path)))
		return 0;
	rc = vendor_copy(v->efi, path, err);
	v->done = rc > 0;
	return rc;
}

/* systemd-boot, else a unified kernel image, which is a boot loader to the firmware. */
static int other_copy(struct efi *e, vdisk_error *err)
{
	static const char *const loaders[] = { "systemd-boot%.efi", NULL };
	char folder[EFI_PATH_MAX], path[EFI_PATH_MAX], name[32];
	struct bytes names = { 0 };
	struct tree *t = &e->l->plan->view;
	const char *last = NULL;
	int rc = find(e->l, e->root, "systemd", folder, err);

	snprintf(name, sizeof(name), "BOOT%s.EFI", e->arch);
	for (char *s = name; *s; s++)
		*s = (char)toupper((unsigned char)*s);
	if (rc > 0)
		rc = find_any(e, folder, loaders, path, err);
	if (rc)
		return rc < 0 || copy(e, path, name, IMAGE_MAX, err) ? -1 : 1;
	rc = find(e->l, e->root, "Linux", folder, err);
	if (rc > 0)
		rc = t->ops->list(t, folder, &names, err);
	for (size_t at = 0; rc > 0 && at < names.len; at += strlen(names.at + at) + 1) {
		size_t n = strlen(names.at + at);

		if (n > 4 && !strcasecmp(names.at + at + n - 4, ".efi") && (!last || strverscmp(names.at + at, last) > 0))
			last = names.at + at;
	}
	if (rc > 0 && last && snprintf(path, sizeof(path), "%s/%s", folder, last) < (int)sizeof(path)) {
		remark_once(e->l->plan,
		            "%s is what UEFI starts from now on where its NVRAM names nothing: after a kernel's upgrade copy the "
		            "new one there",
		            path);
		rc = copy(e, path, name, IMAGE_MAX, err) ? -1 : 1;
	} else if (rc > 0) {
		rc = 0;
	}
	bytes_destroy(&names);
	return rc;
}

/* Is the fallback there a shim that has nothing to start?  Then what it would start is put beside it. */
static int complete(struct efi *e, vdisk_error *err)
{
	static const char *const fallbacks[] = { "fb%.efi", "fallback.efi", NULL };
	char path[EFI_PATH_MAX];
	int rc = find_any(e, e->boot, grubs, path, err);

	if (!rc)
		rc = find_any(e, e->boot, fallbacks, path, err);
	if (!rc)
		rc = find_any(e, e->boot, managers, path, err); /* only shim comes with it */
	else
		return rc < 0 ? -1 : 0;
	if (rc > 0)
		remark_once(e->l->plan,
		            "%s holds shim without GRUB beside it: run grub-install --force-extra-removable in the guest", e->boot);
	return rc < 0 ? -1 : 0;
}

static int esp_fallback(struct loader *l, const char *mount, vdisk_error *err)
{
	static const char *const names[] = { "BOOT%.EFI", NULL };
	bool arm = !strcmp(l->facts->arch, "aarch64"), small = !strcmp(l->facts->arch, "i686") || !strcmp(l->facts->arch, "i386");
	struct efi e = { .l = l, .arch = arm ? "aa64" : small ? "ia32" : "x64" };
	struct vendor v = { .efi = &e, .own = true };
	char path[EFI_PATH_MAX];
	int rc = find(l, mount, "EFI", e.root, err);

	if (rc <= 0)
		return rc;
	rc = find(l, e.root, "BOOT", e.boot, err);
	if (rc < 0)
		return -1;
	if (!rc && snprintf(e.boot, sizeof(e.boot), "%.*s/BOOT", EFI_PATH_MAX - 8, e.root) < 0)
		return -1;
	rc = find_any(&e, e.boot, names, path, err);
	if (rc)
		return rc < 0 || complete(&e, err) ? -1 : 1;
	rc = files_each(l->plan, e.root, "*", vendor_one, &v, err);
	v.own = false;
	if (!rc)
		rc = files_each(l->plan, e.root, "*", vendor_one, &v, err);
	if (!rc)
		rc = other_copy(&e, err);
	if (!rc && l->facts->uefi)
		remark_once(l->plan,
		            "%s: no boot loader was found to put in place as EFI/BOOT/%s: the new machine's NVRAM has to name one",
		            mount, "BOOTX64.EFI");
	return rc < 0 ? -1 : 1;
}

int efi_adapt(struct loader *l, vdisk_error *err)
{
	const char *mount;
	int rc = 0;

	for (unsigned i = 0; !rc && (mount = loader_esp(l, i)); i++)
		rc = esp_fallback(l, mount, err);
	return rc < 0 ? -1 : 0;
}
