/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boot loaders by their files, how the firmware gets to them, and which kernel they start by themselves. */
#include "facts_parts.h"
#include "lines.h"
#include "loader_entries.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- EFI */

/* Folders of the EFI system partition, whose letters' case does not count. */
static int efi_file_take(void *to, const char *path)
{
	struct look *l = to;
	const char *name = strrchr(path, '/') + 1, *suffix = strrchr(name, '.');
	size_t folder = (size_t)(name - path) - 1;

	if (!suffix || strcasecmp(suffix, ".efi"))
		return 0;
	l->f->uefi = true;
	if (folder > 5 && !strncasecmp(path + folder - 5, "/BOOT", 5) &&
	    (!strcasecmp(name, "BOOTX64.EFI") || !strcasecmp(name, "BOOTAA64.EFI") || !strcasecmp(name, "BOOTIA32.EFI") ||
	     !strcasecmp(name, "BOOTRISCV64.EFI") || !strcasecmp(name, "BOOTARM.EFI")))
		l->f->uefi_fallback = true;
	if (folder > 6 && !strncasecmp(path + folder - 6, "/Linux", 6))
		l->f->loaders |= LOADER_UKI;
	if (!strncasecmp(name, "systemd-boot", 12))
		l->f->loaders |= LOADER_SYSTEMD_BOOT;
	if (!strcasecmp(name, "bootmgfw.efi"))
		l->f->loaders |= LOADER_WINDOWS;
	return 0;
}

static int efi_folder_take(void *to, const char *path)
{
	struct look *l = to;
	const char *name = strrchr(path, '/') + 1;
	struct bytes inner = { 0 };
	int rc = tree_match(l->t, path, "*", efi_file_take, l, l->err);

	if (!rc && !strcasecmp(name, "Microsoft")) {
		bytes_format(&inner, "%s/Boot", path);
		l->nomem |= inner.failed;
		rc = inner.failed ? 0 : tree_match(l->t, inner.at, "*", efi_file_take, l, l->err);
	}
	bytes_destroy(&inner);
	return rc;
}

static int efi_read(struct look *l)
{
	struct bytes path = { 0 };
	int rc;

	if (!*l->f->esp)
		return 0;
	bytes_format(&path, "%s/EFI", l->f->esp);
	l->nomem |= path.failed;
	rc = path.failed ? 0 : tree_match(l->t, path.at, "*", efi_folder_take, l, l->err);
	bytes_destroy(&path);
	return rc;
}

/* ---------------------------------------------------------------- which kernel */

/* Does this kernel's path end like that, as the loader sees it from its own root? */
static bool path_ends(const char *path, const char *entry)
{
	size_t n = strlen(path), m;

	if (*entry == '(') /* ($root)/vmlinuz */
		entry += strcspn(entry, ")") + 1;
	m = strlen(entry);
	return m > 1 && n >= m && entry[0] == '/' && !strcmp(path + n - m, entry);
}

/* A link without a version: /vmlinuz of Debian, /boot/vmlinuz of SUSE.  Where links do not show, the kernel of the same size. */
static int link_kernel(struct look *l, const char *entry, struct fact_kernel **out)
{
	const char *name = strrchr(entry, '/') ? strrchr(entry, '/') + 1 : entry;
	struct bytes path = { 0 }, target = { 0 };
	int rc = 0;

	for (int k = 0; !rc && k < 2; k++) {
		struct tree_stat st, other;

		bytes_clear(&path);
		bytes_format(&path, "%s/%s", k ? "" : "/boot", name);
		if (path.failed)
			break;
		rc = l->t->ops->link(l->t, path.at, &target, l->err);
		if (rc > 0) {
			name = strrchr(target.at, '/') ? strrchr(target.at, '/') + 1 : target.at;
			for (size_t i = 0; i < l->f->kernels_n; i++)
				if (*l->f->kernels[i].path && !strcmp(strrchr(l->f->kernels[i].path, '/') + 1, name))
					*out = &l->f->kernels[i];
			break;
		}
		if (!rc)
			rc = l->t->ops->stat(l->t, path.at, true, &st, l->err);
		for (size_t i = 0; rc > 0 && i < l->f->kernels_n; i++) {
			rc = *l->f->kernels[i].path ? l->t->ops->stat(l->t, l->f->kernels[i].path, true, &other, l->err) : 0;
			if (rc > 0 && other.size == st.size && st.size)
				*out = &l->f->kernels[i];
			if (rc >= 0)
				rc = 1;
		}
	}
	l->nomem |= path.failed | target.failed;
	bytes_destroy(&path);
	bytes_destroy(&target);
	return rc < 0 ? -1 : 0;
}

static int kernel_of(struct look *l, const char *entry, struct fact_kernel **out)
{
	const char *name = strrchr(entry, '/');

	*out = NULL;
	if (!*entry)
		return 0;
	for (size_t i = 0; i < l->f->kernels_n && !*out; i++)
		if (path_ends(l->f->kernels[i].path, entry))
			*out = &l->f->kernels[i];
	for (size_t i = 0; i < l->f->kernels_n && !*out && name; i++) /* /@/boot/vmlinuz-… of btrfs */
		if (strchr(name, '-') && path_ends(l->f->kernels[i].path, name))
			*out = &l->f->kernels[i];
	return *out ? 0 : link_kernel(l, entry, out);
}

