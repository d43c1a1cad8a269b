/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /etc/fstab and /etc/crypttab: the names of disks become UUIDs, and what was on a disk that is not here may be missing (nofail).
 * Nothing but those fields changes.  A name that cannot be told stays, and is remarked: better a mount that fails and says so than
 * the wrong one.
 */
#include "devices.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 6

static unsigned fields(struct span line, struct span w[FIELDS_MAX])
{
	const char *at = line.at, *end = at + line.len;
	unsigned n = 0;

	while (n < FIELDS_MAX && word_next(&at, end, &w[n]) && (n || *w[0].at != '#'))
		n++;
	return n;
}

/* Is `option` among the comma-separated ones? */
static bool has_option(struct span options, const char *option)
{
	for (const char *at = options.at, *end = at + options.len; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct span one = { at, (size_t)((comma ? comma : end) - at) };

		if (span_is(one, option))
			return true;
		at += one.len + 1;
	}
	return false;
}

static bool must_be_there(const char *mount)
{
	static const char *const needed[] = { "/", "/usr", "/boot", "/var", "/etc", NULL };

	for (const char *const *n = needed; *n; n++)
		if (!strcmp(mount, *n))
			return true;
	return false;
}

/* The line with nofail among the options of its field `n`, in `out`. */
static void add_nofail(struct bytes *out, struct span line, const struct span *w, unsigned have, unsigned n, const char *no_options)
{
	struct bytes with = { 0 };

	if (have > n) {
		if (span_is(w[n], "none") || span_is(w[n], "-"))
			bytes_text(&with, no_options);
		else
			bytes_span(&with, w[n]);
		bytes_text(&with, ",nofail");
		bytes_replaced(out, line, w[n], with.at ? with.at : "");
	} else {
		struct span behind = { w[have - 1].at + w[have - 1].len, 0 };

		bytes_format(&with, "%s%s,nofail", have == n ? " " : " none ", no_options);
		bytes_replaced(out, line, behind, with.at ? with.at : "");
	}
	out->failed |= with.failed;
	bytes_destroy(&with);
}

static void fstab_line(struct text *t, const struct devices *d)
{
	char name[DEVICE_NAME_MAX], mount[DEVICE_NAME_MAX], lasting[DEVICE_NAME_MAX];
	enum device_answer answer;
	struct span w[FIELDS_MAX];
	unsigned n = fields(t->line, w);
	const struct fact_fs *fs;
	struct bytes line = { 0 };

	if (n < 3 || !span_copy(w[0], name, sizeof(name)) || !span_copy(w[1], mount, sizeof(mount))) {
		text_keep(t);
		return;
	}
	answer = device_find(d, name, &fs);
	if (answer == DEVICE_FOUND && device_lasting(d, fs, false, lasting)) {
		bytes_replaced(&line, t->line, w[0], lasting);
	} else if (answer == DEVICE_FOUND || answer == DEVICE_UNSURE) {
		remark_once(t->plan, "/etc/fstab: %s (%s) keeps its name, since %s: check it before the guest is started", name,
		            mount,
		            answer == DEVICE_FOUND ? "it has neither UUID nor label"
		                                   : "it cannot be told which of the disks was meant");
	} else if ((device_is_gone(d, name) || (!must_be_there(mount) && volume_is_gone(d, name))) &&
	           !(n > 3 && (has_option(w[3], "noauto") || has_option(w[3], "nofail")))) {
		if (must_be_there(mount)) {
			remark_once(t->plan,
			            "/etc/fstab: %s, which is mounted at %s, is on none of the disks: the guest will not start "
			            "without it",
			            name, mount);
		} else {
			remark_once(t->plan, "/etc/fstab: %s (%s) is on none of the disks, and may be missing from now on (nofail)",
			            name, mount);
			add_nofail(&line, t->line, w, n, 3, "defaults");
		}
	}
	if (line.len)
		text_put(t, &line);
	else
		text_keep(t);
	bytes_destroy(&line);
}

int fstab_adapt(struct plan *p, const struct devices *d, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, "/etc/fstab", err);

	if (rc <= 0)
		return rc;
	while (text_next(&t))
		fstab_line(&t, d);
	return text_write(&t, err, "file systems by their UUIDs, since disks have other names on the new machine");
}

/* ---------------------------------------------------------------- crypttab */

/* A key on a stick: DEVICE:PATH (systemd), DEVICE:FSTYPE:PATH. */
static void key_remark(struct text *t, const struct devices *d, struct span name, struct span key)
{
	char device[DEVICE_NAME_MAX];
	const char *colon = memchr(key.at, ':', key.len);

	if (span_copy((struct span){ key.at, colon ? (size_t)(colon - key.at) : key.len }, device, sizeof(device)) &&
	    device_is_gone(d, device))
		remark_once(t->plan, "%s: the key of %.*s is on %s, which is on none of the disks", t->path, (int)name.len, name.at,
		            device);
}

static void crypttab_line(struct text *t, const struct devices *d)
{
	char name[DEVICE_NAME_MAX], lasting[DEVICE_NAME_MAX];
	enum device_answer answer;
	struct span w[FIELDS_MAX];
	unsigned n = fields(t->line, w);
	const struct fact_fs *fs;
	struct bytes line = { 0 };

	if (n < 2 || !span_copy(w[1], name, sizeof(name))) {
		text_keep(t);
		return;
	}
	if (n > 2)
		key_remark(t, d, w[0], w[2]);
	answer = device_find(d, name, &fs);
	if (answer == DEVICE_FOUND) {
		/* What is keyed anew at each start has no UUID that lasts: what blkid shows is left from the last one. */
		bool luks = !strcmp(fs->type, "crypto_LUKS");

		if (device_lasting(d, fs, !luks, lasting))
			bytes_replaced(&line, t->line, w[1], lasting);
		else
			remark_once(t->plan, "%s: %s keeps its name, since it has no UUID: check it before the guest is started",
			            t->path, name);
	} else if (answer == DEVICE_UNSURE) {
		remark_once(t->plan, "%s: %s keeps its name, since it cannot be told which of the disks was meant", t->path, name);
	} else if (device_is_gone(d, name) && !(n > 3 && (has_option(w[3], "noauto") || has_option(w[3], "nofail")))) {
		remark_once(t->plan, "%s: %s is on none of the disks, and may be missing from now on (nofail)", t->path, name);
		add_nofail(&line, t->line, w, n, 3, "luks");
	}
	if (line.len)
		text_put(t, &line);
	else
		text_keep(t);
	bytes_destroy(&line);
}

static int crypttab_file(struct plan *p, const char *path, const struct devices *d, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t))
		crypttab_line(&t, d);
	return text_write(&t, err, "encrypted devices by their UUIDs, since disks have other names on the new machine");
}

int crypttab_adapt(struct plan *p, const struct devices *d, vdisk_error *err) { return crypttab_file(p, "/etc/crypttab", d, err); }

int crypttab_image_adapt(struct plan *p, const struct devices *d, vdisk_error *err)
{
	return crypttab_file(p, "/etc/crypttab", d, err) || crypttab_file(p, "/cryptroot/crypttab", d, err) ? -1 : 0;
}
