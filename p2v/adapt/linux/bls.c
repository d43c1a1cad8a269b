/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries of the boot loader specification (Fedora, RHEL 8 and later, systemd-boot), and what kernel-install makes the next ones
 * from.  An entry whose options are $kernelopts has nothing to change: that stands in GRUB's environment.
 */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

/* The first word of the line is the key. */
static bool line_key(struct span line, const char *key, struct span *value)
{
	const char *at = line.at, *end = at + line.len;
	struct span word;

	if (!word_next(&at, end, &word) || !span_is(word, key))
		return false;
	while (at < end && strchr(" \t", *at))
		at++;
	*value = (struct span){ at, (size_t)(end - at) };
	return true;
}

static bool entry_has_initrd(const struct text *t)
{
	struct text look = { .in = t->in };
	struct span value;

	while (text_next(&look)) {
		if (line_key(look.line, "initrd", &value) || line_key(look.line, "efi", &value) ||
		    line_key(look.line, "uki", &value))
			return true;
		if (line_key(look.line, "options", &value) &&
		    (memmem(value.at, value.len, "initrd=", 7) || memchr(value.at, '$', value.len)))
			return true;
	}
	return false;
}

static int entry_file(struct loader *l, const char *path, vdisk_error *err)
{
	struct cmdline_rules r = loader_rules(l, path);
	bool first = true;
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	r.initrd = entry_has_initrd(&t);
	while (text_next(&t)) {
		struct span value;

		if (!line_key(t.line, "options", &value)) {
			text_keep(&t);
			continue;
		}
		r.serial = first && !memmem(value.at, value.len, "$kernelopts", 11);
		first = false;
		cmdline_put(&r, &t, value);
	}
	return text_write(&t, err, "the kernel's devices by their UUIDs%s",
	                  l->options->serial ? ", and a console on the serial line" : "");
}

/* Kernel lines bare, a file of them; `serial`: it is the one that everybody has. */
static int bare_file(struct loader *l, const char *path, bool serial, vdisk_error *err)
{
	struct cmdline_rules r = loader_rules(l, path);
	struct text t;
	int rc = text_open(&t, l->plan, path, err);

	if (rc <= 0)
		return rc;
	r.serial = serial;
	while (text_next(&t)) {
		if (!t.line.len || *t.line.at == '#') {
			text_keep(&t);
			continue;
		}
		cmdline_put(&r, &t, t.line);
		r.serial = false;
	}
	return text_write(&t, err, "the next kernel's entry names its devices by their UUIDs%s",
	                  l->options->serial ? ", and has the serial console" : "");
}

static int bare_one(void *to, const char *path, vdisk_error *err) { return bare_file(to, path, false, err); }

int bls_adapt(struct loader *l, vdisk_error *err)
{
	if (loader_esp_files(l, "loader/entries", "*.conf", NULL, entry_file, err) ||
	    bare_file(l, "/etc/kernel/cmdline", true, err))
		return -1;
	return files_each(l->plan, "/etc/cmdline.d", "*.conf", bare_one, l, err);
}
