/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* EXTLINUX and SYSLINUX: APPEND lines, and what Alpine's update-extlinux and Debian's extlinux-update make them from. */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

static bool line_key(struct span line, const char *key, struct span *value)
{
	const char *at = line.at, *end = at + line.len;
	struct span word;

	if (!word_next(&at, end, &word) || !span_is_nocase(word, key))
		return false;
	while (at < end && strchr(" \t", *at))
		at++;
	*value = (struct span){ at, (size_t)(end - at) };
	return true;
}

/* From behind this line, a LABEL or the file's begin, to the next LABEL: once for each of them, not for each APPEND. */
static bool label_has_initrd(const struct text *t)
{
	struct text look = { .in = t->in, .next = t->next };
	struct span value;

	while (text_next(&look) && !line_key(look.line, "LABEL", &value))
		if (line_key(look.line, "INITRD", &value))
			return true;
	return false;
}

static int config_file(struct loader *l, const char *path, vdisk_error *err)
{
	struct cmdline_rules r = loader_rules(l, path);
	struct text look, t;
	bool serial = false, any = false, initrd;
	int rc = text_open(&t, l->plan, path, err);
	struct span value;

	if (rc <= 0)
		return rc;
	for (look = (struct text){ .in = t.in }; text_next(&look);) {
		serial = serial || line_key(look.line, "SERIAL", &value);
		any = any || line_key(look.line, "LABEL", &value) || line_key(look.line, "DEFAULT", &value);
	}
	if (l->options->serial && !serial && any)
		text_add(&t, "SERIAL 0 115200"); /* the first line, as SYSLINUX wants it */
	initrd = label_has_initrd(&t);
	while (text_next(&t)) {
		if (line_key(t.line, "LABEL", &value))
			initrd = label_has_initrd(&t);
		if (!line_key(t.line, "APPEND", &value)) {
			text_keep(&t);
			continue;
		}
		r.initrd = initrd || memmem(value.at, value.len, "initrd=", 7);
		r.serial = memmem(value.at, value.len, "root=", 5) || memmem(value.at, value.len, "initrd=", 7);
		cmdline_put(&r, &t, value);
	}
	return text_write(&t, err, "the kernel's devices by their UUIDs%s",
	                  l->options->serial ? ", and a console on the serial line" : "");
}

/* Its value is what comes behind root= in the kernel's command line. */
static void root_put(const struct cmdline_rules *r, struct text *t, const struct shell_value *v)
{
	struct bytes word = { 0 }, with = { 0 }, value = { 0 };

	bytes_format(&word, "root=%.*s", (int)v->inner.len, v->inner.at);
	cmdline_translate(r, (struct span){ word.at, word.len }, &with);
	bytes_text(&value, with.len > 5 ? with.at + 5 : "");
	value.failed |= word.failed || with.failed;
	shell_value_put(t, v, &value);
	bytes_destroy(&word);
	bytes_destroy(&with);
	bytes_destroy(&value);
}

/* Alpine's: root=…, default_kernel_opts="…", serial_port=0.  Debian's: EXTLINUX_ROOT="root=…", EXTLINUX_PARAMETERS="…". */
static int update_file(struct loader *l, const char *path, bool alpine, vdisk_error *err)
{
	struct cmdline_rules r = loader_rules(l, path);
	struct bytes with = { 0 };
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		struct shell_value v;

		if (!shell_value(&t, t.line.at, &v)) {
			text_keep(&t);
			continue;
		}
		bytes_clear(&with);
		r.serial = span_is(v.name, alpine ? "default_kernel_opts" : "EXTLINUX_PARAMETERS");
		if (r.serial || span_is(v.name, "EXTLINUX_ROOT")) {
			cmdline_put_shell(&r, &t, &v);
		} else if (alpine && v.plain && span_is(v.name, "root")) {
			root_put(&r, &t, &v);
		} else if (alpine && l->options->serial && span_is(v.name, "serial_port") && v.plain && !v.inner.len) {
			bytes_text(&with, "0");
			shell_value_put(&t, &v, &with);
		} else {
			text_keep(&t);
		}
	}
	bytes_destroy(&with);
	return text_write(&t, err, "the next configuration of EXTLINUX names the kernel's devices by their UUIDs");
}

int extlinux_adapt(struct loader *l, vdisk_error *err)
{
	static const char *const files[] = { "/boot/extlinux.conf",
		                             "/boot/extlinux/extlinux.conf",
		                             "/boot/extlinux/linux.cfg",
		                             "/boot/syslinux/syslinux.cfg",
		                             "/boot/syslinux/extlinux.conf",
		                             "/extlinux.conf",
		                             "/syslinux.cfg",
		                             NULL };

	for (const char *const *f = files; *f; f++)
		if (config_file(l, *f, err))
			return -1;
	return update_file(l, "/etc/update-extlinux.conf", true, err) || update_file(l, "/etc/default/extlinux", false, err)
	               ? -1 : 0;
}
