/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each tool is told, in the place where an administrator would say it:
 *     initramfs-tools   /etc/initramfs-tools/modules, which every MODULES= honours, for what is loaded at once; a hook for the rest
 *     dracut            add_drivers in /etc/dracut.conf.d (or /etc/dracut.conf, where that folder is not yet)
 *     mkinitcpio        MODULES in /etc/mkinitcpio.conf, an array, in old ones a string
 *     mkinitfs          a feature of its own, and its name in /etc/mkinitfs/mkinitfs.conf
 *     SUSE's mkinitrd   INITRD_MODULES in /etc/sysconfig/kernel
 * Our lines in other people's files stand between two comments, and are found by them the next time.
 */
#include "generator.h"

#include "common/fail.h"
#include "kmod.h"

#include <stdio.h>
#include <string.h>

#define BEGIN "# vdisk adapt: begin"
#define END "# vdisk adapt: end"

static void words(struct bytes *out, const char *const *list, size_t n, const char *before, const char *after)
{
	for (size_t i = 0; i < n; i++)
		bytes_format(out, "%s%s%s", before, list[i], after);
}

/* A CR may end it. */
static bool line_is(const char *at, size_t len, const char *text)
{
	size_t n = strlen(text);

	return len >= n && !memcmp(at, text, n) && (len == n || at[n] == ' ' || at[n] == '\r');
}

/* Where the lines of a block end whose first one is before `pos`; 0: somebody took its last one away. */
static size_t block_end(const struct bytes *text, size_t pos)
{
	const char *at;
	size_t len;

	while (kmod_line(text, &pos, &at, &len)) {
		if (line_is(at, len, END))
			return pos;
		if (line_is(at, len, BEGIN))
			break;
	}
	return 0;
}

/* The text without our lines.  Where a block does not end, nobody can tell which lines in it are ours: its first one goes alone. */
static void text_without(const struct bytes *text, struct bytes *out)
{
	const char *at;
	size_t pos = 0, len, end;

	while (kmod_line(text, &pos, &at, &len)) {
		if (line_is(at, len, BEGIN)) {
			end = block_end(text, pos);
			pos = end ? end : pos;
		} else {
			bytes_add(out, at, len);
			bytes_text(out, pos <= text->len ? "\n" : "");
		}
	}
}

/* Puts our lines at a file's end, in the place of those that are there. */
static int block_write(struct plan *p, const char *path, const struct generator_want *want, const struct bytes *lines,
	vdisk_error *err)
{
	struct bytes old = { 0 }, new = { 0 };
	int rc = tree_text(&p->view, path, &old, err);

	if (rc >= 0) {
		text_without(&old, &new);
		if (new.len && new.at[new.len - 1] != '\n')
			bytes_text(&new, "\n");
		bytes_format(&new, BEGIN " (drivers of %s)\n%s" END "\n", want->for_whom, lines->at ? lines->at : "");
		if (new.failed || lines->failed)
			rc = fail_nomem(err);
		else
			rc = plan_write(p, path, new.at, new.len, 0644, err,
				"the guest's next initramfs has the drivers of %s, too", want->for_whom);
	}
	bytes_destroy(&old);
	bytes_destroy(&new);
	return rc < 0 ? -1 : 0;
}

static int whole_write(struct plan *p, const char *path, uint32_t mode, const struct generator_want *want,
	const struct bytes *text, vdisk_error *err)
{
	if (text->failed)
		return fail_nomem(err);
	return plan_write(p, path, text->at, text->len, mode, err, "the guest's next initramfs has the drivers of %s, too",
		want->for_whom);
}

/* ---------------------------------------------------------------- each tool */

static int initramfs_tools(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err)
{
	words(text, want->load, want->load_n, "", "\n");
	if (want->load_n && block_write(p, "/etc/initramfs-tools/modules", want, text, err))
		return -1;
	if (!want->extra_n)
		return 0;
	bytes_clear(text);
	bytes_format(text, "#!/bin/sh\n"
		"# Made by vdisk adapt: drivers of %s that are put into the initramfs, and loaded where their hardware is found.\n"
		"if [ \"$1\" = prereqs ]; then\n\texit 0\nfi\n. /usr/share/initramfs-tools/hook-functions\nfor module in",
		want->for_whom);
	words(text, want->extra, want->extra_n, " ", "");
	bytes_text(text, "; do\n\tmanual_add_modules \"$module\" || true\ndone\n");
	return whole_write(p, "/etc/initramfs-tools/hooks/vdisk-adapt", 0755, want, text, err);
}

