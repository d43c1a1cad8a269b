/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What keeps LVM and MD from looking at disks that have other names and other identities now: LVM's filters and its list of devices
 * (RHEL 9), MD's DEVICE lines.  Without them both look at every disk, which is what they do on a machine that was set up anew.
 */
#include "devices.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- LVM */

/* Does the array's text name a disk? */
static bool names_disk(const char *s)
{
	static const char *const names[] = {
		"/dev/sd",   "/dev/hd",       "/dev/vd", "/dev/xvd", "/dev/nvme", "/dev/cciss", "/dev/mapper/mpath",
		"/disk/by-", "/dev/emcpower", "sda",     "sdb",      "sdc",       "hda",        "cciss/",
		"nvme",      "emcpower",      "mpath",   NULL
	};

	for (const char *const *n = names; *n; n++)
		if (strstr(s, *n))
			return true;
	return false;
}

/* "r|.*|", with whatever stands for the bars: refuses every name that no pattern before it took. */
static bool refuses_all(const char *at, size_t len)
{
	static const char *const all[] = { ".*", ".", "^.*", "^.*$", ".*$", "^/dev/.*", "/dev/.*", "/.*", NULL };

	if (len < 3 || *at != 'r')
		return false;
	for (const char *const *p = all; *p; p++)
		if (len == strlen(*p) + 3 && !memcmp(at + 2, *p, strlen(*p)))
			return true;
	return false;
}

/* An array of LVM's settings, over as many lines as it likes. */
struct array {
	const char *end;      /* its ']'; NULL: it has none */
	struct bytes strings; /* what stands in it, each in a line */
	bool refuses_all;
};

/* From the '[' on.  A ']' ends it unless it stands in a string ("/dev/sd[ab]") or in a comment. */
static void array_read(struct array *a, const char *at, const char *end)
{
	a->end = NULL;
	a->refuses_all = false;
	bytes_clear(&a->strings);
	while (++at < end && *at != ']') {
		const char *from = at + 1, quote = *at;

		if (quote == '#') {
			at = memchr(at, '\n', (size_t)(end - at));
			if (!at)
				return;
		} else if (quote == '"' || quote == '\'') {
			while (++at < end && *at != quote)
				at += quote == '"' && *at == '\\';
			if (at >= end)
				return;
			bytes_add(&a->strings, from, (size_t)(at - from));
			bytes_text(&a->strings, "\n");
			a->refuses_all = a->refuses_all || refuses_all(from, (size_t)(at - from));
		}
	}
	a->end = at < end ? at : NULL;
}

/* A filter hurts where it names disks and refuses the others. */
static bool filter_hurts(const struct array *a) { return a->refuses_all && !a->strings.failed && names_disk(a->strings.at); }

static bool is_filter(struct span line, const char **array)
{
	struct span name, value;

	if (!assignment(line, &name, &value) || !(span_is(name, "filter") || span_is(name, "global_filter")))
		return false;
	*array = value.at;
	return span_starts(value, "[");
}

/* The lines to the array's end; what is behind that in the last one (a section's end) stays in force. */
static void array_put(struct text *t, const struct array *a, bool comment)
{
	const char *end;

	for (;;) {
		end = t->line.at + t->line.len;
		if (comment)
			text_add(t, "# vdisk: %.*s", (int)t->line.len, t->line.at);
		else
			text_keep(t);
		if (end > a->end || !text_next(t))
			break;
	}
	if (comment && end > a->end) {
		struct span behind = span_trim((struct span){ a->end + 1, (size_t)(end - a->end - 1) });

		if (behind.len && *behind.at != '#')
			text_add(t, "%.*s", (int)behind.len, behind.at);
	}
}

