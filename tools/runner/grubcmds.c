/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GRUB's commands, as far as they matter for what is booted.  Those that draw, wait, load modules or save are no-ops that succeed;
 * those that ask for keys or change the screen answer no; a command that starts something else than Linux is kept, to be named.
 */
#include "grubrun.h"

#include <stdlib.h>
#include <string.h>

static bool one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

/* As grub_create_loader_cmdline() puts words together: one with blanks in it is quoted. */
static void cmdline_make(struct grub *g, char **words, size_t n)
{
	char quoted[BOOT_APPEND_MAX];

	for (size_t i = 0; i < n; i++) {
		bool quote = strchr(words[i], ' ') != NULL;
		size_t at = 0;

		if (quote)
			quoted[at++] = '"';
		for (const char *p = words[i]; *p && at < sizeof(quoted) - 4; p++) {
			if (strchr("\\'\"", *p))
				quoted[at++] = '\\';
			quoted[at++] = *p;
		}
		if (quote)
			quoted[at++] = '"';
		quoted[at] = '\0';
		if (!boot_append(&g->choice, quoted))
			grub_fail(g, VDISK_INVALID, "the kernel's command line is too long", words[i]);
	}
}

static int cmd_linux(struct grub *g, char **words, size_t n)
{
	char image[BOOT_PATH_MAX + 16] = "BOOT_IMAGE=";

	g->choice = (struct boot_choice){ 0 };
	if (n < 2 || strlen(words[1]) >= BOOT_PATH_MAX || !grub_path(g, g->choice.kernel, words[1])) {
		g->choice = (struct boot_choice){ 0 }; /* nor a path that was cut */
		return 1;
	}
	strcat(image, words[1]);
	boot_append(&g->choice, image);
	cmdline_make(g, words + 2, n - 2);
	return 0;
}

static int cmd_initrd(struct grub *g, char **words, size_t n)
{
	g->choice.n_initrds = 0;
	for (size_t i = 1; i < n; i++) {
		if (g->choice.n_initrds == BOOT_INITRDS_MAX) {
			grub_fail(g, VDISK_INVALID, "one initial RAM disk too many", words[i]);
			return 1;
		}
		if (!strncmp(words[i], "newc:", 5) || !grub_path(g, g->choice.initrds[g->choice.n_initrds], words[i])) {
			grub_fail(g, VDISK_UNSUPPORTED, "an initial RAM disk of this kind", words[i]);
			return 1;
		}
		g->choice.n_initrds++;
	}
	return 0;
}

/* search [--file|--label|--fs-uuid] [--set[=VAR]] [--hint…] NAME */
static int cmd_search(struct grub *g, char **words, size_t n)
{
	static const char *const valued[] = { "--hint",     "--hint-ieee1275", "--hint-bios", "--hint-baremetal",
		                              "--hint-efi", "--hint-arc",      NULL };
	enum boot_find what = BOOT_FIND_FILE;
	const char *name = NULL, *var = NULL;
	char device[BOOT_DEVICE_MAX];

	for (size_t i = 1; i < n; i++) {
		const char *w = words[i];

		if (!strcmp(w, "--fs-uuid") || !strcmp(w, "-u"))
			what = BOOT_FIND_UUID;
		else if (!strcmp(w, "--label") || !strcmp(w, "-l") || !strcmp(w, "--fs-label"))
			what = BOOT_FIND_LABEL;
		else if (!strcmp(w, "--file") || !strcmp(w, "-f"))
			what = BOOT_FIND_FILE;
		else if (!strncmp(w, "--set=", 6))
			var = w + 6;
		else if (!strcmp(w, "--set") || !strcmp(w, "-s"))
			var = "root";
		else if (one_of(w, valued))
			i++;
		else if (*w != '-')
			name = w; /* "--set VAR NAME" is deprecated, and the last word is the name all the same */
	}
	if (!name || !grub_work(g, GRUB_WORK_LOOK) || !g->src->find(g->src->ctx, what, name, device))
		return 1;
	if (var && !grub_var_set(&g->vars, var, strlen(var), device))
		grub_fail(g, VDISK_INVALID, "a variable cannot be set", var);
	return 0;
}

/* search.fs_uuid VALUE VAR [HINT…], and its sisters */
static int cmd_search_dot(struct grub *g, char **words, size_t n)
{
	enum boot_find what = !strcmp(words[0], "search.file") ? BOOT_FIND_FILE
	                      : !strcmp(words[0], "search.fs_label") ? BOOT_FIND_LABEL : BOOT_FIND_UUID;
	const char *var = n > 2 ? words[2] : "root";
	char device[BOOT_DEVICE_MAX];

	if (n < 2 || !grub_work(g, GRUB_WORK_LOOK) || !g->src->find(g->src->ctx, what, words[1], device))
		return 1;
	return grub_var_set(&g->vars, var, strlen(var), device) ? 0 : 1;
}