/* 1: told, 0, -1. */
static int default_mark(struct look *l, const struct boot_entries *e)
{
	const struct boot_entry *b = entries_default(e);
	struct fact_kernel *k = NULL;

	l->nomem |= e->failed;
	if (l->nomem || !b)
		return 0;
	if (kernel_of(l, b->kernel, &k))
		return -1;
	if (k)
		k->is_default = true;
	return k != NULL;
}

/* ---------------------------------------------------------------- configurations */

struct entry_files { /* of the Boot Loader Specification, the newest last */
	struct look *l;
	struct boot_entries *e;
};

static int bls_take(void *to, const char *path)
{
	struct entry_files *x = to;
	struct bytes b = { 0 }, id = { 0 };
	int rc = look_text(x->l, path, &b);
	const char *name = strrchr(path, '/') + 1;

	bytes_add(&id, name, strlen(name) - 5);
	if (rc > 0 && !id.failed)
		entries_read_bls(x->e, &b, id.at);
	x->l->nomem |= id.failed;
	bytes_destroy(&b);
	bytes_destroy(&id);
	return rc < 0 ? -1 : 0;
}

static int by_newest(const void *a, const void *b)
{
	return strverscmp(((const struct boot_entry *)b)->id, ((const struct boot_entry *)a)->id);
}

/* Entries of loader/entries, below the first of those folders that has some. */
static int bls_read(struct look *l, struct boot_entries *e, const char **where)
{
	static const char *const folders[] = { "/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries", NULL };
	size_t before = e->n;

	for (const char *const *p = folders; *p; p++) {
		struct entry_files x = { l, e };

		if (tree_match(l->t, *p, "*.conf", bls_take, &x, l->err))
			return -1;
		if (e->n == before)
			continue;
		qsort(e->v + before, e->n - before, sizeof(*e->v), by_newest);
		*where = *p;
		return 1;
	}
	return 0;
}

/* saved_entry of GRUB's environment block: lines of name=value, without quotes, blanks and all. */
static int saved_read(struct look *l, struct boot_entries *e, const char *config)
{
	struct bytes path = { 0 }, b = { 0 };
	struct lines t;
	const char *line;
	size_t len;
	int rc;

	bytes_format(&path, "%.*s/grubenv", (int)(strrchr(config, '/') - config), config);
	rc = path.failed ? 0 : look_text(l, path.at, &b);
	t = lines_of(&b);
	while (rc > 0 && lines_next(&t, &line, &len))
		if (chars_begin(line, len, "saved_entry=") && len > 12) {
			b.at[line - b.at + (ptrdiff_t)len] = '\0';
			entries_choose(e, line + 12);
			break;
		}
	l->nomem |= path.failed;
	bytes_destroy(&path);
	bytes_destroy(&b);
	return rc < 0 ? -1 : 0;
}

static int grub2_read(struct look *l, const char *path)
{
	struct boot_entries e = { 0 };
	struct bytes b = { 0 };
	const char *where;
	int rc = look_text(l, path, &b);

	if (rc > 0) {
		l->f->loaders |= LOADER_GRUB2;
		look_set(l, &l->f->loader_config, path);
		entries_read_grub2(&e, &b);
		rc = e.bls ? bls_read(l, &e, &where) : 0;
		if (rc > 0)
			l->f->loaders |= LOADER_BLS;
		if (rc >= 0 && (e.saved || e.bls))
			rc = saved_read(l, &e, path);
		if (rc >= 0)
			rc = default_mark(l, &e) < 0 ? -1 : 1;
	}
	entries_destroy(&e);
	bytes_destroy(&b);
	return rc;
}

/* A grub.cfg on the EFI system partition that only leads to another one is not it. */
static int efi_config_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes file = { 0 }, b = { 0 };
	int rc;

	bytes_format(&file, "%s/grub.cfg", path);
	rc = file.failed ? 0 : look_text(l, file.at, &b);
	if (rc > 0)
		rc = strstr(b.at, "configfile") && !strstr(b.at, "menuentry") && !strstr(b.at, "blscfg") ? 0
													 : grub2_read(l, file.at);
	l->nomem |= file.failed;
	bytes_destroy(&file);
	bytes_destroy(&b);
	return rc;
}

/* 1: found, 0, -1; as the rest. */
static int grub2_find(struct look *l)
{
	static const char *const configs[] = { "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", NULL };
	struct bytes path = { 0 };
	int rc = 0;

	for (const char *const *p = configs; !rc && *p; p++)
		rc = grub2_read(l, *p);
	if (!rc && *l->f->esp) {
		bytes_format(&path, "%s/EFI", l->f->esp);
		l->nomem |= path.failed;
		rc = path.failed ? 0 : tree_match(l->t, path.at, "*", efi_config_take, l, l->err);
		bytes_destroy(&path);
	}
	return rc;
}

