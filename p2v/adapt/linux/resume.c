/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the initramfs's generator and the suspend programs write down the swap space that a sleeping machine wakes from. */
#include "devices.h"

#include "cmdline.h"
#include "common/fail.h"

#include <string.h>

/* Puts the lasting name in the place of `old` within the line; false: it stays. */
static bool name_line(struct text *t, const struct devices *d, struct span old)
{
	char name[DEVICE_NAME_MAX], lasting[DEVICE_NAME_MAX];
	const struct fact_fs *fs;
	struct bytes line = { 0 };
	enum device_answer answer;

	if (!span_copy(old, name, sizeof(name)))
		return false;
	answer = device_find(d, name, &fs);
	if (answer == DEVICE_FOUND && device_lasting(d, fs, false, lasting)) {
		bytes_replaced(&line, t->line, old, lasting);
		text_put(t, &line);
		bytes_destroy(&line);
		return true;
	}
	if (answer == DEVICE_GONE || answer == DEVICE_UNSURE)
		remark_once(t->plan, "%s: %s is %s", t->path, name,
		            answer == DEVICE_GONE ? "on none of the disks" : "on a disk that cannot be told");
	return false;
}

/* RESUME=/dev/sda2 */
static int resume_file(struct plan *p, const char *path, const struct devices *d, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		struct shell_value v;

		if (!shell_value(&t, t.line.at, &v) || !span_is(v.name, "RESUME") || !name_line(&t, d, v.inner))
			text_keep(&t);
	}
	return text_write(&t, err, "the swap space to wake from by its UUID");
}

/* resume device = /dev/sda2: what reads it opens a path. */
static int uswsusp(struct plan *p, const struct devices *d, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, "/etc/uswsusp.conf", err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		const char *equals = memchr(t.line.at, '=', t.line.len);
		char name[DEVICE_NAME_MAX];
		const struct fact_fs *fs;
		struct bytes line = { 0 };
		struct span value;

		if (equals && span_starts(t.line, "resume device")) {
			value = span_trim((struct span){ equals + 1, (size_t)(t.line.at + t.line.len - equals - 1) });
			if (span_copy(value, name, sizeof(name)) && device_find(d, name, &fs) == DEVICE_FOUND && *fs->uuid &&
			    !strpbrk(fs->uuid, "/ \t")) {
				bytes_format(&line, "%.*s/dev/disk/by-uuid/%s", (int)(value.at - t.line.at), t.line.at, fs->uuid);
				text_put(&t, &line);
				bytes_destroy(&line);
				continue;
			}
		}
		text_keep(&t);
	}
	return text_write(&t, err, "the swap space to wake from by its UUID");
}

struct image { /* what the callbacks over files want to know */
	struct plan *plan;
	const struct devices *devices;
};

/* kernel_cmdline="…" ends up in every initramfs that the guest makes. */
static int dracut_file(void *to, const char *path, vdisk_error *err)
{
	struct image *dr = to;
	struct cmdline_rules r = { .plan = dr->plan, .devices = dr->devices, .initrd = true, .path = path };
	struct text t;
	int rc = text_open(&t, dr->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		struct shell_value v;

		if (shell_value(&t, t.line.at, &v) && span_is(v.name, "kernel_cmdline"))
			cmdline_put_shell(&r, &t, &v);
		else
			text_keep(&t);
	}
	return text_write(&t, err, "devices by their UUIDs in what the guest's next initramfs is made with");
}

int resume_adapt(struct plan *p, const struct devices *d, vdisk_error *err)
{
	struct image dr = { p, d };

	if (resume_file(p, "/etc/initramfs-tools/conf.d/resume", d, err) ||
	    resume_file(p, "/etc/initramfs-tools/initramfs.conf", d, err) || uswsusp(p, d, err) ||
	    dracut_file(&dr, "/etc/dracut.conf", err))
		return -1;
	return files_each(p, "/etc/dracut.conf.d", "*.conf", dracut_file, &dr, err);
}

/* dracut's record of the kernel line that the guest had: words and newlines. */
static int cmdline_file(void *to, const char *path, vdisk_error *err)
{
	struct image *in = to;
	struct cmdline_rules r = { .plan = in->plan, .devices = in->devices, .initrd = true, .path = path };
	struct text t;
	int rc = text_open(&t, in->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t))
		cmdline_put(&r, &t, t.line);
	return text_write(&t, err, "devices by their UUIDs");
}

int resume_image_adapt(struct plan *p, const struct devices *d, vdisk_error *err)
{
	struct image in = { p, d };

	if (resume_file(p, "/conf/conf.d/resume", d, err) || resume_file(p, "/conf/initramfs.conf", d, err))
		return -1;
	return files_each(p, "/etc/cmdline.d", "*.conf", cmdline_file, &in, err);
}
