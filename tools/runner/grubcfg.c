/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which entry of a grub.cfg is the default one, and what it boots: "default" by number, by identifier or by title, through
   submenus. */
#include "grubrun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What GRUB has itself. */
static const char *const presets[][2] = {
	{ "grub_cpu", "x86_64" }, { "feature_menuentry_id", "y" }, { "feature_timeout_style", "y" },
	{ "feature_platform_search_hint", "y" }, { "feature_default_font_path", "y" }, { "feature_all_video_module", "y" },
	{ "feature_menuentry_options", "y" }, { "feature_200_final", "y" }, { "feature_nativedisk_cmd", "y" },
	{ "feature_chainloader_bpb", "y" }, { "feature_ntldr", "y" }, { "lang", "C" }, { "pager", "0" }, { "default", "" },
};

/* The entry that the first part of `wanted` names, up to '>'; its rest is left in *wanted.  The first entry where there is no
   such. */
static const struct grub_block *entry_find(const struct grub_menu *menu, const char **wanted)
{
	char name[1024];
	size_t n = 0;
	const char *p = *wanted;
	char *end;

	for (; *p && !(*p == '>' && p[1] != '>'); p++) { /* ">>" is a '>' of the name */
		p += *p == '>';
		if (n + 1 < sizeof(name))
			name[n++] = *p;
	}
	name[n] = '\0';
	*wanted = *p ? p + 1 : p;
	unsigned long number = strtoul(name, &end, 10);
	if (n && !*end && *name >= '0' && *name <= '9')
		return number < menu->n ? &menu->entries[number] : &menu->entries[0];
	for (size_t i = 0; n && i < menu->n; i++)
		if (!strcmp(menu->entries[i].id, name))
			return &menu->entries[i];
	for (size_t i = 0; n && i < menu->n; i++)
		if (!strcmp(menu->entries[i].name, name))
			return &menu->entries[i];
	*wanted = "";
	return &menu->entries[0];
}

/* "$kernelopts" and the like, which blscfg expands. */
static void append_expand(struct grub *g)
{
	struct boot_choice *c = &g->choice;
	char before[BOOT_APPEND_MAX];
	size_t at = 0;

	strcpy(before, c->append);
	for (const char *p = before; *p && at < sizeof(c->append) - 1;) {
		size_t len = *p == '$' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") : 0;

		if (!len) {
			c->append[at++] = *p++;
			continue;
		}
		const char *value = grub_var(&g->vars, p + 1, len);
		size_t n = strlen(value);
		if (n >= sizeof(c->append) - at) {
			grub_fail(g, VDISK_INVALID, "the kernel's command line is too long", "");
			break;
		}
		memcpy(c->append + at, value, n);
		at += n;
		p += 1 + len;
	}
	c->append[at] = '\0';
}

static void entry_run(struct grub *g, const struct grub_block *entry)
{
	struct grub_args before = g->args;

	grub_var_set(&g->vars, "chosen", 6, *entry->id ? entry->id : entry->name);
	if (entry->bls) {
		if (bls_entry_read(g->src, grub_var(&g->vars, "root", 4), entry->body, &g->choice, g->err))
			g->failed = g->stop = true;
		else
			append_expand(g);
		return;
	}
	g->args = (struct grub_args){ entry->title_args, entry->n_args };
	grub_run(g, entry->body);
	g->args = before;
}

/* From the menu to the entry that boots; submenus are menus of their own. */
static void menu_choose(struct grub *g, struct grub_menu *menu, const char *wanted, unsigned depth)
{
	struct grub_menu below = { 0 };

	if (!menu->n || g->failed || depth > 8)
		return;
	const struct grub_block *entry = entry_find(menu, &wanted);
	g->menu = &below;
	entry_run(g, entry);
	if (entry->submenu && !g->stop && !*g->choice.kernel && below.n)
		menu_choose(g, &below, wanted, depth + 1);
	grub_menu_destroy(&below);
	g->menu = menu;
}

static void grub_begin(struct grub *g, const char *path, bool efi)
{
	const char *slash = strrchr(path, '/'), *close = strchr(path, ')');
	char prefix[BOOT_PATH_MAX];

	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++)
		grub_var_set(&g->vars, presets[i][0], strlen(presets[i][0]), presets[i][1]);
	grub_var_set(&g->vars, "grub_platform", 13, efi ? "efi" : "pc");
	snprintf(prefix, sizeof(prefix), "%.*s", close ? (int)(close - path) - 1 : 0, path + 1);
	grub_var_set(&g->vars, "root", 4, prefix);
	snprintf(prefix, sizeof(prefix), "%.*s", slash ? (int)(slash - path) : 0, path);
	grub_var_set(&g->vars, "prefix", 6, prefix);
	grub_var_set(&g->vars, "cmdpath", 7, prefix);
	grub_var_set(&g->vars, "config_directory", 16, prefix);
	grub_var_set(&g->vars, "config_file", 11, path);
}

int grub_choose(const struct boot_source *src, const char *path, bool efi, struct boot_choice *out, vdisk_error *err)
{
	struct grub *g = calloc(1, sizeof(*g));
	struct grub_menu menu = { 0 };
	char wanted[GRUB_VALUE_MAX];
	char *text = g ? src->read(src->ctx, path) : NULL;
	int r = -1;

	if (!text) {
		free(g);
		return fail(err, VDISK_IO, "%s: cannot be read", path);
	}
	*g = (struct grub){ .src = src, .menu = &menu, .err = err };
	grub_begin(g, path, efi);
	grub_run(g, text);
	free(text);
	if (!g->stop && !g->failed && menu.n) {
		snprintf(wanted, sizeof(wanted), "%s", grub_var(&g->vars, "default", 7));
		g->choice = (struct boot_choice){ 0 };
		menu_choose(g, &menu, wanted, 0);
	}
	if (g->failed) {
		char why[sizeof(err->message)];

		snprintf(why, sizeof(why), "%s", err->message);
		fail(err, err->kind, "%.200s: %.500s", path, why);
	} else if (*g->choice.kernel) {
		*out = g->choice;
		r = 0;
	} else if (*g->other)
		fail(err, VDISK_UNSUPPORTED, "%s: the default entry boots no Linux kernel (%s)", path, g->other);
	else
		fail(err, VDISK_UNSUPPORTED, "%s: no entry of it boots a Linux kernel", path);
	grub_menu_destroy(&menu);
	grub_destroy(g);
	free(g);
	return r;
}