static int legacy_find(struct look *l)
{
	static const char *const configs[] = { "/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", NULL };
	struct boot_entries e = { 0 };
	struct bytes b = { 0 }, saved = { 0 };
	const char *path;
	int rc = look_first(l, configs, &path);

	if (rc > 0)
		rc = look_text(l, path, &b);
	if (rc > 0) {
		l->f->loaders |= LOADER_GRUB_LEGACY;
		look_set(l, &l->f->loader_config, path);
		entries_read_legacy(&e, &b);
		rc = e.saved ? look_text(l, "/boot/grub/default", &saved) : 0;
		if (rc > 0) {
			saved.at[strspn(saved.at, "0123456789")] = '\0';
			entries_choose(&e, saved.at);
		}
		if (rc >= 0)
			rc = default_mark(l, &e) < 0 ? -1 : 1;
	}
	entries_destroy(&e);
	bytes_destroy(&b);
	bytes_destroy(&saved);
	return rc;
}

static int extlinux_find(struct look *l)
{
	static const char *const configs[] = { "/boot/extlinux.conf",         "/boot/extlinux/extlinux.conf", "/extlinux.conf",
					       "/boot/syslinux/syslinux.cfg", "/boot/syslinux/extlinux.conf", NULL };
	struct boot_entries e = { 0 };
	struct bytes b = { 0 };
	const char *path;
	int rc = look_first(l, configs, &path);

	if (rc > 0)
		rc = look_text(l, path, &b);
	if (rc > 0) {
		l->f->loaders |= LOADER_EXTLINUX;
		look_set(l, &l->f->loader_config, path);
		entries_read_extlinux(&e, &b);
		rc = default_mark(l, &e) < 0 ? -1 : 1;
	}
	entries_destroy(&e);
	bytes_destroy(&b);
	return rc;
}

static int sdboot_find(struct look *l)
{
	static const char *const configs[] = { "/boot/loader/loader.conf", "/efi/loader/loader.conf",
					       "/boot/efi/loader/loader.conf", NULL };
	struct boot_entries e = { 0 };
	struct bytes b = { 0 };
	const char *path = NULL, *where = NULL, *line, *word;
	size_t len, n;
	int rc = bls_read(l, &e, &where);

	if (rc > 0) {
		l->f->loaders |= LOADER_BLS;
		rc = look_first(l, configs, &path);
	}
	if (rc > 0)
		rc = look_text(l, path, &b);
	if (rc >= 0 && where) {
		struct lines t = lines_of(&b);

		if (path)
			l->f->loaders |= LOADER_SYSTEMD_BOOT;
		look_set(l, &l->f->loader_config, path ? path : where);
		while (lines_entry(&t, &line, &len)) {
			const char *at = line;

			lines_word(&at, line + len, &word, &n);
			if (!chars_are(word, n, "default") || !lines_word(&at, line + len, &word, &n))
				continue;
			b.at[word - b.at + (ptrdiff_t)n] = '\0';
			entries_choose(&e, word);
			break;
		}
		rc = default_mark(l, &e) < 0 ? -1 : 1;
	}
	entries_destroy(&e);
	bytes_destroy(&b);
	return rc;
}

static int lilo_find(struct look *l)
{
	int rc = look_there(l, "/etc/lilo.conf");

	if (rc > 0) {
		l->f->loaders |= LOADER_LILO;
		look_set(l, &l->f->loader_config, "/etc/lilo.conf");
	}
	return rc;
}

/* ---------------------------------------------------------------- the whole */

static int bios_find(struct look *l)
{
	static const char *const marks[] = { "/boot/grub/i386-pc",         "/boot/grub2/i386-pc", "/boot/grub/stage2",
					     "/boot/grub/stage1",          "/boot/ldlinux.sys",   "/boot/extlinux/ldlinux.sys",
					     "/boot/syslinux/ldlinux.sys", "/etc/lilo.conf",      NULL };
	const char *which;
	int rc = look_first(l, marks, &which);

	if (rc > 0)
		l->f->bios = true;
	return rc < 0 ? -1 : 0;
}

/* Where no configuration tells, it is what a person would take it for: the newest that is whole. */
static void default_guess(struct facts *f)
{
	for (size_t i = f->kernels_n; i-- > 0;)
		if (f->kernels[i].is_default)
			return;
	for (size_t i = f->kernels_n; i-- > 0;)
		if (f->kernels[i].installed && *f->kernels[i].path) {
			f->kernels[i].is_default = true;
			return;
		}
}

int facts_loader(struct look *l)
{
	static int (*const finds[])(struct look *) = { grub2_find, sdboot_find, legacy_find, extlinux_find, lilo_find };
	int rc = efi_read(l);

	/* The first is what boots: a left-over of another loader is no more than that. */
	for (size_t i = 0; !rc && i < sizeof(finds) / sizeof(*finds); i++)
		rc = finds[i](l);
	if (rc >= 0)
		rc = bios_find(l);
	if (!rc)
		default_guess(l->f);
	return rc < 0 ? -1 : 0;
}