static int dracut(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err)
{
	int rc = tree_exists(&p->view, "/etc/dracut.conf.d", err);

	if (rc < 0)
		return -1;
	if (rc)
		bytes_format(text, "# Made by vdisk adapt: drivers of %s.\n", want->for_whom);
	bytes_text(text, "add_drivers+=\"");
	words(text, want->load, want->load_n, " ", "");
	words(text, want->extra, want->extra_n, " ", "");
	bytes_text(text, " \"\n");
	return rc ? whole_write(p, "/etc/dracut.conf.d/90-vdisk-adapt.conf", 0644, want, text, err) :
		block_write(p, "/etc/dracut.conf", want, text, err);
}

/* Is MODULES a string there, as in mkinitcpio's configuration before 2017?  The last assignment counts. */
static int modules_is_string(struct plan *p, const char *path, bool *string, vdisk_error *err)
{
	struct bytes text = { 0 };
	const char *at;
	size_t pos = 0, len;
	int rc = tree_text(&p->view, path, &text, err);

	*string = false;
	while (rc > 0 && kmod_line(&text, &pos, &at, &len)) {
		while (len && (*at == ' ' || *at == '\t'))
			at++, len--;
		if (len > 8 && !memcmp(at, "MODULES=", 8))
			*string = at[8] != '(';
	}
	bytes_destroy(&text);
	return rc < 0 ? -1 : 0;
}

static int mkinitcpio(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err)
{
	static const char path[] = "/etc/mkinitcpio.conf";
	bool string;

	if (modules_is_string(p, path, &string, err))
		return -1;
	bytes_text(text, string ? "MODULES+=\"" : "MODULES+=(");
	words(text, want->load, want->load_n, " ", "");
	words(text, want->extra, want->extra_n, " ", "");
	bytes_text(text, string ? " \"\n" : " )\n");
	return block_write(p, path, want, text, err);
}

static int mkinitfs(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err)
{
	bytes_format(text, "# Made by vdisk adapt: drivers of %s.\n", want->for_whom);
	words(text, want->paths, want->paths_n, "", "\n");
	if (whole_write(p, "/etc/mkinitfs/features.d/vdisk-adapt.modules", 0644, want, text, err))
		return -1;
	bytes_clear(text);
	bytes_text(text, "features=\"$features vdisk-adapt\"\n");
	return block_write(p, "/etc/mkinitfs/mkinitfs.conf", want, text, err);
}

/* SUSE: what is between the quotes of INITRD_MODULES gets the names that it has not. */
static int suse(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err)
{
	struct bytes old = { 0 };
	const char *at, *close;
	size_t pos = 0, len;
	int rc = tree_text(&p->view, "/etc/sysconfig/kernel", &old, err);
	bool found = false;

	while (rc > 0 && kmod_line(&old, &pos, &at, &len)) {
		close = len > 16 && !memcmp(at, "INITRD_MODULES=\"", 16) ? memchr(at + 16, '"', len - 16) : NULL;
		bytes_format(text, "%.*s", close ? (int)(close - at) : (int)len, at);
		for (size_t i = 0; close && i < want->load_n + want->extra_n; i++) {
			const char *name = i < want->load_n ? want->load[i] : want->extra[i - want->load_n];
			size_t n = strlen(name);
			bool there = false;

			for (const char *s = at + 16; s + n <= close; s++)
				there |= !memcmp(s, name, n) && strchr(" \"", s[-1]) && strchr(" \"", s[n]);
			if (!there)
				bytes_format(text, " %s", name);
		}
		if (close)
			bytes_format(text, "%.*s", (int)(at + len - close), close);
		bytes_text(text, pos <= old.len ? "\n" : "");
		found |= close != NULL;
	}
	bytes_destroy(&old);
	if (rc < 0)
		return -1;
	if (found)
		return whole_write(p, "/etc/sysconfig/kernel", 0644, want, text, err);
	plan_remark(p, "the guest's mkinitrd is told of no drivers (there is no INITRD_MODULES in /etc/sysconfig/kernel): "
		"its next initramfs may lack those of %s", want->for_whom);
	return 0;
}

