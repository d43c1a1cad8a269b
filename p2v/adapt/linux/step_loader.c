/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The step that sees to what starts the kernel: kernel lines in each boot loader's own files and in what those are made from, so
 * that the next kernel's package writes the same; the console on the serial line; the loader that UEFI finds without an entry in
 * NVRAM.
 */
#include "loader.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cmdline_rules loader_rules(struct loader *l, const char *path)
{
	return (struct cmdline_rules){
		.plan = l->plan, .devices = &l->devices, .options = l->options, .initrd = true, .path = path
	};
}

const char *loader_esp(const struct loader *l, unsigned i)
{
	static const char *const mounts[] = { "/boot/efi", "/efi", "/boot", NULL };
	const char *const *m = mounts;

	if (*l->facts->esp && !i--)
		return l->facts->esp;
	for (; *m; m++)
		if (strcmp(*m, l->facts->esp) && !i--)
			break;
	return *m;
}

struct esp_walk {
	struct loader *l;
	const char *name; /* of the file in each folder that was found; NULL: what was found is the file */
	loader_file_fn each;
};

static int esp_file(void *to, const char *path, vdisk_error *err)
{
	const struct esp_walk *w = to;
	struct bytes file = { 0 };
	int rc;

	if (!w->name)
		return w->each(w->l, path, err);
	bytes_format(&file, "%s/%s", path, w->name);
	rc = file.failed ? fail_nomem(err) : w->each(w->l, file.at, err);
	bytes_destroy(&file);
	return rc;
}

static int esp_walk(struct esp_walk *w, const char *mount, const char *folder, const char *pattern, vdisk_error *err)
{
	struct bytes at = { 0 };
	int rc;

	bytes_format(&at, "%s/%s", mount, folder);
	rc = at.failed ? fail_nomem(err) : files_each(w->l->plan, at.at, pattern, esp_file, w, err);
	bytes_destroy(&at);
	return rc;
}

int loader_esp_files(struct loader *l, const char *folder, const char *pattern, const char *name, loader_file_fn each,
                     vdisk_error *err)
{
	struct esp_walk w = { l, name, each };
	const char *mount;
	int rc = 0;

	for (unsigned i = 0; !rc && (mount = loader_esp(l, i)); i++)
		rc = esp_walk(&w, mount, folder, pattern, err);
	return rc;
}

bool loader_root_fix(struct loader *l, struct span line, struct bytes *out)
{
	const char *done = line.at, *end = line.at + line.len;

	for (const char *s = line.at; l->devices.disks == 1 && end - s > 4; s++) {
		char *behind;

		if (memcmp(s, "hd", 2) || !isdigit((unsigned char)s[2]) || (s > line.at && isalnum((unsigned char)s[-1])))
			continue;
		if (!strtoul(s + 2, &behind, 10) || *behind != ',')
			continue;
		bytes_add(out, done, (size_t)(s + 2 - done));
		bytes_text(out, "0");
		done = behind;
	}
	if (out->len)
		bytes_add(out, done, (size_t)(end - done));
	return out->len > 0;
}

/* LILO's map tells blocks and keeps the kernel line inside: only lilo itself can write it. */
static int lilo_refuse(struct loader *l, vdisk_error *err)
{
	unsigned others = l->facts->loaders & ~(unsigned)LOADER_LILO;

	if (!(l->facts->loaders & LOADER_LILO))
		return 0;
	if (!others)
		return fail(err, VDISK_UNSUPPORTED,
		            "the guest is started by LILO, whose map only lilo itself can write: install GRUB in the guest first");
	remark_once(l->plan, "LILO is left as it is; the guest's other boot loader is adapted");
	return 0;
}

/* What the package would install GRUB on again: a disk that is no more. */
static int install_device_remark(struct loader *l, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, l->plan, "/etc/default/grub_installdevice", err);
	char name[DEVICE_NAME_MAX];
	struct device_name parsed;

	while (rc > 0 && text_next(&t))
		if (span_copy(span_trim(t.line), name, sizeof(name)) && device_parse(name, &parsed) && !parsed.part)
			remark_once(l->plan,
			            "/etc/default/grub_installdevice names %s, which is called otherwise on the new machine: run "
			            "yast bootloader there",
			            name);
	text_close(&t);
	if (rc < 0)
		return -1;
	rc = text_open(&t, l->plan, "/var/cache/debconf/config.dat", err);
	for (bool mine = false; rc > 0 && text_next(&t);) {
		if (span_starts(t.line, "Name: "))
			mine = span_is(t.line, "Name: grub-pc/install_devices");
		if (mine && span_starts(t.line, "Value: /dev/"))
			remark_once(l->plan,
			            "Debian's grub-pc installs itself on \"%.*s\": run dpkg-reconfigure grub-pc on the new "
			            "machine, before its next upgrade",
			            (int)t.line.len - 7, t.line.at + 7);
	}
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

int step_loader(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct loader l = { .plan = p, .facts = f, .options = o };

	if (lilo_refuse(&l, err) || devices_read(&l.devices, p, f, err))
		return -1;
	if (grub2_adapt(&l, err) || grub_defaults_adapt(&l, err) || grubenv_adapt(&l, err) || grub_legacy_adapt(&l, err) ||
	    bls_adapt(&l, err) || extlinux_adapt(&l, err) || uki_adapt(&l, err) || efi_adapt(&l, err))
		return -1;
	if (o->serial && getty_adapt(&l, err))
		return -1;
	return install_device_remark(&l, err);
}