static int lvm_filters(struct plan *p, const char *path, vdisk_error *err)
{
	struct array a = { 0 };
	struct text t;
	int rc = text_open(&t, p, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		const char *open;
		bool hurts;

		if (!is_filter(t.line, &open)) {
			text_keep(&t);
			continue;
		}
		array_read(&a, open, t.in.at + t.in.len);
		if (!a.end) { /* all that follows is in it */
			remark_once(p, "%s: a filter of LVM's does not end; from there on it is left as it is", path);
			text_keep(&t);
			break;
		}
		hurts = filter_hurts(&a);
		array_put(&t, &a, hurts);
		if (hurts)
			remark_once(p, "%s: LVM's filter named disks of the old machine and refused all others; it is commented out",
			            path);
	}
	if (a.strings.failed)
		t.out.failed = true;
	bytes_destroy(&a.strings);
	return text_write(&t, err, "LVM's filter lets nothing through but disks that the new machine calls otherwise");
}

static int lvm_devices(void *to, const char *path, vdisk_error *err)
{
	struct plan *p = to;

	remark_once(p,
	            "%s: removed, since it lists physical volumes by the old machine's disks; run vgimportdevices -a on the new "
	            "one to have it again",
	            path);
	return plan_remove(p, path, err, "LVM uses only the disks listed there, by identities that they have no more");
}

/* ---------------------------------------------------------------- MD */

/* The ARRAY line without devices=…, where its UUID tells it. */
static bool array_line(struct text *t)
{
	const char *at = t->line.at, *end = at + t->line.len;
	struct span word, devices = { 0 };
	struct bytes line = { 0 };
	bool uuid = false;

	while (word_next(&at, end, &word)) {
		if (word.len > 8 && span_is_nocase((struct span){ word.at, 8 }, "devices="))
			devices = word;
		uuid = uuid || (word.len > 5 && span_is_nocase((struct span){ word.at, 5 }, "uuid="));
	}
	if (!devices.len)
		return false;
	if (!uuid) {
		remark_once(t->plan, "%s: an array is told by its devices alone, whose names are others now: %.*s", t->path,
		            (int)t->line.len, t->line.at);
		return false;
	}
	while (devices.at > t->line.at && strchr(" \t", devices.at[-1])) {
		devices.at--;
		devices.len++;
	}
	bytes_replaced(&line, t->line, devices, "");
	text_put(t, &line);
	bytes_destroy(&line);
	return true;
}

static int mdadm(struct plan *p, const char *path, vdisk_error *err)
{
	bool inside = false; /* of a statement that goes on: lines that begin with a blank do */
	struct text t;
	int rc = text_open(&t, p, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span key, first;
		struct bytes line = { 0 };
		bool more = t.line.len && strchr(" \t", *at);

		inside = inside && more;
		if (inside) {
			text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
			continue;
		}
		if (more || !word_next(&at, end, &key) || !(span_is_nocase(key, "DEVICE") || span_is_nocase(key, "ARRAY"))) {
			text_keep(&t);
			continue;
		}
		if (span_is_nocase(key, "ARRAY")) {
			if (!array_line(&t))
				text_keep(&t);
			continue;
		}
		bytes_add(&line, t.line.at, t.line.len);
		if (!line.failed && !strstr(line.at, "partitions") && !strstr(line.at, "containers") &&
		    word_next(&at, end, &first)) {
			inside = true;
			text_add(&t, "# vdisk: %s", line.at);
			text_add(&t, "DEVICE partitions");
		} else {
			text_keep(&t);
		}
		bytes_destroy(&line);
	}
	return text_write(&t, err, "arrays are looked for on all disks, since these have other names");
}

int storage_adapt(struct plan *p, const struct devices *d, vdisk_error *err)
{
	(void)d;
	if (lvm_filters(p, "/etc/lvm/lvm.conf", err) || lvm_filters(p, "/etc/lvm/lvmlocal.conf", err) ||
	    files_each(p, "/etc/lvm/devices", "*.devices", lvm_devices, p, err))
		return -1;
	return mdadm(p, "/etc/mdadm.conf", err) || mdadm(p, "/etc/mdadm/mdadm.conf", err) ? -1 : 0;
}