int generator_register(struct plan *p, enum initrd_tool tool, const struct generator_want *want, vdisk_error *err)
{
	static int (*const tools[])(struct plan *p, const struct generator_want *want, struct bytes *text, vdisk_error *err) = {
		[INITRD_INITRAMFS_TOOLS] = initramfs_tools, [INITRD_DRACUT] = dracut, [INITRD_MKINITCPIO] = mkinitcpio,
		[INITRD_MKINITFS] = mkinitfs,
		[INITRD_MKINITRD] = suse,
	};
	struct bytes text = { 0 };
	int rc;

	if (!tools[tool]) {
		plan_remark(p, "what makes the guest's initramfs is not known: its next one may lack the drivers of %s",
			want->for_whom);
		return 0;
	}
	rc = want->load_n + want->extra_n ? tools[tool](p, want, &text, err) : 0;
	bytes_destroy(&text);
	return rc;
}

/* Names of the guest go into a line of its shell. */
static bool is_plain(const char *s)
{
	return *s && *s != '-' && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+~-")];
}

/* SUSE's goes by INITRD_MODULES, which it has been told; Red Hat's is told here. */
static int mkinitrd_line(struct plan *p, const struct fact_kernel *k, const struct generator_want *want, struct bytes *line,
	vdisk_error *err)
{
	struct bytes text = { 0 };
	int rc = tree_text(&p->view, "/etc/sysconfig/kernel", &text, err);
	bool suse_has = rc > 0 && text.len && strstr(text.at, "INITRD_MODULES=");

	bytes_destroy(&text);
	if (rc < 0)
		return -1;
	if (suse_has && !is_plain(k->path))
		return fail(err, VDISK_UNSUPPORTED, "kernel %s, %s: no name to be given to a shell", k->release, k->path);
	if (suse_has) {
		bytes_format(line, "mkinitrd -k %s -i %s", k->path, k->initrd);
		return 0;
	}
	bytes_text(line, "mkinitrd -f");
	words(line, want->load, want->load_n, " --with=", "");
	words(line, want->extra, want->extra_n, " --with=", "");
	bytes_format(line, " %s %s", k->initrd, k->release);
	return 0;
}

int generator_run(struct plan *p, enum initrd_tool tool, const struct fact_kernel *k, const struct generator_want *want,
	vdisk_error *err)
{
	static const char *const forms[] = { [INITRD_DRACUT] = "dracut --force", [INITRD_MKINITCPIO] = "mkinitcpio -g",
		[INITRD_MKINITFS] = "mkinitfs -o" };
	struct bytes line = { 0 };
	int rc = 0;

	if (!is_plain(k->release) || !is_plain(k->initrd))
		return fail(err, VDISK_UNSUPPORTED, "kernel %s with %s: no names to be given to a shell", k->release, k->initrd);
	if (tool == INITRD_UNKNOWN)
		return fail(err, VDISK_UNSUPPORTED, "%s: it is not known what made it, so nothing can make it anew", k->initrd);
	if (tool == INITRD_INITRAMFS_TOOLS)
		bytes_format(&line, "update-initramfs -u -k %s", k->release);
	else if (tool == INITRD_MKINITRD)
		rc = mkinitrd_line(p, k, want, &line, err);
	else
		bytes_format(&line, "%s %s %s%s", forms[tool], k->initrd, tool == INITRD_MKINITCPIO ? "-k " : "", k->release);
	if (!rc)
		rc = line.failed ? fail_nomem(err) :
			plan_run(p, line.at, err, "the guest's own tool makes the initramfs of %s", k->release);
	bytes_destroy(&line);
	return rc;
}
