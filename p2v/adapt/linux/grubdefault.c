/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What grub-mkconfig makes grub.cfg from (/etc/default/grub), and GRUB's environment block. */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

#define BLOCK_MAX (64u << 10)

/* ---------------------------------------------------------------- /etc/default/grub */

struct seen_names {
	bool kernel, terminal, serial;
};

static bool says_true(struct span value)
{
	return span_is(value, "true") || span_is(value, "y") || span_is(value, "1") || span_is(value, "yes");
}

/* GRUB_TERMINAL and its kin, with the serial line among the others. */
static void terminal_line(struct text *t, const struct shell_value *v)
{
	bool has = memmem(v->inner.at, v->inner.len, "serial", 6);
	struct bytes with = { 0 };

	if (v->inner.len && !has && v->plain) {
		bytes_format(&with, "%.*s serial", (int)v->inner.len, v->inner.at);
		shell_value_put(t, v, &with);
	} else if (has || v->plain) {
		text_keep(t);
	} else {
		shell_value_keep(t, v);
	}
	bytes_destroy(&with);
}

static void default_line(struct loader *l, struct text *t, bool main, struct seen_names *seen)
{
	struct cmdline_rules r = loader_rules(l, t->path);
	bool serial = l->options->serial && main;
	struct bytes out = { 0 };
	struct shell_value v;

	if (!shell_value(t, t->line.at, &v)) {
		text_keep(t);
	} else if (span_starts(v.name, "GRUB_CMDLINE_LINUX")) {
		r.serial = main && span_is(v.name, "GRUB_CMDLINE_LINUX");
		seen->kernel = seen->kernel || r.serial;
		cmdline_put_shell(&r, t, &v);
	} else if ((span_is(v.name, "GRUB_DISABLE_UUID") || span_is(v.name, "GRUB_DISABLE_LINUX_UUID")) && says_true(v.inner)) {
		bytes_format(&out, "# vdisk: %.*s", (int)t->line.len, t->line.at);
		text_put(t, &out);
	} else if (serial && (span_is(v.name, "GRUB_TERMINAL") || span_is(v.name, "GRUB_TERMINAL_OUTPUT") ||
	                      span_is(v.name, "GRUB_TERMINAL_INPUT"))) {
		seen->terminal = true;
		terminal_line(t, &v);
	} else {
		seen->serial = seen->serial || span_is(v.name, "GRUB_SERIAL_COMMAND");
		text_keep(t);
	}
	bytes_destroy(&out);
}

static int default_file(struct loader *l, const char *path, bool main, vdisk_error *err)
{
	struct seen_names seen = { 0 };
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t))
		default_line(l, &t, main, &seen);
	if (main && l->options->serial) {
		if (!seen.kernel)
			text_add(&t, "GRUB_CMDLINE_LINUX=\"console=tty0 console=%s,115200n8\"", serial_port(l->facts));
		if (!seen.terminal)
			text_add(&t, "GRUB_TERMINAL=\"console serial\"");
		if (!seen.serial)
			text_add(&t, "GRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"");
	}
	return text_write(&t, err, "the next grub.cfg names the kernel's devices by their UUIDs%s",
	                  l->options->serial ? ", and has the serial console" : "");
}

static int default_one(void *to, const char *path, vdisk_error *err) { return default_file(to, path, false, err); }

int grub_defaults_adapt(struct loader *l, vdisk_error *err)
{
	return default_file(l, "/etc/default/grub", true, err)
	               ? -1
	               : files_each(l->plan, "/etc/default/grub.d", "*.cfg", default_one, l, err);
}

/* ---------------------------------------------------------------- grubenv */

static bool block_line(struct loader *l, struct text *t, const char *path)
{
	struct cmdline_rules r = loader_rules(l, path);
	struct span name, value;
	const char *equals = memchr(t->line.at, '=', t->line.len);

	if (*t->line.at == '#' || !equals)
		return false;
	name = (struct span){ t->line.at, (size_t)(equals - t->line.at) };
	value = (struct span){ equals + 1, (size_t)(t->line.at + t->line.len - equals - 1) };
	if (!memchr(value.at, '=', value.len))
		return false;
	r.serial = span_is(name, "kernelopts");
	cmdline_put(&r, t, value);
	return true;
}

/* A block keeps its size (1024 bytes; GRUB writes to its place on the disk without the file system's help): what is free in it is
   filled with '#', and the file ends without a newline. */
static int block_file(struct loader *l, const char *path, vdisk_error *err)
{
	static const char magic[] = "# GRUB Environment Block\n";
	size_t size, used;
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	size = t.in.len;
	if (rc <= 0 || size < 1024 || size > BLOCK_MAX || size % 512 || strncmp(t.in.at, magic, strlen(magic))) {
		if (rc > 0 && size)
			remark_once(l->plan, "%s: left as it is, since it is no environment block of GRUB's", path);
		text_close(&t);
		return rc < 0 ? -1 : 0;
	}
	for (used = size; used && t.in.at[used - 1] == '#'; used--)
		;
	t.in.len = used;
	while (text_next(&t))
		if (!block_line(l, &t, path))
			text_keep(&t);
	if (t.out.len > size) {
		rc = fail(err, VDISK_UNSUPPORTED,
		          "%s: the kernel's arguments do not fit into GRUB's environment block (%zu of %zu bytes): shorten "
		          "kernelopts first",
		          path, t.out.len, size);
		text_close(&t);
		return rc;
	}
	while (t.out.len < size && !t.out.failed)
		bytes_text(&t.out, "#");
	t.in.len = size;
	t.next = size;
	return text_write(&t, err, "the kernel's devices by their UUIDs, in GRUB's environment");
}

int grubenv_adapt(struct loader *l, vdisk_error *err)
{
	if (block_file(l, "/boot/grub2/grubenv", err) || block_file(l, "/boot/grub/grubenv", err))
		return -1;
	return loader_esp_files(l, "EFI", "*", "grubenv", block_file, err);
}
