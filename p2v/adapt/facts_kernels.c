/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernels: a folder of modules each, and what lies below /boot under names that distributions agree on.
 *
 *   Debian, Ubuntu   vmlinuz-REL, initrd.img-REL
 *   RHEL, Fedora     vmlinuz-REL, initramfs-REL.img
 *   SUSE             vmlinuz-REL, initrd-REL
 *   Arch             vmlinuz-PKG, initramfs-PKG.img (the modules' pkgbase says PKG)
 *   Alpine           vmlinuz-FLAVOR, initramfs-FLAVOR
 *   kernel-install   MACHINE-ID/REL/linux, MACHINE-ID/REL/initrd
 */
#include "facts_parts.h"
#include "lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define KERNELS_MAX 256

static const char *const boot_folders[] = { "/boot", "/efi", "/boot/efi", NULL };

static struct fact_kernel *kernel_find(struct facts *f, const char *release)
{
	for (size_t i = 0; i < f->kernels_n; i++)
		if (!strcmp(f->kernels[i].release, release))
			return &f->kernels[i];
	return NULL;
}

static struct fact_kernel *kernel_add(struct look *l, const char *release)
{
	struct facts *f = l->f;
	struct fact_kernel *v = f->kernels_n < KERNELS_MAX ? look_grow(l, f->kernels, f->kernels_n, sizeof(*v)) : NULL, *k;
	char **texts[6];

	if (!v)
		return NULL;
	f->kernels = v;
	k = &v[f->kernels_n++];
	texts[0] = &k->release;
	texts[1] = &k->path;
	texts[2] = &k->initrd;
	texts[3] = &k->modules;
	texts[4] = &k->storage;
	texts[5] = &k->network;
	for (size_t i = 0; i < 6; i++)
		*texts[i] = look_dup(l, i ? "" : release);
	return l->nomem ? NULL : k;
}

/* A folder of modules: one of a kernel that was removed keeps a few files, and no list. */
static int modules_take(void *to, const char *path)
{
	struct look *l = to;
	const char *release = strrchr(path, '/') + 1;
	struct fact_kernel *k = kernel_find(l->f, release);
	struct bytes list = { 0 };
	int rc;

	if (k && k->installed)
		return 0;
	bytes_format(&list, "%s/modules.dep", path);
	rc = list.failed ? 0 : look_there(l, list.at);
	if (!rc) {
		bytes_clear(&list);
		bytes_format(&list, "%s/modules.builtin", path);
		rc = list.failed ? 0 : look_there(l, list.at);
	}
	l->nomem |= list.failed;
	bytes_destroy(&list);
	if (rc <= 0)
		return rc;
	k = kernel_add(l, release);
	if (k) {
		look_set(l, &k->modules, path);
		k->installed = true;
	}
	return 0;
}

/* ---------------------------------------------------------------- files of a kernel */

/* The first of `forms` (each with one %s for `word`) that is there, in any folder of /boot's. */
static int file_find(struct look *l, const char *const *forms, const char *word, char **to)
{
	struct bytes path = { 0 };
	int rc = 0;

	for (const char *const *p = forms; !rc && *p && *word; p++) {
		const char *hole = strstr(*p, "%s");

		bytes_clear(&path);
		bytes_add(&path, *p, (size_t)(hole - *p));
		bytes_text(&path, word);
		bytes_text(&path, hole + 2);
		if (path.failed)
			break;
		rc = look_there(l, path.at);
	}
	if (rc > 0)
		look_set(l, to, path.at);
	l->nomem |= path.failed;
	bytes_destroy(&path);
	return rc;
}

static const char *const kernel_forms[] = { "/boot/vmlinuz-%s", "/boot/vmlinux-%s", "/boot/kernel-%s",
					    "/boot/Image-%s",   "/boot/bzImage-%s", NULL };
static const char *const initrd_forms[] = { "/boot/initrd.img-%s",
					    "/boot/initramfs-%s.img",
					    "/boot/initrd-%s",
					    "/boot/initrd-%s.img",
					    "/boot/initramfs-%s",
					    "/boot/booster-%s.img",
					    NULL };

static int files_by(struct look *l, struct fact_kernel *k, const char *word)
{
	int rc = *k->path ? 0 : file_find(l, kernel_forms, word, &k->path);

	if (rc >= 0 && !*k->initrd)
		rc = file_find(l, initrd_forms, word, &k->initrd);
	return rc < 0 ? -1 : 0;
}

/* Arch names its files for the package; Alpine for the flavor, which ends the release. */
static int files_by_package(struct look *l, struct fact_kernel *k)
{
	const char *flavor = strrchr(k->release, '-');
	struct bytes path = { 0 }, package = { 0 };
	int rc;

	bytes_format(&path, "%s/pkgbase", k->modules);
	rc = path.failed ? 0 : look_text(l, path.at, &package);
	if (rc > 0) {
		package.at[strcspn(package.at, " \t\r\n/")] = '\0';
		rc = files_by(l, k, package.at);
	}
	if (!rc && flavor && isalpha((unsigned char)flavor[1]))
		rc = files_by(l, k, flavor + 1);
	l->nomem |= path.failed;
	bytes_destroy(&path);
	bytes_destroy(&package);
	return rc < 0 ? -1 : 0;
}

static bool is_machine_id(const char *name) { return strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32; }

struct install { /* kernel-install's layout, for one kernel */
	struct look *l;
	struct fact_kernel *k;
};

static int install_take(void *to, const char *path)
{
	static const char *const initrds[] = { "initrd", "initrd.img", "initramfs.img", NULL };
	struct install *in = to;
	struct bytes file = { 0 };
	int rc;

	if (!is_machine_id(strrchr(path, '/') + 1))
		return 0;
	bytes_format(&file, "%s/%s/linux", path, in->k->release);
	rc = file.failed ? 0 : look_there(in->l, file.at);
	if (rc > 0)
		look_set(in->l, &in->k->path, file.at);
	for (const char *const *p = initrds; rc > 0 && *p && !*in->k->initrd; p++) {
		int found;

		bytes_clear(&file);
		bytes_format(&file, "%s/%s/%s", path, in->k->release, *p);
		found = file.failed ? 0 : look_there(in->l, file.at);
		if (found < 0)
			rc = -1;
		if (found > 0)
			look_set(in->l, &in->k->initrd, file.at);
	}
	in->l->nomem |= file.failed;
	bytes_destroy(&file);
	return rc < 0 ? -1 : 0;
}

static int files_find(struct look *l, struct fact_kernel *k)
{
	static const char *const beside[] = { "%s/vmlinuz", NULL };
	struct install in = { l, k };
	int rc = files_by(l, k, k->release);

	if (!rc && (!*k->path || !*k->initrd) && *k->modules)
		rc = files_by_package(l, k);
	for (const char *const *p = boot_folders; !rc && !*k->path && *p; p++)
		rc = tree_match(l->t, *p, "*", install_take, &in, l->err);
	if (!rc && !*k->path && *k->modules)
		rc = file_find(l, beside, k->modules, &k->path);
	return rc < 0 ? -1 : 0;
}

/* A kernel in /boot whose modules are gone, or were never there (one for rescue). */
static int lonely_take(void *to, const char *path)
{
	struct look *l = to;
	const char *release = strchr(strrchr(path, '/'), '-') + 1;
	struct fact_kernel *k;

	for (size_t i = 0; i < l->f->kernels_n; i++)
		if (!strcmp(l->f->kernels[i].path, path))
			return 0;
	if (kernel_find(l->f, release) || !*release)
		return 0;
	k = kernel_add(l, release);
	return k ? files_find(l, k) : 0;
}

/* ---------------------------------------------------------------- order */

/* Numbers by their values, all else by bytes: 6.1.0-9 before 6.1.0-18. */
static int by_release(const void *a, const void *b)
{
	const char *x = ((const struct fact_kernel *)a)->release, *y = ((const struct fact_kernel *)b)->release;

	while (*x && *y) {
		if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
			size_t m, n;
			int rc;

			x += strspn(x, "0");
			y += strspn(y, "0");
			m = strspn(x, "0123456789");
			n = strspn(y, "0123456789");
			rc = m != n ? (m < n ? -1 : 1) : strncmp(x, y, m);
			if (rc)
				return rc;
			x += m;
			y += n;
		} else if (*x != *y) {
			return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
		} else {
			x++;
			y++;
		}
	}
	return *x ? 1 : *y ? -1 : 0;
}

int facts_kernels(struct look *l)
{
	struct facts *f = l->f;
	int rc = tree_match(l->t, "/usr/lib/modules", "*", modules_take, l, l->err);

	if (!rc)
		rc = tree_match(l->t, "/lib/modules", "*", modules_take, l, l->err);
	for (size_t i = 0; !rc && i < f->kernels_n; i++)
		rc = files_find(l, &f->kernels[i]);
	if (!rc)
		rc = tree_match(l->t, "/boot", "vmlinuz-*", lonely_take, l, l->err);
	if (!rc && f->kernels_n)
		qsort(f->kernels, f->kernels_n, sizeof(*f->kernels), by_release);
	return rc ? -1 : 0;
}
