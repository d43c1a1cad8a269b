/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GRUB 2's grub.cfg, and the scripts of /etc/grub.d that are copied into it.  Kernel lines and variables that hold one change;
 * `search` stays, which goes by UUID already, and so does `set root=`, unless it names a disk that there is no more.  device.map
 * goes: it ties GRUB's names to the old machine's, and grub-install and grub-mkconfig find disks by themselves where it is not
 * there.
 */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

#define SERIAL_MARK "### vdisk: GRUB on the first serial line, too ###"

static bool is_linux(struct span w)
{
	return span_is(w, "linux") || span_is(w, "linux16") || span_is(w, "linuxefi") || span_is(w, "module") ||
	       span_is(w, "module2");
}

/* Do the lines behind this one, to the end of its entry, load an initramfs? */
static enum text_ahead initrd_ahead(struct span first)
{
	if (span_is(first, "initrd") || span_is(first, "initrd16") || span_is(first, "initrdefi") || span_is(first, "module") ||
	    span_is(first, "module2"))
		return AHEAD_YES;
	return span_is(first, "}") || span_is(first, "menuentry") || is_linux(first) ? AHEAD_NO : AHEAD_ON;
}

/* The line's arguments, behind the command and the kernel, up to a comment or another command. */
static struct span linux_args(struct span line, const char *at)
{
	const char *end = shell_command_end(line.at, line.at + line.len);
	struct span kernel;

	if (!word_quoted(&at, end, &kernel))
		return (struct span){ end, 0 };
	while (at < end && strchr(" \t", *at))
		at++;
	return (struct span){ at, (size_t)(end - at) };
}

/* A kernel's arguments hide in a variable: set kernelopts="root=…". */
static bool set_line(struct loader *l, struct text *t, struct cmdline_rules *r)
{
	const char *at = t->line.at;
	struct shell_value v;
	struct bytes line = { 0 };
	struct span word;

	if (!word_next(&at, t->line.at + t->line.len, &word) || !span_is(word, "set"))
		return false;
	if (!shell_value(t, at, &v))
		return false;
	if (span_is(v.name, "root")) {
		if (!loader_root_fix(l, t->line, &line))
			return false;
		text_put(t, &line);
		bytes_destroy(&line);
		return true;
	}
	if (!memchr(v.inner.at, '=', v.inner.len))
		return false;
	r->serial = span_is(v.name, "kernelopts");
	r->initrd = true;
	cmdline_put_shell(r, t, &v);
	return true;
}

static void grub2_line(struct loader *l, struct text *t, bool script)
{
	struct cmdline_rules r = loader_rules(l, t->path);
	const char *at = t->line.at;
	struct span word;

	if (!word_next(&at, t->line.at + t->line.len, &word) || *word.at == '#') {
		text_keep(t);
		return;
	}
	if (is_linux(word)) {
		struct span args;

		shell_line_join(t);
		args = linux_args(t->line, at);

		/* A kernel has a root, a memory test has none; a script's line with variables is what makes lines, and no line. */
		r.serial = !span_starts(word, "module") && memmem(args.at, args.len, "root=", 5) &&
		           !(script && memchr(args.at, '$', args.len));
		r.initrd = text_look_ahead(t, initrd_ahead) || memchr(t->line.at, '$', t->line.len);
		cmdline_put(&r, t, args);
	} else if (!set_line(l, t, &r)) {
		text_keep(t);
	}
}

static bool bytes_have(const struct bytes *b, const char *what) { return b->len && strstr(b->at, what); }

static int grub2_file(struct loader *l, const char *path, bool serial, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t))
		grub2_line(l, &t, !strncmp(path, "/etc/", 5));
	if (serial && l->options->serial && !bytes_have(&t.in, SERIAL_MARK) && !bytes_have(&t.in, "\nserial ")) {
		text_add(&t, SERIAL_MARK);
		text_add(&t, "if serial --unit=0 --speed=115200; then");
		text_add(&t, "\tterminal_input --append serial");
		text_add(&t, "\tterminal_output --append serial");
		text_add(&t, "fi");
	}
	return text_write(&t, err, "the kernel's devices by their UUIDs%s",
	                  l->options->serial ? ", and a console on the serial line" : "");
}

static int script_one(void *to, const char *path, vdisk_error *err) { return grub2_file(to, path, false, err); }

/* What stands on the EFI system partition is a stub that leads to the real one, or (RHEL 7 and 8) the real one itself. */
static int config_one(struct loader *l, const char *path, vdisk_error *err) { return grub2_file(l, path, false, err); }

static int map_remove(struct loader *l, const char *path, vdisk_error *err)
{
	return plan_remove(l->plan, path, err,
	                   "it ties GRUB's disks to names of the old machine; GRUB finds them by itself without it");
}

int grub2_adapt(struct loader *l, vdisk_error *err)
{
	static const char *const configs[] = { "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub2-efi/grub.cfg", NULL };
	static const char *const others[] = { "/boot/grub/custom.cfg", "/boot/grub2/custom.cfg", "/boot/grub2/user.cfg", NULL };
	bool named = false;

	for (const char *const *c = configs; *c; c++) {
		named = named || !strcmp(*c, l->facts->loader_config);
		if (grub2_file(l, *c, true, err))
			return -1;
	}
	if (!named && l->facts->loaders & LOADER_GRUB2 && *l->facts->loader_config &&
	    grub2_file(l, l->facts->loader_config, true, err))
		return -1;
	for (const char *const *c = others; *c; c++)
		if (grub2_file(l, *c, false, err))
			return -1;
	if (loader_esp_files(l, "EFI", "*", "grub.cfg", config_one, err) ||
	    files_each(l->plan, "/etc/grub.d", "*", script_one, l, err))
		return -1;
	return map_remove(l, "/boot/grub/device.map", err) || map_remove(l, "/boot/grub2/device.map", err) ? -1 : 0;
}
