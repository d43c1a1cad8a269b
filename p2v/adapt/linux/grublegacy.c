/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB legacy's menu.lst: kernel lines, and those that Debian's update-grub makes them from (# kopt=…). */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

/* Up to the next kernel, which takes the place of this one, or title. */
static enum text_ahead initrd_ahead(struct span first)
{
	if (span_is(first, "initrd") || span_is(first, "module"))
		return AHEAD_YES;
	return span_is(first, "title") || span_is(first, "kernel") ? AHEAD_NO : AHEAD_ON;
}

/* # kopt=root=…, # kopt_2_6=…, # xenkopt=…: comments to GRUB, settings to update-grub. */
static bool magic_line(struct loader *l, struct text *t)
{
	struct cmdline_rules r = loader_rules(l, t->path);
	const char *equals = memchr(t->line.at, '=', t->line.len);
	struct span args;

	if (!(span_starts(t->line, "# kopt") || span_starts(t->line, "# xenkopt")) || !equals)
		return false;
	args = (struct span){ equals + 1, (size_t)(t->line.at + t->line.len - equals - 1) };
	r.serial = span_starts(t->line, "# kopt");
	cmdline_put(&r, t, args);
	return true;
}

static bool root_line(struct loader *l, struct text *t, struct span word)
{
	static const char *const commands[] = { "root", "rootnoverify", "splashimage", "gfxmenu", "kernel", "initrd", NULL };
	bool mine = span_starts(t->line, "# groot=") || span_starts(word, "splashimage=") || span_starts(word, "gfxmenu=");
	struct bytes line = { 0 };

	for (const char *const *c = commands; *c; c++)
		mine = mine || span_is(word, *c);
	if (!mine || !loader_root_fix(l, t->line, &line))
		return false;
	text_put(t, &line);
	bytes_destroy(&line);
	return true;
}

static void legacy_line(struct loader *l, struct text *t)
{
	struct cmdline_rules r = loader_rules(l, t->path);
	const char *at = t->line.at, *end = at + t->line.len;
	struct span word, kernel, next;
	bool module;

	if (!word_next(&at, end, &word) || magic_line(l, t)) {
		if (!word.len)
			text_keep(t);
		return;
	}
	module = span_is(word, "module");
	if (!module && !span_is(word, "kernel")) {
		if (!root_line(l, t, word))
			text_keep(t);
		return;
	}
	do { /* kernel --no-mem-option (hd0,0)/vmlinuz … */
		if (!word_next(&at, end, &kernel)) {
			text_keep(t);
			return;
		}
	} while (span_starts(kernel, "--"));
	while (at < end && strchr(" \t", *at))
		at++;
	next = (struct span){ at, (size_t)(end - at) };
	if (!next.len) {
		if (!root_line(l, t, word))
			text_keep(t);
		return;
	}
	r.serial = !module && memmem(next.at, next.len, "root=", 5); /* no memory test, and no hypervisor */
	r.initrd = text_look_ahead(t, initrd_ahead);
	cmdline_put(&r, t, next);
}

static int legacy_file(struct loader *l, const char *path, vdisk_error *err)
{
	bool serial = false, titled = false;
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		const char *at = t.line.at;
		struct span w;

		if (word_next(&at, t.line.at + t.line.len, &w)) {
			serial = serial || span_is(w, "serial");
			if (span_is(w, "title") && !titled && !serial && l->options->serial) {
				text_add(&t, "serial --unit=0 --speed=115200");
				text_add(&t, "terminal --timeout=5 console serial");
			}
			titled = titled || span_is(w, "title");
		}
		legacy_line(l, &t);
	}
	return text_write(&t, err, "the kernel's devices by their UUIDs%s",
	                  l->options->serial ? ", and a console on the serial line" : "");
}

int grub_legacy_adapt(struct loader *l, vdisk_error *err)
{
	static const char *const files[] = { "/boot/grub/menu.lst", "/boot/grub/grub.conf", NULL };

	for (const char *const *f = files; *f; f++)
		if (legacy_file(l, *f, err))
			return -1;
	return 0;
}
