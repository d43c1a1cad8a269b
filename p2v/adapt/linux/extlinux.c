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
		struct span name, value, line = span_trim(t.line);
		bool options;

		if (!line.len || *line.at == '#' || !assignment(t.line, &name, &value)) {
			text_keep(&t);
			continue;
		}
		options = span_is(name, alpine ? "default_kernel_opts" : "EXTLINUX_PARAMETERS");
		r.serial = options;
		if (alpine && span_is(name, "root")) { /* its value is what comes behind root= */
			bytes_clear(&with);
			cmdline_translate(&r, (struct span){ name.at, (size_t)(value.at + value.len - name.at) }, &with);
			if (with.len && value.at == name.at + 5)
				bytes_replaced(&t.out, t.line, (struct span){ name.at, (size_t)(value.at + value.len - name.at) },
				               with.at);
			else
				bytes_span(&t.out, t.line);
			bytes_text(&t.out, t.ended ? "\n" : "");
		} else if (alpine && l->options->serial && span_is(name, "serial_port") && !value.len) {
			bytes_clear(&with);
			bytes_format(&with, "%.*s0", (int)t.line.len, t.line.at);
			text_put(&t, &with);
		} else if (options || span_is(name, "EXTLINUX_ROOT")) {
			cmdline_put(&r, &t, value);
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