/* The environment block: a line of comment, NAME=VALUE lines with backslashes before newlines and themselves, '#' as filling. */
static int cmd_load_env(struct grub *g, char **words, size_t n)
{
	char path[BOOT_PATH_MAX], value[GRUB_VALUE_MAX], name[BOOT_PATH_MAX];
	size_t wanted = 1;

	strcpy(name, "");
	for (; wanted < n && words[wanted][0] == '-'; wanted++) {
		bool file = !strcmp(words[wanted], "-f") || !strcmp(words[wanted], "--file");

		if (file && wanted + 1 < n && strlen(words[wanted + 1]) < sizeof(name))
			strcpy(name, words[++wanted]);
		else if (!strncmp(words[wanted], "--file=", 7) && strlen(words[wanted]) < sizeof(name))
			strcpy(name, words[wanted] + 7);
	}
	const char *prefix = grub_var(&g->vars, "prefix", 6);
	if (!*name && strlen(prefix) < sizeof(name) - 16) {
		strcpy(name, prefix);
		strcat(name, "/grubenv");
	}
	char *text = *name && grub_work(g, GRUB_WORK_LOOK) && grub_path(g, path, name) ? g->src->read(g->src->ctx, path) : NULL;
	if (!text)
		return 1;
	bool all = grub_work(g, strlen(text) * n); /* each name of the file is compared with each that is wanted */
	for (const char *p = text; all && *p; p += *p == '\n') {
		size_t key = strcspn(p, "=\n#"), at = 0;
		const char *begin = p;

		p += key;
		bool is = *p == '=' && key;
		for (p += is; *p && *p != '\n'; p++) {
			p += *p == '\\' && p[1];
			if (at + 1 < sizeof(value))
				value[at++] = *p;
		}
		value[at] = '\0';
		bool take = is && wanted == n;
		for (size_t i = wanted; is && i < n; i++)
			take = take || (strlen(words[i]) == key && !memcmp(words[i], begin, key));
		if (take)
			grub_var_set(&g->vars, begin, key, value);
	}
	free(text);
	return 0;
}

/* `fresh`: with a menu of its own, as configfile has. */
static int file_run(struct grub *g, const char *name, bool fresh)
{
	char path[BOOT_PATH_MAX];
	char *text = grub_work(g, GRUB_WORK_LOOK) && grub_path(g, path, name) ? g->src->read(g->src->ctx, path) : NULL;

	if (!text)
		return 1;
	if (g->files++ >= GRUB_FILES_MAX)
		grub_fail(g, VDISK_INVALID, "one configuration too many", path);
	else {
		if (fresh) {
			grub_menu_destroy(g->menu);
			grub_var_set(&g->vars, "config_file", 11, path);
			char *slash = strrchr(path, '/'); /* a list of blocks has none: "(hd0,1)3+1" */
			if (slash) {
				*slash = '\0';
				grub_var_set(&g->vars, "config_directory", 16, path);
			}
		}
		grub_run(g, text);
	}
	free(text);
	return g->status;
}

static int cmd_set(struct grub *g, char **words, size_t n)
{
	const char *equals = n > 1 ? strchr(words[1], '=') : NULL;

	if (!equals || equals == words[1])
		return n > 1;
	if (!grub_var_set(&g->vars, words[1], (size_t)(equals - words[1]), equals + 1))
		grub_fail(g, VDISK_INVALID, "a variable cannot be set", words[1]);
	return 0;
}

static int cmd_unset(struct grub *g, char **words, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (*grub_var(&g->vars, words[i], strlen(words[i])))
			grub_var_set(&g->vars, words[i], strlen(words[i]), "");
	return 0;
}

static int cmd_boot(struct grub *g)
{
	g->stop = *g->choice.kernel || *g->other;
	return !g->stop;
}

int grub_builtin(struct grub *g, char **words, size_t n)
{
	static const char *const linuxes[] = { "linux", "linux16", "linuxefi", "linux32", "linux64", NULL };
	static const char *const initrds[] = { "initrd", "initrd16", "initrdefi", "initrd32", "initrd64", NULL };
	static const char *const others[] = { "chainloader", "multiboot", "multiboot2",   "xen_hypervisor", "ntldr",     "kfreebsd",
		                              "knetbsd",     "kopenbsd",  "xnu_kernel64", "plan9",          "truecrypt", "fwsetup",
		                              "appleloader", NULL };
	static const char *const no[] = { "false", "keystatus", "loadfont", "background_image", "read", "hashsum", "cmp", "lsefi",
		"cryptomount", "sendkey", "probe", "regexp", "smbios", "cpuid", "acpi", NULL };
	const char *w = words[0];

	if (!strcmp(w, "[") || !strcmp(w, "test"))
		return grub_test(g, words, n);
	if (!strcmp(w, "set"))
		return cmd_set(g, words, n);
	if (!strcmp(w, "unset"))
		return cmd_unset(g, words, n);
	if (one_of(w, linuxes))
		return cmd_linux(g, words, n);
	if (one_of(w, initrds))
		return cmd_initrd(g, words, n);
	if (!strcmp(w, "search"))
		return cmd_search(g, words, n);
	if (!strncmp(w, "search.", 7))
		return cmd_search_dot(g, words, n);
	if (!strcmp(w, "load_env"))
		return cmd_load_env(g, words, n);
	if (!strcmp(w, "source") || !strcmp(w, "."))
		return n > 1 ? file_run(g, words[1], false) : 1;
	if (!strcmp(w, "configfile") || !strcmp(w, "normal"))
		return n > 1 ? file_run(g, words[1], true) : 1;
	if (!strcmp(w, "blscfg"))
		return grub_bls(g);
	if (!strcmp(w, "boot"))
		return cmd_boot(g);
	if (!strcmp(w, "fwsetup") && n > 1)
		return 1; /* --is-supported */
	if (one_of(w, others)) {
		size_t at = strlen(strcpy(g->other, w));

		if (n > 1 && strlen(words[n - 1]) < sizeof(g->other) - at - 2)
			strcat(strcat(g->other, " "), words[n - 1]);
		g->choice = (struct boot_choice){ 0 };
		return 0;
	}
	return one_of(w, no);
}
